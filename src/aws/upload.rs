//! Uploads that stall. The SDK notices it only of bodies that come in parts: one that is in memory it hands over whole, and takes for sent
//! although the socket has not taken any of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_smithy_types::body::{Error, SdkBody};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// What is handed over at a time, in bytes.
const PART: usize = 64 * 1024;

/// Shorter bodies fit the buffers of a socket, in bytes.
const LONG: u64 = 256 * 1024;

/// How long nothing of a body may be taken.
const STALLED: Duration = Duration::from_secs(5);

/// When the last part was taken; none when nothing is left to be taken.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    /// Follows the progress of a body that is long. None of one that is not.
    pub fn follow(body: &mut SdkBody) -> Option<Self> {
        body.content_length().filter(|length| *length > LONG)?;
        let progress = Self(Arc::new(Mutex::new(Some(Instant::now()))));
        let whole = Box::pin(std::mem::replace(body, SdkBody::taken()));
        *body = SdkBody::from_body_1_x(Parts { whole, rest: Bytes::new(), progress: progress.clone() });
        Some(progress)
    }

    fn note(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Returns when it stalls, and never of one that does not.
    pub async fn stalled(self) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(last) = last else { return std::future::pending().await };
            let left = STALLED.saturating_sub(last.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// A body in parts.
struct Parts {
    whole: Pin<Box<SdkBody>>,
    /// What has been read of it, and not been handed over.
    rest: Bytes,
    progress: Progress,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.progress.note(Some(Instant::now()));
        if self.rest.is_empty() {
            match ready!(self.whole.as_mut().poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.whole.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match Body::size_hint(&*self.whole).exact() {
            Some(exact) => SizeHint::with_exact(exact + rest),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // All of it has been taken, or the request has failed.
        self.progress.note(None);
    }
}

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

/// How long nothing of a body may be taken, and how long the answer may take when all of it has arrived.
const STALLED: Duration = Duration::from_secs(5);

/// What the slowest network passes on in a second, in bytes. What has been taken may be in a buffer of this machine still.
const SLOWEST: u64 = 128 * 1024;

/// When the last part was taken, and how long the next sign of life may take.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Mutex<(Instant, Duration)>>);

impl Progress {
    /// Follows the progress of a body that is long. None of one that is not.
    pub(super) fn follow(body: &mut SdkBody) -> Option<Self> {
        let length = body.content_length().filter(|length| *length > LONG)?;
        let progress = Self(Arc::new(Mutex::new((Instant::now(), STALLED))));
        let whole = Box::pin(std::mem::replace(body, SdkBody::taken()));
        let parts = Parts { whole, rest: Bytes::new(), length, progress: progress.clone() };
        *body = SdkBody::from_body_1_x(parts);
        Some(progress)
    }

    /// Something has been taken. The next may take this long.
    fn note(&self, next: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), next);
    }

    /// Returns when it stalls.
    pub(super) async fn stalled(self) {
        loop {
            let (last, within) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let left = within.saturating_sub(last.elapsed());
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
    length: u64,
    progress: Progress,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.progress.note(STALLED);
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
        self.progress.note(STALLED + Duration::from_secs(self.length / SLOWEST));
    }
}

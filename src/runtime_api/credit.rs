//! Back pressure for streamed responses: how much of one is on its way to its caller at a time.
//!
//! The core takes every event at once, so a function that writes faster than its caller reads would fill the memory with what is
//! between the two. Therefore each part of a response carries a share of its stream's credit, which comes back when the part is
//! dropped: when it was sent, or by whomever has no use for it. A worker whose stream has no credit left is not read from.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes of one stream may be on their way.
const CREDIT: usize = 1024 * 1024;

/// The longest part that is handed on as one.
pub(super) const LONGEST_PART: usize = 64 * 1024;

/// What an event takes beside its bytes.
const OVERHEAD: usize = 256;

/// The credit of one stream.
#[derive(Debug)]
pub(super) struct Credit(Arc<Semaphore>);

/// Bytes, and the credit that was spent on them.
struct Spent {
    bytes: Box<[u8]>,
    _credit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Spent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Credit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CREDIT)))
    }
}

impl Credit {
    /// A copy of `bytes`, at most [`LONGEST_PART`], as soon as there is credit for it. A copy, because a part that is cut out of what
    /// the connection has read keeps all of that.
    pub(super) async fn spend(&self, bytes: &[u8]) -> Bytes {
        let cost = u32::try_from((bytes.len() + OVERHEAD).min(CREDIT)).unwrap_or(u32::MAX);
        match self.0.clone().acquire_many_owned(cost).await {
            Ok(credit) => Bytes::from_owner(Spent { bytes: bytes.into(), _credit: credit }),
            // The semaphore is never closed.
            Err(_) => Bytes::copy_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context};

    use super::*;

    #[test]
    fn credit_comes_back_with_the_last_of_a_part() {
        let credit = Credit::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut spend = |length| {
            let bytes = vec![7; length];
            let mut spending = pin!(credit.spend(&bytes));
            match spending.as_mut().poll(&mut context) {
                std::task::Poll::Ready(bytes) => Some(bytes),
                std::task::Poll::Pending => None,
            }
        };
        let mut parts: Vec<Bytes> = std::iter::from_fn(|| spend(LONGEST_PART)).collect();
        assert_eq!(parts.len(), (CREDIT / (LONGEST_PART + OVERHEAD)));
        let last = parts.pop().unwrap();
        let slice = last.slice(1..3);
        drop(last);
        assert_eq!(spend(LONGEST_PART), None, "some of the part is still there");
        assert_eq!(&slice[..], [7, 7]);
        drop(slice);
        assert!(spend(LONGEST_PART).is_some());
        parts.clear();
        let tiny: Vec<Bytes> = std::iter::from_fn(|| spend(1)).collect();
        assert!(tiny.len() <= CREDIT / OVERHEAD, "{}", tiny.len());
    }
}

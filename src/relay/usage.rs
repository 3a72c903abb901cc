//! What API Gateway counts: messages, in pieces of 32 KB, and minutes of connection.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A message counts once for each begun piece of this length, in bytes (Amazon API Gateway's price list).
const PIECE: usize = 32 * 1024;

/// What this client has used. The stubs use about as much again.
#[derive(Debug, Default)]
pub(super) struct Usage {
    messages: AtomicU64,
    /// The time of connections that are over.
    connected_ms: AtomicU64,
    opened: std::sync::Mutex<Option<Instant>>,
}

impl Usage {
    /// A message of so many bytes, in either direction.
    pub(super) fn message(&self, length: usize) {
        let pieces = length.div_ceil(PIECE).max(1);
        self.messages.fetch_add(u64::try_from(pieces).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A connection was made.
    pub(super) fn opened(&self) {
        *self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    }

    /// A connection ended after so long.
    pub(super) fn closed(&self, after: Duration) {
        *self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.connected_ms.fetch_add(millis, Ordering::Relaxed);
    }

    /// All of it in one sentence.
    pub(super) fn summary(&self) -> String {
        let opened = *self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let present = opened.map_or(Duration::ZERO, |opened| opened.elapsed());
        let connected = Duration::from_millis(self.connected_ms.load(Ordering::Relaxed)) + present;
        let minutes = connected.as_secs().div_ceil(60);
        let messages = self.messages.load(Ordering::Relaxed);
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        format!(
            "API Gateway counts {messages} message{} and {minutes} minute{} of connection for this session, and about as much for \
             the stubs",
            plural(messages),
            plural(minutes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_count_for_several() {
        let usage = Usage::default();
        for length in [0, 1, PIECE, PIECE + 1, 120 * 1024] {
            usage.message(length);
        }
        usage.opened();
        usage.closed(Duration::from_secs(61));
        let summary = usage.summary();
        assert!(summary.contains(" 9 messages and 2 minutes"), "{summary}");
    }
}

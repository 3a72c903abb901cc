//! What stands in a machine, as its debugger counts it: each thread has a number of suspensions, and runs when that is zero.

use std::collections::HashMap;

use tokio::time::Instant;

/// `EVENT_THREAD`: only the thread of an event stands.
pub(super) const ONE_THREAD: u8 = 1;

/// `ALL`: the whole machine does.
pub(super) const ALL_THREADS: u8 = 2;

/// Where in the code a thread stands: class, method, index.
pub(super) type Location = (u64, u64, u64);

/// What stands in a machine.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// How often all threads have been suspended.
    all: i64,
    /// How much more often some have been; less often, where it is negative.
    more: HashMap<u64, i64>,
    /// The thread that an event has stopped last.
    last: Option<u64>,
    /// Where it stands, if the event has said so.
    pub location: Option<Location>,
    /// When this is told, unless it runs on before.
    pub due: Option<Instant>,
    /// It has been told.
    pub told: bool,
}

impl Stops {
    /// Events have come, after which threads stand.
    pub(super) fn events(&mut self, policy: u8, thread: Option<u64>, location: Option<Location>) {
        match (policy, thread) {
            (ALL_THREADS, _) => self.all += 1,
            (ONE_THREAD, Some(thread)) => *self.more.entry(thread).or_default() += 1,
            _ => return,
        }
        (self.last, self.location) = (thread, location);
    }

    pub(super) fn suspend_all(&mut self) {
        self.all += 1;
    }

    /// Each thread is suspended once less.
    pub(super) fn resume_all(&mut self) {
        if self.all > 0 {
            self.all -= 1;
        } else {
            self.more.values_mut().for_each(|more| *more = (*more - 1).max(0));
        }
        self.tidy();
    }

    pub(super) fn suspend(&mut self, thread: u64) {
        *self.more.entry(thread).or_default() += 1;
        self.last.get_or_insert(thread);
    }

    pub(super) fn resume(&mut self, thread: u64) {
        let more = self.more.entry(thread).or_default();
        if self.all + *more > 0 {
            *more -= 1;
        }
        self.tidy();
    }

    /// Whether all threads are suspended.
    pub(super) fn all(&self) -> bool {
        self.all > 0
    }

    /// Whether somebody waits for the developer: everything stands but what the last event has stopped and was let run, or a thread
    /// does.
    pub(super) fn any(&self) -> bool {
        let runs =
            self.last.and_then(|thread| self.more.get(&thread)).is_some_and(|more| self.all + more <= 0);
        (self.all > 0 && !runs) || self.more.values().any(|more| *more > 0)
    }

    fn tidy(&mut self) {
        let all = self.all;
        self.more.values_mut().for_each(|more| *more = (*more).max(-all));
        self.more.retain(|_, more| *more != 0);
        if all == 0 && self.more.is_empty() {
            (self.last, self.location) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_run_when_they_have_been_resumed_as_often_as_suspended() {
        let mut stops = Stops::default();
        stops.events(ALL_THREADS, Some(1), Some((2, 3, 4)));
        stops.suspend(1);
        stops.resume_all();
        assert!(stops.any() && !stops.all());
        stops.resume(1);
        assert!(!stops.any() && stops.location.is_none());
        stops.resume(1);
        stops.resume_all();
        assert!(!stops.any());
        stops.events(ONE_THREAD, Some(7), None);
        assert!(stops.any());
        stops.resume_all();
        assert!(!stops.any(), "all of them includes this one");
    }

    #[test]
    fn the_thread_of_an_event_may_run_alone() {
        let mut stops = Stops::default();
        stops.events(ALL_THREADS, Some(1), None);
        stops.resume(1);
        assert!(stops.all() && !stops.any());
        stops.events(ALL_THREADS, Some(1), None);
        assert!(stops.any(), "a step has ended");
    }
}

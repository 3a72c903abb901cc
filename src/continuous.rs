//! The time that the core lives by. It goes on while the machine sleeps, as that of the callers does: `std::time::Instant` stands still
//! meanwhile, and so do timers.

use std::time::{Duration, Instant};

use crate::aws::Clock;

/// How often it is looked what time it is while something is waited for, because no system tells when a machine wakes up. Whatever else
/// happens is measured by the right time in any case, so this need not be often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A clock for `State::handle`. Its instants are only good for comparison with one another.
#[derive(Debug, Clone)]
pub(crate) struct Continuous {
    clock: Clock,
    /// The same moment on both clocks.
    began: (Instant, Duration),
}

impl Continuous {
    /// The time by a machine's clock that counts sleep.
    #[must_use]
    pub(crate) fn new(clock: Clock) -> Self {
        let began = (Instant::now(), clock.continuous());
        Self { clock, began }
    }

    /// What time it is.
    #[must_use]
    pub(crate) fn now(&self) -> Instant {
        let (instant, then) = self.began;
        instant + self.clock.continuous().saturating_sub(then)
    }

    /// When that will be by the clock that the rest of the program goes by, if the machine does not sleep.
    #[must_use]
    pub(crate) fn awake(&self, when: Instant) -> Instant {
        Instant::now() + when.saturating_duration_since(self.now())
    }

    /// Waits until it is `when`; for ever for none. After sleep it takes a moment.
    pub(crate) async fn reach(&self, when: Option<Instant>) {
        let Some(when) = when else { return std::future::pending().await };
        loop {
            let left = when.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::aws::Fake;

    const NIGHT: Duration = Duration::from_secs(8 * 60 * 60);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_counts_sleep() {
        let machine = Fake::new(SystemTime::now());
        let time = Continuous::new(Clock::of(machine.clone()));
        let before = time.now();
        machine.pass(NIGHT);
        assert_eq!(time.now(), before + NIGHT);
        machine.set_wall(SystemTime::UNIX_EPOCH);
        assert_eq!(time.now(), before + NIGHT, "nobody sets it");
        let left = time.awake(before + NIGHT + MINUTE).saturating_duration_since(Instant::now());
        assert!(left <= MINUTE && left > MINUTE / 2, "{left:?}");
        assert!(time.awake(before) <= Instant::now(), "that is over");
    }

    #[tokio::test]
    async fn what_is_waited_for_comes_soon_after_sleep() {
        let machine = Fake::new(SystemTime::now());
        let time = Continuous::new(Clock::of(machine.clone()));
        let mut reached = Box::pin(time.reach(Some(time.now() + MINUTE)));
        assert!(futures_util::poll!(reached.as_mut()).is_pending());
        machine.pass(NIGHT);
        tokio::time::timeout(4 * LOOK_EVERY, reached).await.expect("it looks what time it is");
    }
}

//! AWS's time. AWS refuses what was signed at another time than its own, and a machine's clock may be wrong, be set during a session, or
//! stand still while the machine sleeps. So the time is what AWS has said, and what has passed since.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_smithy_types::{DateTime, date_time::Format};
use aws_types::sdk_config::TimeSource;
use nix::time::clock_gettime;

use crate::platform::CONTINUOUS_CLOCK;

/// AWS takes signatures that are up to five minutes off. What is more than this many seconds off will soon be.
const TOLERANCE_S: i64 = 240;

/// An HTTP date has no fractions of a second, and one more passes on the way. What is not further off changes nothing.
const INEXACT: Duration = Duration::from_secs(2);

/// What an HTTP date leaves open.
const SECOND: Duration = Duration::from_secs(1);

/// The clocks of a machine.
pub(crate) trait Machine: Debug + Send + Sync {
    /// The wall clock, which may be wrong, and set at any time.
    fn wall(&self) -> SystemTime;

    /// A clock that nobody sets, and that counts while the machine sleeps.
    fn continuous(&self) -> Duration;
}

/// Those of this machine.
#[derive(Debug)]
struct This;

impl Machine for This {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn continuous(&self) -> Duration {
        // It fails only for a clock that a system does not know, and these are known to all that we run on.
        clock_gettime(CONTINUOUS_CLOCK).map_or(Duration::ZERO, Duration::from)
    }
}

/// AWS's time, as far as it is known. Cheap to clone; all clones share what was heard.
#[derive(Debug, Clone)]
pub struct Clock {
    machine: Arc<dyn Machine>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// What time it was on the clock that nobody sets.
    last: Option<(SystemTime, Duration)>,
    /// How often the time has had to be put right.
    corrections: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::of(This)
    }
}

impl Clock {
    /// The clock of a machine that AWS has not told the time yet.
    pub(crate) fn of(machine: impl Machine + 'static) -> Self {
        Self { machine: Arc::new(machine), heard: Arc::default() }
    }

    /// The time that AWS has, for all that is compared with what AWS or another machine says: AWS's time as it was last heard, and what
    /// has passed since, also while the machine slept and however its clock was set. This machine's own until AWS was heard.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.at(self.lock().last)
    }

    /// How long the machine has been running, sleep included, since a moment that is the same for all calls. Beside
    /// `std::time::Instant`, which on Linux stands still meanwhile, it tells that the machine has slept.
    #[must_use]
    pub fn continuous(&self) -> Duration {
        self.machine.continuous()
    }

    /// Takes note of AWS's time that was told to the millisecond, as the answer to `hello` tells it.
    pub fn heard(&self, time: SystemTime) {
        self.set(&mut self.lock(), time);
    }

    /// Takes note of the `Date` of an answer to a request that was under way for `took`. It has been that time at some moment between.
    pub(super) fn heard_date(&self, date: &str, took: Duration) {
        let Some(date) = DateTime::from_str(date, Format::HttpDate).ok() else { return };
        let Ok(date) = SystemTime::try_from(date) else { return };
        let mut heard = self.lock();
        let now = self.at(heard.last);
        let right = date <= now + INEXACT && now <= date + SECOND + took + INEXACT;
        match (right, heard.last) {
            (true, Some(_)) => {}
            // From here on this machine's clock may be set.
            (true, None) => self.set(&mut heard, now),
            (false, _) => self.set(&mut heard, date + (SECOND + took) / 2),
        }
    }

    /// How often the time has had to be put right by more than a few seconds. Who has compared times before has to do it again.
    pub(super) fn corrections(&self) -> u64 {
        self.lock().corrections
    }

    /// By how many seconds this machine's clock is ahead of AWS's; negative when it is behind, none before AWS was heard.
    #[must_use]
    pub fn ahead_s(&self) -> Option<i64> {
        let heard = self.lock().last;
        heard?;
        let (wall, now) = (self.machine.wall(), self.at(heard));
        let seconds = |length: Duration| (length + SECOND / 2).as_secs().cast_signed();
        Some(match wall.duration_since(now) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        })
    }

    /// What is wrong with this machine's clock, as a fragment such as `12 minutes behind`; none when it will do. What this program
    /// signs is right all the same.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let ahead = self.ahead_s().filter(|ahead| ahead.abs() > TOLERANCE_S)?;
        let minutes = (ahead.abs() + 30) / 60;
        Some(format!("{minutes} minutes {}", if ahead > 0 { "ahead" } else { "behind" }))
    }

    fn at(&self, heard: Option<(SystemTime, Duration)>) -> SystemTime {
        match heard {
            Some((time, then)) => time + self.machine.continuous().saturating_sub(then),
            None => self.machine.wall(),
        }
    }

    fn set(&self, heard: &mut Heard, time: SystemTime) {
        let before = self.at(heard.last);
        let off = time.duration_since(before).unwrap_or_else(|error| error.duration());
        if off > INEXACT {
            tracing::debug!(?off, ahead = before > time, "the time is put right");
            heard.corrections += 1;
        }
        heard.last = Some((time, self.machine.continuous()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

/// A time that never goes back, for the SDK's providers of credentials: some of them panic when it does.
#[derive(Debug)]
pub(super) struct Steady {
    clock: Clock,
    last: Mutex<SystemTime>,
}

impl Steady {
    pub(super) fn new(clock: Clock) -> Self {
        let last = Mutex::new(clock.now());
        Self { clock, last }
    }
}

impl TimeSource for Steady {
    fn now(&self) -> SystemTime {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = self.clock.now().max(*last);
        *last
    }
}

/// Clocks for tests.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// A machine whose clocks are set by hand.
    #[derive(Debug, Clone)]
    pub(crate) struct Fake(Arc<Mutex<(SystemTime, Duration)>>);

    impl Fake {
        pub(crate) fn new(wall: SystemTime) -> Self {
            Self(Arc::new(Mutex::new((wall, Duration::from_secs(1000)))))
        }

        /// Lets time pass on both clocks, as it does awake and asleep.
        pub(crate) fn pass(&self, time: Duration) {
            let mut clocks = self.0.lock().unwrap();
            clocks.0 += time;
            clocks.1 += time;
        }

        /// Somebody sets the wall clock.
        pub(crate) fn set_wall(&self, wall: SystemTime) {
            self.0.lock().unwrap().0 = wall;
        }
    }

    impl Machine for Fake {
        fn wall(&self) -> SystemTime {
            self.0.lock().unwrap().0
        }

        fn continuous(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fake::Fake, *};

    const DATE: &str = "Thu, 26 Nov 2026 10:00:00 GMT";
    const HOUR: Duration = Duration::from_secs(3600);

    /// The time of `DATE`.
    fn theirs() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_687_200)
    }

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn before_anything_was_heard_it_is_the_machines_own() {
        let machine = Fake::new(theirs() + HOUR);
        let clock = Clock::of(machine.clone());
        assert_eq!((clock.now(), clock.ahead_s(), clock.fault()), (theirs() + HOUR, None, None));
        machine.set_wall(theirs());
        assert_eq!(clock.now(), theirs());
        clock.heard_date("yesterday", Duration::ZERO);
        assert_eq!(clock.ahead_s(), None, "what is no date says nothing");
    }

    #[test]
    fn a_wrong_clock_is_noticed_and_made_up_for() {
        let behind = (theirs() - HOUR, Some("60 minutes behind"));
        for (wall, fault) in [behind, (theirs() + milliseconds(730_600), Some("12 minutes ahead"))] {
            let machine = Fake::new(wall);
            let clock = Clock::of(machine.clone());
            clock.heard_date(DATE, milliseconds(200));
            assert_eq!(clock.now(), theirs() + milliseconds(600), "the middle of what it can be");
            assert_eq!(clock.fault().as_deref(), fault);
            assert_eq!(clock.corrections(), 1);
            machine.pass(HOUR);
            assert_eq!(clock.now(), theirs() + HOUR + milliseconds(600));
            assert_eq!(clock.fault().as_deref(), fault);
        }
    }

    #[test]
    fn setting_the_wall_clock_changes_nothing_once_aws_was_heard() {
        for (set, fault) in [(theirs() + HOUR, "60 minutes ahead"), (theirs() - HOUR, "60 minutes behind")] {
            let machine = Fake::new(theirs() + milliseconds(300));
            let clock = Clock::of(machine.clone());
            clock.heard_date(DATE, milliseconds(100));
            assert_eq!((clock.now(), clock.fault()), (theirs() + milliseconds(300), None));
            machine.set_wall(set);
            assert_eq!(clock.now(), theirs() + milliseconds(300));
            assert_eq!(clock.fault().as_deref(), Some(fault));
            // It is set right again.
            machine.set_wall(theirs());
            assert_eq!((clock.fault(), clock.corrections()), (None, 0));
        }
    }

    #[test]
    fn what_was_told_exactly_is_not_blurred_by_dates() {
        let machine = Fake::new(theirs());
        let clock = Clock::of(machine.clone());
        clock.heard(theirs() + milliseconds(1_234));
        for took in [0, 100, 30_000] {
            clock.heard_date(DATE, milliseconds(took));
            assert_eq!(clock.now(), theirs() + milliseconds(1_234), "{took}");
        }
        // An answer that was long under way says what time it was then.
        machine.pass(milliseconds(8_000));
        clock.heard_date(DATE, milliseconds(8_100));
        assert_eq!((clock.now(), clock.corrections()), (theirs() + milliseconds(9_234), 0));
        clock.heard_date(DATE, milliseconds(100));
        assert_eq!((clock.now(), clock.corrections()), (theirs() + milliseconds(550), 1));
    }

    #[test]
    fn this_machines_continuous_clock_goes_on() {
        let clock = Clock::default();
        let before = clock.continuous();
        std::thread::sleep(milliseconds(20));
        assert!(clock.continuous() >= before + milliseconds(20));
    }

    #[test]
    fn a_steady_time_never_goes_back() {
        let machine = Fake::new(theirs());
        let steady = Steady::new(Clock::of(machine.clone()));
        machine.set_wall(theirs() - HOUR);
        assert_eq!(steady.now(), theirs());
        machine.set_wall(theirs() + HOUR);
        assert_eq!(steady.now(), theirs() + HOUR);
    }
}

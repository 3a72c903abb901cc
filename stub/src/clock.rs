//! AWS's time, as far as it is known. It refuses what was signed at another time, and `sst start` does not begin what it takes for old. The
//! clock of an environment may be wrong for a moment after it was frozen, so what answers say counts.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// An HTTP date has no fractions of a second, and clocks that are right are not all the same. What is not further off changes nothing.
const INEXACT_S: i64 = 2;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// By how many seconds the clock of this environment is behind AWS's.
    behind: AtomicI64,
}

impl Clock {
    /// What time it is.
    pub(crate) fn now(&self) -> SystemTime {
        self.from(SystemTime::now())
    }

    /// The moment in which something is signed and sent.
    pub(crate) fn moment(&self) -> Moment {
        Moment { sent: SystemTime::now(), behind: self.behind.load(Ordering::Relaxed) }
    }

    /// Takes note of the `Date` of an answer to what was sent then, and says whether that was signed at a time that was not AWS's. An answer
    /// can have been written at any time since it was asked for.
    pub(crate) fn hear(&self, date: Option<&str>, then: &Moment) -> bool {
        let Some(date) = date.and_then(seconds) else { return false };
        let [sent, now] =
            [then.sent, SystemTime::now()].map(|time| i64::try_from(epoch(time)).unwrap_or(i64::MAX));
        let behind = match date {
            early if early < sent - INEXACT_S => early - sent,
            late if late > now + INEXACT_S => late - now,
            _ => 0,
        };
        self.behind.store(behind, Ordering::Relaxed);
        behind.abs_diff(then.behind) > INEXACT_S.unsigned_abs()
    }

    fn from(&self, own: SystemTime) -> SystemTime {
        let behind = self.behind.load(Ordering::Relaxed);
        let by = Duration::from_secs(behind.unsigned_abs());
        let time = if behind < 0 { own.checked_sub(by) } else { own.checked_add(by) };
        time.unwrap_or(own)
    }
}

/// When something was sent.
pub(crate) struct Moment {
    /// By the environment's own clock.
    sent: SystemTime,
    /// What was known of that clock.
    behind: i64,
}

/// Seconds since 1970.
pub(crate) fn epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads a date as HTTP writes it, `Tue, 01 Dec 2026 00:05:19 GMT`.
fn seconds(date: &str) -> Option<i64> {
    let (_, date) = date.split_once(", ")?;
    let [day, month, year, time, "GMT"] = date.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let number = |text: &str, range: std::ops::RangeInclusive<i64>| {
        text.parse().ok().filter(|number| range.contains(number))
    };
    let (day, year) = (number(day, 1..=31)?, number(year, 1970..=9999)?);
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let of_day = number(hours, 0..=23)? * 3600 + number(minutes, 0..=59)? * 60 + number(seconds, 0..=60)?;
    // Years begin in March here, so that a leap day is the last one.
    let (year, month) = (year - i64::from(month < 2), (i64::try_from(month).ok()? + 10) % 12);
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 12:34:56 GMT", Some(1_709_210_096)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Tue, 31 Dec 2024 23:59:59 GMT", Some(1_735_689_599)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 9223372036854775807 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn the_time_is_what_answers_say_and_not_how_long_they_took() {
        let clock = Clock::default();
        let own = UNIX_EPOCH + Duration::from_secs(1_000_000);
        // What is slow may have been written at its beginning, or at its end.
        let then =
            |clock: &Clock| Moment { sent: SystemTime::now() - Duration::from_secs(20), ..clock.moment() };
        let first = then(&clock);
        let said = |ago: i64| {
            let time = i64::try_from(epoch(SystemTime::now())).unwrap() - ago;
            let rest = time % 86_400;
            let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60);
            (2026..2040)
                .flat_map(|year| MONTHS.iter().map(move |month| format!("{month} {year}")))
                .flat_map(|month| {
                    (1..=31).map(move |day| format!("Day, {day:02} {month}")).collect::<Vec<_>>()
                })
                .map(|date| format!("{date} {clock} GMT"))
                .find(|date| seconds(date) == Some(time))
                .unwrap()
        };
        for ago in [0, 10, 20] {
            assert!(!clock.hear(Some(&said(ago)), &then(&clock)));
            assert_eq!(clock.from(own), own);
        }
        assert!(clock.hear(Some(&said(80)), &then(&clock)));
        assert_eq!(epoch(clock.from(own)), 1_000_000 - 60);
        assert!(!clock.hear(Some(&said(80)), &then(&clock)), "it is known");
        assert!(clock.hear(Some(&said(80)), &first), "it was not known then");
        assert!(!clock.hear(Some("yesterday"), &first) && !clock.hear(None, &first));
        assert!(clock.hear(Some(&said(-600)), &then(&clock)));
        assert_eq!(epoch(clock.from(own)), 1_000_000 + 600);
        assert!(clock.hear(Some(&said(0)), &then(&clock)), "it was put right");
        assert_eq!(clock.from(own), own);
    }
}

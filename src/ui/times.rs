//! Times as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// A time in milliseconds since 1970, here: of today the time alone.
#[must_use]
pub fn clock(millis: u64) -> String {
    let zone = TimeZone::system();
    let at = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let Some(at) = at.map(|at| at.to_zoned_datetime(zone.clone())) else { return String::new() };
    let is_today = at.date() == Timestamp::now().to_zoned_datetime(zone).date();
    at.strftime(if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}

/// So many milliseconds: short ones to a tenth.
#[must_use]
pub fn milliseconds(milliseconds: f64) -> String {
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

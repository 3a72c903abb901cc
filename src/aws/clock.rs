//! Whether this machine's clock is right: AWS refuses what was signed at another time than its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};

/// AWS takes signatures that are up to five minutes off. What is more than this many seconds off will soon be.
const TOLERANCE_S: i64 = 240;

/// Compares the time of AWS's answers with this machine's. Cheap to clone; all clones share what was seen.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_s: Arc<Mutex<Option<i64>>>,
}

impl Clock {
    /// By how many seconds this machine was ahead at the last answer; negative when it was behind, none before the first answer.
    #[must_use]
    pub fn ahead_s(&self) -> Option<i64> {
        *self.ahead_s.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with this machine's clock, as a fragment such as `12 minutes behind`; none when it will do.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let ahead = self.ahead_s().filter(|ahead| ahead.abs() > TOLERANCE_S)?;
        let minutes = (ahead.abs() + 30) / 60;
        Some(format!("{minutes} minutes {}", if ahead > 0 { "ahead" } else { "behind" }))
    }

    fn see(&self, date: &str, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        if let Ok(theirs) = DateTime::from_str(date, Format::HttpDate) {
            *self.ahead_s.lock().unwrap_or_else(PoisonError::into_inner) = Some(now - theirs.secs());
        }
    }
}

#[dyn_dispatch_hint]
impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.see(date, SystemTime::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wrong_clock_is_noticed() {
        let clock = Clock::default();
        assert_eq!((clock.ahead_s(), clock.fault()), (None, None));
        let date = "Thu, 26 Nov 2026 10:00:00 GMT";
        let theirs = UNIX_EPOCH + Duration::from_secs(1_795_687_200);
        for (now, fault) in [
            (theirs + Duration::from_secs(3), None),
            (theirs + Duration::from_secs(730), Some("12 minutes ahead")),
            (theirs - Duration::from_secs(3600), Some("60 minutes behind")),
        ] {
            clock.see(date, now);
            assert_eq!(clock.fault().as_deref(), fault);
        }
        clock.see("yesterday", theirs);
        assert_eq!(clock.ahead_s(), Some(-3600), "what is no date says nothing");
    }
}

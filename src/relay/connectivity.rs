//! What the user is told of the connection: each change of its state, but not each of many.

use std::time::{Duration, Instant};

/// A connection that ends earlier after another one did has not lasted.
const LASTS: Duration = Duration::from_secs(10);

/// How many that have not lasted, one after the other, are told of.
const MOST: u32 = 2;

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Connectivity {
    /// Since when there is no connection, or none that lasts.
    lost: Option<Instant>,
    /// When there was one again.
    back: Option<Instant>,
    /// How many have not lasted, one after the other.
    brief: u32,
}

impl Connectivity {
    /// A connection was lost. What is to be said about that.
    pub(super) fn lost(&mut self, reason: &str, now: Instant) -> Option<String> {
        let lasted = self.back.take().is_none_or(|back| now.saturating_duration_since(back) >= LASTS);
        if self.lost.is_some() && !self.is_restless() {
            return None;
        }
        self.brief = if lasted { 0 } else { self.brief.saturating_add(1) };
        self.lost.get_or_insert(now);
        match self.brief {
            0..MOST => Some(format!("the connection to the cloud was lost ({reason}); connecting again")),
            MOST => Some(format!(
                "the connection to the cloud is lost again and again ({reason}); connecting again until it lasts"
            )),
            _ => None,
        }
    }

    /// There is one again, and stubs find it. Whether there was none, and how long, if that is to be said.
    pub(super) fn connected(&mut self, now: Instant) -> Option<Option<Duration>> {
        let lost = self.lost?;
        self.back.get_or_insert(now);
        if self.is_restless() {
            return Some(None);
        }
        self.lost = None;
        Some(Some(now.saturating_duration_since(lost)))
    }

    /// When it will have lasted, if that is to be said.
    pub(super) fn lasts_at(&self) -> Option<Instant> {
        self.back.filter(|_| self.is_restless()).map(|back| back + LASTS)
    }

    /// It has lasted. For how long none has.
    pub(super) fn lasted(&mut self, now: Instant) -> Option<Duration> {
        self.brief = 0;
        self.lost.take().map(|lost| now.saturating_duration_since(lost))
    }

    /// Whether they are lost again and again.
    fn is_restless(&self) -> bool {
        self.brief >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_of_a_few_losses_is_told() {
        let (mut told, mut now) = (Connectivity::default(), Instant::now());
        for _ in 0..5 {
            let text = told.lost("it was closed", now).expect("it is news");
            assert_eq!(text, "the connection to the cloud was lost (it was closed); connecting again");
            assert_eq!(told.lost("it was closed", now), None, "that is known");
            assert_eq!(told.connected(now + 2 * SECOND), Some(Some(2 * SECOND)));
            assert_eq!(told.connected(now + 3 * SECOND), None, "there was one");
            now += 13 * SECOND;
        }
    }

    #[test]
    fn of_many_it_is_told_once_and_when_one_lasts() {
        let (mut told, began) = (Connectivity::default(), Instant::now());
        let mut now = began;
        let mut said = Vec::new();
        for _ in 0..100 {
            said.extend(told.lost("it was closed", now));
            now += SECOND;
            let known = told.connected(now).expect("there was none");
            said.extend(known.map(|after| format!("after {after:?}")));
            now += SECOND;
        }
        let texts = ["was lost", "after 1s", "was lost", "after 1s", "is lost again and again"];
        assert_eq!(said.len(), texts.len(), "{said:?}");
        assert!(said.iter().zip(texts).all(|(said, text)| said.contains(text)), "{said:?}");
        let lasts_at = told.lasts_at().expect("it is to be said");
        assert_eq!(lasts_at, now - SECOND + LASTS);
        assert_eq!(told.lasted(lasts_at), Some(lasts_at - (began + 4 * SECOND)));
        assert_eq!((told.lasts_at(), told.connected(lasts_at)), (None, None));
        assert!(told.lost("x", lasts_at + SECOND).is_some_and(|text| text.contains("was lost (x)")));
    }
}

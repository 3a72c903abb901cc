//! What many events have: names, ARNs, times and ids.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::Origin;

/// AWS's documentation calls its account so.
const ACCOUNT: &str = "123456789012";

/// Of an event that comes from nowhere in particular.
const REGION: &str = "us-east-1";

/// An id as UUIDs are written. Always the same, so that a sample that was saved changes only where somebody has changed it.
pub(super) const ID: &str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef";

impl Origin<'_> {
    pub(super) fn account(&self) -> &str {
        self.trigger.map_or(ACCOUNT, |trigger| &trigger.account)
    }

    pub(super) fn region(&self) -> &str {
        self.trigger.map_or(REGION, |trigger| &trigger.region)
    }

    fn partition(&self) -> &str {
        sst_wire::partition(self.region()).name
    }

    /// What else is known of the trigger.
    pub(super) fn more(&self, name: &str) -> Option<&Value> {
        self.trigger?.more.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.more(name)?.as_str()
    }

    /// What the event comes from is called so: as CloudFormation says, else as the template does. Of a URL or an ARN that is the end.
    pub(super) fn name<'a>(&'a self, otherwise: &'a str) -> &'a str {
        let foreign = || self.text("arn").or_else(|| self.trigger?.name.as_deref());
        let known = self.physical_id.or_else(foreign).or_else(|| self.trigger?.logical_id.as_deref());
        let known = known.unwrap_or(otherwise);
        if known.starts_with("arn:") || known.contains("://") {
            known.rsplit(['/', ':']).next().unwrap_or(known)
        } else {
            known
        }
    }

    /// The ARN of something in the account and region of the event's origin.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition(), self.region(), self.account())
    }

    /// The ARN of what the event comes from: as it is known, or made of the service and what is in front of its name.
    pub(super) fn own_arn(&self, service: &str, before: &str, otherwise: &str) -> String {
        let known = self.physical_id.or_else(|| self.text("arn")).filter(|known| known.starts_with("arn:"));
        known.map_or_else(|| self.arn(service, &format!("{before}{}", self.name(otherwise))), str::to_owned)
    }

    /// The ARN of something that is in no region and no account, such as a bucket.
    pub(super) fn global_arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:::{resource}", self.partition())
    }

    pub(super) fn millis(&self) -> i64 {
        self.at.as_millisecond()
    }

    /// As most services write it: `2026-11-30T12:00:00Z`.
    pub(super) fn time(&self) -> String {
        self.written("%Y-%m-%dT%H:%M:%SZ")
    }

    /// With milliseconds.
    pub(super) fn exact_time(&self) -> String {
        self.written("%Y-%m-%dT%H:%M:%S.%3fZ")
    }

    /// In a form of `strftime`.
    pub(super) fn written(&self, form: &str) -> String {
        self.at.to_zoned_datetime(TimeZone::UTC).strftime(form).to_string()
    }
}

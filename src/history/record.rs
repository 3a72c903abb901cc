//! A call as others see it: on disk, and in answers of the session's API. Nothing in it is in clear that looks like a secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// What a list says of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// The request id, with which it was delivered.
    pub id: String,
    /// The function's id.
    pub function: String,
    /// Where its event comes from, as the terminal says it.
    pub source: String,
    /// When it arrived, in milliseconds since 1970.
    pub at: u64,
    /// What has become of it.
    pub status: Status,
    /// Where a debugger has paused it: file and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// How much of the function's time was left when it was paused, in milliseconds. Its clock stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// How long it took, in milliseconds, from its arrival to its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// How much of that it waited until a process had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<f64>,
    /// Whether it was called from this machine, rather than in the cloud.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Whose event it has once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// What it may have in common with other calls: its trace, and the messages that it was called with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<String>,
    /// The result in a few words, e.g. the status code of an HTTP response.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The type of the error with which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
}

/// What has become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// It has no outcome yet.
    Running,
    /// A debugger has stopped it.
    Paused,
    /// It has returned.
    Returned,
    /// It has failed.
    Failed,
}

/// All that is known of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    #[serde(flatten)]
    pub summary: Summary,
    /// With what it was called.
    pub event: Stored,
    /// What it has returned, or the body of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Stored>,
    /// The error as the terminal shows it, with its stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it has written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Line>,
    /// How many lines more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logs_left_out: usize,
    /// The trace that it belongs to, as X-Ray's header names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A line that a function has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// In milliseconds since 1970.
    pub at: u64,
    /// Without a line break.
    pub text: String,
}

/// An event or a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// What it says. If nothing is masked, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same in base64, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// How many values in it are masked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub masked: usize,
    /// How long it is in all where only a part of it is kept, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Stored {
    /// It as it was, if that is known.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        if self.masked > 0 || self.length.is_some() {
            return None;
        }
        match (&self.text, &self.base64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => STANDARD.decode(base64).ok(),
            (None, None) => None,
        }
    }
}

/// Which calls are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// The function's id, or the end of it.
    pub function: Option<String>,
    /// Only those that have failed.
    pub failed: bool,
    /// How many at most.
    pub limit: usize,
}

impl Default for Query {
    /// As many as a screen takes.
    fn default() -> Self {
        Self { function: None, failed: false, limit: 20 }
    }
}

impl Query {
    /// Whether a call is wanted.
    pub(super) fn wants(&self, call: &Summary) -> bool {
        self.function.as_ref().is_none_or(|name| is_named(&call.function, name))
            && (!self.failed || call.status == Status::Failed)
    }
}

/// Whether a function's id is what somebody calls it, or ends so.
pub(crate) fn is_named(function: &str, name: &str) -> bool {
    function == name || function.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

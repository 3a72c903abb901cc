//! Changing a function step by step, each decided by how it is found: so it does not matter which of them were done before, by whom, and
//! whether anybody has heard of it.

use serde_json::Value;

use super::{
    configuration::{Settings, text},
    lambda::{CodeAt, Function},
    lease::{Lease, Leases, Taken},
    refused::{UNANSWERED, pauses},
};
use crate::error::{Error, Kind, Result};

/// More updates than it takes. Whoever needs them all is not heard.
const MOST_UPDATES: usize = 6;

/// What is to be done to a function next.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    Done,
    /// Some of its settings become these.
    Set(Settings),
    /// Its code becomes this.
    Code(CodeAt),
}

/// A lease of ours.
#[derive(Debug, Clone)]
pub(super) struct Held<'a> {
    /// The table.
    pub leases: Leases<'a>,
    /// As it was written last.
    pub lease: Lease,
}

impl Held<'_> {
    /// Writes it again, so that it is ours for another while, or is changed.
    ///
    /// # Errors
    /// When it is not ours any more.
    pub(super) async fn renew(&self) -> Result<()> {
        match self.leases.take(&self.lease, &self.lease.session).await? {
            Taken::Ours(_) => Ok(()),
            Taken::Others(other) => Err(taken(&self.lease.function, other.as_ref())),
        }
    }
}

/// What is said where somebody else has the lease of a function.
pub(super) fn taken(function: &str, by: Option<&Lease>) -> Error {
    let message = match by {
        Some(lease) => format!("{} has `{function}` attached now", lease.owner),
        None => format!("`{function}` has been given back meanwhile, and is not attached any more"),
    };
    Error::new(Kind::Cloud, message)
}

/// Does what `next` says, until that is nothing. Returns the configuration that it was said of, or none when the function has gone.
///
/// # Errors
/// When `next` or Lambda refuses, for good or for longer than things take that pass; when the lease is lost.
pub(super) async fn bring(
    function: &Function<'_>,
    held: &Held<'_>,
    next: impl Fn(&Value) -> Result<Step>,
) -> Result<Option<Value>> {
    let mut pauses = pauses();
    let (mut updates, mut unanswered, mut may_be_ours) = (0, 0, false);
    loop {
        let Some(configuration) = function.at_rest().await? else { return Ok(None) };
        if may_be_ours && text(&configuration, "LastUpdateStatus") == "Failed" {
            return Err(failed(function.name, &configuration));
        }
        let step = next(&configuration)?;
        if matches!(step, Step::Done) {
            return Ok(Some(configuration));
        }
        // Nothing is changed by one who has slept for so long that others have given the function back.
        held.renew().await?;
        let revision = text(&configuration, "RevisionId");
        let sent = match &step {
            Step::Set(settings) => function.set(settings, revision).await,
            Step::Code(code) => function.set_code(code, revision).await,
            Step::Done => Ok(()),
        };
        let refused = match sent {
            Ok(()) if updates < MOST_UPDATES => {
                (updates, may_be_ours) = (updates + 1, true);
                continue;
            }
            Ok(()) => {
                let message = format!("`{}` is not as it was set, although Lambda has agreed", function.name);
                return Err(Error::new(Kind::Cloud, message));
            }
            Err(refused) if refused.is_missing() => return Ok(None),
            Err(refused) => refused,
        };
        // Without an answer it may have been done.
        may_be_ours |= refused.code.is_empty();
        unanswered += usize::from(refused.code.is_empty());
        match pauses.next().filter(|_| refused.may_pass && unanswered < UNANSWERED) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(refused.because(format!("`{}` cannot be changed", function.name))),
        }
    }
}

/// Lambda has taken an update, and not managed it.
fn failed(name: &str, configuration: &Value) -> Error {
    let (code, why) =
        (text(configuration, "LastUpdateStatusReasonCode"), text(configuration, "LastUpdateStatusReason"));
    Error::new(Kind::Cloud, format!("an update of `{name}` has failed")).detail(format!("{code}: {why}"))
}

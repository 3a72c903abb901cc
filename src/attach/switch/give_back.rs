//! Giving a function back: what is the stub's becomes its own again, and what others have changed meanwhile stays.

use serde_json::Value;

use super::{
    Outcome, Switching,
    configuration::{back, changes, other_differences, settings, text},
    lambda::Function,
    lease::{Lease, Leases, Taken},
    policies::{Role, role_name},
    snapshot::{Bucket, SNAPSHOT, Snapshot, key},
    steps::{Held, Step, bring},
};
use crate::{
    attach::TAG,
    error::{Error, Kind, Result},
};

impl Switching {
    /// Gives a function back by its lease, which `session` takes for that from whoever has it.
    pub(super) async fn give_back_one(&self, lease: &Lease, session: &str) -> Outcome {
        match self.try_to_give_back(lease, session).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(match error.hint {
                Some(_) => error,
                None => error.hint("`sst attach --restore` tries again"),
            }),
        }
    }

    async fn try_to_give_back(&self, lease: &Lease, session: &str) -> Result<Outcome> {
        let leases = Leases::new(&self.aws, &self.debug_stack);
        let ours = Lease { session: session.to_owned(), ..lease.clone() };
        let lease = match leases.take(&ours, &lease.session).await? {
            Taken::Ours(lease) => lease,
            Taken::Others(other) => return Ok(Outcome::Elsewhere { by: other.map(|other| other.owner) }),
        };
        let held = Held { leases, lease };
        // What follows it may be all that is left to do, and nothing is changed of one that has no tag.
        let is_own = held.lease.given || !held.lease.tagged;
        let outcome = if is_own { Outcome::Restored } else { self.restored(&held).await? };
        let given = Held { lease: Lease { given: true, ..held.lease.clone() }, ..held };
        given.renew().await?;
        self.take_tag_off(&given.lease).await?;
        self.take_policy_off(&given).await?;
        let (function, origin) = (&given.lease.function, &given.lease.origin);
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        let removed = bucket.remove(function, origin).await;
        removed
            .map_err(|refused| refused.because(format!("the snapshot of `{function}` cannot be removed")))?;
        leases.remove(&given.lease).await?;
        Ok(outcome)
    }

    /// The function itself.
    async fn restored(&self, held: &Held<'_>) -> Result<Outcome> {
        let name = &held.lease.function;
        let function = Function::new(&self.aws, name);
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        let key = key(name, &held.lease.origin, SNAPSHOT);
        let Some(snapshot) = bucket.snapshot(name, &key).await? else {
            return self.without_snapshot(&function).await;
        };
        if bring(&function, held, |configuration| Ok(next(&snapshot, configuration))).await?.is_none() {
            return Ok(Outcome::Gone);
        }
        let others = match function.look().await {
            Ok(Some(look)) => of_others(&snapshot, &look),
            Ok(None) => return Ok(Outcome::Gone),
            Err(refused) => return Err(refused.because(format!("cannot see whether `{name}` is as it was"))),
        };
        Ok(if others.is_empty() { Outcome::Restored } else { Outcome::RestoredAround { others } })
    }

    /// A function of whose own nothing is known, which is well if it is there.
    async fn without_snapshot(&self, function: &Function<'_>) -> Result<Outcome> {
        let Some(configuration) = function.at_rest().await? else { return Ok(Outcome::Gone) };
        if settings(&configuration)["Environment"].get(sst_wire::CONFIG_VARIABLE).is_none() {
            return Ok(Outcome::Restored);
        }
        let message = format!("`{}` is a stub, and its snapshot is not there any more", function.name);
        Err(Error::new(Kind::Cloud, message).hint("deploy it once more by the tool that has deployed it"))
    }

    async fn take_tag_off(&self, lease: &Lease) -> Result<()> {
        match Function::new(&self.aws, &lease.function).untag(&lease.arn).await {
            Err(refused) if !refused.is_missing() => {
                Err(refused.because(format!("cannot take the tag `{TAG}` off `{}`", lease.function)))
            }
            _ => Ok(()),
        }
    }

    /// Takes the policy of the stubs off the role, if it is from us and no other stub needs it.
    async fn take_policy_off(&self, held: &Held<'_>) -> Result<()> {
        let (Some(policy), true) = (&self.debug_stack.stub_policy, held.lease.policy) else { return Ok(()) };
        let all = held.leases.all().await?;
        let mut others = all.iter().filter(|lease| lease.function != held.lease.function);
        if others.any(|lease| lease.role == held.lease.role && !lease.given) {
            return Ok(());
        }
        let role = Role { aws: &self.aws, name: role_name(&held.lease.role), policy };
        // It may never have come to that, e.g. because nobody may attach policies; then nobody may take them off either.
        if role.has_policy().await? == Some(false) {
            return Ok(());
        }
        let detached = role.detach().await;
        detached.map_err(|refused| {
            refused.because(format!("cannot take the policy of the stubs off the role `{}`", role.name))
        })
    }
}

/// What is to be done to a function next, so that it has its own back.
pub(super) fn next(snapshot: &Snapshot, configuration: &Value) -> Step {
    let now = settings(configuration);
    let wanted = back(&snapshot.own, &snapshot.stub, &now).settings;
    // What Lambda has not managed it tells all the same, so it is to be set once more.
    let has_failed = text(configuration, "LastUpdateStatus") == "Failed";
    let from = if has_failed { &snapshot.stub } else { &now };
    let missing = changes(from, &wanted);
    if !missing.is_empty() {
        return Step::Set(missing);
    }
    match text(configuration, "CodeSha256") == snapshot.stub_code {
        true => Step::Code(snapshot.code.clone()),
        false => Step::Done,
    }
}

/// What of a function that has its own back is not as it was, because others have changed it: names of fields.
fn of_others(snapshot: &Snapshot, look: &Value) -> Vec<String> {
    let configuration = look.get("Configuration").unwrap_or(&Value::Null);
    let mut others = changed_by_others(snapshot, configuration);
    others.extend(other_differences(&snapshot.configuration, configuration));
    if snapshot.differs_in_tags(look) {
        others.push("Tags".to_owned());
    }
    if snapshot.differs_in_concurrency(look) {
        others.push("Concurrency".to_owned());
    }
    others
}

/// What others have changed of what a stub has otherwise.
pub(super) fn changed_by_others(snapshot: &Snapshot, configuration: &Value) -> Vec<String> {
    let mut others = back(&snapshot.own, &snapshot.stub, &settings(configuration)).others;
    let code = text(configuration, "CodeSha256");
    if code != snapshot.own_code && code != snapshot.stub_code {
        others.push("Code".to_owned());
    }
    others
}

//! Putting a stub in the place of a function.

use serde_json::Value;
use sst_wire::{EXTRA_S, StubConfig};

use super::{
    Attached, Outcome, Switching, Wanted,
    configuration::{Settings, changes, of_stub, settings, text},
    lambda::{CodeAt, Function},
    lease::{Lease, Leases, Taken},
    policies::{Role, role_name},
    refusals::{Facts, room},
    snapshot::{Bucket, CODE, Parts, SNAPSHOT, Snapshot, architecture, key, lambda_sha256, stub_key},
    steps::{Held, Step, bring, taken},
};
use crate::{
    app::LONGEST_TIMEOUT_S,
    attach::{STAGE, TAG},
    error::{Error, Kind, Result},
    stub_package::Architecture,
};

/// What Lambda says of a function that may run for longer than its queue keeps a message from others.
const QUEUE: &str = "visibility timeout";

impl Switching {
    /// Attaches a function, whoever has it attached now.
    pub(super) async fn attach_one(&self, wanted: &Wanted, session: &str) -> Result<Attached> {
        let name = &wanted.deployed.name;
        let lease = Leases::new(&self.aws, &self.debug_stack).of(name).await?;
        if let Some(lease) = lease
            && let Some(attached) = self.take_over(&lease, session).await?
        {
            return Ok(attached);
        }
        self.attach_anew(wanted, session).await
    }

    /// Takes a stub over as it is. None where there is none any more: what somebody has left half done is undone.
    async fn take_over(&self, lease: &Lease, session: &str) -> Result<Option<Attached>> {
        let function = Function::new(&self.aws, &lease.function);
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        let key = key(&lease.function, &lease.origin, SNAPSHOT);
        let snapshot = if lease.given { None } else { bucket.snapshot(&lease.function, &key).await? };
        if let Some(snapshot) = snapshot
            && let Some(configuration) = function.at_rest().await?
            && is_stub(&snapshot, &configuration)
        {
            let leases = Leases::new(&self.aws, &self.debug_stack);
            let since_s = leases.now();
            let (owner, home) = (self.owner.clone(), self.home.clone());
            let ours = Lease { owner, home, since_s, session: session.to_owned(), ..lease.clone() };
            let lease_now = match leases.take(&ours, &lease.session).await? {
                Taken::Ours(lease) => lease,
                Taken::Others(other) => return Err(taken(&lease.function, other.as_ref())),
            };
            let is_others = lease.live && lease.home != self.home;
            let taken_over_from = is_others.then(|| lease.owner.clone());
            return Ok(Some(Attached { lease: lease_now, snapshot, taken_over_from, notices: Vec::new() }));
        }
        if lease.live && lease.home != self.home {
            let message = format!("{} is attaching `{}`, or giving it back", lease.owner, lease.function);
            return Err(Error::new(Kind::Cloud, message).hint("try again in a moment"));
        }
        match self.give_back_one(lease, session).await {
            Outcome::Failed(error) => Err(error),
            Outcome::Elsewhere { by } => {
                let by = by.unwrap_or("somebody else".to_owned());
                Err(Error::new(Kind::Cloud, format!("{by} is giving `{}` back", lease.function)))
            }
            Outcome::Restored | Outcome::RestoredAround { .. } | Outcome::Gone => Ok(None),
        }
    }

    async fn attach_anew(&self, wanted: &Wanted, session: &str) -> Result<Attached> {
        let name = &wanted.deployed.name;
        let function = Function::new(&self.aws, name);
        function.at_rest().await?;
        let policy = self.policy()?;
        let gone = || Error::new(Kind::Usage, format!("there is no function `{name}`"));
        let facts = Facts::gather(&function, policy).await?.ok_or_else(gone)?;
        if let Some(reason) = facts.refusal(wanted, self.rules()) {
            return Err(refused(name, &reason));
        }
        let own = settings(facts.configuration());
        let (stub, stub_code) = (self.stub(name, &own, true), self.stub_code(facts.configuration()));
        if let Some(reason) = room(&own, &stub) {
            return Err(refused(name, &reason));
        }
        let (code, source) = (key(name, session, CODE), facts.look.get("Code").cloned().unwrap_or_default());
        let source_key = Some(text(&source, "SourceKMSKeyArn").to_owned()).filter(|arn| !arn.is_empty());
        let code =
            CodeAt { bucket: self.debug_stack.bucket.clone(), key: code, source_kms_key_arn: source_key };
        let snapshot = Snapshot::new(
            &facts.look,
            own,
            Parts {
                stub: &stub,
                stub_code: &stub_code,
                policy,
                event_invoke_config: facts.event_invoke_config.as_ref(),
                code: &code,
            },
        );
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        let kept = async {
            bucket.keep_code(name, text(&source, "Location"), &snapshot.own_code, &code.key).await?;
            bucket.keep(&key(name, session, SNAPSHOT), &snapshot).await?;
            self.lease(&snapshot, session).await
        };
        let lease = match kept.await {
            Ok(lease) => lease,
            Err(error) => {
                // Nothing of the function has been changed, so nobody needs it.
                if let Err(refused) = bucket.remove(name, session).await {
                    tracing::debug!(function = %name, refused = refused.text, "what was kept stays");
                }
                return Err(error);
            }
        };
        let mut held = Held { leases: Leases::new(&self.aws, &self.debug_stack), lease };
        match self.switch(&function, &mut held, snapshot).await {
            Ok(snapshot) => {
                let notices = facts.notices();
                Ok(Attached { lease: held.lease, snapshot, taken_over_from: None, notices })
            }
            Err(error) => Err(self.undone(&held, error, session).await),
        }
    }

    /// The lease of a function that is about to become a stub. It says whether the role's policy is from us before that is there.
    async fn lease(&self, snapshot: &Snapshot, session: &str) -> Result<Lease> {
        let leases = Leases::new(&self.aws, &self.debug_stack);
        let role_arn = text(&snapshot.configuration, "Role");
        let role = Role { aws: &self.aws, name: role_name(role_arn), policy: &snapshot.policy };
        let has_policy = role.has_policy().await?;
        // Those that it is from have it in their leases before it is there, so they are looked for after it.
        let of_role = |lease: &Lease| lease.role == role_arn && lease.policy;
        let is_ours = has_policy == Some(false) || leases.all().await?.iter().any(of_role);
        let lease = Lease {
            function: snapshot.function.clone(),
            owner: self.owner.clone(),
            home: self.home.clone(),
            since_s: leases.now(),
            until_s: 0,
            live: true,
            session: session.to_owned(),
            origin: session.to_owned(),
            arn: snapshot.arn.clone(),
            role: role_arn.to_owned(),
            tagged: false,
            policy: is_ours,
            given: false,
        };
        match leases.take(&lease, "").await? {
            Taken::Ours(lease) => Ok(lease),
            Taken::Others(other) => Err(taken(&snapshot.function, other.as_ref())),
        }
    }

    /// Changes the function, which can be given back from here on.
    async fn switch(
        &self,
        function: &Function<'_>,
        held: &mut Held<'_>,
        mut snapshot: Snapshot,
    ) -> Result<Snapshot> {
        let name = function.name;
        let (bucket, key) = (&self.debug_stack.bucket, key(name, &held.lease.session, SNAPSHOT));
        let tagged = function.tag(&snapshot.arn, &format!("s3://{bucket}/{key}")).await;
        tagged.map_err(|refused| refused.because(format!("cannot give `{name}` the tag `{TAG}`")))?;
        // It is written before the first update.
        held.lease.tagged = true;
        let role = Role { aws: &self.aws, name: role_name(&held.lease.role), policy: &snapshot.policy };
        if role.has_policy().await? != Some(true) {
            role.attach(name, &self.debug_stack).await?;
        }
        let mut put = self.bring_stub(function, held, &snapshot).await;
        if let Err(error) = &put
            && error.detail.as_deref().is_some_and(|detail| detail.contains(QUEUE))
            && snapshot.stub["Timeout"] != snapshot.own["Timeout"]
        {
            // The queue allows its function no more time than it has.
            snapshot.stub = self.stub(name, &snapshot.own, false);
            Bucket { aws: &self.aws, name: bucket }.keep(&key, &snapshot).await?;
            put = self.bring_stub(function, held, &snapshot).await;
        }
        match put? {
            Some(_) => Ok(snapshot),
            None => Err(Error::new(Kind::Cloud, format!("`{name}` has been deleted meanwhile"))),
        }
    }

    async fn bring_stub(
        &self,
        function: &Function<'_>,
        held: &Held<'_>,
        snapshot: &Snapshot,
    ) -> Result<Option<Value>> {
        let key = stub_key(&snapshot.stub_code);
        let code = CodeAt { bucket: self.debug_stack.bucket.clone(), key, source_kms_key_arn: None };
        bring(function, held, |configuration| next(snapshot, &code, configuration)).await
    }

    /// Undoes what has been done to a function that cannot be attached. Returns why, and what has become of that.
    async fn undone(&self, held: &Held<'_>, error: Error, session: &str) -> Error {
        let name = &held.lease.function;
        let left = match self.give_back_one(&held.lease, session).await {
            Outcome::Failed(undoing) => format!(
                "`{name}` cannot be given its own back either: {}{}\n`sst attach --restore` tries again",
                undoing.message,
                undoing.detail.map(|detail| format!(": {detail}")).unwrap_or_default()
            ),
            Outcome::RestoredAround { others } => format!(
                "`{name}` has its own back, around what others have changed meanwhile: {}",
                others.join(", ")
            ),
            Outcome::Restored | Outcome::Gone | Outcome::Elsewhere { .. } => return error,
        };
        let detail = error.detail.as_deref().map(|detail| format!("{detail}\n\n")).unwrap_or_default();
        error.detail(format!("{detail}{left}"))
    }

    /// The settings of a function's stub. `longer` says whether it has more time than the function.
    fn stub(&self, function: &str, own: &Settings, longer: bool) -> Settings {
        let own_s = own["Timeout"].as_u64().unwrap_or_default();
        let (timeout_s, told) = match longer {
            _ if !longer => (own_s, None),
            _ if self.increase_timeout => (LONGEST_TIMEOUT_S, None),
            _ => ((own_s + EXTRA_S).min(LONGEST_TIMEOUT_S), Some(own_s)),
        };
        let debug = &self.debug_stack;
        let config = StubConfig {
            v: sst_wire::VERSION,
            function: function.to_owned(),
            stage: STAGE.to_owned(),
            endpoint: debug.endpoint.clone(),
            management: debug.management.clone(),
            table: debug.table.clone(),
            bucket: debug.bucket.clone(),
            region: self.aws.region.clone(),
            timeout_s: told.filter(|own_s| *own_s < timeout_s),
            attached: true,
        };
        of_stub(own, &serde_json::to_string(&config).unwrap_or_default(), timeout_s)
    }

    /// The SHA-256 of the code of a function's stub, as Lambda writes it.
    fn stub_code(&self, configuration: &Value) -> String {
        let named = Architecture::named(architecture(configuration)).unwrap_or(Architecture::X86_64);
        lambda_sha256(&self.stubs.of(named).sha256)
    }

    /// Puts the code of stubs into the bucket, where that is not there.
    pub(super) async fn keep_stubs(&self) -> Result<()> {
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        for package in self.stubs.all() {
            let key = stub_key(&lambda_sha256(&package.sha256));
            if bucket.has(&key).await {
                continue;
            }
            let cannot = || format!("the stub `{}` cannot be read", package.path);
            let bytes = fs_err::tokio::read(&package.path).await;
            let bytes = bytes.map_err(|error| Error::new(Kind::Environment, cannot()).detail(error))?;
            let put = bucket.put(&key, bytes).await;
            put.map_err(|refused| refused.because("the code of the stubs cannot be uploaded"))?;
        }
        Ok(())
    }
}

/// What is to be done to a function next, so that it becomes a stub.
fn next(snapshot: &Snapshot, stub: &CodeAt, configuration: &Value) -> Result<Step> {
    let now = settings(configuration);
    let code = text(configuration, "CodeSha256");
    if is_stub(snapshot, configuration) {
        Ok(Step::Done)
    } else if now == snapshot.own && code == snapshot.own_code {
        Ok(Step::Set(changes(&now, &snapshot.stub)))
    } else if now == snapshot.stub && code == snapshot.own_code {
        Ok(Step::Code(stub.clone()))
    } else {
        let message = format!("somebody has changed `{}` while it was attached", snapshot.function);
        Err(Error::new(Kind::Cloud, message).hint("try again when that is done"))
    }
}

/// Whether a function is the stub of its snapshot, and nothing else.
pub(super) fn is_stub(snapshot: &Snapshot, configuration: &Value) -> bool {
    settings(configuration) == snapshot.stub && text(configuration, "CodeSha256") == snapshot.stub_code
}

/// What is said of a function that is left alone.
fn refused(name: &str, reason: &str) -> Error {
    Error::new(Kind::Usage, format!("`{name}` cannot be attached: {reason}"))
}

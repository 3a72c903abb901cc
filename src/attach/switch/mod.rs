//! Stubs in the place of functions that are deployed, and these again in theirs.
//!
//! ```text
//! look ─→ refuse │ code and snapshot into the bucket ─→ lease ─→ tag ─→ policy ─→ settings ─→ code
//!                                   give back: settings ─→ code ─→ look ─→ tag ─→ policy ─→ bucket ─→ lease
//! ```
//!
//! Each step may be the last one before the program ends: what has been done is found by looking, and whoever gives the function back goes on
//! from there. What others change meanwhile is theirs, and stays.

mod configuration;
mod give_back;
mod janitor;
mod lambda;
mod lease;
mod policies;
mod put;
mod refusals;
mod refused;
mod snapshot;
mod steps;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use self::{
    configuration::text,
    give_back::changed_by_others,
    lambda::Function,
    lease::{Leases, Taken},
    refusals::{Facts, Rules},
    snapshot::{Bucket, SNAPSHOT, Snapshot, key},
};
pub use self::{janitor::template, lease::Lease};
use super::Deployed;
use crate::{
    aws::Aws,
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
    stub_package::Stubs,
    ui::Ui,
};

/// How many functions are changed at the same time. Lambda takes few changes in a second.
const PARALLEL: usize = 8;

/// How long a function has to stay as it is after somebody has deployed it, before it is given back around that: deployments change settings
/// and code one after the other.
const QUIET: Duration = Duration::from_secs(5);

/// What switching needs to know.
#[derive(Debug, Clone)]
pub struct Switching {
    /// The account and the region of the functions.
    pub aws: Aws,
    /// The debug stack of all that are attached there: [`template`].
    pub debug_stack: DebugStack,
    /// The code of the stubs.
    pub stubs: Stubs,
    /// Who this is, e.g. `alice@laptop`.
    pub owner: String,
    /// Tells the project's directory of one user on one machine from others.
    pub home: String,
    /// Gives every stub 900 s.
    pub increase_timeout: bool,
    /// Whether functions are meant that look like those of production.
    pub yes_production: bool,
    /// The terminal.
    pub ui: Ui,
}

/// A function that is to be attached.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The function.
    pub deployed: Deployed,
    /// The stage that it belongs to, where that is known.
    pub stage: Option<String>,
    /// The name of its CloudFormation stack, or what serves as one.
    pub stack: Option<String>,
}

/// A function that is attached by us.
#[derive(Debug, Clone)]
pub struct Attached {
    lease: Lease,
    snapshot: Snapshot,
    /// Who had it attached until now, if that was somebody else.
    pub taken_over_from: Option<String>,
    /// What the user should know of it, one fragment each.
    pub notices: Vec<String>,
}

impl Attached {
    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.lease.function
    }

    /// The function without its stub: what runs here.
    #[must_use]
    pub fn original(&self) -> Deployed {
        self.snapshot.deployed()
    }
}

/// What would become of a function that is to be attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prospect {
    /// Why it is left alone, if it is.
    pub refusal: Option<String>,
    /// What the user should know of it, one fragment each.
    pub notices: Vec<String>,
}

/// What has happened to a function while it was attached. It is not attached by us any more.
#[derive(Debug)]
pub enum Change {
    /// Somebody else has attached it.
    TakenOver {
        /// Who.
        by: String,
    },
    /// Somebody has given it back.
    GivenBack,
    /// Somebody has deployed it, and it was given back around that.
    Deployed {
        /// What was changed: names of fields.
        what: Vec<String>,
        /// What giving it back has come to.
        outcome: Outcome,
    },
    /// It was deleted.
    Gone,
}

/// What giving a function back has come to.
#[derive(Debug)]
pub enum Outcome {
    /// It is as it was, field by field.
    Restored,
    /// It is as it was, but for what others have changed meanwhile.
    RestoredAround {
        /// What that is: names of fields.
        others: Vec<String>,
    },
    /// It was deleted meanwhile.
    Gone,
    /// Somebody else has it attached, or is giving it back.
    Elsewhere {
        /// Who; none where it has been given back already.
        by: Option<String>,
    },
    /// It has not all of its own back. Its lease and its snapshot stay.
    Failed(Error),
}

/// What has to be known to tell what would become of a function, before anything is changed in the account.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The account and the region of the functions.
    pub aws: &'a Aws,
    /// The debug stack of all that are attached there, if there is one yet.
    pub debug_stack: Option<&'a DebugStack>,
    /// The code of the stubs.
    pub stubs: &'a Stubs,
    /// As that of [`Switching`].
    pub home: &'a str,
    /// Whether functions are meant that look like those of production.
    pub yes_production: bool,
}

impl Asking<'_> {
    /// What would become of a function.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when that is not known, [`Kind::Usage`] when there is no such function.
    pub async fn prospect(&self, wanted: &Wanted) -> Result<Prospect> {
        let name = &wanted.deployed.name;
        let lease = match self.debug_stack {
            Some(stack) => Leases::new(self.aws, stack).of(name).await?,
            None => None,
        };
        if let Some(lease) = lease {
            let is_others = lease.live && lease.home != self.home;
            let notice = is_others.then(|| format!("{} has `{name}` attached, and loses it", lease.owner));
            return Ok(Prospect { refusal: None, notices: notice.into_iter().collect() });
        }
        // Which policy its role gets does not matter yet.
        let facts = Facts::gather(&Function::new(self.aws, name), "").await?;
        let gone = || Error::new(Kind::Usage, format!("there is no function `{name}`"));
        let rules = rules(self.aws, self.stubs, self.yes_production);
        let facts = facts.ok_or_else(gone)?;
        Ok(Prospect { refusal: facts.refusal(wanted, rules), notices: facts.notices() })
    }
}

impl Switching {
    /// Attaches functions, side by side. Of one that cannot be attached nothing is changed, or what was has been undone.
    pub async fn attach(&self, wanted: &[Wanted]) -> Vec<(String, Result<Attached>)> {
        let session = Uuid::new_v4().to_string();
        let (watched, kept) = tokio::join!(self.watch(), self.keep_stubs());
        if let Err(error) = kept {
            let name = |wanted: &Wanted| wanted.deployed.name.clone();
            let same = |error: &Error| Error {
                hint: error.hint.clone(),
                detail: error.detail.clone(),
                ..Error::new(error.kind, &error.message)
            };
            return wanted.iter().map(|wanted| (name(wanted), Err(same(&error)))).collect();
        }
        let attaching = stream::iter(wanted.to_vec()).map(|wanted| {
            let session = session.clone();
            async move {
                let attached = self.attach_one(&wanted, &session).await;
                (wanted.deployed.name, attached)
            }
        });
        let all: Vec<_> = attaching.buffered(PARALLEL).collect().await;
        // It may have stopped watching in between, when there was nothing to watch.
        let watched =
            watched.and(if all.iter().any(|(_, one)| one.is_ok()) { self.watch().await } else { Ok(()) });
        if let Err(reason) = watched {
            self.ui.warning(format!(
                "if this machine goes down, nobody gives the functions their own code back before `sst attach --restore` does: {reason}"
            ));
        }
        all
    }

    /// Renews what is attached, and looks whether it still is. To be called every minute. Tells of those that have changed; what is not
    /// known counts as unchanged.
    pub async fn renew(&self, attached: &[Attached]) -> Vec<(String, Change)> {
        let renewing = stream::iter(attached.to_vec()).map(|attached| async move {
            let change = self.renew_one(&attached).await.unwrap_or_else(|error| {
                tracing::debug!(function = attached.name(), %error, detail = error.detail, "renew");
                None
            });
            change.map(|change| (attached.lease.function, change))
        });
        let all: Vec<_> = renewing.buffered(PARALLEL).collect().await;
        all.into_iter().flatten().collect()
    }

    /// Gives functions back that are attached by us.
    pub async fn give_back(&self, attached: &[Attached]) -> Vec<(String, Outcome)> {
        let leases: Vec<_> = attached.iter().map(|attached| attached.lease.clone()).collect();
        self.give_all_back(leases, |lease| lease.session.clone()).await
    }

    /// Those that somebody has left behind, whoever it was: their leases do not count any more.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when the table cannot be read.
    pub async fn abandoned(&self) -> Result<Vec<Lease>> {
        Ok(leases(&self.aws, &self.debug_stack).await?.into_iter().filter(|lease| !lease.live).collect())
    }

    /// Gives functions back whose leases are given up, or that are taken from whoever has them.
    pub async fn restore(&self, leases: &[Lease]) -> Vec<(String, Outcome)> {
        let session = Uuid::new_v4().to_string();
        self.give_all_back(leases.to_vec(), |_| session.clone()).await
    }

    /// What a function that is attached is without its stub; none of one that is not.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when it cannot be read.
    pub async fn original(&self, name: &str) -> Result<Option<Deployed>> {
        let Some(lease) = Leases::new(&self.aws, &self.debug_stack).of(name).await? else { return Ok(None) };
        let bucket = Bucket { aws: &self.aws, name: &self.debug_stack.bucket };
        let snapshot = bucket.snapshot(name, &key(name, &lease.origin, SNAPSHOT)).await?;
        Ok(snapshot.map(|snapshot| snapshot.deployed()))
    }

    async fn give_all_back(
        &self,
        leases: Vec<Lease>,
        session: impl Fn(&Lease) -> String,
    ) -> Vec<(String, Outcome)> {
        let giving = stream::iter(leases).map(|lease| {
            let session = session(&lease);
            async move {
                let outcome = self.give_back_one(&lease, &session).await;
                (lease.function, outcome)
            }
        });
        giving.buffered(PARALLEL).collect().await
    }

    async fn renew_one(&self, attached: &Attached) -> Result<Option<Change>> {
        let (lease, name) = (&attached.lease, attached.name());
        let leases = Leases::new(&self.aws, &self.debug_stack);
        if let Taken::Others(other) = leases.take(lease, &lease.session).await? {
            return Ok(Some(match other {
                Some(other) => Change::TakenOver { by: other.owner },
                None => Change::GivenBack,
            }));
        }
        let function = Function::new(&self.aws, name);
        let mut revision = None;
        loop {
            let found = function.at_rest().await?;
            let Some(configuration) = &found else { break };
            if put::is_stub(&attached.snapshot, configuration) {
                return Ok(None);
            }
            let now = Some(text(configuration, "RevisionId").to_owned());
            if revision == now {
                let what = changed_by_others(&attached.snapshot, configuration);
                let outcome = self.give_back_one(lease, &lease.session).await;
                return Ok(Some(Change::Deployed { what, outcome }));
            }
            revision = now;
            tokio::time::sleep(QUIET).await;
        }
        self.give_back_one(lease, &lease.session).await;
        Ok(Some(Change::Gone))
    }

    /// What tells what would become of a function.
    #[must_use]
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            aws: &self.aws,
            debug_stack: Some(&self.debug_stack),
            stubs: &self.stubs,
            home: &self.home,
            yes_production: self.yes_production,
        }
    }

    fn rules(&self) -> Rules<'_> {
        rules(&self.aws, &self.stubs, self.yes_production)
    }

    /// The policy of the stubs.
    fn policy(&self) -> Result<&str> {
        let missing = || Error::new(Kind::Deployment, "the debug stack has no policy for stubs");
        self.debug_stack.stub_policy.as_deref().ok_or_else(missing)
    }
}

fn rules<'a>(aws: &Aws, stubs: &'a Stubs, yes_production: bool) -> Rules<'a> {
    let now = jiff::Timestamp::try_from(aws.clock.now()).unwrap_or_default();
    let today = now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
    Rules { stubs, yes_production, today }
}

/// All functions of an account and a region that are attached, whoever has attached them.
///
/// # Errors
/// [`Kind::Cloud`] when the table cannot be read.
pub async fn leases(aws: &Aws, stack: &DebugStack) -> Result<Vec<Lease>> {
    Leases::new(aws, stack).all().await
}

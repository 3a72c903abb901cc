//! Which commands may run beside one another, and who is told of whom.
//!
//! | lock | who holds it, and for how long |
//! |---|---|
//! | `.sst/start.lock` | `sst start`, while it runs |
//! | `.sst/command.lock` | each command that leaves functions their own code, while it runs |
//! | `locks/….start` in the user's cache directory, of a stage | `sst start`, while it serves that stage from this machine |
//! | `locks/….change` in the user's cache directory, of a stage | whoever changes what is deployed of it, while that lasts |
//!
//! A second `sst start` is refused. Commands wait for one another, and ask before they change what an `sst start` serves, which is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{session, stage::confirmed};
use crate::{
    aws::Aws,
    console, debug_stack,
    error::{Error, Kind, Result},
    lock::{Attempt, Holder, Lock, holder, outlast_exec},
    project::Project,
    relay,
    ui::{Ui, prompt},
};

/// What `sst start` is called.
pub(super) const START: &str = "sst start";

/// Below `.sst`: the lock of the other commands.
const COMMAND: &str = "command.lock";

/// How long a `sst start` that is about to end is waited for: longer than its farewell takes.
const ENDING: Duration = Duration::from_secs(20);

/// A project, claimed for `sst start`, or for `sst attach`.
#[derive(Debug)]
pub(super) struct ProjectClaim {
    /// What is said of it, with the lock if there is one.
    claim: Arc<Mutex<(Holder, Option<Lock>)>>,
}

impl ProjectClaim {
    /// Claims a project for `sst start`, or for `sst attach`. Waits for one that is about to end, as under an editor that starts it anew.
    ///
    /// # Errors
    /// [`Kind::Usage`] when another one runs in it.
    pub(super) async fn begin(command: &str, project: &Project, ui: &Ui) -> Result<Self> {
        let path = project.state_dir()?.path(session::LOCK);
        let this = Holder::this(command, None, &project.root);
        let ends = holder(&path).is_ok_and(|other| other.is_some_and(|other| other.ending));
        let waited = match ends {
            true => tokio::time::timeout(ENDING, wait(&path, &this, ui)).await.ok().flatten(),
            false => None,
        };
        let runs = holder(&path).ok().flatten().map_or_else(|| command.to_owned(), |other| other.command);
        let refusal = format!("`{runs}` runs in this project already");
        let lock = match waited {
            Some(lock) => Some(lock),
            None => take(&path, &this, &refusal, "use that one", ui).await?,
        };
        Ok(Self { claim: Arc::new(Mutex::new((this, lock))) })
    }

    /// Says of it which stage it serves.
    fn serves(&self, stage: &str) {
        amend(&self.claim, |holder| holder.stage = Some(stage.to_owned()));
    }

    /// Says that the session is about to end as soon as it is `interrupted`, for as long as the result is kept.
    pub(super) fn heed(&self, interrupted: &CancellationToken) -> AbortOnDropHandle<()> {
        let (claim, interrupted) = (self.claim.clone(), interrupted.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            interrupted.cancelled().await;
            amend(&claim, |holder| holder.ending = true);
        }))
    }
}

fn amend(claim: &Mutex<(Holder, Option<Lock>)>, amend: impl FnOnce(&mut Holder)) {
    let mut claim = claim.lock().unwrap_or_else(PoisonError::into_inner);
    let (holder, lock) = &mut *claim;
    amend(holder);
    if let Some(lock) = lock
        && let Err(error) = lock.say(holder)
    {
        tracing::warn!(%error, "a lock says too little");
    }
}

/// Claims what the commands write that leave functions their own code. Waits for another one.
///
/// # Errors
/// When there is no directory for it.
pub(super) async fn command(name: &str, project: &Project, ui: &Ui) -> Result<Option<Lock>> {
    let path = project.state_dir()?.path(COMMAND);
    Ok(wait(&path, &Holder::this(name, None, &project.root), ui).await)
}

/// The file in the user's cache directory that tells it from those of other users and machines.
const HOME: &str = "home";

/// What tells this user on this machine from others: where a stage is served from by one client at a time.
///
/// # Errors
/// [`Kind::Environment`] when it cannot be kept.
pub(super) fn home(cache: &Utf8Path) -> Result<String> {
    let path = cache.join(HOME);
    let failed = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("`{path}` cannot be written")).detail(error)
    };
    fs_err::create_dir_all(cache).map_err(failed)?;
    // Whoever comes first has written all of it when others can see it.
    let new = tempfile::NamedTempFile::new_in(cache).map_err(failed)?;
    fs_err::write(new.path(), uuid::Uuid::new_v4().to_string()).map_err(failed)?;
    match new.persist_noclobber(&path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(failed(error.error));
        }
        _ => {}
    }
    let id = fs_err::read_to_string(&path).map_err(failed)?;
    Ok(id.trim().to_owned())
}

/// The locks of a stage: of an app's copy in an account, or in a local cloud.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    locks: Utf8PathBuf,
    key: String,
    name: String,
    root: Utf8PathBuf,
}

impl Stage {
    pub(super) fn new(cache: &Utf8Path, aws: &Aws, project: &Project, stage: &str) -> Self {
        let endpoint = aws.endpoint.as_deref().unwrap_or("aws").replace("//localhost:", "//127.0.0.1:");
        let key = [&endpoint, &aws.account, &aws.region, &project.name, stage].join("\n");
        Self {
            locks: cache.join("locks"),
            key: sst_wire::sha256_hex(key.as_bytes())[..32].to_owned(),
            name: stage.to_owned(),
            root: project.root.clone(),
        }
    }

    /// Claims the stage for `sst start`, and says so in the lock of the project.
    ///
    /// # Errors
    /// [`Kind::Usage`] when another one on this machine serves it.
    pub(super) async fn serve(&self, session: &ProjectClaim, ui: &Ui) -> Result<Option<Lock>> {
        session.serves(&self.name);
        let refusal = format!("another `sst start` serves stage {} of this app", self.name);
        take(&self.path("start"), &self.this(START), &refusal, "give another `--stage`", ui).await
    }

    /// The `sst start` on this machine that serves it.
    pub(super) fn server(&self) -> Option<Holder> {
        holder(&self.path("start")).ok().flatten()
    }

    /// Claims what is deployed of it for `sst start`. Waits for whoever is changing that.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when it is cancelled first.
    pub(super) async fn deployment(&self, cancel: CancellationToken, ui: &Ui) -> Result<Option<Lock>> {
        let this = self.this(START);
        let path = self.path("change");
        tokio::select! {
            lock = wait(&path, &this, ui) => Ok(lock),
            () = cancel.cancelled_owned() => Err(Error::new(Kind::Interrupted, "interrupted")),
        }
    }

    /// The same for another command, of which an `sst start` that serves the stage is told.
    pub(super) async fn change(&self, command: &str, ui: &Ui) -> Change {
        let lock = wait(&self.path("change"), &self.this(command), ui).await;
        let told = match self.server() {
            Some(server) => announce(&server, &self.this(command)).await,
            None => None,
        };
        Change { lock, told }
    }

    /// Who this is while it holds a lock of the stage.
    pub(super) fn this(&self, command: &str) -> Holder {
        Holder::this(command, Some(&self.name), &self.root)
    }

    fn path(&self, kind: &str) -> Utf8PathBuf {
        self.locks.join(format!("{}.{kind}", self.key))
    }
}

/// Others who answer for functions of a stage.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// On this machine.
    server: Option<Holder>,
    /// On other machines, as far as the registrations can be read: `alice@laptop`.
    owners: Vec<String>,
}

impl Others {
    /// Finds them.
    pub(super) async fn find(stage: &Stage, aws: &Aws, debug_stack: &str) -> Self {
        let server = stage.server();
        let mut owners = match debug_stack::find(aws, debug_stack).await {
            Ok(Some(stack)) => relay::owners(aws, &stack).await.unwrap_or_default(),
            // Whoever may not look at it is not kept from deploying.
            Ok(None) | Err(_) => Vec::new(),
        };
        // What one on this machine has left behind, or has registered.
        owners.retain(|name| *name != owner());
        Self { server, owners }
    }

    /// Who they are, in a sentence; none when there is nobody.
    pub(super) fn sentence(&self) -> Option<String> {
        let server = self.server.iter().map(ToString::to_string);
        let elsewhere = self.owners.iter().map(|owner| format!("`sst start` of {owner}"));
        let all: Vec<String> = server.chain(elsewhere).collect();
        let verb = if all.len() == 1 { "serves" } else { "serve" };
        (!all.is_empty()).then(|| format!("{} {verb} this stage", all.join(", ")))
    }

    /// Asks whether to deploy functions' own code over their stubs.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the answer is no, and when nobody can be asked while one on this machine serves the stage.
    pub(super) async fn confirm(&self, ui: &Ui) -> Result<()> {
        let Some(sentence) = self.sentence() else { return Ok(()) };
        if prompt::is_interactive() {
            let question =
                format!("{sentence}. Replace the stubs, so that calls do not come there any more? [y/N]");
            return match confirmed(question).await {
                true => Ok(()),
                false => Err(Error::new(Kind::Usage, "nothing was deployed")),
            };
        }
        if self.server.is_none() {
            // A registration outlives one that was killed. So it is not certain enough to refuse.
            ui.warning(format!("{sentence}, or did until a while ago; its stubs are replaced"));
            return Ok(());
        }
        Err(Error::new(Kind::Usage, "the stubs of a running `sst start` would be replaced")
            .detail(sentence)
            .hint("end it first, or give `--yes`"))
    }
}

/// Somebody changes what is deployed of a stage, until this is dropped.
#[derive(Debug)]
pub(super) struct Change {
    lock: Option<Lock>,
    /// Its end tells the `sst start` that serves the stage.
    told: Option<TcpStream>,
}

impl Change {
    /// Goes on until the program ends that this process becomes.
    pub(super) fn outlast_exec(self) {
        let kept = self.lock.as_ref().map_or(Ok(()), Lock::outlast_exec);
        let kept = kept.and_then(|()| self.told.as_ref().map_or(Ok(()), outlast_exec));
        if let Err(error) = kept {
            tracing::warn!(%error, "a lock ends early");
        }
        std::mem::forget(self);
    }
}

/// Who runs this, as others see it when functions change hands.
pub(super) fn owner() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or("somebody".to_owned());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{user}@{}", host.as_deref().unwrap_or("a machine"))
}

/// Tells an `sst start` that `this` changes its stage. None when it listens no more, or not yet.
async fn announce(server: &Holder, this: &Holder) -> Option<TcpStream> {
    let session = session::of(server)?;
    let announced = console::announce(&session.control, &session.token, this).await;
    announced.inspect_err(|error| tracing::debug!(%error, "not announced")).ok()
}

async fn take(path: &Utf8Path, this: &Holder, refusal: &str, instead: &str, ui: &Ui) -> Result<Option<Lock>> {
    match Lock::take(path, this).await {
        Ok(Attempt::Ours(lock)) => Ok(Some(lock)),
        Ok(Attempt::Theirs(other)) => {
            let error = Error::new(Kind::Usage, refusal);
            Err(match other {
                Some(other) => error.detail(&other).hint(format!(
                    "{instead}, or end it first: Ctrl-C in its terminal, or `kill {}`",
                    other.pid
                )),
                None => error.hint(format!("{instead}, or end it first")),
            })
        }
        Err(error) => {
            unlocked(path, &error, ui);
            Ok(None)
        }
    }
}

async fn wait(path: &Utf8Path, this: &Holder, ui: &Ui) -> Option<Lock> {
    let waiting = |other: Option<Holder>| {
        let other = other.map_or_else(|| "another `sst`".to_owned(), |other| other.to_string());
        ui.info(format!("Waiting for {other} to end"));
    };
    Lock::wait(path, this, waiting).await.inspect_err(|error| unlocked(path, error, ui)).ok()
}

/// Some network file systems know no locks. That is no reason to refuse to work.
fn unlocked(path: &Utf8Path, error: &std::io::Error, ui: &Ui) {
    ui.warning(format!(
        "`{path}` cannot be locked ({error}), so another `sst` that works on the same would not be noticed"
    ));
}

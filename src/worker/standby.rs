//! Processes that are started before anybody needs them, because starting Node or Python takes longer than everything else between
//! a saved file and a running one.
//!
//! A function must not see that its process was there before it. So there are two kinds:
//!
//! - One of a function has exactly the environment, directory and address of the Runtime API that the function's next worker will
//!   have, and has loaded the packages that the function loads. It serves that worker, or nobody: with another environment, or when
//!   anything that it has read has changed since, it is thrown away, and what it has written with it.
//! - One of nobody has only the runner loaded. It serves any function whose variables do not differ in what is read at the start.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use camino::Utf8PathBuf;
use tokio::{
    sync::{
        Semaphore, mpsc,
        oneshot::{self, error::TryRecvError},
    },
    task::{AbortHandle, JoinSet},
};

use super::{
    process::{LIFELINE, Process},
    stamps::Stamps,
};
use crate::{
    core::event::{Artifact, Program},
    ids::FunctionId,
    languages::{self, Launch, Runner},
    process::Spawner,
    trace,
};

/// For how many functions a standby of their own is kept.
const MOST_FUNCTIONS: usize = 4;

/// How often a standby is started for the same. What was installed while it loaded that may be half of it.
const ATTEMPTS: u32 = 2;

/// So long a worker waits at most for a standby of its function that is still being started. One that takes longer may wait for something for
/// ever, which is then for the function to do, in its own time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// So long others wait at most until a standby is there, before they are started.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// The variable with the address of the Runtime API, which each process has for itself.
pub(super) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// The standbys.
#[derive(Debug)]
pub(super) struct Standbys {
    starting: JoinSet<()>,
    /// Started for anybody, with this environment; nothing when it could not be.
    made: (mpsc::UnboundedSender<ForAnybody>, mpsc::UnboundedReceiver<ForAnybody>),
    /// They are started one after the other on few cores: the next one that is needed is there the sooner.
    turns: Arc<Semaphore>,
    anybody: Anybody,
    /// The function used last is the last one.
    functions: VecDeque<OfFunction>,
}

type ForAnybody = (BTreeMap<String, String>, Option<Process>);

/// The standby for whatever function comes next.
#[derive(Debug)]
struct Anybody {
    environment: BTreeMap<String, String>,
    process: Option<Process>,
    starting: Option<AbortHandle>,
}

/// The standby of a function, which is there or being started.
#[derive(Debug)]
struct OfFunction {
    purpose: Purpose,
    /// Where it will find its Runtime API. It listens already, since a package may read the address while it is loaded.
    socket: TcpListener,
    coming: Coming,
    starting: AbortHandle,
    /// Whether its turn has come. One that waits for others is not waited for.
    begun: Arc<AtomicBool>,
}

/// A standby that is there, sooner or later, if it can be started.
type Coming = oneshot::Receiver<Ready>;

/// One that has loaded its packages.
#[derive(Debug)]
struct Ready {
    process: Process,
    read: Stamps,
}

/// What the standby of a function is made for. Whatever a function could see of its process is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    pub function: FunctionId,
    pub launch: Launch,
    /// All variables of the worker but the address of its Runtime API.
    pub environment: BTreeMap<String, String>,
    pub task_root: Utf8PathBuf,
    pub handler: String,
    /// See [`Artifact::provided`].
    pub provided: Option<Utf8PathBuf>,
    /// See [`Artifact::packages`].
    pub packages: Vec<(String, Utf8PathBuf)>,
}

/// A standby that becomes a worker.
#[derive(Debug)]
pub(super) enum Taken {
    /// One of nobody, which is told its environment.
    Anybody(Process),
    /// One of the function, which knows its environment, and its Runtime API at this socket.
    OfFunction(Process, TcpListener),
    /// One of the function that is still being started.
    Starting(Starting, TcpListener),
}

/// The standby of a function that is still being started, from now on for one worker, with which it ends.
#[derive(Debug)]
pub(super) struct Starting {
    coming: Coming,
    starting: AbortHandle,
}

impl Starting {
    /// The process, once it has loaded the packages as they are now; none when it does not come to that.
    pub(super) async fn process(mut self) -> Option<Process> {
        let ready = tokio::time::timeout(LONGEST_WAIT, &mut self.coming).await.ok()?.ok()?;
        ready.process()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.starting.abort();
    }
}

impl Ready {
    /// The process, if it has loaded the packages as they are now. One that died while it waited is no reason to fail a call.
    fn process(self) -> Option<Process> {
        (self.process.is_alive() && self.read.still_hold()).then_some(self.process)
    }
}

/// How a standby is started.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub spawner: Spawner,
    /// The Node that `sst` itself uses.
    pub node: Utf8PathBuf,
    /// Where the runners are.
    pub scripts: Utf8PathBuf,
}

impl Recipe {
    /// What runs a program, and the runner of ours that does, which can stand by.
    pub(super) fn launch(&self, program: &Program) -> (Launch, Option<&'static Runner>) {
        let language = languages::get(&program.language);
        (language.launch(program, &self.node, &self.scripts), language.runner())
    }

    /// What runs functions whose interpreter needs not be looked for.
    fn anybody(&self) -> Launch {
        languages::of_standby().launch(&Program::default(), &self.node, &self.scripts)
    }
}

impl Purpose {
    pub(super) fn new(
        function: &FunctionId,
        launch: &Launch,
        environment: &BTreeMap<String, String>,
        artifact: &Artifact,
    ) -> Self {
        Self {
            function: function.clone(),
            launch: launch.clone(),
            environment: environment.clone(),
            task_root: artifact.task_root.clone(),
            handler: artifact.handler.clone(),
            provided: artifact.provided.clone(),
            packages: artifact.packages.clone(),
        }
    }

    /// Whether a process that was made for this is what `wanted` starts with.
    fn serves(&self, wanted: &Self) -> bool {
        // What it has not loaded, the function loads itself. What it has, the function must load as well.
        let less = Self { packages: wanted.packages.clone(), ..self.clone() };
        less == *wanted && self.packages.iter().all(|package| wanted.packages.contains(package))
    }

    /// What a standby loads ahead.
    fn preparation(&self) -> serde_json::Value {
        serde_json::json!({
            "prepare": {
                "taskRoot": self.task_root,
                "handler": self.handler,
                "provided": self.provided,
                "packages": self.packages,
            }
        })
    }
}

impl Standbys {
    /// Starts the first one, with what most functions have.
    pub(super) fn new(recipe: &Recipe, environment: BTreeMap<String, String>) -> Self {
        let mut standbys = Self {
            starting: JoinSet::new(),
            made: mpsc::unbounded_channel(),
            turns: Arc::new(Semaphore::new(
                thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4)),
            )),
            anybody: Anybody { environment, process: None, starting: None },
            functions: VecDeque::new(),
        };
        standbys.start_for_anybody(recipe);
        standbys
    }

    /// The best standby for a function, if one can serve it.
    pub(super) fn take(&mut self, wanted: &Purpose, recipe: &Recipe) -> Option<Taken> {
        self.collect();
        // Also one that is still being started: it was so before any other process that could be.
        let index = self.functions.iter().position(|one| one.purpose.serves(wanted));
        if let Some(own) = index.and_then(|index| self.functions.remove(index)) {
            let OfFunction { socket, mut coming, starting, begun, .. } = own;
            match coming.try_recv().map(Ready::process) {
                Ok(Some(process)) => return Some(Taken::OfFunction(process, socket)),
                Err(TryRecvError::Empty) if begun.load(Ordering::Relaxed) => {
                    return Some(Taken::Starting(Starting { coming, starting }, socket));
                }
                Err(TryRecvError::Empty) => starting.abort(),
                Ok(None) | Err(TryRecvError::Closed) => {}
            }
        }
        if wanted.launch != recipe.anybody()
            || read_at_start(&self.anybody.environment) != read_at_start(&wanted.environment)
        {
            return None;
        }
        self.anybody.process.take().filter(Process::is_alive).map(Taken::Anybody)
    }

    /// Starts the standbys that are missing, once a worker has been started for `last`. Its own one comes first.
    pub(super) fn replenish(&mut self, recipe: &Recipe, last: Purpose) {
        self.collect();
        let environment = (last.launch == recipe.anybody()).then(|| read_at_start(&last.environment));
        if environment.is_none() || !last.packages.is_empty() {
            self.replenish_own(recipe, last);
        }
        if let Some(wanted) = environment {
            let others =
                self.anybody.environment.clone().into_iter().filter(|(name, _)| !is_read_at_start(name));
            let environment: BTreeMap<_, _> = others.chain(wanted).collect();
            if environment != self.anybody.environment {
                self.anybody.environment = environment;
                self.anybody.process = None;
                self.anybody.starting.take().inspect(AbortHandle::abort);
            }
            if self.anybody.process.is_none() && self.anybody.starting.is_none() {
                self.start_for_anybody(recipe);
            }
        }
    }

    fn replenish_own(&mut self, recipe: &Recipe, last: Purpose) {
        if let Some(index) = self.functions.iter().position(|one| one.purpose.function == last.function) {
            if self.functions[index].purpose == last {
                return;
            }
            // One with another interpreter, environment, or other packages is of no use any more.
            self.functions.remove(index).inspect(|one| one.starting.abort());
        }
        if self.functions.len() >= MOST_FUNCTIONS {
            self.functions.pop_front().inspect(|one| one.starting.abort());
        }
        let Ok((socket, address)) = listen().and_then(|socket| {
            let address = socket.local_addr()?.to_string();
            Ok((socket, address))
        }) else {
            return;
        };
        let (recipe, purpose, turns) = (recipe.clone(), last.clone(), self.turns.clone());
        let (made, coming) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = begun.clone();
        let starting = self.starting.spawn(async move {
            let turn = turns.acquire().await;
            begins.store(true, Ordering::Relaxed);
            let started = tokio::time::timeout(LONGEST_TURN, start(&recipe, &purpose, &address)).await;
            drop(turn);
            let (function, ready) = (&purpose.function, started.ok().flatten());
            let is_ready = ready.is_some();
            if let Some(ready) = ready {
                let _ = made.send(ready);
            }
            trace::save!(%function, is_ready, "a standby has loaded the packages");
        });
        self.functions.push_back(OfFunction { purpose: last, socket, coming, starting, begun });
    }

    fn start_for_anybody(&mut self, recipe: &Recipe) {
        let (recipe, made, turns) = (recipe.clone(), self.made.0.clone(), self.turns.clone());
        let environment = self.anybody.environment.clone();
        self.anybody.starting = Some(self.starting.spawn(async move {
            let _turn = turns.acquire().await;
            let process = spawn(&recipe, &recipe.anybody(), &environment, &recipe.scripts).await;
            let _ = made.send((environment, process));
        }));
    }

    /// Takes in those that have been started, and drops those that could not be, which are tried again after the next start.
    fn collect(&mut self) {
        while self.starting.try_join_next().is_some() {}
        while let Ok((environment, process)) = self.made.1.try_recv() {
            if environment == self.anybody.environment {
                self.anybody.process = process;
                self.anybody.starting = None;
            }
        }
        self.functions.retain(|one| !one.starting.is_finished() || !one.coming.is_empty());
    }
}

/// Starts the standby of a function. None when it cannot be had: the function then does by itself what fails here.
async fn start(recipe: &Recipe, purpose: &Purpose, runtime_api: &str) -> Option<Ready> {
    let mut environment = purpose.environment.clone();
    environment.insert(RUNTIME_API.to_owned(), runtime_api.to_owned());
    for _ in 0..ATTEMPTS {
        let since = SystemTime::now();
        let process = spawn(recipe, &purpose.launch, &environment, &purpose.task_root).await?;
        process.send(&purpose.preparation()).await.ok()?;
        let said = process.receive().await?;
        let read: Vec<Utf8PathBuf> = serde_json::from_value(said.get("read")?.clone()).ok()?;
        let read = tokio::task::spawn_blocking(move || Stamps::of(read, since)).await.ok()?;
        if let Some(read) = read {
            return Some(Ready { process, read });
        }
    }
    None
}

async fn spawn(
    recipe: &Recipe,
    launch: &Launch,
    environment: &BTreeMap<String, String>,
    directory: &Utf8PathBuf,
) -> Option<Process> {
    let mut environment = environment.clone();
    environment.insert("SST_STANDBY".to_owned(), LIFELINE.to_string());
    let started = Process::spawn(&recipe.spawner, launch, &environment, directory, None).await;
    started.inspect_err(|error| tracing::warn!(%error, "cannot start a standby")).ok()
}

/// A socket for the Runtime API of one process.
pub(super) fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Those of an environment that cannot be told to a process that runs already.
fn read_at_start(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let read = environment.iter().filter(|(name, _)| is_read_at_start(name));
    read.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_read_at_start(name: &str) -> bool {
    let runner = languages::of_standby().runner();
    runner.is_some_and(|runner| {
        runner.read_at_start.iter().any(|beginning| name.starts_with(beginning))
            && !runner.read_again.contains(&name)
    })
}

/// The message that makes a standby a worker. One that was started with the environment of its function is not told that again: its
/// packages may have changed it since.
pub(super) fn assignment(
    environment: Option<&BTreeMap<String, String>>,
    artifact: &Artifact,
    runtime_api: &str,
) -> serde_json::Value {
    serde_json::json!({
        "assign": {
            "environment": environment,
            "taskRoot": artifact.task_root,
            "handler": artifact.handler,
            "provided": artifact.provided,
            "runtimeApi": runtime_api,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A function whose standby loads `text`.
    fn purpose(recipe: &Recipe, directory: &Utf8PathBuf, function: &str, text: &str) -> Purpose {
        std::fs::write(directory.join(format!("{function}.cjs")), text).unwrap();
        let path = std::env::var("PATH").unwrap();
        Purpose {
            function: function.into(),
            launch: recipe.anybody(),
            environment: [("PATH".to_owned(), path)].into(),
            task_root: directory.clone(),
            handler: "index.handler".to_owned(),
            provided: None,
            packages: vec![(format!("./{function}.cjs"), directory.clone())],
        }
    }

    #[tokio::test]
    async fn a_standby_is_waited_for_once_its_turn_has_come() {
        let directory = tempfile::tempdir().unwrap();
        let place = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        let pipe = place.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let recipe = Recipe {
            spawner: crate::process::for_tests(),
            node: Utf8PathBuf::from_path_buf(which::which("node").unwrap()).unwrap(),
            scripts: concat!(env!("CARGO_MANIFEST_DIR"), "/runners").into(),
        };
        let mut standbys = Standbys {
            starting: JoinSet::new(),
            made: mpsc::unbounded_channel(),
            turns: Arc::new(Semaphore::new(1)),
            anybody: Anybody { environment: BTreeMap::new(), process: None, starting: None },
            functions: VecDeque::new(),
        };
        // It says that it is loaded, and then is so for ever.
        let says = format!("require('fs').writeFileSync({:?}, 'loaded');", pipe.as_str());
        let slow = purpose(&recipe, &place, "slow", &format!("{says} for (;;);"));
        let other = purpose(&recipe, &place, "other", "");
        standbys.replenish(&recipe, slow.clone());
        let said = tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe)).await.unwrap();
        assert_eq!(said.unwrap(), "loaded");
        standbys.replenish(&recipe, other.clone());
        tokio::task::yield_now().await;

        let taken = standbys.take(&other, &recipe);
        assert!(taken.is_none(), "a worker would wait for the standby of another function: {taken:?}");
        let taken = standbys.take(&slow, &recipe);
        assert!(matches!(taken, Some(Taken::Starting(..))), "{taken:?}");
    }
}

//! What serves functions on this machine, however they have become stubs: the loop, with everything that it takes.

pub(super) mod ports;
mod publication;
pub(super) mod stubs;
mod watches;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::Arc,
};

use camino::Utf8PathBuf;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(super) use self::{publication::Publication, watches::Watches};
use super::session::Session;
use crate::{
    app::Outputs,
    aws::{self, Aws},
    bridge,
    builder::{Builder, Toolchain},
    cloud,
    console::{Console, page_address},
    continuous::Continuous,
    core::{
        Config, State,
        event::{Event, FileChange},
    },
    descriptors,
    error::{Error, Kind, Result},
    history::{self, Fact, History},
    live::{self, Live},
    local::{Local, Notice},
    process::{Spawner, following_variables},
    project::{
        Project, SavedEvents, StateDir,
        manifest::{FunctionSpec, ORIGINAL_PREFIX},
    },
    relay::Relay,
    settings,
    tasks::Tasks,
    tools::Tools,
    trace,
    ui::{Ui, UiEvent},
    worker::{Workers, environment::Surroundings},
};

/// What the task is called that sees to what is deployed.
const DEPLOYMENT: &str = "the watch of the infrastructure";

/// How long preparations may take to stop after Ctrl-C, before their processes are killed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Everything that it takes.
pub(super) struct Serving {
    pub project: Project,
    pub running: settings::Running,
    pub stage: String,
    /// Where the outputs of the stacks are written, if that was asked for.
    pub outputs_file: Option<Utf8PathBuf>,
    pub tools: Tools,
    pub toolchain: Toolchain,
    pub spawner: Spawner,
    pub ui: Ui,
    pub aws: Aws,
    pub state_dir: StateDir,
    pub relay: Relay,
    /// What has happened to files since they are watched, and the other end of it.
    pub events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    pub watches: Watches,
    /// By which workers trust the local cloud.
    pub trust: Option<cloud::Trust>,
    /// The functions that are served at first.
    pub functions: Vec<FunctionSpec>,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// What whoever sees to what is deployed works with, beside his own.
pub(super) struct Means {
    pub publication: Publication,
    /// The core.
    pub events: mpsc::UnboundedSender<Event>,
    /// What was saved.
    pub saved: mpsc::UnboundedReceiver<Vec<FileChange>>,
    /// Who else changes what is deployed.
    pub notices: mpsc::UnboundedReceiver<Notice>,
    /// Who is told how things stand.
    pub history: History,
    /// Where the session's page is, with the token.
    pub page: String,
    /// Tells that the functions are answered for here, which [`Event::Deployed`] asks for.
    pub registered: oneshot::Receiver<()>,
    /// Cancelled when everything that was open is answered. What is published stays so until then.
    pub over: CancellationToken,
}

impl Serving {
    /// Serves the functions until it is cancelled, while `deployment` makes stubs of them.
    ///
    /// # Errors
    /// Whatever keeps the functions from being run.
    pub(super) async fn run<Deployment>(self, deployment: impl FnOnce(Means) -> Deployment) -> Result<()>
    where
        Deployment: Future<Output = ()> + Send + 'static,
    {
        let Self {
            project,
            running,
            stage,
            outputs_file,
            tools,
            toolchain,
            spawner,
            ui,
            aws,
            state_dir,
            mut relay,
            events: (sender, events),
            watches,
            trust,
            functions,
            cancel,
        } = self;
        let mut tasks = Tasks::default();
        tasks.spawn("the look-out for descriptors", descriptors::tell_shortages(ui.clone()));
        tasks.spawn("the look-out for credentials", aws::tell(aws.credentials_state(), ui.clone()));
        let (ready_sender, ready) = mpsc::unbounded_channel();
        let (saved_sender, saved) = mpsc::unbounded_channel();
        let (registered_sender, registered) = oneshot::channel();
        let means = bridge::Context {
            spawner: spawner.clone(),
            node: tools.node.clone(),
            events: sender.clone(),
            ui: ui.clone(),
        };
        let bridge = ports::open_bridge(&running, &project, &state_dir, &stage, means, &mut tasks).await?;
        let written = running.history.then(|| state_dir.below("history")).transpose()?;
        let history = History::begin(written, &project.masked, &mut tasks);
        let saved_events = SavedEvents::of(&project.root);
        let console =
            Console::open(history.clone(), state_dir.clone(), saved_events, aws.clone(), &mut tasks).await;
        let console = console.map_err(|error| {
            Error::new(Kind::Environment, "no socket for other commands to connect to").detail(error)
        })?;
        let page = page_address(&console.address().to_string(), console.token());
        let session = Session {
            control: console.address().to_string(),
            token: console.token().to_owned(),
            pid: std::process::id(),
            stage: stage.clone(),
            region: aws.region.clone(),
            inspector: bridge.address().to_string(),
            flat_inspector: bridge.flat_address().to_string(),
            debug_adapter: bridge.adapter_address().to_string(),
            debug_ports: BTreeMap::new(),
            endpoint: aws.endpoint.clone(),
            outputs: Outputs::new(),
        };
        let readings = watches.readings();
        let publication = Publication {
            state_dir,
            root: project.root.clone(),
            stage,
            outputs_file,
            session,
            ports: bridge.function_ports(),
            watches,
            ui: ui.clone(),
            file: None,
        };
        // Before the deployment: a function may get an event in the moment in which its stub is there. What is announced when it is
        // cancelled is taken back by the loop, which ends at once.
        tokio::select! {
            announced = relay.announce(functions.iter().map(|function| function.id.clone()).collect()) => announced?,
            () = cancel.cancelled() => {}
        }
        trace::start!("events are answered for here");
        let (commands, receiver) = mpsc::unbounded_channel();
        tasks.spawn_fallible(live::RELAY, relay.run(receiver, sender.clone()));
        let live = Live {
            state: State::new(config(&running)),
            time: Continuous::new(aws.clock.clone()),
            events,
            sender: sender.clone(),
            relay: commands,
            local: Local::new(console.calls, aws.clone(), sender.clone()),
            workers: Workers::new(
                tools.clone(),
                spawner,
                surroundings(&aws, trust.as_ref()),
                running.enforce_memory,
                ready_sender,
                sender.clone(),
            ),
            ready,
            listeners: HashMap::new(),
            builder: Builder::new(tools, toolchain, project.root, sender.clone(), &mut tasks),
            bridge,
            readings,
            begun: HashMap::new(),
            saved: saved_sender,
            registered: Some(registered_sender),
            history: history.clone(),
            ui,
        };
        let over = CancellationToken::new();
        let means = Means {
            publication,
            events: sender,
            saved,
            notices: console.notices,
            history: history.clone(),
            page,
            registered,
            over: over.clone(),
        };
        tasks.spawn(DEPLOYMENT, deployment(means));
        let functions = functions.into_iter().map(Arc::new).collect();
        let result = live.run(functions, &mut tasks, &cancel).await;
        cancel.cancel();
        over.cancel();
        tasks.until_ended(DEPLOYMENT).await;
        // What has ended with the session is written, too.
        history.tell(Fact::Over);
        tasks.until_ended(history::TASK).await;
        result
    }
}

/// What workers find around them.
fn surroundings(aws: &Aws, trust: Option<&cloud::Trust>) -> Surroundings {
    let strip = if aws.endpoint.is_some() { cloud::SERVER_VARIABLES } else { &[] };
    let mut surroundings = Surroundings::from_process(strip, Some(ORIGINAL_PREFIX));
    if let Some(endpoint) = &aws.endpoint {
        // Functions find the local cloud by it; standbys have to know before they are functions.
        surroundings.machine.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    }
    surroundings.machine.extend(trust.into_iter().flat_map(cloud::Trust::variables));
    surroundings
}

/// How the core works on this machine.
fn config(running: &settings::Running) -> Config {
    let default = Config::default();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Some of a start is waiting for the disk.
    Config {
        max_workers: running.max_workers,
        starts_at_once: default.starts_at_once.max(2 * cores),
        more_time: !running.increase_timeout,
        every_frame: tracing::enabled!(tracing::Level::DEBUG),
        followed: !following_variables().is_empty(),
        ..default
    }
}

/// Does something that stops of itself when it is cancelled. When it does not, it is dropped, and its processes are killed.
pub(super) async fn until_cancelled<T>(
    work: impl Future<Output = Result<T>>,
    cancel: &CancellationToken,
    ui: &Ui,
) -> Result<T> {
    tokio::pin!(work);
    tokio::select! {
        biased;
        () = cancel.cancelled() => {
            ui.info("stopping");
            // Whatever it says now, the user's wish is the reason.
            let _ = tokio::time::timeout(PATIENCE, &mut work).await;
            Err(interrupted())
        }
        result = &mut work => {
            // It may have heard of it first.
            if result.is_err() && cancel.is_cancelled() {
                ui.info("stopping");
                return Err(interrupted());
            }
            result
        }
    }
}

pub(super) fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}

/// Says it where functions do not see their layers in `/opt`.
pub(super) async fn tell_of_mounts(spawner: &Spawner, ui: &Ui) {
    if let Err(reason) = spawner.can_mount().await {
        ui.warning(format!(
            "functions do not see `/opt` and `/var/task` here: this system lets no program have a file system of its own \
             ({reason}); layers are found by `NODE_PATH`, `PYTHONPATH`, `PATH` and `LD_LIBRARY_PATH`, and not by absolute paths"
        ));
    }
}

/// `1 function`, `2 functions`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Shows an error that ends nothing.
pub(super) fn show(ui: &Ui, error: &Error) {
    let end = if error.detail.is_some() { "\n" } else { "" };
    ui.send(UiEvent::Error { message: format!("{}{end}", in_full(error)), hint: error.hint.clone() });
}

/// What it says, with its detail below.
pub(super) fn in_full(error: &Error) -> String {
    let detail = error.detail.as_ref().map(|detail| format!("\n\n{}", detail.trim_end()));
    format!("{}{}", error.message, detail.unwrap_or_default())
}

//! `sst start`: deploys the app with stubs in place of its functions, and runs the functions here.

mod infrastructure;
mod plan;
mod ports;
mod preparation;
mod publication;
mod restoring;
mod watches;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    infrastructure::{Beginning, Infrastructure},
    plan::App,
    preparation::{Preparation, Prepared},
    publication::Publication,
    restoring::Stubs,
};
use super::{claims, restore, session::Session};
use crate::{
    app::Outputs,
    aws, bridge,
    builder::Builder,
    cloud,
    console::{Console, page_address},
    continuous::Continuous,
    core::{Config, State},
    descriptors,
    error::{Error, Kind, Result},
    history::{self, Fact, History},
    live::{self, Live},
    local::Local,
    process::{Spawner, following_variables},
    project::{SavedEvents, StateDir, manifest::ORIGINAL_PREFIX},
    settings,
    tasks::Tasks,
    trace,
    ui::{Ui, prompt},
    watch,
    worker::{Workers, environment::Surroundings},
};

/// What the task is called that watches and deploys the infrastructure.
const INFRASTRUCTURE: &str = "the watch of the infrastructure";

/// How long the preparations may take to stop after Ctrl-C, before their processes are killed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs until interrupted.
///
/// # Errors
/// Whatever keeps the app from being deployed and its functions from being run; see [`Kind`].
pub(super) async fn run(
    settings: settings::Start,
    spawner: &Spawner,
    ui: &Ui,
    interruption: &CancellationToken,
) -> Result<()> {
    ports::check(&settings)?;
    watch::check(&settings.app.project.root)?;
    let state_dir = settings.app.project.state_dir()?;
    let session = tokio::select! {
        session = claims::ProjectClaim::begin(&settings.app.project, ui) => session?,
        () = interruption.cancelled() => return Err(interrupted()),
    };
    let _heeding = session.heed(interruption);
    trace::start!("the project is claimed");
    if settings.local.is_some() && settings.restore_on_exit {
        ui.warning("`--restore-on-exit` has no effect with `--local`: the local cloud ends with this command, and its functions with it");
    }
    let mut cloud = None;
    let cancel = interruption.child_token();
    let preparation = Preparation {
        settings: &settings,
        state_dir: &state_dir,
        spawner,
        ui,
        cancel: &cancel,
        claim: &session,
    };
    let preparing = preparation.run(&mut cloud);
    let result = match until_cancelled(preparing, &cancel, ui).await {
        Ok(prepared) => serve(prepared, state_dir).await,
        Err(error) => Err(error),
    };
    if let Some(cloud) = cloud {
        cloud.stop().await;
    }
    result
}

/// Does something that stops of itself when it is cancelled. When it does not, it is dropped, and its processes are killed.
async fn until_cancelled<T>(
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

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}

/// Serves the functions, and deploys the app meanwhile.
async fn serve(prepared: Prepared, state_dir: StateDir) -> Result<()> {
    let Prepared { app, plan, unchanged, mut relay, served, deploying, events, watches, trust } = prepared;
    let (sender, events) = events;
    let App { settings, tools, spawner, ui, aws, target, toolchain, cancel, .. } = app.clone();
    let (root, stage) = (settings.app.project.root.clone(), target.stage);
    let mut tasks = Tasks::default();
    tasks.spawn("the look-out for descriptors", descriptors::tell_shortages(ui.clone()));
    tasks.spawn("the look-out for credentials", aws::tell(aws.credentials_state(), ui.clone()));
    let (ready_sender, ready) = mpsc::unbounded_channel();
    let (saved_sender, saved) = mpsc::unbounded_channel();
    let (registered_sender, registered) = oneshot::channel();
    let (outcome_sender, mut outcome) = oneshot::channel();
    let (keyboard_sender, mut keyboard) = oneshot::channel();
    let leaves_stubs = settings.local.is_none();
    let stubs = (leaves_stubs && settings.restore_on_exit).then(|| Stubs::new(&ui, &stage));
    let strip = if aws.endpoint.is_some() { cloud::SERVER_VARIABLES } else { &[] };
    let mut surroundings = Surroundings::from_process(strip, Some(ORIGINAL_PREFIX));
    if let Some(endpoint) = &aws.endpoint {
        // Functions find the local cloud by it; standbys have to know before they are functions.
        surroundings.machine.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    }
    surroundings.machine.extend(trust.iter().flat_map(cloud::Trust::variables));
    let means = bridge::Context {
        spawner: spawner.clone(),
        node: tools.node.clone(),
        events: sender.clone(),
        ui: ui.clone(),
    };
    let bridge = ports::open_bridge(&settings, &state_dir, &stage, means, &mut tasks).await?;
    let written = settings.history.then(|| state_dir.below("history")).transpose()?;
    let history = History::begin(written, &settings.app.project.masked, &mut tasks);
    let saved_events = SavedEvents::of(&root);
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
    let publication = Publication::new(&app, session, bridge.function_ports(), watches);
    let functions = plan.live.manifest.functions.clone();
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
        state: State::new(config(&settings)),
        time: Continuous::new(aws.clock.clone()),
        events,
        sender: sender.clone(),
        relay: commands,
        local: Local::new(console.calls, aws.clone(), sender.clone()),
        workers: Workers::new(
            tools.clone(),
            spawner.clone(),
            surroundings,
            settings.enforce_memory,
            ready_sender,
            sender.clone(),
        ),
        ready,
        listeners: HashMap::new(),
        builder: Builder::new(tools, toolchain, root, sender.clone(), &mut tasks),
        bridge,
        readings,
        begun: HashMap::new(),
        saved: saved_sender,
        registered: Some(registered_sender),
        history: history.clone(),
        ui: ui.clone(),
    };
    let infrastructure = Infrastructure {
        app: app.clone(),
        deployed: plan,
        outputs: Outputs::new(),
        publication,
        events: sender,
        saved,
        notices: console.notices,
        history: history.clone(),
        page,
        enter: prompt::lines(),
        halfway: false,
        keyboard: true,
    };
    let beginning =
        Beginning { unchanged, deploying, registered, outcome: outcome_sender, keyboard: keyboard_sender };
    let over = CancellationToken::new();
    tasks.spawn(INFRASTRUCTURE, infrastructure.run(beginning, over.clone()));
    let functions = functions.into_iter().map(Arc::new).collect();
    let result = live.run(functions, &mut tasks, &cancel).await;
    cancel.cancel();
    over.cancel();
    tasks.until_ended(INFRASTRUCTURE).await;
    // What has ended with the session is written, too.
    history.tell(Fact::Over);
    tasks.until_ended(history::TASK).await;
    match outcome.try_recv() {
        Ok(Ok(())) => {}
        // Nothing has ever been in place. What has ended the session comes first: the deployment was only cancelled by it.
        Ok(Err(error)) => return result.and(Err(error)),
        Err(_) => return result.and(Err(interrupted())),
    }
    let result = match stubs {
        Some(mut stubs) => {
            stubs.are();
            // Of a session that has failed, nobody may be there to answer.
            let keyboard = keyboard.try_recv().ok().filter(|_| result.is_ok());
            let restored = stubs.restore(app, keyboard).await;
            match (result, restored) {
                (Err(failure), restored) => {
                    if let Err(error) = restored {
                        ui.warning(format!(
                            "the functions did not get their own code back: {}",
                            error.message
                        ));
                    }
                    // What has ended the session comes first.
                    Err(failure)
                }
                (Ok(()), restored) => restored,
            }
        }
        None => {
            if leaves_stubs {
                ui.info(restore::later(&stage));
            }
            result
        }
    };
    // Until then nobody else serves the stage from here.
    drop(served);
    ui.info("Stopped");
    result
}

/// How the core works on this machine.
fn config(settings: &settings::Start) -> Config {
    let default = Config::default();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Some of a start is waiting for the disk.
    Config {
        max_workers: settings.max_workers,
        starts_at_once: default.starts_at_once.max(2 * cores),
        more_time: !settings.increase_timeout,
        every_frame: tracing::enabled!(tracing::Level::DEBUG),
        followed: !following_variables().is_empty(),
        ..default
    }
}

/// `1 function`, `2 functions`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

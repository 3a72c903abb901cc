//! `sst start`: deploys the app with stubs in place of its functions, and runs the functions here.

mod infrastructure;
mod plan;
mod ports;
mod publication;
mod watches;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    infrastructure::{Beginning, Infrastructure},
    plan::{App, Plan},
    publication::Publication,
    watches::Watches,
};
use super::{
    claims::{self, owner},
    cloud_packages,
    session::Session,
    stage::{confirm_bootstrap, stage},
};
use crate::{
    app::{self, Outputs},
    aws, bridge,
    builder::{Builder, Toolchain},
    cloud::{self, Cloud},
    continuous::Continuous,
    core::{Config, State, event::Event},
    debug_stack, descriptors,
    error::{Error, Kind, Result},
    languages,
    live::{self, Live},
    local::{Control, Local},
    lock::Lock,
    process::{self, Spawner},
    project::{Kind as ProjectKind, StateDir, manifest::ORIGINAL_PREFIX},
    relay::{self, Relay},
    settings, stub_package,
    tasks::Tasks,
    tools::Tools,
    ui::{Ui, prompt},
    worker::{Workers, environment::Surroundings},
};

/// The file of the debug stack's usual template.
const DEBUG_TEMPLATE: &str = "debug-stack.yaml";

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
    let state_dir = settings.app.project.state_dir()?;
    let session = tokio::select! {
        session = claims::ProjectClaim::begin(&settings.app.project, ui) => session?,
        () = interruption.cancelled() => return Err(interrupted()),
    };
    let _heeding = session.heed(interruption);
    let mut cloud = None;
    let cancel = interruption.child_token();
    let preparing = prepare(&settings, &state_dir, spawner, ui, &cancel, (&session, &mut cloud));
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
        result = &mut work => result,
    }
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}

/// What has been prepared when functions can be served and the app can be deployed.
struct Prepared {
    app: App,
    plan: Plan,
    relay: Relay,
    /// The stage is ours while there is this.
    served: Option<Lock>,
    /// Whoever changes what is deployed waits until there is somebody to tell of it.
    deploying: Option<Lock>,
    /// What has happened to files since the synthesis, and the other end of it.
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    watches: Watches,
}

async fn prepare(
    settings: &settings::Start,
    state_dir: &StateDir,
    spawner: &Spawner,
    ui: &Ui,
    cancel: &CancellationToken,
    (claim, cloud): (&claims::ProjectClaim, &mut Option<Cloud>),
) -> Result<Prepared> {
    let tools = Tools::find(state_dir.create_directory("tool")?, spawner).await?;
    process::claim(&tools.node_version);
    if let Some(settings::LocalCloud { enforce_iam }) = settings.local {
        let options = cloud::Options {
            cache: settings.cache.clone(),
            enforce_iam,
            node_path: cloud_packages::search_path(&settings.app.project.root, state_dir),
            log: state_dir.path("local-cloud.log"),
        };
        *cloud = Some(Cloud::start(options, spawner, ui).await?);
    }
    let aws =
        super::connect(settings.aws(cloud.as_ref().map(|cloud| cloud.endpoint().to_owned())), ui).await?;
    let fallback = aws.endpoint.is_some().then_some("dev");
    let stage = stage(&settings.app.project, settings.app.stage.as_deref(), fallback, &aws, ui).await?;
    let locks = claims::Stage::new(&settings.cache, &aws, &settings.app.project, &stage);
    let served = locks.serve(claim, ui).await?;
    let deploying = locks.deployment(cancel.clone(), ui).await?;
    let name = debug_stack::name(&stage, &settings.app.project.name);
    state_dir.write(DEBUG_TEMPLATE, debug_stack::template(aws.endpoint.is_some()).as_bytes())?;
    let debug_stack = app::PlainDebugStack { name: name.clone(), template: state_dir.path(DEBUG_TEMPLATE) };
    let mut target = app::Destination {
        stage,
        region: aws.region.clone(),
        account: aws.account.clone(),
        debug_stack: Some(debug_stack),
        context: settings.app.context.clone(),
    };
    let work = state_dir.below("start")?;
    let context =
        app::Context { project: &settings.app.project, work: &work, tools: &tools, spawner, ui, cancel };
    let began = SystemTime::now();
    let synthesis = app::synthesize(&context, &target, &[]);
    let (debug_stack, assembly) = if settings.app.project.may_change_debug_stack() {
        let assembly = synthesis.await?;
        let word = &assembly.debug_stack;
        if let Some(notice) = &word.notice {
            ui.warning(notice.clone());
        }
        let custom = word.template.as_ref();
        let custom = custom.map(|template| debug_stack::Custom { template, tags: &word.tags });
        (debug_stack::deploy(&aws, &name, custom, ui).await?, assembly)
    } else {
        // Neither needs the other, and both take seconds.
        tokio::try_join!(debug_stack::deploy(&aws, &name, None, ui), synthesis)?
    };
    // It was asked, and is not again before the next start.
    target.debug_stack = None;
    let package = stub_package::package(&tools.stub, &state_dir.create_directory("stub")?)?;
    let toolchain = Toolchain::new(
        spawner.clone(),
        settings.app.project.root.clone(),
        state_dir.create_directory("artifacts")?,
        settings.cache.clone(),
        ui.clone(),
    );
    let home = claims::home(&settings.cache)?;
    let app = App {
        settings: settings.clone(),
        tools,
        spawner: spawner.clone(),
        ui: ui.clone(),
        aws,
        target,
        state_dir: state_dir.clone(),
        debug_stack,
        home: home.clone(),
        package,
        toolchain,
        work: work.clone(),
        stage: locks,
        cancel: cancel.clone(),
    };
    let plan = app.plan_from(assembly).await?;
    let events = mpsc::unbounded_channel();
    // Before the deployment, which takes long enough for something to be saved meanwhile.
    let mut watches = Watches::start(settings.app.project.root.clone(), events.0.clone(), ui.clone())?;
    watches.follow(&plan.live.manifest.functions)?;
    // A command that builds the app saves files itself.
    if !matches!(settings.app.project.kind, ProjectKind::Cdk { build: Some(_), .. }) {
        watches.catch_up(&plan.inputs, began);
    }
    plan.report(ui);
    if plan.needs_bootstrap() && app::needs_bootstrap(&app.aws).await? {
        confirm_bootstrap(settings.yes, &app.aws).await?;
        app::bootstrap(&app.context(), &app.aws).await?;
    }
    let config = relay::Config {
        aws: app.aws.clone(),
        debug_stack: app.debug_stack.clone(),
        stack_name: name,
        owner: owner(),
        home,
    };
    let relay = Relay::connect(config, ui.clone()).await?;
    Ok(Prepared { app, plan, relay, served, deploying, events, watches })
}

/// Serves the functions, and deploys the app meanwhile.
async fn serve(prepared: Prepared, state_dir: StateDir) -> Result<()> {
    let Prepared { app, plan, mut relay, served, deploying, events, watches } = prepared;
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
    let strip = if aws.endpoint.is_some() { cloud::SERVER_VARIABLES } else { &[] };
    let mut surroundings = Surroundings::from_process(strip, Some(ORIGINAL_PREFIX));
    if let Some(endpoint) = &aws.endpoint {
        // Functions find the local cloud by it; standbys have to know before they are functions.
        surroundings.machine.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    }
    let means = bridge::Context { spawner: spawner.clone(), events: sender.clone(), ui: ui.clone() };
    let bridge = ports::open_bridge(&settings, &state_dir, &stage, means, &mut tasks).await?;
    let control = Control::open(&mut tasks).await.map_err(|error| {
        Error::new(Kind::Environment, "no socket for other commands to connect to").detail(error)
    })?;
    let session = Session {
        control: control.address().to_string(),
        token: control.token().to_owned(),
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
    let publication = Publication::new(&app, session, bridge.function_ports(), watches);
    let functions = plan.live.manifest.functions.clone();
    // Before the deployment: a function may get an event in the moment in which its stub is there. What is announced when it is
    // cancelled is taken back by the loop, which ends at once.
    tokio::select! {
        announced = relay.announce(functions.iter().map(|function| function.id.clone()).collect()) => announced?,
        () = cancel.cancelled() => {}
    }
    let (commands, receiver) = mpsc::unbounded_channel();
    tasks.spawn_fallible(live::RELAY, relay.run(receiver, sender.clone()));
    let live = Live {
        state: State::new(Config {
            max_workers: settings.max_workers,
            is_source: languages::is_source,
            ..Config::default()
        }),
        time: Continuous::new(aws.clock.clone()),
        events,
        sender: sender.clone(),
        relay: commands,
        local: Local::new(control.calls, aws.clone(), sender.clone()),
        workers: Workers::new(tools.clone(), spawner.clone(), surroundings, ready_sender, sender.clone()),
        ready,
        listeners: HashMap::new(),
        builder: Builder::new(tools, toolchain, root, sender.clone(), &mut tasks),
        bridge,
        saved: saved_sender,
        registered: Some(registered_sender),
        ui: ui.clone(),
    };
    let infrastructure = Infrastructure {
        app,
        deployed: plan,
        outputs: Outputs::new(),
        publication,
        events: sender,
        saved,
        notices: control.notices,
        enter: prompt::lines(),
        halfway: false,
        keyboard: true,
    };
    let beginning = Beginning { deploying, registered, outcome: outcome_sender };
    let over = CancellationToken::new();
    tasks.spawn(INFRASTRUCTURE, infrastructure.run(beginning, over.clone()));
    let functions = functions.into_iter().map(Arc::new).collect();
    let result = live.run(functions, &mut tasks, &cancel).await;
    cancel.cancel();
    over.cancel();
    tasks.until_ended(INFRASTRUCTURE).await;
    drop(served);
    match outcome.try_recv() {
        Ok(Ok(())) => {}
        // Nothing has ever been in place. What has ended the session comes first: the deployment was only cancelled by it.
        Ok(Err(error)) => return result.and(Err(error)),
        Err(_) => return result.and(Err(interrupted())),
    }
    if settings.local.is_none() {
        ui.info(format!(
            "The functions of stage {stage} are stubs still: `sst deploy` gives them their own code"
        ));
    }
    ui.info("Stopped");
    result
}

/// `1 function`, `2 functions`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

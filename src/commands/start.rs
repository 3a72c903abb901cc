//! `sst start`: deploys the app with stubs in place of its functions, and runs the functions here.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    own_code::write_outputs,
    session::{Session, SessionFile},
    stage::{confirm_bootstrap, stage},
};
use crate::{
    app::{self, Outputs},
    aws::Aws,
    bridge::{self, Bridge},
    builder::{self, Builder},
    cloud::{self, Cloud},
    control::Control,
    core::{Config, State},
    debug_stack, editors,
    error::{Error, Kind, Result},
    live::{Interrupt, Live},
    local_calls::LocalCalls,
    process::{self, Spawner},
    project::{
        NOT_CHOSEN, StateDir,
        manifest::{FunctionSpec, ORIGINAL_PREFIX},
    },
    relay::{self, Relay},
    settings, stub_package,
    tools::Tools,
    ui::{Ui, UiEvent},
    watch,
    worker::{Workers, environment::Surroundings},
};

/// How long the preparations may take to stop after Ctrl-C, before their processes are killed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs until interrupted.
///
/// # Errors
/// Whatever keeps the app from being deployed and its functions from being run; see [`Kind`].
pub async fn run(
    settings: settings::Start,
    spawner: &Spawner,
    ui: &Ui,
    mut interrupts: mpsc::UnboundedReceiver<Interrupt>,
) -> Result<()> {
    let state_dir = settings.project.state_dir()?;
    let mut cloud = None;
    let cancel = CancellationToken::new();
    let prepared = {
        let prepare = prepare(&settings, &state_dir, spawner, ui, &cancel, &mut cloud);
        tokio::pin!(prepare);
        tokio::select! {
            prepared = &mut prepare => prepared,
            _ = interrupts.recv() => {
                ui.info("stopping");
                cancel.cancel();
                // Whatever the preparations say now, the user's wish is the reason.
                let _ = tokio::select! {
                    ended = tokio::time::timeout(PATIENCE, &mut prepare) => ended.is_ok(),
                    _ = interrupts.recv() => false,
                };
                Err(Error::new(Kind::Interrupted, "interrupted"))
            }
        }
    };
    let result = match prepared {
        Ok(prepared) => serve(prepared, &settings, state_dir, spawner, ui, interrupts).await,
        Err(error) => Err(error),
    };
    if let Some(cloud) = cloud {
        cloud.stop().await;
    }
    result
}

/// What has been prepared when functions can be served.
struct Prepared {
    tools: Tools,
    stage: String,
    aws: Aws,
    functions: Vec<FunctionSpec>,
    outputs: Outputs,
    relay: Relay,
}

async fn prepare(
    settings: &settings::Start,
    state_dir: &StateDir,
    spawner: &Spawner,
    ui: &Ui,
    cancel: &CancellationToken,
    cloud: &mut Option<Cloud>,
) -> Result<Prepared> {
    let tools = Tools::find(state_dir.create_directory("tool")?, spawner).await?;
    process::claim(&tools.node_version);
    if let settings::Cloud::Local { enforce_iam } = settings.cloud {
        let options = cloud::Options {
            cache: settings.cache.clone(),
            enforce_iam,
            node_path: Some(settings.project.root.join("node_modules")),
            log: state_dir.path("local-cloud.log"),
        };
        *cloud = Some(Cloud::start(options, spawner, ui).await?);
    }
    let aws = Aws::connect(settings.aws(cloud.as_ref().map(|cloud| cloud.endpoint().to_owned()))).await?;
    let fallback = aws.endpoint.is_some().then_some("dev");
    let stage = stage(&settings.project, settings.stage.as_deref(), fallback, &aws, ui).await?;
    let target =
        app::Target { stage: stage.clone(), region: aws.region.clone(), account: aws.account.clone() };
    let context = app::Context { project: &settings.project, tools: &tools, spawner, ui, cancel };

    // Neither needs the other, and both take seconds.
    let name = debug_stack::name(&stage, &settings.project.name);
    let (debug_stack, mut assembly) =
        tokio::try_join!(debug_stack::deploy(&aws, &name, ui), app::synthesize(&context, &target, &[]))?;
    if app::look_up(&context, &aws, &target, &assembly).await? {
        assembly = app::synthesize(&context, &target, &[]).await?;
    }
    let package = stub_package::package(&tools.stub, &state_dir.create_directory("stub")?)?;
    let options = app::Options {
        debug_stack: &debug_stack,
        region: &aws.region,
        increase_timeout: settings.increase_timeout,
        stub_zip: &package.path,
        stub_sha256: &package.sha256,
    };
    let mut live = rewrite(&context, &assembly, settings, &options, state_dir)?;
    if !live.unbuilt.is_empty() {
        // They keep their own code, which has to be built for that.
        let assembly = app::synthesize(&context, &target, &live.unbuilt).await?;
        live = rewrite(&context, &assembly, settings, &options, state_dir)?;
    }
    report(&live, ui);
    let functions = live.manifest.functions.clone();
    let text = serde_json::to_vec_pretty(&live.manifest).unwrap_or_default();
    state_dir.write("functions.json", &text)?;

    if live.stacks.iter().any(|stack| stack.needs_bootstrap) && app::needs_bootstrap(&aws).await? {
        confirm_bootstrap(settings.yes, &aws).await?;
        app::bootstrap(&context, &aws).await?;
    }
    let owner = owner();
    let config = relay::Config { aws: aws.clone(), debug_stack, owner };
    let ids = functions.iter().map(|function| function.id.clone()).collect();
    let artifacts = state_dir.create_directory("artifacts")?;
    let compile = async {
        builder::compile_ahead(spawner, &functions, &artifacts, ui).await;
        Ok(())
    };
    let deployment = app::Deployment::from(&live);
    let (outputs, mut relay, ()) = tokio::try_join!(
        app::deploy(&context, &aws, &deployment),
        Relay::connect(config, ui.clone()),
        compile
    )?;
    // Not before the deployment: calls are answered by whoever answered them until the stubs are there.
    relay.register(ids).await?;
    Ok(Prepared { tools, stage, aws, functions, outputs, relay })
}

async fn serve(
    prepared: Prepared,
    settings: &settings::Start,
    state_dir: StateDir,
    spawner: &Spawner,
    ui: &Ui,
    interrupts: mpsc::UnboundedReceiver<Interrupt>,
) -> Result<()> {
    let Prepared { tools, stage, aws, functions, outputs, relay } = prepared;
    let root = settings.project.root.clone();
    let (sender, events) = mpsc::unbounded_channel();
    let (ready_sender, ready) = mpsc::unbounded_channel();
    let strip = if aws.endpoint.is_some() { cloud::SERVER_VARIABLES } else { &[] };
    let surroundings = Surroundings::from_process(strip, Some(ORIGINAL_PREFIX));
    let outside = outside_roots(&root, &functions);
    let _watch = watch::start(root.clone(), outside, sender.clone(), ui.clone())?;
    let artifacts = state_dir.create_directory("artifacts")?;
    let means = bridge::Means { spawner: spawner.clone(), events: sender.clone(), ui: ui.clone() };
    let mut bridge = open_bridge(settings, &state_dir, &stage, &functions, means).await?;
    let inspector = bridge.address().to_string();
    let debug_adapter = bridge.adapter_address().to_string();
    let debug_ports = open_function_ports(&mut bridge, &state_dir, &stage, &functions).await?;
    let flat_inspector = bridge.flat_address().to_string();
    let (control, calls) = Control::open().await.map_err(|error| {
        Error::new(Kind::Environment, "no socket for other commands to connect to").detail(error)
    })?;
    let live = Live {
        calls,
        local: LocalCalls::default(),
        state: State::new(Config { max_workers: settings.max_workers, ..Config::default() }),
        events,
        workers: Workers::new(tools.clone(), spawner.clone(), surroundings, ready_sender, sender.clone()),
        builder: Builder::new(tools, spawner.clone(), root, artifacts, sender.clone(), ui.clone()),
        bridge,
        sender,
        ready,
        ui: ui.clone(),
    };
    for (stack, outputs) in &outputs {
        for (name, value) in outputs {
            ui.send(UiEvent::Output { stack: stack.clone(), name: name.clone(), value: value.clone() });
        }
    }
    let session = Session {
        control: control.address().to_string(),
        token: control.token(),
        pid: std::process::id(),
        stage: &stage,
        region: &aws.region,
        inspector: inspector.clone(),
        flat_inspector: flat_inspector.clone(),
        debug_adapter: debug_adapter.clone(),
        debug_ports: &debug_ports,
        endpoint: aws.endpoint.as_deref(),
        outputs: &outputs,
    };
    if let Some(file) = &settings.outputs_file {
        write_outputs(file, &outputs)?;
    }
    let _session = SessionFile::write(state_dir.clone(), &session)?;
    let count = counted(functions.len(), "function");
    ui.info(format!(
        "Listening for requests (stage {stage}, {count}, inspector {inspector}, flat {flat_inspector})"
    ));
    if functions.iter().any(|function| !function.is_node()) {
        ui.info(format!("Debuggers for all languages attach at {debug_adapter}"));
    }
    mention_editors(&settings.project.root, &state_dir, ui)?;
    live.run(functions.into_iter().map(Arc::new).collect(), relay, interrupts).await;
    if !matches!(settings.cloud, settings::Cloud::Local { .. }) {
        ui.info(format!(
            "The functions of stage {stage} are stubs still: `sst deploy` gives them their own code"
        ));
    }
    ui.info("Stopped");
    Ok(())
}

/// Finds the app's functions and puts stubs in their place.
fn rewrite(
    context: &app::Context<'_>,
    assembly: &app::Assembly,
    settings: &settings::Start,
    options: &app::Options<'_>,
    state_dir: &StateDir,
) -> Result<app::Rewritten> {
    let mut manifest = app::discover(assembly, context.project)?;
    settings.choice.apply(&mut manifest)?;
    app::rewrite(assembly, &manifest, options, &state_dir.fresh_directory("cdk.out.live")?)
}

fn report(live: &app::Rewritten, ui: &Ui) {
    let (others, unable): (Vec<_>, Vec<_>) =
        live.manifest.left_alone.iter().partition(|function| function.reason == NOT_CHOSEN);
    if !others.is_empty() {
        ui.info(format!("Not live, as was asked for: {}", counted(others.len(), "function")));
    }
    for function in unable {
        ui.warning(format!("`{}` is not live: {}", function.id, function.reason));
    }
    for notice in &live.notices {
        ui.warning(notice.clone());
    }
}

/// `1 function`, `2 functions`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Says once that there are files for editors, unless the project has some.
fn mention_editors(root: &camino::Utf8Path, state_dir: &StateDir, ui: &Ui) -> Result<()> {
    const MARK: &str = "editors-mentioned";
    if state_dir.read(MARK)?.is_none() && !editors::has_any(root) {
        ui.info("To debug in your editor: `sst ide vscode`, `webstorm`, or `intellij` writes its launch configurations");
        state_dir.write(MARK, b"")?;
    }
    Ok(())
}

/// Opens the inspector endpoint, where it was the last time if possible: debuggers are configured with its port.
async fn open_bridge(
    settings: &settings::Start,
    state_dir: &StateDir,
    stage: &str,
    functions: &[FunctionSpec],
    means: bridge::Means,
) -> Result<Bridge> {
    let file = format!("inspector-{stage}");
    // In the order of `bridge::Ports`.
    let remembered = state_dir.read(&file)?.unwrap_or_default();
    let mut remembered = remembered.split_whitespace().map_while(|port| port.parse::<u16>().ok());
    let (first, second, third) = (remembered.next(), remembered.next(), remembered.next());
    let port = settings.inspect_port.or(first).unwrap_or(bridge::DEFAULT_PORT);
    let ports = bridge::Ports {
        inspector: port,
        flat: second.unwrap_or(port.saturating_add(1)),
        adapter: third.unwrap_or(port.saturating_add(2)),
    };
    // Clients know a target by its id, which has to be the same after a restart.
    let id = sst_wire::sha256_hex(format!("{}\n{stage}", settings.project.root).as_bytes());
    let names = bridge::Names {
        id: format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]),
        title: format!("{} ({stage})", settings.project.name),
        root: settings.project.root.clone(),
    };
    let has_node = functions.iter().any(FunctionSpec::is_node);
    let bridge = Bridge::open(ports, names, has_node, means).await.map_err(|error| {
        Error::new(Kind::Environment, format!("no port for the inspector endpoint from {port} on"))
            .detail(error)
            .hint("name a free one with `--inspect-port`")
    })?;
    if settings.inspect_port.is_some_and(|wanted| wanted != bridge.address().port()) {
        return Err(Error::new(Kind::Environment, format!("port {port} is taken"))
            .hint("name another one with `--inspect-port`"));
    }
    let addresses = [bridge.address(), bridge.flat_address(), bridge.adapter_address()];
    let ports = addresses.map(|address| address.port().to_string()).join(" ");
    state_dir.write(&file, ports.as_bytes())?;
    Ok(bridge)
}

/// Opens a port for each function that does not run on Node, where it was the last time if possible.
async fn open_function_ports(
    bridge: &mut Bridge,
    state_dir: &StateDir,
    stage: &str,
    functions: &[FunctionSpec],
) -> Result<BTreeMap<String, u16>> {
    let file = format!("debug-ports-{stage}.json");
    let remembered = state_dir.read(&file)?.unwrap_or_default();
    let mut ports: BTreeMap<String, u16> = serde_json::from_str(&remembered).unwrap_or_default();
    let mut open = BTreeMap::new();
    for function in functions.iter().filter(|function| !function.is_node()) {
        let known = ports.get(function.id.as_str()).copied();
        let free = ports.values().max().map_or(bridge::FIRST_FUNCTION_PORT, |last| last.saturating_add(1));
        let port = bridge
            .open_function(&function.id, known.unwrap_or(free))
            .await
            .map_err(|error| Error::new(Kind::Environment, "no port for a debugger is free").detail(error))?;
        ports.insert(function.id.to_string(), port);
        open.insert(function.id.to_string(), port);
    }
    let text = serde_json::to_vec_pretty(&ports).unwrap_or_default();
    state_dir.write(&file, &text)?;
    Ok(open)
}

/// The directories outside of the project that functions have code in.
fn outside_roots(root: &camino::Utf8Path, functions: &[FunctionSpec]) -> Vec<camino::Utf8PathBuf> {
    let directories = functions.iter().map(|function| function.source.directory());
    let mut outside: Vec<_> = directories
        .filter(|directory| !directory.starts_with(root))
        .map(camino::Utf8Path::to_owned)
        .collect();
    outside.sort();
    outside.dedup();
    outside
}

/// Who runs this, as others see it when functions change hands.
fn owner() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or("somebody".to_owned());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{user}@{}", host.as_deref().unwrap_or("a machine"))
}

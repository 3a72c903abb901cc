//! `sst deploy`, `remove`, `diff`, `build`, and `cdk`: the app with its own code, without stubs.

use std::{collections::BTreeSet, ops::Deref};

use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

use super::{
    claims::{self, Others, Stage},
    cloud_packages,
    session::{self, RunningSession},
    stage::{confirm_bootstrap, confirmed, stage},
};
use crate::{
    app::{self, Assembly},
    aws::{self, Aws},
    builder::Toolchain,
    cache, cli, debug_stack,
    error::{Error, Kind, Result},
    lock::Lock,
    process::{Command, Spawner},
    project::StateDir,
    settings,
    tools::Tools,
    ui::{Ui, UiEvent, prompt},
};

/// The commands of the CDK CLI that change what is deployed.
const CHANGING: [&str; 6] = ["deploy", "destroy", "import", "refactor", "rollback", "watch"];

/// All functions are built. None is, where nothing is deployed.
pub(super) const EVERYTHING: &str = "*";

/// `sst deploy`.
///
/// # Errors
/// [`Kind::Usage`] for a stack that the app has not; [`Kind::Synthesis`], [`Kind::Deployment`].
pub(super) async fn deploy(
    arguments: &cli::Deploy,
    settings: &settings::App,
    spawner: &Spawner,
    ui: &Ui,
) -> Result<()> {
    let copy = Copy::find("sst deploy", settings, spawner, ui).await?;
    if !arguments.yes {
        Others::find(&copy.locks, &copy.aws, &copy.debug_stack()).await.confirm(ui).await?;
    }
    let app = copy.synthesize(&[EVERYTHING.to_owned()]).await?;
    let stacks = app.selectors(&arguments.stacks)?;
    let outputs = app.deploy(stacks, arguments.deployment.rolls_back(), arguments.yes).await?;
    for (stack, outputs) in &outputs {
        for (name, value) in outputs {
            ui.send(UiEvent::Output { stack: stack.clone(), name: name.clone(), value: value.clone() });
        }
    }
    if let Some(file) = &arguments.outputs_file {
        write_outputs(file, &outputs)?;
    }
    Ok(())
}

/// `sst remove`.
///
/// # Errors
/// As [`deploy`]; [`Kind::Usage`] when it is not confirmed.
pub(super) async fn remove(
    arguments: &cli::Remove,
    settings: &settings::App,
    spawner: &Spawner,
    ui: &Ui,
) -> Result<()> {
    let copy = Copy::find("sst remove", settings, spawner, ui).await?;
    let app = copy.synthesize(&[]).await?;
    let stacks = app.selectors(&arguments.stacks)?;
    let debug_stack = app.debug_stack();
    let named: Vec<&str> = match arguments.stacks.as_slice() {
        [] => app
            .assembly
            .stacks
            .iter()
            .map(|stack| stack.name.as_str())
            .chain([debug_stack.as_str()])
            .collect(),
        named => named.iter().map(String::as_str).collect(),
    };
    let mut what = format!("Remove {} from aws://{}/{}", named.join(", "), app.aws.account, app.aws.region);
    if !arguments.yes {
        if let Some(others) = Others::find(&app.locks, &app.aws, &debug_stack).await.sentence() {
            what = format!("{others}. {what}");
        }
        if !prompt::is_interactive() {
            return Err(Error::new(
                Kind::Usage,
                "what is removed is gone for good, and there is no terminal to ask",
            )
            .detail(what)
            .hint("give `--yes`"));
        }
        if !confirmed(format!("{what}? [y/N]")).await {
            return Err(Error::new(Kind::Usage, "nothing was removed"));
        }
    }
    let _change = app.locks.change(app.command, ui).await;
    app::remove(&app.context(), &app.aws, &app.assembly.directory, &stacks).await?;
    if arguments.stacks.is_empty() {
        debug_stack::remove(&app.aws, &debug_stack, ui).await?;
    }
    Ok(())
}

/// `sst build`.
///
/// # Errors
/// [`Kind::Synthesis`].
pub(super) async fn build(settings: &settings::App, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let place = Place::to_build(settings, ui).await?;
    let copy = Copy::at(place, "sst build", settings, spawner, ui).await?;
    let app = copy.synthesize(&[EVERYTHING.to_owned()]).await?;
    ui.info(format!("The cloud assembly is in `{}`", app.assembly.directory));
    Ok(())
}

/// `sst diff` and `sst cdk`: the CDK CLI, as which this process goes on, so that terminal, signals and exit code are its own business.
///
/// # Errors
/// [`Kind::Synthesis`]; [`Kind::Environment`] when there is no CLI.
pub(super) async fn cdk(
    arguments: &[String],
    settings: &settings::App,
    spawner: &Spawner,
    ui: &Ui,
) -> Result<Command> {
    let first = arguments.first().map(String::as_str).unwrap_or_default();
    let name = if first == "diff" { "sst diff".to_owned() } else { format!("sst cdk {first}") };
    let mut copy = Copy::find(&name, settings, spawner, ui).await?;
    let app = copy.synthesize(&[EVERYTHING.to_owned()]).await?;
    let mut command = app::cdk_command(&app.context(), &app.aws, &app.assembly.directory).await?;
    command.args(arguments);
    if CHANGING.contains(&first) {
        if let Some(server) = app.locks.server() {
            ui.warning(format!(
                "{server} serves this stage; calls do not come there any more when its stubs go"
            ));
        }
        app.locks.change(&name, ui).await.outlast_exec();
    }
    if let Some(lock) = copy.claim.take() {
        if let Err(error) = lock.outlast_exec() {
            tracing::warn!(%error, "a lock ends early");
        }
        // It is the program's from now on that this process becomes.
        std::mem::forget(lock);
    }
    Ok(command)
}

/// What `sst diff` asks the CDK CLI for. Stacks that the app has not are the CLI's to refuse.
#[must_use]
pub(super) fn diff(arguments: cli::Diff) -> Vec<String> {
    let stacks =
        if arguments.stacks.is_empty() { vec![app::EVERY_STACK.to_owned()] } else { arguments.stacks };
    ["diff".to_owned()].into_iter().chain(stacks).collect()
}

/// Where a copy of the app is.
struct Place {
    aws: Aws,
    /// The stage of the session whose local cloud it is.
    stage: Option<String>,
    /// Whether nobody is there to be asked.
    offline: bool,
}

impl Place {
    /// The account, or the local cloud of a running session.
    async fn find(settings: &settings::App, ui: &Ui) -> Result<Self> {
        if settings.local {
            let session = session::running(&settings.project.state_dir()?)
                .map_err(|error| error.hint("run `sst start --local` in another terminal"))?;
            return Self::of_session(settings, session, ui).await;
        }
        Ok(Self { aws: super::connect(settings.aws(), ui).await?, stage: None, offline: false })
    }

    /// The same; without a session, without credentials, and without a network there is enough to build an app.
    async fn to_build(settings: &settings::App, ui: &Ui) -> Result<Self> {
        let offline = async || {
            let aws = Aws::offline(settings.aws()).await?;
            Ok(Self { aws, stage: None, offline: true })
        };
        if settings.local {
            return match session::running(&settings.project.state_dir()?) {
                Ok(session) => Self::of_session(settings, session, ui).await,
                Err(_) => offline().await,
            };
        }
        let error = match super::connect(settings.aws(), ui).await {
            Ok(aws) => return Ok(Self { aws, stage: None, offline: false }),
            Err(error) if error.kind == Kind::Cloud || aws::is_without_region(&error) => error,
            Err(error) => return Err(error),
        };
        let place: Self = offline().await?;
        let detail = error.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        ui.warning(format!(
            "{}{detail}; the app is built for the account {} in {}, as it is in a local cloud",
            error.message, place.aws.account, place.aws.region
        ));
        Ok(place)
    }

    async fn of_session(settings: &settings::App, session: RunningSession, ui: &Ui) -> Result<Self> {
        let Some(endpoint) = session.endpoint else {
            return Err(Error::new(
                Kind::Usage,
                "the `sst start` that runs in this project has no local cloud",
            )
            .hint("leave `--local` out to work on its account"));
        };
        let options = settings.aws();
        let region = options.region.or(session.region);
        let options = aws::Options { local: true, endpoint: Some(endpoint), region, ..options };
        Ok(Self { aws: super::connect(options, ui).await?, stage: Some(session.stage), offline: false })
    }
}

/// A copy of the app in a cloud, and what works on it.
pub(super) struct Copy<'a> {
    command: &'a str,
    settings: &'a settings::App,
    spawner: &'a Spawner,
    ui: &'a Ui,
    work: StateDir,
    /// What is written there is ours while there is this.
    claim: Option<Lock>,
    tools: Tools,
    cancel: CancellationToken,
    pub(super) aws: Aws,
    /// Whether nobody is there to be asked.
    offline: bool,
    pub(super) stage: String,
    pub(super) locks: Stage,
}

/// The app as it is. Beside what it is a copy of, it has an assembly.
pub(super) struct Synthesized<'a> {
    copy: &'a Copy<'a>,
    pub(super) assembly: Assembly,
}

impl<'a> Deref for Synthesized<'a> {
    type Target = Copy<'a>;

    fn deref(&self) -> &Self::Target {
        self.copy
    }
}

impl<'a> Copy<'a> {
    pub(super) async fn find(
        command: &'a str,
        settings: &'a settings::App,
        spawner: &'a Spawner,
        ui: &'a Ui,
    ) -> Result<Self> {
        Self::at(Place::find(settings, ui).await?, command, settings, spawner, ui).await
    }

    async fn at(
        place: Place,
        command: &'a str,
        settings: &'a settings::App,
        spawner: &'a Spawner,
        ui: &'a Ui,
    ) -> Result<Self> {
        let Place { aws, stage: of_session, offline } = place;
        let work = settings.project.state_dir()?;
        let claim = claims::command(command, &settings.project, ui).await?;
        let tools = Tools::find(work.create_directory("tool")?, spawner).await?;
        crate::process::claim(&tools.node_version);
        let fallback = (aws.endpoint.is_some() || offline).then_some("dev");
        let flag = settings.stage.as_deref().or(of_session.as_deref());
        let stage = stage(&settings.project, flag, fallback, Some(&aws.caller_arn), ui).await?;
        let locks = Stage::new(&cache::directory()?, &aws, &settings.project, &stage);
        let cancel = CancellationToken::new();
        Ok(Self { command, settings, spawner, ui, work, claim, tools, cancel, aws, offline, stage, locks })
    }

    pub(super) async fn synthesize(&'a self, bundle: &[String]) -> Result<Synthesized<'a>> {
        let target = app::Destination {
            stage: self.stage.clone(),
            region: self.aws.region.clone(),
            account: self.aws.account.clone(),
            debug_stack: None,
            context: self.settings.context.clone(),
        };
        let context = self.context();
        let mut assembly = app::synthesize(&context, &target, bundle).await?;
        if self.offline {
            if !assembly.missing.is_empty() {
                self.ui.warning(format!(
                    "dummies stand for what the app looks up in its account: {}",
                    assembly.missing.join(", ")
                ));
            }
        } else if app::look_up(&context, &self.aws, &target, &assembly).await? {
            assembly = app::synthesize(&context, &target, bundle).await?;
        }
        Ok(Synthesized { copy: self, assembly })
    }

    fn context(&self) -> app::Context<'_> {
        app::Context {
            project: &self.settings.project,
            work: &self.work,
            tools: &self.tools,
            spawner: self.spawner,
            ui: self.ui,
            cancel: &self.cancel,
        }
    }

    pub(super) fn debug_stack(&self) -> String {
        debug_stack::name(&self.stage, &self.settings.project.name)
    }
}

impl Synthesized<'_> {
    /// Deploys stacks, by what the CDK CLI selects them by. Whoever serves the stage here is told. With `yes` nobody is asked about a
    /// bootstrap that is missing.
    ///
    /// # Errors
    /// [`Kind::Deployment`].
    pub(super) async fn deploy(
        &self,
        stacks: Vec<String>,
        rollback: bool,
        yes: bool,
    ) -> Result<app::Outputs> {
        let environments = self.assembly.environments(|stack| {
            let selector = &self.assembly.stacks[stack].selector;
            stacks.iter().any(|selected| selected == app::EVERY_STACK || selected == selector)
        });
        let project = &self.settings.project;
        let lacking = app::lacking(project, &self.aws, &environments).await?;
        confirm_bootstrap(yes, &self.aws, &lacking).await?;
        app::bootstrap(&self.context(), &self.aws, &lacking).await?;
        let _change = self.locks.change(self.command, self.ui).await;
        let state_dir = &self.work;
        let in_session = self.aws.endpoint.is_some() && session::running(state_dir).is_ok();
        if in_session {
            // The local cloud is that of a running `sst start`, which looks for packages where that has said.
            let (root, artifacts) = (project.root.clone(), state_dir.path("artifacts"));
            let toolchain =
                Toolchain::new(self.spawner.clone(), root, artifacts, cache::directory()?, self.ui.clone());
            cloud_packages::provide(&toolchain, &self.assembly.directory, state_dir).await;
        }
        let source = app::Deployment {
            directory: &self.assembly.directory,
            stacks,
            rollback,
            direct: in_session,
            asset_buckets: &BTreeSet::new(),
        };
        app::deploy(&self.context(), &self.aws, &source, None).await
    }

    /// By which the CDK CLI selects what was named; everything if nothing was.
    fn selectors(&self, named: &[String]) -> Result<Vec<String>> {
        if named.is_empty() {
            return Ok(vec![app::EVERY_STACK.to_owned()]);
        }
        let prefix = format!("{}-{}-", self.stage, self.settings.project.name);
        let select = |name: &String| {
            let fits = |stack: &&app::Stack| {
                stack.selector == *name
                    || stack.name == *name
                    || stack.name.strip_prefix(&prefix) == Some(name)
            };
            let found = self.assembly.stacks.iter().find(fits).map(|stack| stack.selector.clone());
            found.ok_or_else(|| {
                let all: Vec<_> =
                    self.assembly.stacks.iter().map(|stack| format!("`{}`", stack.name)).collect();
                Error::new(Kind::Usage, format!("no stack `{name}`; there are {}", all.join(", ")))
            })
        };
        named.iter().map(select).collect()
    }
}

/// Writes the outputs of the stacks as JSON: stack → name → value.
///
/// # Errors
/// [`Kind::Environment`] when the file cannot be written.
pub(super) fn write_outputs(file: &Utf8PathBuf, outputs: &app::Outputs) -> Result<()> {
    let mut text = serde_json::to_string_pretty(outputs).unwrap_or_default();
    text.push('\n');
    fs_err::write(file, text)
        .map_err(|error| Error::new(Kind::Environment, "the outputs cannot be written").detail(error))
}

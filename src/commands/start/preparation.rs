//! What `sst start` does before functions can be served and the app can be deployed. What does not need one another goes on side by
//! side; `SST_TRACE=start` tells what that comes to.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        claims, cloud_packages, connect, ide,
        serving::{Watches, stubs},
        stage::{confirm_bootstrap, stage},
    },
    plan::{App, Plan},
};
use crate::{
    app::{self, Assembly, Outputs, Standby},
    aws::Aws,
    builder::Toolchain,
    cloud::{self, Cloud},
    core::event::Event,
    debug_stack::{self, DebugStack},
    error::Result,
    lock::Lock,
    process::{self, Spawner},
    project::{Kind as ProjectKind, StateDir},
    relay::Relay,
    settings,
    tools::Tools,
    trace,
    ui::Ui,
};

/// The file of the debug stack's usual template.
const DEBUG_TEMPLATE: &str = "debug-stack.yaml";

/// What has been prepared when functions can be served and the app can be deployed.
pub(super) struct Prepared {
    pub app: App,
    pub plan: Plan,
    /// The outputs of the stacks, when there is nothing to deploy.
    pub unchanged: Option<Outputs>,
    pub relay: Relay,
    /// The stage is ours while there is this.
    pub served: Option<Lock>,
    /// Whoever changes what is deployed waits until there is somebody to tell of it.
    pub deploying: Option<Lock>,
    /// What has happened to files since the synthesis, and the other end of it.
    pub events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    pub watches: Watches,
    /// By which workers trust the local cloud.
    pub trust: Option<cloud::Trust>,
}

/// What it is prepared from.
#[derive(Clone, Copy)]
pub(super) struct Preparation<'a> {
    pub settings: &'a settings::Start,
    pub state_dir: &'a StateDir,
    pub spawner: &'a Spawner,
    pub ui: &'a Ui,
    pub cancel: &'a CancellationToken,
    pub claim: &'a claims::ProjectClaim,
}

/// The account, with what is claimed of it.
struct Place {
    aws: Aws,
    /// The locks of the stage.
    locks: claims::Stage,
    served: Option<Lock>,
    deploying: Option<Lock>,
}

/// What there is when the app is synthesised.
struct Ready {
    place: Place,
    target: app::Destination,
    answering: (DebugStack, Relay),
    assembly: Assembly,
    /// A CDK CLI, where there is something to deploy in any case.
    standby: Option<Standby>,
    /// When the synthesis began.
    began: SystemTime,
}

impl Preparation<'_> {
    /// Prepares everything. A local cloud that it has started is in `cloud`, whatever becomes of the rest.
    pub(super) async fn run(self, cloud: &mut Option<Cloud>) -> Result<Prepared> {
        let Self { settings, state_dir, spawner, ui, cancel, .. } = self;
        let tools = Tools::find(state_dir.create_directory("tool")?, spawner).await?;
        process::claim(&tools.node_version);
        trace::start!("Node and the npm package are found");
        let work = state_dir.below("start")?;
        let context =
            app::Context { project: &settings.app.project, work: &work, tools: &tools, spawner, ui, cancel };
        let ready = async {
            match settings.local {
                Some(local) => Box::pin(self.in_local_cloud(&context, local, cloud)).await,
                None => Box::pin(self.in_account(&context)).await,
            }
        };
        let (ready, stubs) =
            tokio::try_join!(ready, stubs::pack(&tools, state_dir, settings.local.is_some()))?;
        let Ready { place, mut target, answering, assembly, standby, began } = ready;
        let (debug_stack, relay) = answering;
        let Place { aws, locks, served, deploying } = place;
        // It was asked, and is not again before the next start.
        target.debug_stack = None;
        let toolchain = Toolchain::new(
            spawner.clone(),
            settings.app.project.root.clone(),
            state_dir.create_directory("artifacts")?,
            settings.cache.clone(),
            ui.clone(),
        );
        let app = App {
            settings: settings.clone(),
            tools: tools.clone(),
            spawner: spawner.clone(),
            ui: ui.clone(),
            aws,
            target,
            state_dir: state_dir.clone(),
            debug_stack,
            home: claims::home(&settings.cache)?,
            stubs,
            toolchain,
            standby: Arc::new(Mutex::new(standby)),
            work: work.clone(),
            stage: locks,
            notices: cloud.as_ref().map(Cloud::notices),
            cancel: cancel.clone(),
            mounts_told: Arc::default(),
        };
        let plan = app.plan_from(assembly).await?;
        trace::start!("the deployment is planned");
        let events = mpsc::unbounded_channel();
        // Before the deployment, which takes long enough for something to be saved meanwhile.
        let watches = Watches::start(settings.app.project.root.clone(), events.0.clone(), ui.clone())?;
        watches.follow(&plan.inputs);
        // A command that builds the app saves files itself.
        if !matches!(settings.app.project.kind, ProjectKind::Cdk { build: Some(_), .. }) {
            watches.catch_up(&plan.inputs, began);
        }
        trace::start!("files are watched");
        plan.report(ui);
        let unchanged = unchanged_or_prepared(&app, &plan).await?;
        let trust = cloud.as_ref().map(|cloud| cloud.trust().clone());
        Ok(Prepared { app, plan, unchanged, relay, served, deploying, events, watches, trust })
    }

    /// Starts the local cloud. The app need not wait for that: whatever is asked of the cloud, account and region are known before.
    async fn in_local_cloud(
        self,
        context: &app::Context<'_>,
        local: settings::LocalCloud,
        cloud: &mut Option<Cloud>,
    ) -> Result<Ready> {
        let Self { settings, state_dir, spawner, ui, .. } = self;
        let stage =
            stage(&settings.app.project, settings.app.stage.as_deref(), Some("dev"), None, ui).await?;
        let region = settings.aws(None).local_region();
        let mut target = self.destination(stage, cloud::ACCOUNT.to_owned(), region)?;
        let waits = self.waits_for_synthesis();
        let began = SystemTime::now();
        let there = async {
            let options = cloud::Options {
                cache: settings.cache.clone(),
                enforce_iam: local.enforce_iam,
                node_path: cloud_packages::search_path(&settings.app.project.root, state_dir),
                log: state_dir.path("local-cloud.log"),
            };
            let started = cloud.insert(Cloud::start(options, spawner, ui).await?);
            trace::start!("the local cloud answers");
            let endpoint = started.endpoint().to_owned();
            let aws = self.connect(Some(endpoint)).await?;
            let place = self.claim(aws, &target.stage).await?;
            let answering = async {
                match waits {
                    true => Ok(None),
                    false => self.answer(&place.aws, &target, None).await.map(Some),
                }
            };
            let bootstrap = async {
                app::bootstrap_local_cloud(context, &place.aws).await;
                Ok(())
            };
            let (answering, ()) = tokio::try_join!(answering, bootstrap)?;
            Ok((place, answering))
        };
        let synthesis = self.synthesise(context, &target);
        let standby = async { Ok(Standby::start(context).await) };
        let (standby, (place, answering), mut assembly) = tokio::try_join!(standby, there, synthesis)?;
        if (&place.aws.account, &place.aws.region) != (&target.account, &target.region) {
            target.account.clone_from(&place.aws.account);
            target.region.clone_from(&place.aws.region);
            assembly = self.synthesise(context, &target).await?;
        }
        let answering = match answering {
            Some(answering) => answering,
            None => self.answer(&place.aws, &target, Some(&assembly.debug_stack)).await?,
        };
        Ok(Ready { place, target, answering, assembly, standby, began })
    }

    /// Connects to an account, which says for what place the app is to be synthesised.
    async fn in_account(self, context: &app::Context<'_>) -> Result<Ready> {
        let Self { settings, ui, .. } = self;
        let aws = self.connect(None).await?;
        let fallback = aws.endpoint.is_some().then_some("dev");
        let (project, flag) = (&settings.app.project, settings.app.stage.as_deref());
        let stage = stage(project, flag, fallback, Some(&aws.caller_arn), ui).await?;
        let place = self.claim(aws, &stage).await?;
        let aws = &place.aws;
        let target = self.destination(stage, aws.account.clone(), aws.region.clone())?;
        let began = SystemTime::now();
        let synthesis = self.synthesise(context, &target);
        let (answering, assembly) = if self.waits_for_synthesis() {
            let assembly = synthesis.await?;
            (self.answer(aws, &target, Some(&assembly.debug_stack)).await?, assembly)
        } else {
            // None needs another, and two of them take seconds.
            tokio::try_join!(self.answer(aws, &target, None), synthesis)?
        };
        Ok(Ready { place, target, answering, assembly, standby: None, began })
    }

    /// Whether the debug stack is only deployed when the app is synthesised: that may want another one, or turn out not to have the
    /// functions that were asked for, of which nobody should hear after something was deployed.
    fn waits_for_synthesis(self) -> bool {
        self.settings.app.project.may_change_debug_stack() || self.settings.choice.is_any()
    }

    /// Synthesises the app, and looks whether it has the functions that were asked for.
    async fn synthesise(self, context: &app::Context<'_>, target: &app::Destination) -> Result<Assembly> {
        let assembly = app::synthesize(context, target, &[]).await?;
        // What is made of dummies may have other functions.
        if self.settings.choice.is_any() && assembly.missing.is_empty() {
            let mut manifest = app::discover(&assembly, context.project)?;
            self.settings.choice.apply(&mut manifest)?;
        }
        Ok(assembly)
    }

    async fn connect(self, endpoint: Option<String>) -> Result<Aws> {
        let aws = connect(self.settings.aws(endpoint), self.ui).await?;
        trace::start!("AWS knows who this is");
        ide::remember_start(self.state_dir, self.settings.local.is_some())?;
        Ok(aws)
    }

    async fn claim(self, aws: Aws, stage: &str) -> Result<Place> {
        let locks = claims::Stage::new(&self.settings.cache, &aws, &self.settings.app.project, stage);
        let served = locks.serve(self.claim, self.ui).await?;
        let deploying = locks.deployment(self.cancel.clone(), self.ui).await?;
        trace::start!("the stage is claimed");
        Ok(Place { aws, locks, served, deploying })
    }

    fn destination(self, stage: String, account: String, region: String) -> Result<app::Destination> {
        self.state_dir.write(DEBUG_TEMPLATE, debug_stack::TEMPLATE.as_bytes())?;
        let name = debug_stack::name(&stage, &self.settings.app.project.name);
        let debug_stack = app::PlainDebugStack { name, template: self.state_dir.path(DEBUG_TEMPLATE) };
        let context = self.settings.app.context.clone();
        Ok(app::Destination { stage, account, region, debug_stack: Some(debug_stack), context })
    }

    /// Deploys the debug stack, as the app wants it if that has said anything of it, and connects to it.
    async fn answer(
        self,
        aws: &Aws,
        target: &app::Destination,
        word: Option<&app::DebugStackExport>,
    ) -> Result<(DebugStack, Relay)> {
        let Self { settings, ui, .. } = self;
        if let Some(notice) = word.and_then(|word| word.notice.as_ref()) {
            ui.warning(notice.clone());
        }
        let custom = word.and_then(|word| {
            let template = word.template.as_ref()?;
            Some(debug_stack::Custom { template, tags: &word.tags })
        });
        let stack_name = debug_stack::name(&target.stage, &settings.app.project.name);
        let home = claims::home(&settings.cache)?;
        stubs::meet(aws, &stack_name, custom, &home, ui).await
    }
}

/// Looks whether there is anything to deploy: the outputs of the stacks, when there is not. Else sees to it that the CDK can deploy.
async fn unchanged_or_prepared(app: &App, plan: &Plan) -> Result<Option<Outputs>> {
    let environments = plan.environments();
    let looked = app::lacking(&app.settings.app.project, &app.aws, &environments);
    let lacking = if app.settings.local.is_some() {
        // It has begun empty.
        looked.await?
    } else {
        // Neither needs the other, and where nothing is to be deployed it does not matter what else there is.
        let (mut looked, mut known) = (pin!(looked), None);
        let mut comparing = pin!(app::unchanged(&app.aws, &plan.live.stacks));
        let unchanged = loop {
            tokio::select! {
                unchanged = &mut comparing => break unchanged,
                lacking = &mut looked, if known.is_none() => known = Some(lacking),
            }
        };
        trace::start!(nothing = unchanged.is_some(), "it is known whether there is anything to deploy");
        if unchanged.is_some() {
            return Ok(unchanged);
        }
        match known {
            Some(lacking) => lacking?,
            None => looked.await?,
        }
    };
    confirm_bootstrap(app.settings.yes, &app.aws, &lacking).await?;
    app::bootstrap(&app.context(), &app.aws, &lacking).await?;
    trace::start!("what the CDK deploys with is there");
    Ok(None)
}

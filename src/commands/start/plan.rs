//! The app as it is deployed by `sst start`, from its sources to its outputs.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, Assembly, Kept, Outputs, Rewritten},
    aws::Aws,
    builder::Toolchain,
    debug_stack::DebugStack,
    error::Result,
    ids::FunctionId,
    process::Spawner,
    project::{NOT_CHOSEN, Project, SERVES_DEPLOYMENT, StateDir, manifest::Manifest},
    relay, settings,
    stub_package::Package,
    tools::Tools,
    ui::Ui,
};

use super::{
    super::{claims::Stage, cloud_packages},
    counted,
};

/// Everything that a deployment of the app takes.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub settings: settings::Start,
    pub tools: Tools,
    pub spawner: Spawner,
    pub ui: Ui,
    pub aws: Aws,
    pub target: app::Destination,
    pub state_dir: StateDir,
    pub debug_stack: DebugStack,
    /// See [`sst_wire::Registration::HOME`].
    pub home: String,
    pub package: Package,
    pub toolchain: Toolchain,
    /// Where what is synthesised goes: other commands of the project have a place of their own.
    pub work: StateDir,
    /// The locks of the stage.
    pub stage: Stage,
    pub cancel: CancellationToken,
}

/// What a deployment would bring.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub live: Rewritten,
    /// The files that it was made of.
    pub inputs: Vec<Utf8PathBuf>,
    /// The stubs of others that it leaves as they are.
    pub kept: Kept,
}

impl App {
    pub(super) fn context(&self) -> app::Context<'_> {
        app::Context {
            project: &self.settings.app.project,
            work: &self.work,
            tools: &self.tools,
            spawner: &self.spawner,
            ui: &self.ui,
            cancel: &self.cancel,
        }
    }

    /// Synthesises the app as it is now, the project's own settings included.
    ///
    /// # Errors
    /// What the project's files, or the app's code, have wrong.
    pub(super) async fn plan(&mut self) -> Result<Plan> {
        self.settings.app.project = Project::find(&self.settings.app.project.root)?;
        let assembly = app::synthesize(&self.context(), &self.target, &[]).await?;
        self.plan_from(assembly).await
    }

    /// Goes on from a first synthesis.
    ///
    /// # Errors
    /// As [`App::plan`]; [`crate::error::Kind::Cloud`] when what the app wants to look up is not answered.
    pub(super) async fn plan_from(&self, mut assembly: Assembly) -> Result<Plan> {
        let context = self.context();
        if app::look_up(&context, &self.aws, &self.target, &assembly).await? {
            assembly = app::synthesize(&context, &self.target, &[]).await?;
        }
        let (mut live, mut kept) = self.rewrite(&assembly).await?;
        if !live.unbuilt.is_empty() {
            // They keep their own code, which has to be built for that.
            assembly = app::synthesize(&context, &self.target, &live.unbuilt).await?;
            (live, kept) = self.rewrite(&assembly).await?;
        }
        Ok(Plan { live, inputs: assembly.inputs, kept })
    }

    /// The same plan, if others answer for what they did when it was made, and with the same stubs. Else another one.
    ///
    /// # Errors
    /// As [`App::plan`].
    pub(super) async fn renewed(&mut self, plan: Plan) -> Result<Plan> {
        let served = self.served(&plan.live.manifest).await?;
        let before = |id: &FunctionId| plan.kept.get(id).map(|kept| &kept.owner);
        let left_alone =
            || plan.live.manifest.left_alone.iter().filter(|function| function.reason != SERVES_DEPLOYMENT);
        if left_alone().all(|function| served.get(&function.id) == before(&function.id)) {
            let mut now = plan.kept.clone();
            self.read_deployed(&mut now).await;
            if now == plan.kept {
                return Ok(plan);
            }
        }
        let renewed = self.plan().await?;
        if !renewed.reports_like(&plan) {
            renewed.report(&self.ui);
        }
        Ok(renewed)
    }

    /// Who answers for functions of the stage from elsewhere. Not looked up where every function runs here.
    async fn served(&self, manifest: &Manifest) -> Result<BTreeMap<FunctionId, String>> {
        if manifest.left_alone.iter().all(|function| function.reason == SERVES_DEPLOYMENT) {
            return Ok(BTreeMap::new());
        }
        let served = relay::served(&self.aws, &self.debug_stack, &self.home).await;
        served.map_err(|error| {
            error.hint("it says who else serves functions of this stage, which are left as they are")
        })
    }

    async fn read_deployed(&self, kept: &mut Kept) {
        if let Err(reason) = app::read_deployed(&self.aws, kept).await {
            self.ui.warning(format!("{reason}; the stubs of others are deployed as this `sst` makes them"));
        }
    }

    /// Deploys what was planned last. Meanwhile does for its functions what takes longer than a call may take.
    ///
    /// # Errors
    /// [`crate::error::Kind::Deployment`].
    pub(super) async fn deploy(&self, plan: &Plan) -> Result<Outputs> {
        let ahead = async {
            self.toolchain.ahead(&plan.live.manifest.functions).await;
            Ok(())
        };
        let (outputs, ()) = tokio::try_join!(self.deploy_stacks(plan), ahead)?;
        Ok(outputs)
    }

    async fn deploy_stacks(&self, plan: &Plan) -> Result<Outputs> {
        if self.settings.local.is_some() {
            cloud_packages::provide(&self.toolchain, &plan.live.directory, &self.state_dir).await;
        }
        let deployment = app::Deployment::from(&plan.live);
        let deployment = app::Deployment { rollback: self.settings.rollback, ..deployment };
        app::deploy(&self.context(), &self.aws, &deployment).await
    }

    /// Finds the app's functions and puts stubs in their place.
    async fn rewrite(&self, assembly: &Assembly) -> Result<(Rewritten, Kept)> {
        let mut manifest = app::discover(assembly, &self.settings.app.project)?;
        self.settings.choice.apply(&mut manifest)?;
        let mut kept = app::kept(assembly, &manifest, &self.served(&manifest).await?);
        self.read_deployed(&mut kept).await;
        let options = app::Options {
            debug_stack: &self.debug_stack,
            region: &self.aws.region,
            increase_timeout: self.settings.increase_timeout,
            stub_zip: &self.package.path,
            stub_sha256: &self.package.sha256,
            kept: &kept,
        };
        let directory = self.state_dir.fresh_directory("cdk.out.live")?;
        let live = app::rewrite(assembly, &manifest, &options, &directory)?;
        Ok((live, kept))
    }
}

impl Plan {
    /// Whether its stacks need a bootstrapped environment.
    pub(super) fn needs_bootstrap(&self) -> bool {
        self.live.stacks.iter().any(|stack| stack.needs_bootstrap)
    }

    /// What the user should know of it, one line each: which functions are not live, and why.
    pub(super) fn report(&self, ui: &Ui) {
        let mut by_owner: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, kept) in &self.kept {
            by_owner.entry(&kept.owner).or_default().push(id.as_str());
        }
        for (owner, functions) in by_owner {
            ui.info(format!("Served by {owner}, left as they are: {}", functions.join(", ")));
        }
        let left_alone = self.live.manifest.left_alone.iter();
        let left_alone = left_alone.filter(|function| !self.kept.contains_key(&function.id));
        let (others, unable): (Vec<_>, Vec<_>) =
            left_alone.partition(|function| function.reason == NOT_CHOSEN);
        if !others.is_empty() {
            ui.info(format!("Not live, as was asked for: {}", counted(others.len(), "function")));
        }
        let (providers, unable): (Vec<_>, Vec<_>) =
            unable.into_iter().partition(|function| function.reason == SERVES_DEPLOYMENT);
        if !providers.is_empty() {
            // Most are the CDK's own, and there is nothing to be done about them.
            let count = counted(providers.len(), "function");
            ui.info(format!("Not live, since they serve the deployment itself: {count}"));
        }
        for function in unable {
            ui.warning(format!("`{}` is not live: {}", function.id, function.reason));
        }
        for notice in &self.live.notices {
            ui.warning(notice.clone());
        }
    }

    /// Whether [`Plan::report`] would say the same.
    pub(super) fn reports_like(&self, other: &Self) -> bool {
        self.live.manifest.left_alone == other.live.manifest.left_alone
            && self.live.notices == other.live.notices
            && self
                .kept
                .iter()
                .map(|(id, kept)| (id, &kept.owner))
                .eq(other.kept.iter().map(|(id, kept)| (id, &kept.owner)))
    }
}

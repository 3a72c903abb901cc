//! The app as it is deployed by `sst start`, from its sources to its outputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use camino::Utf8PathBuf;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, Assembly, Environment, Kept, Outputs, Rewritten, Standby},
    aws::Aws,
    builder::Toolchain,
    cloud::Notices,
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
    ids::FunctionId,
    layers,
    process::Spawner,
    project::{
        NOT_CHOSEN, Project, SERVES_DEPLOYMENT, StateDir,
        manifest::{Layer, LeftAlone, Manifest, UnheededOption},
    },
    relay, settings,
    stub_package::Stubs,
    tools::Tools,
    ui::Ui,
};

use super::super::{
    claims::Stage,
    cloud_packages,
    own_code::EVERYTHING,
    serving::{counted, tell_of_mounts},
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
    pub stubs: Stubs,
    pub toolchain: Toolchain,
    /// A CDK CLI that waits for the first deployment, to a local cloud that is empty.
    pub standby: Arc<Mutex<Option<Standby>>>,
    /// Where what is synthesised goes: other commands of the project have a place of their own.
    pub work: StateDir,
    /// The locks of the stage.
    pub stage: Stage,
    /// What the local cloud says of what it deploys.
    pub notices: Option<Notices>,
    pub cancel: CancellationToken,
    /// It was said, or need not be, that functions do not see their layers where they do on Lambda.
    pub mounts_told: Arc<OnceCell<()>>,
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

/// The app with its functions' own code.
pub(super) struct OwnCode {
    pub assembly: Assembly,
    /// The stubs that others serve, which stay.
    pub kept: Kept,
    /// What is deployed instead of the assembly, when there are any.
    rewritten: Option<Rewritten>,
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
        if live.manifest.functions.iter().any(|function| !function.layers.is_empty()) {
            self.mounts_told.get_or_init(|| tell_of_mounts(&self.spawner, &self.ui)).await;
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
            self.build_ahead(plan).await;
            Ok(())
        };
        let (outputs, ()) = tokio::try_join!(self.deploy_stacks(plan), ahead)?;
        Ok(outputs)
    }

    /// Does for functions what takes longer than a call may take.
    pub(super) async fn build_ahead(&self, plan: &Plan) {
        self.toolchain.ahead(&plan.live.manifest.functions).await;
    }

    async fn deploy_stacks(&self, plan: &Plan) -> Result<Outputs> {
        if self.settings.local.is_some() {
            cloud_packages::provide(&self.toolchain, &plan.live.directory, &self.state_dir).await;
        }
        let deployment = app::Deployment::from(&plan.live);
        let standby = self.standby.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (rollback, direct) = (self.settings.rollback, self.settings.local.is_some());
        let deployment = app::Deployment { rollback, direct, ..deployment };
        let result = app::deploy(&self.context(), &self.aws, &deployment, standby).await;
        // Whether that went well or not: a resource that does nothing may be why another one fails.
        for notice in self.notices.iter().flat_map(Notices::take) {
            self.ui.warning(notice);
        }
        result
    }

    /// Finds the app's functions and puts stubs in their place.
    async fn rewrite(&self, assembly: &Assembly) -> Result<(Rewritten, Kept)> {
        let mut manifest = app::discover(assembly, &self.settings.app.project)?;
        self.settings.choice.apply(&mut manifest)?;
        manifest.triggers = app::triggers(assembly, &manifest.functions);
        layers::download(&mut manifest, &self.aws, &self.settings.cache, &self.ui).await;
        let mut kept = app::kept(assembly, &manifest, &self.served(&manifest).await?);
        self.read_deployed(&mut kept).await;
        let directory = self.state_dir.fresh_directory("cdk.out.live")?;
        let live = app::rewrite(assembly, &manifest, &self.options(&kept), &directory)?;
        Ok((live, kept))
    }

    fn options<'a>(&'a self, kept: &'a Kept) -> app::Options<'a> {
        app::Options {
            debug_stack: &self.debug_stack,
            region: &self.aws.region,
            increase_timeout: self.settings.running.increase_timeout,
            today: jiff::ZonedDateTime::now().date(),
            stubs: &self.stubs,
            kept,
        }
    }

    /// Synthesises the app as it is now with the own code of all functions but those that others answer for, as `served` says.
    ///
    /// # Errors
    /// As [`App::plan`]; [`Kind::Cloud`] when it is not known what is deployed of theirs.
    pub(super) async fn own_code(&mut self, served: &BTreeMap<FunctionId, String>) -> Result<OwnCode> {
        self.settings.app.project = Project::find(&self.settings.app.project.root)?;
        let (context, everything) = (self.context(), [EVERYTHING.to_owned()]);
        let mut assembly = app::synthesize(&context, &self.target, &everything).await?;
        if app::look_up(&context, &self.aws, &self.target, &assembly).await? {
            assembly = app::synthesize(&context, &self.target, &everything).await?;
        }
        let mut manifest = app::discover(&assembly, &self.settings.app.project)?;
        let all = std::mem::take(&mut manifest.functions).into_iter();
        manifest
            .left_alone
            .extend(all.map(|function| LeftAlone { id: function.id, reason: NOT_CHOSEN.to_owned() }));
        let mut kept = app::kept(&assembly, &manifest, served);
        app::read_deployed(&self.aws, &mut kept).await.map_err(|reason| {
            Error::new(Kind::Cloud, "the stubs of others would not stay as they are").detail(reason)
        })?;
        let rewritten = match kept.is_empty() {
            true => None,
            false => {
                let directory = self.state_dir.fresh_directory("cdk.out.restored")?;
                Some(app::rewrite(&assembly, &manifest, &self.options(&kept), &directory)?)
            }
        };
        Ok(OwnCode { assembly, kept, rewritten })
    }

    /// Deploys stacks of the app with its functions' own code.
    ///
    /// # Errors
    /// [`Kind::Deployment`].
    pub(super) async fn deploy_own_code(&self, own: &OwnCode, stacks: Vec<String>) -> Result<()> {
        let _deploying = self.stage.deployment(self.cancel.clone(), &self.ui).await?;
        let nothing = BTreeSet::new();
        let (directory, asset_buckets) = match &own.rewritten {
            Some(rewritten) => (&rewritten.directory, &rewritten.asset_buckets),
            None => (&own.assembly.directory, &nothing),
        };
        let rollback = self.settings.rollback;
        let deployment = app::Deployment { directory, stacks, rollback, direct: false, asset_buckets };
        app::deploy(&self.context(), &self.aws, &deployment, None).await.map(drop)
    }
}

impl Plan {
    /// The places that need a bootstrap for its stacks.
    pub(super) fn environments(&self) -> Vec<Environment> {
        app::environments_of(self.live.stacks.iter().map(|stack| {
            (stack.account.as_str(), stack.region.as_str(), stack.name.as_str(), stack.bootstrap.as_ref())
        }))
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
        for sentence in unheeded(&self.live.manifest) {
            ui.warning(sentence);
        }
        for notice in &self.live.notices {
            ui.warning(notice.clone());
        }
        for sentence in absent_layers(&self.live.manifest) {
            ui.warning(sentence);
        }
        let Manifest { functions, left_alone, .. } = &self.live.manifest;
        if functions.is_empty() && left_alone.iter().all(|function| function.reason != NOT_CHOSEN) {
            let stacks: Vec<String> =
                self.live.stacks.iter().map(|stack| format!("`{}`", stack.name)).collect();
            let stacks = if stacks.is_empty() { "no stack".to_owned() } else { stacks.join(", ") };
            ui.warning(format!(
                "no function of the app runs here: looked for `AWS::Lambda::Function` in {stacks}"
            ));
        }
    }

    /// Whether [`Plan::report`] would say the same.
    pub(super) fn reports_like(&self, other: &Self) -> bool {
        self.live.manifest.left_alone == other.live.manifest.left_alone
            && self.live.manifest.unheeded == other.live.manifest.unheeded
            && absent_layers(&self.live.manifest) == absent_layers(&other.live.manifest)
            && self.live.notices == other.live.notices
            && self
                .kept
                .iter()
                .map(|(id, kept)| (id, &kept.owner))
                .eq(other.kept.iter().map(|(id, kept)| (id, &kept.owner)))
    }
}

/// What the app wants of the builds of functions that run here, and does not get: one sentence for each option and reason.
fn unheeded(manifest: &Manifest) -> Vec<String> {
    let live: BTreeSet<&FunctionId> = manifest.functions.iter().map(|function| &function.id).collect();
    let mut by_option: BTreeMap<&UnheededOption, Vec<String>> = BTreeMap::new();
    for unheeded in manifest.unheeded.iter().filter(|unheeded| live.contains(&unheeded.id)) {
        by_option.entry(&unheeded.option).or_default().push(format!("`{}`", unheeded.id));
    }
    let sentence = |(option, ids): (&UnheededOption, Vec<String>)| {
        let verb = if ids.len() == 1 { "sets" } else { "set" };
        let UnheededOption { option, reason } = option;
        format!("{} {verb} `{option}`, which has no effect here: {reason}", ids.join(", "))
    };
    by_option.into_iter().map(sentence).collect()
}

/// Which layers functions do not have here, and why: one sentence for each layer.
fn absent_layers(manifest: &Manifest) -> Vec<String> {
    let mut by_layer: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for function in &manifest.functions {
        for layer in &function.layers {
            let Layer::Absent { name, reason } = layer else { continue };
            by_layer.entry((name, reason)).or_default().push(format!("`{}`", function.id));
        }
    }
    let sentence = |((name, reason), ids): ((&str, &str), Vec<String>)| {
        let verb = if ids.len() == 1 { "runs" } else { "run" };
        format!("{} {verb} here without the layer `{name}`: {reason}", ids.join(", "))
    };
    by_layer.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest::{FunctionSpec, Unheeded};

    fn function(id: &str) -> FunctionSpec {
        serde_json::from_value(serde_json::json!({
            "id": id, "stack": "s", "logicalId": "L", "language": "node", "runtime": "nodejs22.x", "handler": "h.h",
            "source": { "kind": "directory", "path": "/p" }, "timeoutS": 3, "memoryMb": 128, "environment": [],
        }))
        .unwrap()
    }

    #[test]
    fn options_without_effect_are_named_once_for_all_functions_that_run_here() {
        let sets = |id: &str, option: &str| Unheeded {
            id: id.into(),
            option: UnheededOption { option: option.to_owned(), reason: "so".to_owned() },
        };
        let manifest = Manifest {
            functions: vec![function("s/A"), function("s/B")],
            unheeded: vec![
                sets("s/A", "minify"),
                sets("s/B", "minify"),
                sets("s/A", "x"),
                sets("s/Elsewhere", "x"),
            ],
            ..Manifest::default()
        };
        assert_eq!(
            unheeded(&manifest),
            [
                "`s/A`, `s/B` set `minify`, which has no effect here: so",
                "`s/A` sets `x`, which has no effect here: so",
            ]
        );
    }

    #[test]
    fn a_layer_that_is_not_here_is_named_once_for_all_functions_that_have_it() {
        let function = |id: &str, layers: &[(&str, &str)]| {
            let absent = |(name, reason): &(&str, &str)| Layer::Absent {
                name: (*name).to_owned(),
                reason: (*reason).to_owned(),
            };
            FunctionSpec { layers: layers.iter().map(absent).collect(), ..function(id) }
        };
        let functions = vec![
            function("s/A", &[("arn:1", "no permission"), ("arn:2", "no such version")]),
            function("s/B", &[("arn:1", "no permission")]),
        ];
        assert_eq!(
            absent_layers(&Manifest { functions, ..Manifest::default() }),
            [
                "`s/A`, `s/B` run here without the layer `arn:1`: no permission",
                "`s/A` runs here without the layer `arn:2`: no such version",
            ]
        );
    }
}

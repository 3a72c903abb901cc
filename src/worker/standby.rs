//! Processes that are started before anybody needs them, because starting Node or Python takes longer than everything else between
//! a saved file and a running one.
//!
//! A standby has the runner loaded and waits on its pipe for the one function that it will become. One with Node is kept for whatever
//! comes next. For functions that load packages, one more is kept per function with those packages loaded, and for functions in
//! Python one with their interpreter, for the few functions used last.

use std::collections::{BTreeMap, VecDeque};

use camino::Utf8PathBuf;
use tokio::task::JoinSet;

use super::process::{LIFELINE, Process};
use crate::{
    core::event::{Artifact, Program},
    ids::FunctionId,
    languages::{self, Launch, Runner},
    process::Spawner,
};

/// For how many functions a standby with their packages is kept.
const MAX_PRELOADED: usize = 4;

/// The standbys.
#[derive(Debug)]
pub(super) struct Standbys {
    starting: JoinSet<Option<(Purpose, Process)>>,
    any: Vec<Process>,
    /// The function used last is the last one.
    preloaded: VecDeque<Preloaded>,
    /// The purposes of those that are being started.
    pending: Vec<Purpose>,
}

/// A standby with packages of a function.
#[derive(Debug)]
struct Preloaded {
    function: FunctionId,
    launch: Launch,
    /// See [`Artifact::provided`]. Packages from another directory would not fit those that are loaded later.
    provided: Option<Utf8PathBuf>,
    process: Process,
}

impl Preloaded {
    fn fits(&self, launch: &Launch, artifact: &Artifact) -> bool {
        self.launch == *launch && self.provided == artifact.provided
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Any,
    Function(FunctionId, Launch, Packages),
}

/// What a standby loads ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packages {
    names: Vec<(String, Utf8PathBuf)>,
    /// See [`Artifact::provided`].
    provided: Option<Utf8PathBuf>,
}

/// How a standby is started.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub spawner: Spawner,
    /// The Node that `sst` itself uses.
    pub node: Utf8PathBuf,
    pub environment: BTreeMap<String, String>,
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
    pub(super) fn any(&self) -> Launch {
        languages::of_standby().launch(&Program::default(), &self.node, &self.scripts)
    }
}

impl Standbys {
    pub(super) fn new() -> Self {
        Self { starting: JoinSet::new(), any: Vec::new(), preloaded: VecDeque::new(), pending: Vec::new() }
    }

    /// Starts the standbys that are missing.
    pub(super) fn replenish(&mut self, recipe: &Recipe, function: Option<(&FunctionId, &Artifact)>) {
        self.collect();
        if self.any.is_empty() && !self.pending.contains(&Purpose::Any) {
            self.start(recipe, Purpose::Any);
        }
        let Some((id, artifact)) = function else { return };
        let (launch, runner) = recipe.launch(&artifact.program);
        if runner.is_none() || (launch == recipe.any() && artifact.packages.is_empty()) {
            return;
        }
        // One with another interpreter, or with other copies of packages, is of no use any more.
        self.preloaded.retain(|one| one.function != *id || one.fits(&launch, artifact));
        let has = self.preloaded.iter().any(|one| one.function == *id)
            || self
                .pending
                .iter()
                .any(|purpose| matches!(purpose, Purpose::Function(other, ..) if other == id));
        if !has {
            let packages = Packages { names: artifact.packages.clone(), provided: artifact.provided.clone() };
            self.start(recipe, Purpose::Function(id.clone(), launch, packages));
        }
    }

    /// The best standby for a function.
    pub(super) fn take(
        &mut self,
        function: &FunctionId,
        launch: &Launch,
        artifact: &Artifact,
        any: &Launch,
    ) -> Option<Process> {
        self.collect();
        let fits = |one: &Preloaded| one.function == *function && one.fits(launch, artifact);
        if let Some(index) = self.preloaded.iter().position(fits) {
            return self.preloaded.remove(index).map(|one| one.process);
        }
        if launch == any { self.any.pop() } else { None }
    }

    fn start(&mut self, recipe: &Recipe, purpose: Purpose) {
        self.pending.push(purpose.clone());
        let (recipe, any) = (recipe.clone(), recipe.any());
        self.starting.spawn(async move {
            let mut environment = recipe.environment;
            environment.insert("SST_STANDBY".to_owned(), LIFELINE.to_string());
            let launch = match &purpose {
                Purpose::Any => any,
                Purpose::Function(_, launch, _) => launch.clone(),
            };
            let started = Process::spawn(&recipe.spawner, &launch, &environment, &recipe.scripts).await;
            let process = match started {
                Ok(process) => process,
                Err(error) => {
                    tracing::warn!(%error, "cannot start a standby");
                    return None;
                }
            };
            if let Purpose::Function(_, _, packages) = &purpose {
                let line = serde_json::json!({ "preload": packages.names, "provided": packages.provided });
                if let Err(error) = process.send(&line).await {
                    tracing::debug!(%error, "a standby ended before its packages were named");
                    return None;
                }
            }
            Some((purpose, process))
        });
    }

    /// Takes in those that have been started.
    fn collect(&mut self) {
        while let Some(result) = self.starting.try_join_next() {
            if let Ok(Some((purpose, process))) = result {
                self.pending.retain(|pending| *pending != purpose);
                match purpose {
                    Purpose::Any => self.any.push(process),
                    Purpose::Function(function, launch, Packages { provided, .. }) => {
                        if self.preloaded.len() >= MAX_PRELOADED {
                            self.preloaded.pop_front();
                        }
                        self.preloaded.push_back(Preloaded { function, launch, provided, process });
                    }
                }
            } else {
                // Which one it was is not known any more; a purpose that stays pending would never be served again.
                self.pending.clear();
            }
        }
    }
}

/// The message that makes a standby a worker.
pub(super) fn assignment(
    environment: &BTreeMap<String, String>,
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

//! Node processes that are started before anybody needs them, because starting Node takes longer than everything else between a
//! saved file and a running one.
//!
//! A standby has the runner loaded and waits on its pipe for the one function that it will become. One is kept for whatever comes
//! next. For functions that load packages, one more is kept per function with those packages loaded, for the few functions used
//! last.

use std::collections::{BTreeMap, VecDeque};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::task::JoinSet;

use super::process::{LIFELINE, Process};
use crate::{core::event::Artifact, ids::FunctionId, process::Spawner};

/// For how many functions a standby with their packages is kept.
const MAX_PRELOADED: usize = 4;

/// The standbys.
#[derive(Debug)]
pub(super) struct Standbys {
    starting: JoinSet<Option<(Purpose, Process)>>,
    any: Vec<Process>,
    /// The function used last is the last one.
    preloaded: VecDeque<(FunctionId, Process)>,
    /// The purposes of those that are being started.
    pending: Vec<Purpose>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Any,
    Function(FunctionId, Vec<(String, Utf8PathBuf)>),
}

/// How a standby is started.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub spawner: Spawner,
    pub node: Utf8PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub directory: Utf8PathBuf,
}

impl Standbys {
    pub fn new() -> Self {
        Self { starting: JoinSet::new(), any: Vec::new(), preloaded: VecDeque::new(), pending: Vec::new() }
    }

    /// Starts the standbys that are missing.
    pub fn replenish(&mut self, recipe: &Recipe, function: Option<(&FunctionId, &Artifact)>) {
        self.collect();
        if self.any.is_empty() && !self.pending.contains(&Purpose::Any) {
            self.start(recipe, Purpose::Any);
        }
        let Some((id, artifact)) = function else { return };
        if artifact.packages.is_empty() {
            return;
        }
        let has = self.preloaded.iter().any(|(other, _)| other == id)
            || self
                .pending
                .iter()
                .any(|purpose| matches!(purpose, Purpose::Function(other, _) if other == id));
        if !has {
            self.start(recipe, Purpose::Function(id.clone(), artifact.packages.clone()));
        }
    }

    /// The best standby for a function.
    pub fn take(&mut self, function: &FunctionId) -> Option<Process> {
        self.collect();
        if let Some(index) = self.preloaded.iter().position(|(id, _)| id == function) {
            return self.preloaded.remove(index).map(|(_, process)| process);
        }
        self.any.pop()
    }

    fn start(&mut self, recipe: &Recipe, purpose: Purpose) {
        self.pending.push(purpose.clone());
        let recipe = recipe.clone();
        self.starting.spawn(async move {
            let mut environment = recipe.environment;
            environment.insert("SST_STANDBY".to_owned(), LIFELINE.to_string());
            let started = Process::spawn(
                &recipe.spawner,
                &recipe.node,
                &recipe.arguments,
                &environment,
                &recipe.directory,
            )
            .await;
            let process = match started {
                Ok(process) => process,
                Err(error) => {
                    tracing::warn!(%error, "cannot start a standby");
                    return None;
                }
            };
            if let Purpose::Function(_, packages) = &purpose {
                let line = serde_json::json!({ "preload": packages });
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
                    Purpose::Function(id, _) => {
                        if self.preloaded.len() >= MAX_PRELOADED {
                            self.preloaded.pop_front();
                        }
                        self.preloaded.push_back((id, process));
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
    task_root: &Utf8Path,
    handler: &str,
    runtime_api: &str,
) -> serde_json::Value {
    serde_json::json!({
        "assign": { "environment": environment, "taskRoot": task_root, "handler": handler, "runtimeApi": runtime_api }
    })
}

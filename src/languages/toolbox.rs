//! What languages build with, and what they remember of the machine.

use std::{collections::HashMap, sync::Arc};

use camino::Utf8PathBuf;
use tokio::sync::Mutex;

use super::{
    interpreters::Interpreters,
    made::{Made, MadeLayer},
    nodes::Nodes,
    provided::Provided,
};
use crate::{ids::FunctionId, process::Spawner, project::manifest::FunctionSpec, ui::Ui};

/// Cheap to clone; clones share what they have found.
#[derive(Debug, Clone)]
pub struct Toolbox {
    /// Starts compilers, installers and interpreters.
    pub spawner: Spawner,
    /// The project's directory.
    pub project: Utf8PathBuf,
    artifacts: Utf8PathBuf,
    pub(super) provided: Provided,
    pub(super) interpreters: Interpreters,
    pub(super) nodes: Nodes,
    /// How the functions were made that are made by the app.
    pub(super) made: Arc<Mutex<HashMap<FunctionId, Made>>>,
    /// How layers were made, by their construct paths. Whoever makes one has them all.
    pub(super) made_layers: Arc<Mutex<HashMap<FunctionId, MadeLayer>>>,
}

impl Toolbox {
    /// For functions of `project`, built into directories below `artifacts`. What can be downloaded again is kept in `cache`.
    #[must_use]
    pub fn new(
        spawner: Spawner,
        project: Utf8PathBuf,
        artifacts: Utf8PathBuf,
        cache: Utf8PathBuf,
        ui: Ui,
    ) -> Self {
        let provided = Provided::new(spawner.clone(), cache, ui.clone());
        let nodes = Nodes::new(spawner.clone(), project.clone(), ui.clone());
        let interpreters = Interpreters::new(spawner.clone(), project.clone(), provided.clone(), ui);
        let (made, made_layers) = (Arc::default(), Arc::default());
        Self { spawner, project, artifacts, provided, interpreters, nodes, made, made_layers }
    }

    /// Where a function is built: always the same place, so that breakpoints in the built file stay where they are.
    #[must_use]
    pub fn directory(&self, spec: &FunctionSpec) -> Utf8PathBuf {
        self.artifacts.join(spec.id.as_file_name())
    }

    /// Where a function's layers are laid out, beside that.
    #[must_use]
    pub(crate) fn layers(&self, spec: &FunctionSpec) -> Utf8PathBuf {
        self.artifacts.join(format!("{}.opt", spec.id.as_file_name()))
    }

    /// Where a layer is made, for all functions that have it.
    pub(super) fn layer(&self, name: &FunctionId) -> Utf8PathBuf {
        self.artifacts.join(format!("{}.layer", name.as_file_name()))
    }
}

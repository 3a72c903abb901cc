//! What languages build with, and what they remember of the machine.

use camino::Utf8PathBuf;

use super::{interpreters::Interpreters, provided::Provided};
use crate::{process::Spawner, project::manifest::FunctionSpec, ui::Ui};

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
        let interpreters = Interpreters::new(spawner.clone(), project.clone(), provided.clone(), ui);
        Self { spawner, project, artifacts, provided, interpreters }
    }

    /// Where a function is built: always the same place, so that breakpoints in the built file stay where they are.
    #[must_use]
    pub fn directory(&self, spec: &FunctionSpec) -> Utf8PathBuf {
        self.artifacts.join(spec.id.as_file_name())
    }
}

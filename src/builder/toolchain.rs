//! Everything that makes functions runnable but esbuild: interpreters, compilers, and what a runtime brings along.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::Semaphore;

use super::{
    cargo, directory, go, mentions,
    provided::{Provided, Sdk},
    python::Interpreters,
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Native, Program},
    process::Spawner,
    project::manifest::{FunctionSpec, Source},
    ui::Ui,
};

/// A compilation that takes longer is announced.
const WORTH_A_WORD: Duration = Duration::from_millis(500);

/// How a line of Cargo begins that waits for another one, e.g. that of an editor.
const OF_CARGO_THAT_WAITS: &str = "Blocking ";

/// Cheap to clone; clones share what they have found, and take turns in compiling.
#[derive(Debug, Clone)]
pub struct Toolchain {
    spawner: Spawner,
    project: Utf8PathBuf,
    artifacts: Utf8PathBuf,
    interpreters: Interpreters,
    provided: Provided,
    /// Compilers use all processors by themselves.
    compilers: Arc<Semaphore>,
    ui: Ui,
}

impl Toolchain {
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
        let interpreters = Interpreters::new(spawner.clone(), project.clone(), provided.clone(), ui.clone());
        Self {
            spawner,
            project,
            artifacts,
            interpreters,
            provided,
            compilers: Arc::new(Semaphore::new(1)),
            ui,
        }
    }

    /// Does what takes longer than a call may take, so that later builds find it done: compiles, and installs what runtimes bring along.
    /// What fails is not reported: it is tried again when it is first needed.
    pub async fn ahead(&self, functions: &[FunctionSpec]) {
        let native = async {
            for spec in functions.iter().filter(|spec| spec.source.is_compiled()) {
                let _ = self.compile(spec).await;
            }
        };
        tokio::join!(native, self.node_ahead(functions), self.python_ahead(functions));
    }

    /// Which packages a bundled function loads is known when it is bundled. The project's own files mention at least those.
    async fn node_ahead(&self, functions: &[FunctionSpec]) {
        let mut places = BTreeSet::new();
        for spec in functions {
            let Some(sdk) = Sdk::of(&spec.runtime) else { continue };
            let place = match &spec.source {
                Source::Directory { path } | Source::Inline { path, .. } => path,
                Source::Entry { .. } => &self.project,
                Source::Go { .. } | Source::Rust { .. } | Source::Command { .. } => continue,
            };
            places.insert((place.clone(), sdk));
        }
        self.provide_mentioned(places).await;
    }

    /// The `node_modules` with what functions in these directories mention and any of Lambda's runtimes has; none when they mention
    /// nothing that is missing, and when it cannot be had.
    pub async fn provided_for(&self, directories: BTreeSet<Utf8PathBuf>) -> Option<Utf8PathBuf> {
        let with_each = |directory: Utf8PathBuf| [Sdk::V2, Sdk::V3].map(|sdk| (directory.clone(), sdk));
        self.provide_mentioned(directories.into_iter().flat_map(with_each).collect()).await
    }

    async fn provide_mentioned(&self, places: BTreeSet<(Utf8PathBuf, Sdk)>) -> Option<Utf8PathBuf> {
        let look = move || {
            places.into_iter().flat_map(|(place, sdk)| mentions::node(&place, sdk)).collect::<BTreeSet<_>>()
        };
        let packages = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        if packages.is_empty() { None } else { self.provided.node(&packages).await }
    }

    async fn python_ahead(&self, functions: &[FunctionSpec]) {
        for spec in functions.iter().filter(|spec| spec.is_python()) {
            if let Source::Directory { path } | Source::Inline { path, .. } = &spec.source {
                let _ = self.interpreters.artifact(path.clone(), Arc::new(spec.clone())).await;
            }
        }
    }

    /// What starts the tools.
    pub(super) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Where a function is built: always the same place, so that breakpoints in the built file stay where they are.
    pub(super) fn directory(&self, spec: &FunctionSpec) -> Utf8PathBuf {
        self.artifacts.join(spec.id.as_file_name())
    }

    /// Builds a function that is not bundled.
    pub(super) async fn artifact(&self, spec: Arc<FunctionSpec>) -> Result<Artifact, BuildError> {
        match &spec.source {
            Source::Directory { path } | Source::Inline { path, .. } if spec.is_python() => {
                self.interpreters.artifact(path.clone(), spec.clone()).await
            }
            Source::Directory { path } | Source::Inline { path, .. } => {
                let artifact = directory::artifact(path.clone(), spec.clone()).await?;
                Ok(self.with_mentioned(artifact, &spec.runtime).await)
            }
            Source::Command { command, directory } => {
                let artifact = directory::artifact(directory.clone(), spec.clone()).await?;
                with_command(artifact, command)
            }
            Source::Go { .. } | Source::Rust { .. } | Source::Entry { .. } => self.compile(&spec).await,
        }
    }

    /// The artifact with packages that its runtime provides, as far as they can be had.
    pub(super) async fn with_provided(&self, artifact: Artifact, packages: BTreeSet<String>) -> Artifact {
        if packages.is_empty() {
            return artifact;
        }
        let Some(modules) = self.provided.node(&packages).await else { return artifact };
        let beside = modules.parent().unwrap_or(&modules).to_owned();
        let preloaded = packages.into_iter().map(|name| (name, beside.clone()));
        Artifact {
            fingerprint: format!("{} {modules}", artifact.fingerprint),
            packages: artifact.packages.iter().cloned().chain(preloaded).collect(),
            provided: Some(modules),
            ..artifact
        }
    }

    /// The artifact with what its files mention of the packages that its runtime provides.
    async fn with_mentioned(&self, artifact: Artifact, runtime: &str) -> Artifact {
        let Some(sdk) = Sdk::of(runtime) else { return artifact };
        let directory = artifact.task_root.clone();
        let mentioned = tokio::task::spawn_blocking(move || mentions::node(&directory, sdk)).await;
        self.with_provided(artifact, mentioned.unwrap_or_default()).await
    }

    /// Compiles a program, one at a time, and says so when that takes a while.
    async fn compile(&self, spec: &FunctionSpec) -> Result<Artifact, BuildError> {
        // It is never closed.
        let _permit = self.compilers.acquire().await.ok();
        let directory = self.directory(spec);
        let last = Mutex::new(String::new());
        let build = compiled(&self.spawner, spec, &directory, |line| {
            let line = line.trim();
            if let Some(waiting) = line.strip_prefix(OF_CARGO_THAT_WAITS) {
                self.ui.info(format!("Compiling `{}`: cargo is {}", spec.id, waiting.trim()));
            }
            line.clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
        });
        tokio::pin!(build);
        tokio::select! {
            result = &mut build => return result,
            () = tokio::time::sleep(WORTH_A_WORD) => self.ui.info(format!("Compiling `{}`", spec.id)),
        }
        let still = || match last.lock().unwrap_or_else(PoisonError::into_inner).as_str() {
            "" => format!("Still compiling `{}`", spec.id),
            last => format!("Still compiling `{}`: {last}", spec.id),
        };
        self.ui.remind(still, build).await
    }
}

async fn compiled(
    spawner: &Spawner,
    spec: &FunctionSpec,
    directory: &Utf8Path,
    on_line: impl FnMut(&str),
) -> Result<Artifact, BuildError> {
    match &spec.source {
        Source::Go { path, build } => go::artifact(spawner, path, build, directory, on_line).await,
        Source::Rust { manifest, build } => cargo::artifact(spawner, manifest, build, on_line).await,
        Source::Directory { .. } | Source::Inline { .. } | Source::Entry { .. } | Source::Command { .. } => {
            Err(unbuildable(format!("`{}` is not compiled", spec.id), Vec::new()))
        }
    }
}

/// The directory with the command that serves it.
fn with_command(artifact: Artifact, command: &[String]) -> Result<Artifact, BuildError> {
    let inputs = artifact.inputs.clone();
    let Some((program, arguments)) = command.split_first() else {
        return Err(unbuildable("its command is empty".to_owned(), inputs));
    };
    // A path is relative to the directory; a name is looked for in the PATH.
    let path = match program.contains('/') {
        true => Some(artifact.task_root.join(program)).filter(|path| path.is_file()),
        false => which::which(program).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok()),
    };
    let Some(path) = path else {
        return Err(unbuildable(format!("its command `{program}` was not found"), inputs));
    };
    let arguments = arguments.to_vec();
    Ok(Artifact { program: Program::Native { path, arguments, language: Native::Other }, ..artifact })
}

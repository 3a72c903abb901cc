//! Makes functions runnable: a directory is taken as it is, an entry file is bundled with esbuild, Go and Rust are compiled.

mod cargo;
mod child;
mod directory;
mod esbuild;
mod go;
mod python;

use std::{sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use self::{
    esbuild::{Request, Sidecar},
    python::Interpreters,
};
use crate::{
    core::event::{Artifact, BuildError, Event, Native, Program},
    ids::{FunctionId, Generation},
    process::Spawner,
    project::manifest::{Bundling, FunctionSpec, Source},
    tools::Tools,
    ui::Ui,
};

/// A compilation that takes longer is announced.
const WORTH_A_WORD: Duration = Duration::from_millis(500);

/// Builds functions. Each build ends with exactly one [`Event::Built`].
#[derive(Debug)]
pub struct Builder {
    sidecar: Sidecar,
    interpreters: Interpreters,
    spawner: Spawner,
    /// Compilers use all processors by themselves.
    compilers: Arc<Semaphore>,
    artifacts: Utf8PathBuf,
    ui: Ui,
    builds: JoinSet<()>,
    events: mpsc::UnboundedSender<Event>,
}

impl Builder {
    /// Prepares to build functions of `project` into directories below `artifacts`.
    #[must_use]
    pub fn new(
        tools: Tools,
        spawner: Spawner,
        project: Utf8PathBuf,
        artifacts: Utf8PathBuf,
        events: mpsc::UnboundedSender<Event>,
        ui: Ui,
    ) -> Self {
        Self {
            interpreters: Interpreters::new(spawner.clone(), project.clone(), ui.clone()),
            sidecar: Sidecar::new(tools, spawner.clone(), project),
            spawner,
            compilers: Arc::new(Semaphore::new(1)),
            artifacts,
            ui,
            builds: JoinSet::new(),
            events,
        }
    }

    /// Builds a function.
    pub fn build(&mut self, spec: Arc<FunctionSpec>, generation: Generation) {
        while self.builds.try_join_next().is_some() {}
        let events = self.events.clone();
        let sidecar = self.sidecar.clone();
        let interpreters = self.interpreters.clone();
        let spawner = self.spawner.clone();
        let compilers = self.compilers.clone();
        let ui = self.ui.clone();
        // Always the same place, so that breakpoints in the built file stay where they are.
        let directory = self.artifacts.join(spec.id.as_file_name());
        self.builds.spawn(async move {
            let result = match &spec.source {
                Source::Directory { path } | Source::Inline { path, .. } if spec.is_python() => {
                    interpreters.artifact(path.clone(), spec.clone()).await
                }
                Source::Directory { path } | Source::Inline { path, .. } => {
                    directory::artifact(path.clone(), spec.clone()).await
                }
                Source::Go { .. } | Source::Rust { .. } => {
                    compile(&spec, &compilers, &ui, compiled(&spawner, &spec, &directory)).await
                }
                Source::Command { command, directory } => {
                    let taken = directory::artifact(directory.clone(), spec.clone()).await;
                    taken.and_then(|artifact| with_command(artifact, command))
                }
                Source::Entry { path, export, root, bundling } => {
                    let request = Request {
                        function: spec.id.to_string(),
                        entry: path.clone(),
                        root: root.clone(),
                        directory: directory.clone(),
                        bundling: Bundling::clone(bundling),
                    };
                    sidecar.build(request, export).await
                }
            };
            let result = result.map(Arc::new);
            let _ = events.send(Event::Built { function: spec.id.clone(), generation, result });
        });
    }

    /// Forgets what was kept to build a function quickly.
    pub fn cool(&self, function: &FunctionId) {
        self.sidecar.cool(function);
    }

    /// Ends all builds and the sidecar.
    pub async fn end(mut self) {
        self.builds.shutdown().await;
        self.sidecar.end().await;
    }
}

/// Compiles what has to be compiled, so that later builds find it done. A program that does not compile is not reported: it is
/// built again when it is first needed.
pub async fn compile_ahead(spawner: &Spawner, functions: &[FunctionSpec], artifacts: &Utf8Path, ui: &Ui) {
    let one_by_one = Semaphore::new(1);
    for spec in functions.iter().filter(|spec| spec.source.is_compiled()) {
        let directory = artifacts.join(spec.id.as_file_name());
        let build = compiled(spawner, spec, &directory);
        let _ = compile(spec, &one_by_one, ui, build).await;
    }
}

/// Compiles a program.
async fn compiled(
    spawner: &Spawner,
    spec: &FunctionSpec,
    directory: &Utf8Path,
) -> Result<Artifact, BuildError> {
    match &spec.source {
        Source::Go { path, build } => go::artifact(spawner, path, build, directory).await,
        Source::Rust { manifest, build } => cargo::artifact(spawner, manifest, build).await,
        Source::Directory { .. } | Source::Inline { .. } | Source::Entry { .. } | Source::Command { .. } => {
            Err(unbuildable(format!("`{}` is not compiled", spec.id), Vec::new()))
        }
    }
}

/// Compiles one program at a time, and says so when that takes a while.
async fn compile(
    spec: &FunctionSpec,
    compilers: &Semaphore,
    ui: &Ui,
    build: impl Future<Output = Result<Artifact, BuildError>>,
) -> Result<Artifact, BuildError> {
    // It is never closed.
    let _permit = compilers.acquire().await.ok();
    tokio::pin!(build);
    tokio::select! {
        result = &mut build => return result,
        () = tokio::time::sleep(WORTH_A_WORD) => ui.info(format!("Compiling `{}`", spec.id)),
    }
    build.await
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

/// A build that could not even be tried.
fn unbuildable(summary: String, inputs: Vec<Utf8PathBuf>) -> BuildError {
    BuildError {
        detail: summary.clone(),
        summary,
        error_type: "Runtime.ImportModuleError".to_owned(),
        inputs,
    }
}

/// A program that does not compile.
fn not_compiled(summary: String, detail: String, inputs: Vec<Utf8PathBuf>) -> BuildError {
    BuildError { summary, detail, error_type: "Sst.BuildFailed".to_owned(), inputs }
}

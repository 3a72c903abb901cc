//! Makes functions runnable: a directory is taken as it is, an entry file is bundled with esbuild, Go and Rust are compiled.

mod cargo;
mod child;
mod directory;
mod esbuild;
mod go;
mod mentions;
mod provided;
mod python;
mod toolchain;

use std::{panic::AssertUnwindSafe, sync::Arc};

use camino::Utf8PathBuf;
use futures_util::FutureExt;
use tokio::{sync::mpsc, task::JoinSet};

use self::{
    esbuild::{Request, Sidecar},
    provided::Sdk,
};
pub use self::{
    mentions::{directory_loads_old_sdk, text_loads_old_sdk},
    toolchain::Toolchain,
};
use crate::{
    core::event::{BuildError, Event},
    ids::{FunctionId, Generation},
    project::manifest::{Bundling, FunctionSpec, Source},
    tools::Tools,
};

/// Builds functions. Each build ends with exactly one [`Event::Built`].
#[derive(Debug)]
pub struct Builder {
    sidecar: Sidecar,
    toolchain: Toolchain,
    builds: JoinSet<()>,
    events: mpsc::UnboundedSender<Event>,
}

impl Builder {
    /// Prepares to build functions of `project`.
    #[must_use]
    pub fn new(
        tools: Tools,
        toolchain: Toolchain,
        project: Utf8PathBuf,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let sidecar = Sidecar::new(tools, toolchain.spawner().clone(), project);
        Self { sidecar, toolchain, builds: JoinSet::new(), events }
    }

    /// Builds a function.
    pub fn build(&mut self, spec: Arc<FunctionSpec>, generation: Generation) {
        while self.builds.try_join_next().is_some() {}
        let events = self.events.clone();
        let sidecar = self.sidecar.clone();
        let toolchain = self.toolchain.clone();
        self.builds.spawn(async move {
            let build = async {
                match &spec.source {
                    Source::Entry { path, export, root, bundling } => {
                        let request = Request {
                            function: spec.id.to_string(),
                            entry: path.clone(),
                            root: root.clone(),
                            directory: toolchain.directory(&spec),
                            bundling: Bundling::clone(bundling),
                            provided: Sdk::of(&spec.runtime),
                        };
                        let (artifact, packages) = sidecar.build(request, export).await?;
                        Ok(toolchain.with_provided(artifact, packages).await)
                    }
                    _ => toolchain.artifact(spec.clone()).await,
                }
            };
            let result = to_the_end(build, &spec.source).await;
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

/// Waits for a build. One that panics is one that failed: the calls that wait for it must not wait for ever.
async fn to_the_end<T>(
    build: impl Future<Output = Result<T, BuildError>>,
    source: &Source,
) -> Result<T, BuildError> {
    AssertUnwindSafe(build).catch_unwind().await.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref().copied());
        let summary =
            format!("the build has failed in an unexpected way: {}", said.unwrap_or("it does not say why"));
        Err(unbuildable(summary, vec![source.directory().to_owned()]))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_that_panics_has_failed() {
        let source = Source::Directory { path: "/app".into() };
        let error = to_the_end::<()>(async { panic!("no {}", "way") }, &source).await.unwrap_err();
        assert_eq!(error.inputs, ["/app"], "it is tried again when something is saved there");
        assert!(error.summary.ends_with("in an unexpected way: no way"), "{}", error.summary);
        let error = to_the_end::<()>(async { panic!("none") }, &source).await.unwrap_err();
        assert!(error.summary.ends_with(": none"), "{}", error.summary);
    }
}

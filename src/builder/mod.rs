//! Makes functions runnable: an entry file is bundled with esbuild, everything else is for its language to say (`languages`).

mod esbuild;
mod toolchain;

use std::sync::Arc;

use camino::Utf8PathBuf;
use tokio::{sync::mpsc, task::JoinSet};

use self::esbuild::{Request, Sidecar};
pub use self::toolchain::Toolchain;
use crate::{
    core::event::{Artifact, BuildError, Event},
    ids::{FunctionId, Generation},
    languages::{self, Sdk, unbuildable},
    layers,
    project::manifest::{Bundling, FunctionSpec, Source},
    tasks::{self, Tasks},
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
    /// Prepares to build functions of `project`, as long as `tasks` run.
    #[must_use]
    pub fn new(
        tools: Tools,
        toolchain: Toolchain,
        project: Utf8PathBuf,
        events: mpsc::UnboundedSender<Event>,
        tasks: &mut Tasks,
    ) -> Self {
        let sidecar = Sidecar::new(tools, toolchain.tools().spawner.clone(), project, tasks);
        Self { sidecar, toolchain, builds: JoinSet::new(), events }
    }

    /// Builds a function. No file is known to have changed since the builds after that of `since` have begun, so what one of those has
    /// made may be taken for another function that is built alike.
    pub fn build(&mut self, spec: Arc<FunctionSpec>, generation: Generation, since: Generation) {
        tasks::reap(&mut self.builds);
        tracing::debug!(function = %spec.id, "a build begins");
        let events = self.events.clone();
        let sidecar = self.sidecar.clone();
        let toolchain = self.toolchain.clone();
        let name = format!("the build of `{}`", spec.id);
        self.builds.spawn(tasks::named(name, async move {
            let build = async {
                let artifact = build(&spec, (generation, since), &sidecar, &toolchain).await?;
                let (found, inputs) = toolchain.layers(&spec).await.map_err(|error| BuildError {
                    inputs: artifact.inputs.iter().chain(&error.inputs).cloned().collect(),
                    ..error
                })?;
                let directory = toolchain.tools().layers(&spec);
                let mut artifact = layers::with_layers(artifact, found, &inputs, directory).await?;
                if let Some(opt) = &artifact.opt {
                    languages::get(&spec.language).add_layers(&mut artifact.program, opt);
                }
                Ok(artifact)
            };
            let result = outcome(build, &spec.source).await.map(Arc::new);
            let _ = events.send(Event::Built { function: spec.id.clone(), generation, result });
        }));
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

async fn build(
    spec: &Arc<FunctionSpec>,
    (generation, since): (Generation, Generation),
    sidecar: &Sidecar,
    toolchain: &Toolchain,
) -> Result<Artifact, BuildError> {
    let Source::Entry { path, export, root, bundling } = &spec.source else {
        return toolchain.artifact(spec).await;
    };
    let request = Request {
        function: spec.id.to_string(),
        entry: path.clone(),
        root: root.clone(),
        directory: toolchain.tools().directory(spec),
        bundling: Bundling::clone(bundling),
        provided: Sdk::of(&spec.runtime),
        generation: generation.0,
        since: since.0,
    };
    let program = languages::program_for(toolchain.tools(), &spec.runtime).await;
    let (artifact, packages) = sidecar.build(request, export, program).await?;
    let artifact = languages::with_program(artifact);
    Ok(languages::with_provided(toolchain.tools(), artifact, packages).await)
}

/// A build ends, even where it panics: a call waits for it, with its clock stopped.
async fn outcome<T>(
    build: impl Future<Output = Result<T, BuildError>>,
    source: &Source,
) -> Result<T, BuildError> {
    tasks::caught(build).await.unwrap_or_else(|reason| {
        let summary = format!("the build failed by a fault of `sst` itself: {reason}");
        Err(unbuildable(summary, vec![source.directory().to_owned()]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_that_panics_has_an_outcome() {
        let source = Source::Directory { path: "/app".into() };
        let error = outcome::<()>(async { panic!("no such luck") }, &source).await.expect_err("it fails");
        assert_eq!(error.inputs, ["/app"], "it is tried again when something is saved there");
        assert_eq!(error.summary, "the build failed by a fault of `sst` itself: no such luck");
    }
}

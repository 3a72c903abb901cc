//! Makes functions runnable: a directory is taken as it is, an entry file is bundled with esbuild.

mod directory;
mod esbuild;

use std::sync::Arc;

use camino::Utf8PathBuf;
use tokio::{sync::mpsc, task::JoinSet};

use self::esbuild::{Request, Sidecar};
use crate::{
    core::event::{BuildError, Event},
    ids::{FunctionId, Generation},
    process::Spawner,
    project::manifest::{Bundling, FunctionSpec, Source},
    tools::Tools,
};

/// Builds functions. Each build ends with exactly one [`Event::Built`].
#[derive(Debug)]
pub struct Builder {
    sidecar: Sidecar,
    artifacts: Utf8PathBuf,
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
    ) -> Self {
        Self { sidecar: Sidecar::new(tools, spawner, project), artifacts, builds: JoinSet::new(), events }
    }

    /// Builds a function.
    pub fn build(&mut self, spec: Arc<FunctionSpec>, generation: Generation) {
        while self.builds.try_join_next().is_some() {}
        let events = self.events.clone();
        let sidecar = self.sidecar.clone();
        // Always the same place, so that breakpoints in the built file stay where they are.
        let directory = self.artifacts.join(as_file_name(spec.id.as_str()));
        self.builds.spawn(async move {
            let result = match &spec.source {
                Source::Directory { path } => directory::artifact(path.clone(), spec.clone()).await,
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

/// A construct path as the name of a directory. Two paths never become the same name.
fn as_file_name(id: &str) -> String {
    let mut name = String::new();
    for character in id.chars() {
        match character {
            '/' => name.push('+'),
            c if c.is_ascii_alphanumeric() || "-_.".contains(c) => name.push(c),
            c => name.push_str(&format!("%{:x}", u32::from(c))),
        }
    }
    // Names may have 255 bytes; what is cut off is told apart by a hash.
    if name.len() > 150 {
        name = format!("{}%{}", &name[..100], &sst_wire::sha256_hex(id.as_bytes())[..32]);
    }
    name
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

#[cfg(test)]
mod tests {
    use super::as_file_name;

    #[test]
    fn different_functions_have_different_directories() {
        let long = "x".repeat(300);
        let ids = ["a/b", "a+b", "a%2bb", "a b", "a_b", "ä", &long, &format!("{long}y")];
        let names: std::collections::BTreeSet<String> = ids.iter().map(|id| as_file_name(id)).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() < 200 && !name.contains('/')));
    }
}

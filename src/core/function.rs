//! One function: its code's generations and the builds that make them.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use camino::Utf8Path;

use super::event::{Artifact, BuildError, FileChange};
use crate::{ids::Generation, project::manifest::FunctionSpec};

/// What the core knows of a function.
#[derive(Debug)]
pub(super) struct Function {
    pub spec: Arc<FunctionSpec>,
    pub code: Code,
    /// The environment of the last invocation, with which a worker is started ahead of the next one.
    pub environment: Option<BTreeMap<String, String>>,
    /// When that was received.
    pub environment_seen: Option<Instant>,
    /// When it was last invoked; none until the first time, and after it went cold.
    pub warm_since: Option<Instant>,
}

/// The code of a function, of which at most one build runs and at most one waits.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// The last build that succeeded. It keeps serving when a later one fails.
    pub good: Option<(Generation, Arc<Artifact>)>,
    /// The error of the last build, if it failed.
    pub broken: Option<BuildError>,
    running: Option<Running>,
    /// Files changed since the last build began, while nobody needed the code.
    stale: bool,
    last: Generation,
}

#[derive(Debug)]
struct Running {
    generation: Generation,
    since: Instant,
    /// Files changed meanwhile: build once more afterwards.
    again: bool,
}

/// What a finished build means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// It was overtaken by another change; a further build must begin at once.
    Again,
    /// There is new code.
    New,
    /// The code is what it was before.
    Same,
    /// It failed.
    Broken,
    /// The answer to a question nobody asked any more.
    Ignored,
}

impl Code {
    /// Whether a build runs, so that calls wait for what it brings.
    pub fn building(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a call has to have the code built before it can be served.
    pub fn wants_build(&self) -> bool {
        !self.building() && (self.good.is_none() || self.stale)
    }

    /// Begins a build and returns its generation.
    pub fn begin(&mut self, now: Instant) -> Generation {
        self.last = self.last.next();
        self.stale = false;
        self.running = Some(Running { generation: self.last, since: now, again: false });
        self.last
    }

    /// Notes that files changed which may concern the code. Returns whether a build should begin now, given that the
    /// function is `warm`.
    pub fn changed(&mut self, warm: bool) -> bool {
        if let Some(running) = &mut self.running {
            running.again = true;
            return false;
        }
        self.stale = true;
        warm
    }

    /// Takes the result of a build. Also returns how long it took.
    pub fn finish(
        &mut self,
        generation: Generation,
        result: Result<Arc<Artifact>, BuildError>,
        now: Instant,
    ) -> (Finished, std::time::Duration) {
        let Some(running) = self.running.take_if(|running| running.generation == generation) else {
            return (Finished::Ignored, std::time::Duration::ZERO);
        };
        let took = now.saturating_duration_since(running.since);
        if running.again {
            return (Finished::Again, took);
        }
        let finished = match result {
            Err(error) => {
                self.broken = Some(error);
                Finished::Broken
            }
            Ok(artifact) => {
                self.broken = None;
                let same =
                    self.good.as_ref().is_some_and(|(_, good)| good.fingerprint == artifact.fingerprint);
                // A build that brought nothing new keeps the generation, so that workers stay; its list of inputs may
                // still be a new one.
                let generation = match &self.good {
                    Some((generation, _)) if same => *generation,
                    _ => generation,
                };
                self.good = Some((generation, artifact));
                if same { Finished::Same } else { Finished::New }
            }
        };
        (finished, took)
    }

    /// Whether any of `changes` may lead to other code.
    pub fn concerned_by(&self, changes: &[FileChange]) -> bool {
        let inputs = [
            self.good.as_ref().map(|(_, artifact)| artifact.inputs.as_slice()),
            self.broken.as_ref().map(|error| error.inputs.as_slice()),
        ];
        changes.iter().any(|change| {
            // A file that comes or goes can change how any import resolves, and no list of inputs names a file that was
            // missing. Builds that bring nothing new are cheap.
            (change.structural && looks_like_source(&change.path))
                || inputs.iter().flatten().any(|inputs| {
                    inputs.iter().any(|input| change.path == *input || change.path.starts_with(input))
                })
        })
    }
}

/// Whether a file that comes or goes could be imported.
fn looks_like_source(path: &Utf8Path) -> bool {
    matches!(
        path.extension(),
        None | Some(
            "js" | "mjs"
                | "cjs"
                | "jsx"
                | "ts"
                | "mts"
                | "cts"
                | "tsx"
                | "json"
                | "py"
                | "go"
                | "rs"
                | "toml"
        )
    )
}

//! One function: its code's generations and the builds that make them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;

use super::{
    changes::{Changes, LookedUp},
    event::{Artifact, BuildError},
    pool::{SHORT_WAIT, SLOW},
};
use crate::{ids::Generation, project::manifest::FunctionSpec};

/// What the core knows of a function.
#[derive(Debug)]
pub(super) struct Function {
    pub spec: Arc<FunctionSpec>,
    pub code: Code,
    /// What its stub said last of its environment, with which a worker is started ahead of the next call.
    pub received: Option<Received>,
    /// When it was last invoked; none until the first time, and after it went cold.
    pub warm_since: Option<Instant>,
    /// How long its calls have taken lately.
    pub usual: Option<Duration>,
    /// How long its processes have taken lately until they asked for a call.
    pub starting: Option<Duration>,
}

impl Function {
    /// A function that was not called yet.
    pub(super) fn new(spec: Arc<FunctionSpec>, code: Code) -> Self {
        Self { spec, code, received: None, warm_since: None, usual: None, starting: None }
    }

    /// A call was answered after so long.
    pub(super) fn took(&mut self, duration: Duration) {
        self.usual = Some(mean(self.usual, duration));
    }

    /// A process has asked for its first call after so long.
    pub(super) fn started(&mut self, duration: Duration) {
        self.starting = Some(mean(self.starting, duration));
    }

    /// How long one of its calls waits for a process that is there rather than for another one: as long as that would take to start,
    /// which on a busy machine is long.
    pub(super) fn short_wait(&self) -> Duration {
        self.starting.unwrap_or_default().clamp(SHORT_WAIT, SLOW)
    }
}

/// A mean in which what was lately counts most.
fn mean(former: Option<Duration>, latest: Duration) -> Duration {
    former.map_or(latest, |former| (former * 3 + latest) / 4)
}

/// The environment of a function: its variables, and the credentials of its role.
#[derive(Debug)]
pub(super) struct Received {
    pub environment: Arc<BTreeMap<String, String>>,
    /// When that was received.
    pub at: Instant,
}

/// The code of a function, of which at most one build runs and at most one waits.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// The last build that succeeded. It keeps serving when a later one fails.
    pub good: Option<(Generation, Arc<Artifact>)>,
    /// The error of the last build, if it failed.
    pub broken: Option<BuildError>,
    running: Option<Running>,
    /// Files changed since the last build ended, and no other has begun.
    stale: bool,
}

#[derive(Debug)]
struct Running {
    generation: Generation,
    since: Instant,
    /// What changed meanwhile. Only at its end a build says which files it has read, and it may have read these before.
    changes: Vec<Arc<Changes>>,
    /// It was begun for what the function is not any more.
    overtaken: bool,
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
    /// The code is what it was before the last build, which failed.
    Mended,
    /// It failed.
    Broken,
    /// The answer to a question nobody asked any more.
    Ignored,
}

impl Code {
    /// Whether a build runs, so that calls wait for what it brings.
    pub(super) fn building(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a call has to have the code built before it can be served.
    pub(super) fn wants_build(&self) -> bool {
        !self.building() && (self.good.is_none() || self.stale)
    }

    /// Whether files have changed since the last build, and none runs.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Begins a build. No two builds have the same `generation`, whatever became of the function in between.
    pub(super) fn begin(&mut self, generation: Generation, now: Instant) {
        self.stale = false;
        self.running = Some(Running { generation, since: now, changes: Vec::new(), overtaken: false });
    }

    /// The code of a function that is to be made in another way. A build that runs goes on, because two at a time would write to the
    /// same place, but nothing comes of it.
    pub(super) fn anew(self) -> Self {
        let running = self.running.map(|running| Running { overtaken: true, ..running });
        Self { running, ..Self::default() }
    }

    /// Notes that files changed while a build runs.
    pub(super) fn changed_meanwhile(&mut self, changes: &Arc<Changes>) {
        if let Some(running) = &mut self.running {
            running.changes.push(changes.clone());
        }
    }

    /// Whether the code has to be built again by a build that has not begun, as files have changed that it depends on.
    pub(super) fn is_concerned<'a>(&'a self, looked_up: &mut LookedUp<'a>) -> bool {
        let results = [
            self.good.as_ref().map(|(_, artifact)| artifact.inputs.as_slice()),
            self.broken.as_ref().map(|error| error.inputs.as_slice()),
        ];
        !self.building() && results.into_iter().flatten().any(|inputs| looked_up.concern(inputs))
    }

    /// Notes that it is.
    pub(super) fn expire(&mut self) {
        self.stale = true;
    }

    /// All that the code depends on as it serves, and as it failed to build.
    pub(super) fn inputs(&self) -> Vec<Utf8PathBuf> {
        let good = self.good.as_ref().map(|(_, artifact)| &artifact.inputs);
        let broken = self.broken.as_ref().map(|error| &error.inputs);
        good.into_iter().chain(broken).flatten().cloned().collect()
    }

    /// Takes the result of a build. Also returns how long it took.
    pub(super) fn finish(
        &mut self,
        generation: Generation,
        result: Result<Arc<Artifact>, BuildError>,
        now: Instant,
    ) -> (Finished, Duration) {
        let Some(running) = self.running.take_if(|running| running.generation == generation) else {
            return (Finished::Ignored, Duration::ZERO);
        };
        let took = now.saturating_duration_since(running.since);
        let inputs = match &result {
            Ok(artifact) => &artifact.inputs,
            Err(error) => &error.inputs,
        };
        if running.overtaken || running.changes.iter().any(|changes| changes.concern(inputs)) {
            return (Finished::Again, took);
        }
        let finished = match result {
            Err(error) => {
                self.broken = Some(error);
                Finished::Broken
            }
            Ok(artifact) => {
                let was_broken = self.broken.take().is_some();
                // A build that brought nothing new keeps the generation, so that workers stay; its list of inputs may
                // still be a new one.
                let same = self.good.as_ref().filter(|(_, good)| good.fingerprint == artifact.fingerprint);
                let same = same.map(|(generation, _)| *generation);
                self.good = Some((same.unwrap_or(generation), artifact));
                match same {
                    Some(_) if was_broken => Finished::Mended,
                    Some(_) => Finished::Same,
                    None => Finished::New,
                }
            }
        };
        (finished, took)
    }
}

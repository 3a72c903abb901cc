//! When functions are built, and what becomes of their workers then.

use std::{sync::Arc, time::Instant};

use super::{
    State,
    changes::{Changes, LookedUp},
    effect::Effect,
    event::{Artifact, BuildError, FileChange, FunctionError, Outcome},
    function::Finished,
};
use crate::{
    ids::{FunctionId, Generation},
    ui::UiEvent,
};

impl State {
    pub(super) fn build(&mut self, id: &FunctionId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(function) = self.functions.get_mut(id) else { return };
        self.generation = self.generation.next();
        function.code.begin(self.generation, now);
        effects.push(Effect::Build {
            spec: function.spec.clone(),
            generation: self.generation,
            since: self.changed,
        });
    }

    pub(super) fn files_changed(
        &mut self,
        changes: Vec<FileChange>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        self.changed = self.generation;
        let changes = Arc::new(Changes::of(changes));
        let mut looked_up = LookedUp::new(&changes);
        let concerned =
            self.functions.iter().filter(|(_, function)| function.code.is_concerned(&mut looked_up));
        let concerned: Vec<FunctionId> = concerned.map(|(id, _)| id.clone()).collect();
        for function in self.functions.values_mut() {
            function.code.changed_meanwhile(&changes);
        }
        let mut changed = Vec::new();
        for id in concerned {
            let Some(function) = self.functions.get_mut(&id) else { continue };
            tracing::debug!(function = %id, "changed");
            function.code.expire();
            changed.push((id, function.spec.is_compiled()));
            self.stale = true;
        }
        for (id, compiled) in changed {
            // Compiling takes so long that it had better begin; and a call that waits is to run what was saved.
            if compiled || !self.waiting_for(&id).is_empty() {
                self.build(&id, now, effects);
            }
        }
    }

    /// Builds what was called lately and has changed since, ahead of its next call: the one that was called last first, and one at a time,
    /// so that a shared file of many functions keeps nobody waiting for all of them. What is called meanwhile is built at once, and nothing
    /// else while a call waits for its worker, or a process starts.
    pub(super) fn build_ahead(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        // First, because it is nearly always so.
        if !self.stale || self.stopping {
            return;
        }
        let keep_warm = self.config.keep_warm;
        if self.open.values().any(|open| open.worker.is_none()) || self.pool.starting().next().is_some() {
            return;
        }
        let interpreted = || self.functions.iter().filter(|(_, function)| !function.spec.is_compiled());
        if interpreted().any(|(_, function)| function.code.building()) {
            return;
        }
        let is_warm = |since: Instant| now.saturating_duration_since(since) < keep_warm;
        let stale = interpreted()
            .filter(|(_, function)| function.code.is_stale() && function.warm_since.is_some_and(is_warm));
        match stale.max_by_key(|(_, function)| function.warm_since).map(|(id, _)| id.clone()) {
            Some(next) => self.build(&next, now, effects),
            None => {
                tracing::debug!("nothing is left to build ahead");
                self.stale = false;
            }
        }
    }

    /// Whether a function is one of the few that were called last, for which a worker is started before anybody calls.
    fn is_recent(&self, id: &FunctionId) -> bool {
        let since = self.functions.get(id).and_then(|function| function.warm_since);
        let later = self.functions.values().filter(|function| function.warm_since > since);
        since.is_some() && later.count() < self.config.replaced
    }

    pub(super) fn built(
        &mut self,
        id: &FunctionId,
        generation: Generation,
        result: Result<Arc<Artifact>, BuildError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let is_recent = self.is_recent(id);
        let Some(function) = self.functions.get_mut(id) else {
            // Only the end of the build mattered.
            self.removed.remove(id);
            return;
        };
        let first = function.code.good.is_none();
        let was_broken = function.code.broken.is_some();
        let (finished, took) = function.code.finish(generation, result, now);
        if finished != Finished::Ignored {
            effects.push(Effect::Watch { function: id.clone(), paths: function.code.inputs() });
        }
        let rebuilt = UiEvent::Rebuilt { function: id.clone(), took };
        match finished {
            Finished::Ignored | Finished::Same => {}
            Finished::Mended => effects.push(Effect::Ui(rebuilt)),
            Finished::Again => self.build(id, now, effects),
            Finished::Broken => {
                let Some(error) = function.code.broken.clone() else {
                    return;
                };
                effects.push(Effect::Ui(UiEvent::BuildFailed {
                    function: id.clone(),
                    detail: error.detail.clone(),
                    still_serving: !first,
                }));
                if first {
                    let error = FunctionError::new(&error.error_type, &error.summary);
                    for request in self.waiting_for(id) {
                        self.finish(&request, Outcome::Failed(error.clone()), now, effects);
                    }
                }
            }
            Finished::New => {
                if !first || was_broken {
                    effects.push(Effect::Ui(rebuilt));
                }
                let environment = function.received.as_ref().map(|received| received.environment.clone());
                let old: Vec<_> = self.pool.of(id).map(|(id, _)| id).collect();
                // The next worker is started before the old ones are stopped: it is what the developer waits for.
                // For that one moment there may be one more than the limit.
                if !old.is_empty()
                    && is_recent
                    && !self.stopping
                    && self.pool.len() <= self.config.max_workers
                    && self.waiting_for(id).is_empty()
                    && let Some(environment) = environment
                {
                    self.start(id, environment, now, effects);
                }
                for worker in old {
                    self.drain(worker, effects);
                }
            }
        }
    }
}

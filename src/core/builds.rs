//! When functions are built, and what becomes of their workers then.

use std::{sync::Arc, time::Instant};

use super::{
    State,
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
        effects.push(Effect::Build { spec: function.spec.clone(), generation: self.generation });
    }

    pub(super) fn files_changed(
        &mut self,
        mut changes: Vec<FileChange>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        // Files come and go all the time; most of them nobody could import.
        for change in &mut changes {
            change.structural &= (self.config.is_source)(&change.path);
        }
        let changes: Arc<[FileChange]> = changes.into();
        let keep_warm = self.config.keep_warm;
        let mut changed = Vec::new();
        for (id, function) in &mut self.functions {
            let warm = function.spec.source.is_compiled()
                || function.warm_since.is_some_and(|since| now.saturating_duration_since(since) < keep_warm);
            if function.code.changed(&changes, warm) {
                tracing::debug!(function = %id, "changed");
                changed.push(id.clone());
            }
        }
        for id in changed {
            self.build(&id, now, effects);
        }
    }

    pub(super) fn built(
        &mut self,
        id: &FunctionId,
        generation: Generation,
        result: Result<Arc<Artifact>, BuildError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(function) = self.functions.get_mut(id) else {
            // Only the end of the build mattered.
            self.removed.remove(id);
            return;
        };
        let first = function.code.good.is_none();
        let was_broken = function.code.broken.is_some();
        let (finished, took) = function.code.finish(generation, result, now);
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
                    && !self.stopping
                    && self.pool.len() <= self.config.max_workers
                    && self.waiting_for(id).is_empty()
                    && let Some(environment) = environment
                {
                    self.start(id, environment, effects);
                }
                for worker in old {
                    self.drain(worker, effects);
                }
            }
        }
    }
}

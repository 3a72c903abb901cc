//! When functions are built, and what becomes of their workers then.

use std::{sync::Arc, time::Instant};

use super::{
    State,
    effect::{Effect, RelayCommand},
    event::{Artifact, BuildError, FileChange, FunctionError, Outcome},
    function::{Finished, Function},
};
use crate::{
    ids::{FunctionId, Generation},
    project::manifest::FunctionSpec,
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
                let environment = function.environment.clone();
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

    pub(super) fn functions_changed(
        &mut self,
        specs: Vec<Arc<FunctionSpec>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let mut former = std::mem::take(&mut self.functions);
        for spec in specs {
            let id = spec.id.clone();
            let function = match former.remove(&id) {
                Some(function) if function.spec == spec => function,
                Some(function) => {
                    self.drain_all(&id, effects);
                    Function { spec, code: function.code.anew(), ..function }
                }
                None => Function {
                    spec,
                    code: self.removed.remove(&id).unwrap_or_default(),
                    environment: None,
                    environment_seen: None,
                    warm_since: None,
                },
            };
            self.functions.insert(id, function);
        }
        for (id, function) in former {
            effects.push(Effect::Cool { function: id.clone() });
            self.drain_all(&id, effects);
            for request in self.waiting_for(&id) {
                let error =
                    FunctionError::new("Sst.UnknownFunction", &format!("`{id}` was removed from the app"));
                self.finish(&request, Outcome::Failed(error), now, effects);
            }
            if function.code.building() {
                self.removed.insert(id, function.code.anew());
            }
        }
        // What takes seconds to compile is compiled before somebody waits for it.
        let wanted = |(id, function): (&FunctionId, &Function)| {
            let waits = function.spec.source.is_compiled() || !self.waiting_for(id).is_empty();
            (waits && function.code.wants_build()).then(|| id.clone())
        };
        let wanted: Vec<FunctionId> = self.functions.iter().filter_map(wanted).collect();
        for id in wanted {
            self.build(&id, now, effects);
        }
        let functions = self.functions.keys().cloned().collect();
        effects.push(Effect::Relay(RelayCommand::Announce { functions }));
    }
}

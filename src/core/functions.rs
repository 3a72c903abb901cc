//! Which functions there are.

use std::{sync::Arc, time::Instant};

use super::{
    State,
    effect::{Effect, RelayCommand},
    event::{FunctionError, Outcome},
    function::Function,
};
use crate::{ids::FunctionId, project::manifest::FunctionSpec};

impl State {
    /// There are these from now on, and no others.
    pub(super) fn functions_changed(
        &mut self,
        specs: Vec<Arc<FunctionSpec>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        self.changed = self.generation;
        let mut former = std::mem::take(&mut self.functions);
        for spec in specs {
            let id = spec.id.clone();
            let function = match former.remove(&id) {
                Some(function) if function.spec == spec => function,
                Some(function) => {
                    self.drain_all(&id, effects);
                    Function { spec, code: function.code.anew(), ..function }
                }
                None => Function::new(spec, self.removed.remove(&id).unwrap_or_default()),
            };
            self.functions.insert(id, function);
        }
        for (id, function) in former {
            effects.push(Effect::Cool { function: id.clone() });
            effects.push(Effect::Watch { function: id.clone(), paths: Vec::new() });
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
            let waits = function.spec.is_compiled() || !self.waiting_for(id).is_empty();
            (waits && function.code.wants_build()).then(|| id.clone())
        };
        let wanted: Vec<FunctionId> = self.functions.iter().filter_map(wanted).collect();
        for id in wanted {
            self.build(&id, now, effects);
        }
        effects.push(Effect::Relay(RelayCommand::Announce { functions: self.function_ids() }));
    }

    /// The stubs of all of them are in place.
    pub(super) fn deployed(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Relay(RelayCommand::Register { functions: self.function_ids() }));
    }

    fn function_ids(&self) -> Vec<FunctionId> {
        self.functions.keys().cloned().collect()
    }
}

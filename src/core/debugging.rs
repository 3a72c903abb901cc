//! What debuggers know of the workers, and the calls that wait for them.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    time::Instant,
};

use super::{
    State,
    effect::{BridgeCommand, Effect},
    event::Target,
    invocation::ServingKind,
    pool::{FINISHING, Phase, Sight},
};
use crate::{
    ids::{FunctionId, LanguageId, WorkerId},
    ui::UiEvent,
};

impl State {
    /// Debuggers get to know a worker before it is given its first invocation, so that they can stop it there.
    pub(super) fn debuggable(&mut self, id: WorkerId, target: Target, effects: &mut Vec<Effect>) {
        let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) else {
            return;
        };
        if serving.is_offered() {
            return;
        }
        serving.sight = Sight::Known(target);
        // Normally its function is loaded first: vscode-js-debug is told of all scripts before it says that it is ready, whereas the
        // source map of a script that comes later is read while the script runs already.
        if serving.phase != (Phase::Starting { gated: false }) {
            self.show(id, effects);
        }
    }

    /// Shows a worker to debuggers, once. It gets no call before they have set their breakpoints.
    pub(super) fn show(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else { return };
        let function = worker.function.clone();
        let Some(serving) = worker.serving_mut() else { return };
        let Sight::Known(target) = &serving.sight else { return };
        let target = target.clone();
        serving.sight = Sight::Awaited;
        effects.push(Effect::Bridge(BridgeCommand::Offer { worker: id, function, target }));
    }

    /// A debugger comes to a worker that serves already.
    pub(super) fn debugger_comes(&mut self, id: WorkerId) {
        if let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut())
            && serving.is_offered()
        {
            serving.sight = Sight::Awaited;
        }
    }

    pub(super) fn debugger_ready(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) else {
            return;
        };
        if !serving.is_offered() {
            return;
        }
        serving.sight = Sight::Shown;
        if let Phase::Starting { gated } = &mut serving.phase
            && std::mem::take(gated)
        {
            effects.push(Effect::Load { worker: id });
        }
    }

    pub(super) fn debuggers(
        &mut self,
        attached: usize,
        gate: BTreeSet<LanguageId>,
        effects: &mut Vec<Effect>,
    ) {
        self.gate = gate;
        let before = std::mem::replace(&mut self.debuggers, attached);
        let text = match attached.cmp(&before) {
            Ordering::Greater => "A debugger is attached",
            Ordering::Less => "A debugger has left",
            Ordering::Equal => return,
        };
        effects.push(Effect::Ui(UiEvent::Info(text.to_owned())));
    }

    /// The worker that has waited longest for its first call because the debuggers that are there do not know of it.
    pub(super) fn longest_unseen(&self) -> Option<(Instant, WorkerId)> {
        if self.debuggers > 0 { self.pool.longest_unseen() } else { None }
    }

    /// Waits no longer for a worker to become known to debuggers.
    pub(super) fn miss(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else { return };
        let function = worker.function.clone();
        let Some(serving) = worker.serving_mut() else { return };
        serving.sight = Sight::Missed;
        effects.push(Effect::Ui(UiEvent::Warning(format!(
            "a worker of `{function}` does not say where a debugger attaches; its calls are not stopped"
        ))));
    }

    /// A debugger has stopped a worker: the clock of its call stands still.
    pub(super) fn paused(
        &mut self,
        id: WorkerId,
        place: Option<String>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.pool.get_mut(id) else { return };
        let (function, kind) = (worker.function.clone(), worker.kind());
        let held = worker.request().cloned();
        let Some(serving) = worker.serving_mut() else { return };
        let starts = matches!(serving.phase, Phase::Starting { .. });
        if std::mem::replace(&mut serving.paused, true) {
            // Another debugger stops it as well; the stub hears once more that somebody works on it.
            if let Some(open) = held.and_then(|request| self.open.get_mut(&request)) {
                open.report_at = now;
            }
            return;
        }
        // What is stopped while it initialises is what a call waits for.
        let waiting = || self.first_waiting(&kind).cloned().filter(|_| starts);
        let Some(request) = held.or_else(waiting) else { return };
        let Some(open) = self.open.get(&request) else { return };
        let left = open.deadline.saturating_duration_since(now);
        let of = self.timeout_of(open);
        effects.push(Effect::Ui(UiEvent::Paused { request, function, place, left, of }));
    }

    /// A debugger let a worker go on.
    pub(super) fn resumed(&mut self, id: WorkerId, now: Instant) {
        if let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) {
            serving.paused = false;
            if let Phase::Finishing { until, .. } = &mut serving.phase {
                *until = (*until).max(now + FINISHING);
            }
        }
    }

    /// Lets the clocks of calls stand still that wait for the developer, or for a compiler: what takes a debugger to set its
    /// breakpoints, or a person to look at variables, is not the function's time. And a function in the cloud is compiled before it is
    /// called.
    pub(super) fn hold_clocks(&mut self, now: Instant) {
        let held: HashSet<ServingKind> = self
            .pool
            .iter()
            .filter(|(_, worker)| {
                worker.serving().is_some_and(|serving| {
                    serving.is_held() && matches!(serving.phase, Phase::Starting { .. } | Phase::Idle { .. })
                })
            })
            .map(|(_, worker)| worker.kind())
            .collect();
        // Asked for once, as many calls may wait for few functions.
        let waits = self.open.values().any(|open| open.worker.is_none());
        let building = self.functions.iter().filter(|(_, function)| waits && function.code.building());
        let building: HashSet<&FunctionId> = building.map(|(id, _)| id).collect();
        for open in self.open.values_mut() {
            let (stands, tell) = match open.worker {
                Some(worker) => {
                    let serving = self.pool.get(worker).and_then(|worker| worker.serving());
                    (serving.is_some_and(|serving| serving.paused), true)
                }
                None => {
                    let built = !building.is_empty() && building.contains(&open.invocation.function);
                    open.held = !held.is_empty() && held.contains(&open.kind());
                    (built || open.held, false)
                }
            };
            match open.paused {
                None if stands => open.paused = Some(now),
                Some(since) if !stands => {
                    open.deadline += now.saturating_duration_since(since);
                    open.paused = None;
                }
                _ => continue,
            }
            // The stub has to know that it may wait, and when it may not.
            if tell {
                open.report_at = now;
            }
        }
    }
}

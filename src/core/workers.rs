//! Which worker serves which call: starting workers, giving them invocations, taking their answers, ending them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use super::{
    State,
    effect::{BridgeCommand, Delivery, Effect, Start, Stop},
    event::{Exit, FunctionError, Outcome},
    invocation::{Identity, ServingKind},
    pool::{FINISHING, Phase, Serving, Supply, UNSEEN, WorkerState},
};
use crate::{
    ids::{FunctionId, RequestId, WorkerId},
    project::manifest::FunctionSpec,
    ui::UiEvent,
};

impl State {
    /// Gives waiting requests to workers, in order of arrival, and starts workers where some are missing.
    ///
    /// A call of whatever function gets its room in its turn: by a place that is free, by one that becomes free because a worker is
    /// ending, or by a worker that nobody needs.
    pub(super) fn schedule(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        let mut supply = self.pool.supply(self.debuggers > 0);
        for open in &waiting {
            supply.entry(open.kind()).or_default().wanted += 1;
        }
        let waiting: Vec<RequestId> = waiting.iter().map(|open| open.invocation.request.clone()).collect();
        // How many requests of each kind have been left to a worker that is coming, and how many to a place.
        let mut promised: HashMap<ServingKind, usize> = HashMap::new();
        let mut reserved = 0;
        for request in waiting {
            let Some(open) = self.open.get(&request) else { continue };
            let id = open.invocation.function.clone();
            let ready = self
                .functions
                .get(&id)
                .is_some_and(|function| function.code.good.is_some() && !function.code.building());
            if !ready {
                continue;
            }
            let kind = open.kind();
            let own = supply.entry(kind.clone()).or_default();
            if let Some((_, worker)) = own.idle.pop() {
                own.wanted = own.wanted.saturating_sub(1);
                self.deliver(&request, worker, effects);
                continue;
            }
            let environment = open.invocation.environment.clone();
            let promised = promised.entry(kind).or_default();
            *promised += 1;
            if own.coming.len() >= *promised {
                continue;
            }
            let limit = self.config.max_workers;
            if self.pool.len() < limit {
                own.coming.extend(self.start(&id, environment, effects));
                continue;
            }
            if self.pool.len() - self.pool.stopping() + reserved >= limit {
                let Some(victim) = self.pool.dispensable(&supply, now) else { continue };
                forget(&mut supply, victim);
                self.stop(victim, Stop::Gently, effects);
            }
            // It counts until it is gone, but nobody else may count on its place.
            reserved += 1;
        }
    }

    pub(super) fn polled(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) else {
            return;
        };
        match serving.phase {
            Phase::Finishing { outdated: true, .. } => self.stop(id, Stop::Gently, effects),
            Phase::Starting { .. } | Phase::Finishing { .. } => {
                serving.rest(now);
                self.show(id, effects);
            }
            // A client that lost its connection polls again; it still has what it had.
            Phase::Idle { .. } | Phase::Busy { .. } => {}
        }
    }

    /// Takes `request` from the worker that has it. False when the worker does not have it (any more).
    pub(super) fn release(&mut self, id: WorkerId, request: &RequestId, now: Instant) -> bool {
        // At the end of its time as well, it needs a moment to ask for the next.
        let until = self.open.get(request).map_or(now, |open| open.deadline).max(now + FINISHING);
        let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) else {
            return false;
        };
        let outdated = match &serving.phase {
            Phase::Busy { request: its, outdated } if its == request => *outdated,
            _ => return false,
        };
        serving.phase = Phase::Finishing { until, outdated };
        true
    }

    /// A worker could not initialise. As on Lambda, the invocation that it was started for gets the error.
    pub(super) fn init_failed(
        &mut self,
        id: WorkerId,
        error: FunctionError,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.pool.get(id) else {
            return;
        };
        if !matches!(worker.serving(), Some(Serving { phase: Phase::Starting { .. }, .. })) {
            return;
        }
        let kind = worker.kind();
        // The runner ends by itself after it has posted the error; this is for those that do not.
        self.stop(id, Stop::Gently, effects);
        self.fail_first_waiting(&kind, error, now, effects);
    }

    /// A worker has answered, and has not asked for its next invocation before the time of the former one was over.
    pub(super) fn never_asked(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.pool.get(id) {
            let text = format!(
                "`{}` has answered, but did not ask for its next call in the time of that one; its worker was ended",
                worker.function
            );
            effects.push(Effect::Ui(UiEvent::Warning(text)));
        }
        self.stop(id, Stop::Now, effects);
    }

    /// When the clock next has something to do with a worker.
    pub(super) fn next_worker_wake(&self) -> Option<Instant> {
        let idle = self.pool.longest_idle().map(|(since, _)| since + self.config.keep_idle);
        let finishing = self.pool.latest_to_finish().map(|(until, _)| until);
        let unseen = self.longest_unseen().map(|(since, _)| since + UNSEEN);
        [idle, finishing, unseen].into_iter().flatten().min()
    }

    /// What is due by the clock: workers that have been idle for long, or have not asked for their next call, or are not known to
    /// debuggers.
    pub(super) fn tick_workers(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        // These first: whoever is not waited for any more may have been idle for long.
        while let Some((since, worker)) = self.longest_unseen()
            && since + UNSEEN <= now
        {
            self.miss(worker, effects);
        }
        while let Some((since, worker)) = self.pool.longest_idle()
            && since + self.config.keep_idle <= now
        {
            self.stop(worker, Stop::Gently, effects);
        }
        while let Some((until, worker)) = self.pool.latest_to_finish()
            && until <= now
        {
            self.never_asked(worker, effects);
        }
    }

    /// Ends all of them, because the program ends.
    pub(super) fn stop_all(&mut self, effects: &mut Vec<Effect>) {
        let workers: Vec<WorkerId> = self.pool.iter().map(|(id, _)| id).collect();
        for worker in workers {
            self.stop(worker, Stop::Gently, effects);
        }
    }

    fn fail_first_waiting(
        &mut self,
        kind: &ServingKind,
        error: FunctionError,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let first = self.first_waiting(kind).cloned();
        match first {
            Some(request) => self.finish(&request, Outcome::Failed(error), now, effects),
            None => effects.push(Effect::Ui(UiEvent::Error {
                message: format!(
                    "`{}` does not initialise: {}",
                    kind.0,
                    String::from_utf8_lossy(&error.body)
                ),
                hint: None,
            })),
        }
    }

    pub(super) fn output(&mut self, id: WorkerId, line: String, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.pool.get(id) {
            let function = worker.function.clone();
            effects.push(Effect::Ui(UiEvent::Log { request: worker.last.clone(), function, line }));
        }
    }

    pub(super) fn exited(&mut self, id: WorkerId, exit: &Exit, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.remove(id) else {
            return;
        };
        let kind = worker.kind();
        let WorkerState::Serving(serving) = worker.state else { return };
        if serving.is_offered() {
            effects.push(Effect::Bridge(BridgeCommand::Withdraw { worker: id }));
        }
        match serving.phase {
            Phase::Busy { request, .. } => {
                let error = exit_error(Some(&request), exit);
                self.finish(&request, Outcome::Failed(error), now, effects);
            }
            Phase::Starting { .. } => {
                self.fail_first_waiting(&kind, exit_error(None, exit), now, effects);
            }
            Phase::Idle { .. } | Phase::Finishing { .. } => {}
        }
    }

    fn deliver(&mut self, request: &RequestId, id: WorkerId, effects: &mut Vec<Effect>) {
        let (Some(open), Some(worker)) = (self.open.get_mut(request), self.pool.get_mut(id)) else {
            return;
        };
        let Some(serving) = worker.serving_mut() else { return };
        serving.phase = Phase::Busy { request: request.clone(), outdated: false };
        worker.last = Some(request.clone());
        open.worker = Some(id);
        let delivery = Delivery {
            request: request.clone(),
            payload: open.invocation.payload.clone(),
            context: open.invocation.context.clone(),
            deadline: open.since + open.invocation.remaining,
            credentials: open.credentials(),
        };
        effects.push(Effect::Deliver { worker: id, delivery: Box::new(delivery) });
    }

    /// Starts a worker with the last good code of a function.
    pub(super) fn start(
        &mut self,
        id: &FunctionId,
        environment: BTreeMap<String, String>,
        effects: &mut Vec<Effect>,
    ) -> Option<WorkerId> {
        let function = self.functions.get(id)?;
        let (_, artifact) = function.code.good.clone()?;
        let own = own_variables(&function.spec, &environment);
        let identity = Identity::of(&environment);
        let gated = self.gate.contains(&artifact.program.language);
        let worker = self.pool.add(id.clone(), identity, own, gated);
        effects.push(Effect::Start(Box::new(Start {
            worker,
            spec: function.spec.clone(),
            artifact,
            environment,
            gated,
        })));
        Some(worker)
    }

    /// Lets the workers of a function take nothing further, because their code is an old one.
    pub(super) fn drain_all(&mut self, id: &FunctionId, effects: &mut Vec<Effect>) {
        let workers: Vec<WorkerId> = self.pool.of(id).map(|(id, _)| id).collect();
        for worker in workers {
            self.drain(worker, effects);
        }
    }

    /// Lets a worker take nothing further; it ends as soon as it has nothing to do. A call in progress goes on.
    pub(super) fn drain(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(serving) = self.pool.get_mut(id).and_then(|worker| worker.serving_mut()) else {
            return;
        };
        match &mut serving.phase {
            Phase::Busy { outdated, .. } | Phase::Finishing { outdated, .. } => *outdated = true,
            Phase::Starting { .. } | Phase::Idle { .. } => self.stop(id, Stop::Gently, effects),
        }
    }

    pub(super) fn stop(&mut self, id: WorkerId, how: Stop, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        match std::mem::replace(&mut worker.state, WorkerState::Stopping) {
            // A process that ends waits for its debuggers to leave.
            WorkerState::Serving(serving) if serving.is_offered() => {
                effects.push(Effect::Bridge(BridgeCommand::Withdraw { worker: id }));
            }
            WorkerState::Stopping if how != Stop::Now => return,
            WorkerState::Serving(_) | WorkerState::Stopping => {}
        }
        effects.push(Effect::Stop { worker: id, how });
    }
}

/// Takes a worker out of what calls could count on.
fn forget(supply: &mut HashMap<ServingKind, Supply>, worker: WorkerId) {
    for supply in supply.values_mut() {
        supply.idle.retain(|(_, id)| *id != worker);
        supply.coming.retain(|id| *id != worker);
    }
}

/// The function's own variables. Those that Lambda sets differ between execution environments of the same function, so they do
/// not tell whether a worker can serve an invocation.
pub(super) fn own_variables(
    spec: &FunctionSpec,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    spec.environment.iter().filter_map(|name| Some((name.clone(), environment.get(name)?.clone()))).collect()
}

/// What Lambda answers for a process that ended without an answer.
fn exit_error(request: Option<&RequestId>, exit: &Exit) -> FunctionError {
    let reason = match exit {
        Exit::Code(0) => "Runtime exited without providing a reason".to_owned(),
        Exit::Code(code) => format!("Runtime exited with error: exit status {code}"),
        Exit::Signal(signal) => format!("Runtime exited with error: signal: {signal}"),
        Exit::NotStarted(reason) => {
            return FunctionError::new("Runtime.InvalidEntrypoint", &format!("Error: {reason}"));
        }
    };
    let message = match request {
        Some(request) => format!("RequestId: {request} Error: {reason}"),
        None => format!("Error: {reason}"),
    };
    FunctionError::new("Runtime.ExitError", &message)
}

//! Which worker serves which call: starting workers, giving them invocations, taking their answers, ending them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::{
    State,
    effect::{BridgeCommand, Delivery, Effect, Start, Stop},
    event::{Exit, FunctionError, Outcome},
    invocation::{Identity, ServingKind},
    pool::{FINISHING, Phase, SLOW, STARTING, Serving, Supply, UNSEEN, WorkerState},
};
use crate::{
    ids::{FunctionId, RequestId, WorkerId},
    project::manifest::FunctionSpec,
    ui::UiEvent,
};

/// How many times as many processes as are busy with their start may be slow with it.
const SLOW_AT_ONCE: usize = 2;

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
        // The functions that have any worker. The first one of a function waits for no other: somebody's call may wait for its.
        let mut served: HashSet<FunctionId> = supply.keys().map(|(function, _)| function.clone()).collect();
        let waiting: Vec<(RequestId, ServingKind)> =
            waiting.iter().map(|open| (open.invocation.request.clone(), open.kind())).collect();
        for (_, kind) in &waiting {
            // Rarely is one there for the first time.
            match supply.get_mut(kind) {
                Some(own) => own.wanted += 1,
                None => drop(supply.insert(kind.clone(), Supply { wanted: 1, ..Supply::default() })),
            }
        }
        // How many requests have been left to a place.
        let mut reserved = 0;
        let mut starting = self.pool.starting().count();
        let mut slow = self.pool.slow().count();
        for (request, kind) in waiting {
            let Some(open) = self.open.get_mut(&request) else { continue };
            open.patient_until = None;
            let id = open.invocation.function.clone();
            let ready = self
                .functions
                .get(&id)
                .is_some_and(|function| function.code.good.is_some() && !function.code.building());
            if !ready {
                continue;
            }
            let Some(own) = supply.get_mut(&kind) else { continue };
            if let Some((_, worker)) = own.idle.pop() {
                own.wanted = own.wanted.saturating_sub(1);
                own.busy += 1;
                self.deliver(&request, worker, now, effects);
                continue;
            }
            own.promised += 1;
            if own.coming.len() >= own.promised {
                continue;
            }
            let limit = self.config.max_workers;
            if self.pool.len() < limit {
                // Others are free before further processes are there, if their calls are short or all of these start at the same time.
                let others = own.coming.len() + own.busy;
                let Some(function) = self.functions.get(&id) else { continue };
                let wait = function.short_wait();
                let turn =
                    function.usual.map(|usual| usual.mul_f64(own.promised as f64 / others.max(1) as f64));
                // As long as they are answered, one after the other, its turn comes. And where several processes are slow to start, more
                // of them would make all of it slower.
                let answered = own.answered.map_or(open.since, |answered| answered.max(open.since));
                let slow_ones = own.coming.iter().filter_map(|id| self.pool.get(*id)?.slow);
                let is_crowded = slow_ones.clone().count() >= self.config.starts_at_once;
                let slow_one = slow_ones.min().filter(|_| is_crowded);
                let until = slow_one.map_or(answered + wait, |since| (since + SLOW).max(answered + wait));
                if others > 0 && turn.is_some_and(|turn| turn < wait) && now < until {
                    open.patient_until = Some(until);
                    continue;
                }
                let is_first = served.insert(id.clone());
                let at_once = self.config.starts_at_once;
                if !is_first && (starting >= at_once || slow >= at_once * SLOW_AT_ONCE) {
                    continue;
                }
                starting += 1;
                slow += 1;
                let environment = open.invocation.environment.clone();
                own.coming.extend(self.start(&id, environment, now, effects));
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
        let Some(worker) = self.pool.get_mut(id) else { return };
        let (function, took) = (worker.function.clone(), now.saturating_duration_since(worker.since));
        let Some(serving) = worker.serving_mut() else { return };
        if matches!(serving.phase, Phase::Starting { .. })
            && let Some(function) = self.functions.get_mut(&function)
        {
            function.started(took);
        }
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
        let idle = self.next_to_end().map(|(when, _)| when);
        let finishing = self.pool.latest_to_finish().map(|(until, _)| until);
        let unseen = self.longest_unseen().map(|(since, _)| since + UNSEEN);
        let waits = !self.stopping && (self.stale || self.open.values().any(|open| open.worker.is_none()));
        let started = self.pool.starting().min().filter(|_| waits).map(|since| since + STARTING);
        let slow = self.pool.slow().min().filter(|_| waits).map(|since| since + SLOW);
        let patient = self.open.values().filter(|open| open.worker.is_none());
        let patient = patient.filter_map(|open| open.patient_until).min();
        [idle, finishing, unseen, started, slow, patient].into_iter().flatten().min()
    }

    /// What is due by the clock: workers that have been idle for long, or have not asked for their next call, or are not known to
    /// debuggers.
    pub(super) fn tick_workers(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.pool.tick(now);
        // These first: whoever is not waited for any more may have been idle for long.
        while let Some((since, worker)) = self.longest_unseen()
            && since + UNSEEN <= now
        {
            self.miss(worker, effects);
        }
        while let Some((when, worker)) = self.next_to_end()
            && when <= now
        {
            self.stop(worker, Stop::Gently, effects);
        }
        while let Some((until, worker)) = self.pool.latest_to_finish()
            && until <= now
        {
            self.never_asked(worker, effects);
        }
    }

    /// Which idle worker ends next, and when. Of many there are only few that serve again soon, and each of them takes memory.
    fn next_to_end(&self) -> Option<(Instant, WorkerId)> {
        let (since, worker, idle) = self.pool.longest_idle()?;
        let is_spare = idle > self.config.recent;
        let kept = if is_spare { self.config.keep_spare } else { self.config.keep_idle };
        Some((since + kept, worker))
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

    fn deliver(&mut self, request: &RequestId, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(time) = self.open.get(request).map(|open| self.timeout_of(open)) else { return };
        let (Some(open), Some(worker)) = (self.open.get_mut(request), self.pool.get_mut(id)) else {
            return;
        };
        let Some(serving) = worker.serving_mut() else { return };
        serving.phase = Phase::Busy { request: request.clone(), outdated: false };
        worker.last = Some(request.clone());
        open.worker = Some(id);
        open.given_at = Some(now);
        // From now on it is the function's own time that passes, unless its stub's is over before.
        let whole = open.deadline.max(open.since + open.invocation.remaining);
        open.deadline = open.deadline.min(now + time);
        let delivery = Delivery {
            request: request.clone(),
            payload: open.invocation.payload.clone(),
            context: open.invocation.context.clone(),
            deadline: whole.min(now + time),
            credentials: open.credentials(),
            debugged: self.debuggers > 0,
            stops: open.invocation.stops,
        };
        effects.push(Effect::Deliver { worker: id, delivery: Box::new(delivery) });
    }

    /// Starts a worker with the last good code of a function.
    pub(super) fn start(
        &mut self,
        id: &FunctionId,
        environment: Arc<BTreeMap<String, String>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Option<WorkerId> {
        let function = self.functions.get(id)?;
        let (_, artifact) = function.code.good.clone()?;
        let own = own_variables(&function.spec, &environment);
        let identity = Identity::of(&environment);
        let gated = self.gate.contains(&artifact.program.language);
        let worker = self.pool.add(id.clone(), identity, own, gated, now);
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
fn own_variables(spec: &FunctionSpec, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    spec.environment.iter().filter_map(|name| Some((name.clone(), environment.get(name)?.clone()))).collect()
}

/// Whether these are the function's own variables of an environment. Each call asks for each worker of its function.
pub(super) fn has_own_variables(
    own: &BTreeMap<String, String>,
    spec: &FunctionSpec,
    environment: &BTreeMap<String, String>,
) -> bool {
    let there = spec.environment.iter().filter(|name| environment.contains_key(*name)).count();
    there == own.len() && spec.environment.iter().all(|name| own.get(name) == environment.get(name))
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
        Exit::Extension { error_type, reason } => {
            return FunctionError::new(error_type, &with_request(request, reason));
        }
    };
    FunctionError::new("Runtime.ExitError", &with_request(request, &reason))
}

fn with_request(request: Option<&RequestId>, reason: &str) -> String {
    match request {
        Some(request) => format!("RequestId: {request} Error: {reason}"),
        None => format!("Error: {reason}"),
    }
}

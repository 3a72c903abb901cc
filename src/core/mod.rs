//! The state machine that decides. It owns every open invocation, deadline, queue, pool, and generation.
//!
//! [`State::handle`] takes one [`Event`] and the time, and returns what is to be done about it. It does no I/O, spawns nothing,
//! and reads no clock, so that every order of events can be tested.

pub mod effect;
pub mod event;
mod function;
mod invocation;
mod pool;
pub mod source;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use self::{
    effect::{BridgeCommand, Delivery, Effect, RelayCommand, Start, Stop},
    event::{Event, Exit, FunctionError, Gate, Invocation, Outcome, Program, StreamPart, Target},
    function::{Code, Finished, Function},
    invocation::Open,
    pool::{Pool, WorkerState},
};
use crate::{
    ids::{FunctionId, Generation, RequestId, WorkerId},
    project::manifest::FunctionSpec,
    ui::UiEvent,
};

/// What the core can be told about how it should work.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most worker processes at a time, over all functions. Further calls wait in order of arrival.
    pub max_workers: usize,
    /// How long an idle worker is kept.
    pub keep_idle: Duration,
    /// How long after its last call a function is rebuilt when it is saved, rather than when it is called.
    pub keep_warm: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_workers: 100, keep_idle: Duration::from_secs(600), keep_warm: Duration::from_secs(1800) }
    }
}

/// A function that was asked for by name.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is known of it.
    pub spec: Arc<FunctionSpec>,
    /// The environment of its last call, if it was called.
    pub environment: Option<BTreeMap<String, String>>,
    /// When that was.
    pub seen: Option<Instant>,
}

/// The state of the daemon.
#[derive(Debug)]
pub struct State {
    config: Config,
    functions: BTreeMap<FunctionId, Function>,
    open: HashMap<RequestId, Open>,
    /// The requests that wait for a worker, in order of arrival.
    waiting: VecDeque<RequestId>,
    pool: Pool,
    stopping: bool,
    /// How many debuggers are attached.
    debuggers: usize,
    /// Which workers load their functions only after the debuggers have set their breakpoints.
    gate: Gate,
}

impl State {
    /// A state without functions; [`Event::Functions`] brings them.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            functions: BTreeMap::new(),
            open: HashMap::new(),
            waiting: VecDeque::new(),
            pool: Pool::default(),
            stopping: false,
            debuggers: 0,
            gate: Gate::default(),
        }
    }

    /// Takes in what happened at `now` and returns what is to be done, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Invoked(invocation) => self.invoked(*invocation, now, &mut effects),
            Event::Polled { worker } => self.polled(worker, now, &mut effects),
            Event::Answered { worker, request, outcome } => {
                if self.release(worker, &request) {
                    self.finish(&request, outcome, now, &mut effects);
                }
            }
            Event::Streamed { worker, request, part } => {
                self.streamed(worker, &request, part, now, &mut effects)
            }
            Event::InitFailed { worker, error } => self.init_failed(worker, error, now, &mut effects),
            Event::Debuggable { worker, target } => self.debuggable(worker, target, &mut effects),
            Event::DebuggerWaits { worker, port } => effects.push(Effect::Debug { worker, port }),
            Event::DebuggerComes { worker } => {
                if let Some(found) = self.pool.get_mut(worker) {
                    found.held = true;
                }
            }
            Event::DebuggerReady { worker } => {
                if let Some(found) = self.pool.get_mut(worker) {
                    found.held = false;
                    effects.push(Effect::Load { worker });
                }
            }
            Event::Debuggers { attached, gate } => self.debuggers(attached, gate, &mut effects),
            Event::Output { worker, line } => self.output(worker, line, &mut effects),
            Event::Exited { worker, exit } => self.exited(worker, &exit, now, &mut effects),
            Event::FilesChanged(changes) => {
                let keep_warm = self.config.keep_warm;
                for (id, function) in &mut self.functions {
                    let warm = function.spec.source.is_compiled()
                        || function
                            .warm_since
                            .is_some_and(|since| now.saturating_duration_since(since) < keep_warm);
                    if function.code.concerned_by(&changes) && function.code.changed(warm) {
                        tracing::debug!(function = %id, "changed");
                        build(function, now, &mut effects);
                    }
                }
            }
            Event::Built { function, generation, result } => {
                self.built(&function, generation, result, now, &mut effects)
            }
            Event::Functions(specs) => self.functions_changed(specs, now, &mut effects),
            Event::Introduced { function, environment } => {
                if let Some(function) = self.functions.get_mut(&function) {
                    function.environment = Some(environment);
                    function.environment_seen = Some(now);
                }
            }
            Event::Paused { worker, place } => self.paused(worker, place, now, &mut effects),
            Event::Resumed { worker } => {
                if let Some(open) = self.request_of(worker)
                    && let Some(since) = open.paused.take()
                {
                    open.deadline += now.saturating_duration_since(since);
                    open.report_at = now;
                }
            }
            Event::Tick => {}
            Event::Shutdown => self.shutdown(now, &mut effects),
        }
        self.stop_clocks_for_builds(now);
        self.tick(now, &mut effects);
        self.schedule(&mut effects);
        effects
    }

    /// The function that a name means, and the environment that it was last called with. The name is an id, or the end of one.
    ///
    /// # Errors
    /// A sentence that names what there is.
    pub fn find_function(&self, name: &str) -> Result<Found, String> {
        let function = FunctionId::named(name, self.functions.iter())?;
        Ok(Found {
            spec: function.spec.clone(),
            environment: function.environment.clone(),
            seen: function.environment_seen,
        })
    }

    /// When [`Event::Tick`] is next needed.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let requests = self.open.values().map(Open::wake);
        let idle = self.pool.longest_idle().map(|(since, _)| since + self.config.keep_idle);
        requests.chain(idle).min()
    }

    /// Whether everything has ended after [`Event::Shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stopping && self.open.is_empty() && self.pool.len() == 0
    }

    fn invoked(&mut self, invocation: Invocation, now: Instant, effects: &mut Vec<Effect>) {
        let request = invocation.request.clone();
        if self.open.contains_key(&request) {
            return;
        }
        effects.push(Effect::Ui(UiEvent::Request {
            request: request.clone(),
            function: invocation.function.clone(),
            source: source::describe(&invocation.payload),
        }));
        let id = invocation.function.clone();
        let environment = invocation.environment.clone();
        self.open.insert(request.clone(), Open::new(invocation, now));
        if self.stopping {
            return self.finish(&request, Outcome::Failed(stopped()), now, effects);
        }
        let Some(function) = self.functions.get_mut(&id) else {
            let error = FunctionError::new(
                "Sst.UnknownFunction",
                &format!(
                    "`{id}` is not among the functions that this `sst start` runs; restart it to deploy the app again"
                ),
            );
            return self.finish(&request, Outcome::Failed(error), now, effects);
        };
        function.warm_since = Some(now);
        let wanted = own_variables(&function.spec, &environment);
        function.environment = Some(environment);
        function.environment_seen = Some(now);
        if function.code.wants_build() {
            build(function, now, effects);
        }
        let outdated: Vec<WorkerId> =
            self.pool.of(&id).filter(|(_, worker)| worker.environment != wanted).map(|(id, _)| id).collect();
        for worker in outdated {
            self.drain(worker, effects);
        }
        self.waiting.push_back(request);
    }

    fn polled(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        match worker.state {
            WorkerState::Starting | WorkerState::Finishing => worker.state = WorkerState::Idle { since: now },
            // A client that lost its connection polls again; it still has what it had.
            WorkerState::Idle { .. } | WorkerState::Busy { .. } | WorkerState::Stopping => {}
        }
        if worker.draining {
            self.stop(id, Stop::Gently, effects);
        } else {
            self.offer(id, effects);
        }
    }

    /// Takes `request` from the worker that has it. False when the worker does not have it (any more).
    fn release(&mut self, id: WorkerId, request: &RequestId) -> bool {
        let Some(worker) = self.pool.get_mut(id) else {
            return false;
        };
        if worker.state != (WorkerState::Busy { request: request.clone() }) {
            return false;
        }
        worker.state = WorkerState::Finishing;
        true
    }

    fn streamed(
        &mut self,
        id: WorkerId,
        request: &RequestId,
        part: StreamPart,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let busy = WorkerState::Busy { request: request.clone() };
        if self.pool.get(id).is_none_or(|worker| worker.state != busy) {
            return;
        }
        let Some(open) = self.open.get_mut(request) else {
            return;
        };
        open.streaming = true;
        match part {
            StreamPart::End { error } => {
                self.release(id, request);
                self.end_stream(request, error, now, effects);
            }
            part => effects.push(Effect::Relay(RelayCommand::Stream { request: request.clone(), part })),
        }
    }

    /// A worker could not initialise. As on Lambda, the invocation that it was started for gets the error.
    fn init_failed(&mut self, id: WorkerId, error: FunctionError, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        if worker.state != WorkerState::Starting {
            return;
        }
        worker.state = WorkerState::Stopping;
        let function = worker.function.clone();
        let draining = worker.draining;
        // The runner ends by itself after it has posted the error; this is for those that do not.
        effects.push(Effect::Stop { worker: id, how: Stop::Gently });
        if draining {
            return;
        }
        self.fail_first_waiting(&function, error, now, effects);
    }

    fn fail_first_waiting(
        &mut self,
        function: &FunctionId,
        error: FunctionError,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let first = self.waiting.iter().find(|request| {
            self.open.get(*request).is_some_and(|open| open.invocation.function == *function)
        });
        match first.cloned() {
            Some(request) => self.finish(&request, Outcome::Failed(error), now, effects),
            None => effects.push(Effect::Ui(UiEvent::Error {
                message: format!(
                    "`{function}` does not initialise: {}",
                    String::from_utf8_lossy(&error.body)
                ),
                hint: None,
            })),
        }
    }

    /// Debuggers get to know a worker before it is given its first invocation, so that they can stop it there.
    fn debuggable(&mut self, id: WorkerId, target: Target, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        worker.target = Some(target);
        if worker.gated || worker.state != WorkerState::Starting {
            self.offer(id, effects);
        }
    }

    /// Shows a worker to debuggers, once. It gets no call before they have set their breakpoints.
    ///
    /// Normally its function is loaded by then: vscode-js-debug is told of all scripts before it says that it is ready, whereas the
    /// source map of a script that comes later is read while the script runs already.
    fn offer(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else { return };
        if worker.offered || worker.state == WorkerState::Stopping {
            return;
        }
        let Some(target) = worker.target.clone() else { return };
        worker.offered = true;
        worker.held = true;
        let function = worker.function.clone();
        effects.push(Effect::Bridge(BridgeCommand::Offer { worker: id, function, target }));
    }

    fn debuggers(&mut self, attached: usize, gate: Gate, effects: &mut Vec<Effect>) {
        self.gate = gate;
        let before = std::mem::replace(&mut self.debuggers, attached);
        let text = match attached.cmp(&before) {
            Ordering::Greater => "A debugger is attached",
            Ordering::Less => "A debugger has left",
            Ordering::Equal => return,
        };
        effects.push(Effect::Ui(UiEvent::Info(text.to_owned())));
    }

    /// A debugger has stopped a worker: its clock stands still.
    fn paused(&mut self, worker: WorkerId, place: Option<String>, now: Instant, effects: &mut Vec<Effect>) {
        let Some(open) = self.request_of(worker) else { return };
        open.report_at = now;
        if open.paused.is_some() {
            return;
        }
        open.paused = Some(now);
        let left = open.deadline.saturating_duration_since(now);
        let function = open.invocation.function.clone();
        let request = open.invocation.request.clone();
        let of = self.open.get(&request).map_or(left, |open| self.timeout_of(open));
        effects.push(Effect::Ui(UiEvent::Paused { request, function, place, left, of }));
    }

    fn output(&mut self, id: WorkerId, line: String, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.pool.get(id) {
            let function = worker.function.clone();
            effects.push(Effect::Ui(UiEvent::Log { request: worker.last.clone(), function, line }));
        }
    }

    fn exited(&mut self, id: WorkerId, exit: &Exit, now: Instant, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.remove(id) else {
            return;
        };
        if worker.offered {
            effects.push(Effect::Bridge(BridgeCommand::Withdraw { worker: id }));
        }
        match worker.state {
            WorkerState::Busy { request } => {
                let error = exit_error(Some(&request), exit);
                self.finish(&request, Outcome::Failed(error), now, effects);
            }
            WorkerState::Starting if !worker.draining => {
                self.fail_first_waiting(&worker.function, exit_error(None, exit), now, effects);
            }
            _ => {}
        }
    }

    fn built(
        &mut self,
        id: &FunctionId,
        generation: Generation,
        result: Result<Arc<event::Artifact>, event::BuildError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(function) = self.functions.get_mut(id) else {
            return;
        };
        let first = function.code.good.is_none();
        let (finished, took) = function.code.finish(generation, result, now);
        match finished {
            Finished::Ignored | Finished::Same => {}
            Finished::Again => build(function, now, effects),
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
                if !first {
                    effects.push(Effect::Ui(UiEvent::Rebuilt { function: id.clone(), took }));
                }
                let environment = function.environment.clone();
                let old: Vec<WorkerId> = self.pool.of(id).map(|(id, _)| id).collect();
                let had_workers = !old.is_empty();
                // The next worker is started before the old ones are stopped: it is what the developer waits for.
                // For that one moment there may be one more than the limit.
                if had_workers
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

    /// A function in the cloud is compiled before it is called, so the time that calls wait for that is not theirs.
    fn stop_clocks_for_builds(&mut self, now: Instant) {
        for request in &self.waiting {
            let Some(open) = self.open.get_mut(request) else { continue };
            let function = self.functions.get(&open.invocation.function);
            let building = function.is_some_and(|function| function.code.building());
            match open.paused {
                None if building => open.paused = Some(now),
                Some(since) if !building => {
                    open.deadline += now.saturating_duration_since(since);
                    open.paused = None;
                }
                _ => {}
            }
        }
    }

    fn functions_changed(&mut self, specs: Vec<Arc<FunctionSpec>>, now: Instant, effects: &mut Vec<Effect>) {
        let ids = specs.iter().map(|spec| spec.id.clone()).collect();
        let mut former = std::mem::take(&mut self.functions);
        for spec in specs {
            let id = spec.id.clone();
            let function = match former.remove(&id) {
                Some(function) if function.spec == spec => function,
                Some(function) => {
                    let workers: Vec<WorkerId> = self.pool.of(&id).map(|(id, _)| id).collect();
                    for worker in workers {
                        self.drain(worker, effects);
                    }
                    Function { spec, code: Code::default(), ..function }
                }
                None => Function {
                    spec,
                    code: Code::default(),
                    environment: None,
                    environment_seen: None,
                    warm_since: None,
                },
            };
            self.functions.insert(id, function);
        }
        for id in former.keys() {
            effects.push(Effect::Cool { function: id.clone() });
            let workers: Vec<WorkerId> = self.pool.of(id).map(|(id, _)| id).collect();
            for worker in workers {
                self.drain(worker, effects);
            }
            for request in self.waiting_for(id) {
                let error =
                    FunctionError::new("Sst.UnknownFunction", &format!("`{id}` was removed from the app"));
                self.finish(&request, Outcome::Failed(error), now, effects);
            }
        }
        for (id, function) in &mut self.functions {
            let waits = self
                .waiting
                .iter()
                .any(|request| self.open.get(request).is_some_and(|open| open.invocation.function == *id));
            // What takes seconds to compile is compiled before somebody waits for it.
            if (waits || function.spec.source.is_compiled()) && function.code.wants_build() {
                build(function, now, effects);
            }
        }
        effects.push(Effect::Relay(RelayCommand::Register { functions: ids }));
    }

    fn shutdown(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.stopping = true;
        let open: Vec<RequestId> = self.open.keys().cloned().collect();
        for request in open {
            self.finish(&request, Outcome::Failed(stopped()), now, effects);
        }
        let workers: Vec<WorkerId> = self.pool.iter().map(|(id, _)| id).collect();
        for worker in workers {
            self.stop(worker, Stop::Gently, effects);
        }
    }

    /// What is due by the clock.
    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let due: Vec<RequestId> = self
            .open
            .iter()
            .filter(|(_, open)| open.wake() <= now)
            .map(|(request, _)| request.clone())
            .collect();
        for request in due {
            let Some(open) = self.open.get_mut(&request) else {
                continue;
            };
            if open.paused.is_none() && open.deadline <= now {
                self.time_out(&request, now, effects);
            } else if open.paused.is_some() && open.caller_waits_until.is_some_and(|until| until <= now) {
                open.caller_waits_until = None;
                let function = open.invocation.function.clone();
                effects.push(Effect::Ui(UiEvent::CallerGone { request, function }));
            } else {
                let paused = open.paused.is_some();
                open.report_at = now + Duration::from_millis(sst_wire::WORKING_INTERVAL_MS);
                effects.push(Effect::Relay(RelayCommand::Working { request, paused }));
            }
        }
        while let Some((since, worker)) = self.pool.longest_idle()
            && since + self.config.keep_idle <= now
        {
            self.stop(worker, Stop::Gently, effects);
        }
    }

    fn time_out(&mut self, request: &RequestId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(open) = self.open.get(request) else {
            return;
        };
        let function = open.invocation.function.clone();
        let seconds = self.timeout_of(open).as_secs_f64();
        let error = FunctionError::new(
            "Sandbox.Timedout",
            &format!("RequestId: {request} Error: Task timed out after {seconds:.2} seconds"),
        );
        let worker = open.worker;
        self.finish(request, Outcome::Failed(error), now, effects);
        // Without a worker it was the initialisation that took too long, if the call was waiting for one.
        let culprit = worker.or_else(|| {
            let surplus = self.pool.starting(&function) > self.waiting_for(&function).len();
            self.pool
                .of(&function)
                .find(|(_, worker)| surplus && worker.state == WorkerState::Starting)
                .map(|(id, _)| id)
        });
        if let Some(worker) = culprit {
            self.stop(worker, Stop::Now, effects);
        }
    }

    /// The timeout that the invocation had when it began. The stub says what was left of it; the declared one is the same
    /// number unless the stub was deployed with a longer one.
    fn timeout_of(&self, open: &Open) -> Duration {
        let declared = self
            .functions
            .get(&open.invocation.function)
            .map(|function| Duration::from_secs(function.spec.timeout_s));
        match declared {
            Some(declared) if open.invocation.remaining <= declared => declared,
            _ => Duration::from_secs(open.invocation.remaining.as_secs_f64().ceil() as u64),
        }
    }

    /// Gives waiting requests to workers, in order of arrival, and starts workers where some are missing.
    fn schedule(&mut self, effects: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        let mut still_waiting = VecDeque::new();
        // How many requests of each function have been left to a worker that is starting.
        let mut promised: HashMap<FunctionId, usize> = HashMap::new();
        while let Some(request) = self.waiting.pop_front() {
            let Some(open) = self.open.get(&request) else {
                continue;
            };
            let id = open.invocation.function.clone();
            let ready = self
                .functions
                .get(&id)
                .is_some_and(|function| function.code.good.is_some() && !function.code.building());
            if !ready {
                still_waiting.push_back(request);
                continue;
            }
            if let Some(worker) = self.pool.idle_for(&id) {
                self.deliver(&request, worker, effects);
                continue;
            }
            let environment = open.invocation.environment.clone();
            still_waiting.push_back(request);
            let promised = promised.entry(id.clone()).or_default();
            *promised += 1;
            if self.pool.starting(&id) >= *promised {
                continue;
            }
            if self.pool.len() >= self.config.max_workers {
                // An idle worker of another function makes room; it counts until it is gone.
                if let Some((_, idle)) = self.pool.longest_idle() {
                    self.stop(idle, Stop::Gently, effects);
                }
                continue;
            }
            self.start(&id, environment, effects);
        }
        self.waiting = still_waiting;
    }

    fn deliver(&mut self, request: &RequestId, id: WorkerId, effects: &mut Vec<Effect>) {
        let (Some(open), Some(worker)) = (self.open.get_mut(request), self.pool.get_mut(id)) else {
            return;
        };
        worker.state = WorkerState::Busy { request: request.clone() };
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

    fn start(&mut self, id: &FunctionId, environment: BTreeMap<String, String>, effects: &mut Vec<Effect>) {
        let Some(function) = self.functions.get(id) else {
            return;
        };
        let Some((_, artifact)) = function.code.good.clone() else {
            return;
        };
        let own = own_variables(&function.spec, &environment);
        let gated = match artifact.program {
            Program::Node => self.gate.node,
            Program::Python { .. } => self.gate.python,
            // Its debugger needs the process, and its own initialisation cannot be held up from outside.
            Program::Native { .. } => false,
        };
        // A program that asks for its first invocation before its process id is known is not to be debugged too late.
        let held = matches!(artifact.program, Program::Native { .. });
        let worker = self.pool.add(id.clone(), own, gated, held);
        effects.push(Effect::Start(Box::new(Start {
            worker,
            spec: function.spec.clone(),
            artifact,
            environment,
            gated,
        })));
    }

    /// Lets a worker take nothing further; it ends as soon as it has nothing to do. A call in progress goes on.
    fn drain(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        worker.draining = true;
        if matches!(worker.state, WorkerState::Starting | WorkerState::Idle { .. }) {
            self.stop(id, Stop::Gently, effects);
        }
    }

    fn stop(&mut self, id: WorkerId, how: Stop, effects: &mut Vec<Effect>) {
        let Some(worker) = self.pool.get_mut(id) else {
            return;
        };
        if worker.state != WorkerState::Stopping || how == Stop::Now {
            worker.state = WorkerState::Stopping;
            // A process that ends waits for its debuggers to leave.
            if std::mem::take(&mut worker.offered) {
                effects.push(Effect::Bridge(BridgeCommand::Withdraw { worker: id }));
            }
            effects.push(Effect::Stop { worker: id, how });
        }
    }

    /// Ends an open request with its one outcome.
    fn finish(&mut self, request: &RequestId, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        if self.open.get(request).is_some_and(|open| open.streaming) {
            // The head of the response is gone already, so an error can only break the stream off.
            let error = match outcome {
                Outcome::Returned(_) => None,
                Outcome::Failed(error) => Some(sst_wire::StreamError {
                    error_type: error.error_type,
                    error_body: STANDARD.encode(&error.body),
                }),
            };
            return self.end_stream(request, error, now, effects);
        }
        let Some(open) = self.close(request) else { return };
        effects.push(Effect::Ui(report(&open, &outcome, now)));
        effects.push(Effect::Relay(RelayCommand::Reply { request: request.clone(), outcome }));
    }

    fn end_stream(
        &mut self,
        request: &RequestId,
        error: Option<sst_wire::StreamError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(open) = self.close(request) else { return };
        let took = now.saturating_duration_since(open.since);
        let function = open.invocation.function;
        effects.push(Effect::Ui(match &error {
            None => {
                UiEvent::Response { request: request.clone(), function, took, summary: "streamed".to_owned() }
            }
            Some(error) => {
                let body = STANDARD.decode(&error.error_body).unwrap_or_default();
                let detail = source::explain(&error.error_type, &body);
                UiEvent::Failure { request: request.clone(), function, took, detail }
            }
        }));
        let part = StreamPart::End { error };
        effects.push(Effect::Relay(RelayCommand::Stream { request: request.clone(), part }));
    }

    fn close(&mut self, request: &RequestId) -> Option<Open> {
        let open = self.open.remove(request)?;
        self.waiting.retain(|waiting| waiting != request);
        Some(open)
    }

    fn waiting_for(&self, function: &FunctionId) -> Vec<RequestId> {
        self.waiting
            .iter()
            .filter(|request| {
                self.open.get(*request).is_some_and(|open| open.invocation.function == *function)
            })
            .cloned()
            .collect()
    }

    fn request_of(&mut self, worker: WorkerId) -> Option<&mut Open> {
        match &self.pool.get(worker)?.state {
            WorkerState::Busy { request } => self.open.get_mut(request),
            _ => None,
        }
    }
}

fn build(function: &mut Function, now: Instant, effects: &mut Vec<Effect>) {
    let generation = function.code.begin(now);
    effects.push(Effect::Build { spec: function.spec.clone(), generation });
}

/// The function's own variables. Those that Lambda sets differ between execution environments of the same function, so they do
/// not tell whether a worker can serve an invocation.
fn own_variables(spec: &FunctionSpec, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    spec.environment.iter().filter_map(|name| Some((name.clone(), environment.get(name)?.clone()))).collect()
}

fn report(open: &Open, outcome: &Outcome, now: Instant) -> UiEvent {
    let request = open.invocation.request.clone();
    let function = open.invocation.function.clone();
    let took = now.saturating_duration_since(open.since);
    match outcome {
        Outcome::Returned(body) => {
            UiEvent::Response { request, function, took, summary: source::summarize(body) }
        }
        Outcome::Failed(error) => UiEvent::Failure {
            request,
            function,
            took,
            detail: source::explain(&error.error_type, &error.body),
        },
    }
}

fn stopped() -> FunctionError {
    FunctionError::new("Sst.Stopped", "`sst start` was stopped before the function answered")
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

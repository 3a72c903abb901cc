//! The state machine that decides. It owns every open invocation, deadline, queue, pool, and generation.
//!
//! [`State::handle`] takes one [`Event`] and the time, and returns what is to be done about it. It does no I/O, spawns nothing,
//! and reads no clock, so that every order of events can be tested.

mod builds;
mod debugging;
pub mod effect;
pub mod event;
mod function;
mod invocation;
mod pool;
pub mod source;
#[cfg(test)]
mod tests;
mod workers;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use self::{
    effect::{Effect, RelayCommand, Stop},
    event::{Event, FunctionError, Gate, Invocation, Outcome, StreamPart},
    function::{Code, Function},
    invocation::{Open, ServingKind},
    pool::{Pool, UNSEEN},
    workers::own_variables,
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
    /// What was left of functions that were removed while they were built. They may come back before that has ended.
    removed: BTreeMap<FunctionId, Code>,
    /// That of the latest build, of whatever function.
    generation: Generation,
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
            removed: BTreeMap::new(),
            generation: Generation::default(),
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
                if self.release(worker, &request, now) {
                    self.finish(&request, outcome, now, &mut effects);
                }
            }
            Event::Streamed { worker, request, part } => {
                self.streamed(worker, &request, part, now, &mut effects)
            }
            Event::InitFailed { worker, error } => self.init_failed(worker, error, now, &mut effects),
            Event::Debuggable { worker, target } => self.debuggable(worker, target, &mut effects),
            Event::DebuggerWaits { worker, port } => effects.push(Effect::Debug { worker, port }),
            Event::DebuggerComes { worker } => self.debugger_comes(worker),
            Event::DebuggerReady { worker } => self.debugger_ready(worker, &mut effects),
            Event::Debuggers { attached, gate } => self.debuggers(attached, gate, &mut effects),
            Event::Output { worker, line } => self.output(worker, line, &mut effects),
            Event::Exited { worker, exit } => self.exited(worker, &exit, now, &mut effects),
            Event::FilesChanged(changes) => self.files_changed(changes, now, &mut effects),
            Event::Built { function, generation, result } => {
                self.built(&function, generation, result, now, &mut effects)
            }
            Event::Functions(specs) => self.functions_changed(specs, now, &mut effects),
            Event::Deployed => {
                let functions = self.functions.keys().cloned().collect();
                effects.push(Effect::Relay(RelayCommand::Register { functions }));
            }
            Event::Introduced { function, environment } => {
                if let Some(function) = self.functions.get_mut(&function) {
                    function.environment = Some(environment);
                    function.environment_seen = Some(now);
                }
            }
            Event::Paused { worker, place } => self.paused(worker, place, now, &mut effects),
            Event::Resumed { worker } => self.resumed(worker, now),
            Event::Tick | Event::Registered => {}
            Event::Shutdown => self.shutdown(now, &mut effects),
        }
        self.hold_clocks(now);
        self.tick(now, &mut effects);
        self.schedule(now, &mut effects);
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
        let finishing = self.pool.latest_to_finish().map(|(until, _)| until);
        let unseen = self.longest_unseen().map(|(since, _)| since + UNSEEN);
        requests.chain(idle).chain(finishing).chain(unseen).min()
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
            self.build(&id, now, effects);
        }
        let outdated: Vec<WorkerId> =
            self.pool.of(&id).filter(|(_, worker)| worker.environment != wanted).map(|(id, _)| id).collect();
        for worker in outdated {
            self.drain(worker, effects);
        }
        self.waiting.push_back(request);
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
            let in_vain = open.vain_at().is_some_and(|when| when <= now);
            if in_vain || open.paused.is_none() && open.deadline <= now {
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

    fn time_out(&mut self, request: &RequestId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(open) = self.open.get(request) else {
            return;
        };
        let function = open.invocation.function.clone();
        let kind = open.kind();
        let seconds = self.timeout_of(open).as_secs_f64();
        let error = FunctionError::new(
            "Sandbox.Timedout",
            &format!("RequestId: {request} Error: Task timed out after {seconds:.2} seconds"),
        );
        let worker = open.worker;
        let waited_for = match open.paused.filter(|_| worker.is_none()) {
            Some(_) if open.held => Some("a debugger was setting its breakpoints"),
            Some(_) => Some("it was being built"),
            None => None,
        };
        self.finish(request, Outcome::Failed(error), now, effects);
        if let Some(what) = waited_for {
            let text = format!("`{function}` was not run: {what} until its caller's time was over");
            return effects.push(Effect::Ui(UiEvent::Warning(text)));
        }
        // Without a worker it was the initialisation that took too long, if the call was waiting for one.
        let supply = self.pool.supply(self.debuggers > 0).remove(&kind).unwrap_or_default();
        let is_surplus = supply.coming.len() > self.waiting_of(&kind).count();
        let starting = || supply.coming.into_iter().find(|id| is_surplus && self.pool.can_be_given_up(*id));
        let crowded = worker.is_none() && self.pool.len() >= self.config.max_workers;
        match worker.or_else(starting) {
            Some(worker) => self.stop(worker, Stop::Now, effects),
            None if crowded => effects.push(Effect::Ui(UiEvent::Warning(format!(
                "`{function}` was not run: all {} workers were in use until its time was over (see --max-workers)",
                self.config.max_workers
            )))),
            None => {}
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

    /// The requests that wait for a worker of one kind, in order of arrival.
    fn waiting_of(&self, kind: &ServingKind) -> impl Iterator<Item = &RequestId> {
        let of_this_kind =
            |request: &&RequestId| self.open.get(*request).is_some_and(|open| open.kind() == *kind);
        self.waiting.iter().filter(of_this_kind)
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

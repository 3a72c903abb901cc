//! The calls: each is open from its arrival to its one outcome, or to the end of its time.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    State,
    effect::{Answer, Effect, Stop},
    event::{Caller, FunctionError, Invocation, Outcome, StreamPart},
    function::Received,
    invocation::{Open, ServingKind},
    question, source,
    workers::has_own_variables,
};
use crate::{
    ids::{FunctionId, RequestId, WorkerId},
    ui::UiEvent,
};

impl State {
    /// Takes in what comes from a stub.
    pub(super) fn invoked(&mut self, invocation: Invocation, now: Instant, effects: &mut Vec<Effect>) {
        match question::token(&invocation.payload) {
            Some(token) => self.introduced(&token, invocation, now, effects),
            None => self.admit(invocation, now, effects),
        }
    }

    /// Opens a request. It has its outcome at once, or waits for a worker.
    pub(super) fn admit(&mut self, invocation: Invocation, now: Instant, effects: &mut Vec<Effect>) {
        let request = invocation.request.clone();
        if self.open.contains_key(&request) {
            return;
        }
        effects.push(Effect::Arrived(Box::new(invocation.clone())));
        effects.push(Effect::Ui(UiEvent::Request {
            request: request.clone(),
            function: invocation.function.clone(),
            source: source::describe(&invocation.payload),
        }));
        let (id, caller) = (invocation.function.clone(), invocation.caller);
        let environment = invocation.environment.clone();
        self.arrived += 1;
        self.open.insert(request.clone(), Open::new(invocation, self.arrived, now));
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
        let spec = function.spec.clone();
        // A call from this machine only has what was received before.
        if caller == Caller::Relay {
            function.received = Some(Received { environment: environment.clone(), at: now });
        }
        if function.code.wants_build() {
            self.build(&id, now, effects);
        }
        let workers = self.pool.of(&id);
        let outdated: Vec<WorkerId> = workers
            .filter(|(_, worker)| !has_own_variables(&worker.environment, &spec, &environment))
            .map(|(id, _)| id)
            .collect();
        for worker in outdated {
            self.drain(worker, effects);
        }
    }

    /// A worker has answered what it has.
    pub(super) fn answered(
        &mut self,
        id: WorkerId,
        request: &RequestId,
        outcome: Outcome,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if self.release(id, request, now) {
            let given = self.open.get(request).and_then(|open| open.given_at);
            let worker = self.pool.get_mut(id);
            let function = worker.and_then(|worker| {
                worker.answered = Some(now);
                self.functions.get_mut(&worker.function)
            });
            if let (Some(given), Some(function)) = (given, function) {
                function.took(now.saturating_duration_since(given));
            }
            self.finish(request, outcome, now, effects);
        }
    }

    pub(super) fn streamed(
        &mut self,
        id: WorkerId,
        request: &RequestId,
        part: StreamPart,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if self.pool.get(id).and_then(|worker| worker.request()) != Some(request) {
            return;
        }
        let Some(open) = self.open.get_mut(request) else {
            return;
        };
        open.streaming = true;
        match part {
            StreamPart::End { error } => {
                self.release(id, request, now);
                self.end_stream(request, error, now, effects);
            }
            part => effects.push(open.answer(Answer::Part(part))),
        }
    }

    /// Ends an open request with its one outcome.
    pub(super) fn finish(
        &mut self,
        request: &RequestId,
        outcome: Outcome,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
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
        let Some(open) = self.open.remove(request) else { return };
        effects.push(Effect::Ui(report(&open, &outcome, self.config.every_frame, now)));
        effects.push(open.answer(Answer::Outcome(outcome)));
    }

    fn end_stream(
        &mut self,
        request: &RequestId,
        error: Option<sst_wire::StreamError>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(open) = self.open.remove(request) else { return };
        let took = now.saturating_duration_since(open.since);
        let function = open.invocation.function.clone();
        effects.push(Effect::Ui(match &error {
            None => {
                UiEvent::Response { request: request.clone(), function, took, summary: "streamed".to_owned() }
            }
            Some(error) => {
                let body = STANDARD.decode(&error.error_body).unwrap_or_default();
                let detail = source::explain(&error.error_type, &body, self.config.every_frame);
                UiEvent::Failure { request: request.clone(), function, took, detail }
            }
        }));
        effects.push(open.answer(Answer::Part(StreamPart::End { error })));
    }

    /// Ends everything that is open, because the program ends.
    pub(super) fn finish_all(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let open: Vec<RequestId> = self.open.keys().cloned().collect();
        for request in open {
            self.finish(&request, Outcome::Failed(stopped()), now, effects);
        }
    }

    /// When the clock next has something to do with a call.
    pub(super) fn next_call_wake(&self) -> Option<Instant> {
        self.open.values().map(Open::wake).min()
    }

    /// What is due by the clock: calls whose time is over, and stubs that are to hear that work goes on.
    pub(super) fn tick_calls(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let due: Vec<RequestId> = self
            .open
            .iter()
            .filter(|(_, open)| open.wake() <= now)
            .map(|(request, _)| request.clone())
            .collect();
        for request in due {
            let Some(open) = self.open.get_mut(&request) else { continue };
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
                effects.push(open.answer(Answer::Working { paused }));
            }
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
        if worker.is_some() && self.config.more_time && !std::mem::replace(&mut self.told_of_more_time, true)
        {
            let text =
                "`sst start --increase-timeout` gives each function 900 s, to have time at a breakpoint";
            effects.push(Effect::Ui(UiEvent::Info(text.to_owned())));
        }
        // Without a worker it was the initialisation that took too long, if the call was waiting for one.
        let supply = self.pool.supply(self.debuggers > 0).remove(&kind).unwrap_or_default();
        let is_surplus =
            supply.coming.len() > self.waiting().into_iter().filter(|open| open.kind() == kind).count();
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

    /// The time that the function has. A stub that has more than its function says so. Otherwise it says what was left of its own; the
    /// declared one is the same number unless the stub was deployed with a longer one.
    pub(super) fn timeout_of(&self, open: &Open) -> Duration {
        if let Some(time) = open.invocation.time {
            return time;
        }
        let declared = self
            .functions
            .get(&open.invocation.function)
            .and_then(|function| function.spec.timeout_s.map(Duration::from_secs));
        match declared {
            Some(declared) if open.invocation.remaining <= declared => declared,
            _ => Duration::from_secs(open.invocation.remaining.as_secs_f64().ceil() as u64),
        }
    }

    /// The calls that wait for a worker, in order of arrival.
    pub(super) fn waiting(&self) -> Vec<&Open> {
        let mut waiting: Vec<&Open> = self.open.values().filter(|open| open.worker.is_none()).collect();
        waiting.sort_unstable_by_key(|open| open.number);
        waiting
    }

    /// The first call that waits for a worker of one kind.
    pub(super) fn first_waiting(&self, kind: &ServingKind) -> Option<&RequestId> {
        let waiting = self.waiting().into_iter().find(|open| open.kind() == *kind)?;
        Some(&waiting.invocation.request)
    }

    /// The requests that wait for a worker of one function, in order of arrival.
    pub(super) fn waiting_for(&self, function: &FunctionId) -> Vec<RequestId> {
        let waiting = self.waiting().into_iter().filter(|open| open.invocation.function == *function);
        waiting.map(|open| open.invocation.request.clone()).collect()
    }
}

fn report(open: &Open, outcome: &Outcome, every_frame: bool, now: Instant) -> UiEvent {
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
            detail: source::explain(&error.error_type, &error.body, every_frame),
        },
    }
}

fn stopped() -> FunctionError {
    FunctionError::new("Sst.Stopped", "`sst start` was stopped before the function answered")
}

//! The requests: each is begun once, if it still may be, and answered as often as its stub asks.

use std::time::{Duration, Instant, SystemTime};

use sst_wire::{Invoke, MARGIN_MS};
use tokio::{sync::mpsc, task::Id};

use super::{
    Relay, Request,
    responder::{self, Finished, Responder},
};
use crate::{
    core::{
        effect::Answer,
        event::{Caller, Event, FunctionError, Invocation, Outcome},
    },
    ids::{FunctionId, RequestId},
    tasks,
    ui::UiEvent,
};

/// The longest that an answered request is remembered. Lambda gives no invocation more time than this.
const MEMORY: Duration = Duration::from_secs(900);

/// How long an asynchronous event that failed may be sent again, with the same request id: after one minute and another two, or later where
/// many wait. It ends as it did, without being run.
const SENT_AGAIN: Duration = Duration::from_secs(900);

/// How long a stub whose connection was gone may take to ask for its answer.
const ASKS_WITHIN: Duration = Duration::from_secs(20);

impl Relay {
    pub(super) fn invoke(&mut self, invoke: Invoke, events: &mpsc::UnboundedSender<Event>) {
        let request = RequestId::from(&invoke.request_id);
        if let Some(known) = self.requests.get(&request) {
            // The stub has not heard of us: whatever was sent so far goes to where it listens now.
            return known.responder.asked_again(invoke.reply_to, 0);
        }
        if self.repeat(request.clone(), invoke.reply_to.clone(), 0) {
            return;
        }
        if self.ownership.is_doubtful() {
            return self.held.push(invoke);
        }
        let function = FunctionId::from(&invoke.function);
        if let Some(by) = self.ownership.elsewhere(&function) {
            let (sender, by) = (self.sender.clone(), by.to_owned());
            self.responders.spawn(async move {
                sender.elsewhere(&invoke.reply_to, request, by).await;
                None
            });
            return;
        }
        let age = age(&invoke, self.services.aws().clock.now());
        if is_late(&invoke, age) {
            // If it was sent once more, that one counts.
            self.late.insert(request);
            self.late_since.get_or_insert_with(Instant::now);
            return;
        }
        let (received, clock) = (Instant::now(), self.services.aws().clock.clone());
        let then = clock.continuous();
        let remaining = Duration::from_millis(invoke.remaining_ms).saturating_sub(age);
        let responder =
            self.respond(request.clone(), invoke.reply_to.clone(), received + remaining.min(MEMORY));
        let services = self.services.clone();
        let events = events.clone();
        let deliver = move |payload| {
            // The machine may have slept while the event was fetched.
            let remaining = remaining.saturating_sub(clock.continuous().saturating_sub(then));
            let invocation = Invocation {
                caller: Caller::Relay,
                request,
                function,
                payload,
                context: invoke.context,
                environment: invoke.environment.into(),
                remaining,
                time: invoke.timeout_s.map(Duration::from_secs),
                patience: Some(remaining),
                replays: None,
                stops: false,
            };
            let _ = events.send(Event::Invoked(Box::new(invocation)));
        };
        // What is in the frame is handed on at once, which keeps requests in order of arrival.
        if let Ok(bytes) = invoke.event.bytes() {
            return deliver(bytes.into());
        }
        let event = invoke.event;
        self.responders.spawn(async move {
            let fetched = tasks::caught(services.fetch(&event, (received + remaining).into())).await;
            match fetched.unwrap_or_else(Err) {
                Ok(bytes) => deliver(bytes),
                Err(problem) => {
                    let message = format!("the event of this request could not be fetched: {problem}");
                    let error = FunctionError::new("Sst.PayloadUnavailable", &message);
                    responder.send(Answer::Outcome(Outcome::Failed(error)));
                }
            }
            None
        });
    }

    /// Answers a stub that has asked once more for what was answered already, and has all parts before one. Whether it was.
    pub(super) fn repeat(&mut self, request: RequestId, connection: String, from: u64) -> bool {
        let Some(answered) = self.answered.get(&request).cloned() else { return false };
        self.undelivered.remove(&request);
        let sender = self.sender.clone();
        self.responders.spawn(async move {
            sender.repeat(&connection, request, answered, from).await;
            None
        });
        true
    }

    /// Starts to answer a request.
    pub(super) fn respond(&mut self, request: RequestId, reply_to: String, until: Instant) -> Responder {
        let (responder, work) =
            responder::start(self.sender.clone(), request.clone(), reply_to, until.into());
        let name = format!("the answer to request {request}");
        let task = self.responders.spawn(tasks::named(name, async move { Some(work.await) }));
        self.tasks.insert(task.id(), request.clone());
        self.requests.insert(request, Request { responder: responder.clone(), until });
        responder
    }

    /// A request has been answered. What it was answered with is all that is left of it.
    pub(super) fn finished(&mut self, finished: Finished) {
        let Some(Request { responder, until }) = self.requests.remove(&finished.request) else { return };
        let missed = responder.missed(&finished);
        let until = asked_until(&finished, until, Instant::now());
        let request = finished.request.clone();
        if let Some(problem) = finished.problem {
            self.undelivered.insert(request.clone(), (problem, Instant::now()));
        }
        self.answered.insert(finished.request, finished.frames, until);
        if let Some((connection, from)) = missed {
            self.repeat(request, connection, from);
        }
    }

    /// The task that answers a request has panicked, which has been told. Its caller is told as well.
    pub(super) fn broken(&mut self, task: Id) {
        let Some(request) = self.tasks.remove(&task) else { return };
        let Some(Request { responder, until }) = self.requests.remove(&request) else { return };
        let responder = self.respond(request, responder.listener(), until);
        let message = "sst failed while it answered this request; its terminal says more";
        responder.send(Answer::Outcome(Outcome::Failed(FunctionError::new("Sst.Fault", message))));
    }

    /// Tells of requests that came too late to be begun.
    pub(super) fn tell_late(&mut self) {
        self.late_since = None;
        let late = std::mem::take(&mut self.late);
        let begun =
            |request: &RequestId| self.requests.contains_key(request) || self.answered.get(request).is_some();
        let (count, calls, callers) = match late.iter().filter(|request| !begun(request)).count() {
            0 => return,
            1 => ("1 call".to_owned(), "it was", "its caller has"),
            count => (format!("{count} calls"), "they were", "their callers have"),
        };
        self.ui.warning(format!(
            "{count} came too late; {calls} not run, because {callers} been told so already"
        ));
    }

    /// Forgets what nobody can ask for any more.
    pub(super) fn forget(&mut self) {
        self.answered.expire(Instant::now());
        let given_up = |(_, since): &(String, Instant)| since.elapsed() >= ASKS_WITHIN;
        let lost: Vec<(RequestId, (String, Instant))> =
            self.undelivered.extract_if(|_, undelivered| given_up(undelivered)).collect();
        for (request, (problem, _)) in lost {
            let message = format!("the answer to request {request} could not be sent: {problem}");
            self.ui.send(UiEvent::Error { message, hint: None });
        }
    }
}

/// Until when a request that was finished at `now` may come again: while its stub lives, which is until `until`, and if it has failed, as long
/// as Lambda sends it again.
pub(super) fn asked_until(finished: &Finished, until: Instant, now: Instant) -> Instant {
    if finished.failed { until.max(now + SENT_AGAIN) } else { until }
}

/// How old a request is at `now`, by the clock of AWS.
pub(super) fn age(invoke: &Invoke, now: SystemTime) -> Duration {
    let sent = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(invoke.sent_ms));
    sent.and_then(|sent| now.duration_since(sent).ok()).unwrap_or_default()
}

/// Whether a request of this age may not be begun any more.
pub(super) fn is_late(invoke: &Invoke, age: Duration) -> bool {
    let margin = MARGIN_MS.min(invoke.patience_ms / 4);
    age >= Duration::from_millis(invoke.patience_ms - margin)
}

//! The connection to the stubs: frames come in over a WebSocket, answers go out through `@connections`.
//!
//! On the wire a request may arrive more than once; the core hears of it once. What a request was answered with is remembered while
//! its stub lives, so that a stub that asks again gets the same answer and the function does not run again. Nothing else is kept of
//! an answered request.

mod connection;
mod inbox;
mod memory;
mod payloads;
mod registration;
mod responder;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sst_wire::{Invoke, ToClient};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

pub use self::registration::owners;
use self::{
    connection::{Connector, Incoming},
    memory::Memory,
    payloads::Payloads,
    registration::{Claim, Registrations},
    responder::{Answer, Finished, Responder, Sender},
};
use crate::{
    aws::Aws,
    core::{
        effect::RelayCommand,
        event::{Event, FunctionError, Invocation, Outcome},
    },
    debug_stack::DebugStack,
    error::Result,
    ids::{FunctionId, RequestId},
    tasks,
    ui::{Ui, UiEvent},
};

/// The longest that an answered request is remembered. Lambda gives no invocation more time than this.
const MEMORY: Duration = Duration::from_secs(900);

/// How often answered requests are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// What the relay needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account.
    pub aws: Aws,
    /// Where the stubs are met.
    pub debug_stack: DebugStack,
    /// Who runs this client, as other people see it, e.g. `alice@laptop`.
    pub owner: String,
}

/// The connection to the stubs.
#[derive(Debug)]
pub struct Relay {
    registrations: Arc<Registrations>,
    sender: Arc<Sender>,
    payloads: Payloads,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    connection: AbortOnDropHandle<()>,
    requests: HashMap<RequestId, Request>,
    answered: Memory,
    responders: JoinSet<Option<Finished>>,
    functions: Vec<FunctionId>,
    claim: Claim,
    connection_id: String,
    registering: JoinSet<()>,
    ui: Ui,
}

/// A request that arrived and has not been answered.
#[derive(Debug)]
struct Request {
    responder: Responder,
    /// Until when its stub lives.
    until: Instant,
}

impl Relay {
    /// Connects and waits until the other side has told the connection's id.
    ///
    /// # Errors
    /// When the endpoint cannot be reached, or refuses the credentials.
    pub async fn connect(config: Config, ui: Ui) -> Result<Self> {
        let payloads = Payloads::new(&config.aws, &config.debug_stack);
        let sender = Arc::new(Sender::new(&config.aws, &config.debug_stack, payloads.clone(), ui.clone()));
        let registrations =
            Arc::new(Registrations::new(&config.aws, &config.debug_stack, config.owner.clone()));
        let connector = Connector::new(config.aws, config.debug_stack.endpoint);
        let first = connector.connect_at_first().await?;
        let connection_id = first.id.clone();
        let (incoming_sender, incoming) = mpsc::unbounded_channel();
        let keeping = connector.keep_connected(first, incoming_sender, ui.clone());
        let task = tokio::spawn(tasks::named("the connection to the cloud", keeping));
        Ok(Self {
            registrations,
            sender,
            payloads,
            incoming,
            connection: AbortOnDropHandle::new(task),
            requests: HashMap::new(),
            answered: Memory::default(),
            responders: JoinSet::new(),
            functions: Vec::new(),
            claim: Claim::Free,
            connection_id,
            registering: JoinSet::new(),
            ui,
        })
    }

    /// Makes this client the one that answers for those of `functions` that nobody else answers for.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn announce(&mut self, functions: Vec<FunctionId>) -> Result<()> {
        self.functions = functions;
        self.registrations.write(&self.functions, &self.connection_id, Claim::Free).await?;
        Ok(())
    }

    /// Works until [`RelayCommand::Close`]: hears `commands` and reports requests as `events`.
    pub async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<RelayCommand>,
        events: mpsc::UnboundedSender<Event>,
    ) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(RelayCommand::Close { within }) => return self.close(within).await,
                    Some(command) => self.command(command, &events),
                    None => return self.close(Duration::from_secs(2)).await,
                },
                Some(incoming) = self.incoming.recv() => match incoming {
                    Incoming::Message(text) => self.message(&text, &events),
                    Incoming::Connected(id) => {
                        self.connection_id = id;
                        self.register(events.clone());
                    }
                },
                _ = forget.tick() => self.answered.expire(Instant::now()),
                // The requests that are open cannot be answered for, and no other will come.
                _ = &mut self.connection => return self.close(Duration::from_secs(2)).await,
                Some(ended) = self.responders.join_next() => if let Ok(Some(finished)) = ended {
                    self.finished(finished);
                },
                Some(_) = self.registering.join_next() => {}
            }
        }
    }

    fn command(&mut self, command: RelayCommand, events: &mpsc::UnboundedSender<Event>) {
        let (request, answer) = match command {
            RelayCommand::Announce { functions } if functions == self.functions => return,
            RelayCommand::Announce { functions } => return self.serve(functions, Claim::Free, events),
            RelayCommand::Register { functions } => return self.serve(functions, Claim::Any, events),
            RelayCommand::Working { request, paused } => (request, Answer::Working { paused }),
            RelayCommand::Reply { request, outcome } => (request, Answer::Outcome(outcome)),
            RelayCommand::Stream { request, part } => (request, Answer::Part(part)),
            RelayCommand::Close { .. } => return,
        };
        match self.requests.get(&request) {
            Some(known) => known.responder.send(answer),
            None => tracing::warn!(%request, "an answer to a request that is not open"),
        }
    }

    /// A request has been answered. What it was answered with is all that is left of it.
    fn finished(&mut self, finished: Finished) {
        let Some(Request { responder, until }) = self.requests.remove(&finished.request) else { return };
        let missed = responder.missed(&finished);
        let request = finished.request.clone();
        self.answered.insert(finished.request, finished.frames, until);
        if let Some(connection) = missed {
            self.repeat(request, connection);
        }
    }

    /// Answers a stub that has asked once more for what was answered already. Whether it was.
    fn repeat(&mut self, request: RequestId, connection: String) -> bool {
        let Some(answered) = self.answered.get(&request).cloned() else { return false };
        let sender = self.sender.clone();
        self.responders.spawn(async move {
            sender.repeat(&connection, request, answered).await;
            None
        });
        true
    }

    fn message(&mut self, text: &str, events: &mpsc::UnboundedSender<Event>) {
        match inbox::read(text) {
            inbox::Message::Frame(ToClient::Invoke(invoke)) => self.invoke(*invoke, events),
            inbox::Message::Frame(ToClient::Moved { request_id, reply_to }) => {
                let request = RequestId::from(&request_id);
                match self.requests.get(&request) {
                    Some(known) => known.responder.moved(reply_to),
                    None => drop(self.repeat(request, reply_to)),
                }
            }
            inbox::Message::Frame(ToClient::Displaced { by, functions }) => {
                // What was taken over is not registered again after the next reconnection.
                self.functions.retain(|function| !functions.iter().any(|taken| taken == function.as_str()));
                self.ui.warning(format!(
                    "{by} has taken over {}; their machine answers now. Run `sst start` again to take it back.",
                    functions.join(", ")
                ));
            }
            inbox::Message::OtherVersion { theirs, request, reply_to } => {
                let reason = format!(
                    "the function was deployed by another version of sst (protocol {theirs}, this one speaks {}): \
                     run `sst start` again to deploy it anew",
                    sst_wire::VERSION
                );
                self.ui.warning(reason.clone());
                if let (Some(request), Some(reply_to)) = (request, reply_to) {
                    let sender = self.sender.clone();
                    self.responders.spawn(async move {
                        sender.refuse(&reply_to, request, reason).await;
                        None
                    });
                }
            }
            inbox::Message::Platform(message) => {
                self.ui.warning(format!("the WebSocket API reports: {message}"));
            }
            inbox::Message::Hello => {}
            inbox::Message::Unreadable(problem) => {
                tracing::warn!(problem, "a message that is not a frame");
            }
        }
    }

    fn invoke(&mut self, invoke: Invoke, events: &mpsc::UnboundedSender<Event>) {
        let request = RequestId::from(&invoke.request_id);
        if let Some(known) = self.requests.get(&request) {
            // The stub has not heard of us: whatever was sent so far goes to where it listens now.
            return known.responder.asked_again(invoke.reply_to);
        }
        if self.repeat(request.clone(), invoke.reply_to.clone()) {
            return;
        }
        let (responder, work) =
            responder::start(self.sender.clone(), request.clone(), invoke.reply_to.clone());
        self.responders.spawn(async move { Some(work.await) });
        let itself = responder.clone();
        let received = Instant::now();
        let until = received + Duration::from_millis(invoke.remaining_ms).min(MEMORY);
        self.requests.insert(request.clone(), Request { responder, until });
        let payloads = self.payloads.clone();
        let events = events.clone();
        let deliver = move |payload| {
            let waited = received.elapsed();
            let invocation = Invocation {
                request,
                function: FunctionId::from(&invoke.function),
                payload,
                context: invoke.context,
                environment: invoke.environment,
                remaining: Duration::from_millis(invoke.remaining_ms).saturating_sub(waited),
            };
            let _ = events.send(Event::Invoked(Box::new(invocation)));
        };
        // What is in the frame is handed on at once, which keeps requests in order of arrival.
        if let Ok(bytes) = invoke.event.bytes() {
            return deliver(bytes.into());
        }
        let event = invoke.event;
        self.responders.spawn(async move {
            match payloads.fetch(&event).await {
                Ok(bytes) => deliver(bytes),
                Err(problem) => {
                    let message = format!("the event of this request could not be fetched: {problem}");
                    let error = FunctionError::new("Sst.PayloadUnavailable", &message);
                    itself.send(Answer::Outcome(Outcome::Failed(error)));
                }
            }
            None
        });
    }

    fn serve(&mut self, functions: Vec<FunctionId>, claim: Claim, events: &mpsc::UnboundedSender<Event>) {
        let gone: Vec<FunctionId> =
            self.functions.iter().filter(|id| !functions.contains(id)).cloned().collect();
        (self.functions, self.claim) = (functions, claim);
        let registrations = self.registrations.clone();
        self.responders.spawn(async move {
            registrations.remove(&gone).await;
            None
        });
        self.register(events.clone());
    }

    /// Writes the registrations for the present connection, however often it takes. Whoever answered for some of them is told.
    fn register(&mut self, events: mpsc::UnboundedSender<Event>) {
        self.registering.abort_all();
        let registrations = self.registrations.clone();
        let (functions, claim) = (self.functions.clone(), self.claim);
        let connection = self.connection_id.clone();
        let (sender, ui) = (self.sender.clone(), self.ui.clone());
        self.registering.spawn(async move {
            let mut reported = false;
            for pause in connection::backoff() {
                match registrations.write(&functions, &connection, claim).await {
                    Ok(displaced) => {
                        let owner = registrations.owner();
                        for (connection, functions) in displaced {
                            sender.displaced(&connection, owner, functions).await;
                        }
                        if claim == Claim::Any {
                            let _ = events.send(Event::Registered);
                        }
                        return;
                    }
                    Err(error) if !reported => {
                        reported = true;
                        let hint = Some("trying again".to_owned());
                        ui.send(UiEvent::Error { message: error.to_string(), hint });
                    }
                    Err(error) => tracing::debug!(%error, "registration"),
                }
                tokio::time::sleep(pause).await;
            }
        });
    }

    async fn close(mut self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        self.registering.abort_all();
        // Without its handle a responder sends what it still has, and ends.
        self.requests.clear();
        let farewell = async {
            let remove = self.registrations.remove(&self.functions);
            let responders = async { while self.responders.join_next().await.is_some() {} };
            tokio::join!(remove, responders);
        };
        if tokio::time::timeout_at(deadline, farewell).await.is_err() {
            self.ui.warning("some answers could not be sent in time");
        }
    }
}

#[cfg(test)]
mod tests;

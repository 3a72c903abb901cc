//! The connection to the stubs: frames come in over a WebSocket, answers go out through `@connections`.
//!
//! On the wire a request may arrive more than once; the core hears of it once. What a request was answered with is remembered while
//! its stub lives, so that a stub that asks again gets the same answer and the function does not run again. Nothing else is kept of
//! an answered request.
//!
//! A request is not begun when its caller may have been told already that nobody has taken it, nor when somebody else answers for its
//! function. After anything that may have kept news from us (sleep, a lost connection) the registrations are looked at first.

mod connection;
mod connectivity;
mod dial;
mod handover;
mod inbox;
mod memory;
mod ownership;
mod payloads;
mod registrar;
mod registration;
mod requests;
mod responder;
mod services;
mod stack;
mod trial;
mod usage;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use sst_wire::{Invoke, ToClient};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    connection::{Incoming, Timing},
    connectivity::Connectivity,
    dial::Connector,
    memory::Memory,
    ownership::Ownership,
    registrar::{Done, Job},
    registration::{Identity, RENEW_EVERY, Registrations},
    responder::{Finished, Responder, Sender},
    services::{Services, pauses},
    stack::Stack,
    usage::Usage,
};
pub use self::{
    dial::Unconnected,
    registration::{owners, served},
    trial::{Trial, try_out},
};
use crate::{
    aws::Aws,
    core::{effect::RelayCommand, event::Event},
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
    ids::{FunctionId, RequestId},
    tasks,
    ui::Ui,
};

/// How often answered requests are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// How long requests that came too late are collected before they are told of.
const LATE_FOR: Duration = Duration::from_secs(5);

/// How long registering at first may take.
const FIRST_REGISTRATION: Duration = Duration::from_secs(30);

/// What the relay needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account.
    pub aws: Aws,
    /// Where the stubs are met.
    pub debug_stack: DebugStack,
    /// Its name.
    pub stack_name: String,
    /// Who runs this client, as other people see it, e.g. `alice@laptop`.
    pub owner: String,
    /// See [`sst_wire::Registration::HOME`].
    pub home: String,
}

/// The connection to the stubs.
#[derive(Debug)]
pub struct Relay {
    services: Arc<Services>,
    stack: Stack,
    registrations: Arc<Registrations>,
    owner: String,
    sender: Arc<Sender>,
    usage: Arc<Usage>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    connection: AbortOnDropHandle<()>,
    /// Has that task close the connection.
    closing: CancellationToken,
    /// The id of the connection; none while there is none.
    connection_id: Option<String>,
    connectivity: Connectivity,
    /// The machine has slept, and it is not known yet who answers now.
    woken: bool,
    /// Why the registrations cannot be written, as it was told.
    failing: Option<String>,
    jobs: mpsc::UnboundedSender<Job>,
    done: mpsc::UnboundedReceiver<Done>,
    registrar: AbortOnDropHandle<()>,
    ownership: Ownership,
    /// What is to be taken over as soon as there is a connection.
    to_take: Option<Vec<FunctionId>>,
    /// What came while it was not known who answers for what.
    held: Vec<Invoke>,
    requests: HashMap<RequestId, Request>,
    answered: Memory,
    responders: JoinSet<Option<Finished>>,
    /// Which request a task answers.
    tasks: HashMap<Id, RequestId>,
    /// Answers that have not reached their stubs, why, and since when.
    undelivered: HashMap<RequestId, (String, Instant)>,
    /// Requests that came too late, and when the first did.
    late: HashSet<RequestId>,
    late_since: Option<Instant>,
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
    /// When the endpoint cannot be reached, refuses the credentials, or does not tell that id.
    pub async fn connect(config: Config, ui: Ui) -> Result<Self, Unconnected> {
        let Config { aws, debug_stack, stack_name, owner, home } = config;
        let client = uuid::Uuid::new_v4().to_string();
        let (services, usage) = (Arc::new(Services::new(&aws, &debug_stack)), Arc::new(Usage::default()));
        let sender = Arc::new(Sender::new(services.clone(), usage.clone(), client.clone(), ui.clone()));
        let identity = Identity { client, owner: owner.clone(), home };
        let registrations = Arc::new(Registrations::new(services.clone(), identity));
        let clock = aws.clock.clone();
        let connector = Connector::new(aws, debug_stack.endpoint, debug_stack.answers);
        let first = connector.connect_at_first().await?;
        let connection_id = first.id.clone();
        sender.reached_on(&connection_id);
        let (incoming_sender, incoming) = mpsc::unbounded_channel();
        let means = (clock, Timing::default(), usage.clone(), ui.clone());
        let closing = CancellationToken::new();
        let keeping = connection::keep_connected(connector, first, incoming_sender, means, closing.clone());
        let connection = tokio::spawn(tasks::named("the connection to the cloud", keeping));
        let (jobs, queue) = mpsc::unbounded_channel();
        let (done_sender, done) = mpsc::unbounded_channel();
        let work = registrar::work(registrations.clone(), queue, done_sender);
        let registrar = tokio::spawn(tasks::named("the registrations", work));
        Ok(Self {
            stack: Stack::new(services.clone(), stack_name),
            services,
            registrations,
            owner,
            sender,
            usage,
            incoming,
            connection: AbortOnDropHandle::new(connection),
            closing,
            connection_id: Some(connection_id),
            connectivity: Connectivity::default(),
            woken: false,
            failing: None,
            jobs,
            done,
            registrar: AbortOnDropHandle::new(registrar),
            ownership: Ownership::default(),
            to_take: None,
            held: Vec::new(),
            requests: HashMap::new(),
            answered: Memory::default(),
            responders: JoinSet::new(),
            tasks: HashMap::new(),
            undelivered: HashMap::new(),
            late: HashSet::new(),
            late_since: None,
            ui,
        })
    }

    /// Makes this client the one that answers for those of `functions` that nobody else answers for.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub async fn announce(&mut self, functions: Vec<FunctionId>) -> Result<()> {
        let connection = self.connection_id.clone().unwrap_or_default();
        let until = Instant::now() + FIRST_REGISTRATION;
        let mut pauses = pauses(Duration::from_secs(2));
        let lost = loop {
            match self.registrations.keep(&functions, &connection).await {
                Ok(lost) => break lost,
                Err(failure) if Instant::now() >= until => {
                    let table = &self.services.stack().table;
                    return Err(Error::new(Kind::Cloud, format!("cannot register in the table `{table}`"))
                        .detail(failure.text));
                }
                Err(failure) => tracing::debug!(failure.text, "registration"),
            }
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        };
        self.ownership.serve(functions);
        for (function, owner) in lost {
            self.ownership.lose(&function, &owner);
        }
        Ok(())
    }

    /// Works until [`RelayCommand::Close`]: hears `commands` and reports requests as `events`.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when the debug stack has been removed.
    pub async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<RelayCommand>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<()> {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + RENEW_EVERY, RENEW_EVERY);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(RelayCommand::Close { within }) => {
                        self.close(within).await;
                        return Ok(());
                    }
                    Some(command) => self.command(command),
                    None => {
                        self.close(Duration::from_secs(2)).await;
                        return Ok(());
                    }
                },
                Some(incoming) = self.incoming.recv() => self.incoming(incoming, &events),
                Some(done) = self.done.recv() => self.registered(done, &events),
                _ = renew.tick() => self.look(),
                _ = forget.tick() => self.forget(),
                () = until(self.late_since.map(|since| since + LATE_FOR)) => self.tell_late(),
                () = until(self.connectivity.lasts_at()) => if let Some(after) = self.connectivity.lasted(Instant::now()) {
                    self.tell_connected(after);
                },
                // The requests that are open cannot be answered for, and no other will come.
                _ = &mut self.connection => {
                    self.close(Duration::from_secs(2)).await;
                    return Err(Error::new(Kind::Other, "the connection to the cloud has ended"));
                }
                _ = &mut self.registrar => {
                    self.close(Duration::from_secs(2)).await;
                    return Err(Error::new(Kind::Other, "nothing can be registered any more"));
                }
                Some(ended) = self.responders.join_next_with_id() => match ended {
                    Ok((id, finished)) => {
                        self.tasks.remove(&id);
                        if let Some(finished) = finished {
                            self.finished(finished);
                        }
                    }
                    Err(error) => self.broken(error.id()),
                },
                Some(gone) = self.stack.looked() => if gone {
                    return Err(self.stack.removed());
                },
            }
        }
    }

    fn command(&mut self, command: RelayCommand) {
        match command {
            RelayCommand::Answer { request, answer } => match self.requests.get(&request) {
                Some(known) => known.responder.send(answer),
                None => tracing::warn!(%request, "an answer to a request that is not open"),
            },
            RelayCommand::Announce { functions } => {
                if !self.ownership.is(&functions) {
                    self.serve(functions);
                    self.look();
                }
            }
            RelayCommand::Register { functions } => self.take(functions),
            RelayCommand::Close { .. } => {}
        }
    }

    fn incoming(&mut self, incoming: Incoming, events: &mpsc::UnboundedSender<Event>) {
        match incoming {
            Incoming::Message(text) => self.message(&text, events),
            Incoming::Slept(passed) => {
                self.ui.warning(format!("this machine was asleep for {}", duration(passed)));
                self.woken = true;
                self.ownership.doubt();
                // Connections that were idle meanwhile may be dead.
                self.services.renew();
                self.look();
            }
            Incoming::Lost(reason) => {
                let _ = events.send(Event::Connection { lost: Some(reason.clone()) });
                if let Some(text) = self.connectivity.lost(&reason, Instant::now()) {
                    self.ui.warning(text);
                }
                self.connection_id = None;
                self.ownership.doubt();
                // What was wrong with this connection may be wrong with the others.
                self.services.renew();
            }
            Incoming::Refused(refusal) => self.stack.refused(&refusal),
            Incoming::Connected(id) => {
                self.sender.reached_on(&id);
                if let Some(functions) = self.to_take.take() {
                    let _ = self.jobs.send(Job::Take { functions, connection: id.clone() });
                }
                self.connection_id = Some(id);
                let _ = events.send(Event::Connection { lost: None });
                self.look();
            }
        }
    }

    fn message(&mut self, text: &str, events: &mpsc::UnboundedSender<Event>) {
        match inbox::read(text) {
            inbox::Message::Frame(ToClient::Invoke(invoke)) => self.invoke(*invoke, events),
            inbox::Message::Frame(ToClient::Moved { request_id, reply_to, from }) => {
                let request = RequestId::from(&request_id);
                match self.requests.get(&request) {
                    Some(known) => known.responder.asked_again(reply_to, from),
                    None => {
                        if !self.repeat(request.clone(), reply_to.clone(), from) {
                            self.unknown(reply_to, request);
                        }
                    }
                }
            }
            inbox::Message::Frame(ToClient::Displaced { by, functions }) => {
                // It may have been under way for so long that what it says is not so any more. The table knows.
                tracing::debug!(by, ?functions, "displaced");
                self.ownership.doubt();
                self.look();
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
            inbox::Message::Hello(time) => {
                if let Some(time) = time {
                    self.services.aws().clock.heard(time);
                }
            }
            inbox::Message::Unreadable(problem) => {
                tracing::warn!(problem, "a message that is not a frame");
            }
        }
    }

    /// Sends what is still to be sent, and tells whoever asks meanwhile that it is not run here. A stub that had no answer would not
    /// know whether it was.
    async fn close(mut self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        self.registrar.abort();
        for invoke in std::mem::take(&mut self.held) {
            self.unknown(invoke.reply_to, invoke.request_id.into());
        }
        // Without its handle a responder sends what it still has, and ends.
        let answering: HashSet<RequestId> = self.requests.drain().map(|(request, _)| request).collect();
        let (registrations, ours) = (self.registrations.clone(), self.ownership.ours());
        let (mut left, mut closed) = (false, false);
        let farewell = async {
            let mut leave = std::pin::pin!(registrations.leave(&ours));
            while !left || !closed || !self.responders.is_empty() {
                tokio::select! {
                    () = &mut leave, if !left => {
                        left = true;
                        self.closing.cancel();
                    }
                    incoming = self.incoming.recv(), if !closed => match incoming {
                        Some(Incoming::Message(text)) => self.decline(&text, &answering),
                        Some(_) => {}
                        None => closed = true,
                    },
                    _ = self.responders.join_next(), if !self.responders.is_empty() => {}
                }
            }
        };
        if tokio::time::timeout_at(deadline, farewell).await.is_err() {
            self.ui.warning("some answers could not be sent in time");
        }
        self.ui.info(self.usage.summary());
    }

    /// Answers a message that comes too late to be acted on.
    fn decline(&mut self, text: &str, answering: &HashSet<RequestId>) {
        let (request, reply_to, from) = match inbox::read(text) {
            inbox::Message::Frame(ToClient::Invoke(invoke)) => (invoke.request_id, invoke.reply_to, 0),
            inbox::Message::Frame(ToClient::Moved { request_id, reply_to, from }) => {
                (request_id, reply_to, from)
            }
            _ => return,
        };
        let request = RequestId::from(request);
        if !answering.contains(&request) && !self.repeat(request.clone(), reply_to.clone(), from) {
            self.unknown(reply_to, request);
        }
    }

    /// Tells a stub that its request is not known here.
    fn unknown(&mut self, reply_to: String, request: RequestId) {
        let sender = self.sender.clone();
        self.responders.spawn(async move {
            sender.unknown(&reply_to, request).await;
            None
        });
    }
}

/// `40 s`, `20 min`.
fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;

//! The exchange with clients about one invocation: it is offered until somebody takes it, and who has taken it is asked after it when
//! nothing is heard any more.
//!
//! A request that a client may have got is given to no other before that client has said that it does not run it. So a function runs
//! once, whatever gets lost; when nobody can say any more whether it has run, the caller is told so.

mod frames;
mod reached;

use std::time::Duration;

use sst_wire::{
    DecodeError, MISSING_MS, OFFER_MS, PATIENCE_MS, Payload, Peer, QUIET_MS, ToStub, VERSION, decode,
};
use tokio::time::Instant;

use crate::{
    attempt::{Attempt, Offer, Reached, ask, offer},
    cloud::{Cloud, Lookup, Registered},
    problem::{Maker, Problem},
    runtime_api::Call,
    socket::Socket,
};

/// How often it is looked who answers for the function while nobody has taken the request.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the request is sent to a client that does not say anything, and one that has taken it is asked.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// How soon after a client turned out to be gone it is looked whether it has come back; later twice as long each time.
const COMES_BACK: Duration = Duration::from_millis(250);

/// How long "gone" is believed. A connection that was made a moment ago may not be known everywhere yet.
const USELESS: Duration = Duration::from_secs(2);

/// How long opening another connection may take while there is one, which may be of use still.
const OTHER_SOCKET: Duration = Duration::from_secs(5);

/// How long somebody is waited for whose registration is over.
const LAPSED: Duration = Duration::from_secs(3);

/// How long a client's word may take that it has begun the request. Of a short time it is a quarter.
const WORD: Duration = Duration::from_secs(2);

/// How long one that has taken a request may be nowhere to be found, when it is not registered any more.
const GONE: Duration = Duration::from_secs(10);

/// An invocation on its way. It borrows what is kept between invocations.
pub(crate) struct Conversation<'a> {
    cloud: &'a Cloud,
    call: &'a Call,
    socket: &'a mut Option<Socket>,
    registered: &'a mut Option<Registered>,
    /// When its caller is told that nobody has taken it.
    patience: Instant,
    /// The same while somebody is registered.
    longest: Instant,
    /// How long before that it is not begun any more, so that whoever has begun it can say so.
    word: Duration,
    /// When its time is over.
    deadline: Instant,
    event: Option<Payload>,
    /// How often the request was sent.
    sent: u32,
    /// Who may have got the request, and has not said anything.
    silent: Vec<Registered>,
    /// Who has taken it.
    taken: Option<Registered>,
    /// When it was last heard.
    heard: Instant,
    /// How often it was asked since then.
    asked: u32,
    /// Since when nobody knows where it is.
    gone: Option<Instant>,
    /// A connection that is gone, or whose client does not serve the function; and since when.
    useless: Option<(String, Instant)>,
    /// Whether another client than those that may have the request is registered.
    replaced: bool,
    /// Until when any client may begin it.
    window: Instant,
    /// The next pause before it is looked whether a client has come back.
    pause: Duration,
    /// Whether what is being tried names a connection for the answers that is lost.
    moved: bool,
    /// What is being tried, and whether it is an offer.
    attempt: Option<(bool, Attempt<'a>)>,
    /// When the next is due.
    due: Instant,
    /// When the request was last sent, and on which connection.
    last: Option<(Instant, String)>,
    /// What stands in the way, as a fragment.
    why: String,
    /// Why it could not even be sent, the last time that it was tried.
    throttled: Option<Problem>,
    /// The first part of a streamed response that has not come.
    part: u64,
    /// When it is asked for although others come, and how long after that once more.
    missing: Option<(Instant, Duration)>,
}

impl<'a> Conversation<'a> {
    /// Nothing has been sent yet.
    pub(crate) fn new(
        cloud: &'a Cloud,
        call: &'a Call,
        socket: &'a mut Option<Socket>,
        registered: &'a mut Option<Registered>,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let patience = deadline.min(now + Duration::from_millis(PATIENCE_MS));
        Self {
            cloud,
            call,
            socket,
            registered,
            patience,
            longest: patience,
            word: WORD.min(patience.saturating_duration_since(now) / 4),
            deadline,
            event: None,
            sent: 0,
            silent: Vec::new(),
            taken: None,
            heard: now,
            asked: 0,
            gone: None,
            useless: None,
            replaced: false,
            window: now,
            pause: COMES_BACK,
            moved: false,
            attempt: None,
            due: now,
            last: None,
            why: "nobody has taken the request".to_owned(),
            throttled: None,
            part: 0,
            missing: None,
        }
    }

    /// Connects, and finds out who answers for the function. Neither needs the other, and both take their time.
    pub(crate) async fn prepare(&mut self) -> Result<(), Problem> {
        if let Some(socket) = self.socket.as_mut()
            && !socket.is_alive().await
        {
            *self.socket = None;
        }
        let (cloud, until) = (self.cloud, self.patience);
        // Where a connection has to be made, looking takes no longer, and what is remembered may be old.
        let remembered = self.registered.take();
        let connected = self.socket.is_some();
        let known = remembered.clone().filter(|_| connected);
        let look = async {
            if known.is_some() {
                return Ok(known);
            }
            match (cloud.registration(until).await, remembered) {
                (Ok(Lookup::Found(registered)), _) => Ok(Some(registered)),
                (Ok(Lookup::Nobody(why)), _) => Err(not_running(cloud, &why)),
                (Ok(Lookup::Lapsed(why)), _) => {
                    self.why = why;
                    self.window = Instant::now() + LAPSED;
                    self.patience = self.patience.min(self.window);
                    self.due = Instant::now() + COMES_BACK;
                    Ok(None)
                }
                (Err(Problem::Cloud { .. }), Some(remembered)) => Ok(Some(remembered)),
                (Err(problem), _) => Err(problem),
            }
        };
        let connect = async {
            match self.socket.take() {
                Some(socket) => Ok(Some(socket)),
                None => Socket::open(cloud, until).await.map(Some),
            }
        };
        let both = async { tokio::try_join!(look, connect) };
        let (registered, socket) =
            if connected { both.await? } else { cloud.with_way_for_posts(both).await? };
        (*self.registered, *self.socket) = (registered, socket);
        Ok(())
    }

    /// The next frame that says something of the outcome. Whatever has to be done to get it is done.
    pub(crate) async fn next(&mut self) -> Result<ToStub, Problem> {
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(self.out_of_time());
            }
            if self.taken.is_none() && now >= self.patience {
                return Err(self.given_up());
            }
            if self.socket.is_none() {
                let until = if self.taken.is_some() { self.deadline } else { self.patience };
                *self.socket = Some(Socket::open(self.cloud, until).await?);
                // Whoever answers has to know where to. An offer that is under way is not given up: it may have been heard.
                self.moved = matches!(self.attempt, Some((true, _)));
                if !self.moved {
                    self.attempt = None;
                }
                (self.last, self.due) = (None, now);
            }
            if self.attempt.is_none() && self.due <= now {
                self.attempt = Some(self.begin().await?);
            }
            let Some(socket) = self.socket.as_mut() else { continue };
            let limit = if self.taken.is_some() { self.deadline } else { self.patience };
            let until = if self.attempt.is_some() { limit } else { self.due.min(limit) };
            let text = tokio::select! {
                biased;
                text = socket.next_text(until) => text,
                reached = attempt(&mut self.attempt) => {
                    let offered = self.attempt.take().is_some_and(|(offer, _)| offer);
                    let moved = std::mem::take(&mut self.moved);
                    match (offered, self.taken.is_some()) {
                        (true, false) => self.offered(reached)?,
                        (false, true) => self.was_asked(reached)?,
                        // It was taken meanwhile.
                        _ => {}
                    }
                    if moved {
                        (self.last, self.due) = (None, Instant::now());
                    }
                    continue;
                }
            };
            match text {
                Ok(Some(text)) => {
                    if let Some(frame) = self.read(&text)? {
                        return Ok(frame);
                    }
                }
                Ok(None) => {}
                Err(()) => *self.socket = None,
            }
        }
    }

    /// Takes in what a frame says of the client. One that says something of the outcome is returned.
    fn read(&mut self, text: &str) -> Result<Option<ToStub>, Problem> {
        let frame = match decode::<ToStub>(text) {
            Ok(frame) => frame,
            Err(DecodeError::Version { theirs }) => return Err(Problem::Version { ours: VERSION, theirs }),
            // API Gateway's own messages arrive here too, so an unknown text is no reason to give up.
            Err(DecodeError::Malformed(error)) => {
                crate::log(&format!("a message was not understood: {error}"));
                return Ok(None);
            }
        };
        // A late frame for an invocation that is over is nobody's any more.
        if request_id(&frame) != self.call.request_id {
            return Ok(None);
        }
        match frame {
            ToStub::Ack { from, .. } | ToStub::Working { from, .. } => self.heard(Some(from)),
            ToStub::Elsewhere { from, by, .. } => {
                self.not_with(&from);
                self.why = format!("{by} answers for the function now, and is not registered yet");
            }
            ToStub::Unknown { from, .. } => match &self.taken {
                Some(taken) if taken.client == from.client => return Err(self.ended(taken.owner.clone())),
                Some(_) => {}
                None => self.not_with(&from),
            },
            ToStub::Refused { reason, .. } => return Err(Problem::Refused { reason }),
            frame @ (ToStub::Reply { .. } | ToStub::Chunk { .. } | ToStub::End { .. }) => {
                self.heard(None);
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Whoever has the request has been heard.
    fn heard(&mut self, from: Option<Peer>) {
        let known = |client: &str| {
            let known = self.taken.iter().chain(&self.silent).chain(self.registered.as_ref());
            known.clone().find(|known| known.client == client).cloned()
        };
        let taken = match from {
            Some(Peer { client, connection }) => {
                let known = known(&client).map(|known| (known.owner, known.home));
                let (owner, home) = known.unwrap_or_else(|| ("someone".to_owned(), String::new()));
                Some(Registered { client, connection, owner, home })
            }
            None => self.taken.clone().or_else(|| self.silent.last().cloned()),
        };
        self.silent.clear();
        // The next invocation is for whoever answers now.
        if self
            .registered
            .as_ref()
            .is_none_or(|registered| taken.as_ref().is_some_and(|taken| taken.client == registered.client))
        {
            self.registered.clone_from(&taken);
        }
        (self.taken, self.asked, self.gone) = (taken, 0, None);
        self.heard = Instant::now();
        let quiet = self.heard + Duration::from_millis(QUIET_MS);
        self.due = self.missing.map_or(quiet, |(due, _)| quiet.min(due));
    }

    /// Which part of a streamed response is to come next, and whether others are there that come after it. What is missing then has got
    /// lost, or will come in a moment.
    pub(crate) fn awaits(&mut self, part: u64, others: bool) {
        if !others {
            self.missing = None;
        } else if self.missing.is_none() || part != self.part {
            let pause = Duration::from_millis(MISSING_MS);
            let due = Instant::now() + pause;
            self.missing = Some((due, pause));
            self.due = self.due.min(due);
        }
        self.part = part;
    }

    /// This client does not run the request.
    fn not_with(&mut self, from: &Peer) {
        self.silent.retain(|silent| silent.client != from.client);
        if self.taken.is_none() {
            let now = Instant::now();
            *self.registered = None;
            (self.useless, self.last, self.due) = (Some((from.connection.clone(), now)), None, now);
        }
    }

    /// Begins what is to be tried next.
    async fn begin(&mut self) -> Result<(bool, Attempt<'a>), Problem> {
        let (cloud, now) = (self.cloud, Instant::now());
        if let Some(taken) = self.taken.clone() {
            // One that does not answer may be somewhere else, or it is this side that does not hear it.
            let look = self.asked > 0;
            if self.asked % 2 == 1 {
                self.other_socket().await;
            }
            self.asked += 1;
            self.missing = self.missing.map(|(_, pause)| (now + pause * 2, pause * 2));
            let until = self.deadline.min(now + ASK_EVERY);
            let attempt = ask(cloud, until, taken, self.question()?, look);
            return Ok((false, Box::pin(attempt)));
        }
        let recent = self.last.take_if(|(when, _)| when.elapsed() < ASK_EVERY);
        if recent.is_none() && self.last.is_some() {
            self.other_socket().await;
        }
        let useless = self.useless.as_ref().filter(|(_, since)| since.elapsed() < USELESS);
        let not_to = recent.as_ref().map(|(_, to)| to).or(useless.map(|(connection, _)| connection)).cloned();
        // What is remembered is good for the first time.
        let known = self
            .registered
            .take()
            .filter(|_| self.last.is_none() && recent.is_none() && self.useless.is_none());
        self.last = recent.or(self.last.take());
        // In the end it is only asked whether somebody has taken it: what may not be begun any more is that as well.
        let until = self.patience.min(now + Duration::from_millis(OFFER_MS));
        let invoke = self.invoke(until.min(self.longest - self.word)).await?;
        let offer = offer(
            cloud,
            Offer { known, not_to, silent: self.silent.clone(), invoke, moved: self.question()?, until },
        );
        Ok((true, Box::pin(offer)))
    }

    /// Has the answers come on another connection, since this one may be dead without having said so.
    async fn other_socket(&mut self) {
        let until = self.deadline.min(Instant::now() + OTHER_SOCKET);
        if let Ok(socket) = Socket::open(self.cloud, until).await {
            *self.socket = Some(socket);
        }
    }

    /// A timeout is the function's only when the request was taken, by somebody who is still heard; else it is the client's absence.
    pub(crate) fn out_of_time(&self) -> Problem {
        let seconds = self.call.timeout_seconds;
        let declared = self.cloud.settings.config.timeout_s.unwrap_or(seconds);
        if let Some(taken) = &self.taken {
            let silent = self.heard.elapsed();
            if silent < Duration::from_millis(QUIET_MS) {
                return Problem::TimedOut { request_id: self.call.request_id.clone(), seconds: declared };
            }
            let (maker, owner) = (Maker::of(&self.cloud.settings.config), taken.owner.clone());
            return Problem::Silent { maker, owner, silent: silent.as_secs(), seconds };
        }
        if let Some(throttled) = &self.throttled {
            return throttled.clone();
        }
        self.not_taken(&format!(" within the stub's {seconds} s"))
    }

    /// Nobody has taken the request in time.
    fn given_up(&self) -> Problem {
        match (self.silent.last(), &self.throttled) {
            (Some(silent), _) if self.replaced => self.ended(silent.owner.clone()),
            (None, Some(throttled)) => throttled.clone(),
            _ => self.not_taken(""),
        }
    }

    /// Nobody has said that it has taken the request.
    fn not_taken(&self, when: &str) -> Problem {
        // A client's word may have got lost, and a client may have ended before it said it.
        let doubt =
            if self.silent.is_empty() { "" } else { "; whether it has begun the request is not known" };
        not_running(self.cloud, &format!("{}{when}{doubt}", self.why))
    }

    fn ended(&self, owner: String) -> Problem {
        Problem::Ended { maker: Maker::of(&self.cloud.settings.config), owner }
    }
}

async fn attempt(attempt: &mut Option<(bool, Attempt<'_>)>) -> Result<Reached, Problem> {
    match attempt {
        Some((_, attempt)) => attempt.await,
        None => std::future::pending().await,
    }
}

fn not_running(cloud: &Cloud, why: &str) -> Problem {
    Problem::NotRunning { maker: Maker::of(&cloud.settings.config), why: why.to_owned() }
}

fn request_id(frame: &ToStub) -> &str {
    match frame {
        ToStub::Ack { request_id, .. }
        | ToStub::Working { request_id, .. }
        | ToStub::Reply { request_id, .. }
        | ToStub::Refused { request_id, .. }
        | ToStub::Elsewhere { request_id, .. }
        | ToStub::Unknown { request_id, .. }
        | ToStub::Chunk { request_id, .. }
        | ToStub::End { request_id, .. } => request_id,
    }
}

//! The exchange with clients about one invocation: it is offered until somebody takes it, and who has taken it is asked after it when
//! nothing is heard any more.
//!
//! A request that a client may have got is given to no other before that client has said that it does not run it. So a function runs
//! once, whatever gets lost; when nobody can say any more whether it has run, the caller is told so.

use std::time::Duration;

use sst_wire::{
    DecodeError, Invoke, MAX_MESSAGE, MISSING_MS, OFFER_MS, PATIENCE_MS, Payload, Peer, QUIET_MS, ToClient,
    ToStub, VERSION, decode, encode,
};
use tokio::time::Instant;

use crate::{
    attempt::{Attempt, Offer, Reached, ask, offer},
    cloud::{Cloud, Lookup, Registered},
    problem::{Problem, is_http_event},
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
pub struct Conversation<'a> {
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
    pub fn new(
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
    pub async fn prepare(&mut self) -> Result<(), Problem> {
        if let Some(socket) = self.socket.as_mut()
            && !socket.is_alive().await
        {
            *self.socket = None;
        }
        let (cloud, call, until) = (self.cloud, self.call, self.patience);
        // Where a connection has to be made, looking takes no longer, and what is remembered may be old.
        let remembered = self.registered.take();
        let known = remembered.clone().filter(|_| self.socket.is_some());
        let look = async {
            if known.is_some() {
                return Ok(known);
            }
            match (cloud.registration(call, until).await, remembered) {
                (Ok(Lookup::Found(registered)), _) => Ok(Some(registered)),
                (Ok(Lookup::Nobody(why)), _) => Err(not_running(cloud, why)),
                (Ok(Lookup::Lapsed(why)), _) => {
                    self.why = why.to_owned();
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
                None => Socket::open(cloud, call, until).await.map(Some),
            }
        };
        let (registered, socket) = tokio::try_join!(look, connect)?;
        (*self.registered, *self.socket) = (registered, socket);
        Ok(())
    }

    /// The next frame that says something of the outcome. Whatever has to be done to get it is done.
    pub async fn next(&mut self) -> Result<ToStub, Problem> {
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
                *self.socket = Some(Socket::open(self.cloud, self.call, until).await?);
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
    pub fn awaits(&mut self, part: u64, others: bool) {
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
        let (cloud, call, now) = (self.cloud, self.call, Instant::now());
        if let Some(taken) = self.taken.clone() {
            // One that does not answer may be somewhere else, or it is this side that does not hear it.
            let look = self.asked > 0;
            if self.asked % 2 == 1 {
                self.other_socket().await;
            }
            self.asked += 1;
            self.missing = self.missing.map(|(_, pause)| (now + pause * 2, pause * 2));
            let attempt = ask(cloud, call, now + ASK_EVERY, taken, self.question()?, look);
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
            call,
            Offer { known, not_to, silent: self.silent.clone(), invoke, moved: self.question()?, until },
        );
        Ok((true, Box::pin(offer)))
    }

    /// Has the answers come on another connection, since this one may be dead without having said so.
    async fn other_socket(&mut self) {
        if let Ok(socket) = Socket::open(self.cloud, self.call, Instant::now() + OTHER_SOCKET).await {
            *self.socket = Some(socket);
        }
    }

    /// Takes in what has come of an offer.
    fn offered(&mut self, reached: Result<Reached, Problem>) -> Result<(), Problem> {
        let now = Instant::now();
        match reached {
            // The network may be better in a moment, and a role's permissions spread.
            Err(problem @ Problem::Cloud { .. }) => {
                (self.why, self.due) = (problem.to_string(), now + LOOK_EVERY);
            }
            Err(problem @ Problem::Denied { .. }) if self.cloud.may_still_spread() => {
                (self.why, self.due) = (problem.to_string(), now + LOOK_EVERY);
            }
            Err(problem @ Problem::Throttled { wait, .. }) => {
                // Nothing was sent, so it can still be begun. Whoever called by way of an API does not wait for longer.
                if !is_http_event(&self.call.event) {
                    let patience = now + Duration::from_millis(PATIENCE_MS);
                    self.patience = self.patience.max(self.deadline.min(patience));
                }
                (self.why, self.due) = (problem.to_string(), now + wait);
                self.throttled = Some(problem);
                return Ok(());
            }
            Err(problem) => return Err(problem),
            Ok(Reached::Sent(found)) => {
                self.why = format!("the one started by {} does not answer", found.owner);
                self.may_have(found);
            }
            Ok(Reached::Unsure(found, problem)) => {
                self.why = problem.to_string();
                self.may_have(found);
            }
            Ok(Reached::Gone(found)) => self.lost_by(found),
            Ok(Reached::GoneWithIt(found)) => {
                self.may_have(found.clone());
                self.last = None;
                self.lost_by(found);
            }
            Ok(Reached::Registered(found)) => {
                let others = || self.silent.iter().filter(|silent| silent.client != found.client);
                // Two clients are never at home in the same place.
                if let Some(dead) = others().find(|silent| silent.home == found.home) {
                    return Err(self.ended(dead.owner.clone()));
                }
                self.replaced = others().next().is_some();
                self.due = now + if self.last.is_some() { LOOK_EVERY } else { self.next_pause() };
            }
            Ok(Reached::Nobody(why)) => {
                // It may be begun until its time is over, and its caller is told nothing before that.
                why.clone_into(&mut self.why);
                let told = if self.silent.is_empty() { self.window } else { self.window + self.word };
                (self.patience, self.due) = (self.patience.min(told), now + LOOK_EVERY);
            }
        }
        self.throttled = None;
        Ok(())
    }

    /// The connection of this client is gone. It may come back under another one.
    fn lost_by(&mut self, found: Registered) {
        let now = Instant::now();
        self.why = format!("the one started by {} has lost its connection", found.owner);
        let known = self.useless.as_ref().is_some_and(|(useless, _)| *useless == found.connection);
        // What was remembered may be old.
        self.due = if known { now + self.next_pause() } else { now };
        self.useless = Some((found.connection, now));
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LOOK_EVERY);
        pause
    }

    /// This client has been sent the request, or it is not known that it has not.
    fn may_have(&mut self, found: Registered) {
        let now = Instant::now();
        self.sent += 1;
        self.patience = self.longest;
        (self.last, self.due, self.useless) = (Some((now, found.connection.clone())), now + LOOK_EVERY, None);
        self.silent.retain(|silent| silent.client != found.client);
        self.silent.push(found.clone());
        *self.registered = Some(found);
    }

    /// Takes in what has come of asking the one who has taken the request.
    fn was_asked(&mut self, reached: Result<Reached, Problem>) -> Result<(), Problem> {
        let now = Instant::now();
        self.due = now + LOOK_EVERY;
        let Some(taken) = self.taken.as_mut() else { return Ok(()) };
        match reached {
            Err(Problem::Cloud { .. }) | Ok(Reached::Unsure(..)) => return Ok(()),
            Err(Problem::Throttled { wait, .. }) => {
                self.due = now + wait;
                return Ok(());
            }
            Err(problem) => return Err(problem),
            Ok(Reached::Sent(found)) => {
                *taken = found;
                (self.gone, self.due) = (None, now + ASK_EVERY);
                return Ok(());
            }
            // It is connecting again.
            Ok(Reached::Gone(found) | Reached::GoneWithIt(found) | Reached::Registered(found))
                if found.client == taken.client =>
            {
                self.gone = None;
                return Ok(());
            }
            Ok(Reached::Registered(found)) if found.home == taken.home => {
                let owner = taken.owner.clone();
                return Err(self.ended(owner));
            }
            Ok(Reached::Gone(_) | Reached::GoneWithIt(_) | Reached::Registered(_) | Reached::Nobody(_)) => {}
        }
        let owner = taken.owner.clone();
        let since = *self.gone.get_or_insert(now);
        if since.elapsed() >= GONE { Err(self.ended(owner)) } else { Ok(()) }
    }

    /// The frame that asks after the request.
    fn question(&self) -> Result<String, Problem> {
        let reply_to = self.socket.as_ref().map(|socket| socket.id.clone()).unwrap_or_default();
        text_of(ToClient::Moved { request_id: self.call.request_id.clone(), reply_to, from: self.part })
    }

    /// The frame that offers the request.
    async fn invoke(&mut self, window: Instant) -> Result<String, Problem> {
        self.window = self.window.max(window);
        loop {
            let event = match &self.event {
                Some(event) => event.clone(),
                None => match Payload::inline(&self.call.event) {
                    Some(event) => event,
                    None => self.cloud.store(self.call, self.patience, self.call.event.clone()).await?,
                },
            };
            let inline = matches!(event, Payload::Inline { .. });
            self.event = Some(event.clone());
            let patience = window.saturating_duration_since(Instant::now());
            let frame = ToClient::Invoke(Box::new(Invoke {
                request_id: self.call.request_id.clone(),
                attempt: self.sent + 1,
                function: self.cloud.settings.config.function.clone(),
                sent_ms: millis(
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
                ),
                patience_ms: millis(patience),
                remaining_ms: millis(self.call.remaining()),
                context: self.call.context.clone(),
                environment: self.cloud.settings.environment.clone(),
                event,
                reply_to: self.socket.as_ref().map(|socket| socket.id.clone()).unwrap_or_default(),
            }));
            let text = text_of(frame)?;
            if text.len() <= MAX_MESSAGE {
                return Ok(text);
            }
            // A large environment or client context can leave less room than a payload counts on.
            if !inline {
                return Err(Problem::Cloud {
                    action: "send the event to `sst start`".into(),
                    detail: format!("environment and context take {} bytes", text.len()),
                });
            }
            self.event = Some(self.cloud.store(self.call, self.patience, self.call.event.clone()).await?);
        }
    }

    /// A timeout is the function's only when the request was taken, by somebody who is still heard; else it is the client's absence.
    pub fn out_of_time(&self) -> Problem {
        let seconds = self.call.timeout_seconds;
        if let Some(taken) = &self.taken {
            let silent = self.heard.elapsed();
            if silent < Duration::from_millis(QUIET_MS) {
                return Problem::TimedOut { request_id: self.call.request_id.clone(), seconds };
            }
            let (stage, owner) = (self.cloud.settings.config.stage.clone(), taken.owner.clone());
            return Problem::Silent { stage, owner, silent: silent.as_secs(), seconds };
        }
        if let Some(throttled) = &self.throttled {
            return throttled.clone();
        }
        self.not_taken(&format!(" within the function's {seconds} s"))
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
        Problem::Ended { stage: self.cloud.settings.config.stage.clone(), owner }
    }
}

async fn attempt(attempt: &mut Option<(bool, Attempt<'_>)>) -> Result<Reached, Problem> {
    match attempt {
        Some((_, attempt)) => attempt.await,
        None => std::future::pending().await,
    }
}

fn not_running(cloud: &Cloud, why: &str) -> Problem {
    Problem::NotRunning { stage: cloud.settings.config.stage.clone(), why: why.to_owned() }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn text_of(frame: ToClient) -> Result<String, Problem> {
    encode(frame)
        .map_err(|error| Problem::Cloud { action: "write a message".into(), detail: error.to_string() })
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

//! The WebSocket: kept alive, renewed before API Gateway ends it, made anew when it is lost or deaf.
//!
//! A connection that exists may be dead without having said so, e.g. after a change of the network. So a ping is sent every few
//! seconds. Without a pong `hello` is asked, which costs more, and a new connection is dialled at the same time: whichever
//! answers first is used from then on. API Gateway may not answer pings at all, so a missing pong alone ends nothing.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::{
    dial::{Connection, Connector, HELLO, Refusal, Socket},
    services::pauses,
    usage::Usage,
};
use crate::{aws::Clock, ui::Ui};

/// How often what is done when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// API Gateway ends a connection after two hours.
    pub renew_after: Duration,
    /// API Gateway ends a connection after ten minutes without a message; control frames may not count as one.
    pub hello_every: Duration,
    /// The same for a connection whose pings are not answered, since only this shows that it lives.
    pub hello_instead_of_ping: Duration,
    /// A connection whose other side is gone without a word is noticed by its missing pong.
    pub ping_every: Duration,
    /// How long a pong may take.
    pub pong_within: Duration,
    /// How long the answer to `hello` may take.
    pub hello_within: Duration,
    /// How long the old connection is still read after a new one was made.
    pub overlap: Duration,
    /// The longest pause between two attempts to connect.
    pub longest_pause: Duration,
    /// One that lasted less is no reason to connect again without a pause.
    pub stable: Duration,
    /// The longest time after which it is looked whether the machine has slept.
    pub longest_look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            renew_after: Duration::from_secs(110 * 60),
            hello_every: Duration::from_secs(5 * 60),
            hello_instead_of_ping: Duration::from_secs(60),
            ping_every: Duration::from_secs(5),
            pong_within: Duration::from_secs(1),
            hello_within: Duration::from_secs(3),
            overlap: Duration::from_secs(30),
            longest_pause: Duration::from_secs(3),
            stable: Duration::from_millis(300),
            longest_look: Duration::from_secs(5),
        }
    }
}

/// A look that comes this late comes after sleep. A busy machine is late as well, but not by this much.
const SLEPT: Duration = Duration::from_secs(3);

/// After so many pings that a live connection has not answered, no more answers are expected.
const DEAF_TO_PINGS: u32 = 3;

/// How soon a connection that lives answers, most of the time. Only then another one is dialled.
const ANSWERS_WITHIN: Duration = Duration::from_millis(250);

/// How long writing a few bytes may take.
const SEND_WITHIN: Duration = Duration::from_secs(1);

/// How long the other side may take to agree to the end of a connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// What comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The machine has slept, or this program was stopped. The connection may be dead, and what comes may be old.
    Slept(Duration),
    /// There is no connection; why.
    Lost(String),
    /// There is none because there does not seem to be an endpoint, or because it refuses.
    Refused(Refusal),
    /// There is a new connection; stubs are to use this id from now on.
    Connected(String),
    /// A message.
    Message(String),
}

type Dial = Pin<Box<dyn Future<Output = Result<Connection, Refusal>> + Send>>;

/// A connection in use.
struct Live {
    id: String,
    socket: Socket,
    opened: Instant,
    /// When anything came.
    heard: Instant,
    pinged: Option<Instant>,
    /// When it had to prove that it is alive.
    doubted: Option<Instant>,
    hello: Instant,
    /// Whether the machine has slept since anything was heard.
    slept: bool,
}

impl Live {
    /// What is wrong with it when it does not prove that it is alive.
    fn silence(&self) -> String {
        let since = self.pinged.or(self.doubted).unwrap_or(self.heard);
        format!("it has not answered for {:.1} s", since.elapsed().as_secs_f64())
    }
}

/// Keeps one connection after the other.
struct Keeper {
    timing: Timing,
    connector: Connector,
    incoming: mpsc::UnboundedSender<Incoming>,
    usage: Arc<Usage>,
    ui: Ui,
    live: Option<Live>,
    dial: Option<Dial>,
    dial_at: Instant,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// How many pings in a row were not answered by a connection that was alive. After a few of them pings say nothing.
    unanswered: u32,
    /// Whether the credentials were refused the last time. When they have expired, that is said elsewhere, a moment later.
    denied: bool,
    /// The last reason for not connecting that was told.
    told: Option<String>,
}

/// Passes messages on until it is told to close, over as many connections as it takes. What was sent before the other side knows of the
/// end is passed on as well.
pub(super) async fn keep_connected(
    connector: Connector,
    first: Connection,
    incoming: mpsc::UnboundedSender<Incoming>,
    (clock, timing, usage, ui): (Clock, Timing, Arc<Usage>, Ui),
    closing: CancellationToken,
) {
    let longest = timing.longest_pause;
    let mut keeper = Keeper {
        timing,
        connector,
        incoming,
        usage,
        ui,
        live: None,
        dial: None,
        dial_at: Instant::now(),
        pauses: Box::new(pauses(longest)),
        unanswered: 0,
        denied: false,
        told: None,
    };
    keeper.begin(first);
    let mut looked = clock.continuous();
    while !keeper.incoming.is_closed() {
        let due = keeper.due();
        let happened = tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => Happened::Due,
            dialled = dialled(&mut keeper.dial) => Happened::Dialled(dialled.map(Box::new)),
            message = received(&mut keeper.live) => Happened::Received(message),
            () = closing.cancelled() => return keeper.close().await,
        };
        // Whether the machine has slept is told before what has come meanwhile.
        let passed = clock.continuous().saturating_sub(looked);
        looked += passed;
        if passed > timing.longest_look + SLEPT {
            keeper.slept(passed);
        }
        match happened {
            Happened::Due => keeper.look().await,
            Happened::Dialled(dialled) => keeper.dialled(dialled.map(|connection| *connection)),
            Happened::Received(message) => keeper.received(message),
        }
    }
}

/// What the connection's task wakes up for.
enum Happened {
    Due,
    Dialled(Result<Box<Connection>, Refusal>),
    Received(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
}

impl Keeper {
    /// Closes the connection, and hears what comes until it is.
    async fn close(mut self) {
        self.dial = None;
        let Some(live) = self.live.as_mut() else { return };
        let _ = tokio::time::timeout(SEND_WITHIN, live.socket.close(None)).await;
        let until = Instant::now() + CLOSED_WITHIN;
        while self.live.is_some() {
            let Ok(message) = tokio::time::timeout_at(until, received(&mut self.live)).await else {
                return self.lose("it was not closed in time".to_owned());
            };
            self.received(message);
        }
    }

    fn begin(&mut self, connection: Connection) {
        let Connection { id, socket, early, answer } = connection;
        // What dialling took: the question, and its answer.
        self.usage.message(HELLO.len());
        self.usage.message(answer);
        for text in early {
            self.message(text);
        }
        let now = Instant::now();
        let hello = now + self.timing.hello_every;
        self.usage.opened();
        self.live = Some(Live {
            id,
            socket,
            opened: now,
            heard: now,
            pinged: None,
            doubted: None,
            hello,
            slept: false,
        });
    }

    fn tell(&self, incoming: Incoming) {
        // Nobody listens when the session ends.
        let _ = self.incoming.send(incoming);
    }

    fn message(&self, text: String) {
        self.usage.message(text.len());
        self.tell(Incoming::Message(text));
    }

    fn received(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) {
        let Some(live) = self.live.as_mut() else { return };
        live.heard = Instant::now();
        if live.doubted.is_none() {
            live.pinged = None;
        }
        match message {
            Some(Ok(Message::Text(text))) => self.message(text.to_string()),
            Some(Ok(Message::Pong(_))) => (live.pinged, self.unanswered) = (None, 0),
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map_or("it was closed".to_owned(), |frame| match frame.code.into() {
                    1001 => "API Gateway has ended it (1001)".to_owned(),
                    code => format!("it was closed with code {code}"),
                });
                self.lose(reason);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => self.lose(error.to_string()),
            None => self.lose("it was closed".to_owned()),
        }
    }

    /// The connection is of no use any more.
    fn lose(&mut self, reason: String) {
        let Some(live) = self.live.take() else { return };
        self.usage.closed(live.opened.elapsed());
        if live.opened.elapsed() >= self.timing.stable {
            self.pauses = Box::new(pauses(self.timing.longest_pause));
            self.dial_at = Instant::now();
            self.told = None;
        } else {
            self.dial_at = Instant::now() + self.pauses.next().unwrap_or_default();
        }
        tracing::debug!(reason, id = live.id, "connection lost");
        self.tell(Incoming::Lost(reason));
    }

    fn slept(&mut self, passed: Duration) {
        self.tell(Incoming::Slept(passed));
        if let Some(live) = self.live.as_mut() {
            // What was sent before is no measure any more.
            (live.pinged, live.doubted, live.slept) = (None, None, true);
            live.heard = Instant::now();
        }
    }

    /// Whether the connection had to prove that it is alive, has done so, and is not to be renewed: no other one is needed.
    fn has_answered(&mut self) -> bool {
        let Some(live) = self.live.as_mut() else { return false };
        if live.doubted.is_none_or(|doubted| live.heard <= doubted) {
            return false;
        }
        // If that was not a pong, there are none.
        if live.pinged.take().is_some() {
            self.unanswered += 1;
        }
        live.doubted = None;
        live.opened.elapsed() < self.timing.renew_after
    }

    /// When there is next something to look at. Nobody is woken up for nothing.
    fn due(&self) -> Instant {
        let (now, timing) = (Instant::now(), self.timing);
        let mut due = now + timing.longest_look;
        let Some(live) = &self.live else {
            return if self.dial.is_none() { due.min(self.dial_at) } else { due };
        };
        if live.slept {
            return now;
        }
        due = due.min(match (live.doubted, live.pinged) {
            (Some(doubted), _) if live.heard > doubted => now,
            (Some(doubted), Some(_)) if self.hears_pongs() && self.dial.is_none() => {
                (doubted + ANSWERS_WITHIN).max(self.dial_at).min(doubted + timing.hello_within)
            }
            (Some(doubted), _) => doubted + timing.hello_within,
            (None, Some(pinged)) if self.hears_pongs() => pinged + timing.pong_within,
            (None, Some(_)) => live.heard + timing.hello_instead_of_ping,
            (None, None) => live.heard + timing.ping_every,
        });
        if live.doubted.is_none() {
            due = due.min(live.hello);
        }
        if live.doubted.is_none() && self.dial.is_none() {
            due = due.min((live.opened + timing.renew_after).max(self.dial_at));
        }
        due
    }

    fn hears_pongs(&self) -> bool {
        self.unanswered < DEAF_TO_PINGS
    }

    /// Does what is due.
    async fn look(&mut self) {
        let (now, timing) = (Instant::now(), self.timing);
        let pongs = self.hears_pongs();
        if self.has_answered() {
            self.dial = None;
        }
        let Some(live) = self.live.as_mut() else {
            if self.dial.is_none() && now >= self.dial_at {
                self.start_dialling();
            }
            return;
        };
        if let Some(doubted) = live.doubted {
            if now >= doubted + timing.hello_within {
                let reason = live.silence();
                return self.lose(reason);
            }
            // One that does not answer pings, and lives, answers before this.
            let asked = now >= doubted + ANSWERS_WITHIN;
            if live.pinged.is_some() && pongs && asked && self.dial.is_none() && now >= self.dial_at {
                self.start_dialling();
            }
            return;
        }
        let hello =
            if pongs { live.hello } else { live.hello.min(live.heard + timing.hello_instead_of_ping) };
        let silent = live.pinged.is_some_and(|pinged| now >= pinged + timing.pong_within);
        let urgent = live.slept || silent && pongs;
        let mut frame = None;
        if urgent || now >= hello {
            // What has slept longer than a connection may be idle is dead most of the time.
            let slept = std::mem::take(&mut live.slept);
            (live.doubted, live.hello) = (Some(now), now + timing.hello_every);
            frame = Some(Message::text(HELLO));
            if slept && self.dial.is_none() {
                self.start_dialling();
            }
        } else if live.pinged.is_none() && now >= live.heard + timing.ping_every {
            live.pinged = Some(now);
            frame = Some(Message::Ping(Default::default()));
        }
        let Some(live) = self.live.as_mut() else { return };
        if let Some(frame) = frame {
            if let Message::Text(text) = &frame {
                self.usage.message(text.len());
            }
            match timeout(SEND_WITHIN, live.socket.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return self.lose(error.to_string()),
                Err(_) => return self.lose("nothing can be sent on it".to_owned()),
            }
        }
        if live.opened + timing.renew_after <= now && self.dial.is_none() && now >= self.dial_at {
            self.start_dialling();
        }
    }

    fn start_dialling(&mut self) {
        let connector = self.connector.clone();
        self.dial = Some(Box::pin(async move { connector.connect().await }));
    }

    fn dialled(&mut self, result: Result<Connection, Refusal>) {
        self.dial = None;
        if self.has_answered() {
            return;
        }
        let refusal = match result {
            Ok(connection) => return self.replace(connection),
            Err(refusal) => refusal,
        };
        self.dial_at = Instant::now() + self.pauses.next().unwrap_or(self.timing.longest_pause);
        let text = refusal.text();
        tracing::debug!(text, "cannot connect");
        let denied = matches!(refusal, Refusal::Credentials(_));
        let first = denied && !std::mem::replace(&mut self.denied, denied);
        let known =
            first || matches!(refusal, Refusal::NoCredentials(_)) || self.told.as_ref() == Some(&text);
        if !known {
            if self.live.is_none() {
                self.ui.warning(format!("cannot connect to the cloud: {text}; trying again"));
                self.told = Some(text);
            } else if self.live.as_ref().is_some_and(|live| live.doubted.is_none()) {
                self.ui.warning(format!(
                    "the connection to the cloud has to be renewed before two hours are over, which fails: {text}; trying \
                     again"
                ));
                self.told = Some(text);
            }
        }
        if self.live.is_none() {
            self.tell(Incoming::Refused(refusal));
        }
    }

    /// Goes over to a new connection. It is up before the old one goes, so no request falls between them.
    fn replace(&mut self, connection: Connection) {
        let old = self.live.take();
        let id = connection.id.clone();
        if let Some(old) = old {
            self.usage.closed(old.opened.elapsed());
            // After sleep it has not been silent for long, whether or not it is dead.
            let silent = old.heard.elapsed() >= self.timing.pong_within;
            if old.doubted.is_some_and(|doubted| old.heard <= doubted) && silent {
                self.tell(Incoming::Lost(old.silence()));
            }
            tokio::spawn(read_out(
                old.socket,
                self.incoming.clone(),
                self.timing.overlap,
                self.usage.clone(),
            ));
        }
        self.denied = false;
        self.tell(Incoming::Connected(id));
        self.begin(connection);
    }
}

async fn dialled(dial: &mut Option<Dial>) -> Result<Connection, Refusal> {
    match dial {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn received(live: &mut Option<Live>) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    match live {
        Some(live) => live.socket.next().await,
        None => std::future::pending().await,
    }
}

/// Reads what still comes on a connection that has been replaced.
async fn read_out(
    mut socket: Socket,
    incoming: mpsc::UnboundedSender<Incoming>,
    overlap: Duration,
    usage: Arc<Usage>,
) {
    let read = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                usage.message(text.len());
                let _ = incoming.send(Incoming::Message(text.to_string()));
            }
        }
    };
    let _ = timeout(overlap, read).await;
    let _ = timeout(Duration::from_secs(2), socket.close(None)).await;
}

#[cfg(test)]
mod tests;

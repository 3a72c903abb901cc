//! Connections to a WebSocket API on this machine, which answers and ends them as a test says.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use axum::{Router, routing::post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    aws::{self, Aws},
    debug_stack::Answers,
    relay::tests::IDENTITY,
    ui::UiEvent,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How the API behaves from now on.
#[derive(Debug, Clone)]
struct Behaviour {
    pong: bool,
    hello: bool,
    /// The status with which handshakes are refused.
    refuse: Option<u16>,
    /// How long a handshake takes.
    slow: Duration,
    /// Ends each connection as soon as it is in use.
    end: bool,
    /// What it has still to pass on when a client closes a connection.
    under_way: Option<&'static str>,
}

/// What is done to a connection.
#[derive(Debug)]
enum Deed {
    Say(String),
    Close(u16),
    Abort,
    /// Nothing is heard of it any more, and nothing is read.
    Silence,
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    /// How many handshakes were begun, and when the first was.
    handshakes: usize,
    connections: BTreeMap<String, mpsc::UnboundedSender<Deed>>,
    /// How many pings have come.
    pings: usize,
    /// How often `hello` was asked.
    hellos: usize,
}

/// A WebSocket API.
#[derive(Debug, Clone)]
struct Gateway(Arc<Mutex<State>>);

impl Gateway {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().behaviour);
    }

    fn tell(&self, connection: &str, deed: Deed) {
        self.state().connections[connection].send(deed).unwrap();
    }

    /// Serves one connection.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let (number, behaviour) = {
            let mut state = self.state();
            state.handshakes += 1;
            (state.handshakes, state.behaviour.clone())
        };
        tokio::time::sleep(behaviour.slow).await;
        if let Some(status) = behaviour.refuse {
            let mut request = [0; 8192];
            let _ = stream.read(&mut request).await?;
            let answer = format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n");
            return stream.write_all(answer.as_bytes()).await;
        }
        // Only the handshake: what it does with frames by itself, e.g. answer pings, is for the test to say.
        let handshake = tokio_tungstenite::accept_async(stream).await;
        let mut stream = handshake.map_err(std::io::Error::other)?.into_inner();
        let id = format!("c{number}");
        let (sender, mut deeds) = mpsc::unbounded_channel();
        self.state().connections.insert(id.clone(), sender);
        let ended = self.exchange(&mut stream, &id, &mut deeds).await;
        self.state().connections.remove(&id);
        ended
    }

    async fn exchange(
        &self,
        stream: &mut TcpStream,
        id: &str,
        deeds: &mut mpsc::UnboundedReceiver<Deed>,
    ) -> std::io::Result<()> {
        loop {
            let mut head = [0; 2];
            tokio::select! {
                Some(deed) = deeds.recv() => match deed {
                    Deed::Say(text) => write(stream, TEXT, text.as_bytes()).await?,
                    Deed::Close(code) => write(stream, CLOSE, &code.to_be_bytes()).await?,
                    Deed::Abort => return stream.set_zero_linger(),
                    Deed::Silence => std::future::pending().await,
                },
                // Two bytes come together on this machine.
                read = stream.read_exact(&mut head) => {
                    read?;
                    let (opcode, text) = frame(stream, head).await?;
                    let behaviour = self.state().behaviour.clone();
                    match opcode {
                        CLOSE => {
                            // What was under way when the client closed the connection.
                            if let Some(text) = behaviour.under_way {
                                write(stream, TEXT, text.as_bytes()).await?;
                            }
                            return write(stream, CLOSE, &text).await;
                        }
                        PING => {
                            self.state().pings += 1;
                            if behaviour.pong {
                                write(stream, PONG, &text).await?;
                            }
                        }
                        TEXT => {
                            assert_eq!(text, HELLO.as_bytes());
                            self.state().hellos += 1;
                            if behaviour.hello {
                                write(stream, TEXT, format!(r#"{{"connectionId":"{id}"}}"#).as_bytes()).await?;
                            }
                            if behaviour.end {
                                return write(stream, CLOSE, &1001_u16.to_be_bytes()).await;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// The rest of a client's frame, which is masked and short.
async fn frame(stream: &mut TcpStream, head: [u8; 2]) -> std::io::Result<(u8, Vec<u8>)> {
    let length = usize::from(head[1] & 127);
    assert!(length < 126);
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((head[0] & 15, payload))
}

async fn write(stream: &mut TcpStream, opcode: u8, payload: &[u8]) -> std::io::Result<()> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    stream.write_all(&[&[0x80 | opcode, length], payload].concat()).await
}

/// A client of such an API.
struct Session {
    gateway: Gateway,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    closing: CancellationToken,
    ui: crate::ui::Events,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Session {
    /// Has its first connection, `c1`.
    async fn begin(timing: Timing) -> Self {
        let behaviour = Behaviour {
            pong: true,
            hello: true,
            refuse: None,
            slow: Duration::ZERO,
            end: false,
            under_way: None,
        };
        let state = State { behaviour, handshakes: 0, connections: BTreeMap::new(), pings: 0, hellos: 0 };
        let gateway = Gateway(Arc::new(Mutex::new(state)));
        let (api, sts) = (local().await, local().await);
        let endpoint =
            |listener: &TcpListener, scheme| format!("{scheme}://{}", listener.local_addr().unwrap());
        let (api_endpoint, sts_endpoint) = (endpoint(&api, "ws"), endpoint(&sts, "http"));
        let serving = gateway.clone();
        let api = async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = api.accept().await {
                let gateway = serving.clone();
                connections.spawn(gateway.serve(stream));
            }
        };
        let sts = async move {
            let _ = axum::serve(sts, Router::new().route("/", post(async || IDENTITY))).await;
        };
        let mut tasks =
            vec![AbortOnDropHandle::new(tokio::spawn(api)), AbortOnDropHandle::new(tokio::spawn(sts))];
        let options = aws::Options { endpoint: Some(sts_endpoint), local: true, ..aws::Options::default() };
        let aws = Aws::connect(options).await.unwrap();
        let clock = aws.clock.clone();
        let connector = Connector::new(aws, api_endpoint, Answers::Mock);
        let first = connector.connect_at_first().await.unwrap();
        assert_eq!(first.id, "c1");
        let (sender, incoming) = mpsc::unbounded_channel();
        let (ui, told) = crate::ui::Ui::channel();
        let closing = CancellationToken::new();
        let keeping =
            keep_connected(connector, first, sender, (clock, timing, Arc::default(), ui), closing.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(keeping)));
        Self { gateway, incoming, closing, ui: told, _tasks: tasks }
    }

    async fn next(&mut self) -> Incoming {
        let next = timeout(PATIENCE, self.incoming.recv()).await;
        next.expect("something comes in time").expect("it goes on")
    }

    /// What comes next, in short. Answers to `hello` are not counted.
    async fn short(&mut self) -> String {
        loop {
            match self.next().await {
                Incoming::Message(text) if text.contains("connectionId") => {}
                Incoming::Message(text) => return text,
                Incoming::Connected(id) => return format!("connected {id}"),
                Incoming::Lost(reason) => return format!("lost: {reason}"),
                Incoming::Refused(refusal) => return format!("refused: {}", refusal.text()),
                // A test's machine may be busy.
                Incoming::Slept(_) => {}
            }
        }
    }

    /// Has a message arrive on a connection.
    async fn hears(&mut self, connection: &str, text: &str) {
        self.gateway.tell(connection, Deed::Say(text.to_owned()));
        assert_eq!(self.short().await, text);
    }

    /// What the terminal was told.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(event) = self.ui.try_recv() {
            match event {
                UiEvent::Warning(text) => told.push(text),
                other => panic!("{other:?}"),
            }
        }
        told
    }

    /// Waits until the API has seen enough.
    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let waiting = async {
            while !holds(&self.gateway.state()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it happens in time");
    }
}

async fn local() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Everything that may take hours, in less than a second. Nothing is due by itself.
fn timing() -> Timing {
    let never = Duration::from_secs(3600);
    Timing {
        renew_after: never,
        hello_every: never,
        hello_instead_of_ping: never,
        ping_every: never,
        pong_within: Duration::from_millis(100),
        hello_within: Duration::from_millis(500),
        overlap: Duration::from_millis(400),
        longest_pause: Duration::from_millis(300),
        stable: Duration::ZERO,
        longest_look: Duration::from_millis(10),
    }
}

#[tokio::test]
async fn a_renewed_connection_is_there_before_the_old_one_goes() {
    let mut session = Session::begin(Timing { renew_after: Duration::from_millis(1000), ..timing() }).await;
    assert_eq!(session.short().await, "connected c2", "nothing is lost before");
    session.hears("c1", "late").await;
    session.hears("c2", "new").await;
    session.hears("c1", "very late").await;
    // It is closed by us, after a while.
    session.until(|state| !state.connections.contains_key("c1")).await;
    assert_eq!(session.short().await, "connected c3", "and so on");
    assert_eq!(session.told(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_connection_in_use_and_is_told_once() {
    let mut session = Session::begin(Timing { renew_after: Duration::from_millis(200), ..timing() }).await;
    session.gateway.set(|behaviour| behaviour.refuse = Some(403));
    session.until(|state| state.handshakes >= 4).await;
    session.hears("c1", "still here").await;
    let told = session.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("has to be renewed before two hours are over, which fails: "), "{told:?}");
    assert!(told[0].contains("403"), "{told:?}");
    // Another reason is told as well.
    session.gateway.set(|behaviour| behaviour.refuse = Some(503));
    let more = session.gateway.state().handshakes + 3;
    session.until(|state| state.handshakes >= more).await;
    let told = session.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("503"), "{told:?}");
    session.gateway.set(|behaviour| behaviour.refuse = None);
    let renewed = session.short().await;
    assert!(renewed.starts_with("connected c"), "{renewed}");
    session.hears("c1", "once more").await;
}

#[tokio::test]
async fn why_a_connection_was_lost_is_told_and_another_one_is_made() {
    let mut session = Session::begin(timing()).await;
    for (number, (deed, reason)) in [
        (Deed::Close(1001), "API Gateway has ended it (1001)"),
        (Deed::Close(1009), "it was closed with code 1009"),
        (Deed::Abort, ""),
    ]
    .into_iter()
    .enumerate()
    {
        session.gateway.tell(&format!("c{}", number + 1), deed);
        let lost = session.short().await;
        assert!(lost.starts_with(&format!("lost: {reason}")), "{lost}");
        assert_eq!(session.short().await, format!("connected c{}", number + 2));
        session.hears(&format!("c{}", number + 2), "there").await;
    }
    session.gateway.set(|behaviour| behaviour.refuse = Some(404));
    session.gateway.tell("c4", Deed::Close(1001));
    assert_eq!(session.short().await, "lost: API Gateway has ended it (1001)");
    for _ in 0..3 {
        assert!(session.short().await.contains("refused: the WebSocket API answers 404"));
    }
    assert_eq!(session.told().len(), 1, "the same reason is told once");
}

#[tokio::test]
async fn connections_that_end_at_once_are_not_made_without_a_pause() {
    let mut session = Session::begin(Timing { stable: Duration::from_secs(10), ..timing() }).await;
    session.gateway.set(|behaviour| behaviour.end = true);
    session.gateway.tell("c1", Deed::Close(1001));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let _ = timeout(Duration::from_millis(50), session.incoming.recv()).await;
    }
    // The pauses are 200 ms at least.
    let handshakes = session.gateway.state().handshakes;
    assert!((4..=16).contains(&handshakes), "{handshakes}");
    session.gateway.set(|behaviour| behaviour.end = false);
    session.until(|state| !state.connections.is_empty()).await;
}

#[tokio::test]
async fn a_connection_without_pongs_is_no_dead_one() {
    // A handshake with TLS, and the function behind it, take longer than an answer on a connection that there is.
    let timing = Timing {
        ping_every: Duration::from_millis(100),
        hello_instead_of_ping: Duration::from_millis(300),
        ..timing()
    };
    let mut session = Session::begin(timing).await;
    session.gateway.set(|behaviour| (behaviour.pong, behaviour.slow) = (false, Duration::from_millis(400)));
    // After a few pings that say nothing, `hello` is asked instead, and seldom.
    session.until(|state| state.pings >= 6 && state.hellos >= 6).await;
    session.hears("c1", "alive").await;
    assert_eq!(session.told(), [] as [&str; 0]);
    let handshakes = session.gateway.state().handshakes;
    let more = session.gateway.state().hellos + 3;
    session.until(|state| state.hellos >= more).await;
    assert_eq!(session.gateway.state().handshakes, handshakes, "pings are not waited for any more");
    assert!(session.gateway.state().connections.keys().eq(["c1"]));
}

#[tokio::test]
async fn a_connection_that_turns_out_to_be_alive_is_not_replaced() {
    // Another one is on its way when it turns out.
    let timing =
        Timing { ping_every: Duration::from_millis(100), hello_within: Duration::from_secs(10), ..timing() };
    let mut session = Session::begin(timing).await;
    session.gateway.set(|behaviour| {
        (behaviour.pong, behaviour.hello, behaviour.slow) = (false, false, Duration::from_millis(500));
    });
    session.until(|state| state.handshakes > 1).await;
    session.hears("c1", "alive").await;
    session.gateway.set(|behaviour| (behaviour.pong, behaviour.hello) = (true, true));
    session.hears("c1", "still alive").await;
    assert_eq!(session.told(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_dead_connection_is_noticed_and_replaced() {
    let timing = Timing { ping_every: Duration::from_millis(100), ..timing() };
    let mut session = Session::begin(timing).await;
    session.until(|state| state.pings >= 2).await;
    session.gateway.tell("c1", Deed::Silence);
    let silent = Instant::now();
    let lost = session.short().await;
    assert!(lost.starts_with("lost: it has not answered for "), "{lost}");
    // A pause, a pong, and the new connection, which does not wait for the answer to `hello`.
    let took = silent.elapsed();
    assert!(took < timing.hello_within, "{took:?}");
    assert_eq!(session.short().await, "connected c2");
    session.hears("c2", "alive").await;

    // Without another one it is given up all the same.
    session.gateway.set(|behaviour| behaviour.refuse = Some(503));
    session.gateway.tell("c2", Deed::Silence);
    let silent = Instant::now();
    let lost = session.short().await;
    assert!(lost.starts_with("lost: it has not answered for "), "{lost}");
    assert!(silent.elapsed() >= timing.hello_within, "{:?}", silent.elapsed());
    assert!(session.short().await.starts_with("refused: "));
    session.gateway.set(|behaviour| behaviour.refuse = None);
    loop {
        let next = session.short().await;
        if next.starts_with("connected") {
            break;
        }
        assert!(next.starts_with("refused: "), "{next}");
    }
}

#[tokio::test]
async fn what_is_under_way_when_it_closes_a_connection_is_heard() {
    let mut session = Session::begin(Timing::default()).await;
    session.gateway.set(|behaviour| behaviour.under_way = Some("an offer"));
    session.closing.cancel();
    assert_eq!(session.short().await, "an offer");
    assert!(session.short().await.starts_with("lost: "));
    assert!(session.incoming.recv().await.is_none(), "then it has ended, and dials no other");
    assert_eq!(session.gateway.state().handshakes, 1);
}

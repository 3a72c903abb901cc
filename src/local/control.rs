//! The socket of this room: requests and their answers in turn, each a line of JSON, on a TCP connection on 127.0.0.1. Each request carries
//! the token of `.sst/session.json`, which only the user can read.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    descriptors,
    lock::Holder,
    tasks::{self, Tasks},
};

/// The longest request: an event of 6 MB in base64, and its frame.
const MAX_REQUEST: u64 = 9 << 20;

/// The longest answer: a response of 6 MB in base64, and its frame.
const MAX_ANSWER: u64 = 9 << 20;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Request {
    /// First, because nothing is read of a request that does not begin with it.
    token: String,
    #[serde(default)]
    function: String,
    /// In base64, because it need not be text; none when only the function's environment is wanted.
    event: Option<String>,
    /// Whoever changes what is deployed, for as long as the connection lasts; nothing else is wanted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<Holder>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub(crate) enum Answer {
    /// The function's result in base64, byte for byte.
    Returned { body: String },
    /// The function failed: the body that a caller would get, in base64.
    #[serde(rename_all = "camelCase")]
    Failed { error_type: String, body: String },
    /// The variables of the function, with its role's credentials.
    Environment { variables: BTreeMap<String, String> },
    /// It was not called.
    Refused { message: String, hint: Option<String> },
    /// It is known now who changes what is deployed.
    Noted,
}

/// Another command changes what is deployed of the stage that is served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It begins.
    Began(Holder),
    /// It has ended, in whatever way.
    Ended(Holder),
}

/// Something that somebody on this machine wants of a function.
#[derive(Debug)]
pub(crate) struct LocalCall {
    /// The function's id, or what is enough of it.
    pub function: String,
    /// The event to call it with; none when only its environment is wanted.
    pub event: Option<Bytes>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// Where requests are listened for, and what comes in.
#[derive(Debug)]
pub(crate) struct Control {
    address: SocketAddr,
    token: String,
    /// What is wanted of functions.
    pub calls: mpsc::UnboundedReceiver<LocalCall>,
    /// What is said of the stage.
    pub notices: mpsc::UnboundedReceiver<Notice>,
}

/// What the connections have in common.
#[derive(Debug)]
struct Shared {
    token: String,
    calls: mpsc::UnboundedSender<LocalCall>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Control {
    /// Listens on 127.0.0.1, at a port of the system's choice, in one of `tasks`.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub(crate) async fn open(tasks: &mut Tasks) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let token = uuid::Uuid::new_v4().to_string();
        let (calls_sender, calls) = mpsc::unbounded_channel();
        let (notices_sender, notices) = mpsc::unbounded_channel();
        let shared = Shared { token: token.clone(), calls: calls_sender, notices: notices_sender };
        let shared = Arc::new(shared);
        tasks.spawn("the control socket", async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = descriptors::accept(&listener).await;
                tasks::reap(&mut connections);
                let shared = shared.clone();
                connections.spawn(async move {
                    if let Err(error) = serve(stream, &shared).await {
                        tracing::debug!(%error, "control connection");
                    }
                });
            }
        });
        Ok(Self { address, token, calls, notices })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a request must carry.
    #[must_use]
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let first = request_of(&mut reader, &shared.token);
    let mut next = tokio::time::timeout(PATIENCE, first).await??;
    // Whoever does not know the token learns nothing, not even what was wrong.
    while let Some(request) = next {
        if let Some(other) = request.change {
            let _ = shared.notices.send(Notice::Began(other.clone()));
            let noted = write(&mut writer, &Answer::Noted).await;
            // It says nothing more. The kernel tells of its end, whatever that was.
            let _ = reader.read(&mut [0]).await;
            let _ = shared.notices.send(Notice::Ended(other));
            return noted;
        }
        let answer = called(request, shared).await;
        write(&mut writer, &answer).await?;
        // Whoever has called before may take any time until the next call.
        next = request_of(&mut reader, &shared.token).await?;
    }
    Ok(())
}

/// What becomes of a request that wants something of a function.
async fn called(request: Request, shared: &Shared) -> Answer {
    match request.event.map(|event| STANDARD.decode(event)).transpose() {
        Ok(event) => {
            let (reply, answer) = oneshot::channel();
            let call = LocalCall { function: request.function, event: event.map(Bytes::from), reply };
            let _ = shared.calls.send(call);
            answer.await.unwrap_or_else(|_| Answer::Refused {
                message: "`sst start` ended before the function answered".to_owned(),
                hint: None,
            })
        }
        Err(error) => Answer::Refused { message: format!("the event is not base64: {error}"), hint: None },
    }
}

/// Writes a line of JSON.
async fn write(writer: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(message)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

/// Reads the line that answers.
async fn read(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut answer = String::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer).await?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"));
    }
    Ok(serde_json::from_str(&answer)?)
}

/// Reads a request; none at the end, or when it is not one. Of one that does not begin with the token nothing more is read.
async fn request_of(reader: &mut (impl AsyncBufRead + Unpin), expected: &str) -> io::Result<Option<Request>> {
    let beginning = format!("{{\"token\":\"{expected}\"");
    let mut line = Vec::with_capacity(beginning.len());
    while line.len() < beginning.len() {
        let there = reader.fill_buf().await?;
        let taken = there.len().min(beginning.len() - line.len());
        line.extend_from_slice(&there[..taken]);
        reader.consume(taken);
        // What begins in another way is not waited for, however short it is.
        if taken == 0 || !beginning.as_bytes().starts_with(&line) {
            return Ok(None);
        }
    }
    reader.take(MAX_REQUEST).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line).ok())
}

/// Has a function called by the `sst start` at `address`, or asks it for the function's environment when there is no event.
///
/// # Errors
/// When nobody listens there, or hangs up without an answer.
pub(crate) async fn call(
    address: &str,
    token: &str,
    function: &str,
    event: Option<&[u8]>,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let event = event.map(|event| STANDARD.encode(event));
    let request = Request { token: token.to_owned(), function: function.to_owned(), event, change: None };
    write(&mut stream, &request).await?;
    read(&mut stream).await
}

/// Tells the `sst start` at `address` that `this` changes what is deployed, until the result is dropped.
///
/// # Errors
/// When nobody listens there, or notes it in time.
pub(crate) async fn announce(address: &str, token: &str, this: &Holder) -> io::Result<TcpStream> {
    let announcing = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = Request { token: token.to_owned(), change: Some(this.clone()), ..Request::default() };
        write(&mut stream, &request).await?;
        match read(&mut stream).await? {
            Answer::Noted => Ok(stream),
            other => Err(io::Error::other(format!("it answers {other:?}"))),
        }
    };
    tokio::time::timeout(PATIENCE, announcing).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_knows_the_token_is_answered() {
        let mut tasks = Tasks::default();
        let mut control = Control::open(&mut tasks).await.unwrap();
        assert!(control.address().ip().is_loopback());
        let address = control.address().to_string();
        let mut calls = control.calls;
        let answering = tokio::spawn(async move {
            let call = calls.recv().await.unwrap();
            assert_eq!((call.function.as_str(), call.event.as_deref()), ("a", Some(&b"\xff{}"[..])));
            call.reply.send(Answer::Returned { body: "e30=".to_owned() }).unwrap();
            calls
        });
        let answer = call(&address, &control.token, "a", Some(b"\xff{}")).await.unwrap();
        assert_eq!(answer, Answer::Returned { body: "e30=".to_owned() });
        let mut calls = answering.await.unwrap();
        assert!(call(&address, "guessed", "a", Some(b"{}")).await.is_err());
        let mut page = TcpStream::connect(&address).await.unwrap();
        page.write_all(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // Closing with unread input may show as a reset.
        let closed = page.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE / 2, closed).await.expect("it is closed at once");
        assert_eq!(answer, b"");
        assert!(calls.try_recv().is_err());
        // Nor is anybody listened to who has not said it first.
        let mut stranger = TcpStream::connect(&address).await.unwrap();
        stranger.write_all(&[b' '; 100]).await.unwrap();
        let mut answer = Vec::new();
        let closed = stranger.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE / 2, closed).await.expect("it is closed at once");
        assert_eq!(answer, b"");
        assert!(control.notices.try_recv().is_err());
    }

    #[tokio::test]
    async fn calls_of_one_connection_are_answered_in_turn() {
        let mut tasks = Tasks::default();
        let mut control = Control::open(&mut tasks).await.unwrap();
        let mut stream = TcpStream::connect(control.address()).await.unwrap();
        let token = control.token().to_owned();
        // The second one is there before the first is answered.
        for event in ["MQ==", "Mg=="] {
            let request = Request {
                token: token.clone(),
                function: "a".to_owned(),
                event: Some(event.to_owned()),
                change: None,
            };
            write(&mut stream, &request).await.unwrap();
        }
        let mut lines = BufReader::new(stream).lines();
        for body in ["1", "2"] {
            let call = control.calls.recv().await.unwrap();
            assert_eq!(call.event.as_deref(), Some(body.as_bytes()));
            assert!(control.calls.try_recv().is_err(), "one after the other");
            call.reply.send(Answer::Returned { body: body.to_owned() }).unwrap();
            let answer = lines.next_line().await.unwrap().unwrap();
            assert_eq!(answer, format!(r#"{{"outcome":"returned","body":"{body}"}}"#));
        }
        // Each one has to know the token.
        let mut stream = lines.into_inner().into_inner();
        write(&mut stream, &Request { token: "guessed".to_owned(), ..Request::default() }).await.unwrap();
        assert_eq!(BufReader::new(stream).lines().next_line().await.unwrap(), None);
        assert!(control.calls.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_changes_what_is_deployed_is_noted_until_it_ends() {
        let mut tasks = Tasks::default();
        let mut control = Control::open(&mut tasks).await.unwrap();
        let address = control.address().to_string();
        let this = Holder::this("sst deploy", Some("dev"), "/project".into());
        assert!(announce(&address, "guessed", &this).await.is_err());
        let announced = announce(&address, control.token(), &this).await.unwrap();
        assert_eq!(control.notices.try_recv(), Ok(Notice::Began(this.clone())));
        assert!(control.notices.try_recv().is_err());
        drop(announced);
        assert_eq!(control.notices.recv().await, Some(Notice::Ended(this)));
    }
}

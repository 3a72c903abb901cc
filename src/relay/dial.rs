//! Dialling: a signed handshake, and the answer to `hello`, which tells the connection's id and AWS's time.

use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::services::pauses;
use crate::{
    aws::{Aws, CredentialsState, Stream},
    debug_stack::Answers,
    error::{Error, Kind},
};

/// How long connecting may take, with the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long dialling and the first answer may take. Where a function answers, its cold start is in it.
const DIAL_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a freshly deployed endpoint may take to answer.
const FIRST_CONNECTION: Duration = Duration::from_secs(30);

/// For how long nothing else than no answer may come of an endpoint whose mocks are to answer, before a function is to answer instead.
/// Deploying an API's routes takes a while longer than CloudFormation says, and the function stays.
const UNANSWERED: Duration = Duration::from_secs(20);

/// The longest pause between two attempts at first.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is asked for the id and the time.
pub(super) const HELLO: &str = r#"{"action":"hello"}"#;

pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// A connection whose id is known.
pub(super) struct Connection {
    pub id: String,
    pub socket: Socket,
    /// What arrived before the answer to `hello`.
    pub early: Vec<String>,
    /// How long that answer was, in bytes.
    pub answer: usize,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It may be better later.
    Unreachable(String),
    /// The API is there and lets us in, but what is to answer at `$connect` or to `hello` does not do so.
    Unanswered(String),
    /// The endpoint does not seem to exist.
    Missing(String),
    /// The credentials are not good enough, or not good any more.
    Credentials(Error),
    /// There are none, which the user has been told.
    NoCredentials(Error),
}

impl Refusal {
    /// A fragment for people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Unreachable(text) | Self::Unanswered(text) | Self::Missing(text) => text.clone(),
            Self::Credentials(Error { message, hint: Some(hint), .. }) => format!("{message}: {hint}"),
            Self::Credentials(error) | Self::NoCredentials(error) => error.to_string(),
        }
    }
}

/// Why there is no first connection.
#[derive(Debug)]
pub enum Unconnected {
    /// What is to answer at `$connect` or to `hello` does not.
    Unanswered(Error),
    /// Anything else.
    Failed(Error),
}

impl From<Unconnected> for Error {
    fn from(unconnected: Unconnected) -> Self {
        match unconnected {
            Unconnected::Unanswered(error) | Unconnected::Failed(error) => error,
        }
    }
}

/// Dials.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    aws: Aws,
    endpoint: String,
    answers: Answers,
}

impl Connector {
    pub(super) fn new(aws: Aws, endpoint: String, answers: Answers) -> Self {
        Self { aws, endpoint, answers }
    }

    /// Connects, with patience for an endpoint that was deployed a moment ago.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when that is exhausted.
    pub(super) async fn connect_at_first(&self) -> Result<Connection, Unconnected> {
        let until = Instant::now() + FIRST_CONNECTION;
        let mut pauses = pauses(LONGEST_PAUSE);
        let mut unanswered = None;
        loop {
            let began = Instant::now();
            let refusal = match self.connect().await {
                Ok(connection) => return Ok(connection),
                Err(refusal) => refusal,
            };
            let is_unanswered = matches!(refusal, Refusal::Unanswered(_));
            unanswered = is_unanswered.then(|| unanswered.unwrap_or(began));
            // There is another way then.
            let enough = unanswered.is_some_and(|since| since.elapsed() >= UNANSWERED);
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            if Instant::now() + pause >= until || enough && self.answers == Answers::Mock {
                let error = Error::new(Kind::Cloud, format!("cannot connect to `{}`", self.endpoint))
                    .detail(refusal.text())
                    .hint("check the network and that your credentials may call `execute-api:Invoke`");
                return Err(match is_unanswered {
                    true => Unconnected::Unanswered(error),
                    false => Unconnected::Failed(error),
                });
            }
            tracing::debug!(reason = refusal.text(), "first connection");
            tokio::time::sleep(pause).await;
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// Without a connection; see [`Refusal`].
    pub(super) async fn connect(&self) -> Result<Connection, Refusal> {
        let until = Instant::now() + DIAL_TIMEOUT;
        let late = || format!("no answer within {} s", DIAL_TIMEOUT.as_secs());
        match timeout_at(until, self.dial()).await {
            Ok(socket) => timeout_at(until, self.greet(socket?))
                .await
                .unwrap_or_else(|_| Err(Refusal::Unanswered(late()))),
            Err(_) => Err(Refusal::Unreachable(late())),
        }
    }

    async fn dial(&self) -> Result<Socket, Refusal> {
        let url = self.aws.presign_websocket(&self.endpoint).await.map_err(|error| {
            let missing = *self.aws.credentials_state().borrow() != CredentialsState::Valid;
            if missing { Refusal::NoCredentials(error) } else { Refusal::Credentials(error) }
        })?;
        let uri: http::Uri =
            url.parse().map_err(|error: http::uri::InvalidUri| Refusal::Unreachable(error.to_string()))?;
        let stream = match timeout(CONNECT_TIMEOUT, self.aws.open(&uri)).await {
            Ok(stream) => stream.map_err(|error| Refusal::Unreachable(error.to_string()))?,
            Err(_) => {
                let way = self.aws.by_way_of(&uri);
                let text = format!("no connection{way} within {} s", CONNECT_TIMEOUT.as_secs());
                return Err(Refusal::Unreachable(text));
            }
        };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(sst_wire::MAX_RECEIVED))
            .max_frame_size(Some(sst_wire::MAX_RECEIVED));
        let dialled = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(limits)).await;
        dialled.map(|(socket, _)| socket).map_err(|error| self.refusal(&url, error))
    }

    /// Asks for the connection's id, and for AWS's time.
    async fn greet(&self, mut socket: Socket) -> Result<Connection, Refusal> {
        let failed = |error: tungstenite::Error| Refusal::Unreachable(error.to_string());
        socket.send(Message::text(HELLO)).await.map_err(failed)?;
        let mut early = Vec::new();
        loop {
            let Some(message) = socket.next().await else {
                return Err(Refusal::Unreachable(
                    "the connection was closed before it was usable".to_owned(),
                ));
            };
            let Message::Text(text) = message.map_err(failed)? else { continue };
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            match (&value["connectionId"], &value["message"]) {
                (_, Value::String(message)) => {
                    return Err(Refusal::Unanswered(format!("the WebSocket API answers: {message}")));
                }
                // A template that was not filled in leaves the variable, or nothing.
                (Value::String(id), _) if id.is_empty() || id.contains('$') => {
                    return Err(Refusal::Unanswered(
                        "the WebSocket API does not tell the connection's id".to_owned(),
                    ));
                }
                (Value::String(id), _) => {
                    if let Some(time) = time_of(&value) {
                        self.aws.clock.heard(time);
                    }
                    let (id, answer) = (id.clone(), text.len());
                    return Ok(Connection { id, socket, early, answer });
                }
                _ => early.push(text.to_string()),
            }
        }
    }

    /// Says what a refused handshake means. The URL is not shown: it holds a signature.
    fn refusal(&self, url: &str, error: tungstenite::Error) -> Refusal {
        let tungstenite::Error::Http(response) = error else {
            return Refusal::Unreachable(error.to_string());
        };
        let status = response.status();
        let kind = response.headers().get("x-amzn-errortype").and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("ExpiredToken")) {
            self.aws.credentials_expired(url);
        }
        match status.as_u16() {
            // API Gateway says so as well of an API that it does not have.
            401 | 403 => Refusal::Credentials(
                Error::new(Kind::Cloud, format!("the WebSocket API refuses the credentials ({status})"))
                    .hint("the caller needs `execute-api:Invoke` on the debug stack's API"),
            ),
            404 | 410 => Refusal::Missing(format!("the WebSocket API answers {status}")),
            // What is to answer at `$connect` has failed.
            500..=599 => Refusal::Unanswered(format!("the WebSocket API answers {status}")),
            _ => Refusal::Unreachable(format!("the WebSocket API answers {status}")),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

/// AWS's time in an answer to `hello`: a number where a function answers, a text where a template does.
pub(super) fn time_of(answer: &Value) -> Option<SystemTime> {
    let now = answer.get("now")?;
    let millis = now.as_u64().or_else(|| now.as_str()?.parse().ok())?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{aws, relay::tests::IDENTITY};

    /// An account, as far as somebody needs one who only dials.
    async fn account() -> Aws {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(async || IDENTITY));
        tokio::spawn(async { axum::serve(listener, app).await });
        let options = aws::Options { endpoint: Some(endpoint), local: true, ..aws::Options::default() };
        Aws::connect(options).await.unwrap()
    }

    /// Dials an API that refuses handshakes with this status.
    async fn refused(aws: &Aws, status: u16) -> Refusal {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("ws://{}/live", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        Connector::new(aws.clone(), endpoint, Answers::Mock).connect().await.unwrap_err()
    }

    /// Dials an API that answers `hello` so.
    async fn greeted(aws: &Aws, answer: &'static str) -> Result<String, Refusal> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("ws://{}/live", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let asked = socket.next().await.unwrap().unwrap();
            assert_eq!(asked.into_text().unwrap().as_str(), HELLO);
            socket.send(Message::text(answer)).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        });
        let connected = Connector::new(aws.clone(), endpoint, Answers::Mock).connect().await;
        connected.map(|connection| connection.id)
    }

    #[tokio::test]
    async fn what_another_answer_would_mend_is_told_from_what_it_would_not() {
        let aws = account().await;
        for status in [500, 502, 504] {
            assert!(matches!(refused(&aws, status).await, Refusal::Unanswered(_)), "{status}");
        }
        assert!(matches!(refused(&aws, 403).await, Refusal::Credentials(_)));
        assert!(matches!(refused(&aws, 404).await, Refusal::Missing(_)));
        assert!(matches!(refused(&aws, 429).await, Refusal::Unreachable(_)));
        for answer in [
            r#"{"message":"Internal server error","connectionId":"c=","requestId":"r"}"#,
            r#"{"connectionId": "", "now": ""}"#,
            r#"{"connectionId": "$context.connectionId", "now": "$context.requestTimeEpoch"}"#,
        ] {
            assert!(matches!(greeted(&aws, answer).await, Err(Refusal::Unanswered(_))), "{answer}");
        }
        let told = r#"{"connectionId": "c=", "now": "1795687200123"}"#;
        assert_eq!(greeted(&aws, told).await.unwrap(), "c=");
        let heard = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_687_200_123);
        let off = aws.clock.now().duration_since(heard).unwrap();
        assert!(off < Duration::from_secs(10), "{off:?}");
    }
}

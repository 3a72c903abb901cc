//! Dialling: a signed handshake, and the answer to `hello`, which tells the connection's id and AWS's time.

use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::services::pauses;
use crate::{
    aws::{Aws, CredentialsState, Stream},
    error::{Error, Kind, Result},
};

/// How long connecting may take, with the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long dialling and the first answer may take. A cold start of the control function is in it.
const DIAL_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a freshly deployed endpoint may take to answer.
const FIRST_CONNECTION: Duration = Duration::from_secs(30);

/// The longest pause between two attempts at first.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the control function is asked with.
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
            Self::Unreachable(text) | Self::Missing(text) => text.clone(),
            Self::Credentials(Error { message, hint: Some(hint), .. }) => format!("{message}: {hint}"),
            Self::Credentials(error) | Self::NoCredentials(error) => error.to_string(),
        }
    }
}

/// Dials.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    aws: Aws,
    endpoint: String,
}

impl Connector {
    pub(super) fn new(aws: Aws, endpoint: String) -> Self {
        Self { aws, endpoint }
    }

    /// Connects, with patience for an endpoint that was deployed a moment ago.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when that is exhausted.
    pub(super) async fn connect_at_first(&self) -> Result<Connection> {
        let until = Instant::now() + FIRST_CONNECTION;
        let mut pauses = pauses(LONGEST_PAUSE);
        loop {
            let refusal = match self.connect().await {
                Ok(connection) => return Ok(connection),
                Err(refusal) => refusal,
            };
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            if Instant::now() + pause >= until {
                return Err(Error::new(Kind::Cloud, format!("cannot connect to `{}`", self.endpoint))
                    .detail(refusal.text())
                    .hint("check the network and that your credentials may call `execute-api:Invoke`"));
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
        match timeout(DIAL_TIMEOUT, self.dial()).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::Unreachable(format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }

    async fn dial(&self) -> Result<Connection, Refusal> {
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
        let (mut socket, _) = dialled.map_err(|error| self.refusal(&url, error))?;
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
                    return Err(Refusal::Unreachable(format!("the WebSocket API answers: {message}")));
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
            _ => Refusal::Unreachable(format!("the WebSocket API answers {status}")),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

/// AWS's time in an answer to `hello`.
pub(super) fn time_of(answer: &Value) -> Option<SystemTime> {
    let millis = answer.get("now")?.as_u64()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

//! The WebSocket: dialled with a signature, kept alive, renewed before API Gateway ends it, dialled again when it is lost.

use std::time::Duration;

use backon::BackoffBuilder;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use crate::{
    aws::Aws,
    error::{Error, Kind, Result},
    ui::Ui,
};

/// How long dialling and the first answer may take. A cold start of the control function is in it.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a freshly deployed endpoint may take to answer.
const FIRST_CONNECTION: Duration = Duration::from_secs(30);

/// API Gateway ends a connection after two hours.
const RENEW_AFTER: Duration = Duration::from_secs(110 * 60);

/// API Gateway ends a connection after ten minutes without a message; control frames may not count as one.
const HELLO_EVERY: Duration = Duration::from_secs(5 * 60);

/// A connection whose other side is gone without a word is noticed by its missing pong.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long the old connection is still read after a new one was registered.
const OVERLAP: Duration = Duration::from_secs(30);

const HELLO: &str = r#"{"action":"hello"}"#;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// What comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// There is a new connection; stubs are to use this id from now on.
    Connected(String),
    /// A message.
    Message(String),
}

/// A connection whose id is known.
pub(super) struct Connection {
    pub id: String,
    socket: Socket,
    /// What arrived before the answer to `hello`.
    early: Vec<String>,
}

/// Dials.
#[derive(Debug)]
pub(super) struct Connector {
    aws: Aws,
    endpoint: String,
}

/// The pauses between attempts, without end: from 200 ms to 10 s, with jitter.
pub(super) fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times()
        .build()
}

impl Connector {
    pub fn new(aws: Aws, endpoint: String) -> Self {
        Self { aws, endpoint }
    }

    /// Connects, with patience for an endpoint that was deployed a moment ago.
    pub async fn connect_at_first(&self) -> Result<Connection> {
        let until = Instant::now() + FIRST_CONNECTION;
        let mut pauses = backoff();
        loop {
            let error = match self.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let pause = pauses.next().unwrap_or_default();
            if Instant::now() + pause >= until {
                return Err(Error::new(Kind::Cloud, format!("cannot connect to `{}`", self.endpoint))
                    .detail(error)
                    .hint("check the network and that your credentials may call `execute-api:Invoke`"));
            }
            tracing::debug!(%error, "first connection");
            tokio::time::sleep(pause).await;
        }
    }

    /// Passes messages on for as long as the program runs, over as many connections as it takes.
    pub async fn keep_connected(self, first: Connection, incoming: mpsc::UnboundedSender<Incoming>, ui: Ui) {
        let mut connection = first;
        loop {
            let end = serve(&mut connection, &incoming, Instant::now() + RENEW_AFTER).await;
            let Connection { socket, .. } = connection;
            match end {
                End::Due => {
                    // The new connection is up before the old one goes, so no request falls between them.
                    connection = self.connect_again().await;
                    tokio::spawn(read_out(socket, incoming.clone()));
                }
                End::Lost(reason) => {
                    drop(socket);
                    tracing::debug!(reason, "connection lost");
                    ui.warning(format!("the connection to the cloud was lost ({reason}); connecting again"));
                    connection = self.connect_again().await;
                    ui.info("connected again");
                }
                End::Unwanted => return,
            }
            let _ = incoming.send(Incoming::Connected(connection.id.clone()));
        }
    }

    async fn connect_again(&self) -> Connection {
        let mut pauses = backoff();
        loop {
            match self.connect().await {
                Ok(connection) => return connection,
                Err(error) => tracing::debug!(%error, "connecting again"),
            }
            tokio::time::sleep(pauses.next().unwrap_or(DIAL_TIMEOUT)).await;
        }
    }

    async fn connect(&self) -> Result<Connection> {
        match timeout(DIAL_TIMEOUT, self.dial()).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(Kind::Cloud, format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }

    async fn dial(&self) -> Result<Connection> {
        let url = self.aws.presign_websocket(&self.endpoint).await?;
        let stream = self.stream(&url).await.map_err(|error| Error::new(Kind::Cloud, error.to_string()))?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(sst_wire::MAX_RECEIVED))
            .max_frame_size(Some(sst_wire::MAX_RECEIVED));
        let dialled = tokio_tungstenite::client_async_with_config(url, stream, Some(limits)).await;
        let (mut socket, _) = dialled.map_err(refusal)?;
        let failed = |error: tungstenite::Error| Error::new(Kind::Cloud, error.to_string());
        socket.send(Message::text(HELLO)).await.map_err(failed)?;
        let mut early = Vec::new();
        loop {
            let Some(message) = socket.next().await else {
                return Err(Error::new(Kind::Cloud, "the connection was closed before it was usable"));
            };
            let Message::Text(text) = message.map_err(failed)? else { continue };
            let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            match (&value["connectionId"], &value["message"]) {
                (_, serde_json::Value::String(message)) => {
                    return Err(Error::new(Kind::Cloud, format!("the WebSocket API answers: {message}")));
                }
                (serde_json::Value::String(id), _) => {
                    return Ok(Connection { id: id.clone(), socket, early });
                }
                _ => early.push(text.to_string()),
            }
        }
    }

    async fn stream(&self, url: &str) -> std::io::Result<Box<dyn Stream>> {
        let uri: http::Uri = url.parse().map_err(std::io::Error::other)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.as_str(), port)).await?;
        tcp.set_nodelay(true)?;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let name = rustls::pki_types::ServerName::try_from(host).map_err(std::io::Error::other)?;
        let tls = tokio_rustls::TlsConnector::from(self.aws.tls.clone());
        Ok(Box::new(tls.connect(name, tcp).await?))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Says what a refused handshake means. The URL is not shown: it holds a signature.
fn refusal(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(response) if [401, 403].contains(&response.status().as_u16()) => Error::new(
            Kind::Cloud,
            format!("the WebSocket API refuses the credentials ({})", response.status()),
        )
        .hint("the caller needs `execute-api:Invoke` on the debug stack's API"),
        tungstenite::Error::Http(response) => {
            Error::new(Kind::Cloud, format!("the WebSocket API answers {}", response.status()))
        }
        error => Error::new(Kind::Cloud, error.to_string()),
    }
}

enum End {
    /// It has to be renewed.
    Due,
    /// It is gone; why.
    Lost(String),
    /// Nobody listens any more.
    Unwanted,
}

async fn serve(connection: &mut Connection, incoming: &mpsc::UnboundedSender<Incoming>, due: Instant) -> End {
    for text in connection.early.drain(..) {
        let _ = incoming.send(Incoming::Message(text));
    }
    let socket = &mut connection.socket;
    let mut hello = tokio::time::interval_at(Instant::now() + HELLO_EVERY, HELLO_EVERY);
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut unanswered = 0;
    loop {
        let sent = tokio::select! {
            message = socket.next() => {
                unanswered = 0;
                match message {
                    Some(Ok(Message::Text(text))) => {
                        if incoming.send(Incoming::Message(text.to_string())).is_err() {
                            return End::Unwanted;
                        }
                        Ok(())
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let reason = frame.map_or("closed".to_owned(), |frame| frame.code.to_string());
                        return End::Lost(reason);
                    }
                    Some(Ok(_)) => Ok(()),
                    Some(Err(error)) => return End::Lost(error.to_string()),
                    None => return End::Lost("closed".to_owned()),
                }
            }
            _ = hello.tick() => socket.send(Message::text(HELLO)).await,
            _ = ping.tick() => {
                if unanswered == 2 {
                    return End::Lost("no sign of life".to_owned());
                }
                unanswered += 1;
                socket.send(Message::Ping(Default::default())).await
            }
            () = tokio::time::sleep_until(due) => return End::Due,
        };
        if let Err(error) = sent {
            return End::Lost(error.to_string());
        }
    }
}

/// Reads what still comes on a connection that has been replaced.
async fn read_out(mut socket: Socket, incoming: mpsc::UnboundedSender<Incoming>) {
    let read = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let _ = incoming.send(Incoming::Message(text.to_string()));
            }
        }
    };
    let _ = timeout(OVERLAP, read).await;
    let _ = timeout(Duration::from_secs(2), socket.close(None)).await;
}

//! One client's connection to one worker.

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig};

use super::pieces::{PIECE, Pieces};

/// The longest message of a worker.
const MAX_MESSAGE: usize = 1 << 30;

/// What comes from a worker.
#[derive(Debug)]
pub(super) enum FromWorker {
    /// The connection is there.
    Open,
    /// A message, untouched.
    Text(Utf8Bytes),
    /// The connection has ended, or never was.
    Closed,
}

/// Connects to a worker's inspector at `url` and passes messages both ways until one side ends. What comes is sent to `inbox` with
/// the id of the `session`.
pub(super) async fn run(
    url: String,
    session: String,
    mut outbox: mpsc::UnboundedReceiver<Utf8Bytes>,
    inbox: mpsc::UnboundedSender<(String, FromWorker)>,
) {
    let tell = |what| inbox.send((session.clone(), what)).is_ok();
    if let Err(error) = pump(&url, &mut outbox, &tell).await {
        tracing::debug!(%error, session, "connection to a worker's inspector");
    }
    tell(FromWorker::Closed);
}

async fn pump(
    url: &str,
    outbox: &mut mpsc::UnboundedReceiver<Utf8Bytes>,
    tell: &impl Fn(FromWorker) -> bool,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let authority = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    // Profiles and the results of evaluations have no limit of their own.
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(PIECE));
    let stream = Pieces::new(stream);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
    if !tell(FromWorker::Open) {
        return Ok(());
    }
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    // Node waits for its debuggers before it ends; nobody has anything to ask a process that is over.
                    let over = is_end(&text);
                    if !tell(FromWorker::Text(text)) || over {
                        return socket.close(None).await;
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            text = outbox.recv() => match text {
                Some(text) => socket.send(Message::Text(text)).await?,
                None => return socket.close(None).await,
            },
        }
    }
}

/// Whether a process says that it has ended but for its debuggers: its main context, which is the first, is gone.
pub(super) fn is_end(text: &str) -> bool {
    if text.starts_with(r#"{"method":"NodeRuntime.waitingForDisconnect""#) {
        return true;
    }
    if !text.starts_with(r#"{"method":"Runtime.executionContextDestroyed""#) {
        return false;
    }
    let message: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    message["params"]["executionContextId"] == 1
}

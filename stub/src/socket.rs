//! The stub's WebSocket connection, over which the answers come.

use std::time::{Duration, SystemTime};

use futures_util::{SinkExt, StreamExt};
use sst_wire::jitter;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

use crate::{
    clock::Moment,
    cloud::Cloud,
    http::Stream,
    problem::{Maker, Problem},
};

/// Unused for longer than this, a connection is tested before it is used.
const TEST_AFTER: Duration = Duration::from_secs(45);
/// Unused for longer than this, it is replaced: API Gateway closes it after ten minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(8 * 60);
/// Older than this, it is replaced: API Gateway closes it after two hours, whatever it does.
const AGE_LIMIT: Duration = Duration::from_secs(100 * 60);
/// How long the test may take.
const TEST_LIMIT: Duration = Duration::from_millis(500);
/// How long a handshake and the answer to `hello` may take, with a cold start where a function answers.
const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// How long an endpoint may refuse before it is taken at its word. What does not answer at all is tried for longer.
const REFUSALS: Duration = Duration::from_secs(4);

/// An open connection.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Stream>>,
    /// The connection's id, on which answers are to be sent.
    pub id: String,
    opened: SystemTime,
    used: SystemTime,
}

impl Socket {
    /// Opens a connection, trying until `until`.
    pub(crate) async fn open(cloud: &Cloud, until: Instant) -> Result<Self, Problem> {
        let refused = Instant::now() + REFUSALS;
        let mut pause = Duration::from_millis(200);
        loop {
            let limit = DIAL_LIMIT.min(until.saturating_duration_since(Instant::now()));
            let problem = match timeout(limit, Self::dial(cloud)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(problem)) => problem,
                Err(_) => unreachable("no answer in time"),
            };
            let end = match &problem {
                Problem::Denied { .. } if cloud.may_still_spread() => until,
                Problem::Denied { .. } => return Err(problem),
                Problem::Removed { .. } => refused.min(until),
                _ => until,
            };
            if Instant::now() + pause >= end {
                return Err(problem);
            }
            sleep(pause / 2 + jitter(pause / 2)).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Whether the connection still works. What arrived meanwhile answers requests that are over, and is dropped.
    pub(crate) async fn is_alive(&mut self) -> bool {
        let age = |since: SystemTime| since.elapsed().unwrap_or(Duration::MAX);
        if age(self.used) > IDLE_LIMIT || age(self.opened) > AGE_LIMIT {
            return false;
        }
        let used = self.used;
        // What the other side sent since, a close above all, is waiting to be read.
        loop {
            match self.next_text(Instant::now()).await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(()) => return false,
            }
        }
        self.used = used;
        if age(used) < TEST_AFTER {
            return true;
        }
        let test = async {
            self.stream.send(Message::Ping(b"sst".to_vec().into())).await.ok()?;
            while let Some(Ok(message)) = self.stream.next().await {
                if matches!(message, Message::Pong(_)) {
                    return Some(());
                }
            }
            None
        };
        let alive = matches!(timeout(TEST_LIMIT, test).await, Ok(Some(())));
        if alive {
            self.used = SystemTime::now();
        }
        alive
    }

    /// Waits for the next text until `until`: `Ok(None)` when none came, an error when the connection is gone.
    pub(crate) async fn next_text(&mut self, until: Instant) -> Result<Option<String>, ()> {
        loop {
            match timeout_at(until, self.stream.next()).await {
                Err(_) => return Ok(None),
                Ok(Some(Ok(Message::Text(text)))) => {
                    self.used = SystemTime::now();
                    return Ok(Some(text.as_str().to_owned()));
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Err(()),
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    async fn dial(cloud: &Cloud) -> Result<Self, Problem> {
        let then = cloud.clock.moment();
        let url = cloud.handshake_url()?;
        let stream = cloud.http.connect(&url).await.map_err(|error| unreachable(&error.to_string()))?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(sst_wire::MAX_RECEIVED))
            .max_frame_size(Some(sst_wire::MAX_RECEIVED));
        let (mut stream, _) = client_async_with_config(url, stream, Some(limits))
            .await
            .map_err(|error| handshake_problem(cloud, error, &then))?;
        let hello = Message::text(r#"{"action":"hello"}"#);
        stream.send(hello).await.map_err(|error| unreachable(&error.to_string()))?;
        while let Some(message) = stream.next().await {
            let message = message.map_err(|error| unreachable(&error.to_string()))?;
            let Message::Text(text) = message else { continue };
            let value: serde_json::Value = serde_json::from_str(text.as_str()).unwrap_or_default();
            // Even API Gateway's own complaint about a route that is not there names the connection.
            if let Some(id) = value["connectionId"].as_str() {
                let now = SystemTime::now();
                return Ok(Self { stream, id: id.to_owned(), opened: now, used: now });
            }
        }
        Err(unreachable("the connection was closed before it told its id"))
    }
}

fn unreachable(detail: &str) -> Problem {
    Problem::Cloud { action: "open its WebSocket connection".into(), detail: detail.to_owned() }
}

fn handshake_problem(cloud: &Cloud, error: Error, then: &Moment) -> Problem {
    let Error::Http(response) = error else { return unreachable(&error.to_string()) };
    let status = response.status().as_u16();
    let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let detail = format!("status {status} {}", cloud.shown(&body));
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    if cloud.clock.hear(date, then) {
        return unreachable(&detail);
    }
    if status == 401 || status == 403 {
        return Problem::Denied {
            maker: Maker::of(&cloud.settings.config),
            action: "open its WebSocket connection".into(),
            detail,
        };
    }
    // API Gateway answers for APIs that it does not have.
    if status == 404 || status == 410 {
        return Problem::Removed { maker: Maker::of(&cloud.settings.config) };
    }
    unreachable(&detail)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// A connection that was opened and used so long ago, or in the future, and the other side of it, which says nothing by itself.
    async fn socket(opened: i64, used: i64) -> (Socket, WebSocketStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let stream = Box::new(near.unwrap()) as Box<dyn Stream>;
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let ago = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { SystemTime::now() + by } else { SystemTime::now() - by }
        };
        let far = WebSocketStream::from_raw_socket(far.unwrap().0, Role::Server, None).await;
        (Socket { stream, id: "id".into(), opened: ago(opened), used: ago(used) }, far)
    }

    #[tokio::test]
    async fn a_connection_that_api_gateway_has_closed_by_now_is_not_asked() {
        for (opened, used) in
            [(15 * 60, 15 * 60), (15 * 60, 9 * 60), (2 * 3600, 10), (-3600, -3600), (60, -3600)]
        {
            let (mut socket, _far) = socket(opened, used).await;
            let began = Instant::now();
            assert!(!socket.is_alive().await, "opened {opened} s ago, used {used} s ago");
            assert!(began.elapsed() < TEST_LIMIT / 2);
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_used_a_moment_ago_is_believed_unless_it_has_ended() {
        let (mut socket, mut far) = socket(60, 10).await;
        far.send(Message::text("late")).await.unwrap();
        assert!(socket.is_alive().await);
        far.close(None).await.unwrap();
        assert!(!socket.is_alive().await);
    }

    #[tokio::test]
    async fn a_connection_that_was_not_used_for_a_while_has_to_answer() {
        let (mut socket, mut far) = socket(60, 60).await;
        assert!(!socket.is_alive().await, "nobody answers");
        let answers = async { while let Some(Ok(_)) = far.next().await {} };
        tokio::select! {
            alive = socket.is_alive() => assert!(alive),
            () = answers => panic!("the connection has ended"),
        }
    }
}

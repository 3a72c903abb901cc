//! The flat endpoint, for debuggers that know nothing of child targets: it looks like an ordinary Node inspector with one target per
//! worker, the one called last first. A target's connections are closed when its worker goes, so that a client that connects again
//! by itself finds the next one.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    http::{MAX_MESSAGE, guard, host_of},
    place::Scripts,
    protocol::Protocol,
    upstream::{self, FromWorker},
};
use crate::{
    bridge::registry::{Offer, Registry},
    descriptors::Patient,
};

/// RFC 6455, 7.4.1: an endpoint is going away.
const GOING_AWAY: u16 = 1001;

/// Serves until dropped.
pub(in crate::bridge) async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    protocol: Arc<Protocol>,
) {
    let router = Router::new()
        .route("/json", get(list))
        .route("/json/list", get(list))
        .route("/json/version", get(version))
        .route("/{id}", get(connect))
        .merge(protocol.router())
        .layer(middleware::from_fn(guard))
        .with_state(registry);
    if let Err(error) = axum::serve(Patient(listener), router).await {
        tracing::warn!(%error, "the flat inspector endpoint");
    }
}

async fn version() -> Json<Value> {
    Json(json!({ "Browser": "node.js", "Protocol-Version": "1.1" }))
}

async fn list(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Json<Value> {
    let host = host_of(&headers);
    let target = |offer: Offer| {
        let id = id_of(&offer);
        let path = format!("{host}/{id}");
        json!({
            "description": "a function's process",
            "devtoolsFrontendUrl": format!("devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws={path}"),
            "devtoolsFrontendUrlCompat": format!("devtools://devtools/bundled/inspector.html?experiments=true&v8only=true&ws={path}"),
            "faviconUrl": "https://nodejs.org/static/images/favicons/favicon.ico",
            "id": id,
            "title": offer.title,
            "type": "node",
            "url": "file://",
            "webSocketDebuggerUrl": format!("ws://{path}"),
        })
    };
    Json(registry.by_last_use().into_iter().map(target).collect())
}

async fn connect(
    State(registry): State<Arc<Registry>>,
    Path(id): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(offer) = registry.by_last_use().into_iter().find(|offer| id_of(offer) == id) else {
        return (StatusCode::NOT_FOUND, "no such target\n").into_response();
    };
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| pass(socket, offer, registry))
}

/// Passes messages both ways until one side ends.
async fn pass(mut socket: WebSocket, offer: Offer, registry: Arc<Registry>) {
    let (requests, outbox) = mpsc::unbounded_channel::<tokio_tungstenite::tungstenite::Utf8Bytes>();
    let (inbox, mut messages) = mpsc::unbounded_channel();
    let upstream = upstream::run(offer.url.clone(), String::new(), outbox, inbox);
    let client = registry.client_number();
    let (after, worker) = (registry.clone(), offer.worker);
    let between = async move {
        let mut scripts = Scripts::default();
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if requests.send(text.as_str().into()).is_err() {
                            break;
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                message = messages.recv() => match message {
                    Some((_, FromWorker::Open)) => {}
                    Some((_, FromWorker::Text(text))) => {
                        scripts.hear(&registry, client, offer.worker, &text);
                        if socket.send(Message::Text(Utf8Bytes::from(text.as_str()))).await.is_err() {
                            return;
                        }
                    }
                    Some((_, FromWorker::Closed)) | None => break,
                },
                () = offer.gone.cancelled() => break,
            }
        }
        let frame = CloseFrame { code: GOING_AWAY, reason: "the process has ended".into() };
        let _ = socket.send(Message::Close(Some(frame))).await;
    };
    tokio::join!(upstream, between);
    after.disconnected(client, worker);
}

/// Node's own id of the target: the path of its address.
fn id_of(offer: &Offer) -> &str {
    offer.url.rsplit('/').next().unwrap_or_default()
}

//! The discovery pages (`/json/list` and the like) and the WebSocket at the same address, as a Node process has them.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Request, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{client, registry::Registry};
use crate::descriptors::Patient;

/// The longest message of a debugger. What it sends is short, but for a changed script; what it is sent has no limit.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

#[derive(Clone)]
struct Endpoint {
    registry: Arc<Registry>,
    id: Arc<str>,
    title: Arc<str>,
}

/// Serves until dropped.
pub(super) async fn serve(listener: TcpListener, registry: Arc<Registry>, id: String, title: String) {
    let endpoint = Endpoint { registry, id: id.into(), title: title.into() };
    let router = Router::new()
        .route("/json", get(list))
        .route("/json/list", get(list))
        .route("/json/version", get(version))
        .route("/{id}", get(connect))
        .layer(middleware::from_fn(guard))
        .with_state(endpoint);
    if let Err(error) = axum::serve(Patient(listener), router).await {
        tracing::warn!(%error, "the inspector endpoint");
    }
}

/// Web pages can reach 127.0.0.1, under any name that resolves to it. A debugger comes with an address, and without the origin of a
/// page.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if is_allowed(request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "this inspector takes no requests of web pages\n").into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host_is_local = text(header::HOST).is_some_and(|host| {
        let name = name_of(host);
        name == "localhost" || name.parse::<IpAddr>().is_ok()
    });
    let origin_is_local = text(header::ORIGIN).is_none_or(|origin| {
        origin.starts_with("devtools://")
            || origin.split_once("://").is_some_and(|(_, host)| {
                let name = name_of(host);
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            })
    });
    host_is_local && origin_is_local
}

/// A host without its port, and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// The address by which the client has reached us.
pub(super) fn host_of(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1")
}

/// One entry: the root, under which all workers are. js-debug looks at the first entry only.
async fn list(State(endpoint): State<Endpoint>, headers: HeaderMap) -> Json<Value> {
    let host = host_of(&headers);
    let Endpoint { id, title, .. } = &endpoint;
    let path = format!("{host}/{id}");
    Json(json!([{
        "description": "the functions that `sst start` runs",
        "devtoolsFrontendUrl": format!("devtools://devtools/bundled/inspector.html?experiments=true&v8only=true&ws={path}"),
        "devtoolsFrontendUrlCompat": format!("devtools://devtools/bundled/inspector.html?experiments=true&v8only=true&ws={path}"),
        "faviconUrl": "https://nodejs.org/static/images/favicons/favicon.ico",
        "id": &**id,
        "title": &**title,
        "type": "node",
        "url": "file://",
        "webSocketDebuggerUrl": format!("ws://{path}"),
    }]))
}

/// Without a `webSocketDebuggerUrl`, which would be taken for that of a browser.
async fn version() -> Json<Value> {
    Json(json!({ "Browser": concat!("sst/", env!("CARGO_PKG_VERSION")), "Protocol-Version": "1.1" }))
}

async fn connect(
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if *id != *endpoint.id {
        return (StatusCode::NOT_FOUND, "no such target\n").into_response();
    }
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| client::serve(socket, endpoint.registry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let table: &[(Option<&str>, Option<&str>, bool)] = &[
            (Some("127.0.0.1:9229"), None, true),
            (Some("localhost:9229"), None, true),
            (Some("[::1]:9229"), None, true),
            (Some("127.0.0.1"), Some("devtools://devtools"), true),
            (Some("localhost:9229"), Some("http://localhost:8080"), true),
            (Some("localhost:9229"), Some("http://127.0.0.1"), true),
            (None, None, false),
            (Some("evil.example:9229"), None, false),
            (Some("localhost.evil.example"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (Some("localhost:9229"), Some("http://evil.example"), false),
            (Some("localhost:9229"), Some("https://localhost.evil.example"), false),
            (Some("localhost:9229"), Some("http://192.168.1.2"), false),
            (Some("localhost:9229"), Some("null"), false),
            (Some("localhost:9229"), Some("file://"), false),
        ];
        for (host, origin, allowed) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(is_allowed(&headers), *allowed, "{host:?} {origin:?}");
        }
    }
}

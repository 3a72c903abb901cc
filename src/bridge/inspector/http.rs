//! The discovery pages (`/json/list` and the like) and the WebSocket at the same address, as a Node process has them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{client, protocol::Protocol};
use crate::{
    bridge::registry::Registry,
    descriptors::Patient,
    web_pages::{is_of_page, local_port},
};

/// The longest message of a debugger. What it sends is short, but for a changed script; what it is sent has no limit.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

#[derive(Clone)]
struct Endpoint {
    registry: Arc<Registry>,
    id: Arc<str>,
    title: Arc<str>,
}

/// Serves until dropped.
pub(in crate::bridge) async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    id: String,
    title: String,
    protocol: Arc<Protocol>,
) {
    let endpoint = Endpoint { registry, id: id.into(), title: title.into() };
    let router = Router::new()
        .route("/json", get(list))
        .route("/json/list", get(list))
        .route("/json/version", get(version))
        .route("/{id}", get(connect))
        .merge(protocol.router())
        .layer(middleware::from_fn(guard))
        .with_state(endpoint);
    if let Err(error) = axum::serve(Patient(listener), router).await {
        tracing::warn!(%error, "the inspector endpoint");
    }
}

/// A debugger comes to an address of this machine, and not for a web page.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if is_allowed(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "this inspector takes no requests of web pages\n").into_response()
}

fn is_allowed(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    // Chrome's DevTools are a page, but one that comes with the browser.
    let is_devtools = origins.next().is_some_and(|origin| origin.as_bytes().starts_with(b"devtools://"))
        && origins.next().is_none();
    local_port(uri, headers).is_some() && (is_devtools || !is_of_page(headers))
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
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if *id != *endpoint.id {
        return (StatusCode::NOT_FOUND, "no such target\n").into_response();
    }
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| client::serve(socket, endpoint.registry, name_of(&headers)))
}

/// What people call a client. VS Code says nothing of itself.
fn name_of(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(header::ORIGIN), text(header::USER_AGENT)) {
        (Some(_), _) => "Chrome DevTools".to_owned(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "VS Code, or another client of the inspector,".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("host", "127.0.0.1:9229")], true),
            (&[("host", "localhost:9229"), ("sec-fetch-mode", "cors")], true),
            (&[("host", "[::1]:9229"), ("sec-fetch-site", "none")], true),
            (&[("host", "127.0.0.1"), ("origin", "devtools://devtools")], true),
            (
                &[("host", "127.0.0.1"), ("origin", "devtools://devtools"), ("sec-fetch-site", "cross-site")],
                true,
            ),
            (&[], false),
            (&[("host", "evil.example:9229")], false),
            (&[("host", "evil.example:9229"), ("origin", "devtools://devtools")], false),
            (&[("host", "localhost:80@evil.example")], false),
            (&[("host", "localhost"), ("host", "evil.example")], false),
            (&[("host", "localhost:9229"), ("origin", "http://localhost:8080")], false),
            (&[("host", "localhost:9229"), ("origin", "http://127.0.0.1")], false),
            (&[("host", "localhost:9229"), ("origin", "http://evil.example")], false),
            (&[("host", "localhost:9229"), ("origin", "null")], false),
            (&[("host", "localhost:9229"), ("origin", "file://")], false),
            (&[("host", "localhost"), ("origin", "devtools://devtools"), ("origin", "http://a")], false),
            (&[("host", "localhost"), ("origin", "http://a"), ("origin", "devtools://devtools")], false),
            (&[("host", "localhost:9229"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "localhost:9229"), ("sec-fetch-site", "same-origin")], false),
            (&[("host", "localhost:9229"), ("referer", "http://evil.example/")], false),
        ];
        for (given, allowed) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *given {
                headers.append(axum::http::HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(is_allowed(&Uri::from_static("/json"), &headers), *allowed, "{given:?}");
        }
    }
}

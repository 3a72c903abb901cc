//! The requests, and what they are answered with: JSON, but for events and results, which are bytes as they were.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::ValueEnum;
use futures_util::stream;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{guard::with_token, logs};
use crate::{
    aws::Aws,
    error::Kind,
    history::{self, History, Query},
    ids::{FunctionId, RequestId},
    languages,
    local::{Answer, LocalCall, Notice},
    lock::Holder,
    project::{SavedEvent, SavedEvents, StateDir, manifest::Manifest},
    test_case::{Framework, test_case},
};

/// The longest event: what Lambda takes.
const MAX_EVENT: usize = 6 << 20;

/// How often a stream says something, so that whoever reads knows that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the requests have in common.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub token: Arc<str>,
    pub history: History,
    pub state_dir: StateDir,
    pub events: SavedEvents,
    pub aws: Aws,
    pub calls: mpsc::UnboundedSender<LocalCall>,
    pub notices: mpsc::UnboundedSender<Notice>,
}

/// All that there is, these others included.
pub(super) fn router(session: Session, others: Router<Session>) -> Router {
    let token = session.token.clone();
    Router::new()
        .route("/api/v1/state", get(state))
        .route("/api/v1/stream", get(changes_of_calls))
        .route("/api/v1/logs", get(lines_of_output))
        .route("/api/v1/invocations", get(list))
        .route("/api/v1/invocations/{id}", get(show))
        .route("/api/v1/invocations/{id}/event", get(event))
        .route("/api/v1/invocations/{id}/result", get(result))
        .route("/api/v1/invocations/{id}/replay", post(replay))
        .route("/api/v1/invocations/{id}/test", get(test))
        .route("/api/v1/functions/{function}/invoke", post(invoke))
        .route("/api/v1/functions/{function}/environment", get(environment))
        .route("/api/v1/events", get(events))
        .route("/api/v1/events/{name}", get(saved_event).put(save_event))
        .route("/api/v1/deploy", post(deploy))
        .route("/api/v1/changes", post(change))
        .merge(others)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .layer(DefaultBodyLimit::max(MAX_EVENT))
        .layer(middleware::from_fn_with_state(token, with_token))
        .with_state(session)
}

/// What the session has published: itself, its functions, its outputs; and how they stand.
async fn state(State(session): State<Session>) -> Response {
    let published = |file: &str| {
        let text = session.state_dir.read(file).ok().flatten()?;
        serde_json::from_str::<Map<String, Value>>(&text).ok()
    };
    let Some(mut state) = published("session.json") else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the app is still being deployed");
    };
    // Whoever asks has it.
    state.remove("token");
    let mut manifest = published("functions.json").unwrap_or_default();
    let mut functions = manifest.remove("functions").unwrap_or_default();
    for function in functions.as_array_mut().into_iter().flatten() {
        let id = function.get("id").and_then(Value::as_str).unwrap_or_default();
        let stands = serde_json::to_value(session.history.of_function(&FunctionId::from(id)));
        if let (Some(fields), Ok(Value::Object(more))) = (function.as_object_mut(), stands) {
            fields.extend(more);
        }
    }
    let (connection, infrastructure) = session.history.of_session();
    state.insert("functions".to_owned(), functions);
    state.insert("connection".to_owned(), json!(connection));
    state.insert("infrastructure".to_owned(), json!(infrastructure));
    state.insert("triggers".to_owned(), manifest.remove("triggers").unwrap_or_else(|| json!({})));
    let root = session.state_dir.path("").parent().map(ToString::to_string);
    state.insert("directory".to_owned(), root.into());
    Json(state).into_response()
}

async fn list(State(session): State<Session>, uri: Uri) -> Response {
    let mut query = Query::default();
    for (name, value) in parameters(&uri) {
        match (name.as_str(), value.as_str()) {
            ("function", function) => query.function = Some(function.to_owned()),
            ("failed", "true" | "false") => query.failed = value == "true",
            ("limit", limit) if limit.parse().is_ok_and(|limit: usize| limit > 0) => {
                query.limit = limit.parse().unwrap_or_default();
            }
            _ => return problem(StatusCode::BAD_REQUEST, &format!("`{name}={value}` is not understood")),
        }
    }
    // Those of earlier sessions are read from the disk.
    let listed = tokio::task::spawn_blocking(move || session.history.list(&query)).await;
    Json(json!({ "invocations": listed.unwrap_or_default() })).into_response()
}

async fn show(State(session): State<Session>, Path(id): Path<String>) -> Response {
    match tokio::task::spawn_blocking(move || session.history.find(&id)).await {
        Ok(Ok(record)) => Json(record).into_response(),
        Ok(Err(message)) => problem(StatusCode::NOT_FOUND, &message),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be read"),
    }
}

async fn event(State(session): State<Session>, Path(id): Path<String>) -> Response {
    raw(tokio::task::spawn_blocking(move || session.history.event_of(&id).map(|(_, bytes)| bytes)).await)
}

async fn result(State(session): State<Session>, Path(id): Path<String>) -> Response {
    raw(tokio::task::spawn_blocking(move || session.history.result_of(&id)).await)
}

fn raw(read: Result<Result<Vec<u8>, String>, tokio::task::JoinError>) -> Response {
    match read {
        // Whatever it says of itself, no browser is to make anything of it.
        Ok(Ok(bytes)) => (
            [(header::CONTENT_TYPE, "application/octet-stream"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")],
            bytes,
        )
            .into_response(),
        Ok(Err(message)) => problem(StatusCode::NOT_FOUND, &message),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be read"),
    }
}

async fn invoke(State(session): State<Session>, Path(function): Path<String>, event: Bytes) -> Response {
    called(&session, function, Some(event), None).await
}

/// A test that is made of a call, as it would be written into the project.
async fn test(State(session): State<Session>, Path(id): Path<String>, uri: Uri) -> Response {
    let framework = match parameters(&uri).as_slice() {
        [] => None,
        [(name, value)] if name == "framework" => match Framework::from_str(value, false) {
            Ok(framework) => Some(framework),
            Err(_) => return problem(StatusCode::BAD_REQUEST, &format!("no framework is called `{value}`")),
        },
        _ => return problem(StatusCode::BAD_REQUEST, "only `framework=` is understood"),
    };
    let written = tokio::task::spawn_blocking(move || {
        let record = session.history.find(&id)?;
        let functions = manifest(&session).functions;
        let function = functions.iter().find(|function| function.id.as_str() == record.summary.function);
        let function =
            function.ok_or_else(|| format!("there is no function `{}`", record.summary.function))?;
        let directory = session.state_dir.path("");
        let root = directory.parent().unwrap_or(&directory);
        test_case(&record, function, root, framework, None).map_err(|error| error.message)
    });
    match written.await {
        Ok(Ok(test)) => ([(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], test.text).into_response(),
        Ok(Err(message)) => problem(StatusCode::NOT_FOUND, &message),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be written"),
    }
}

/// The event of a call once more, or another one in its place, which the request carries.
async fn replay(State(session): State<Session>, Path(id): Path<String>, uri: Uri, event: Bytes) -> Response {
    let stops = match parameters(&uri).as_slice() {
        [] => false,
        [(name, value)] if name == "break" && ["true", "false"].contains(&value.as_str()) => value == "true",
        _ => return problem(StatusCode::BAD_REQUEST, "only `break=true` or `break=false` is understood"),
    };
    let history = session.history.clone();
    let is_another = !event.is_empty();
    let found = tokio::task::spawn_blocking(move || match is_another {
        true => history.find(&id).map(|record| (record.summary, Vec::new())),
        false => history.event_of(&id),
    });
    match found.await {
        Ok(Ok((call, bytes))) => {
            let event = if is_another { event } else { bytes.into() };
            if stops && let Some(refusal) = cannot_stop(&session, &call.function) {
                return answered(&RequestId::from(&call.id), &refusal);
            }
            let replay = Replay { of: RequestId::from(&call.id), stops };
            called(&session, call.function, Some(event), Some(replay)).await
        }
        Ok(Err(message)) => problem(StatusCode::NOT_FOUND, &message),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be read"),
    }
}

async fn environment(State(session): State<Session>, Path(function): Path<String>) -> Response {
    called(&session, function, None, None).await
}

/// What makes a call a replay of another one.
struct Replay {
    of: RequestId,
    /// Whether debuggers are to stop at the handler's first line.
    stops: bool,
}

/// Why no debugger can be made to stop at the first line of a function's handler, if none can.
fn cannot_stop(session: &Session, id: &str) -> Option<Answer> {
    let functions = manifest(session).functions;
    let language = &functions.iter().find(|function| function.id.as_str() == id)?.language;
    let can_stop = languages::get(language).runner().is_some_and(|runner| runner.stops_at_first_line);
    (!can_stop).then(|| Answer::Refused {
        message: format!(
            "no debugger can be made to stop at the first line of `{id}`, as it can in other languages"
        ),
        hint: Some("set a breakpoint in the handler, and replay the call without `--break`".to_owned()),
    })
}

/// The functions that were published last, and what calls them.
pub(super) fn manifest(session: &Session) -> Manifest {
    let text = session.state_dir.read("functions.json").ok().flatten().unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

async fn called(
    session: &Session,
    function: String,
    event: Option<Bytes>,
    replay: Option<Replay>,
) -> Response {
    let (replays, stops) = replay.map_or((None, false), |replay| (Some(replay.of), replay.stops));
    let id = RequestId::from(uuid::Uuid::new_v4().to_string());
    let (reply, answer) = oneshot::channel();
    let _ = session.calls.send(LocalCall { id: id.clone(), function, event, replays, stops, reply });
    let answer = answer.await.unwrap_or_else(|_| Answer::Refused {
        message: "`sst start` ended before the function answered".to_owned(),
        hint: None,
    });
    answered(&id, &answer)
}

fn answered(id: &RequestId, answer: &Answer) -> Response {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("id".to_owned(), Value::from(id.as_str()));
    }
    Json(value).into_response()
}

/// The events that are saved in the project.
async fn events(State(session): State<Session>) -> Response {
    let listed = tokio::task::spawn_blocking(move || session.events.list()).await.unwrap_or_default();
    let listed = listed.into_iter().map(
        |SavedEvent { name, bytes, at }| json!({ "name": name, "bytes": bytes, "at": history::millis(at) }),
    );
    Json(json!({ "events": listed.collect::<Vec<Value>>() })).into_response()
}

async fn saved_event(State(session): State<Session>, Path(name): Path<String>) -> Response {
    let read = tokio::task::spawn_blocking(move || {
        let path = session.events.path(&name).map_err(|error| error.message)?;
        fs_err::read(&path).map_err(|error| error.to_string())
    });
    raw(read.await)
}

/// Saves an event, in the place of another one only with `replace=true`.
async fn save_event(
    State(session): State<Session>,
    Path(name): Path<String>,
    uri: Uri,
    event: Bytes,
) -> Response {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&event) {
        return problem(StatusCode::BAD_REQUEST, &format!("it is not JSON, which every event is: {error}"));
    }
    let replaces = parameters(&uri).contains(&("replace".to_owned(), "true".to_owned()));
    let written = tokio::task::spawn_blocking(move || session.events.write(&name, &event, replaces)).await;
    match written {
        Ok(Ok(())) => Json(json!({})).into_response(),
        Ok(Err(error)) if error.kind == Kind::Usage => problem(StatusCode::CONFLICT, &error.message),
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "it could not be written"),
    }
}

/// What ENTER does in the terminal.
async fn deploy(State(session): State<Session>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = session.notices.send(Notice::Deploy(reply));
    match answer.await {
        Ok(()) => Json(json!({ "outcome": "begun" })).into_response(),
        Err(_) => problem(StatusCode::CONFLICT, "nothing waits to be deployed"),
    }
}

/// Another command changes what is deployed, for as long as it listens to this answer.
async fn change(State(session): State<Session>, Json(other): Json<Holder>) -> Response {
    let _ = session.notices.send(Notice::Began(other.clone()));
    let until = Until { other, notices: session.notices };
    let noted = Bytes::from(format!("{}\n", json!({ "outcome": "noted" })));
    // It says nothing more. What is captured is dropped when the connection ends, however that ended.
    let body = stream::unfold((Some(noted), until), |(line, until)| async move {
        match line {
            Some(line) => Some((Ok::<_, std::convert::Infallible>(line), (None, until))),
            None => std::future::pending().await,
        }
    });
    Body::from_stream(body).into_response()
}

/// Tells that it is over when it is dropped.
struct Until {
    other: Holder,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Drop for Until {
    fn drop(&mut self) {
        let _ = self.notices.send(Notice::Ended(self.other.clone()));
    }
}

/// Calls as they change, one line of JSON for those that have changed since the line before: `after` is the number of the last one that is
/// known.
async fn changes_of_calls(State(session): State<Session>, uri: Uri) -> Response {
    let after = parameters(&uri).into_iter().find(|(name, _)| name == "after");
    let after = match after.map(|(_, value)| value.parse::<u64>()).transpose() {
        Ok(after) => after.unwrap_or(0),
        Err(_) => return problem(StatusCode::BAD_REQUEST, "`after` is not a number"),
    };
    let lines = stream::unfold((after, session.history, true), |(after, history, first)| async move {
        // The first line comes at once, so that whoever reads knows where it begins.
        if !first && let Ok(false) = tokio::time::timeout(HEARTBEAT, history.changed(after)).await {
            // The session is over, and all of it was told.
            return None;
        }
        let changes = history.since(after);
        // The number of another session, which had more calls.
        let changes = if changes.change < after { history.since(0) } else { changes };
        let line = format!("{}\n", serde_json::to_string(&changes).unwrap_or_default());
        Some((Ok::<_, std::convert::Infallible>(line), (changes.change, history, false)))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// What functions write, one line of JSON for each line of theirs: behind the number `after`, of all or of one.
async fn lines_of_output(State(session): State<Session>, uri: Uri) -> Response {
    let (mut after, mut function) = (0, None);
    for (name, value) in parameters(&uri) {
        match (name.as_str(), value.parse()) {
            ("after", Ok(number)) => after = number,
            ("function", _) => function = Some(value),
            _ => return problem(StatusCode::BAD_REQUEST, &format!("`{name}={value}` is not understood")),
        }
    }
    let body = logs::body(session.history, function, after, HEARTBEAT);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

pub(super) fn parameters(uri: &Uri) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

pub(super) fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

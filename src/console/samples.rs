//! Samples of events, with the names of what calls a function.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use serde_json::json;

use super::api::{Session, manifest, parameters, problem};
use crate::{
    aws::physical_id,
    ids::FunctionId,
    project::manifest::{Manifest, Trigger},
    samples::{Origin, chosen, listed, unknown},
};

/// How long AWS may take to say what it has called something. After that the sample has the name of the template.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn router() -> Router<Session> {
    Router::new().route("/api/v1/samples", get(list)).route("/api/v1/samples/{name}", get(show))
}

async fn list(State(session): State<Session>, uri: Uri) -> Response {
    match triggers(&session, &uri) {
        Ok(triggers) => Json(json!({ "samples": listed(&triggers) })).into_response(),
        Err(message) => problem(StatusCode::NOT_FOUND, &message),
    }
}

async fn show(State(session): State<Session>, Path(name): Path<String>, uri: Uri) -> Response {
    let triggers = match triggers(&session, &uri) {
        Ok(triggers) => triggers,
        Err(message) => return problem(StatusCode::NOT_FOUND, &message),
    };
    let Some((kind, trigger)) = chosen(&name, &triggers) else {
        return problem(StatusCode::NOT_FOUND, &unknown(&name));
    };
    let physical_id = match trigger {
        Some(Trigger { stack, logical_id: Some(id), .. }) => {
            let asked = tokio::time::timeout(PATIENCE, physical_id(&session.aws, stack, id, None)).await;
            asked.ok().and_then(Result::ok).flatten()
        }
        _ => None,
    };
    let origin = Origin { trigger, physical_id: physical_id.as_deref(), at: Timestamp::now() };
    let text = serde_json::to_vec_pretty(&kind.event(&origin)).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response()
}

/// What calls the function that a request names; nothing if it names none.
///
/// # Errors
/// Why there is no such function.
fn triggers(session: &Session, uri: &Uri) -> Result<Vec<Trigger>, String> {
    let named = parameters(uri).into_iter().find(|(name, _)| name == "function");
    let Some((_, name)) = named else { return Ok(Vec::new()) };
    let Manifest { functions, mut triggers, .. } = manifest(session);
    let function = FunctionId::named(&name, functions.iter().map(|function| (&function.id, &function.id)))?;
    Ok(triggers.remove(function).unwrap_or_default())
}

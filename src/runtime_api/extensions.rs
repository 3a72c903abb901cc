//! What extensions ask on the same address: the Extensions API, the Telemetry API, and the Logs API that came before that.

use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    request::{Answer, collect, error, is_for_us, json},
    state::Shared,
};
use crate::extensions::Refusal;

const NAME: &str = "lambda-extension-name";
const IDENTIFIER: &str = "lambda-extension-identifier";
const EVENT_IDENTIFIER: &str = "lambda-extension-event-identifier";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";

/// Answers a request of an extension; none when it is no such request.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Request<Incoming>> {
    if !is_for_us(shared, request.uri(), request.headers()) {
        return Err(request);
    }
    let path = request.uri().path().to_owned();
    let asked = match (request.method(), path.as_str()) {
        (&Method::POST, "/2020-01-01/extension/register") => register(shared, request).await,
        (&Method::GET, "/2020-01-01/extension/event/next") => next(shared, &request).await,
        (&Method::POST, "/2020-01-01/extension/init/error") => fails(shared, &request, true),
        (&Method::POST, "/2020-01-01/extension/exit/error") => fails(shared, &request, false),
        (&Method::PUT, "/2022-07-01/telemetry" | "/2020-08-15/logs") => subscribe(shared, request).await,
        _ => return Err(request),
    };
    Ok(asked.unwrap_or_else(|(kind, message)| error(StatusCode::FORBIDDEN, kind, &message)))
}

async fn register(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let name = header(&request, NAME).unwrap_or_default();
    let body = body(request).await?;
    let (id, told) = shared.extensions.register(&name, &body)?;
    Ok(with(json(StatusCode::OK, &told), IDENTIFIER, &id))
}

async fn next(shared: &Shared, request: &Request<Incoming>) -> Result<Answer, Refusal> {
    let event = shared.extensions.next(&identifier(request)?).await?;
    let event_id = uuid::Uuid::new_v4().to_string();
    Ok(with(json(StatusCode::OK, &event), EVENT_IDENTIFIER, &event_id))
}

fn fails(shared: &Shared, request: &Request<Incoming>, initialising: bool) -> Result<Answer, Refusal> {
    let id = identifier(request)?;
    let kind = header(request, ERROR_TYPE).filter(|kind| !kind.is_empty());
    let missing = || ("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found".to_owned());
    let kind = kind.ok_or_else(missing)?;
    shared.extensions.fails(&id, initialising)?;
    let name = shared.extensions.name(&id)?;
    tracing::debug!(%name, %kind, "an extension fails");
    Ok(json(StatusCode::ACCEPTED, &json!({ "status": "OK" })))
}

async fn subscribe(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let name = shared.extensions.name(&identifier(&request)?)?;
    let body = body(request).await?;
    Ok(match shared.extensions.telemetry.subscribe(&name, &body) {
        Ok(()) => json(StatusCode::OK, &Value::from("OK")),
        Err(problem) => error(StatusCode::BAD_REQUEST, "ValidationError", &problem),
    })
}

async fn body(request: Request<Incoming>) -> Result<bytes::Bytes, Refusal> {
    collect(request.into_body())
        .await
        .map(|body| body.bytes)
        .map_err(|problem| ("InvalidRequestFormat", problem))
}

fn identifier(request: &Request<Incoming>) -> Result<String, Refusal> {
    let missing =
        || ("Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header".to_owned());
    let id = header(request, IDENTIFIER).ok_or_else(missing)?;
    match uuid::Uuid::parse_str(&id) {
        Ok(_) => Ok(id),
        Err(_) => {
            Err(("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier".to_owned()))
        }
    }
}

fn header(request: &Request<Incoming>, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

//! One HTTP request of a worker.

use std::{convert::Infallible, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::{
    credit::{Credit, LONGEST_PART},
    epoch_ms,
    state::{MAX_STREAM, Refusal, Shared},
};
use crate::{
    core::{
        effect::Delivery,
        event::{FunctionError, Outcome, StreamPart},
    },
    trace,
    web_pages::{is_of_browser, local_port},
};

/// The longest response of a function, in bytes: 6 MiB and 100 bytes, as Lambda counts.
const MAX_RESPONSE: u64 = 6_291_556;

/// How long a worker may go on writing a response that is too long already.
const READ_OUT: Duration = Duration::from_secs(1);

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

/// Sent by our own runners: they want to know more of an invocation than other clients do.
const RUNNER: &str = "sst-runner";
/// The variables to set before the handler runs, JSON. Other clients would not know what to do with it.
const CREDENTIALS: &str = "sst-credentials";
/// Whether a debugger is there.
const DEBUGGED: &str = "sst-debugged";
/// Whether debuggers are to stop at the handler's first line.
const STOPS: &str = "sst-stops";

pub(super) type Answer = Response<Full<Bytes>>;

/// Answers one request. Never fails: what is wrong with a request is said in the response.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if !is_for_us(shared, request.uri(), request.headers()) {
        return Ok(error(StatusCode::FORBIDDEN, "Forbidden", "this address serves one Lambda runtime only"));
    }
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
        return Ok(error(StatusCode::NOT_FOUND, "NotFound", "no such path in the runtime API"));
    };
    let parts: Vec<&str> = path.split('/').collect();
    Ok(match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(shared, &request).await,
        (&Method::POST, ["invocation", id, "response"]) => response(shared, id, request).await,
        (&Method::POST, ["invocation", id, "error"]) => invocation_error(shared, id, request).await,
        (&Method::POST, ["init", "error"]) => init_error(shared, request).await,
        _ => error(StatusCode::NOT_FOUND, "NotFound", "no such path in the runtime API"),
    })
}

/// Whether the request comes from a program on this machine that means this address.
pub(super) fn is_for_us(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> bool {
    local_port(uri, headers) == Some(shared.address.port()) && !is_of_browser(headers)
}

async fn next(shared: &Shared, request: &Request<Incoming>) -> Answer {
    let is_ours = request.headers().contains_key(RUNNER);
    match shared.next().await {
        Some(delivery) => {
            trace::call!(worker = %shared.worker, "on its way to the process");
            invocation(*delivery, is_ours)
        }
        None => error(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "the former invocation has not been answered",
        ),
    }
}

fn invocation(delivery: Delivery, is_ours: bool) -> Answer {
    let mut response = Response::new(Full::new(delivery.payload));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let context = &delivery.context;
    let identity = &context.cognito_identity;
    let deadline = epoch_ms(delivery.deadline).to_string();
    let credentials = is_ours.then(|| serde_json::json!(delivery.credentials).to_string());
    for (name, value) in [
        ("lambda-runtime-aws-request-id", Some(delivery.request.as_str())),
        ("lambda-runtime-deadline-ms", Some(deadline.as_str())),
        ("lambda-runtime-invoked-function-arn", Some(context.invoked_function_arn.as_str())),
        ("lambda-runtime-trace-id", context.trace_id.as_deref()),
        ("lambda-runtime-client-context", context.client_context.as_deref()),
        ("lambda-runtime-cognito-identity", identity.as_deref()),
        ("lambda-runtime-aws-tenant-id", context.tenant_id.as_deref()),
        (CREDENTIALS, credentials.as_deref()),
        (DEBUGGED, (is_ours && delivery.debugged).then_some("1")),
        (STOPS, (is_ours && delivery.stops).then_some("1")),
    ] {
        // A client context may hold any text; bytes beyond ASCII are allowed in a header's value, line breaks are not.
        if let Some(value) = value
            && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
        {
            headers.insert(name, value);
        }
    }
    response
}

async fn response(shared: &Shared, id: &str, request: Request<Incoming>) -> Answer {
    trace::call!(worker = %shared.worker, "the process answers");
    if let Err(refusal) = shared.check(id) {
        return refused(refusal);
    }
    match request.headers().get(RESPONSE_MODE).map(HeaderValue::as_bytes) {
        None => {}
        Some(mode) if mode.eq_ignore_ascii_case(b"buffered") => {}
        Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => return streamed(shared, id, request).await,
        Some(mode) => {
            let message = format!("Invalid function response mode: {}", String::from_utf8_lossy(mode));
            let failure = FunctionError::new("Runtime.InvalidResponseModeHeader", &message);
            let _ = shared.answer(id, Outcome::Failed(failure));
            return error(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", &message);
        }
    }
    let body = match collect(request.into_body()).await {
        Ok(body) => body,
        Err(problem) => return error(StatusCode::BAD_REQUEST, "InvalidRequest", &problem),
    };
    if body.length > MAX_RESPONSE {
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
        let told = format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
        let failure = FunctionError::new("Function.ResponseSizeTooLarge", &message);
        return match shared.answer(id, Outcome::Failed(failure)) {
            Ok(()) => error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &told),
            Err(refusal) => refused(refusal),
        };
    }
    // Go writes even plain responses with trailers, and names the error there when its result cannot be read to the end.
    let outcome = match trailing_error(body.trailers.as_ref()) {
        Some(failure) => Outcome::Failed(decoded(&failure)),
        None => Outcome::Returned(body.bytes),
    };
    accepted(shared.answer(id, outcome))
}

async fn streamed(shared: &Shared, id: &str, request: Request<Incoming>) -> Answer {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let pass_on = |part| shared.stream(id, part);
    if let Err(refusal) = pass_on(StreamPart::Begin { content_type }) {
        return refused(refusal);
    }
    let credit = Credit::default();
    let mut body = request.into_body();
    let mut length = 0;
    let mut failure = None;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(problem) => {
                failure = Some(truncated(&problem.to_string()));
                break;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                if length > MAX_STREAM {
                    return stream_too_long(shared, id, body).await;
                }
                for part in data.chunks(LONGEST_PART) {
                    let part = credit.spend(part).await;
                    if let Err(refusal) = pass_on(StreamPart::Data(part)) {
                        return refused(refusal);
                    }
                }
            }
            Err(frame) => failure = trailing_error(frame.trailers_ref()),
        }
    }
    accepted(pass_on(StreamPart::End { error: failure }))
}

/// Breaks a streamed response off that is longer than Lambda lets it be.
async fn stream_too_long(shared: &Shared, id: &str, mut rest: Incoming) -> Answer {
    let message =
        format!("Response payload size exceeded maximum allowed payload size ({MAX_STREAM} bytes).");
    let failure = FunctionError::new("Function.ResponseSizeTooLarge", &message);
    if let Err(refusal) = shared.stream(id, StreamPart::End { error: Some(encoded(failure)) }) {
        return refused(refusal);
    }
    // Most clients read an answer only when they have written everything, which this one may never have.
    let read_out = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _ = tokio::time::timeout(READ_OUT, read_out).await;
    error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

async fn invocation_error(shared: &Shared, id: &str, request: Request<Incoming>) -> Answer {
    if let Err(refusal) = shared.check(id) {
        return refused(refusal);
    }
    match failure(request).await {
        Ok(failure) => accepted(shared.answer(id, Outcome::Failed(failure))),
        Err(problem) => error(StatusCode::BAD_REQUEST, "InvalidRequest", &problem),
    }
}

async fn init_error(shared: &Shared, request: Request<Incoming>) -> Answer {
    match failure(request).await {
        Ok(failure) => {
            shared.init_failed(failure);
            accepted(Ok(()))
        }
        Err(problem) => error(StatusCode::BAD_REQUEST, "InvalidRequest", &problem),
    }
}

/// The error in the body of a request, with the type that a caller is told.
async fn failure(request: Request<Incoming>) -> Result<FunctionError, String> {
    let header = request.headers().get(ERROR_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = collect(request.into_body()).await?.bytes;
    let in_body = || {
        let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
        body.get("errorType")?.as_str().map(str::to_owned)
    };
    // Some clients send a word of their own ("unhandled") with every error; the body knows better.
    let error_type = header
        .filter(|header| is_lambda_error_type(header))
        .or_else(in_body)
        .unwrap_or("Unhandled".to_owned());
    Ok(FunctionError { error_type, body })
}

/// The types that Lambda takes over from the header: `Runtime.` or `Function.` and a capitalised word.
fn is_lambda_error_type(text: &str) -> bool {
    let name = text.strip_prefix("Runtime.").or_else(|| text.strip_prefix("Function."));
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphabetic())
    })
}

/// What is left of a body: no more of it is kept than a function may answer.
pub(super) struct Body {
    pub bytes: Bytes,
    length: u64,
    trailers: Option<HeaderMap>,
}

pub(super) async fn collect(mut incoming: Incoming) -> Result<Body, String> {
    let mut bytes = BytesMut::new();
    let mut length = 0;
    let mut trailers = None;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|problem| format!("the body ends too early: {problem}"))?;
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                // What is too long is read to its end all the same, or the client would not read the answer.
                if length <= MAX_RESPONSE {
                    bytes.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Body { bytes: bytes.freeze(), length, trailers })
}

fn trailing_error(trailers: Option<&HeaderMap>) -> Option<sst_wire::StreamError> {
    let text = |name| trailers?.get(name)?.to_str().ok().filter(|text| !text.is_empty()).map(str::to_owned);
    let error_type = text(ERROR_TYPE)?;
    Some(sst_wire::StreamError { error_type, error_body: text(ERROR_BODY).unwrap_or_default() })
}

fn decoded(error: &sst_wire::StreamError) -> FunctionError {
    match STANDARD.decode(&error.error_body) {
        Ok(body) if !body.is_empty() => {
            FunctionError { error_type: error.error_type.clone(), body: Bytes::from(body) }
        }
        _ => FunctionError::new(&error.error_type, "the function's response broke off"),
    }
}

fn truncated(problem: &str) -> sst_wire::StreamError {
    encoded(FunctionError::new("Runtime.TruncatedResponse", &format!("the response broke off: {problem}")))
}

fn encoded(failure: FunctionError) -> sst_wire::StreamError {
    let error_body = STANDARD.encode(&failure.body);
    sst_wire::StreamError { error_type: failure.error_type, error_body }
}

fn accepted(result: Result<(), Refusal>) -> Answer {
    match result {
        Ok(()) => json(StatusCode::ACCEPTED, &serde_json::json!({ "status": "OK" })),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::UnknownRequest => error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Refusal::AnsweredBefore => {
            error(StatusCode::FORBIDDEN, "InvalidStateTransition", "the invocation has been answered before")
        }
    }
}

pub(super) fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({ "errorMessage": message, "errorType": error_type }))
}

pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

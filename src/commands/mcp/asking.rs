//! One question to the session's API, and its answer.

use http::{Method, StatusCode};
use serde_json::Value;

use super::super::invoke::silent;
use crate::{
    console::Client,
    error::{Error, Kind, Result},
};

/// What is at a path.
///
/// # Errors
/// As [`ask`].
pub(super) async fn get(client: &Client, path: &str) -> Result<Value> {
    ask(client, Method::GET, path, Vec::new()).await
}

/// Asks for something that is answered with JSON.
///
/// # Errors
/// [`Kind::Usage`] with what the session says, [`Kind::Other`] when it does not answer.
pub(super) async fn ask(client: &Client, method: Method, path: &str, body: Vec<u8>) -> Result<Value> {
    let (status, body) = client.ask(method, path, body).await.map_err(|error| silent(&error))?;
    let answer: Value = serde_json::from_slice(&body).map_err(|_| of_another_version())?;
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let message =
        answer["error"].as_str().map_or_else(|| format!("`sst start` answers {status}"), str::to_owned);
    Err(Error::new(Kind::Usage, message))
}

/// The error of an answer that is not understood.
pub(super) fn of_another_version() -> Error {
    Error::new(Kind::Other, "`sst start` is of another version").hint("start it again")
}

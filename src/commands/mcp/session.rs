//! What the tools ask of the session that runs.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    super::{
        history,
        invoke::{refused, silent},
        logs::{self, Said},
        session,
    },
    asking::{ask, get, of_another_version},
    changes,
};
use crate::{
    console::{Client, encoded},
    error::{Error, Kind, Result},
    history::{LogLine, Query, is_named},
    local::Answer,
    project::StateDir,
};

/// How many lines of output are returned at most.
const MOST_LINES: usize = 200;

/// How many are returned to whoever says no number.
const LAST_LINES: usize = 100;

/// The longest wait, in seconds. Clients give a tool up that takes longer than a minute.
const LONGEST_WAIT: u64 = 55;

/// How long the history may take to know what has become of a call that was answered.
const SETTLING: Duration = Duration::from_secs(2);

/// How long until it is asked again.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Session {
    state_dir: StateDir,
}

impl Session {
    /// The session of a project, whether it runs already or not.
    pub(super) fn of(state_dir: StateDir) -> Self {
        Self { state_dir }
    }

    /// What runs.
    pub(super) async fn status(&self) -> Result<Value> {
        let mut state = self.state().await?;
        if let Some(fields) = state.as_object_mut() {
            let functions = fields.remove("functions");
            let count = functions.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
            fields.insert("functionCount".to_owned(), count.into());
        }
        Ok(state)
    }

    /// The functions that run here.
    pub(super) async fn functions(&self) -> Result<Value> {
        Ok(json!({ "functions": self.state().await?["functions"].take() }))
    }

    /// Calls a function, and tells all of that call.
    pub(super) async fn invoke(&self, function: &str, event: Value) -> Result<Value> {
        let client = self.client()?;
        let path = format!("/api/v1/functions/{}/invoke", encoded(function));
        called(&client, &path, event.to_string().into_bytes()).await
    }

    /// Calls a function once more, and tells all of the new call.
    pub(super) async fn replay(&self, id: &str, event: Option<Value>) -> Result<Value> {
        let client = self.client()?;
        let path = format!("/api/v1/invocations/{}/replay", encoded(id));
        called(&client, &path, event.map(|event| event.to_string().into_bytes()).unwrap_or_default()).await
    }

    /// The last calls, the last one first. They are known when nothing runs, too.
    pub(super) async fn history(&self, query: &Query) -> Result<Value> {
        Ok(json!({ "invocations": history::calls(&self.state_dir, query).await? }))
    }

    /// All of one call. It is known when nothing runs, too.
    pub(super) async fn show(&self, id: &str) -> Result<Value> {
        Ok(json!(history::find(&self.state_dir, id).await?))
    }

    /// What has come of the last builds of a function, or of all, when none runs any more or so many seconds are over.
    pub(super) async fn wait_for_build(&self, function: Option<&str>, wait: u64) -> Result<Value> {
        let state = self.state().await?;
        let ids = state["functions"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
        let wanted = ids.filter(|id| function.is_none_or(|name| is_named(id, name))).map(str::to_owned);
        let wanted: Vec<String> = wanted.collect();
        if let (Some(name), true) = (function, wanted.is_empty()) {
            return Err(Error::new(Kind::Usage, format!("no function `{name}`"))
                .hint("`functions` lists those that run here"));
        }
        changes::built(&self.client()?, wanted, Duration::from_secs(wait.min(LONGEST_WAIT))).await
    }

    /// Deploys what waits to be.
    pub(super) async fn deploy(&self) -> Result<Value> {
        changes::deployed(&self.client()?, Duration::from_secs(LONGEST_WAIT)).await
    }

    /// Lines of output: the last ones, or those behind a number. If there are none, it waits so many seconds for some.
    pub(super) async fn tail(&self, function: Option<&str>, after: Option<u64>, wait: u64) -> Result<Value> {
        let until = Instant::now() + Duration::from_secs(wait.min(LONGEST_WAIT));
        let mut reading = logs::open(&self.client()?, after.unwrap_or(0), function).await?;
        let mut tail = Tail { lines: Vec::new(), change: after.unwrap_or(0), missed: 0, more: false };
        let most = if after.is_some() { MOST_LINES } else { usize::MAX };
        let mut has_reached = false;
        while !has_reached || tail.lines.is_empty() {
            let next = logs::next(&mut reading);
            // What is there already is read in any case.
            let said = if has_reached { timeout_at(until, next).await } else { Ok(next.await) };
            match said {
                Ok(Ok(Some(Said::Line(_)))) if tail.lines.len() == most => {
                    tail.more = true;
                    break;
                }
                Ok(Ok(Some(Said::Line(line)))) => {
                    tail.change = line.change;
                    tail.lines.push(line);
                }
                Ok(Ok(Some(Said::Missed { missed }))) => tail.missed += missed,
                Ok(Ok(Some(Said::Reached { change }))) => {
                    tail.change = change;
                    has_reached = true;
                }
                // The session or the time is over.
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(error)) => return Err(silent(&error)),
            }
        }
        if after.is_none() {
            let surplus = tail.lines.len().saturating_sub(LAST_LINES);
            tail.lines.drain(..surplus);
            tail.missed = 0;
        }
        Ok(tail.told())
    }

    async fn state(&self) -> Result<Value> {
        get(&self.client()?, "/api/v1/state").await
    }

    fn client(&self) -> Result<Client> {
        let running = session::running(&self.state_dir).map_err(|error| {
            error.hint(
                "start it in a terminal of the project and wait until it listens: `npx sst start --local` without an account, \
                 `npx sst start` in an AWS account",
            )
        })?;
        Ok(running.client())
    }
}

/// Lines of output, and where they end.
struct Tail {
    lines: Vec<LogLine>,
    change: u64,
    missed: u64,
    more: bool,
}

impl Tail {
    fn told(self) -> Value {
        let mut told = json!({ "lines": self.lines, "change": self.change });
        if self.missed > 0 {
            told["missed"] = self.missed.into();
        }
        if self.more {
            told["more"] = true.into();
        }
        told
    }
}

/// What becomes of a call, with all that is remembered of it, in which secrets are masked.
async fn called(client: &Client, path: &str, event: Vec<u8>) -> Result<Value> {
    let mut answered = ask(client, Method::POST, path, event).await?;
    let id = answered["id"].as_str().unwrap_or_default().to_owned();
    let answer = serde_json::from_value(answered.take()).map_err(|_| of_another_version())?;
    if let Answer::Refused { message, hint } = answer {
        return Err(refused(message, hint));
    }
    let deadline = Instant::now() + SETTLING;
    loop {
        let call = get(client, &format!("/api/v1/invocations/{}", encoded(&id))).await;
        let has_ended =
            call.as_ref().is_ok_and(|call| call["status"] == "returned" || call["status"] == "failed");
        if has_ended || Instant::now() >= deadline {
            return call;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

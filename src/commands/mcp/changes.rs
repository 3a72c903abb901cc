//! What is waited for in a session: builds, and deployments.

use std::{collections::BTreeMap, io, time::Duration};

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{
    super::invoke::silent,
    asking::{ask, of_another_version},
};
use crate::{
    console::{Client, Lines},
    error::{Error, Kind, Result},
};

/// How long a build may take to begin after a file was saved, which is watched, and after another build has ended.
const SETTLING: Duration = Duration::from_secs(1);

/// A line of the session's stream: what has changed since the line before.
#[derive(Debug, Deserialize)]
struct Changed {
    #[serde(default)]
    functions: Vec<Function>,
    infrastructure: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Function {
    id: String,
    build: Build,
    workers: Workers,
}

/// As far as it is looked into; the rest is passed on.
#[derive(Debug, Deserialize)]
struct Build {
    state: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Workers {
    starting: usize,
}

/// Waits until none of these functions is being built any more, and says what has come of their last builds.
///
/// # Errors
/// [`Kind::Other`] when the session ends meanwhile or is of another version.
pub(super) async fn built(client: &Client, functions: Vec<String>, wait: Duration) -> Result<Value> {
    let deadline = Instant::now() + wait;
    let mut stream = Stream::open(client).await?;
    let mut builds = Builds::of(functions);
    let mut settled = Instant::now() + SETTLING;
    loop {
        let until = if builds.are_running() { deadline } else { settled.min(deadline) };
        let Ok(changed) = timeout_at(until, stream.next()).await else { break };
        if builds.take_in(changed?) {
            settled = Instant::now() + SETTLING;
        }
    }
    Ok(builds.told())
}

/// Deploys what waits to be, and says what has come of it.
///
/// # Errors
/// [`Kind::Usage`] when nothing waits, [`Kind::Deployment`] when it fails.
pub(super) async fn deployed(client: &Client, wait: Duration) -> Result<Value> {
    let deadline = Instant::now() + wait;
    let mut stream = Stream::open(client).await?;
    // How it stood before.
    stream.next().await?;
    ask(client, Method::POST, "/api/v1/deploy", Vec::new())
        .await
        .map_err(|error| error.hint("`infrastructure` of `status` says what waits to be deployed"))?;
    loop {
        let Ok(changed) = timeout_at(deadline, stream.next()).await else {
            return Ok(json!({
                "state": "deploying",
                "note": "it goes on; `infrastructure` of `status` says when it has ended",
            }));
        };
        let Some(mut infrastructure) = changed?.infrastructure else { continue };
        match infrastructure["state"].as_str() {
            Some("deploying") => {}
            Some("deployed") => return Ok(infrastructure),
            _ => {
                let error = Error::new(Kind::Deployment, "the deployment failed");
                return Err(match infrastructure["error"].take() {
                    Value::String(detail) => error.detail(detail),
                    _ => error,
                });
            }
        }
    }
}

/// How functions stand, some of which are wanted.
struct Builds {
    wanted: Vec<String>,
    known: BTreeMap<String, Function>,
}

impl Builds {
    fn of(wanted: Vec<String>) -> Self {
        Self { wanted, known: BTreeMap::new() }
    }

    /// Takes in what has changed. Whether a build has, or what keeps one from being begun.
    fn take_in(&mut self, changed: Changed) -> bool {
        let mut any = false;
        for function in changed.functions {
            let is_same = |known: &Function| {
                known.build.state == function.build.state
                    && known.build.rest.get("at") == function.build.rest.get("at")
                    && known.workers.starting == function.workers.starting
            };
            any |= !self.known.get(&function.id).is_some_and(is_same);
            self.known.insert(function.id.clone(), function);
        }
        any
    }

    /// Whether a build runs, or one may wait: they are made one after the other, and none is begun while a process starts.
    fn are_running(&self) -> bool {
        self.known.values().any(|one| one.build.state == "building" || one.workers.starting > 0)
    }

    fn build(&self, id: &str) -> Option<&Build> {
        self.known.get(id).map(|function| &function.build)
    }

    fn are(&self, state: &str) -> bool {
        self.wanted.iter().filter_map(|id| self.build(id)).any(|build| build.state == state)
    }

    /// The state of all of them is that of the one that is the furthest from being good.
    fn told(&self) -> Value {
        let state =
            ["building", "failed", "built"].into_iter().find(|state| self.are(state)).unwrap_or("none");
        let functions: Vec<Value> = self
            .wanted
            .iter()
            .map(|id| {
                let build = self.build(id);
                let mut told =
                    json!({ "id": id, "state": build.as_ref().map_or("none", |build| &build.state) });
                if let (Some(build), Some(fields)) = (build, told.as_object_mut()) {
                    fields.extend(build.rest.clone());
                }
                told
            })
            .collect();
        let mut told = json!({ "state": state, "functions": functions });
        let note = match state {
            "building" => Some("the time was over before the build was; call this once more"),
            "none" => Some("a function that was not called in this session is built when it is called"),
            _ => None,
        };
        if let Some(note) = note {
            told["note"] = note.into();
        }
        told
    }
}

/// What the session says of its changes.
struct Stream(Lines);

impl Stream {
    async fn open(client: &Client) -> Result<Self> {
        Ok(Self(client.lines("/api/v1/stream?after=0").await.map_err(|error| silent(&error))?))
    }

    /// The next changes; at first, all that there were.
    async fn next(&mut self) -> Result<Changed> {
        let line = self.0.next().await.map_err(|error| silent(&error))?;
        let line = line.ok_or_else(|| silent(&io::Error::other("the session has ended")))?;
        serde_json::from_slice(&line).map_err(|_| of_another_version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(builds: &[(&str, &str, usize)]) -> Changed {
        let functions = builds.iter().map(|(id, state, starting)| {
            json!({ "id": id, "build": { "state": state, "error": "e" }, "workers": { "starting": starting, "idle": 0 } })
        });
        serde_json::from_value(json!({ "change": 1, "functions": functions.collect::<Vec<_>>() })).unwrap()
    }

    #[test]
    fn the_state_of_all_is_that_of_the_worst_of_those_that_are_wanted() {
        /// What changes; then the state, whether anything has changed, and whether anything runs.
        type Case = (&'static [(&'static str, &'static str, usize)], &'static str, bool, bool);
        let table: &[Case] = &[
            (&[], "none", false, false),
            (&[("a", "built", 1)], "built", true, true),
            (&[("a", "built", 0)], "built", true, false),
            (&[("a", "built", 0)], "built", false, false),
            (&[("other", "building", 0)], "built", true, true),
            (&[("other", "failed", 0)], "built", true, false),
            (&[("a", "built", 0), ("b", "failed", 0)], "failed", true, false),
            (&[("a", "building", 0)], "building", true, true),
            (&[("a", "built", 0), ("b", "built", 0)], "built", true, false),
        ];
        let mut builds = Builds::of(vec!["a".to_owned(), "b".to_owned()]);
        for (change, state, any, running) in table {
            assert_eq!(builds.take_in(changed(change)), *any, "{change:?}");
            assert_eq!(builds.are_running(), *running, "{change:?}");
            let told = builds.told();
            assert_eq!(told["state"], *state, "{change:?}");
            assert_eq!(told["functions"].as_array().map(Vec::len), Some(2));
        }
        assert_eq!(builds.told()["functions"][0], json!({ "id": "a", "state": "built", "error": "e" }));
    }
}

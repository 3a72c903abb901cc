//! The core under test: single stories first, then every order of events, then many calls in little room.

mod asleep;
mod local;
mod orders;
mod outside;
mod pressure;
mod reload;
mod stories;
mod world;

use bytes::Bytes;

use std::sync::Arc;

use super::{
    effect::{Answer, BridgeCommand, LocalCommand, RelayCommand},
    event::{
        Artifact, BuildError, Call, Caller, Exit, FileChange, FunctionError, Invocation, Outcome, Program,
        StreamPart, Target,
    },
    *,
};
use crate::{
    ids::WorkerId,
    project::manifest::{FunctionSpec, Source},
    ui::UiEvent,
};

fn spec(name: &str) -> Arc<FunctionSpec> {
    Arc::new(FunctionSpec {
        id: name.into(),
        stack: "stack".into(),
        logical_id: name.into(),
        language: "scripted".into(),
        runtime: "nodejs22.x".into(),
        handler: "index.handler".into(),
        source: Source::Directory { path: format!("/app/{name}").into() },
        timeout_s: Some(10),
        memory_mb: Some(128),
        environment: vec!["TABLE".into()],
        json_log: None,
        layers: Vec::new(),
    })
}

fn artifact(name: &str, fingerprint: &str) -> Arc<Artifact> {
    Arc::new(Artifact {
        program: Program { language: "scripted".into(), ..Program::default() },
        task_root: format!("/app/{name}").into(),
        handler: "index.handler".into(),
        fingerprint: fingerprint.into(),
        inputs: vec![format!("/app/{name}").into()],
        packages: Vec::new(),
        provided: None,
        opt: None,
    })
}

/// Holds up workers in these languages before they load their functions.
fn gate(languages: &[&str]) -> BTreeSet<LanguageId> {
    languages.iter().map(LanguageId::from).collect()
}

fn inspector_target() -> Target {
    Target::Inspector { url: "ws://127.0.0.1:1/x".into() }
}

fn invocation(function: &str, request: &str) -> Event {
    Event::Invoked(Box::new(Invocation {
        caller: Caller::Relay,
        request: request.into(),
        function: function.into(),
        payload: Bytes::from_static(b"{}"),
        context: sst_wire::Context::default(),
        environment: BTreeMap::from([("TABLE".into(), "notes".into())]).into(),
        remaining: Duration::from_secs(10),
        time: None,
        patience: None,
        replays: None,
        stops: false,
    }))
}

fn changed(path: &str) -> Event {
    Event::FilesChanged(vec![FileChange { path: path.into(), structural: false }])
}

fn broken() -> BuildError {
    BuildError {
        summary: "index.js:1:1: no".into(),
        detail: "no".into(),
        error_type: "Runtime.UserCodeSyntaxError".into(),
        inputs: vec!["/app/a".into()],
    }
}

fn describe(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Start(start) => {
            format!("start {} {} {}", start.worker, start.spec.id, start.artifact.fingerprint)
        }
        Effect::Load { worker } => format!("load {worker}"),
        Effect::Debug { worker, .. } => format!("debug {worker}"),
        Effect::Deliver { worker, delivery } => format!("deliver {} {worker}", delivery.request),
        Effect::Stop { worker, how } => format!("stop {worker} {how:?}"),
        Effect::Answer { request, answer, .. } => match answer {
            Answer::Outcome(Outcome::Returned(_)) => format!("reply {request}"),
            Answer::Outcome(Outcome::Failed(error)) => format!("fail {request} {}", error.error_type),
            Answer::Part(StreamPart::End { .. }) => format!("end {request}"),
            Answer::Part(_) => format!("stream {request}"),
            Answer::Working { paused } => format!("working {request} {paused}"),
        },
        Effect::Local(LocalCommand::Ask { spec, token }) => format!("ask {} {token}", spec.id),
        Effect::Local(LocalCommand::Environment { call, .. }) => format!("environment {call}"),
        Effect::Local(LocalCommand::Refuse { call, message, .. }) => format!("refuse {call}: {message}"),
        Effect::Bridge(BridgeCommand::Offer { worker, .. }) => format!("offer {worker}"),
        Effect::Bridge(BridgeCommand::Withdraw { worker }) => format!("withdraw {worker}"),
        Effect::Arrived(_) | Effect::Relay(_) | Effect::Ui(_) | Effect::Watch { .. } => return None,
        Effect::Build { spec, generation, .. } => format!("build {} {generation}", spec.id),
        Effect::Cool { function } => format!("cool {function}"),
    })
}

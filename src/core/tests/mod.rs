//! The core under test: single stories first, then every order of events, then many calls in little room.

mod asleep;
mod orders;
mod outside;
mod pressure;
mod stories;

use bytes::Bytes;

use super::{
    effect::BridgeCommand,
    event::{Artifact, BuildError, Exit, FileChange, Program, Target},
    *,
};
use crate::project::manifest::{FunctionSpec, Source};

fn spec(name: &str) -> Arc<FunctionSpec> {
    Arc::new(FunctionSpec {
        id: name.into(),
        stack: "stack".into(),
        logical_id: name.into(),
        language: "scripted".into(),
        runtime: "nodejs22.x".into(),
        handler: "index.handler".into(),
        source: Source::Directory { path: format!("/app/{name}").into() },
        timeout_s: 10,
        memory_mb: 128,
        environment: vec!["TABLE".into()],
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
        request: request.into(),
        function: function.into(),
        payload: Bytes::from_static(b"{}"),
        context: sst_wire::Context::default(),
        environment: BTreeMap::from([("TABLE".into(), "notes".into())]),
        remaining: Duration::from_secs(10),
        patience: None,
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
        Effect::Relay(RelayCommand::Reply { request, outcome }) => match outcome {
            Outcome::Returned(_) => format!("reply {request}"),
            Outcome::Failed(error) => format!("fail {request} {}", error.error_type),
        },
        Effect::Relay(RelayCommand::Stream { request, part: StreamPart::End { .. } }) => {
            format!("end {request}")
        }
        Effect::Relay(RelayCommand::Stream { request, .. }) => format!("stream {request}"),
        Effect::Relay(RelayCommand::Working { request, paused }) => format!("working {request} {paused}"),
        Effect::Bridge(BridgeCommand::Offer { worker, .. }) => format!("offer {worker}"),
        Effect::Bridge(BridgeCommand::Withdraw { worker }) => format!("withdraw {worker}"),
        Effect::Relay(_) | Effect::Ui(_) => return None,
        Effect::Build { spec, generation } => format!("build {} {generation}", spec.id),
        Effect::Cool { function } => format!("cool {function}"),
    })
}

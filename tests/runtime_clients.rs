//! The official runtime clients of Python, Go, and Rust, unchanged, against the Runtime API.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use sst::{
    core::{
        effect::Delivery,
        event::{Event, FunctionError, Outcome},
    },
    ids::WorkerId,
    runtime_api::{self, Listener},
};
use tokio::sync::mpsc;

const PYTHON_CLIENT: &str = "awslambdaric==4.2.2";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients").join(name)
}

/// A directory for what these tests install and build, kept between runs.
fn built(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; it has to be installed"));
    assert!(
        output.status.success(),
        "{command:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

struct Client {
    child: tokio::process::Child,
    listener: Listener,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Client {
    fn start(mut command: Command) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let socket = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listener = runtime_api::open(WorkerId(7), socket, sender).unwrap();
        command
            .env("AWS_LAMBDA_RUNTIME_API", listener.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "client")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/client")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .env("AWS_REGION", "us-east-1")
            .stdin(Stdio::null());
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        Self { child, listener, events }
    }

    async fn event(&mut self) -> Event {
        let wait = tokio::time::timeout(Duration::from_secs(60), self.events.recv());
        wait.await.expect("the client does something").expect("the listener lives")
    }

    /// Gives the client an event once it asks for one.
    async fn deliver(&mut self, request: &str, payload: &Value) {
        loop {
            if matches!(self.event().await, Event::Polled { .. }) {
                break;
            }
        }
        self.listener.deliver(Box::new(Delivery {
            request: request.into(),
            payload: Bytes::from(payload.to_string()),
            context: sst_wire::Context {
                invoked_function_arn: "arn:aws:lambda:us-east-1:000000000000:function:client".into(),
                trace_id: Some(
                    "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1".into(),
                ),
                ..sst_wire::Context::default()
            },
            deadline: Instant::now() + Duration::from_secs(30),
            credentials: Default::default(),
            debugged: false,
            stops: false,
        }));
    }

    async fn outcome(&mut self, expected: &str) -> Outcome {
        let Event::Answered { request, outcome, .. } = self.event().await else { panic!("an answer") };
        assert_eq!(request, expected.into());
        outcome
    }

    async fn returns(&mut self, request: &str, payload: Value) {
        self.deliver(request, &payload).await;
        let Outcome::Returned(body) = self.outcome(request).await else { panic!("it returns") };
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer, json!({ "event": payload, "request": request, "left": true }));
    }

    async fn fails(&mut self, request: &str) -> FunctionError {
        self.deliver(request, &json!({ "kind": "throw" })).await;
        let Outcome::Failed(error) = self.outcome(request).await else { panic!("it fails") };
        error
    }

    /// The whole conversation: results, an error, a result again, and an exit without an answer.
    async fn converse(&mut self, error_type: &str) {
        self.returns("8476a536-e9f4-11e8-9739-2dfe598c3fcd", json!({ "a": [1, "ü", null] })).await;
        let error = self.fails("8476a536-e9f4-11e8-9739-2dfe598c3fce").await;
        assert!(error.error_type.contains(error_type), "{}", error.error_type);
        let body: Value = serde_json::from_slice(&error.body).unwrap();
        assert_eq!(body["errorMessage"], "thrown on purpose");
        self.returns("8476a536-e9f4-11e8-9739-2dfe598c3fcf", json!({ "b": "x".repeat(300_000) })).await;
        self.deliver("8476a536-e9f4-11e8-9739-2dfe598c3fd0", &json!({ "kind": "exit" })).await;
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        assert_eq!(status.expect("it ends").unwrap().code(), Some(4));
        assert!(self.events.try_recv().is_err(), "it has not answered");
    }
}

#[tokio::test]
async fn python() {
    let environment = built("python");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    }
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        PYTHON_CLIENT,
    ]));
    let mut command = Command::new(&python);
    command.args(["-m", "awslambdaric", "app.handler"]).current_dir(fixture("python"));
    let mut client = Client::start(command);
    client.converse("ValueError").await;

    let mut command = Command::new(&python);
    command.args(["-m", "awslambdaric", "no_such_module.handler"]).current_dir(fixture("python"));
    let mut client = Client::start(command);
    let Event::InitFailed { error, .. } = client.event().await else { panic!("it does not initialise") };
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
}

#[tokio::test]
async fn go() {
    let binary = built("go").join("client");
    run(Command::new("go").args(["build", "-o"]).arg(&binary).arg(".").current_dir(fixture("go")));
    Client::start(Command::new(binary)).converse("errorString").await;
}

#[tokio::test]
async fn rust() {
    let target = built("rust");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--target-dir"]).arg(&target).current_dir(fixture("rust"));
    run(&mut build);
    let mut client = Client::start(Command::new(target.join("debug/client")));
    // The crate names an error by its Rust type.
    client.converse("dyn core::error::Error").await;
}

//! A debug adapter for one worker, as its language has it: in the worker itself, or in a program that attaches to it.
//!
//! It is started for the first client and stays until the worker ends, whoever comes and goes: debugpy connects once, and a native
//! debugger takes a second to begin.

use std::{collections::HashMap, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite},
    task::AbortOnDropHandle,
};

use super::dap::{Codec, Numbers};
use crate::{
    core::event::{Event, Target},
    ids::WorkerId,
    languages::{self, AdapterLink, DebugAdapter, Debuggee, Debugger},
    process::{Child, Command, Spawner, Stdio},
};

/// How long a debugger may take to begin, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a debugger may take to let go of a process.
const GRACE: Duration = Duration::from_secs(1);

/// A debugger that has attached and waits for breakpoints.
#[derive(Debug)]
pub(super) struct Adapter {
    /// What it can do.
    pub capabilities: Value,
    /// What it says from now on. None when it has ended.
    pub messages: mpsc::UnboundedReceiver<Value>,
    /// Where Delve listens for others.
    pub address: Option<String>,
    numbers: Numbers,
    requests: mpsc::UnboundedSender<Value>,
    child: Option<Child>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What debuggers are started with.
#[derive(Debug, Clone)]
pub(in crate::bridge) struct Starter {
    pub spawner: Spawner,
    pub events: mpsc::UnboundedSender<Event>,
}

impl Adapter {
    /// Starts the debugger of a worker.
    ///
    /// # Errors
    /// What is missing and how to install it, or what the debugger says.
    pub(super) async fn start(starter: &Starter, worker: WorkerId, target: &Target) -> Result<Self, String> {
        let starting = async {
            let Target::Process { pid, executable, language, lacking } = target else {
                return Err("its debugger is not a debug adapter".to_owned());
            };
            if let Some(lacking) = lacking {
                return Err(lacking.clone());
            }
            let Debugger::Adapter { attach, .. } = languages::get(language).debugger() else {
                return Err("its debugger is not a debug adapter".to_owned());
            };
            let debuggee = Debuggee { pid: *pid, executable, spawner: &starter.spawner };
            let DebugAdapter { link, attach } = attach(debuggee).await?;
            match link {
                AdapterLink::Worker => from_worker(starter, worker, attach).await,
                AdapterLink::Pipes(command) => on_pipes(starter, command, attach).await,
                AdapterLink::Listens(command, words) => at_address(starter, command, words, attach).await,
            }
        };
        tokio::time::timeout(PATIENCE, starting)
            .await
            .unwrap_or_else(|_| Err(format!("the debugger did not begin within {} s", PATIENCE.as_secs())))
    }

    /// Sends a request and returns its number.
    pub(super) fn send(&mut self, command: &str, arguments: Value) -> u64 {
        let request = json!({ "type": "request", "command": command, "arguments": arguments });
        let (request, number) = self.numbers.number(request);
        let _ = self.requests.send(request);
        number
    }

    /// Says no to something that the debugger asks for.
    pub(super) fn refuse(&mut self, request: &Value) {
        let (response, _) = self.numbers.number(super::dap::failure(request, "not supported"));
        let _ = self.requests.send(response);
    }

    /// Ends the debugger, after which the worker runs on without one.
    pub(super) async fn end(mut self) {
        // Asked first, so that it takes its breakpoints out of the process.
        if let Some(mut child) = self.child.take() {
            let _ = child.end(GRACE).await;
        }
    }

    /// Has the debugger leave the worker, which runs on without one.
    pub(super) async fn detach(mut self) {
        let number = self.send("disconnect", json!({ "terminateDebuggee": false }));
        let left = async {
            while let Some(message) = self.messages.recv().await {
                if message["type"] == "response" && message["request_seq"] == number {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(GRACE, left).await;
        if let Some(child) = &mut self.child {
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
        }
        self.end().await;
    }

    /// Introduces us to a debugger and has it attach.
    async fn greet(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        child: Option<Child>,
        attach: Value,
    ) -> Result<Self, String> {
        let (requests, mut outbox) = mpsc::unbounded_channel::<Value>();
        let (inbox, messages) = mpsc::unbounded_channel();
        let write = tokio::spawn(async move {
            let mut writer = FramedWrite::new(writer, Codec);
            while let Some(message) = outbox.recv().await {
                tracing::trace!(%message, "to a debugger");
                if writer.send(message).await.is_err() {
                    return;
                }
            }
        });
        let read = tokio::spawn(async move {
            let mut reader = FramedRead::new(reader, Codec);
            while let Some(Ok(message)) = reader.next().await {
                tracing::trace!(%message, "from a debugger");
                if inbox.send(message).is_err() {
                    return;
                }
            }
        });
        let mut adapter = Self {
            capabilities: json!({}),
            messages,
            address: None,
            numbers: Numbers::default(),
            requests,
            child,
            _tasks: [write, read].map(AbortOnDropHandle::new),
        };
        let greeting = adapter.send(
            "initialize",
            json!({
                "clientID": "sst", "clientName": "sst", "adapterID": "sst", "locale": "en", "pathFormat": "path",
                "linesStartAt1": true, "columnsStartAt1": true, "supportsVariableType": true,
                "supportsVariablePaging": true, "supportsMemoryReferences": true, "supportsInvalidatedEvent": true,
            }),
        );
        let mut initialized = false;
        let mut waiting = HashMap::from([(greeting, "initialize")]);
        while !initialized || waiting.values().any(|command| *command == "initialize") {
            let Some(message) = adapter.messages.recv().await else {
                return Err("the debugger has ended".to_owned());
            };
            match (message["type"].as_str(), message["event"].as_str()) {
                (Some("event"), Some("initialized")) => initialized = true,
                (Some("request"), _) => adapter.refuse(&message),
                (Some("response"), _) => {
                    let number = message["request_seq"].as_u64().unwrap_or_default();
                    let command = waiting.remove(&number);
                    if message["success"] != true {
                        return Err(text_of(&message));
                    }
                    if command == Some("initialize") {
                        adapter.capabilities = message["body"].clone();
                        waiting.insert(adapter.send("attach", attach.clone()), "attach");
                    }
                }
                _ => {}
            }
        }
        Ok(adapter)
    }
}

/// What is wrong, in a response that says so.
pub(super) fn text_of(response: &Value) -> String {
    let detail = response["body"]["error"]["format"].as_str();
    detail.or(response["message"].as_str()).unwrap_or("the debugger refuses").to_owned()
}

/// The worker connects to us, and speaks the protocol itself.
async fn from_worker(starter: &Starter, worker: WorkerId, attach: Value) -> Result<Adapter, String> {
    let failed = |error: std::io::Error| format!("no socket for its debugger: {error}");
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let _ = starter.events.send(Event::DebuggerWaits { worker, port });
    let (stream, _) = crate::descriptors::accept(&listener).await;
    let (reader, writer) = stream.into_split();
    Adapter::greet(reader, writer, None, attach).await
}

/// A debugger that says, behind `words`, where it listens.
async fn at_address(
    starter: &Starter,
    mut command: Command,
    words: &str,
    attach: Value,
) -> Result<Adapter, String> {
    let name = command.name();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let cannot = |error: std::io::Error| format!("`{name}` cannot be run: {error}");
    let mut child = starter.spawner.spawn(command).await.map_err(cannot)?;
    let mut errors = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines()).ok_or("no output")?;
    let address = loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                if let Some((_, address)) = line.split_once(words) {
                    break address.trim().to_owned();
                }
            }
            _ => {
                let mut said = Vec::new();
                while let Some(errors) = &mut errors
                    && let Ok(Some(line)) = errors.next_line().await
                {
                    said.push(line);
                }
                return Err(format!("`{name}` cannot attach: {}", said.join(" ")));
            }
        }
    };
    // What it writes later is read, so that it never waits for that.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!(line, "a debugger");
        }
    });
    if let Some(mut errors) = errors {
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
    }
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("`{name}` is not at {address}: {error}"))?;
    let (reader, writer) = stream.into_split();
    let adapter = Adapter::greet(reader, writer, Some(child), attach).await?;
    Ok(Adapter { address: Some(address), ..adapter })
}

/// A debugger that speaks on its pipes.
async fn on_pipes(starter: &Starter, mut command: Command, attach: Value) -> Result<Adapter, String> {
    let name = command.name();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let cannot = |error: std::io::Error| format!("`{name}` cannot be run: {error}");
    let mut child = starter.spawner.spawn(command).await.map_err(cannot)?;
    let (Some(reader), Some(writer)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(format!("`{name}` has no pipes"));
    };
    Adapter::greet(reader, writer, Some(child), attach).await
}

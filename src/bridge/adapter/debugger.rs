//! A debugger for one worker that is no Node process: debugpy in the worker itself, Delve or LLDB attached to it.
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
    core::event::{Event, Native, Target},
    ids::WorkerId,
    process::{Child, Command, Spawner, Stdio},
};

/// What to do when Delve is missing.
pub const INSTALL_DELVE: &str = "`go install github.com/go-delve/delve/cmd/dlv@latest`";

/// What to do when LLDB is missing.
pub const INSTALL_LLDB: &str = "it comes with LLDB 16 or newer (`apt install lldb`, on macOS with Xcode)";

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

/// The endings of the files that a debugger knows.
pub(super) fn extensions(target: &Target) -> &'static [&'static str] {
    match target {
        Target::Inspector { .. } => &[],
        Target::Python { .. } => &["py", "pyw"],
        Target::Native { language: Native::Go, .. } => &["go", "c", "h", "s"],
        Target::Native { .. } => &["rs", "c", "h", "cc", "cpp", "cxx", "hpp", "zig"],
    }
}

impl Adapter {
    /// Starts the debugger of a worker.
    ///
    /// # Errors
    /// What is missing and how to install it, or what the debugger says.
    pub async fn start(starter: &Starter, worker: WorkerId, target: &Target) -> Result<Self, String> {
        let starting = async {
            match target {
                Target::Inspector { .. } => Err("its debugger is that of Node".to_owned()),
                Target::Python { lacking: Some(interpreter), .. } => Err(format!(
                    "its Python has no debugpy: `{interpreter} -m pip install debugpy`, and save a file of the function"
                )),
                Target::Python { .. } => debugpy(starter, worker).await,
                Target::Native { pid, language: Native::Go, .. } => delve(starter, *pid).await,
                Target::Native { pid, executable, .. } => lldb(starter, *pid, executable.as_str()).await,
            }
        };
        tokio::time::timeout(PATIENCE, starting)
            .await
            .unwrap_or_else(|_| Err(format!("the debugger did not begin within {} s", PATIENCE.as_secs())))
    }

    /// Sends a request and returns its number.
    pub fn send(&mut self, command: &str, arguments: Value) -> u64 {
        let request = json!({ "type": "request", "command": command, "arguments": arguments });
        let (request, number) = self.numbers.number(request);
        let _ = self.requests.send(request);
        number
    }

    /// Says no to something that the debugger asks for.
    pub fn refuse(&mut self, request: &Value) {
        let (response, _) = self.numbers.number(super::dap::failure(request, "not supported"));
        let _ = self.requests.send(response);
    }

    /// Ends the debugger, after which the worker runs on without one.
    pub async fn end(mut self) {
        // Asked first, so that it takes its breakpoints out of the process.
        if let Some(mut child) = self.child.take() {
            let _ = child.end(GRACE).await;
        }
    }

    /// Has the debugger leave the worker, which runs on without one.
    pub async fn detach(mut self) {
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
async fn debugpy(starter: &Starter, worker: WorkerId) -> Result<Adapter, String> {
    let failed = |error: std::io::Error| format!("no socket for debugpy: {error}");
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let _ = starter.events.send(Event::DebuggerWaits { worker, port });
    let (stream, _) = crate::descriptors::accept(&listener).await;
    let (reader, writer) = stream.into_split();
    let attach =
        json!({ "request": "attach", "justMyCode": true, "subProcess": false, "redirectOutput": false });
    Adapter::greet(reader, writer, None, attach).await
}

/// Delve, attached to a running program (<https://github.com/go-delve/delve/tree/master/Documentation>).
async fn delve(starter: &Starter, pid: u32) -> Result<Adapter, String> {
    let program = which::which("dlv").map_err(|_| format!("`dlv` is not in the PATH: {INSTALL_DELVE}"))?;
    let mut command = Command::new(program);
    command
        .args(["attach", &pid.to_string(), "--headless", "--listen=127.0.0.1:0", "--api-version=2"])
        // Without `--continue`: the program would go on at any time, also after a client was told that it stands.
        .arg("--accept-multiclient")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let cannot = |error: std::io::Error| format!("`dlv` cannot be run: {error}");
    let mut child = starter.spawner.spawn(command).await.map_err(cannot)?;
    let mut errors = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
    let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines()).ok_or("no output")?;
    let address = loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                if let Some((_, address)) = line.split_once("listening at: ") {
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
                return Err(format!("`dlv` cannot attach: {}", said.join(" ")));
            }
        }
    };
    // What it writes later is read, so that it never waits for that.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!(line, "dlv");
        }
    });
    if let Some(mut errors) = errors {
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
    }
    let stream =
        TcpStream::connect(&address).await.map_err(|error| format!("`dlv` is not at {address}: {error}"))?;
    let (reader, writer) = stream.into_split();
    let attach = json!({ "request": "attach", "mode": "remote", "stopOnEntry": false });
    let adapter = Adapter::greet(reader, writer, Some(child), attach).await?;
    Ok(Adapter { address: Some(address), ..adapter })
}

/// `lldb-dap`, attached to a running program.
async fn lldb(starter: &Starter, pid: u32, executable: &str) -> Result<Adapter, String> {
    let program = lldb_dap().ok_or_else(|| format!("`lldb-dap` is not in the PATH: {INSTALL_LLDB}"))?;
    let mut command = Command::new(&program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let cannot = |error: std::io::Error| format!("`{}` cannot be run: {error}", program.display());
    let mut child = starter.spawner.spawn(command).await.map_err(cannot)?;
    let (Some(reader), Some(writer)) = (child.stdout.take(), child.stdin.take()) else {
        return Err("`lldb-dap` has no pipes".to_owned());
    };
    let attach = json!({
        "request": "attach", "pid": pid, "program": executable, "stopOnEntry": false,
        "initCommands": rust_formatters(starter).await,
    });
    Adapter::greet(reader, writer, Some(child), attach).await
}

/// The newest one that is installed; distributions put the version into the name.
pub fn lldb_dap() -> Option<std::path::PathBuf> {
    let names = ["lldb-dap".to_owned()].into_iter().chain((16..=30).rev().flat_map(|version| {
        // It had another name before version 18.
        [format!("lldb-dap-{version}"), format!("lldb-vscode-{version}")]
    }));
    names.chain(["lldb-vscode".to_owned()]).find_map(|name| which::which(name).ok())
}

/// How LLDB learns to show Rust's own types, from the toolchain that brings the scripts for that.
async fn rust_formatters(starter: &Starter) -> Vec<String> {
    let Ok(rustc) = which::which("rustc") else { return Vec::new() };
    let mut command = Command::new(rustc);
    command.args(["--print", "sysroot"]).stdout(Stdio::piped());
    let Ok(child) = starter.spawner.spawn(command).await else { return Vec::new() };
    let Ok(output) = child.wait_with_output().await else { return Vec::new() };
    let scripts = format!("{}/lib/rustlib/etc", String::from_utf8_lossy(&output.stdout).trim());
    if !std::path::Path::new(&scripts).join("lldb_lookup.py").is_file() {
        return Vec::new();
    }
    vec![
        format!("command script import \"{scripts}/lldb_lookup.py\""),
        format!("command source -s true \"{scripts}/lldb_commands\""),
    ]
}

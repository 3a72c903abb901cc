//! One worker that is no Node process, as debuggers see it: a debug adapter on a port of its own.
//!
//! Clients come and go; the debugger behind it stays. What a client has set is taken back when it leaves, and a worker that it
//! leaves paused runs on: by themselves Delve and LLDB would leave it standing.

mod requests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{codec::Framed, sync::CancellationToken};

use self::requests::{PASSED_ON, RESUMING};
use super::{
    dap::{Codec, Numbers, event, failure, refuse, success, unverified},
    debugger::{Adapter, Starter},
};
use crate::{
    bridge::{
        raw::{self, Dialect},
        registry::{Missing, Offer, Registry},
    },
    core::event::Target,
    languages::{self, OwnProtocol},
    ui::Ui,
};

/// How long a debugger may take to take breakpoints back.
const TIDYING: Duration = Duration::from_secs(5);

/// How long a client waits for the one before it, which may be about to leave: longer than that takes. One that is refused would miss
/// calls.
const OVERLAP: Duration = Duration::from_secs(6);

type Client = Framed<TcpStream, Codec>;

/// A worker's debug adapter.
#[derive(Debug)]
pub(in crate::bridge) struct Debuggee {
    pub offer: Offer,
    pub target: Target,
    pub registry: Arc<Registry>,
    pub starter: Starter,
    pub ui: Ui,
}

impl Debuggee {
    /// Serves clients, one at a time, until the worker ends.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let listener = crate::descriptors::Patient(listener);
        let mut debugger = None;
        // The next client, while another may be about to leave.
        let mut next = None;
        loop {
            let stream = tokio::select! {
                Some(stream) = std::future::ready(next.take()) => stream,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => break,
                },
                more = idle(&mut debugger) => {
                    if !more {
                        debugger = None;
                    }
                    continue;
                }
                () = self.offer.gone.cancelled() => break,
            };
            let refusing = async {
                while let Ok((stream, _)) = listener.accept().await {
                    next = Some(stream);
                    tokio::time::sleep(OVERLAP).await;
                    if let Some(stream) = next.take() {
                        refuse(Framed::new(stream, Codec), "another debugger is attached to it").await;
                    }
                }
                // The client that is here can stay.
                std::future::pending().await
            };
            let serving = async {
                match Dialect::of(&stream).await {
                    Some(Dialect::Adapter) => {
                        self.serve_adapter(Framed::new(stream, Codec), &mut debugger).await
                    }
                    None => {}
                    Some(dialect) => {
                        if let Err(error) = self.serve_raw(stream, dialect, &mut debugger).await {
                            self.ui.warning(format!("`{}` cannot be debugged: {error}", self.offer.title));
                        }
                    }
                }
            };
            tokio::select! {
                () = serving => {}
                () = refusing => {}
            }
            if self.offer.gone.is_cancelled() {
                break;
            }
        }
        if let Some(Debugger { adapter, .. }) = debugger {
            adapter.end().await;
        }
    }

    async fn serve_adapter(&self, client: Client, debugger: &mut Option<Debugger>) {
        if debugger.is_none() {
            *debugger = self.begin().await;
        }
        let Some(debugger) = debugger else {
            return refuse(client, "it has no debugger; `sst start` says why").await;
        };
        let mut session = Session::new(self, debugger, client);
        session.run().await;
        session.leave().await;
    }

    /// Serves a debugger with a protocol of its own.
    async fn serve_raw(
        &self,
        client: TcpStream,
        dialect: Dialect,
        debugger: &mut Option<Debugger>,
    ) -> Result<(), String> {
        match (self.own_protocol(), dialect) {
            (Some((OwnProtocol::Delve, _)), Dialect::Delve) => {
                // What one protocol has let run, Delve does not stop for the other.
                if let Some(Debugger { adapter, .. }) = debugger.take() {
                    adapter.end().await;
                }
                *debugger = self.begin().await;
                let Some(begun) = debugger else { return Ok(()) };
                let address = begun.adapter.address.clone().ok_or("its debugger is not Delve")?;
                let served = tokio::select! {
                    served = raw::delve(client, &address) => served,
                    () = self.offer.gone.cancelled() => Ok(()),
                };
                if let Some(Debugger { adapter, .. }) = debugger.take() {
                    adapter.end().await;
                }
                served
            }
            (Some((OwnProtocol::Gdb, pid)), Dialect::Gdb | Dialect::Lldb) => {
                // A process has one debugger at a time.
                if let Some(Debugger { adapter, .. }) = debugger.take() {
                    adapter.detach().await;
                }
                tokio::select! {
                    served = raw::gdb(client, &self.starter.spawner, pid, dialect) => served,
                    () = self.offer.gone.cancelled() => Ok(()),
                }
            }
            _ => Err(format!("no {} is spoken to it", dialect.name())),
        }
    }

    /// What debuggers may speak to the worker that have a protocol of their own, and its process.
    fn own_protocol(&self) -> Option<(OwnProtocol, u32)> {
        let Target::Process { pid, language, .. } = &self.target else { return None };
        Some((languages::get(language).debugger().own_protocol()?, *pid))
    }

    /// The endings of the files in which its debugger takes breakpoints.
    fn files(&self) -> &'static [&'static str] {
        match &self.target {
            Target::Process { language, .. } => languages::get(language).debugger().files(),
            Target::Inspector { .. } | Target::Machine { .. } => &[],
        }
    }

    async fn begin(&self) -> Option<Debugger> {
        let worker = self.offer.worker;
        let started = tokio::select! {
            started = Adapter::start(&self.starter, worker, &self.target) => started,
            () = self.offer.gone.cancelled() => return None,
        };
        match started {
            Ok(adapter) => Some(Debugger { adapter, configured: false, stopped: None }),
            Err(error) => {
                self.ui.warning(format!("`{}` cannot be debugged: {error}", self.offer.title));
                self.registry.undebuggable(worker);
                None
            }
        }
    }
}

/// The debugger behind all clients of a worker.
struct Debugger {
    adapter: Adapter,
    /// It has been told that all breakpoints are set, for the first time: until then the worker may stand.
    configured: bool,
    /// The thread that is stopped.
    stopped: Option<Value>,
}

/// Hears a debugger that nobody uses. False when it has ended.
async fn idle(debugger: &mut Option<Debugger>) -> bool {
    let Some(debugger) = debugger else { return std::future::pending().await };
    let Some(message) = debugger.adapter.messages.recv().await else { return false };
    if message["type"] == "request" {
        debugger.adapter.refuse(&message);
    }
    true
}

/// One client of one worker.
struct Session<'a> {
    debuggee: &'a Debuggee,
    debugger: &'a mut Debugger,
    client: Client,
    numbers: Numbers,
    /// Whom the registry knows it as; what it sends with `attach` says that.
    id: u64,
    /// Cancelled when that one leaves, with which this session ends.
    parent: CancellationToken,
    /// The client's request that says it has set everything, while that is not so yet.
    done: Option<Value>,
    /// What the debugger was asked, by number.
    asked: HashMap<u64, Asked>,
    /// The sources that have breakpoints.
    sources: Vec<Value>,
    ended: bool,
}

enum Asked {
    /// By the client.
    Client(Value),
    /// Where it stopped, by us.
    Place,
    /// By us, and the answer is of no interest.
    Own,
}

impl<'a> Session<'a> {
    fn new(debuggee: &'a Debuggee, debugger: &'a mut Debugger, client: Client) -> Self {
        let id = debuggee.registry.client_number();
        Self {
            debuggee,
            debugger,
            client,
            numbers: Numbers::default(),
            id,
            parent: CancellationToken::new(),
            done: None,
            asked: HashMap::new(),
            sources: Vec::new(),
            ended: false,
        }
    }

    /// Passes messages both ways until one side ends.
    async fn run(&mut self) {
        while !self.ended {
            tokio::select! {
                message = self.client.next() => match message {
                    Some(Ok(request)) if request["type"] == "request" => self.request(&request).await,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                message = self.debugger.adapter.messages.recv() => match message {
                    Some(message) => self.heard(message).await,
                    None => break,
                },
                () = self.debuggee.offer.gone.cancelled() => break,
                () = self.parent.cancelled() => break,
            }
        }
        self.send(event("terminated", json!({}))).await;
    }

    async fn request(&mut self, request: &Value) {
        let command = request["command"].as_str().unwrap_or_default();
        match command {
            "initialize" => {
                let mut capabilities = self.debugger.adapter.capabilities.clone();
                capabilities["supportsConfigurationDoneRequest"] = true.into();
                // The worker's end is not a debugger's business.
                for name in ["supportTerminateDebuggee", "supportsTerminateRequest", "supportsRestartRequest"]
                {
                    capabilities[name] = false.into();
                }
                self.send(success(request, capabilities)).await;
            }
            "attach" | "launch" => {
                if let Some(id) = request["arguments"]["sst"].as_u64()
                    && let Some(parent) = self.debuggee.registry.leaving(id)
                {
                    (self.id, self.parent) = (id, parent);
                }
                self.send(success(request, json!({}))).await;
                self.send(event("initialized", json!({}))).await;
            }
            "configurationDone" if self.debugger.configured => {
                self.done = Some(request.clone());
                self.finish_configuration().await;
            }
            "disconnect" | "terminate" => {
                self.send(success(request, json!({}))).await;
                self.ended = true;
            }
            "setBreakpoints" if !self.is_ours(&request["arguments"]["source"]) => {
                self.send(unverified(request, "a file of another language")).await;
            }
            _ if command == "configurationDone" || PASSED_ON.contains(&command) => {
                if command == "setBreakpoints" {
                    let source = &request["arguments"]["source"];
                    if !self.sources.contains(source) {
                        self.sources.push(source.clone());
                    }
                }
                let number = self.debugger.adapter.send(command, request["arguments"].clone());
                self.asked.insert(number, Asked::Client(request.clone()));
            }
            _ => self.send(failure(request, "not supported")).await,
        }
    }

    async fn heard(&mut self, mut message: Value) {
        match message["type"].as_str() {
            Some("request") => self.debugger.adapter.refuse(&message),
            Some("event") => {
                match message["event"].as_str() {
                    Some("stopped") => self.stopped(&message),
                    Some("continued") => self.resumed(),
                    // The adapter's own; the client's was sent when it attached.
                    Some("initialized") => return,
                    Some("terminated" | "exited") => self.resumed(),
                    _ => {}
                }
                self.send(message).await;
            }
            Some("response") => {
                let number = message["request_seq"].as_u64().unwrap_or_default();
                let succeeded = message["success"] == true;
                match self.asked.remove(&number) {
                    Some(Asked::Client(request)) => {
                        let command = request["command"].as_str().unwrap_or_default();
                        if command == "configurationDone" {
                            self.debugger.configured = true;
                            self.debuggee.registry.ready(
                                self.id,
                                self.debuggee.offer.worker,
                                Missing::Nothing,
                            );
                        }
                        if succeeded && RESUMING.contains(&command) {
                            self.resumed();
                        }
                        // Delve takes these only while the worker stands, which it does for its first client only.
                        if !succeeded && command == "setExceptionBreakpoints" {
                            message = success(&request, json!({}));
                        }
                        message["request_seq"] = request["seq"].clone();
                        self.send(message).await;
                    }
                    Some(Asked::Place) => {
                        let place = place_of(&message, self.debuggee.registry.root());
                        self.debuggee.registry.paused(self.id, self.debuggee.offer.worker, place);
                    }
                    Some(Asked::Own) | None => {}
                }
                self.finish_configuration().await;
            }
            _ => {}
        }
    }

    /// Says that the client has configured a debugger that knew the worker before: not until its breakpoints are set.
    async fn finish_configuration(&mut self) {
        let sets = |asked: &Asked| match asked {
            Asked::Client(request) => {
                request["command"].as_str().is_some_and(|command| command.starts_with("set"))
            }
            Asked::Place | Asked::Own => false,
        };
        if self.asked.values().any(sets) {
            return;
        }
        if let Some(request) = self.done.take() {
            self.send(success(&request, json!({}))).await;
            self.debuggee.registry.ready(self.id, self.debuggee.offer.worker, Missing::Nothing);
        }
    }

    fn stopped(&mut self, message: &Value) {
        let thread = message["body"]["threadId"].clone();
        let arguments = json!({ "threadId": thread, "startFrame": 0, "levels": 1 });
        self.debugger.stopped = Some(thread);
        let number = self.debugger.adapter.send("stackTrace", arguments);
        self.asked.insert(number, Asked::Place);
    }

    fn resumed(&mut self) {
        if self.debugger.stopped.take().is_some() {
            // The place is not asked for any more, or would be told too late.
            self.asked.retain(|_, asked| !matches!(asked, Asked::Place));
            self.debuggee.registry.resumed(self.debuggee.offer.worker);
        }
    }

    fn is_ours(&self, source: &Value) -> bool {
        let extension = source["path"].as_str().and_then(|path| camino::Utf8Path::new(path).extension());
        extension.is_none_or(|extension| self.debuggee.files().contains(&extension))
    }

    async fn send(&mut self, message: Value) {
        let (message, _) = self.numbers.number(message);
        // A client that is gone is noticed when it is read from.
        let _ = self.client.send(message).await;
    }

    /// Takes back what the client has set, and lets the worker run.
    async fn leave(mut self) {
        let worker = self.debuggee.offer.worker;
        if !self.debuggee.offer.gone.is_cancelled() {
            let adapter = &mut self.debugger.adapter;
            let mut tidying = Vec::new();
            for source in &self.sources {
                let arguments = json!({ "source": source, "breakpoints": [], "lines": [] });
                tidying.push(adapter.send("setBreakpoints", arguments));
            }
            let capabilities = adapter.capabilities.clone();
            if capabilities["supportsFunctionBreakpoints"] == true {
                tidying.push(adapter.send("setFunctionBreakpoints", json!({ "breakpoints": [] })));
            }
            if capabilities["exceptionBreakpointFilters"].is_array() {
                tidying.push(adapter.send("setExceptionBreakpoints", json!({ "filters": [] })));
            }
            if !std::mem::replace(&mut self.debugger.configured, true) {
                tidying.push(self.debugger.adapter.send("configurationDone", json!({})));
            }
            for number in &tidying {
                self.asked.insert(*number, Asked::Own);
            }
            let tidied = async {
                while tidying.iter().any(|number| self.asked.contains_key(number)) {
                    let Some(message) = self.debugger.adapter.messages.recv().await else { return };
                    match (message["type"].as_str(), message["event"].as_str()) {
                        (Some("event"), Some("stopped")) => {
                            self.debugger.stopped = Some(message["body"]["threadId"].clone());
                        }
                        (Some("response"), _) => {
                            self.asked.remove(&message["request_seq"].as_u64().unwrap_or_default());
                        }
                        _ => {}
                    }
                }
            };
            let _ = tokio::time::timeout(TIDYING, tidied).await;
            if let Some(thread) = self.debugger.stopped.take() {
                self.debugger.adapter.send("continue", json!({ "threadId": thread }));
            }
        }
        self.debuggee.registry.disconnected(self.id, worker);
        self.debuggee.registry.resumed(worker);
    }
}

/// The file and line of the first frame, relative to the project.
fn place_of(response: &Value, root: &camino::Utf8Path) -> Option<String> {
    let frame = response["body"]["stackFrames"].get(0)?;
    let path = camino::Utf8Path::new(frame["source"]["path"].as_str()?);
    Some(format!("{}:{}", path.strip_prefix(root).unwrap_or(path), frame["line"]))
}

//! One function on a port that stays, for editors that know neither child sessions nor processes that come and go.
//!
//! The client's session lives on while worker processes follow one another. Its breakpoints are kept here and set in each new
//! worker before that gets a call.

use std::{collections::HashMap, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::codec::Framed;

use super::{
    dap::{Codec, Numbers, event, failure, success},
    registry::{Change, Offer, Registry, Wants},
};
use crate::ids::WorkerId;

type Connection = Framed<TcpStream, Codec>;

/// Why nothing can be said of a process.
const NO_WORKER: &str = "no process of the function runs; call it";

/// Serves the debuggers of `function`, one at a time, until dropped.
pub(super) async fn serve(listener: TcpListener, registry: Arc<Registry>, function: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let refusing = async {
            while let Ok((stream, _)) = listener.accept().await {
                refuse(Framed::new(stream, Codec)).await;
            }
        };
        let mut session = Session::new(Framed::new(stream, Codec), registry.clone(), function.clone());
        tokio::select! {
            () = session.run() => {}
            () = refusing => {}
        }
        session.leave();
    }
}

async fn refuse(mut client: Connection) {
    if let Some(Ok(request)) = client.next().await {
        let response = failure(&request, "another debugger is attached to this function");
        let (response, _) = Numbers::default().number(response);
        let _ = client.send(response).await;
    }
}

struct Session {
    client: Connection,
    numbers: Numbers,
    registry: Arc<Registry>,
    function: String,
    /// There once the client has told its breakpoints.
    subscription: Option<(u64, mpsc::UnboundedReceiver<Change>)>,
    /// The workers that there are, the oldest first.
    workers: Vec<Offer>,
    link: Option<Link>,
    sources: Vec<Source>,
    /// The arguments of the last request of each kind that is to hold for all workers.
    standing: HashMap<&'static str, Value>,
    last_breakpoint: u64,
    ended: bool,
}

/// A file with breakpoints.
struct Source {
    source: Value,
    arguments: Value,
    /// The client's numbers for its breakpoints.
    ids: Vec<u64>,
}

/// The connection to the debug adapter of the present worker.
struct Link {
    worker: WorkerId,
    adapter: Connection,
    numbers: Numbers,
    asked: HashMap<u64, Asked>,
    /// The adapter's numbers of breakpoints, and the client's.
    ids: HashMap<u64, u64>,
    stopped: Option<Value>,
}

enum Asked {
    Client(Value),
    /// Breakpoints that the client had set before: which file, by its path.
    Breakpoints(Value),
    Own,
}

/// What holds for all workers beside breakpoints in files.
const STANDING: [&str; 3] = ["setFunctionBreakpoints", "setExceptionBreakpoints", "setDataBreakpoints"];

impl Session {
    fn new(client: Connection, registry: Arc<Registry>, function: String) -> Self {
        Self {
            client,
            numbers: Numbers::default(),
            registry,
            function,
            subscription: None,
            workers: Vec::new(),
            link: None,
            sources: Vec::new(),
            standing: HashMap::new(),
            last_breakpoint: 0,
            ended: false,
        }
    }

    async fn run(&mut self) {
        while !self.ended {
            tokio::select! {
                message = self.client.next() => match message {
                    Some(Ok(request)) if request["type"] == "request" => self.request(request).await,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                change = next_change(&mut self.subscription) => match change {
                    Change::Came(offer) => {
                        self.workers.push(offer);
                        self.follow().await;
                    }
                    Change::Went(worker) => self.workers.retain(|offer| offer.worker != worker),
                },
                message = next_message(&mut self.link) => match message {
                    Some(message) => self.heard(message).await,
                    None => self.lost().await,
                },
            }
        }
    }

    async fn request(&mut self, request: Value) {
        let command = request["command"].as_str().unwrap_or_default();
        match command {
            "initialize" => {
                let capabilities = json!({
                    "supportsConfigurationDoneRequest": true, "supportsConditionalBreakpoints": true,
                    "supportsHitConditionalBreakpoints": true, "supportsLogPoints": true,
                    "supportsEvaluateForHovers": true, "supportsSetVariable": true,
                });
                self.send(success(&request, capabilities)).await;
                self.send(event("initialized", json!({}))).await;
            }
            "attach" | "launch" => self.send(success(&request, json!({}))).await,
            "configurationDone" => {
                self.send(success(&request, json!({}))).await;
                if self.subscription.is_none() {
                    self.subscription =
                        Some(self.registry.subscribe(Wants::AdaptersOf(self.function.clone())));
                }
            }
            "disconnect" | "terminate" => {
                self.send(success(&request, json!({}))).await;
                self.ended = true;
            }
            "setBreakpoints" => self.set_breakpoints(request).await,
            _ => {
                if let Some(name) = STANDING.iter().find(|name| **name == command) {
                    self.standing.insert(name, request["arguments"].clone());
                }
                match &mut self.link {
                    Some(link) => {
                        link.ask(
                            request["command"].clone(),
                            request["arguments"].clone(),
                            Asked::Client(request),
                        )
                        .await
                    }
                    None if command == "threads" => {
                        self.send(success(&request, json!({ "threads": [] }))).await
                    }
                    None if self.standing.contains_key(command) => {
                        self.send(success(&request, json!({ "breakpoints": [] }))).await;
                    }
                    None => self.send(failure(&request, NO_WORKER)).await,
                }
            }
        }
    }

    async fn set_breakpoints(&mut self, request: Value) {
        let arguments = request["arguments"].clone();
        let count = arguments["breakpoints"].as_array().map_or(0, Vec::len) as u64;
        let ids: Vec<u64> = (1..=count).map(|index| self.last_breakpoint + index).collect();
        self.last_breakpoint += count;
        let source = arguments["source"].clone();
        self.sources.retain(|known| known.source["path"] != source["path"]);
        self.sources.push(Source { source, arguments: arguments.clone(), ids: ids.clone() });
        match &mut self.link {
            Some(link) => link.ask("setBreakpoints".into(), arguments, Asked::Client(request)).await,
            None => {
                let answer = |(id, wanted): (&u64, &Value)| json!({ "id": id, "verified": false, "line": wanted["line"], "message": NO_WORKER });
                let wanted = arguments["breakpoints"].as_array().cloned().unwrap_or_default();
                let answers: Vec<Value> = ids.iter().zip(&wanted).map(answer).collect();
                self.send(success(&request, json!({ "breakpoints": answers }))).await;
            }
        }
    }

    /// Attaches to the oldest worker, if there is none yet. The others are not waited for.
    async fn follow(&mut self) {
        let Some((client, _)) = &self.subscription else { return };
        let client = *client;
        while self.link.is_none() {
            let Some(offer) = self.workers.first().cloned() else { return };
            self.link = self.attach(client, &offer).await;
            if self.link.is_none() {
                self.workers.remove(0);
                self.registry.disconnected(client, offer.worker);
            }
        }
        let present = self.link.as_ref().map(|link| link.worker);
        for offer in self.workers.iter().filter(|offer| Some(offer.worker) != present) {
            self.registry.disconnected(client, offer.worker);
        }
    }

    /// Does with a worker's adapter what the client has done with us.
    async fn attach(&mut self, client: u64, offer: &Offer) -> Option<Link> {
        let (port, _) = offer.adapter?;
        let stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let mut link = Link {
            worker: offer.worker,
            adapter: Framed::new(stream, Codec),
            numbers: Numbers::default(),
            asked: HashMap::new(),
            ids: HashMap::new(),
            stopped: None,
        };
        link.ask("initialize".into(), json!({ "adapterID": "sst", "clientID": "sst" }), Asked::Own).await;
        link.ask("attach".into(), json!({ "sst": client }), Asked::Own).await;
        loop {
            let message = link.adapter.next().await?.ok()?;
            match (message["type"].as_str(), message["event"].as_str()) {
                (Some("event"), Some("initialized")) => break,
                (Some("response"), _) if message["success"] != true => return None,
                (Some("response"), _) if message["command"] == "initialize" => {
                    let capabilities = json!({ "capabilities": message["body"] });
                    self.send(event("capabilities", capabilities)).await;
                }
                _ => {}
            }
        }
        for Source { source, arguments, .. } in &self.sources {
            let asked = Asked::Breakpoints(source["path"].clone());
            link.ask("setBreakpoints".into(), arguments.clone(), asked).await;
        }
        for (command, arguments) in &self.standing {
            link.ask((*command).into(), arguments.clone(), Asked::Own).await;
        }
        link.ask("configurationDone".into(), json!({}), Asked::Own).await;
        Some(link)
    }

    async fn heard(&mut self, mut message: Value) {
        let Some(link) = &mut self.link else { return };
        match message["type"].as_str() {
            Some("event") => {
                match message["event"].as_str() {
                    // The end of a process is not the end of the session.
                    Some("terminated" | "exited" | "initialized") => return,
                    Some("stopped") => {
                        link.stopped = Some(message["body"]["threadId"].clone());
                        if let Some(ids) = message["body"]["hitBreakpointIds"].as_array_mut() {
                            ids.iter_mut().for_each(|id| link.translate(id));
                        }
                    }
                    Some("continued") => link.stopped = None,
                    Some("breakpoint") => link.translate(&mut message["body"]["breakpoint"]["id"]),
                    _ => {}
                }
                self.send(message).await;
            }
            Some("response") => {
                let number = message["request_seq"].as_u64().unwrap_or_default();
                match link.asked.remove(&number) {
                    Some(Asked::Client(request)) => {
                        if request["command"] == "setBreakpoints" {
                            let path = &request["arguments"]["source"]["path"];
                            let known = self.sources.iter().find(|known| known.source["path"] == *path);
                            link.number(known, &mut message);
                        }
                        message["request_seq"] = request["seq"].clone();
                        self.send(message).await;
                    }
                    Some(Asked::Breakpoints(path)) => {
                        let known = self.sources.iter().find(|known| known.source["path"] == path);
                        link.number(known, &mut message);
                        let set = message["body"]["breakpoints"].as_array().cloned().unwrap_or_default();
                        for breakpoint in set {
                            let body = json!({ "reason": "changed", "breakpoint": breakpoint });
                            self.send(event("breakpoint", body)).await;
                        }
                    }
                    Some(Asked::Own) | None => {}
                }
            }
            _ => {}
        }
    }

    /// The worker has gone. What the client believes to be stopped is not there any more.
    async fn lost(&mut self) {
        let Some(link) = self.link.take() else { return };
        self.workers.retain(|offer| offer.worker != link.worker);
        for (_, asked) in link.asked {
            if let Asked::Client(request) = asked {
                self.send(failure(&request, "the process has ended")).await;
            }
        }
        if let Some(thread) = link.stopped {
            let body = json!({ "threadId": thread, "allThreadsContinued": true });
            self.send(event("continued", body)).await;
            self.send(event("thread", json!({ "reason": "exited", "threadId": thread }))).await;
        }
        self.follow().await;
    }

    async fn send(&mut self, message: Value) {
        let (message, _) = self.numbers.number(message);
        // A client that is gone is noticed when it is read from.
        let _ = self.client.send(message).await;
    }

    fn leave(self) {
        if let Some((client, _)) = self.subscription {
            self.registry.unsubscribe(client);
        }
    }
}

impl Link {
    async fn ask(&mut self, command: Value, arguments: Value, asked: Asked) {
        let request = json!({ "type": "request", "command": command, "arguments": arguments });
        let (request, number) = self.numbers.number(request);
        self.asked.insert(number, asked);
        let _ = self.adapter.send(request).await;
    }

    /// Gives the breakpoints of a response the client's numbers.
    fn number(&mut self, source: Option<&Source>, response: &mut Value) {
        let ids = source.map(|source| source.ids.as_slice()).unwrap_or_default();
        let set = response["body"]["breakpoints"].as_array_mut();
        for (breakpoint, id) in set.into_iter().flatten().zip(ids) {
            if let Some(theirs) = breakpoint["id"].as_u64() {
                self.ids.insert(theirs, *id);
            }
            breakpoint["id"] = (*id).into();
        }
    }

    fn translate(&self, id: &mut Value) {
        if let Some(ours) = id.as_u64().and_then(|theirs| self.ids.get(&theirs)) {
            *id = (*ours).into();
        }
    }
}

async fn next_change(subscription: &mut Option<(u64, mpsc::UnboundedReceiver<Change>)>) -> Change {
    if let Some((_, changes)) = subscription
        && let Some(change) = changes.recv().await
    {
        return change;
    }
    std::future::pending().await
}

async fn next_message(link: &mut Option<Link>) -> Option<Value> {
    match link {
        Some(link) => link.adapter.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}

//! One function on a port that stays, for editors that know neither child sessions nor processes that come and go.
//!
//! The client's session lives on while worker processes follow one another, and shows the threads of all that there are. Its
//! breakpoints are kept here and set in each new worker before that gets a call. Debuggers with a protocol of their own are served
//! on the same port.

mod link;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{codec::Framed, task::AbortOnDropHandle};

use self::link::{Asked, Link, Source};
use super::{
    dap::{Codec, Numbers, client_name, event, failure, refuse, success},
    handles::{Handles, Link as LinkNumber},
};
use crate::bridge::{
    jdwp,
    raw::{self, Dialect},
    registry::{Change, Offer, Registry, Subscription, Wants, next_change},
};

type Connection = Framed<TcpStream, Codec>;

/// How long a client waits for the one before it, whose end may not be known yet.
const OVERLAP: Duration = Duration::from_secs(1);

/// Why nothing can be said of a process.
const NO_WORKER: &str = "no process of the function runs; call it";

/// What holds for all workers beside breakpoints in files.
const STANDING: [&str; 3] = ["setFunctionBreakpoints", "setExceptionBreakpoints", "setDataBreakpoints"];

/// Serves the debuggers of `function`, one at a time, until dropped.
pub(in crate::bridge) async fn serve(listener: TcpListener, registry: Arc<Registry>, function: String) {
    let listener = crate::descriptors::Patient(listener);
    // The next client, while another may be about to leave.
    let mut next = None;
    loop {
        let stream = match next.take() {
            Some(stream) => stream,
            None => match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => return tracing::warn!(%error, %function, "no debugger can attach any more"),
            },
        };
        let refusing = async {
            while let Ok((stream, _)) = listener.accept().await {
                next = Some(stream);
                tokio::time::sleep(OVERLAP).await;
                if let Some(stream) = next.take() {
                    refuse(Framed::new(stream, Codec), "another debugger is attached to this function").await;
                }
            }
            // The client that is here can stay.
            std::future::pending().await
        };
        let serving = async {
            match Dialect::of(&stream).await {
                Some(Dialect::Adapter) => {
                    let client = Framed::new(stream, Codec);
                    let mut session = Session::new(client, registry.clone(), function.clone());
                    session.run().await;
                    session.leave();
                }
                Some(Dialect::Jdwp) => jdwp::serve(stream, &registry, &function).await,
                Some(dialect) => raw::serve(stream, dialect, &registry, &function).await,
                None => {}
            }
        };
        tokio::select! {
            () = serving => {}
            () = refusing => {}
        }
    }
}

struct Session {
    client: Connection,
    numbers: Numbers,
    registry: Arc<Registry>,
    function: String,
    /// What people call the client.
    name: String,
    /// There once the client has told its breakpoints.
    subscription: Option<Subscription>,
    links: HashMap<LinkNumber, Link>,
    last_link: LinkNumber,
    /// What the links' adapters say; none at an end.
    from_links: mpsc::UnboundedReceiver<(LinkNumber, Option<Value>)>,
    to_session: mpsc::UnboundedSender<(LinkNumber, Option<Value>)>,
    handles: Handles,
    sources: Vec<Source>,
    /// The arguments of the last request of each kind that is to hold for all workers.
    standing: HashMap<&'static str, Value>,
    last_breakpoint: u64,
    /// Requests for the threads of all links: what is there, and how many have not answered.
    gathering: HashMap<u64, (Value, Vec<Value>, usize)>,
    ended: bool,
}

impl Session {
    fn new(client: Connection, registry: Arc<Registry>, function: String) -> Self {
        let (to_session, from_links) = mpsc::unbounded_channel();
        Self {
            client,
            numbers: Numbers::default(),
            registry,
            function,
            name: String::new(),
            subscription: None,
            links: HashMap::new(),
            last_link: 0,
            from_links,
            to_session,
            handles: Handles::default(),
            sources: Vec::new(),
            standing: HashMap::new(),
            last_breakpoint: 0,
            gathering: HashMap::new(),
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
                    Change::Came(offer) => self.came(&offer).await,
                    // Its adapter ends the connection.
                    Change::Went(_) | Change::Taken(..) => {}
                },
                Some((link, message)) = self.from_links.recv() => match message {
                    Some(message) => self.heard(link, message).await,
                    None => self.lost(link).await,
                },
            }
        }
    }

    async fn request(&mut self, request: Value) {
        let command = request["command"].as_str().unwrap_or_default().to_owned();
        match command.as_str() {
            "initialize" => {
                self.name = client_name(&request);
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
                // Before the answer, after which a call may come at once.
                if self.subscription.is_none() {
                    let wants = Wants::AdaptersOf(self.function.clone());
                    self.subscription = Some(self.registry.subscribe(wants, self.name.clone()));
                }
                self.send(success(&request, json!({}))).await;
            }
            "disconnect" | "terminate" => {
                self.send(success(&request, json!({}))).await;
                self.ended = true;
            }
            "setBreakpoints" => self.set_breakpoints(request).await,
            "threads" => self.threads(request).await,
            _ if STANDING.contains(&command.as_str()) => self.stand(request).await,
            _ => {
                let mut arguments = request["arguments"].clone();
                // What concerns no thread concerns any process.
                let link = match self.handles.theirs(&mut arguments) {
                    Ok(link) => link.or_else(|| self.begun().map(|(number, _)| number).min()),
                    Err(why) => return self.send(failure(&request, why)).await,
                };
                match link.and_then(|link| self.links.get_mut(&link)) {
                    Some(link) => link.ask(&command, arguments, Asked::Client(request)).await,
                    None => self.send(failure(&request, NO_WORKER)).await,
                }
            }
        }
    }

    async fn set_breakpoints(&mut self, request: Value) {
        let arguments = request["arguments"].clone();
        let wanted = arguments["breakpoints"].as_array().cloned().unwrap_or_default();
        let ids: Vec<u64> = (1..=wanted.len() as u64).map(|index| self.last_breakpoint + index).collect();
        self.last_breakpoint += wanted.len() as u64;
        let source = arguments["source"].clone();
        let path = source["path"].clone();
        self.sources.retain(|known| known.source["path"] != path);
        self.sources.push(Source { source, arguments: arguments.clone(), ids: ids.clone() });
        if self.begun().next().is_none() {
            let answer = |(id, wanted): (&u64, &Value)| json!({ "id": id, "verified": false, "line": wanted["line"], "message": NO_WORKER });
            let answers: Vec<Value> = ids.iter().zip(&wanted).map(answer).collect();
            return self.send(success(&request, json!({ "breakpoints": answers }))).await;
        }
        // The first one answers the client.
        let mut request = Some(request);
        for (_, link) in self.begun() {
            let asked = request.take().map_or_else(|| Asked::Breakpoints(path.clone()), Asked::Client);
            link.ask("setBreakpoints", arguments.clone(), asked).await;
        }
    }

    async fn stand(&mut self, request: Value) {
        let command = request["command"].as_str().unwrap_or_default();
        let Some(command) = STANDING.into_iter().find(|name| *name == command) else { return };
        let arguments = request["arguments"].clone();
        self.standing.insert(command, arguments.clone());
        if self.begun().next().is_none() {
            return self.send(success(&request, json!({ "breakpoints": [] }))).await;
        }
        let mut request = Some(request);
        for (_, link) in self.begun() {
            let asked = request.take().map_or(Asked::Own, Asked::Client);
            link.ask(command, arguments.clone(), asked).await;
        }
    }

    async fn threads(&mut self, request: Value) {
        let number = request["seq"].as_u64().unwrap_or_default();
        let mut asked = 0;
        for (_, link) in self.begun() {
            link.ask("threads", json!({}), Asked::Threads(number)).await;
            asked += 1;
        }
        if asked == 0 {
            return self.send(success(&request, json!({ "threads": [] }))).await;
        }
        self.gathering.insert(number, (request, Vec::new(), asked));
    }

    /// One process has told its threads, or has ended.
    async fn gather(&mut self, number: u64, more: Vec<Value>) {
        let Some((_, threads, missing)) = self.gathering.get_mut(&number) else { return };
        threads.extend(more);
        *missing -= 1;
        if *missing == 0
            && let Some((request, threads, _)) = self.gathering.remove(&number)
        {
            self.send(success(&request, json!({ "threads": threads }))).await;
        }
    }

    /// The links that can be asked for something.
    fn begun(&mut self) -> impl Iterator<Item = (LinkNumber, &mut Link)> {
        self.links.iter_mut().filter(|(_, link)| link.begun).map(|(number, link)| (*number, link))
    }

    /// Begins to do with a worker's adapter what the client has done with us.
    async fn came(&mut self, offer: &Offer) {
        let Some((client, _)) = &self.subscription else { return };
        let client = *client;
        if self.attach(client, offer).await.is_none() {
            self.registry.lost(client, offer.worker, "cannot reach its debug adapter");
        }
    }

    async fn attach(&mut self, client: u64, offer: &Offer) -> Option<()> {
        let (port, pid) = offer.adapter?;
        let stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let (adapter, mut messages) = Framed::new(stream, Codec).split();
        self.last_link += 1;
        let number = self.last_link;
        let to_session = self.to_session.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let _ = to_session.send((number, Some(message)));
            }
            let _ = to_session.send((number, None));
        });
        let mut link = Link {
            worker: offer.worker,
            pid,
            begun: false,
            adapter,
            numbers: Numbers::default(),
            asked: HashMap::new(),
            breakpoints: HashMap::new(),
            stopped: None,
            _reader: AbortOnDropHandle::new(reader),
        };
        link.ask("initialize", json!({ "adapterID": "sst", "clientID": "sst" }), Asked::Own).await;
        link.ask("attach", json!({ "sst": client }), Asked::Own).await;
        self.links.insert(number, link);
        Some(())
    }

    /// An adapter that begins has said something. When it is ready to, it is told what holds for all workers.
    async fn begin(&mut self, number: LinkNumber, message: Value) {
        match (message["type"].as_str(), message["event"].as_str()) {
            (Some("response"), _) if message["success"] != true => self.lost(number).await,
            (Some("response"), _) if message["command"] == "initialize" => {
                self.send(event("capabilities", json!({ "capabilities": message["body"] }))).await;
            }
            (Some("event"), Some("initialized")) => {
                let Some(link) = self.links.get_mut(&number) else { return };
                for Source { source, arguments, .. } in &self.sources {
                    let asked = Asked::Breakpoints(source["path"].clone());
                    link.ask("setBreakpoints", arguments.clone(), asked).await;
                }
                for (command, arguments) in &self.standing {
                    link.ask(command, arguments.clone(), Asked::Own).await;
                }
                link.ask("configurationDone", json!({}), Asked::Own).await;
                link.begun = true;
            }
            _ => {}
        }
    }

    async fn heard(&mut self, number: LinkNumber, mut message: Value) {
        let several = self.links.len() > 1;
        let Some(link) = self.links.get_mut(&number) else { return };
        if !link.begun {
            return self.begin(number, message).await;
        }
        match message["type"].as_str() {
            Some("event") => {
                self.handles.ours(number, &mut message["body"]);
                match message["event"].as_str() {
                    // The end of a process is not the end of the session.
                    Some("terminated" | "exited" | "initialized") => return,
                    Some("stopped") => {
                        link.stopped = Some(message["body"]["threadId"].clone());
                        if several {
                            // Not those of the other processes.
                            message["body"]["allThreadsStopped"] = false.into();
                        }
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
                let asked = message["request_seq"].as_u64().and_then(|number| link.asked.remove(&number));
                match asked {
                    Some(Asked::Client(request)) => {
                        if request["command"] == "setBreakpoints" {
                            let path = &request["arguments"]["source"]["path"];
                            let known = self.sources.iter().find(|known| known.source["path"] == *path);
                            link.number(known, &mut message);
                        }
                        if request["command"] == "continue" {
                            link.stopped = None;
                            if several {
                                message["body"]["allThreadsContinued"] = false.into();
                            }
                        }
                        self.handles.ours(number, &mut message["body"]);
                        message["request_seq"] = request["seq"].clone();
                        self.send(message).await;
                    }
                    Some(Asked::Threads(group)) => {
                        self.handles.ours(number, &mut message["body"]);
                        let mut threads = message["body"]["threads"].as_array().cloned().unwrap_or_default();
                        for thread in threads.iter_mut().filter(|_| several) {
                            let name = thread["name"].as_str().unwrap_or("thread");
                            thread["name"] = format!("{name} [{}]", link.pid).into();
                        }
                        self.gather(group, threads).await;
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

    /// A worker has gone. What the client believes to be stopped in it is not there any more.
    async fn lost(&mut self, number: LinkNumber) {
        let Some(link) = self.links.remove(&number) else { return };
        if !link.begun
            && let Some((client, _)) = &self.subscription
        {
            self.registry.lost(*client, link.worker, "has lost its debug adapter");
        }
        for (_, asked) in link.asked {
            match asked {
                Asked::Client(request) => self.send(failure(&request, "the process has ended")).await,
                Asked::Threads(group) => self.gather(group, Vec::new()).await,
                Asked::Breakpoints(_) | Asked::Own => {}
            }
        }
        if let Some(thread) = link.stopped {
            let body = json!({ "threadId": thread, "allThreadsContinued": self.links.is_empty() });
            self.send(event("continued", body)).await;
            self.send(event("thread", json!({ "reason": "exited", "threadId": thread }))).await;
        }
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

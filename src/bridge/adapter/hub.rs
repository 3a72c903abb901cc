//! All workers of all languages in one debugging session: a debug adapter that debugs nothing itself and has the client start a
//! child session for each worker.
//!
//! A child is a `debugServer`: the client connects to a debug adapter of ours for that worker. Node workers are one child, the
//! inspector endpoint, which has children of its own.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::{codec::Framed, task::AbortOnDropHandle};

use super::dap::{Codec, Numbers, client_name, event, failure, success, unverified};
use crate::{
    bridge::registry::{Change, Offer, Registry, Subscription, Wants, next_change},
    descriptors,
    ids::WorkerId,
    tasks,
};

/// Serves clients until dropped. `inspector` is the endpoint for Node workers.
pub(in crate::bridge) async fn serve(listener: TcpListener, registry: Arc<Registry>, inspector: SocketAddr) {
    let mut clients = JoinSet::new();
    loop {
        let (stream, _) = descriptors::accept(&listener).await;
        tasks::reap(&mut clients);
        let registry = registry.clone();
        clients.spawn(async move {
            let mut session = Session::new(Framed::new(stream, Codec), registry, inspector);
            session.run().await;
            session.leave();
        });
    }
}

/// One client.
struct Session {
    client: Framed<TcpStream, Codec>,
    registry: Arc<Registry>,
    inspector: SocketAddr,
    /// What people call it.
    name: String,
    /// The other clients of which it was told that they debug workers.
    others: BTreeSet<u64>,
    numbers: Numbers,
    /// There once the client has told its breakpoints.
    subscription: Option<Subscription>,
    /// The requests to start a session, and for which worker; none is the one for all Node workers.
    starting: Vec<(u64, Option<WorkerId>)>,
    /// What the child for Node is connected through; its end ends that child.
    passage: Option<AbortOnDropHandle<()>>,
    ended: bool,
}

impl Session {
    fn new(client: Framed<TcpStream, Codec>, registry: Arc<Registry>, inspector: SocketAddr) -> Self {
        let (numbers, starting) = (Numbers::default(), Vec::new());
        Self {
            client,
            registry,
            inspector,
            name: String::new(),
            others: BTreeSet::new(),
            numbers,
            subscription: None,
            starting,
            passage: None,
            ended: false,
        }
    }

    async fn run(&mut self) {
        while !self.ended {
            tokio::select! {
                message = self.client.next() => match message {
                    Some(Ok(message)) => match message["type"].as_str() {
                        Some("request") => self.request(&message).await,
                        Some("response") => self.response(&message),
                        _ => {}
                    },
                    Some(Err(_)) | None => return,
                },
                change = next_change(&mut self.subscription) => match change {
                    Change::Came(offer) => self.came(&offer).await,
                    // The child's own adapter ends it.
                    Change::Went(_) => {}
                    Change::Taken(number, name) => self.taken(number, &name).await,
                },
            }
        }
    }

    async fn request(&mut self, request: &Value) {
        match request["command"].as_str().unwrap_or_default() {
            "initialize" => {
                self.name = format!("{} (all languages)", client_name(request));
                self.send(success(request, json!({ "supportsConfigurationDoneRequest": true }))).await;
                self.send(event("initialized", json!({}))).await;
            }
            "attach" | "launch" => self.send(success(request, json!({}))).await,
            "configurationDone" => {
                // Before the answer, after which a call may come at once.
                let subscription = self.registry.subscribe(Wants::Adapters, self.name.clone());
                if self.registry.has_node() {
                    self.registry.inspector_comes(subscription.0);
                }
                self.subscription = Some(subscription);
                self.send(success(request, json!({}))).await;
                let text = "Every worker process of the app appears as a session of its own.\n";
                self.send(event("output", json!({ "category": "console", "output": text }))).await;
                self.attach_node().await;
            }
            "setBreakpoints" => {
                // Not verified, or they would look set where nothing is attached.
                self.send(unverified(request, "set when a function's process starts")).await;
            }
            "setFunctionBreakpoints" | "setExceptionBreakpoints" | "setInstructionBreakpoints" => {
                self.send(success(request, json!({ "breakpoints": [] }))).await;
            }
            "threads" => self.send(success(request, json!({ "threads": [] }))).await,
            "disconnect" | "terminate" => {
                self.send(success(request, json!({}))).await;
                self.ended = true;
            }
            _ => self.send(failure(request, "not supported")).await,
        }
    }

    /// The client says whether it could start a session.
    fn response(&mut self, response: &Value) {
        let number = response["request_seq"].as_u64().unwrap_or_default();
        let Some(index) = self.starting.iter().position(|(started, _)| *started == number) else { return };
        let (_, worker) = self.starting.remove(index);
        if response["success"] != true
            && let Some((client, _)) = &self.subscription
        {
            match worker {
                Some(worker) => self.registry.lost(*client, worker, "could not start a session for it"),
                None => self.registry.inspector_fails(*client, "could not start its part for Node"),
            }
        }
    }

    /// The session for all Node workers. Through a passage of our own, because the end of this session ends none of its children.
    async fn attach_node(&mut self) {
        let Some((client, _)) = &self.subscription else { return };
        if !self.registry.has_node() {
            return;
        }
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        let Ok((address, listener)) = listener.and_then(|listener| Ok((listener.local_addr()?, listener)))
        else {
            return self.registry.inspector_came(*client);
        };
        self.passage = Some(AbortOnDropHandle::new(tokio::spawn(pass(listener, self.inspector))));
        let configuration = json!({
            "name": "node",
            "address": "127.0.0.1",
            "port": address.port(),
            "continueOnAttach": true,
            "autoAttachChildProcesses": false,
            "skipFiles": ["<node_internals>/**", "**/.sst/tool/**"],
        });
        let number = self.start(configuration).await;
        self.starting.push((number, None));
    }

    async fn came(&mut self, offer: &Offer) {
        let (Some((port, pid)), Some((client, _))) = (offer.adapter, &self.subscription) else { return };
        // The process id makes it another name than that of the session before, which would get a number behind it.
        let name = format!("{} [{pid}]", offer.title);
        let configuration =
            json!({ "name": name, "debugServer": port, "sst": client, "justMyCode": true, "mode": "remote" });
        let number = self.start(configuration).await;
        self.starting.push((number, Some(offer.worker)));
    }

    /// Another client debugs a worker. That is said once of each, or an editor would show an error for every process.
    async fn taken(&mut self, number: u64, name: &str) {
        if !self.others.insert(number) {
            return;
        }
        let text = format!(
            "{name} is attached already, and processes that do not run on Node have one debugger at a time: they appear here when \
            it has left. Those on Node are shown by both.\n"
        );
        // Editors show what is important where it is seen.
        self.send(event("output", json!({ "category": "important", "output": text }))).await;
    }

    async fn start(&mut self, configuration: Value) -> u64 {
        let arguments = json!({ "request": "attach", "configuration": configuration });
        let request = json!({ "type": "request", "command": "startDebugging", "arguments": arguments });
        let (request, number) = self.numbers.number(request);
        let _ = self.client.send(request).await;
        number
    }

    async fn send(&mut self, message: Value) {
        let (message, _) = self.numbers.number(message);
        // A client that is gone is noticed when it is read from.
        let _ = self.client.send(message).await;
    }

    /// The client's children are to end as well.
    fn leave(self) {
        if let Some((client, _)) = self.subscription {
            self.registry.unsubscribe(client);
        }
    }
}

/// Passes connections on to `target` until dropped.
async fn pass(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = descriptors::accept(&listener).await;
        tasks::reap(&mut connections);
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

//! One debugger. Its own session is the root, which has nothing to debug; the workers are its children.

use std::{collections::HashMap, sync::Arc};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{
    breakpoints::Breakpoints,
    place::Scripts,
    upstream::{self, FromWorker},
};
use crate::{
    bridge::registry::{Change, Missing, Offer, Registry, Subscription, Wants, next_change},
    ids::WorkerId,
};

/// Serves one debugger until it leaves.
pub(super) async fn serve(mut socket: WebSocket, registry: Arc<Registry>, name: String) {
    let (inbox, mut from_workers) = mpsc::unbounded_channel();
    let mut client = Client {
        registry: registry.clone(),
        name,
        subscription: None,
        node_worker: false,
        target: false,
        children: HashMap::new(),
        inbox,
        out: Vec::new(),
    };
    loop {
        for text in std::mem::take(&mut client.out) {
            if socket.send(Message::Text(text)).await.is_err() {
                return client.leave();
            }
        }
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => client.request(&text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return client.leave(),
                Some(Ok(_)) => {}
            },
            change = next_change(&mut client.subscription) => match change {
                Change::Came(offer) => client.came(&offer),
                Change::Went(worker) => client.went(worker),
                // Node has any number of clients.
                Change::Taken(..) => {}
            },
            Some((session, what)) = from_workers.recv() => client.heard(&session, what),
        }
    }
}

struct Client {
    registry: Arc<Registry>,
    /// What people call it.
    name: String,
    /// There once the client has asked for children.
    subscription: Option<Subscription>,
    /// The dialects that the client speaks. One that has not spoken a dialect gets nothing in it: js-debug ends its session when it
    /// is sent `Target` events or a session id that it does not know.
    node_worker: bool,
    target: bool,
    children: HashMap<String, Child>,
    inbox: mpsc::UnboundedSender<(String, FromWorker)>,
    out: Vec<Utf8Bytes>,
}

struct Child {
    offer: Offer,
    to_worker: mpsc::UnboundedSender<tokio_tungstenite::tungstenite::Utf8Bytes>,
    announced: bool,
    scripts: Scripts,
    /// The id of the request with which the client said that it has set its breakpoints. They are set when it is answered.
    ready: Option<Value>,
    breakpoints: Breakpoints,
    /// What was missing when the client had said so, until nothing is.
    missing: Option<Missing>,
}

/// Whether a client that wants to hear of workers will say when each of them may run.
fn promises(params: &Map<String, Value>) -> bool {
    params.get("waitForDebuggerOnStart").and_then(Value::as_bool).unwrap_or_default()
}

impl Client {
    /// Answers a message. Every request gets an answer.
    fn request(&mut self, text: &str) {
        let Ok(Value::Object(mut message)) = serde_json::from_str::<Value>(text) else { return };
        if let Some(Value::String(session)) = message.get("sessionId").cloned() {
            message.remove("sessionId");
            return self.pass_on(&session, Value::Object(message));
        }
        let Some(id) = message.get("id").cloned() else { return };
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        let none = Map::new();
        let params = message.get("params").and_then(Value::as_object).unwrap_or(&none);
        let text_of = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut after = None;
        let result = match method.as_str() {
            "NodeWorker.enable" => {
                self.node_worker = true;
                after = Some(promises(params));
                Ok(json!({}))
            }
            "NodeWorker.sendMessageToWorker" => {
                let session = text_of("sessionId");
                let inner = text_of("message");
                if self.forward(&session, inner) { Ok(json!({})) } else { Err("no such worker") }
            }
            "NodeWorker.detach" | "Target.detachFromTarget" => {
                self.children.remove(&text_of("sessionId"));
                Ok(json!({}))
            }
            "NodeWorker.disable" => {
                self.node_worker = false;
                if !self.target {
                    self.unsubscribe();
                }
                Ok(json!({}))
            }
            "Target.setAutoAttach" | "Target.setDiscoverTargets" => {
                self.target = true;
                after = Some(promises(params));
                Ok(json!({}))
            }
            "Target.getTargets" => {
                let targets: Vec<Value> =
                    self.children.values().map(|child| target_info(&child.offer, true)).collect();
                Ok(json!({ "targetInfos": targets }))
            }
            "Target.attachToTarget" => {
                let wanted = text_of("targetId");
                let found = self.children.iter().find(|(_, child)| child.offer.worker.to_string() == wanted);
                found.map(|(session, _)| json!({ "sessionId": session })).ok_or("no such target")
            }
            "Debugger.enable" => Ok(json!({ "debuggerId": "sst" })),
            "Debugger.setBreakpointByUrl" => {
                let place =
                    format!("{}:{}", text_of("url"), params.get("lineNumber").unwrap_or(&Value::Null));
                Ok(json!({ "breakpointId": format!("sst:{place}"), "locations": [] }))
            }
            "Runtime.getIsolateId" => Ok(json!({ "id": "sst" })),
            // An answer would tell js-debug a process whose children it looks for, and which it may kill.
            "Runtime.evaluate" => Err("there is nothing to evaluate in; choose a worker"),
            "Runtime.enable"
            | "Runtime.disable"
            | "Runtime.runIfWaitingForDebugger"
            | "Runtime.setAsyncCallStackDepth"
            | "Runtime.setCustomObjectFormatterEnabled"
            | "Runtime.discardConsoleEntries"
            | "Debugger.disable"
            | "Debugger.removeBreakpoint"
            | "Debugger.setAsyncCallStackDepth"
            | "Debugger.setBlackboxPatterns"
            | "Debugger.setBlackboxExecutionContexts"
            | "Debugger.setBreakpointsActive"
            | "Debugger.setPauseOnExceptions"
            | "Debugger.setSkipAllPauses"
            | "Target.setRemoteLocations" => Ok(json!({})),
            _ => Err("not supported by the root; choose a worker"),
        };
        self.send(&match result {
            Ok(result) => json!({ "id": id, "result": result }),
            Err(message) => json!({ "id": id, "error": { "code": -32601, "message": message } }),
        });
        if let Some(promises) = after {
            self.subscribe();
            if let Some((client, _)) = self.subscription.as_ref().filter(|_| promises) {
                self.registry.promises(*client);
            }
        }
    }

    fn subscribe(&mut self) {
        if self.subscription.is_none() {
            self.subscription = Some(self.registry.subscribe(Wants::Inspectors, self.name.clone()));
            return;
        }
        // The second dialect of a client that has its children already.
        let sessions: Vec<String> = self.children.keys().cloned().collect();
        for session in sessions {
            self.announce(&session);
        }
    }

    fn unsubscribe(&mut self) {
        self.children.clear();
        if let Some((id, _)) = self.subscription.take() {
            self.registry.unsubscribe(id);
        }
    }

    fn leave(mut self) {
        self.unsubscribe();
    }

    fn came(&mut self, offer: &Offer) {
        let session = self.registry.session(offer.worker);
        let (to_worker, outbox) = mpsc::unbounded_channel();
        tokio::spawn(upstream::run(offer.url.clone(), session.clone(), outbox, self.inbox.clone()));
        self.children.insert(
            session,
            Child {
                offer: offer.clone(),
                to_worker,
                announced: false,
                scripts: Scripts::default(),
                ready: None,
                breakpoints: Breakpoints::default(),
                missing: None,
            },
        );
    }

    fn went(&mut self, worker: WorkerId) {
        let sessions: Vec<String> = self
            .children
            .iter()
            .filter(|(_, child)| child.offer.worker == worker)
            .map(|(id, _)| id.clone())
            .collect();
        for session in sessions {
            self.remove(&session);
        }
    }

    fn heard(&mut self, session: &str, what: FromWorker) {
        let Some(child) = self.children.get_mut(session) else { return };
        let worker = child.offer.worker;
        match what {
            FromWorker::Open => {
                child.announced = true;
                self.announce(session);
            }
            FromWorker::Closed => {
                if let Some((client, _)) = &self.subscription {
                    self.registry.lost(*client, worker, "has lost its connection");
                }
                self.remove(session);
            }
            FromWorker::Text(text) => {
                tracing::trace!(session, text = text.as_str(), "from worker");
                let is_ready =
                    child.ready.as_ref().is_some_and(|id| text.starts_with(&format!("{{\"id\":{id},")));
                if is_ready {
                    child.ready = None;
                }
                let is_news = child.breakpoints.answer(&text);
                if is_ready || (is_news && child.missing.is_some()) {
                    let mut missing = child.breakpoints.missing(&mut child.scripts);
                    // DevTools says nothing of what it is about to set.
                    if self.target && child.scripts.have_maps() {
                        missing = missing.max(Missing::Perhaps);
                    }
                    let before = child.missing.replace(missing);
                    if let Some((client, _)) = &self.subscription
                        && before != Some(missing)
                    {
                        self.registry.ready(*client, worker, missing);
                    }
                    child.missing = child.missing.filter(|missing| *missing != Missing::Nothing);
                }
                if let Some((client, _)) = &self.subscription {
                    child.scripts.hear(&self.registry, *client, worker, &text);
                }
                if self.node_worker {
                    let params = json!({ "sessionId": session, "message": text.as_str() });
                    self.send(&json!({ "method": "NodeWorker.receivedMessageFromWorker", "params": params }));
                }
                if self.target
                    && let Some(rest) = text.as_str().strip_prefix('{')
                {
                    // The rest of the message stays as it is, to the byte.
                    self.out.push(format!("{{\"sessionId\":\"{session}\",{rest}").into());
                }
            }
        }
    }

    /// A message with a session id at its top, in the `Target` dialect.
    fn pass_on(&mut self, session: &str, message: Value) {
        let id = message.get("id").cloned();
        if !self.forward(session, message.to_string())
            && let Some(id) = id
        {
            let error = json!({ "code": -32001, "message": "Session with given id not found." });
            self.send(&json!({ "id": id, "sessionId": session, "error": error }));
        }
    }

    fn forward(&mut self, session: &str, message: String) -> bool {
        let Some(child) = self.children.get_mut(session) else { return false };
        tracing::trace!(session, message, "to worker");
        child.breakpoints.request(&message);
        if message.contains("\"Runtime.runIfWaitingForDebugger\"") {
            let parsed: Value = serde_json::from_str(&message).unwrap_or_default();
            child.ready = parsed.get("id").cloned();
        } else if message.contains("beforeScriptWithSourceMapExecution")
            && let Some((client, _)) = &self.subscription
        {
            self.registry.stops_at_scripts(*client);
        }
        child.to_worker.send(message.into()).is_ok()
    }

    fn announce(&mut self, session: &str) {
        let Some(child) = self.children.get(session) else { return };
        if !child.announced {
            return;
        }
        let offer = child.offer.clone();
        if self.node_worker {
            let info = json!({
                "workerId": offer.worker.to_string(),
                "type": "worker",
                "title": offer.title,
                "url": url_of(&offer),
            });
            let params = json!({ "sessionId": session, "workerInfo": info, "waitingForDebugger": true });
            self.send(&json!({ "method": "NodeWorker.attachedToWorker", "params": params }));
        }
        if self.target {
            let info = target_info(&offer, false);
            self.send(&json!({ "method": "Target.targetCreated", "params": { "targetInfo": info } }));
            let info = target_info(&offer, true);
            let params = json!({ "sessionId": session, "targetInfo": info, "waitingForDebugger": true });
            self.send(&json!({ "method": "Target.attachedToTarget", "params": params }));
        }
    }

    fn remove(&mut self, session: &str) {
        let Some(child) = self.children.remove(session) else { return };
        if !child.announced {
            return;
        }
        if self.node_worker {
            self.send(
                &json!({ "method": "NodeWorker.detachedFromWorker", "params": { "sessionId": session } }),
            );
        }
        if self.target {
            let target = child.offer.worker.to_string();
            let params = json!({ "sessionId": session, "targetId": target });
            self.send(&json!({ "method": "Target.detachedFromTarget", "params": params }));
            self.send(&json!({ "method": "Target.targetDestroyed", "params": { "targetId": target } }));
        }
    }

    fn send(&mut self, message: &Value) {
        self.out.push(message.to_string().into());
    }
}

fn target_info(offer: &Offer, attached: bool) -> Value {
    json!({
        "targetId": offer.worker.to_string(),
        "type": "node_worker",
        "title": offer.title,
        "url": url_of(offer),
        "attached": attached,
        "canAccessOpener": false,
    })
}

/// DevTools shows what follows the last slash.
fn url_of(offer: &Offer) -> String {
    format!("lambda://{}#{}", offer.title, offer.worker)
}

#[cfg(test)]
mod fuzz;

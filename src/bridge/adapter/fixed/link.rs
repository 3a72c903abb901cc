//! The connection to the debug adapter of one worker, and what it was asked.

use std::collections::HashMap;

use futures_util::{SinkExt, stream::SplitSink};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{super::dap::Numbers, Connection};
use crate::ids::WorkerId;

/// A file with breakpoints.
pub(super) struct Source {
    pub source: Value,
    pub arguments: Value,
    /// The client's numbers for its breakpoints.
    pub ids: Vec<u64>,
}

/// The connection to the debug adapter of one worker.
pub(super) struct Link {
    pub worker: WorkerId,
    pub pid: u32,
    /// It has been told everything that holds for all workers. Before that its debugger begins, which may take seconds; nothing is asked
    /// of it then, and nothing else waits for it.
    pub begun: bool,
    pub adapter: SplitSink<Connection, Value>,
    pub numbers: Numbers,
    pub asked: HashMap<u64, Asked>,
    /// The adapter's numbers of breakpoints, and the client's.
    pub breakpoints: HashMap<u64, u64>,
    /// The thread that is stopped, as the client knows it.
    pub stopped: Option<Value>,
    pub _reader: AbortOnDropHandle<()>,
}

pub(super) enum Asked {
    /// By the client.
    Client(Value),
    /// A part of what the client wants to know.
    Threads(u64),
    /// Breakpoints that the client has set elsewhere: in which file.
    Breakpoints(Value),
    Own,
}

impl Link {
    pub(super) async fn ask(&mut self, command: &str, arguments: Value, asked: Asked) {
        let request = json!({ "type": "request", "command": command, "arguments": arguments });
        let (request, number) = self.numbers.number(request);
        self.asked.insert(number, asked);
        // One that is gone is noticed when it is read from.
        let _ = self.adapter.send(request).await;
    }

    /// Gives the breakpoints of a response the client's numbers.
    pub(super) fn number(&mut self, source: Option<&Source>, response: &mut Value) {
        let ids = source.map(|source| source.ids.as_slice()).unwrap_or_default();
        let set = response["body"]["breakpoints"].as_array_mut();
        for (breakpoint, id) in set.into_iter().flatten().zip(ids) {
            if let Some(theirs) = breakpoint["id"].as_u64() {
                self.breakpoints.insert(theirs, *id);
            }
            breakpoint["id"] = (*id).into();
        }
    }

    pub(super) fn translate(&self, id: &mut Value) {
        if let Some(ours) = id.as_u64().and_then(|theirs| self.breakpoints.get(&theirs)) {
            *id = (*ours).into();
        }
    }
}

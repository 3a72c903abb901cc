//! The last calls, in memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
    time::SystemTime,
};

use serde::Serialize;

use super::{
    Fact,
    board::{Board, BoardChanges, Doing},
    call::{Call, millis},
    mask::Mask,
    record::{Query, Summary},
};
use crate::{ids::WorkerId, ui::UiEvent};

/// How many calls are remembered.
const MOST_CALLS: usize = 2_000;

/// How much memory they take at most, in bytes. Events and results of the oldest ones are forgotten first.
const MOST_BYTES: usize = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    mask: Arc<Mask>,
    calls: HashMap<String, Entry>,
    /// Their ids, in order of arrival.
    order: VecDeque<String>,
    /// Which call each worker has.
    serving: HashMap<WorkerId, String>,
    /// The number of the last change.
    change: u64,
    /// Which call has changed last at each change, for whoever wants only what is new.
    changed: BTreeMap<u64, String>,
    /// Functions, connection, infrastructure.
    board: Board,
    bytes: usize,
    /// How many of the first calls have forgotten their event and result already.
    forgotten: usize,
    /// Those that have ended since they were asked for.
    ended: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    call: Call,
    /// What it weighed when it was weighed last.
    weight: usize,
    /// The number of its last change.
    change: u64,
}

/// What has changed.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    /// The number of the last change.
    pub change: u64,
    /// Calls, in the order in which they have.
    pub invocations: Vec<Summary>,
    #[serde(flatten)]
    board: BoardChanges,
}

impl Store {
    /// An empty one.
    pub(super) fn new(mask: Mask) -> Self {
        Self {
            mask: Arc::new(mask),
            calls: HashMap::new(),
            order: VecDeque::new(),
            serving: HashMap::new(),
            change: 0,
            changed: BTreeMap::new(),
            board: Board::default(),
            bytes: 0,
            forgotten: 0,
            ended: Vec::new(),
        }
    }

    /// Takes in what has happened.
    pub(super) fn take_in(&mut self, at: SystemTime, fact: Fact) {
        match fact {
            Fact::Arrived(invocation) => {
                let call = Call::new(*invocation, at, self.mask.clone());
                self.insert(call.summary.id.clone(), call);
            }
            Fact::Given { request, worker } => {
                let id = request.to_string();
                self.update(&id, |call| call.summary.waited_ms = Some(since(call.summary.at, at)));
                self.serving.insert(worker, id);
                self.board.does(worker, Doing::Serving, self.change);
            }
            Fact::Waits { worker } => {
                let next = self.change + 1;
                self.change += u64::from(self.board.does(worker, Doing::Waiting, next));
            }
            Fact::Started { worker, function } => {
                self.change += 1;
                self.board.started(worker, function, self.change);
            }
            Fact::Exited { worker } => {
                let next = self.change + 1;
                self.change += u64::from(self.board.ended(worker, next));
            }
            Fact::Building { function } => {
                self.change += 1;
                self.board.building(&function, millis(at), self.change);
            }
            Fact::Built { function, error } => {
                self.change += 1;
                self.board.built(&function, error, millis(at), self.change);
            }
            Fact::Functions(functions) => self.board.only(&functions),
            Fact::Connection { lost } => {
                let next = self.change + 1;
                self.change += u64::from(self.board.connected(lost, millis(at), next));
            }
            Fact::Infrastructure(infrastructure) => {
                self.change += 1;
                self.board.infrastructure(infrastructure, self.change);
            }
            Fact::Resumed { worker } => {
                let Some(id) = self.serving.get(&worker).cloned() else { return };
                self.update(&id, Call::resumed);
            }
            Fact::Told(event) => self.told(at, event),
            Fact::Over => {}
            Fact::Answered { request, answer } => {
                let id = request.to_string();
                self.update(&id, |call| call.answered(answer));
                if self.calls.get(&id).is_some_and(|entry| entry.call.has_ended()) {
                    self.serving.retain(|_, served| *served != id);
                    self.ended.push(id);
                }
            }
        }
        self.make_room();
    }

    fn told(&mut self, at: SystemTime, event: UiEvent) {
        match event {
            UiEvent::Request { request, source, .. } => {
                self.update(request.as_str(), |call| call.summary.source = source);
            }
            UiEvent::Log { request: Some(request), line, .. } => {
                self.update(request.as_str(), |call| call.wrote(line, at));
            }
            UiEvent::Response { request, took, summary, .. } => self.update(request.as_str(), |call| {
                call.summary.took_ms = Some(took.as_secs_f64() * 1000.0);
                call.summary.summary = summary;
            }),
            UiEvent::Failure { request, took, detail, .. } => self.update(request.as_str(), |call| {
                call.summary.took_ms = Some(took.as_secs_f64() * 1000.0);
                call.failed(detail);
            }),
            UiEvent::Paused { request, place, left, .. } => {
                let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                self.update(request.as_str(), |call| call.paused(place, left_ms));
            }
            _ => {}
        }
    }

    /// How many changes are known.
    #[cfg(test)]
    pub(super) fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// Functions, connection, infrastructure.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// How many workers are known to have a call.
    #[cfg(test)]
    pub(super) fn serving_count(&self) -> usize {
        self.serving.len()
    }

    /// The number of the last change.
    pub(super) fn change(&self) -> u64 {
        self.change
    }

    /// The calls that have ended since this was asked last.
    pub(super) fn ended(&mut self) -> Vec<Call> {
        let ended = std::mem::take(&mut self.ended);
        ended.iter().filter_map(|id| Some(self.calls.get(id)?.call.clone())).collect()
    }

    /// The calls that are wanted, the last one first.
    pub(super) fn list(&self, query: &Query) -> Vec<Summary> {
        let all = self.order.iter().rev().filter_map(|id| self.calls.get(id));
        let wanted = all.map(|entry| &entry.call.summary).filter(|summary| query.wants(summary));
        wanted.take(query.limit).cloned().collect()
    }

    /// The call with an id, or whose id begins so; for `last`, the last one.
    ///
    /// # Errors
    /// A sentence, when there are several.
    pub(super) fn find(&self, id: &str) -> Result<Option<Call>, String> {
        if let Some(entry) = self.calls.get(id) {
            return Ok(Some(entry.call.clone()));
        }
        if id == "last" {
            let last = self.order.back().and_then(|id| self.calls.get(id));
            return Ok(last.map(|entry| entry.call.clone()));
        }
        let mut found = self.order.iter().filter(|known| known.starts_with(id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(self.calls.get(one).map(|entry| entry.call.clone())),
            (None, _) => Ok(None),
            (Some(one), Some(other)) => {
                Err(format!("`{id}` could be several calls, e.g. `{one}` and `{other}`"))
            }
        }
    }

    /// What has changed since a number, in order.
    pub(super) fn since(&self, after: u64) -> Changes {
        let changed = self
            .changed
            .range((Bound::Excluded(after), Bound::Unbounded))
            .filter_map(|(_, id)| self.calls.get(id));
        Changes {
            change: self.change,
            invocations: changed.map(|entry| entry.call.summary.clone()).collect(),
            board: self.board.since(after),
        }
    }

    fn insert(&mut self, id: String, call: Call) {
        self.change += 1;
        let weight = call.weight();
        self.bytes += weight;
        self.order.push_back(id.clone());
        self.changed.insert(self.change, id.clone());
        self.calls.insert(id, Entry { call, weight, change: self.change });
    }

    fn update(&mut self, id: &str, change: impl FnOnce(&mut Call)) {
        let Some(entry) = self.calls.get_mut(id) else { return };
        change(&mut entry.call);
        self.change += 1;
        let known = self.changed.remove(&entry.change).unwrap_or_else(|| id.to_owned());
        self.changed.insert(self.change, known);
        entry.change = self.change;
        let weight = entry.call.weight();
        self.bytes = self.bytes + weight - entry.weight;
        entry.weight = weight;
    }

    fn make_room(&mut self) {
        while self.order.len() > MOST_CALLS {
            let Some(entry) = self.order.pop_front().and_then(|id| self.calls.remove(&id)) else { continue };
            self.bytes -= entry.weight;
            self.changed.remove(&entry.change);
            self.forgotten = self.forgotten.saturating_sub(1);
        }
        // Those that run, and those that are not written yet, are passed over.
        let mut next = self.forgotten;
        while self.bytes > MOST_BYTES {
            let Some(entry) = self.order.get(next).and_then(|id| self.calls.get_mut(id)) else { return };
            next += 1;
            if !entry.call.has_ended() || self.ended.contains(&entry.call.summary.id) {
                continue;
            }
            if self.forgotten + 1 == next {
                self.forgotten = next;
            }
            entry.call.forget();
            let weight = entry.call.weight();
            self.bytes = self.bytes + weight - entry.weight;
            entry.weight = weight;
        }
    }
}

/// How long after a time in milliseconds since 1970 another one is, in milliseconds.
fn since(began: u64, at: SystemTime) -> f64 {
    millis(at).saturating_sub(began) as f64
}

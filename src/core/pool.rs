//! The worker processes, as the core sees them.

use std::{collections::BTreeMap, time::Instant};

use super::event::Target;
use crate::ids::{FunctionId, RequestId, WorkerId};

/// One worker process.
#[derive(Debug)]
pub(super) struct Worker {
    pub function: FunctionId,
    /// The values of the function's own variables that it was started with.
    pub environment: BTreeMap<String, String>,
    pub state: WorkerState,
    /// It takes no further invocation: its code or its environment is an old one.
    pub draining: bool,
    /// Debuggers are setting their breakpoints; it takes no invocation before they have.
    pub held: bool,
    /// How a debugger gets at it, once that is known.
    pub target: Option<Target>,
    /// Debuggers know of it.
    pub offered: bool,
    /// It does not load its function before the debuggers have set their breakpoints.
    pub gated: bool,
    /// The request it had last, to which late output belongs.
    pub last: Option<RequestId>,
}

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// It has not asked for an invocation yet.
    Starting,
    /// It waits for an invocation.
    Idle { since: Instant },
    /// It has an invocation.
    Busy { request: RequestId },
    /// It answered and has not asked for the next one yet.
    Finishing,
    /// It was told to end.
    Stopping,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    workers: BTreeMap<WorkerId, Worker>,
    last: u64,
}

impl Pool {
    /// Adds a worker that is about to start. A `held` one is given nothing before it is known to debuggers.
    pub fn add(
        &mut self,
        function: FunctionId,
        environment: BTreeMap<String, String>,
        gated: bool,
        held: bool,
    ) -> WorkerId {
        self.last += 1;
        let id = WorkerId(self.last);
        let worker = Worker {
            function,
            environment,
            state: WorkerState::Starting,
            draining: false,
            held,
            target: None,
            offered: false,
            gated,
            last: None,
        };
        self.workers.insert(id, worker);
        id
    }

    pub fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        self.workers.remove(&id)
    }

    /// The number of processes, those that are ending included: they hold memory until they are gone.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub fn of<'a>(&'a self, function: &'a FunctionId) -> impl Iterator<Item = (WorkerId, &'a Worker)> {
        self.iter().filter(move |(_, worker)| worker.function == *function)
    }

    /// The worker that has waited the shortest time, as Lambda prefers the warmest environment.
    pub fn idle_for(&self, function: &FunctionId) -> Option<WorkerId> {
        self.of(function)
            .filter_map(|(id, worker)| match worker.state {
                WorkerState::Idle { since } if !worker.draining && !worker.held => Some((since, id)),
                _ => None,
            })
            .max()
            .map(|(_, id)| id)
    }

    /// How many workers of a function are on their way to their first invocation.
    pub fn starting(&self, function: &FunctionId) -> usize {
        self.of(function)
            .filter(|(_, worker)| !worker.draining)
            .filter(|(_, worker)| match worker.state {
                WorkerState::Starting => true,
                WorkerState::Idle { .. } => worker.held,
                _ => false,
            })
            .count()
    }

    /// The idle worker that has waited longest, of whatever function.
    pub fn longest_idle(&self) -> Option<(Instant, WorkerId)> {
        self.iter()
            .filter_map(|(id, worker)| match worker.state {
                WorkerState::Idle { since } => Some((since, id)),
                _ => None,
            })
            .min()
    }
}

//! How things stand apart from calls: what is built of each function and runs of it, the connection to the stubs, and what waits to be
//! deployed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use crate::{
    app::ResourceChange,
    ids::{FunctionId, WorkerId},
};

/// How many changes of the connection are remembered.
const MOST_CHANGES: usize = 100;

/// See the module. Each part has the number of its last change.
#[derive(Debug, Default)]
pub(super) struct Board {
    functions: BTreeMap<FunctionId, (u64, FunctionState)>,
    workers: HashMap<WorkerId, (FunctionId, Doing)>,
    connection: (u64, Connection),
    infrastructure: (u64, Infrastructure),
}

/// What is built of a function, and runs of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FunctionState {
    pub id: FunctionId,
    pub build: Build,
    pub workers: Workers,
}

impl FunctionState {
    /// Nothing is built of it, and nothing runs.
    fn new(id: &FunctionId) -> Self {
        Self { id: id.clone(), build: Build::default(), workers: Workers::default() }
    }
}

/// The last build of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Build {
    pub state: BuildState,
    /// When that began to be so, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// How long the last one that ended took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Its error as the terminal shows it, with file, line, and code frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the code of a function is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BuildState {
    /// It was not built yet.
    #[default]
    None,
    /// It is being built.
    Building,
    /// The last build was good.
    Built,
    /// The last build failed. The code before it goes on serving, if there was any.
    Failed,
}

/// How many processes of a function do what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Workers {
    pub starting: usize,
    pub idle: usize,
    pub busy: usize,
}

impl Workers {
    fn who(&mut self, doing: Doing) -> &mut usize {
        match doing {
            Doing::Starting => &mut self.starting,
            Doing::Waiting => &mut self.idle,
            Doing::Serving => &mut self.busy,
        }
    }
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Starting,
    Waiting,
    Serving,
}

/// The connection to the stubs.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Connection {
    pub state: ConnectionState,
    /// What has become of it since the session began, the last change at the end.
    pub history: VecDeque<ConnectionChange>,
}

/// Whether there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ConnectionState {
    #[default]
    Connected,
    Lost,
}

/// It was lost, or is there again.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConnectionChange {
    /// In milliseconds since 1970.
    pub at: u64,
    pub state: ConnectionState,
    /// Why it was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is deployed, and what would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Infrastructure {
    pub state: InfrastructureState,
    /// What a deployment would change, each in a line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The resources that it would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceChange>,
    /// Why the last deployment or synthesis failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// See [`Infrastructure`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum InfrastructureState {
    /// It is being deployed.
    #[default]
    Deploying,
    /// It is deployed as it is on disk.
    Deployed,
    /// It is another one on disk, which waits to be deployed.
    Changed,
    /// What is on disk cannot be synthesised. What was deployed before goes on.
    Broken,
}

/// What has changed on it.
#[derive(Debug, Serialize)]
pub(super) struct BoardChanges {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<Infrastructure>,
}

impl Board {
    /// What has changed since a number. Nobody knows anything before the first one.
    pub(super) fn since(&self, after: u64) -> BoardChanges {
        let is_new = |change: u64| change > after || after == 0;
        let functions = self.functions.values().filter(|(change, _)| is_new(*change));
        BoardChanges {
            functions: functions.map(|(_, state)| state.clone()).collect(),
            connection: is_new(self.connection.0).then(|| self.connection.1.clone()),
            infrastructure: is_new(self.infrastructure.0).then(|| self.infrastructure.1.clone()),
        }
    }

    /// What is known of a function.
    pub(super) fn of(&self, function: &FunctionId) -> FunctionState {
        let known = self.functions.get(function).map(|(_, state)| state.clone());
        known.unwrap_or_else(|| FunctionState::new(function))
    }

    /// The connection to the stubs.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection.1
    }

    /// What is deployed, and what would be.
    pub(super) fn what_is_deployed(&self) -> &Infrastructure {
        &self.infrastructure.1
    }

    /// A build of a function has begun.
    pub(super) fn building(&mut self, function: &FunctionId, at: u64, change: u64) {
        let state = self.function(function, change);
        state.build = Build { state: BuildState::Building, at: Some(at), ..state.build.clone() };
    }

    /// A build of a function has ended, with an error or without one.
    pub(super) fn built(&mut self, function: &FunctionId, error: Option<String>, at: u64, change: u64) {
        let state = self.function(function, change);
        let took = state.build.at.map(|began| at.saturating_sub(began));
        let how = if error.is_some() { BuildState::Failed } else { BuildState::Built };
        state.build = Build { state: how, at: Some(at), took_ms: took, error };
    }

    /// There are these functions, and no others any more.
    pub(super) fn only(&mut self, functions: &[FunctionId]) {
        self.functions.retain(|id, _| functions.contains(id));
        self.workers.retain(|_, (id, _)| functions.contains(id));
    }

    /// A worker was started for a function.
    pub(super) fn started(&mut self, worker: WorkerId, function: FunctionId, change: u64) {
        *self.function(&function, change).workers.who(Doing::Starting) += 1;
        self.workers.insert(worker, (function, Doing::Starting));
    }

    /// A worker does something else. Whether that is news.
    pub(super) fn does(&mut self, worker: WorkerId, doing: Doing, change: u64) -> bool {
        let Some((function, did)) = self.workers.get_mut(&worker).filter(|(_, did)| *did != doing) else {
            return false;
        };
        let (function, did) = (function.clone(), std::mem::replace(did, doing));
        let workers = &mut self.function(&function, change).workers;
        *workers.who(did) -= 1;
        *workers.who(doing) += 1;
        true
    }

    /// A worker is gone. Whether that is news.
    pub(super) fn ended(&mut self, worker: WorkerId, change: u64) -> bool {
        let Some((function, did)) = self.workers.remove(&worker) else { return false };
        *self.function(&function, change).workers.who(did) -= 1;
        true
    }

    /// The connection was lost, for a reason, or is there again. Whether that is news.
    pub(super) fn connected(&mut self, lost: Option<String>, at: u64, change: u64) -> bool {
        let state = if lost.is_some() { ConnectionState::Lost } else { ConnectionState::Connected };
        let (changed, connection) = &mut self.connection;
        // While there is none, each try fails.
        if connection.state == state {
            return false;
        }
        *changed = change;
        connection.state = state;
        connection.history.push_back(ConnectionChange { at, state, reason: lost });
        if connection.history.len() > MOST_CHANGES {
            connection.history.pop_front();
        }
        true
    }

    /// The infrastructure is another one, or something is done about it.
    pub(super) fn infrastructure(&mut self, infrastructure: Infrastructure, change: u64) {
        self.infrastructure = (change, infrastructure);
    }

    fn function(&mut self, id: &FunctionId, change: u64) -> &mut FunctionState {
        let new = || (change, FunctionState::new(id));
        let (changed, state) = self.functions.entry(id.clone()).or_insert_with(new);
        *changed = change;
        state
    }
}

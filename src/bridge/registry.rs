//! Which workers and which clients there are, and who waits for whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    core::event::Event,
    ids::{LanguageId, WorkerId},
    languages::{self, Language},
    ui::Ui,
};

/// How long a worker waits for the debuggers to set their breakpoints before it is given a call all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for debug adapters, which have to begin first.
const ADAPTERS_PATIENCE: Duration = Duration::from_secs(60);

/// How long a debugger is given for breakpoints of which nobody knows whether it will set them; see [`Missing::Perhaps`].
const BREAKPOINTS_TAKE: Duration = Duration::from_millis(500);

/// How long new Node workers wait for an inspector's client that a debugger for all languages was told to start. An editor may have to
/// load its JavaScript debugger first.
const COMING: Duration = Duration::from_secs(30);

/// The client number of the observers; the others begin with one.
pub(super) const OBSERVER: u64 = 0;

/// A worker that can be debugged.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub worker: WorkerId,
    pub title: String,
    /// Where a Node process's inspector listens; empty for others.
    pub url: String,
    /// Where the debug adapter of a worker listens that is no Node process, and the worker's process id.
    pub adapter: Option<(u16, u32)>,
    /// The Java virtual machine that the worker is.
    pub machine: Option<Machine>,
    /// Cancelled when the worker goes.
    pub gone: CancellationToken,
}

/// A Java virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    /// Where it listens for a debugger.
    pub port: u16,
    /// It runs when a debugger lets it.
    pub suspended: bool,
}

impl Offer {
    /// Whether it is a Node process, with an inspector.
    fn is_node(&self) -> bool {
        self.adapter.is_none() && self.machine.is_none()
    }
}

/// Which workers a client wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wants {
    /// Those with an inspector.
    Inspectors,
    /// Those with a debug adapter.
    Adapters,
    /// Those with a debug adapter that run this function.
    AdaptersOf(String),
    /// Java virtual machines that run this function.
    MachinesOf(String),
}

impl Wants {
    fn includes(&self, offer: &Offer) -> bool {
        match self {
            Self::Inspectors => offer.is_node(),
            Self::Adapters => offer.adapter.is_some(),
            Self::AdaptersOf(function) => offer.adapter.is_some() && offer.title == *function,
            Self::MachinesOf(function) => offer.machine.is_some() && offer.title == *function,
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Came(Offer),
    Went(WorkerId),
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
    /// Nothing: no script was made of a file that has a breakpoint, or all are set.
    Nothing,
    /// A breakpoint in a line of which a script may have no code. It may be set in another line, or never.
    Perhaps,
    /// A breakpoint that will be set.
    Surely,
}

#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    root: Utf8PathBuf,
    events: mpsc::UnboundedSender<Event>,
    ui: Ui,
    sessions: AtomicU64,
    /// Whether there are functions that run on Node.
    node: AtomicBool,
}

/// A client that wants to hear of workers.
#[derive(Debug)]
struct Client {
    wants: Wants,
    /// Cancelled when it leaves.
    left: CancellationToken,
    changes: mpsc::UnboundedSender<Change>,
    /// It has workers pause before each script that has a source map, so it can set breakpoints in time whenever that is loaded.
    stops_at_scripts: bool,
}

#[derive(Debug, Default)]
struct State {
    workers: BTreeMap<WorkerId, Offer>,
    /// Workers in the order of their last call, the latest last.
    used: Vec<WorkerId>,
    clients: BTreeMap<u64, Client>,
    last_client: u64,
    /// The clients that a worker waits for.
    awaited: BTreeMap<WorkerId, BTreeSet<u64>>,
    /// The clients in whose eyes a worker is paused.
    paused: BTreeMap<WorkerId, BTreeSet<u64>>,
    /// Clients for all languages whose part for Node has not connected yet.
    coming: BTreeSet<u64>,
    /// The Node workers that came in the meantime. They are shown when it has, because it stops the first call only of those that
    /// come after it.
    deferred: Vec<Offer>,
}

/// A client's number, and what it hears.
pub(super) type Subscription = (u64, mpsc::UnboundedReceiver<Change>);

/// The next that a client hears; nothing, ever, for one that does not listen.
pub(super) async fn next_change(subscription: &mut Option<Subscription>) -> Change {
    if let Some((_, changes)) = subscription
        && let Some(change) = changes.recv().await
    {
        return change;
    }
    std::future::pending().await
}

impl Registry {
    pub(super) fn new(root: Utf8PathBuf, events: mpsc::UnboundedSender<Event>, ui: Ui) -> Self {
        Self {
            state: Mutex::default(),
            root,
            events,
            ui,
            sessions: AtomicU64::new(0),
            node: AtomicBool::new(false),
        }
    }

    /// Says whether there will be Node workers.
    pub(super) fn expects_inspector(&self, expected: bool) {
        self.node.store(expected, Ordering::Relaxed);
    }

    /// Whether there will be Node workers.
    pub(super) fn has_node(&self) -> bool {
        self.node.load(Ordering::Relaxed)
    }

    /// A session id. Clients take one that they have seen before for the same session, so none is used twice.
    pub(super) fn session(&self, worker: WorkerId) -> String {
        format!("{worker}-{}", self.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes in a worker: shows it to those who want to hear of it, and waits for them. It is shown now, or when the part for Node of
    /// those has connected that are about to. Returns whether there is anybody.
    pub(super) fn offer(self: &std::sync::Arc<Self>, offer: Offer) -> bool {
        let worker = offer.worker;
        let mut state = self.lock();
        if offer.is_node() && !state.coming.is_empty() {
            state.deferred.push(offer);
            return true;
        }
        state.workers.insert(worker, offer.clone());
        let wanted = |client: &&Client| client.wants.includes(&offer);
        let clients = state.clients.iter().filter(|(_, client)| wanted(client)).map(|(id, _)| *id);
        let clients: BTreeSet<u64> = clients.collect();
        for client in state.clients.values().filter(wanted) {
            let _ = client.changes.send(Change::Came(offer.clone()));
        }
        if clients.is_empty() {
            self.tell(Event::DebuggerReady { worker });
            return false;
        }
        state.awaited.insert(worker, clients.clone());
        drop(state);
        self.give_up_later(&offer, clients);
        true
    }

    /// The part for Node of this client is about to connect: Node workers that start from now on wait for it.
    pub(super) fn inspector_comes(self: &std::sync::Arc<Self>, client: u64) {
        self.lock().coming.insert(client);
        let registry = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(COMING).await;
            registry.inspector_came(client);
        });
    }

    /// That part has connected, or will not.
    pub(super) fn inspector_came(self: &std::sync::Arc<Self>, client: u64) {
        let mut state = self.lock();
        if !state.coming.remove(&client) || !state.coming.is_empty() {
            return;
        }
        let deferred = std::mem::take(&mut state.deferred);
        drop(state);
        for offer in deferred {
            self.offer(offer);
        }
    }

    /// Lets a worker have calls when these clients take too long. One that comes later has its own time.
    fn give_up_later(self: &std::sync::Arc<Self>, offer: &Offer, clients: BTreeSet<u64>) {
        let (registry, worker, title) = (self.clone(), offer.worker, offer.title.clone());
        let patience = if offer.is_node() { PATIENCE } else { ADAPTERS_PATIENCE };
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            let mut state = registry.lock();
            let late = state.awaited.get(&worker).is_some_and(|awaited| !awaited.is_disjoint(&clients));
            if late {
                registry.ui.warning(format!(
                    "a process of `{title}` goes on although its debugger has not set all breakpoints in {} s",
                    patience.as_secs()
                ));
            }
            clients.iter().for_each(|client| registry.settle(&mut state, *client, worker));
        });
    }

    /// The project's directory.
    pub(super) fn root(&self) -> &Utf8Path {
        &self.root
    }

    pub(super) fn withdraw(&self, worker: WorkerId) {
        let mut state = self.lock();
        if let Some(offer) = state.workers.remove(&worker) {
            offer.gone.cancel();
        }
        state.deferred.retain(|deferred| deferred.worker != worker);
        state.used.retain(|used| *used != worker);
        state.awaited.remove(&worker);
        state.paused.remove(&worker);
        for client in state.clients.values() {
            let _ = client.changes.send(Change::Went(worker));
        }
    }

    /// All workers are about to end.
    pub(super) fn withdraw_all(&self) {
        let state = self.lock();
        let deferred = state.deferred.iter().map(|offer| offer.worker);
        let workers: Vec<WorkerId> = state.workers.keys().copied().chain(deferred).collect();
        drop(state);
        workers.into_iter().for_each(|worker| self.withdraw(worker));
    }

    /// Lets a client hear of workers from now on. The present ones come first.
    pub(super) fn subscribe(
        self: &std::sync::Arc<Self>,
        wants: Wants,
    ) -> (u64, mpsc::UnboundedReceiver<Change>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.last_client += 1;
        let id = state.last_client;
        let came = if wants == Wants::Inspectors { state.coming.first().copied() } else { None };
        let present: Vec<Offer> =
            state.workers.values().filter(|offer| wants.includes(offer)).cloned().collect();
        for offer in present {
            let _ = sender.send(Change::Came(offer.clone()));
            // An adapter says when it is ready, so it is waited for. js-debug says so for a process that it finds running as
            // well, but before it has set its breakpoints.
            if wants != Wants::Inspectors {
                self.tell(Event::DebuggerComes { worker: offer.worker });
                state.awaited.entry(offer.worker).or_default().insert(id);
                self.give_up_later(&offer, BTreeSet::from([id]));
            }
        }
        state.clients.insert(
            id,
            Client { wants, left: CancellationToken::new(), changes: sender, stops_at_scripts: false },
        );
        self.tell_gate(&state);
        drop(state);
        if let Some(client) = came {
            self.inspector_came(client);
        }
        (id, receiver)
    }

    /// A client has left: nothing waits for it, and nothing is paused because of it.
    pub(super) fn unsubscribe(self: &std::sync::Arc<Self>, client: u64) {
        self.inspector_came(client);
        let mut state = self.lock();
        if let Some(client) = state.clients.remove(&client) {
            client.left.cancel();
        }
        self.tell_gate(&state);
        let workers: Vec<WorkerId> = state.awaited.keys().chain(state.paused.keys()).copied().collect();
        for worker in workers {
            self.settle(&mut state, client, worker);
            self.unpause(&mut state, client, worker);
        }
    }

    /// What is cancelled when a client leaves. None when it has left.
    pub(super) fn leaving(&self, client: u64) -> Option<CancellationToken> {
        self.lock().clients.get(&client).map(|client| client.left.clone())
    }

    /// A client has asked a worker to pause before each script with a source map. Only such clients are worth a gate.
    pub(super) fn stops_at_scripts(&self, client: u64) {
        let mut state = self.lock();
        if let Some(client) = state.clients.get_mut(&client)
            && !std::mem::replace(&mut client.stops_at_scripts, true)
        {
            self.tell_gate(&state);
        }
    }

    fn tell_gate(&self, state: &State) {
        let (inspectors, adapters): (Vec<&Client>, Vec<&Client>) =
            state.clients.values().partition(|client| client.wants == Wants::Inspectors);
        let inspectors_stop =
            !inspectors.is_empty() && inspectors.iter().all(|client| client.stops_at_scripts);
        // Only runners of ours can be held up before they load a function, and virtual machines.
        let machines = state.clients.values().any(|client| matches!(client.wants, Wants::MachinesOf(_)));
        let is_held = |language: &&dyn Language| match language.debugger() {
            debugger if debugger.holds() => machines,
            debugger if debugger.is_inspector() => language.runner().is_some() && inspectors_stop,
            _ => language.runner().is_some() && !adapters.is_empty(),
        };
        let gate = languages::all().filter(is_held).map(|language| LanguageId::from(language.id())).collect();
        // One that attaches to all languages is here twice: for the others, and as an inspector's client for Node.
        let attached = inspectors.len().max(adapters.len());
        self.tell(Event::Debuggers { attached, gate });
    }

    /// A Java virtual machine listens again, for the next debugger. What it was suspended for is over.
    pub(super) fn moved(&self, worker: WorkerId, port: u16) {
        let mut state = self.lock();
        if let Some(machine) = state.workers.get_mut(&worker).and_then(|offer| offer.machine.as_mut())
            && machine.port != port
        {
            *machine = Machine { port, suspended: false };
        }
    }

    /// Where a Java virtual machine listens at the moment.
    pub(super) fn machine(&self, worker: WorkerId) -> Option<Machine> {
        self.lock().workers.get(&worker)?.machine
    }

    /// A worker has got a call.
    pub(super) fn used(&self, worker: WorkerId) {
        let mut state = self.lock();
        state.used.retain(|used| *used != worker);
        state.used.push(worker);
    }

    /// All workers, the one called last first; then those that were not called, the latest first.
    pub(super) fn by_last_use(&self) -> Vec<Offer> {
        let state = self.lock();
        let used = state.used.iter().rev().filter_map(|worker| state.workers.get(worker));
        let unused = state.workers.iter().rev().filter(|(worker, _)| !state.used.contains(worker));
        let all = used.chain(unused.map(|(_, offer)| offer));
        all.filter(|offer| offer.is_node()).cloned().collect()
    }

    /// A number for a client that does not subscribe.
    pub(super) fn client_number(&self) -> u64 {
        let mut state = self.lock();
        state.last_client += 1;
        state.last_client
    }

    /// A client says that a worker may go on, and this is what it may not have set yet. It says more when that changes.
    pub(super) fn ready(self: &std::sync::Arc<Self>, client: u64, worker: WorkerId, missing: Missing) {
        let mut state = self.lock();
        let is_in_time = state.clients.get(&client).is_none_or(|client| client.stops_at_scripts);
        match missing {
            Missing::Surely if !is_in_time => {}
            Missing::Perhaps if !is_in_time => {
                let registry = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(BREAKPOINTS_TAKE).await;
                    registry.settle(&mut registry.lock(), client, worker);
                });
            }
            _ => self.settle(&mut state, client, worker),
        }
    }

    pub(super) fn paused(&self, client: u64, worker: WorkerId, place: Option<String>) {
        let mut state = self.lock();
        let clients = state.paused.entry(worker).or_default();
        let first = clients.is_empty();
        clients.insert(client);
        if first {
            self.tell(Event::Paused { worker, place });
        }
    }

    /// The worker runs on; whoever let it, it runs on for all.
    pub(super) fn resumed(&self, worker: WorkerId) {
        if self.lock().paused.remove(&worker).is_some_and(|clients| !clients.is_empty()) {
            self.tell(Event::Resumed { worker });
        }
    }

    /// A client's connection to a worker has ended.
    pub(super) fn disconnected(&self, client: u64, worker: WorkerId) {
        let mut state = self.lock();
        self.settle(&mut state, client, worker);
        self.unpause(&mut state, client, worker);
    }

    fn settle(&self, state: &mut State, client: u64, worker: WorkerId) {
        let Some(awaited) = state.awaited.get_mut(&worker) else { return };
        awaited.remove(&client);
        if awaited.is_empty() {
            state.awaited.remove(&worker);
            self.tell(Event::DebuggerReady { worker });
        }
    }

    /// V8 lets code run on when the last connection that could resume it is gone.
    fn unpause(&self, state: &mut State, client: u64, worker: WorkerId) {
        let Some(clients) = state.paused.get_mut(&worker) else { return };
        if clients.remove(&client) && clients.is_empty() {
            state.paused.remove(&worker);
            self.tell(Event::Resumed { worker });
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point at which a panic could happen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

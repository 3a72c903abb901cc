//! Which workers and which clients there are, and who waits for whom.

mod offers;

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

pub(super) use self::offers::{Change, Machine, Missing, Offer, Wants};
use crate::{
    core::event::Event,
    ids::{LanguageId, WorkerId},
    languages::{self, Language},
    ui::Ui,
};

/// How long a worker waits for the debuggers to set their breakpoints before it is given a call all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for a client that has promised to say when workers may run. An editor on a busy machine takes seconds between one request
/// and the next, and its breakpoints come after several.
const PROMISED_PATIENCE: Duration = Duration::from_secs(30);

/// The same for debug adapters, which have to begin first.
const ADAPTERS_PATIENCE: Duration = Duration::from_secs(60);

/// How long a debugger is given for breakpoints of which nobody knows whether it will set them; see [`Missing::Perhaps`].
const BREAKPOINTS_TAKE: Duration = Duration::from_millis(500);

/// How long it takes at most until the end of a process is known.
const END_TAKES: Duration = Duration::from_secs(1);

/// How long new Node workers wait for an inspector's client that a debugger for all languages was told to start. An editor may have to
/// load its JavaScript debugger first.
const COMING: Duration = Duration::from_secs(30);

/// The client number of the observers; the others begin with one.
pub(super) const OBSERVER: u64 = 0;

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
    /// What people call it.
    name: String,
    /// Cancelled when it leaves.
    left: CancellationToken,
    changes: mpsc::UnboundedSender<Change>,
    /// It has asked that new workers wait until it says that they may run.
    promises: bool,
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

impl Client {
    /// Whether it is waited for by workers that it finds running: an adapter says when it is ready. js-debug says so for those as
    /// well, but before it has set its breakpoints.
    fn says_when_ready(&self) -> bool {
        self.wants != Wants::Inspectors
    }
}

impl State {
    /// What a client hears of a worker. A debug adapter has one client at a time, so one for all languages comes after those that were
    /// there before it; a client of a single function is refused by the adapter itself, where that is not free in time.
    fn news(&self, client: u64, subscriber: &Client, offer: &Offer) -> Option<Change> {
        if !subscriber.wants.includes(offer) {
            return None;
        }
        let is_first = |(_, other): &(&u64, &Client)| other.wants.includes(offer);
        let first =
            self.clients.range(..client).find(is_first).filter(|_| subscriber.wants == Wants::Adapters);
        Some(match first {
            Some((number, other)) => Change::Taken(*number, other.name.clone()),
            None => Change::Came(offer.clone()),
        })
    }

    /// Who has heard that this client debugs a worker, and which.
    fn behind(&self, client: u64) -> Vec<(u64, Offer)> {
        let all = self.clients.iter().flat_map(|(id, one)| {
            self.workers.values().filter_map(|offer| Some((*id, offer, self.news(*id, one, offer)?)))
        });
        all.filter(|(.., news)| matches!(news, Change::Taken(by, _) if *by == client))
            .map(|(id, offer, _)| (id, offer.clone()))
            .collect()
    }
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
        let mut clients = BTreeSet::new();
        for (id, client) in &state.clients {
            let Some(news) = state.news(*id, client, &offer) else { continue };
            if matches!(news, Change::Came(_)) {
                clients.insert(*id);
            }
            let _ = client.changes.send(news);
        }
        if clients.is_empty() {
            self.tell(Event::DebuggerReady { worker });
            return false;
        }
        state.awaited.insert(worker, clients.clone());
        drop(state);
        clients.into_iter().for_each(|client| self.give_up_later(&offer, client));
        true
    }

    /// The part for Node of this client is about to connect: Node workers that start from now on wait for it.
    pub(super) fn inspector_comes(self: &std::sync::Arc<Self>, client: u64) {
        self.lock().coming.insert(client);
        let registry = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(COMING).await;
            let why = format!("has not started its part for Node in {} s", COMING.as_secs());
            registry.inspector_fails(client, &why);
        });
    }

    /// That part will not connect, and the workers that wait for it go on.
    pub(super) fn inspector_fails(self: &std::sync::Arc<Self>, client: u64, why: &str) {
        let state = self.lock();
        if state.coming.contains(&client) {
            for offer in &state.deferred {
                self.tell_unstopped(&state, client, &offer.title, why, "end its session and start it again");
            }
        }
        drop(state);
        self.inspector_came(client);
    }

    /// That part has connected, or nobody waits for it any more.
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

    /// Lets a worker have calls when this client takes too long. One that comes later has its own time.
    fn give_up_later(self: &std::sync::Arc<Self>, offer: &Offer, client: u64) {
        let (registry, worker, is_node) = (self.clone(), offer.worker, offer.is_node());
        tokio::spawn(async move {
            let mut patience = if is_node { PATIENCE } else { ADAPTERS_PATIENCE };
            tokio::time::sleep(patience).await;
            if is_node && registry.lock().clients.get(&client).is_some_and(|client| client.promises) {
                tokio::time::sleep(PROMISED_PATIENCE.saturating_sub(patience)).await;
                patience = PROMISED_PATIENCE;
            }
            registry.give_up(client, worker, patience);
        });
    }

    fn give_up(&self, client: u64, worker: WorkerId, patience: Duration) {
        let mut state = self.lock();
        let is_awaited = state.awaited.get(&worker).is_some_and(|awaited| awaited.contains(&client));
        if let Some(offer) = state.workers.get(&worker).filter(|_| is_awaited) {
            let why = format!("has not set its breakpoints in {} s", patience.as_secs());
            self.tell_unstopped(&state, client, &offer.title, &why, "call it once more when it has");
        }
        self.settle(&mut state, client, worker);
    }

    /// Says that a process goes on which its debugger might have stopped, and what helps.
    fn tell_unstopped(&self, state: &State, client: u64, title: &str, why: &str, advice: &str) {
        let name = state.clients.get(&client).map_or("its debugger", |client| &client.name);
        self.ui
            .warning(format!("a process of `{title}` goes on without breakpoints: {name} {why}; {advice}"));
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
    pub(super) fn subscribe(self: &std::sync::Arc<Self>, wants: Wants, name: String) -> Subscription {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        state.last_client += 1;
        let id = state.last_client;
        let came = if wants == Wants::Inspectors { state.coming.first().copied() } else { None };
        let left = CancellationToken::new();
        let client = Client { wants, name, left, changes: sender, promises: false, stops_at_scripts: false };
        let present: Vec<Offer> = state.workers.values().cloned().collect();
        for offer in present {
            if let Some(news) = state.news(id, &client, &offer) {
                self.introduce(&mut state, id, client.says_when_ready(), &news);
                let _ = client.changes.send(news);
            }
        }
        state.clients.insert(id, client);
        self.tell_gate(&state);
        drop(state);
        if let Some(client) = came {
            self.inspector_came(client);
        }
        (id, receiver)
    }

    /// A client is about to be told of a worker that serves already, which waits for it from now on.
    fn introduce(self: &std::sync::Arc<Self>, state: &mut State, client: u64, awaited: bool, news: &Change) {
        if let Change::Came(offer) = news
            && awaited
        {
            self.tell(Event::DebuggerComes { worker: offer.worker });
            state.awaited.entry(offer.worker).or_default().insert(client);
            self.give_up_later(offer, client);
        }
    }

    /// A client has left: nothing waits for it, and nothing is paused because of it.
    pub(super) fn unsubscribe(self: &std::sync::Arc<Self>, client: u64) {
        self.inspector_came(client);
        let mut state = self.lock();
        let waiting = state.behind(client);
        if let Some(client) = state.clients.remove(&client) {
            client.left.cancel();
        }
        self.tell_gate(&state);
        let workers: Vec<WorkerId> = state.awaited.keys().chain(state.paused.keys()).copied().collect();
        for worker in workers {
            self.settle(&mut state, client, worker);
            self.unpause(&mut state, client, worker);
        }
        for (next, offer) in waiting {
            let Some(client) = state.clients.get(&next) else { continue };
            if let Some(news) = state.news(next, client, &offer) {
                let (awaited, changes) = (client.says_when_ready(), client.changes.clone());
                self.introduce(&mut state, next, awaited, &news);
                let _ = changes.send(news);
            }
        }
    }

    /// What is cancelled when a client leaves. None when it has left.
    pub(super) fn leaving(&self, client: u64) -> Option<CancellationToken> {
        self.lock().clients.get(&client).map(|client| client.left.clone())
    }

    /// A client has asked that new workers wait until it says that they may run.
    pub(super) fn promises(&self, client: u64) {
        if let Some(client) = self.lock().clients.get_mut(&client) {
            client.promises = true;
        }
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
        let registry = self.clone();
        match missing {
            // What a client goes by may differ from what is gone by here, and then they never come.
            Missing::Surely if !is_in_time => {
                tokio::spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    registry.give_up(client, worker, PATIENCE);
                });
            }
            Missing::Perhaps if !is_in_time => {
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

    /// A client's connection to a worker has failed. It is told of where the worker goes on.
    pub(super) fn lost(self: &std::sync::Arc<Self>, client: u64, worker: WorkerId, why: &str) {
        let state = self.lock();
        let is_awaited = state.awaited.get(&worker).is_some_and(|awaited| awaited.contains(&client));
        let gone = state.workers.get(&worker).filter(|_| is_awaited).map(|offer| offer.gone.clone());
        drop(state);
        if let Some(gone) = gone {
            let (registry, why) = (self.clone(), why.to_owned());
            tokio::spawn(async move {
                // A process that ends loses its debuggers a moment before its end is known.
                if tokio::time::timeout(END_TAKES, gone.cancelled()).await.is_ok() {
                    return;
                }
                let state = registry.lock();
                // That a client has left is told anyway.
                let offer = state.workers.get(&worker).filter(|_| state.clients.contains_key(&client));
                if let Some(offer) = offer {
                    registry.tell_unstopped(&state, client, &offer.title, &why, "attach it again");
                }
            });
        }
        self.disconnected(client, worker);
    }

    /// Nobody can debug a worker, which was told.
    pub(super) fn undebuggable(&self, worker: WorkerId) {
        if self.lock().awaited.remove(&worker).is_some() {
            self.tell(Event::DebuggerReady { worker });
        }
    }

    /// A client is not connected to a worker any more.
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

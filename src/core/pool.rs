//! The worker processes, as the core sees them.
//!
//! What a worker does and whether debuggers may stop it are one value each, whose variants carry their data. So a worker that was
//! told to end has nothing that debuggers could still hold on to, and only one that has a call can be outdated.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{
    event::Target,
    invocation::{Identity, ServingKind},
};
use crate::ids::{FunctionId, RequestId, WorkerId};

/// How long a worker that can be debugged is given no first call because nobody knows yet where its debugger attaches, although
/// there is one. Node says so before it runs anything, so this is for a process that cannot.
pub(super) const UNSEEN: Duration = Duration::from_secs(5);

/// How long a worker may take at the least to ask for its next invocation after it has answered.
pub(super) const FINISHING: Duration = Duration::from_secs(2);

/// How long a process counts as busy with its start at the most. A start takes a third of that when nothing else does.
pub(super) const STARTING: Duration = Duration::from_millis(150);

/// How long a process of which nothing has been heard since may be slow because the machine is busy, with too many of them.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// How long a call waits at the least for a worker that is there, if that will probably be free by then. Starting one takes less, but
/// on a busy machine it takes that from all calls.
pub(super) const SHORT_WAIT: Duration = Duration::from_millis(300);

/// How long a worker serves its own function while calls of others wait for its room. Without a turn, two functions that share one
/// place would start a process for each call.
const TURN: Duration = Duration::from_secs(1);

/// One worker process.
#[derive(Debug)]
pub(super) struct Worker {
    pub function: FunctionId,
    /// Whose credentials it was started with.
    pub identity: Identity,
    /// The values of the function's own variables that it was started with.
    pub environment: BTreeMap<String, String>,
    pub state: WorkerState,
    /// The request it had last, to which late output belongs.
    pub last: Option<RequestId>,
    /// When it was started.
    pub since: Instant,
    /// The same, as long as it is busy with that. One that takes long waits for something, or a debugger holds it.
    started: Option<Instant>,
    /// The same, as long as it may be slow.
    pub slow: Option<Instant>,
    /// When it last answered.
    pub answered: Option<Instant>,
}

/// What a worker is doing.
#[derive(Debug)]
pub(super) enum WorkerState {
    /// It serves its function, or is about to.
    Serving(Serving),
    /// It was told to end, and debuggers were told so.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Serving {
    pub phase: Phase,
    pub sight: Sight,
    /// A debugger has stopped its code.
    pub paused: bool,
    /// Until when it serves its own function first. None before it has asked for its first invocation.
    turn: Option<Instant>,
}

/// How far a worker is with its invocations.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for an invocation yet. A `gated` one loads its function only when it is told to.
    Starting { gated: bool },
    /// It waits for an invocation.
    Idle { since: Instant },
    /// It has an invocation. An `outdated` one takes no further: its code or its environment is an old one.
    Busy { request: RequestId, outdated: bool },
    /// It answered and has not asked for the next one yet, which it may until the invocation's time is over.
    Finishing { until: Instant, outdated: bool },
}

/// What debuggers know of a worker.
#[derive(Debug)]
pub(super) enum Sight {
    /// Nothing, because it is not known yet where a debugger attaches. While there are debuggers, this holds its first call up.
    Unknown,
    /// Nothing, and that is waited for no longer.
    Missed,
    /// Nothing yet; they are told when its function is loaded.
    Known(Target),
    /// They were told, and set their breakpoints. It is given no invocation before they have.
    Awaited,
    /// They were told, and nothing is waited for.
    Shown,
}

impl Serving {
    /// Whether debuggers hold it up: they have stopped it, or set their breakpoints.
    pub(super) fn is_held(&self) -> bool {
        self.paused || matches!(self.sight, Sight::Awaited)
    }

    /// Debuggers were told of it, and have to be told when it goes.
    pub(super) fn is_offered(&self) -> bool {
        matches!(self.sight, Sight::Awaited | Sight::Shown)
    }

    /// It asked for its next invocation.
    pub(super) fn rest(&mut self, now: Instant) {
        self.phase = Phase::Idle { since: now };
        self.turn.get_or_insert(now + TURN);
    }
}

impl Worker {
    /// Which calls it can serve.
    pub(super) fn kind(&self) -> ServingKind {
        (self.function.clone(), self.identity)
    }

    pub(super) fn serving(&self) -> Option<&Serving> {
        match &self.state {
            WorkerState::Serving(serving) => Some(serving),
            WorkerState::Stopping => None,
        }
    }

    pub(super) fn serving_mut(&mut self) -> Option<&mut Serving> {
        match &mut self.state {
            WorkerState::Serving(serving) => Some(serving),
            WorkerState::Stopping => None,
        }
    }

    /// The request that it has.
    pub(super) fn request(&self) -> Option<&RequestId> {
        match &self.serving()?.phase {
            Phase::Busy { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Since when it waits for an invocation.
    fn idle_since(&self) -> Option<Instant> {
        match self.serving()?.phase {
            Phase::Idle { since } => Some(since),
            _ => None,
        }
    }

    /// Whether an invocation that it is given now is one that debuggers can stop, as far as there are any.
    fn is_seen(&self, debuggers: bool) -> bool {
        match self.serving().map(|serving| &serving.sight) {
            Some(Sight::Awaited) => false,
            Some(Sight::Unknown) => !debuggers || self.last.is_some(),
            Some(Sight::Known(_) | Sight::Missed | Sight::Shown) => true,
            None => false,
        }
    }
}

/// The workers of one kind, as one look at the calls that wait needs them.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Those that can be given an invocation, the one that has waited shortest last: as on Lambda, it is taken first.
    pub idle: Vec<(Instant, WorkerId)>,
    /// Those on their way to their first invocation, or held up by debuggers before it. The latest is the last.
    pub coming: Vec<WorkerId>,
    /// How many have an invocation, or are about to ask for the next.
    pub busy: usize,
    /// How many calls for them wait.
    pub wanted: usize,
    /// How many of these have been left to a worker that is coming.
    pub promised: usize,
    /// When one of them last answered.
    pub answered: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    workers: BTreeMap<WorkerId, Worker>,
    last: u64,
}

impl Pool {
    /// Adds a worker that is about to start.
    pub(super) fn add(
        &mut self,
        function: FunctionId,
        identity: Identity,
        environment: BTreeMap<String, String>,
        gated: bool,
        now: Instant,
    ) -> WorkerId {
        self.last += 1;
        let id = WorkerId(self.last);
        let state = WorkerState::Serving(Serving {
            phase: Phase::Starting { gated },
            sight: Sight::Unknown,
            paused: false,
            turn: None,
        });
        let (started, slow) = (Some(now), Some(now));
        let worker = Worker {
            function,
            identity,
            environment,
            state,
            last: None,
            since: now,
            started,
            slow,
            answered: None,
        };
        self.workers.insert(id, worker);
        id
    }

    pub(super) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    pub(super) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub(super) fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        self.workers.remove(&id)
    }

    /// The number of processes, those that are ending included: they hold memory until they are gone.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// How many are ending.
    pub(super) fn stopping(&self) -> usize {
        self.workers.values().filter(|worker| worker.serving().is_none()).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub(super) fn of<'a>(&'a self, function: &'a FunctionId) -> impl Iterator<Item = (WorkerId, &'a Worker)> {
        self.iter().filter(move |(_, worker)| worker.function == *function)
    }

    /// Since when the processes are busy with their start that are.
    pub(super) fn starting(&self) -> impl Iterator<Item = Instant> {
        self.silent().filter_map(|worker| worker.started)
    }

    /// Since when the processes are there that may be slow to start because there are so many of them.
    pub(super) fn slow(&self) -> impl Iterator<Item = Instant> {
        self.silent().filter_map(|worker| worker.slow)
    }

    /// Those that have not asked for a call yet.
    fn silent(&self) -> impl Iterator<Item = &Worker> {
        self.workers
            .values()
            .filter(|worker| matches!(worker.serving(), Some(Serving { phase: Phase::Starting { .. }, .. })))
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        for worker in self.workers.values_mut() {
            worker.started.take_if(|since| *since + STARTING <= now);
            worker.slow.take_if(|since| *since + SLOW <= now);
        }
    }

    /// The workers that can serve calls now or soon, by what they serve.
    pub(super) fn supply(&self, debuggers: bool) -> HashMap<ServingKind, Supply> {
        let mut all: HashMap<ServingKind, Supply> = HashMap::new();
        for (id, worker) in self.iter() {
            let Some(serving) = worker.serving() else { continue };
            let supply = all.entry(worker.kind()).or_default();
            supply.answered = supply.answered.max(worker.answered);
            match serving.phase {
                Phase::Idle { since } if worker.is_seen(debuggers) => supply.idle.push((since, id)),
                Phase::Idle { .. } | Phase::Starting { .. } => supply.coming.push(id),
                Phase::Busy { outdated, .. } | Phase::Finishing { outdated, .. } => {
                    supply.busy += usize::from(!outdated);
                }
            }
        }
        for supply in all.values_mut() {
            supply.idle.sort_unstable();
        }
        all
    }

    /// The worker that makes room for a call of another function: the one that has waited longest of those that nobody needs, and
    /// otherwise one that is starting for nobody. A function whose calls wait has its workers for their turn.
    pub(super) fn dispensable(
        &self,
        supply: &HashMap<ServingKind, Supply>,
        now: Instant,
    ) -> Option<WorkerId> {
        let idle = supply.values().flat_map(|supply| {
            let spare = supply.idle.len().saturating_sub(supply.wanted);
            let needed = supply.idle.iter().skip(spare).filter(move |(_, id)| !self.has_turn(*id, now));
            supply.idle.iter().take(spare).chain(needed)
        });
        if let Some((_, id)) = idle.min() {
            return Some(*id);
        }
        let surplus = supply.values().filter(|supply| supply.coming.len() > supply.wanted);
        surplus.flat_map(|supply| &supply.coming).filter(|id| self.can_be_given_up(**id)).max().copied()
    }

    fn has_turn(&self, id: WorkerId, now: Instant) -> bool {
        let turn = self.get(id).and_then(Worker::serving).and_then(|serving| serving.turn);
        turn.is_some_and(|turn| now < turn)
    }

    /// Whether a worker that has no call yet is nobody's business.
    pub(super) fn can_be_given_up(&self, id: WorkerId) -> bool {
        self.get(id).and_then(Worker::serving).is_some_and(|serving| {
            !serving.is_held() && matches!(serving.phase, Phase::Starting { gated: false })
        })
    }

    /// The idle worker that has waited longest, of whatever function, but for those whose debuggers set their breakpoints; and how many
    /// there are.
    pub(super) fn longest_idle(&self) -> Option<(Instant, WorkerId, usize)> {
        // A debugger counts: it would be told of the worker soon.
        let idle = || self.idle().filter(|(_, _, worker)| worker.is_seen(true));
        let (since, id) = idle().map(|(since, id, _)| (since, id)).min()?;
        Some((since, id, idle().count()))
    }

    /// The worker that has waited longest for its first call to be let to it, because debuggers do not know of it.
    pub(super) fn longest_unseen(&self) -> Option<(Instant, WorkerId)> {
        let unknown =
            |worker: &Worker| matches!(worker.serving(), Some(Serving { sight: Sight::Unknown, .. }));
        self.idle()
            .filter(|(_, _, worker)| worker.last.is_none() && unknown(worker))
            .map(|(since, id, _)| (since, id))
            .min()
    }

    fn idle(&self) -> impl Iterator<Item = (Instant, WorkerId, &Worker)> {
        self.iter().filter_map(|(id, worker)| Some((worker.idle_since()?, id, worker)))
    }

    /// The worker whose time to ask for the next invocation is over first. The time of one that a debugger has stopped stands still.
    pub(super) fn latest_to_finish(&self) -> Option<(Instant, WorkerId)> {
        let finishing = |(id, worker): (WorkerId, &Worker)| match worker.serving()? {
            Serving { phase: Phase::Finishing { until, .. }, paused: false, .. } => Some((*until, id)),
            _ => None,
        };
        self.iter().filter_map(finishing).min()
    }
}

//! The state machine that decides. It owns every open invocation, deadline, queue, pool, and generation.
//!
//! [`State::handle`] takes one [`Event`] and the time, and returns what is to be done about it. It does no I/O, spawns nothing,
//! and reads no clock, so that every order of events can be tested.

mod builds;
mod calls;
mod changes;
mod debugging;
pub mod effect;
pub mod event;
mod function;
mod functions;
mod invocation;
mod local;
mod pool;
pub mod question;
pub mod source;
#[cfg(test)]
mod tests;
mod workers;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use self::{
    effect::Effect,
    event::Event,
    function::{Code, Function},
    invocation::Open,
    local::Question,
    pool::Pool,
};
use crate::ids::{FunctionId, Generation, LanguageId, RequestId};

/// How much longer than a function's own time a call may take, with what passes until a worker has it.
const EXTRA: Duration = Duration::from_secs(sst_wire::EXTRA_S);

/// What the core can be told about how it should work.
#[derive(Debug, Clone)]
pub struct Config {
    /// The most worker processes at a time, over all functions. Further calls wait in order of arrival.
    pub max_workers: usize,
    /// How many processes are started at the same time for calls of functions that have one already.
    pub starts_at_once: usize,
    /// Of how many functions workers are replaced as soon as their code is saved: those that were called last.
    pub replaced: usize,
    /// How many idle workers are kept for long: those that served last.
    pub recent: usize,
    /// How long each of these is kept idle.
    pub keep_idle: Duration,
    /// How long any other worker is kept idle.
    pub keep_spare: Duration,
    /// How long after its last call a function is rebuilt when it is saved, rather than when it is called.
    pub keep_warm: Duration,
    /// Whether functions could have more time than they declare, which whoever has run out of it is told once.
    pub more_time: bool,
    /// Whether of an error all frames are shown, rather than those that are not of what runs functions.
    pub every_frame: bool,
    /// Whether a debugger that has started this program follows all workers, without a word to it.
    pub followed: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_workers: 100,
            starts_at_once: 4,
            replaced: 2,
            recent: 4,
            keep_idle: Duration::from_secs(600),
            keep_spare: Duration::from_secs(10),
            keep_warm: Duration::from_secs(1800),
            more_time: false,
            every_frame: false,
            followed: false,
        }
    }
}

/// The state of the daemon.
#[derive(Debug)]
pub struct State {
    config: Config,
    functions: BTreeMap<FunctionId, Function>,
    /// What was left of functions that were removed while they were built. They may come back before that has ended.
    removed: BTreeMap<FunctionId, Code>,
    /// That of the latest build, of whatever function.
    generation: Generation,
    /// That of the latest build when a file or a function has changed last.
    changed: Generation,
    /// Some function may have changed since it was built.
    stale: bool,
    /// The requests that have no outcome yet.
    open: HashMap<RequestId, Open>,
    /// How many there were so far.
    arrived: u64,
    /// What stubs have been asked for calls from this machine, by the questions' tokens.
    questions: BTreeMap<String, Question>,
    /// How many questions that were so far.
    asked: u64,
    pool: Pool,
    stopping: bool,
    /// How many debuggers are attached.
    debuggers: usize,
    /// In which languages workers load their functions only after the debuggers have set their breakpoints.
    gate: BTreeSet<LanguageId>,
    /// It was said how functions get more time.
    told_of_more_time: bool,
}

impl State {
    /// A state without functions; [`Event::Functions`] brings them.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            functions: BTreeMap::new(),
            removed: BTreeMap::new(),
            generation: Generation::default(),
            changed: Generation::default(),
            stale: false,
            open: HashMap::new(),
            arrived: 0,
            questions: BTreeMap::new(),
            asked: 0,
            pool: Pool::default(),
            stopping: false,
            told_of_more_time: false,
            debuggers: 0,
            gate: BTreeSet::new(),
        }
    }

    /// Takes in what happened at `now` and returns what is to be done, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            // Calls.
            Event::Invoked(invocation) => self.invoked(*invocation, now, &mut effects),
            Event::Called(call) => self.called(call, now, &mut effects),
            Event::Unanswered { token, reason } => self.unanswered(&token, &reason, now, &mut effects),
            Event::Answered { worker, request, outcome } => {
                self.answered(worker, &request, outcome, now, &mut effects);
            }
            Event::Streamed { worker, request, part } => {
                self.streamed(worker, &request, part, now, &mut effects);
            }
            // Workers.
            Event::Polled { worker } => self.polled(worker, now, &mut effects),
            Event::InitFailed { worker, error } => self.init_failed(worker, error, now, &mut effects),
            Event::Output { worker, line } => self.output(worker, line, &mut effects),
            Event::Exited { worker, exit } => self.exited(worker, &exit, now, &mut effects),
            // Debuggers.
            Event::Debuggable { worker, target } => self.debuggable(worker, target, &mut effects),
            Event::DebuggerWaits { worker, port } => effects.push(Effect::Debug { worker, port }),
            Event::DebuggerComes { worker } => self.debugger_comes(worker),
            Event::DebuggerReady { worker } => self.debugger_ready(worker, &mut effects),
            Event::Debuggers { attached, gate } => self.debuggers(attached, gate, &mut effects),
            Event::Paused { worker, place } => self.paused(worker, place, now, &mut effects),
            Event::Resumed { worker } => self.resumed(worker, now),
            // Functions.
            Event::FilesChanged(changes) => self.files_changed(changes, now, &mut effects),
            Event::Built { function, generation, result } => {
                self.built(&function, generation, result, now, &mut effects);
            }
            Event::Functions(specs) => self.functions_changed(specs, now, &mut effects),
            Event::Deployed => self.deployed(&mut effects),
            Event::Tick | Event::Registered | Event::Connection { .. } => {}
            Event::Shutdown => self.shutdown(now, &mut effects),
        }
        self.hold_clocks(now);
        self.tick_calls(now, &mut effects);
        self.tick_workers(now, &mut effects);
        self.schedule(now, &mut effects);
        self.build_ahead(now, &mut effects);
        effects
    }

    /// When [`Event::Tick`] is next needed.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.next_call_wake().into_iter().chain(self.next_worker_wake()).min()
    }

    /// Whether everything has ended after [`Event::Shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stopping && self.open.is_empty() && self.pool.len() == 0
    }

    fn shutdown(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.stopping = true;
        self.finish_all(now, effects);
        self.refuse_waiting_calls(effects);
        self.stop_all(effects);
    }
}

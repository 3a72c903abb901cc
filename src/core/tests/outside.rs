//! An outside that obeys every effect, in its own time, and holds the core to what it promises.

use std::collections::{BTreeSet, HashSet};

use super::*;

pub(super) const NAMES: [&str; 3] = ["a", "b", "n"];

/// A process, as far as the outside knows.
#[derive(Debug)]
pub(super) struct Process {
    pub function: FunctionId,
    /// What it was started with.
    pub environment: BTreeMap<String, String>,
    /// The version of the function's files that it runs.
    pub version: u64,
    pub gated: bool,
    pub announced: bool,
    /// It waits for its next invocation.
    pub asks: bool,
    pub had_one: bool,
    pub holds: Option<RequestId>,
    /// It was told to end.
    pub stopped: bool,
    pub offered: bool,
    /// Debuggers set their breakpoints in it.
    pub awaited: bool,
    pub paused: bool,
}

/// A compiler that runs. It has read the files when it began.
#[derive(Debug)]
pub(super) struct Compiler {
    pub spec: Arc<FunctionSpec>,
    pub generation: Generation,
    pub version: u64,
}

/// A question that a stub was asked, until whoever has asked is told that it is over.
#[derive(Debug)]
pub(super) struct Asked {
    pub function: FunctionId,
    pub token: String,
    pub answered: bool,
}

/// The outside.
pub(super) struct Outside {
    pub state: State,
    pub now: Instant,
    pub specs: BTreeMap<FunctionId, Arc<FunctionSpec>>,
    /// How often the files of each function were saved.
    pub saved: BTreeMap<FunctionId, u64>,
    pub processes: BTreeMap<WorkerId, Process>,
    pub compilers: Vec<Compiler>,
    /// All functions are built alike: what was read last, and by which build. Later ones take that for as long as nothing has changed.
    pub read: Option<(Generation, BTreeMap<FunctionId, u64>)>,
    /// All requests in order of arrival, with the environments that they have to be run in.
    pub sent: Vec<(RequestId, FunctionId, BTreeMap<String, String>)>,
    pub delivered: HashSet<RequestId>,
    /// The requests that a history was told of.
    pub arrived: HashSet<RequestId>,
    pub returned: BTreeSet<RequestId>,
    pub failed: BTreeMap<RequestId, String>,
    /// All that was wanted by somebody on this machine.
    pub calls: BTreeSet<RequestId>,
    pub questions: Vec<Asked>,
    /// The environments that the stubs told last.
    pub told: BTreeMap<FunctionId, BTreeMap<String, String>>,
    pub debuggers: bool,
    pub limit: usize,
    /// Whether what happens now must end no call: a save, a build, a deployment.
    pub sparing: bool,
    /// Whether anything may fail.
    pub wild: bool,
}

/// The variables of one of the execution environments.
pub(super) fn environment(number: usize) -> BTreeMap<String, String> {
    let token = format!("t{number}");
    [("TABLE", "notes"), ("AWS_SESSION_TOKEN", &token)]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

fn version_of(artifact: &Artifact) -> (u64, u64) {
    let (timeout, version) = artifact.fingerprint.split_once('-').unwrap();
    (timeout.parse().unwrap(), version.parse().unwrap())
}

impl Outside {
    pub(super) fn new(limit: usize, wild: bool) -> Self {
        let mut outside = Self {
            state: State::new(Config { max_workers: limit, ..Config::default() }),
            now: Instant::now(),
            specs: BTreeMap::new(),
            saved: NAMES.iter().map(|name| (FunctionId::from(name), 0)).collect(),
            processes: BTreeMap::new(),
            compilers: Vec::new(),
            read: None,
            sent: Vec::new(),
            delivered: HashSet::new(),
            arrived: HashSet::new(),
            returned: BTreeSet::new(),
            failed: BTreeMap::new(),
            calls: BTreeSet::new(),
            questions: Vec::new(),
            told: BTreeMap::new(),
            debuggers: false,
            limit,
            sparing: false,
            wild,
        };
        outside.redeploy([true; 3], 10);
        outside
    }

    pub(super) fn has_ended(&self, request: &RequestId) -> bool {
        self.returned.contains(request) || self.failed.contains_key(request)
    }

    pub(super) fn send(&mut self, event: Event) {
        for effect in self.state.handle(event, self.now) {
            self.obey(effect);
        }
        assert!(self.processes.len() <= self.limit + 1, "more workers than allowed");
        assert!(
            self.state.next_wake().is_none_or(|wake| wake > self.now),
            "it would be woken again and again"
        );
    }

    pub(super) fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Start(start) => {
                let (timeout, version) = version_of(&start.artifact);
                assert_eq!(start.spec, self.specs[&start.spec.id], "started as it was before a deployment");
                assert_eq!(
                    Some(timeout),
                    start.spec.timeout_s,
                    "started with what was built for another spec"
                );
                let process = Process {
                    function: start.spec.id.clone(),
                    environment: Arc::unwrap_or_clone(start.environment),
                    version,
                    gated: start.gated,
                    announced: false,
                    asks: false,
                    had_one: false,
                    holds: None,
                    stopped: false,
                    offered: false,
                    awaited: false,
                    paused: false,
                };
                self.processes.insert(start.worker, process);
            }
            Effect::Arrived(invocation) => {
                assert!(self.arrived.insert(invocation.request), "told of twice");
            }
            Effect::Load { worker } => self.processes.get_mut(&worker).unwrap().gated = false,
            Effect::Deliver { worker, delivery } => {
                let request = delivery.request.clone();
                let process = self.processes.get_mut(&worker).expect("given to a dead worker");
                assert!(!process.stopped, "given to a worker that was told to end");
                assert!(process.asks, "given to a worker that does not ask");
                assert!(!process.awaited, "given to a worker that waits for its debuggers");
                assert!(
                    self.wild || !self.debuggers || process.had_one || process.offered,
                    "a first call was let go before debuggers knew of the worker"
                );
                assert!(self.delivered.insert(request.clone()), "given twice");
                assert!(self.arrived.contains(&request), "given without a history of it");
                (process.asks, process.had_one) = (false, true);
                assert_eq!(process.holds.replace(request.clone()), None, "given to a busy worker");
                let (function, environment) = (process.function.clone(), process.environment.clone());
                let sent = self.sent.iter().find(|(id, ..)| *id == request);
                assert_eq!(sent.map(|(.., its)| its), Some(&environment), "it has other credentials");
                let same = |(name, value): (&String, &String)| environment.get(name) == Some(value);
                assert!(delivery.credentials.iter().all(same), "{:?}", delivery.credentials);
                let earlier = self.sent.iter().take_while(|(id, ..)| *id != request).find(|(id, of, its)| {
                    *of == function
                        && *its == environment
                        && !self.delivered.contains(id)
                        && !self.has_ended(id)
                });
                assert_eq!(earlier, None, "overtaken by {request}");
            }
            Effect::Stop { worker, .. } => {
                let process = self.processes.get_mut(&worker).expect("a dead worker was told to end");
                let open = process.holds.as_ref().filter(|request| {
                    !self.returned.contains(*request) && !self.failed.contains_key(*request)
                });
                assert!(open.is_none() || !self.sparing, "a save ended a call in progress");
                assert!(open.is_none() || self.wild, "a call in progress was ended");
                assert!(!process.offered, "debuggers still hold on to a worker that ends");
                process.stopped = true;
            }
            Effect::Answer { caller, request, answer } => {
                let local = self.calls.contains(&request);
                assert_eq!(caller == Caller::Local, local, "somebody else is answered");
                match answer {
                    Answer::Outcome(Outcome::Returned(_)) => self.end(request, None),
                    Answer::Outcome(Outcome::Failed(error)) => self.end(request, Some(error.error_type)),
                    Answer::Part(StreamPart::End { error }) => {
                        self.end(request, error.map(|error| error.error_type));
                    }
                    Answer::Part(_) | Answer::Working { .. } => {
                        assert!(!self.has_ended(&request), "something after the outcome");
                    }
                }
            }
            Effect::Local(LocalCommand::Ask { spec, token }) => {
                let open = |asked: &&Asked| !asked.answered && asked.function == spec.id;
                assert_eq!(self.questions.iter().filter(open).count(), 0, "asked twice at a time");
                assert!(self.questions.iter().all(|asked| asked.token != token), "asked as before");
                assert!(self.specs.contains_key(&spec.id), "asked of a function that was removed");
                self.questions.push(Asked { function: spec.id.clone(), token, answered: false });
            }
            Effect::Local(LocalCommand::Environment { call, variables }) => {
                assert!(self.told.values().any(|told| *told == variables), "not what a stub has told last");
                self.end(call, None);
            }
            Effect::Local(LocalCommand::Refuse { call, message, .. }) => self.end(call, Some(message)),
            Effect::Ui(UiEvent::Request { request, function, .. }) if self.calls.contains(&request) => {
                self.sent.push((request, function.clone(), self.told[&function].clone()));
            }
            Effect::Build { spec, generation, since } => {
                assert!(
                    self.compilers.iter().all(|compiler| compiler.spec.id != spec.id),
                    "two builds of one function at a time"
                );
                assert!(
                    self.compilers.iter().all(|compiler| compiler.generation != generation),
                    "two builds with the same generation"
                );
                assert_eq!(spec, self.specs[&spec.id], "built as it was before a deployment");
                let begun = self.read.take().filter(|(begun, _)| *begun > since);
                let (begun, files) = begun.unwrap_or_else(|| (generation, self.saved.clone()));
                let version = files[&spec.id];
                self.read = Some((begun, files));
                self.compilers.push(Compiler { spec, generation, version });
            }
            Effect::Bridge(BridgeCommand::Offer { worker, .. }) => {
                let process = self.processes.get_mut(&worker).expect("a dead worker was offered");
                assert!(process.announced && !process.offered && !process.stopped);
                (process.offered, process.awaited) = (true, true);
            }
            Effect::Bridge(BridgeCommand::Withdraw { worker }) => {
                if let Some(process) = self.processes.get_mut(&worker) {
                    assert!(process.offered, "withdrawn without having been offered");
                    (process.offered, process.awaited) = (false, false);
                }
            }
            Effect::Debug { .. }
            | Effect::Relay(_)
            | Effect::Cool { .. }
            | Effect::Watch { .. }
            | Effect::Ui(_) => {}
        }
    }

    pub(super) fn end(&mut self, request: RequestId, error: Option<String>) {
        let known = self.calls.contains(&request) || self.sent.iter().any(|(id, ..)| *id == request);
        assert!(known, "an outcome nobody asked for");
        assert!(!self.has_ended(&request), "a second outcome for {request}");
        match error {
            None => {
                self.returned.insert(request);
            }
            Some(error) => {
                self.failed.insert(request, error);
            }
        }
    }

    /// A call from one of the execution environments of a function.
    pub(super) fn invoke(&mut self, name: &str, number: usize) -> RequestId {
        let request = self.arrive(name, number, Bytes::from_static(b"{}"));
        self.note(&name.into(), number);
        self.send(request.1);
        request.0
    }

    /// What arrives from a stub.
    fn arrive(&mut self, name: &str, number: usize, payload: Bytes) -> (RequestId, Event) {
        let request = RequestId::from(format!("r{}", self.sent.len() + self.calls.len()));
        let Event::Invoked(mut invocation) = invocation(name, request.as_str()) else { unreachable!() };
        (invocation.environment, invocation.payload) = (environment(number).into(), payload);
        self.sent.push((request.clone(), name.into(), environment(number)));
        (request, Event::Invoked(invocation))
    }

    /// What a stub tells of a function that is there.
    fn note(&mut self, function: &FunctionId, number: usize) {
        if self.specs.contains_key(function) {
            self.told.insert(function.clone(), environment(number));
        }
    }

    /// A call from this machine, or only the wish to know the function's environment.
    pub(super) fn call(&mut self, name: &str, event: Option<&'static str>) {
        let id = RequestId::from(format!("r{}", self.sent.len() + self.calls.len()));
        assert!(self.calls.insert(id.clone()));
        self.send(Event::Called(Call {
            id,
            function: name.to_owned(),
            event: event.map(Bytes::from),
            trace_id: String::new(),
            replays: None,
            stops: false,
        }));
    }

    /// A stub tells what it was asked, from one of its execution environments.
    pub(super) fn introduce(&mut self, index: usize, number: usize) {
        let Asked { function, token, answered } = &mut self.questions[index];
        let first = !std::mem::replace(answered, true);
        let (function, token) = (function.clone(), token.clone());
        if first {
            self.note(&function, number);
        }
        self.introduced(function.as_str(), number, token);
    }

    /// The answer to a question is nobody's business but ours, whoever has asked.
    pub(super) fn introduced(&mut self, name: &str, number: usize, token: String) {
        let (request, event) = self.arrive(name, number, question::event(token).into());
        self.send(event);
        assert!(self.returned.contains(&request), "a question is answered at once");
    }

    /// A stub has been asked, and says nothing more. Maybe it never has.
    pub(super) fn ignore(&mut self, index: usize) {
        let token = self.questions.remove(index).token;
        self.send(Event::Unanswered { token, reason: "no".to_owned() });
    }

    pub(super) fn poll(&mut self, worker: WorkerId) {
        let Some(process) = self.processes.get_mut(&worker) else { return };
        if process.gated || process.asks || process.holds.is_some() || process.paused {
            return;
        }
        process.asks = true;
        self.send(Event::Polled { worker });
    }

    pub(super) fn exit(&mut self, worker: WorkerId, code: i32) {
        let offered = self.processes[&worker].offered;
        let effects = self.state.handle(Event::Exited { worker, exit: Exit::Code(code) }, self.now);
        let withdrawn = effects.iter().any(
            |effect| matches!(effect, Effect::Bridge(BridgeCommand::Withdraw { worker: it }) if *it == worker),
        );
        assert_eq!(offered, withdrawn, "debuggers hold on to a dead worker");
        self.processes.remove(&worker);
        effects.into_iter().for_each(|effect| self.obey(effect));
    }

    pub(super) fn answer(&mut self, worker: WorkerId, outcome: Outcome) {
        // A worker may also answer what has timed out.
        let Some(request) = self.processes.get_mut(&worker).and_then(|process| process.holds.take()) else {
            return;
        };
        self.send(Event::Answered { worker, request, outcome });
    }

    pub(super) fn build(&mut self, index: usize, good: bool) {
        let Compiler { spec, generation, version } = self.compilers.remove(index);
        let mut artifact =
            (*artifact(spec.id.as_str(), &format!("{}-{version}", spec.timeout_s.unwrap_or_default())))
                .clone();
        if spec.id.as_str() == "n" {
            let path = "/app/n/n".into();
            artifact.program = Program::native("compiled", path);
        }
        let error = || BuildError { inputs: artifact.inputs.clone(), ..broken() };
        let result = if good { Ok(Arc::new(artifact)) } else { Err(error()) };
        self.sparing = true;
        self.send(Event::Built { function: spec.id.clone(), generation, result });
        self.sparing = false;
    }

    pub(super) fn save(&mut self, name: &str, structural: bool) {
        *self.saved.get_mut(&FunctionId::from(name)).unwrap() += 1;
        let path = format!("/app/{name}/x.js").into();
        self.sparing = true;
        self.send(Event::FilesChanged(vec![FileChange { path, structural }]));
        self.sparing = false;
    }

    pub(super) fn redeploy(&mut self, present: [bool; 3], timeout_s: u64) {
        let present = NAMES.iter().zip(present).filter(|(_, present)| *present);
        let specs: Vec<Arc<FunctionSpec>> = present
            .map(|(name, _)| Arc::new(FunctionSpec { timeout_s: Some(timeout_s), ..(*spec(name)).clone() }))
            .collect();
        self.specs = specs.iter().map(|spec| (spec.id.clone(), spec.clone())).collect();
        self.told.retain(|function, _| self.specs.contains_key(function));
        self.sparing = true;
        self.send(Event::Functions(specs));
        self.sparing = false;
    }

    pub(super) fn announce(&mut self, worker: WorkerId) {
        let process = self.processes.get_mut(&worker).unwrap();
        if !std::mem::replace(&mut process.announced, true) {
            self.send(Event::Debuggable { worker, target: inspector_target() });
        }
    }

    pub(super) fn ready(&mut self, worker: WorkerId) {
        if std::mem::take(&mut self.processes.get_mut(&worker).unwrap().awaited) {
            self.send(Event::DebuggerReady { worker });
        }
    }

    /// Lets everything that was begun come to its end: workers answer, compilers compile, debuggers let go.
    pub(super) fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "it goes on for ever");
            let mut moved = !self.compilers.is_empty() || !self.questions.is_empty();
            while !self.questions.is_empty() {
                if !self.questions[0].answered {
                    self.introduce(0, 0);
                }
                self.ignore(0);
            }
            while !self.compilers.is_empty() {
                self.build(0, true);
            }
            for worker in self.processes.keys().copied().collect::<Vec<_>>() {
                let Some(process) = self.processes.get(&worker) else { continue };
                let idle = process.asks && process.announced && !process.awaited && !process.paused;
                moved |= process.stopped || !idle;
                if process.stopped {
                    self.exit(worker, 0);
                    continue;
                }
                self.announce(worker);
                self.ready(worker);
                if std::mem::take(&mut self.processes.get_mut(&worker).unwrap().paused) {
                    self.send(Event::Resumed { worker });
                }
                self.answer(worker, Outcome::Returned(Bytes::new()));
                self.poll(worker);
            }
            if !moved {
                return;
            }
        }
    }

    /// Calls each function, and shows that it runs the code that was saved last.
    pub(super) fn all_are_fresh(&mut self) {
        for name in self.specs.keys().cloned().collect::<Vec<_>>() {
            let request = self.invoke(name.as_str(), 1);
            for round in 0.. {
                assert!(round < 10_000, "`{name}` is not called");
                if let Some(process) =
                    self.processes.values().find(|process| process.holds.as_ref() == Some(&request))
                {
                    assert_eq!(process.version, self.saved[&name], "`{name}` runs what was saved before");
                    break;
                }
                self.settle_but(&request);
            }
            self.settle();
            assert!(
                self.returned.contains(&request),
                "`{name}` is not served: {:?}",
                self.failed.get(&request)
            );
        }
    }

    /// One step on the way to a call's delivery.
    pub(super) fn settle_but(&mut self, request: &RequestId) {
        if !self.compilers.is_empty() {
            return self.build(0, true);
        }
        for worker in self.processes.keys().copied().collect::<Vec<_>>() {
            let Some(process) = self.processes.get(&worker) else { continue };
            if process.holds.as_ref() == Some(request) {
                return;
            }
            if process.stopped {
                self.exit(worker, 0);
                continue;
            }
            self.announce(worker);
            self.ready(worker);
            self.poll(worker);
        }
    }

    pub(super) fn none_is_open(&self) {
        let ids = self.sent.iter().map(|(id, ..)| id).chain(&self.calls);
        let open: Vec<_> = ids.filter(|id| !self.has_ended(id)).collect();
        assert!(open.is_empty(), "no outcome for {open:?}: {:?}", self.state);
    }
}

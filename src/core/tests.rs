//! The core under test: single stories first, then every order of events.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    event::{Artifact, BuildError, FileChange, Native},
    *,
};
use crate::project::manifest::Source;

fn spec(name: &str) -> Arc<FunctionSpec> {
    Arc::new(FunctionSpec {
        id: name.into(),
        stack: "stack".into(),
        logical_id: name.into(),
        runtime: "nodejs22.x".into(),
        handler: "index.handler".into(),
        source: Source::Directory { path: format!("/app/{name}").into() },
        timeout_s: 10,
        memory_mb: 128,
        environment: vec!["TABLE".into()],
    })
}

fn artifact(name: &str, fingerprint: &str) -> Arc<Artifact> {
    Arc::new(Artifact {
        program: Program::Node,
        task_root: format!("/app/{name}").into(),
        handler: "index.handler".into(),
        fingerprint: fingerprint.into(),
        inputs: vec![format!("/app/{name}").into()],
        packages: Vec::new(),
        provided: None,
    })
}

fn inspector_target() -> Target {
    Target::Inspector { url: "ws://127.0.0.1:1/x".into() }
}

fn invocation(function: &str, request: &str) -> Event {
    Event::Invoked(Box::new(Invocation {
        request: request.into(),
        function: function.into(),
        payload: Bytes::from_static(b"{}"),
        context: sst_wire::Context::default(),
        environment: BTreeMap::from([("TABLE".into(), "notes".into())]),
        remaining: Duration::from_secs(10),
    }))
}

fn changed(path: &str) -> Event {
    Event::FilesChanged(vec![FileChange { path: path.into(), structural: false }])
}

fn broken() -> BuildError {
    BuildError {
        summary: "index.js:1:1: no".into(),
        detail: "no".into(),
        error_type: "Runtime.UserCodeSyntaxError".into(),
        inputs: vec!["/app/a".into()],
    }
}

/// The core together with what it believes about the outside, so that a story reads as one.
struct World {
    state: State,
    now: Instant,
    effects: Vec<Effect>,
}

impl World {
    fn new(max_workers: usize) -> Self {
        let mut world = Self {
            state: State::new(Config { max_workers, ..Config::default() }),
            now: Instant::now(),
            effects: Vec::new(),
        };
        world.send(Event::Functions(vec![spec("a"), spec("b")]));
        world
    }

    fn send(&mut self, event: Event) -> &mut Self {
        self.effects = self.state.handle(event, self.now);
        self
    }

    fn built(&mut self, function: &str, generation: u64, result: Result<&str, BuildError>) -> &mut Self {
        self.send(Event::Built {
            function: function.into(),
            generation: Generation(generation),
            result: result.map(|fingerprint| artifact(function, fingerprint)),
        })
    }

    fn answer(&mut self, worker: u64, request: &str) -> &mut Self {
        let outcome = Outcome::Returned(Bytes::from_static(b"1"));
        self.send(Event::Answered { worker: WorkerId(worker), request: request.into(), outcome })
    }

    fn poll(&mut self, worker: u64) -> &mut Self {
        self.send(Event::Polled { worker: WorkerId(worker) })
    }

    /// What the last event led to, in short, without what is shown.
    fn did(&self) -> Vec<String> {
        self.effects.iter().filter_map(describe).collect()
    }
}

fn describe(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Start(start) => {
            format!("start {} {} {}", start.worker, start.spec.id, start.artifact.fingerprint)
        }
        Effect::Load { worker } => format!("load {worker}"),
        Effect::Debug { worker, .. } => format!("debug {worker}"),
        Effect::Deliver { worker, delivery } => format!("deliver {} {worker}", delivery.request),
        Effect::Stop { worker, how } => format!("stop {worker} {how:?}"),
        Effect::Relay(RelayCommand::Reply { request, outcome }) => match outcome {
            Outcome::Returned(_) => format!("reply {request}"),
            Outcome::Failed(error) => format!("fail {request} {}", error.error_type),
        },
        Effect::Relay(RelayCommand::Stream { request, part: StreamPart::End { .. } }) => {
            format!("end {request}")
        }
        Effect::Relay(RelayCommand::Stream { request, .. }) => format!("stream {request}"),
        Effect::Relay(RelayCommand::Working { request, paused }) => format!("working {request} {paused}"),
        Effect::Bridge(BridgeCommand::Offer { worker, .. }) => format!("offer {worker}"),
        Effect::Bridge(BridgeCommand::Withdraw { worker }) => format!("withdraw {worker}"),
        Effect::Relay(_) | Effect::Ui(_) => return None,
        Effect::Build { spec, generation } => format!("build {} {generation}", spec.id),
        Effect::Cool { function } => format!("cool {function}"),
    })
}

#[test]
fn the_first_call_builds_starts_and_runs() {
    let mut world = World::new(10);
    assert_eq!(world.send(invocation("a", "r1")).did(), ["build a g1"]);
    assert_eq!(world.built("a", 1, Ok("x")).did(), ["start w1 a x"]);
    assert_eq!(world.poll(1).did(), ["deliver r1 w1"]);
    assert_eq!(world.answer(1, "r1").did(), ["reply r1"]);
    assert_eq!(world.answer(1, "r1").did(), [""; 0], "an answer counts once");
    assert_eq!(world.poll(1).did(), [""; 0]);
    assert_eq!(world.send(invocation("a", "r2")).did(), ["deliver r2 w1"]);
}

fn with_running_call() -> World {
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    world
}

#[test]
fn a_call_in_progress_finishes_on_the_old_code_and_the_next_one_runs_the_new() {
    let mut world = with_running_call();
    assert_eq!(world.send(changed("/app/a/index.js")).did(), ["build a g2"]);
    assert_eq!(world.send(invocation("a", "r2")).did(), [""; 0], "waits for the build");
    assert_eq!(world.built("a", 2, Ok("y")).did(), ["start w2 a y"]);
    assert_eq!(world.answer(1, "r1").did(), ["reply r1"]);
    assert_eq!(world.poll(1).did(), ["stop w1 Gently"], "the old worker ends when it has nothing to do");
    assert_eq!(world.poll(2).did(), ["deliver r2 w2"]);
}

#[test]
fn a_save_starts_the_next_worker_before_it_ends_the_old_one() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1).send(changed("/app/a/index.js"));
    assert_eq!(world.built("a", 2, Ok("y")).did(), ["start w2 a y", "stop w1 Gently"]);
}

#[test]
fn a_build_that_brings_nothing_new_leaves_the_workers_alone() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1).send(changed("/app/a/index.js"));
    assert_eq!(world.built("a", 2, Ok("x")).did(), [""; 0]);
    assert_eq!(world.send(invocation("a", "r2")).did(), ["deliver r2 w1"]);
}

#[test]
fn a_broken_first_build_fails_its_calls_at_once_and_each_call_tries_again() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).send(invocation("a", "r2"));
    assert_eq!(
        world.built("a", 1, Err(broken())).did(),
        ["fail r1 Runtime.UserCodeSyntaxError", "fail r2 Runtime.UserCodeSyntaxError"]
    );
    assert_eq!(world.send(invocation("a", "r3")).did(), ["build a g2"]);
}

#[test]
fn a_later_broken_build_leaves_the_last_good_code_serving() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1).send(changed("/app/a/index.js"));
    assert_eq!(world.built("a", 2, Err(broken())).did(), [""; 0]);
    assert_eq!(world.send(invocation("a", "r2")).did(), ["deliver r2 w1"]);
}

#[test]
fn a_save_during_a_build_builds_once_more() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.send(changed("/app/a/index.js"));
    // The first build names no inputs yet, so nothing says that the file concerns it; a file that appears does.
    let appeared = FileChange { path: "/app/a/new.js".into(), structural: true };
    world.send(Event::FilesChanged(vec![appeared]));
    assert_eq!(world.built("a", 1, Ok("x")).did(), ["build a g2"]);
    assert_eq!(world.built("a", 2, Ok("y")).did(), ["start w1 a y"]);
}

#[test]
fn a_function_nobody_calls_is_built_when_it_is_called() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1);
    world.now += Duration::from_secs(3600);
    assert_eq!(world.send(changed("/app/a/index.js")).did(), ["stop w1 Gently"], "idle for long");
    world.send(Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) });
    assert_eq!(world.send(invocation("a", "r2")).did(), ["build a g2"]);
}

#[test]
fn a_timeout_kills_the_worker_and_says_what_lambda_says() {
    let mut world = with_running_call();
    world.now += Duration::from_secs(10);
    world.send(Event::Tick);
    assert_eq!(world.did(), ["fail r1 Sandbox.Timedout", "stop w1 Now"]);
    let Some(Effect::Relay(RelayCommand::Reply { outcome: Outcome::Failed(error), .. })) =
        world.effects.iter().find(|effect| matches!(effect, Effect::Relay(_)))
    else {
        panic!("no reply");
    };
    let body = String::from_utf8_lossy(&error.body);
    assert!(body.contains("RequestId: r1 Error: Task timed out after 10.00 seconds"), "{body}");
}

#[test]
fn the_clock_stands_still_while_paused() {
    let mut world = with_running_call();
    assert_eq!(world.send(Event::Paused { worker: WorkerId(1), place: None }).did(), ["working r1 true"]);
    world.now += Duration::from_secs(600);
    assert_eq!(world.send(Event::Tick).did(), ["working r1 true"]);
    assert_eq!(world.send(Event::Resumed { worker: WorkerId(1) }).did(), ["working r1 false"]);
    world.now += Duration::from_secs(9);
    assert_eq!(world.send(Event::Tick).did(), [""; 0]);
    world.now += Duration::from_secs(1);
    assert_eq!(world.send(Event::Tick).did(), ["fail r1 Sandbox.Timedout", "stop w1 Now"]);
}

#[test]
fn the_developer_hears_once_that_the_caller_of_an_api_has_gone() {
    let mut world = World::new(10);
    let Event::Invoked(mut call) = invocation("a", "r1") else { unreachable!() };
    call.payload =
        Bytes::from_static(br#"{"requestContext":{"http":{"method":"GET","path":"/"}},"rawPath":"/"}"#);
    world.send(Event::Invoked(call));
    world.built("a", 1, Ok("x"));
    world.poll(1);
    world.send(Event::Paused { worker: WorkerId(1), place: None });
    let gone = |world: &World| {
        world.effects.iter().filter(|effect| matches!(effect, Effect::Ui(UiEvent::CallerGone { .. }))).count()
    };
    world.now += Duration::from_secs(29);
    world.send(Event::Tick);
    assert_eq!(gone(&world), 0);
    world.now += Duration::from_secs(1);
    world.send(Event::Tick);
    assert_eq!(gone(&world), 1);
    world.now += Duration::from_secs(60);
    world.send(Event::Tick);
    assert_eq!(gone(&world), 0);
    assert_eq!(world.send(Event::Resumed { worker: WorkerId(1) }).did(), ["working r1 false"]);
}

#[test]
fn a_worker_gets_no_call_before_the_debuggers_have_set_their_breakpoints() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.built("a", 1, Ok("x"));
    let inspector = Event::Debuggable { worker: WorkerId(1), target: inspector_target() };
    assert_eq!(world.send(inspector).did(), [""; 0], "its function is loaded first");
    assert_eq!(world.poll(1).did(), ["offer w1"], "nothing is delivered, and no second worker is started");
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["load w1", "deliver r1 w1"]);
    let exited = Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) };
    assert_eq!(world.send(exited).did(), ["withdraw w1", "fail r1 Runtime.ExitError"]);
}

#[test]
fn a_program_that_asks_for_a_call_before_its_process_is_known_waits_for_the_debuggers_too() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    let program = Program::Native { path: "/app/a".into(), arguments: Vec::new(), language: Native::Rust };
    let artifact = Artifact { program, ..(*artifact("a", "x")).clone() };
    let built = Event::Built { function: "a".into(), generation: Generation(1), result: Ok(artifact.into()) };
    world.send(built);
    assert_eq!(world.poll(1).did(), [""; 0]);
    let target = Target::Native { pid: 7, executable: "/app/a".into(), language: Native::Rust };
    assert_eq!(world.send(Event::Debuggable { worker: WorkerId(1), target }).did(), ["offer w1"]);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["load w1", "deliver r1 w1"]);
}

#[test]
fn a_worker_that_a_debugger_comes_to_finishes_its_call_and_waits_before_the_next() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.built("a", 1, Ok("x"));
    assert_eq!(world.poll(1).did(), ["deliver r1 w1"]);
    world.send(Event::DebuggerComes { worker: WorkerId(1) });
    assert_eq!(world.answer(1, "r1").did(), ["reply r1"]);
    world.poll(1);
    assert_eq!(world.send(invocation("a", "r2")).did(), [""; 0], "no second worker is started for it");
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["load w1", "deliver r2 w1"]);
}

#[test]
fn the_clock_stands_still_while_the_function_is_being_built() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.now += Duration::from_secs(60);
    assert_eq!(world.send(Event::Tick).did(), ["working r1 true"]);
    world.built("a", 1, Ok("x"));
    world.now += Duration::from_secs(5);
    assert_eq!(world.poll(1).did().last().unwrap(), "deliver r1 w1");
    world.now += Duration::from_secs(6);
    assert_eq!(world.send(Event::Tick).did(), ["fail r1 Sandbox.Timedout", "stop w1 Now"]);
}

#[test]
fn debuggers_that_stop_at_every_script_are_there_before_the_function_is_loaded() {
    let mut world = World::new(10);
    world.send(Event::Debuggers { attached: 1, gate: Gate { node: true, python: false } });
    world.send(invocation("a", "r1"));
    world.built("a", 1, Ok("x"));
    let inspector = Event::Debuggable { worker: WorkerId(1), target: inspector_target() };
    assert_eq!(world.send(inspector).did(), ["offer w1"]);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["load w1"]);
    assert_eq!(world.poll(1).did(), ["deliver r1 w1"]);
}

#[test]
fn a_worker_that_dies_fails_its_call_only() {
    let mut world = with_running_call();
    world.send(invocation("a", "r2"));
    let exited = Event::Exited { worker: WorkerId(1), exit: Exit::Code(3) };
    assert_eq!(world.send(exited).did(), ["fail r1 Runtime.ExitError"]);
    assert_eq!(world.poll(2).did(), ["deliver r2 w2"]);
}

#[test]
fn an_initialisation_error_goes_to_the_call_that_needed_the_worker() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x"));
    let error = FunctionError::new("Runtime.ImportModuleError", "no");
    world.send(Event::InitFailed { worker: WorkerId(1), error });
    assert_eq!(world.did(), ["stop w1 Gently", "fail r1 Runtime.ImportModuleError"]);
    assert_eq!(world.send(Event::Exited { worker: WorkerId(1), exit: Exit::Code(129) }).did(), [""; 0]);
}

#[test]
fn an_error_after_the_head_of_a_stream_ends_the_stream() {
    let mut world = with_running_call();
    let part = StreamPart::Begin { content_type: None };
    world.send(Event::Streamed { worker: WorkerId(1), request: "r1".into(), part });
    assert_eq!(world.did(), ["stream r1"]);
    assert_eq!(world.send(Event::Exited { worker: WorkerId(1), exit: Exit::Code(1) }).did(), ["end r1"]);
}

#[test]
fn changed_variables_call_for_a_new_worker_and_changed_credentials_do_not() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1);
    let Event::Invoked(mut next) = invocation("a", "r2") else { unreachable!() };
    next.environment.insert("AWS_SESSION_TOKEN".into(), "new".into());
    assert_eq!(world.send(Event::Invoked(next.clone())).did(), ["deliver r2 w1"]);
    world.answer(1, "r2").poll(1);
    next.request = "r3".into();
    next.environment.insert("TABLE".into(), "other".into());
    assert_eq!(world.send(Event::Invoked(next)).did(), ["stop w1 Gently", "start w2 a x"]);
}

#[test]
fn at_the_limit_calls_wait_in_order_and_idle_workers_make_room() {
    let mut world = World::new(1);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    world.send(invocation("a", "r2")).send(invocation("b", "r3"));
    world.built("b", 1, Ok("z"));
    assert_eq!(world.did(), [""; 0]);
    world.answer(1, "r1");
    assert_eq!(world.poll(1).did(), ["deliver r2 w1"]);
    world.answer(1, "r2");
    assert_eq!(world.poll(1).did(), ["stop w1 Gently"]);
    assert_eq!(
        world.send(Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) }).did(),
        ["start w2 b z"]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Invoke(bool),
    Poll(usize),
    Answer(usize),
    Fail(usize),
    Stream(usize, bool),
    InitFail(usize),
    Exit(usize, i32),
    Save(bool, bool),
    Build(usize, bool, u8),
    Inspect(usize),
    DebuggerReady(usize),
    DebuggerComes(usize),
    Pause(usize),
    Resume(usize),
    Wait(u64),
    Redeploy(bool),
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<bool>().prop_map(Step::Invoke),
        8 => (0..6usize).prop_map(Step::Poll),
        6 => (0..6usize).prop_map(Step::Answer),
        2 => (0..6usize).prop_map(Step::Fail),
        2 => ((0..6usize), any::<bool>()).prop_map(|(worker, end)| Step::Stream(worker, end)),
        1 => (0..6usize).prop_map(Step::InitFail),
        2 => ((0..6usize), 0..4i32).prop_map(|(worker, code)| Step::Exit(worker, code)),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(function, structural)| Step::Save(function, structural)),
        6 => ((0..4usize), prop::bool::weighted(0.8), 0..4u8).prop_map(|(build, good, code)| Step::Build(build, good, code)),
        2 => (0..6usize).prop_map(Step::Inspect),
        2 => (0..6usize).prop_map(Step::DebuggerReady),
        1 => (0..6usize).prop_map(Step::DebuggerComes),
        1 => (0..6usize).prop_map(Step::Pause),
        1 => (0..6usize).prop_map(Step::Resume),
        2 => (0..30u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Redeploy),
        1 => Just(Step::Shutdown),
    ]
}

/// What an outside that obeys every effect would have seen.
#[derive(Default)]
struct Outside {
    sent: BTreeSet<String>,
    ended: HashSet<String>,
    alive: Vec<WorkerId>,
    /// The request each worker holds, as far as the outside knows.
    holds: HashMap<WorkerId, RequestId>,
    stopped: HashSet<WorkerId>,
    builds: Vec<(FunctionId, Generation)>,
    /// The workers in which debuggers are setting breakpoints.
    held: HashSet<WorkerId>,
}

impl Outside {
    fn obey(&mut self, effects: &[Effect], saving: bool) {
        for effect in effects {
            match effect {
                Effect::Start(start) => self.alive.push(start.worker),
                Effect::Deliver { worker, delivery } => {
                    assert!(
                        self.alive.contains(worker) && !self.stopped.contains(worker),
                        "given to a dead worker"
                    );
                    assert!(!self.held.contains(worker), "given to a worker that waits for its debuggers");
                    let before = self.holds.insert(*worker, delivery.request.clone());
                    assert_eq!(before, None, "given to a busy worker");
                }
                Effect::Stop { worker, .. } => {
                    assert!(!(saving && self.holds.contains_key(worker)), "a save ended a call in progress");
                    self.stopped.insert(*worker);
                }
                Effect::Relay(RelayCommand::Reply { request, .. })
                | Effect::Relay(RelayCommand::Stream { request, part: StreamPart::End { .. } }) => {
                    assert!(self.sent.contains(request.as_str()), "an outcome nobody asked for");
                    assert!(self.ended.insert(request.to_string()), "a second outcome for {request}");
                    self.holds.retain(|_, held| held != request);
                }
                Effect::Relay(
                    RelayCommand::Stream { request, .. } | RelayCommand::Working { request, .. },
                ) => {
                    assert!(!self.ended.contains(request.as_str()), "something after the outcome");
                }
                Effect::Build { spec, generation } => self.builds.push((spec.id.clone(), *generation)),
                Effect::Bridge(BridgeCommand::Offer { worker, .. }) => {
                    self.held.insert(*worker);
                }
                Effect::Load { .. }
                | Effect::Bridge(_)
                | Effect::Relay(_)
                | Effect::Cool { .. }
                | Effect::Debug { .. }
                | Effect::Ui(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every request gets exactly one outcome, whatever happens in whatever order, and a save ends no call.
    #[test]
    fn each_request_gets_exactly_one_outcome(steps in prop::collection::vec(step(), 1..120), limit in 1..4usize) {
        let mut state = State::new(Config { max_workers: limit, ..Config::default() });
        let mut now = Instant::now();
        let mut outside = Outside::default();
        outside.obey(&state.handle(Event::Functions(vec![spec("a"), spec("b")]), now), false);
        for (number, step) in steps.into_iter().enumerate() {
            let name = |second: bool| if second { "b" } else { "a" };
            let worker = |outside: &Outside, index: usize| outside.alive.get(index).copied();
            let event = match step {
                Step::Invoke(second) => {
                    outside.sent.insert(format!("r{number}"));
                    invocation(name(second), &format!("r{number}"))
                }
                Step::Poll(index) => match worker(&outside, index) {
                    Some(worker) if !outside.holds.contains_key(&worker) => Event::Polled { worker },
                    _ => continue,
                },
                Step::Answer(index) | Step::Fail(index) | Step::Stream(index, _) => {
                    let Some(worker) = worker(&outside, index) else { continue };
                    // A worker may also answer what it was never given, or what has timed out.
                    let request = outside.holds.get(&worker).cloned().unwrap_or_else(|| "r0".into());
                    match step {
                        Step::Answer(_) => Event::Answered { worker, request, outcome: Outcome::Returned(Bytes::new()) },
                        Step::Fail(_) => {
                            let outcome = Outcome::Failed(FunctionError::new("Error", "no"));
                            Event::Answered { worker, request, outcome }
                        }
                        Step::Stream(_, end) => {
                            let part = if end { StreamPart::End { error: None } } else { StreamPart::Data(Bytes::new()) };
                            Event::Streamed { worker, request, part }
                        }
                        _ => unreachable!(),
                    }
                }
                Step::InitFail(index) => match worker(&outside, index) {
                    Some(worker) => Event::InitFailed { worker, error: FunctionError::new("Runtime.X", "no") },
                    None => continue,
                },
                Step::Exit(index, code) => match worker(&outside, index) {
                    Some(worker) => {
                        outside.alive.retain(|alive| *alive != worker);
                        outside.holds.remove(&worker);
                        Event::Exited { worker, exit: Exit::Code(code) }
                    }
                    None => continue,
                },
                Step::Save(second, structural) => {
                    let path = format!("/app/{}/x.js", name(second)).into();
                    let effects = state.handle(Event::FilesChanged(vec![FileChange { path, structural }]), now);
                    outside.obey(&effects, true);
                    continue;
                }
                Step::Build(index, good, code) => {
                    if index >= outside.builds.len() { continue }
                    let (function, generation) = outside.builds.remove(index);
                    let result = if good { Ok(artifact(function.as_str(), &code.to_string())) } else { Err(broken()) };
                    let effects = state.handle(Event::Built { function, generation, result }, now);
                    outside.obey(&effects, true);
                    continue;
                }
                Step::Inspect(index) => match worker(&outside, index) {
                    Some(worker) => Event::Debuggable { worker, target: inspector_target() },
                    None => continue,
                },
                Step::DebuggerReady(index) => match worker(&outside, index) {
                    Some(worker) => {
                        outside.held.remove(&worker);
                        Event::DebuggerReady { worker }
                    }
                    None => continue,
                },
                Step::DebuggerComes(index) => match worker(&outside, index) {
                    Some(worker) => {
                        outside.held.insert(worker);
                        Event::DebuggerComes { worker }
                    }
                    None => continue,
                },
                Step::Pause(index) => match worker(&outside, index) {
                    Some(worker) => Event::Paused { worker, place: None },
                    None => continue,
                },
                Step::Resume(index) => match worker(&outside, index) {
                    Some(worker) => Event::Resumed { worker },
                    None => continue,
                },
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    Event::Tick
                }
                Step::Redeploy(both) => {
                    Event::Functions(if both { vec![spec("a"), spec("b")] } else { vec![spec("a")] })
                }
                Step::Shutdown => Event::Shutdown,
            };
            outside.obey(&state.handle(event, now), false);
            prop_assert!(state.pool.len() <= limit + 1, "more workers than allowed");
        }
        outside.obey(&state.handle(Event::Shutdown, now), false);
        for worker in std::mem::take(&mut outside.alive) {
            outside.obey(&state.handle(Event::Exited { worker, exit: Exit::Signal("terminated".into()) }, now), false);
        }
        prop_assert!(state.is_finished());
        for request in &outside.sent {
            prop_assert!(outside.ended.contains(request), "no outcome for {}", request);
        }
    }
}

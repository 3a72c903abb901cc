//! Single stories.

use super::{world::*, *};

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

#[test]
fn a_timeout_kills_the_worker_and_says_what_lambda_says() {
    let mut world = with_running_call();
    world.now += Duration::from_secs(10);
    world.send(Event::Tick);
    assert_eq!(world.did(), ["fail r1 Sandbox.Timedout", "stop w1 Now"]);
    let Some(Effect::Answer { answer: Answer::Outcome(Outcome::Failed(error)), .. }) =
        world.effects.iter().find(|effect| matches!(effect, Effect::Answer { .. }))
    else {
        panic!("no reply");
    };
    let body = String::from_utf8_lossy(&error.body);
    assert!(body.contains("RequestId: r1 Error: Task timed out after 10.00 seconds"), "{body}");
}

#[test]
fn whoever_runs_out_of_time_is_told_once_how_to_get_more() {
    let told = |more_time| {
        let mut world = World::new(10);
        world.state = State::new(Config { more_time, ..Config::default() });
        world.send(Event::Functions(vec![spec("a")])).send(invocation("a", "r0")).built("a", 1, Ok("x"));
        world.poll(1).answer(1, "r0").poll(1);
        let mut told = 0;
        for (worker, request) in [(1, "r1"), (2, "r2")] {
            world.send(invocation("a", request)).poll(worker);
            world.now += Duration::from_secs(10);
            world.send(Event::Tick);
            let says = |effect: &Effect| matches!(effect, Effect::Ui(UiEvent::Info(text)) if text.contains("--increase-timeout"));
            told += world.effects.iter().filter(|effect| says(effect)).count();
        }
        told
    };
    assert_eq!((told(true), told(false)), (1, 0));
}

#[test]
fn the_clock_stands_still_while_paused() {
    let mut world = with_running_call();
    assert_eq!(world.send(Event::Paused { worker: WorkerId(1), place: None }).did(), ["working r1 true"]);
    world.now += Duration::from_secs(600);
    assert_eq!(world.send(Event::Tick).did(), ["working r1 true"]);
    assert_eq!(world.send(Event::Resumed { worker: WorkerId(1) }).did(), ["working r1 false"]);
    world.now += Duration::from_secs(9);
    assert_eq!(world.send(Event::Tick).did(), ["working r1 false"]);
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
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["deliver r1 w1"]);
    let exited = Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) };
    assert_eq!(world.send(exited).did(), ["withdraw w1", "fail r1 Runtime.ExitError"]);
}

#[test]
fn a_program_that_asks_for_a_call_before_its_process_is_known_waits_for_the_debuggers_too() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    let program = Program::native("compiled", "/app/a".into());
    let artifact = Artifact { program, ..(*artifact("a", "x")).clone() };
    let built = Event::Built { function: "a".into(), generation: Generation(1), result: Ok(artifact.into()) };
    world.send(built);
    world.send(Event::Debuggers { attached: 1, gate: gate(&[]) });
    assert_eq!(world.poll(1).did(), [""; 0]);
    let target =
        Target::Process { pid: 7, executable: "/app/a".into(), language: "compiled".into(), lacking: None };
    assert_eq!(world.send(Event::Debuggable { worker: WorkerId(1), target }).did(), ["offer w1"]);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["deliver r1 w1"]);
}

#[test]
fn while_there_are_debuggers_a_first_call_waits_until_they_know_of_the_worker() {
    let mut world = World::new(10);
    world.send(Event::Debuggers { attached: 1, gate: gate(&[]) });
    world.send(invocation("a", "r1")).built("a", 1, Ok("x"));
    assert_eq!(world.poll(1).did(), [""; 0], "it asks before it is known where its inspector listens");
    let inspector = Event::Debuggable { worker: WorkerId(1), target: inspector_target() };
    assert_eq!(world.send(inspector).did(), ["offer w1"]);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["deliver r1 w1"]);
}

#[test]
fn a_worker_that_never_says_where_a_debugger_attaches_serves_all_the_same() {
    let mut world = World::new(10);
    world.send(Event::Debuggers { attached: 1, gate: gate(&[]) });
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    let due = world.state.next_wake().unwrap();
    assert_eq!(due - world.now, pool::UNSEEN);
    world.now = due;
    assert_eq!(world.send(Event::Tick).did(), ["deliver r1 w1"]);
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::Ui(UiEvent::Warning(_)))));
    world.answer(1, "r1").poll(1);
    assert_eq!(world.send(invocation("a", "r2")).did(), ["deliver r2 w1"]);
}

#[test]
fn a_debugger_that_stops_the_initialisation_stops_the_clock_of_the_call_that_waits_for_it() {
    let mut world = World::new(10);
    world.send(Event::Debuggers { attached: 1, gate: gate(&["scripted"]) });
    world.send(invocation("a", "r1")).built("a", 1, Ok("x"));
    world.send(Event::Debuggable { worker: WorkerId(1), target: inspector_target() });
    world.send(Event::DebuggerReady { worker: WorkerId(1) });
    world.send(Event::Paused { worker: WorkerId(1), place: None });
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::Ui(UiEvent::Paused { .. }))));
    world.now += Duration::from_secs(600);
    assert_eq!(world.send(Event::Tick).did(), ["working r1 true"]);
    world.send(Event::Resumed { worker: WorkerId(1) });
    assert_eq!(world.poll(1).did(), ["deliver r1 w1"]);
}

#[test]
fn a_worker_that_fails_to_initialise_is_withdrawn_from_its_debuggers() {
    let mut world = World::new(10);
    world.send(Event::Debuggers { attached: 1, gate: gate(&["scripted"]) });
    world.send(invocation("a", "r1")).built("a", 1, Ok("x"));
    world.send(Event::Debuggable { worker: WorkerId(1), target: inspector_target() });
    world.send(Event::DebuggerReady { worker: WorkerId(1) });
    let error = FunctionError::new("Runtime.ImportModuleError", "no");
    world.send(Event::InitFailed { worker: WorkerId(1), error });
    assert_eq!(world.did(), ["withdraw w1", "stop w1 Gently", "fail r1 Runtime.ImportModuleError"]);
}

#[test]
fn a_worker_that_answers_and_never_asks_again_is_ended() {
    let mut world = with_running_call();
    world.now += Duration::from_secs(1);
    world.answer(1, "r1");
    world.now = world.state.next_wake().unwrap();
    assert_eq!(world.send(Event::Tick).did(), ["stop w1 Now"]);
}

#[test]
fn a_worker_that_a_debugger_comes_to_finishes_its_call_and_waits_before_the_next() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.built("a", 1, Ok("x"));
    world.send(Event::Debuggable { worker: WorkerId(1), target: inspector_target() });
    world.poll(1);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["deliver r1 w1"]);
    world.send(Event::DebuggerComes { worker: WorkerId(1) });
    assert_eq!(world.answer(1, "r1").did(), ["reply r1"]);
    world.poll(1);
    assert_eq!(world.send(invocation("a", "r2")).did(), [""; 0], "no second worker is started for it");
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["deliver r2 w1"]);
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
    world.send(Event::Debuggers { attached: 1, gate: gate(&["scripted"]) });
    world.send(invocation("a", "r1"));
    world.built("a", 1, Ok("x"));
    let inspector = Event::Debuggable { worker: WorkerId(1), target: inspector_target() };
    assert_eq!(world.send(inspector).did(), ["offer w1"]);
    assert_eq!(world.send(Event::DebuggerReady { worker: WorkerId(1) }).did(), ["load w1"]);
    assert_eq!(world.poll(1).did(), ["deliver r1 w1"]);
}

#[test]
fn a_call_says_whether_a_debugger_is_there() {
    let debugged = |effects: &[Effect]| {
        let delivered = effects.iter().find_map(|effect| match effect {
            Effect::Deliver { delivery, .. } => Some(delivery.debugged),
            _ => None,
        });
        delivered.expect("the call is delivered")
    };
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x"));
    assert!(!debugged(&world.poll(1).effects));
    world.answer(1, "r1").poll(1);
    world.send(Event::Debuggers { attached: 1, gate: gate(&[]) });
    assert!(debugged(&world.send(invocation("a", "r2")).effects));
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
fn changed_variables_call_for_a_new_worker() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1);
    let Event::Invoked(mut next) = invocation("a", "r2") else { unreachable!() };
    Arc::make_mut(&mut next.environment).insert("AWS_LAMBDA_LOG_STREAM_NAME".into(), "new".into());
    assert_eq!(world.send(Event::Invoked(next.clone())).did(), ["deliver r2 w1"], "it is not the function's");
    world.answer(1, "r2").poll(1);
    next.request = "r3".into();
    Arc::make_mut(&mut next.environment).insert("TABLE".into(), "other".into());
    assert_eq!(world.send(Event::Invoked(next)).did(), ["stop w1 Gently", "start w2 a x"]);
}

#[test]
fn a_worker_has_the_credentials_of_the_environment_that_calls() {
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1);
    let of = |request: &str, token: &str| {
        let Event::Invoked(mut call) = invocation("a", request) else { unreachable!() };
        Arc::make_mut(&mut call.environment).insert("AWS_SESSION_TOKEN".into(), token.into());
        Event::Invoked(call)
    };
    // The environment of the first call is idle, and so is its worker.
    assert_eq!(world.send(of("r2", "new")).did(), ["start w2 a x"]);
    assert_eq!(world.poll(2).did(), ["deliver r2 w2"]);
    world.answer(2, "r2").poll(2);
    // Both call in turns.
    assert_eq!(world.send(invocation("a", "r3")).did(), ["deliver r3 w1"]);
    assert_eq!(world.send(of("r4", "new")).did(), ["deliver r4 w2"]);
    world.answer(1, "r3").poll(1);
    assert_eq!(world.send(of("r5", "new")).did(), [""; 0], "the idle one has others");
    world.now += pool::SHORT_WAIT;
    assert_eq!(world.send(Event::Tick).did(), ["start w3 a x"]);
    assert_eq!(world.send(invocation("a", "r6")).did(), ["deliver r6 w1"], "it overtakes nobody of its own");
}

#[test]
fn an_idle_worker_with_other_credentials_makes_room() {
    let mut world = World::new(1);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    world.answer(1, "r1").poll(1);
    let Event::Invoked(mut call) = invocation("a", "r2") else { unreachable!() };
    Arc::make_mut(&mut call.environment).insert("AWS_SESSION_TOKEN".into(), "new".into());
    world.did();
    assert_eq!(world.send(Event::Invoked(call)).did(), ["stop w1 Gently"]);
    let exited = Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) };
    assert_eq!(world.send(exited).did(), ["start w2 a x"]);
}

#[test]
fn at_the_limit_calls_wait_in_order_and_idle_workers_make_room() {
    let mut world = World::new(1);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    world.send(invocation("a", "r2")).send(invocation("b", "r3"));
    world.built("b", 2, Ok("z"));
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

#[test]
fn what_others_serve_is_taken_over_when_it_is_deployed_and_not_before() {
    let mut world = World::new(10);
    let commands = |world: &World| -> Vec<(&str, Vec<String>)> {
        let of_relay = world.effects.iter().filter_map(|effect| match effect {
            Effect::Relay(RelayCommand::Announce { functions }) => Some(("announce", functions)),
            Effect::Relay(RelayCommand::Register { functions }) => Some(("register", functions)),
            _ => None,
        });
        of_relay.map(|(what, ids)| (what, ids.iter().map(ToString::to_string).collect())).collect()
    };
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(commands(&world), [("announce", of(&["a", "b"]))]);
    assert_eq!(commands(world.send(Event::Deployed)), [("register", of(&["a", "b"]))]);
    assert_eq!(commands(world.send(Event::Registered)), []);
    // A later deployment: `b` goes when it is done.
    world.send(Event::Functions(vec![spec("c"), spec("a"), spec("b")]));
    assert_eq!(commands(&world), [("announce", of(&["a", "b", "c"]))]);
    world.send(Event::Functions(vec![spec("c"), spec("a")]));
    assert_eq!(commands(&world), [("announce", of(&["a", "c"]))]);
    assert_eq!(commands(world.send(Event::Deployed)), [("register", of(&["a", "c"]))]);
}

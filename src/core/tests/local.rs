//! Calls from this machine, and what stubs are asked for them.

use super::*;

/// The core, and what it wanted done last.
struct World {
    state: State,
    now: Instant,
    effects: Vec<Effect>,
}

impl World {
    /// One whose function `a` nobody has called yet.
    fn new() -> Self {
        let state = State::new(Config::default());
        let mut world = Self { state, now: Instant::now(), effects: Vec::new() };
        world.send(Event::Functions(vec![spec("a"), spec("b")]));
        world
    }

    fn send(&mut self, event: Event) -> Vec<String> {
        self.effects = self.state.handle(event, self.now);
        self.effects.iter().filter_map(describe).collect()
    }

    fn call(&mut self, id: &str, function: &str) -> Vec<String> {
        let event = Some(Bytes::from_static(b"{}"));
        self.send(Event::Called(Call {
            id: id.into(),
            function: function.to_owned(),
            event,
            trace_id: String::new(),
            replays: None,
            stops: false,
        }))
    }

    fn want_environment(&mut self, id: &str, function: &str) -> Vec<String> {
        self.send(Event::Called(Call {
            id: id.into(),
            function: function.to_owned(),
            event: None,
            trace_id: String::new(),
            replays: None,
            stops: false,
        }))
    }

    fn introduce(&mut self, request: &str, token: &str) -> Vec<String> {
        let Event::Invoked(mut answer) = invocation("a", request) else { unreachable!() };
        answer.payload = question::event(token.to_owned()).into();
        self.send(Event::Invoked(answer))
    }

    fn ignore(&mut self, token: &str) -> Vec<String> {
        self.send(Event::Unanswered { token: token.to_owned(), reason: "no".to_owned() })
    }
}

#[test]
fn a_stub_is_asked_once_for_all_calls_that_wait_for_it() {
    let mut world = World::new();
    assert_eq!(world.call("l1", "a"), ["ask a l1-1"]);
    assert_eq!(world.want_environment("l2", "a"), [""; 0]);
    assert_eq!(world.want_environment("l3", "b"), ["ask b l3-2"]);
    assert_eq!(world.introduce("r1", "l1-1"), ["reply r1", "build a g1", "environment l2"]);
    assert_eq!(world.ignore("l1-1"), [""; 0], "that question is over");
    assert_eq!(world.want_environment("l4", "a"), ["environment l4"]);
    let invoked = invocation("b", "r2");
    assert_eq!(world.send(invoked), ["build b g2"], "a call tells as much");
    assert_eq!(world.want_environment("l5", "b"), ["environment l5"]);
}

#[test]
fn an_answer_goes_to_whoever_has_called() {
    let mut world = World::new();
    world.send(invocation("a", "r1"));
    world.call("l1", "a");
    world.send(Event::Built {
        function: "a".into(),
        generation: Generation(1),
        result: Ok(artifact("a", "x")),
    });
    for (worker, request, expected) in [(1, "r1", Caller::Relay), (2, "l1", Caller::Local)] {
        let worker = WorkerId(worker);
        assert_eq!(world.send(Event::Polled { worker }), [format!("deliver {request} {worker}")]);
        let outcome = Outcome::Returned(Bytes::new());
        world.send(Event::Answered { worker, request: request.into(), outcome });
        let callers = world.effects.iter().filter_map(|effect| match effect {
            Effect::Answer { caller, .. } => Some(*caller),
            _ => None,
        });
        assert_eq!(callers.collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn what_was_received_long_ago_is_better_than_nothing() {
    let mut world = World::new();
    world.send(invocation("a", "r1"));
    let built = Event::Built { function: "a".into(), generation: Generation(1), result: Err(broken()) };
    assert_eq!(world.send(built), ["fail r1 Runtime.UserCodeSyntaxError"]);
    world.now += Duration::from_secs(14 * 60);
    assert_eq!(world.want_environment("l1", "a"), ["environment l1"]);
    world.now += Duration::from_secs(60);
    assert_eq!(world.want_environment("l2", "a"), ["ask a l2-1"]);
    assert_eq!(world.ignore("l2-1"), ["environment l2"]);
    assert_eq!(world.want_environment("l3", "b"), ["ask b l3-2"]);
    let refusal = "refuse l3: the variables and credentials of `b` are not known: no";
    assert_eq!(world.ignore("l3-2"), [refusal]);
}

#[test]
fn calls_from_this_machine_do_not_make_what_they_have_any_younger() {
    let mut world = World::new();
    world.send(invocation("a", "r1"));
    world.now += Duration::from_secs(14 * 60);
    assert!(!world.call("l1", "a").iter().any(|effect| effect.starts_with("ask")));
    world.now += Duration::from_secs(14 * 60);
    assert_eq!(world.want_environment("l2", "a")[0], "ask a l2-1");
}

#[test]
fn the_question_of_another_machine_is_answered_without_the_function() {
    let mut world = World::new();
    assert_eq!(world.introduce("r1", "t"), ["reply r1"]);
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Ui(_))), "and nothing is shown");
    assert_eq!(world.call("l1", "a"), ["ask a l1-1"], "nor does it tell of the function");
}

#[test]
fn what_is_not_known_is_refused_and_what_waits_at_the_end_as_well() {
    let mut world = World::new();
    assert_eq!(world.call("l1", "c"), ["refuse l1: no function `c`; there are `a`, `b`"]);
    world.call("l2", "a");
    let refusal = |call: &str| format!("refuse {call}: `sst start` ended before the function answered");
    assert_eq!(world.send(Event::Shutdown), [refusal("l2")]);
    assert_eq!(world.call("l3", "a"), [refusal("l3")]);
    assert_eq!(world.introduce("r1", "l2-1"), ["reply r1"]);
}

#[test]
fn a_call_from_this_machine_has_all_of_its_time_and_one_from_a_stub_what_the_way_back_leaves() {
    let mut world = World::new();
    world.send(invocation("a", "r1"));
    world.call("l1", "a");
    let result = Ok(artifact("a", "x"));
    world.send(Event::Built { function: "a".into(), generation: Generation(1), result });
    for worker in [1, 2] {
        world.send(Event::Polled { worker: WorkerId(worker) });
    }
    let ended =
        |did: Vec<String>| did.into_iter().filter(|what| what.starts_with("fail")).collect::<Vec<_>>();
    world.now += Duration::from_millis(9_650);
    assert_eq!(ended(world.send(Event::Tick)), ["fail r1 Sandbox.Timedout"]);
    world.now += Duration::from_millis(349);
    assert_eq!(ended(world.send(Event::Tick)), [""; 0]);
    world.now += Duration::from_millis(1);
    assert_eq!(ended(world.send(Event::Tick)), ["fail l1 Sandbox.Timedout"]);
}

/// The time that the last event has given to a call: what its handler is told, in milliseconds.
fn given(world: &World) -> Option<u128> {
    world.effects.iter().find_map(|effect| match effect {
        Effect::Deliver { delivery, .. } => {
            Some(delivery.deadline.saturating_duration_since(world.now).as_millis())
        }
        _ => None,
    })
}

/// The failures among what was done, with what they say.
fn failures(world: &World) -> Vec<String> {
    let failed = world.effects.iter().filter_map(|effect| match effect {
        Effect::Answer { answer: Answer::Outcome(Outcome::Failed(error)), .. } => Some(&error.body),
        _ => None,
    });
    failed.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

#[test]
fn a_function_has_its_whole_time_from_when_a_worker_has_the_call() {
    // The first is what stubs are deployed with, and what a call from this machine gets as well; then one that may not have more time than
    // its function, and one with the longest that there is.
    for (of_stub, passes, told, ends) in [
        (Some(20), 9_000, 10_000, 10_000),
        (None, 9_000, 10_000, 10_000),
        (Some(10), 4_000, 6_000, 5_650),
        (Some(900), 9_000, 891_000, 890_650),
    ] {
        let mut world = World::new();
        match of_stub {
            Some(seconds) => {
                let Event::Invoked(mut call) = invocation("a", "r1") else { unreachable!() };
                call.remaining = Duration::from_secs(seconds);
                call.time = (seconds == 20).then_some(Duration::from_secs(10));
                world.send(Event::Invoked(call));
            }
            None => {
                world.call("r1", "a");
                world.introduce("question", "r1-1");
            }
        }
        let result = Ok(artifact("a", "x"));
        world.send(Event::Built { function: "a".into(), generation: Generation(1), result });
        // What a process takes to start is not the function's time.
        world.now += Duration::from_millis(passes);
        world.send(Event::Polled { worker: WorkerId(1) });
        assert_eq!(given(&world), Some(told), "of {of_stub:?} s");
        world.now += Duration::from_millis(ends - 1);
        world.send(Event::Tick);
        assert_eq!(failures(&world), [""; 0], "of {of_stub:?} s");
        world.now += Duration::from_millis(1);
        world.send(Event::Tick);
        let seconds = if of_stub == Some(900) { "900.00" } else { "10.00" };
        let message = format!("Task timed out after {seconds} seconds");
        assert!(failures(&world)[0].contains(&message), "{:?}", failures(&world));
    }
}

#[test]
fn a_call_that_gets_no_worker_is_given_up_before_its_stub_is() {
    let mut world = World::new();
    let Event::Invoked(mut call) = invocation("a", "r1") else { unreachable!() };
    call.remaining = Duration::from_secs(20);
    call.time = Some(Duration::from_secs(10));
    world.send(Event::Invoked(call));
    let result = Ok(artifact("a", "x"));
    world.send(Event::Built { function: "a".into(), generation: Generation(1), result });
    world.now += Duration::from_millis(19_649);
    assert!(!world.send(Event::Tick).iter().any(|what| what.starts_with("fail")));
    world.now += Duration::from_millis(1);
    world.send(Event::Tick);
    assert!(failures(&world)[0].contains("Task timed out after 10.00 seconds"), "{:?}", failures(&world));
}

#[test]
fn a_replay_says_whose_event_it_has_and_leaves_nothing_behind_when_it_is_refused() {
    let mut world = World::new();
    let replay = |id: &str| {
        Event::Called(Call {
            id: id.into(),
            function: "a".to_owned(),
            event: Some(Bytes::from_static(b"{}")),
            trace_id: String::new(),
            replays: Some("r0".into()),
            stops: false,
        })
    };
    let arrived = |world: &World| {
        let of = |effect: &Effect| match effect {
            Effect::Arrived(invocation) => Some((invocation.request.clone(), invocation.replays.clone())),
            _ => None,
        };
        world.effects.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(world.send(replay("l1")), ["ask a l1-1"]);
    assert_eq!(world.ignore("l1-1"), ["refuse l1: the variables and credentials of `a` are not known: no"]);
    assert_eq!(arrived(&world), []);
    world.send(invocation("a", "r1"));
    assert_eq!(arrived(&world), [("r1".into(), None)]);
    world.send(replay("l2"));
    assert_eq!(arrived(&world), [("l2".into(), Some("r0".into()))]);
}

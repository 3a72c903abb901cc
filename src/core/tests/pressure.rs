//! Many calls in little room, on a clock of their own: each worker takes a while to start, and each call a while to run.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{world::World, *};

const STARTS: Duration = Duration::from_millis(100);
const RUNS: Duration = Duration::from_millis(200);
const ENDS: Duration = Duration::from_millis(20);

/// What becomes of a worker next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Polls(u64),
    Answers(u64, String),
    Exits(u64),
}

/// Serves `calls` calls of `functions` functions, called in turn, with at most `limit` workers. Returns how many workers that took,
/// and how long.
fn serve(calls: usize, functions: usize, limit: usize) -> (usize, Duration) {
    let config = Config { max_workers: limit, ..Config::default() };
    let (mut state, begin) = (State::new(config), Instant::now());
    let mut now = begin;
    let names: Vec<String> = (0..functions).map(|number| format!("f{number}")).collect();
    let mut effects = state.handle(Event::Functions(names.iter().map(|name| spec(name)).collect()), now);
    for call in 0..calls {
        let Event::Invoked(mut invocation) = invocation(&names[call % functions], &format!("r{call}")) else {
            unreachable!()
        };
        invocation.remaining = Duration::from_secs(300);
        effects.extend(state.handle(Event::Invoked(invocation), now));
    }
    let (mut started, mut alive, mut served) = (0, 0, 0);
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut calendar = BinaryHeap::new();
    loop {
        let mut later = Vec::new();
        for effect in effects {
            match effect {
                Effect::Build { spec, generation, .. } => {
                    let result = Ok(artifact(spec.id.as_str(), "x"));
                    later.push(Event::Built { function: spec.id.clone(), generation, result });
                }
                Effect::Start(start) => {
                    (started, alive) = (started + 1, alive + 1);
                    assert!(alive <= limit, "more workers than allowed");
                    calendar.push(Reverse((now + STARTS, Next::Polls(start.worker.0))));
                }
                Effect::Deliver { worker, delivery } => {
                    let request = delivery.request.to_string();
                    let number: usize = request[1..].parse().unwrap();
                    let before = last.insert(names[number % functions].clone(), number);
                    assert!(before.is_none_or(|before| before < number), "not in order of arrival");
                    calendar.push(Reverse((now + RUNS, Next::Answers(worker.0, request))));
                }
                Effect::Stop { worker, .. } => {
                    calendar.push(Reverse((now + ENDS, Next::Exits(worker.0))));
                }
                Effect::Answer { answer: Answer::Outcome(outcome), .. } => {
                    assert!(matches!(outcome, Outcome::Returned(_)), "not served: {outcome:?}");
                    served += 1;
                }
                _ => {}
            }
        }
        if served == calls {
            return (started, now - begin);
        }
        effects = Vec::new();
        if !later.is_empty() {
            effects.extend(later.into_iter().flat_map(|event| state.handle(event, now)));
            continue;
        }
        let Some(Reverse((when, next))) = calendar.pop() else {
            panic!("{served} of {calls} calls are served, and nothing happens any more")
        };
        now = when;
        match next {
            Next::Polls(worker) => {
                effects.extend(state.handle(Event::Polled { worker: WorkerId(worker) }, now));
            }
            Next::Answers(worker, request) => {
                let (worker, outcome) = (WorkerId(worker), Outcome::Returned(Bytes::new()));
                let request = request.as_str().into();
                effects.extend(state.handle(Event::Answered { worker, request, outcome }, now));
                effects.extend(state.handle(Event::Polled { worker }, now));
            }
            Next::Exits(worker) => {
                alive -= 1;
                let exit = Exit::Code(0);
                effects.extend(state.handle(Event::Exited { worker: WorkerId(worker), exit }, now));
            }
        }
    }
}

#[test]
fn two_hundred_calls_are_served_whatever_the_limit() {
    for limit in [1, 2, 10, 100] {
        for functions in [1, 3, 100] {
            let (started, took) = serve(200, functions, limit);
            // Each function needs one, and each change of hands one more: one a second and place, not one a call.
            let seconds = took.as_secs() as usize + 1;
            assert!(started <= functions.max(limit) + seconds * limit, "{started} workers were started");
        }
    }
}

#[test]
fn one_call_more_than_workers_ends_no_more_than_one_worker() {
    for limit in [1, 2, 3, 100] {
        let mut state = State::new(Config { max_workers: limit, ..Config::default() });
        let now = Instant::now();
        state.handle(Event::Functions(vec![spec("a"), spec("b")]), now);
        for number in 0..limit {
            state.handle(invocation("a", &format!("r{number}")), now);
        }
        let built = |function: &str, generation| Event::Built {
            function: function.into(),
            generation: Generation(generation),
            result: Ok(artifact(function, "x")),
        };
        state.handle(built("a", 1), now);
        let workers = || (1..=limit as u64).map(WorkerId);
        workers().for_each(|worker| drop(state.handle(Event::Polled { worker }, now)));
        for worker in workers() {
            let request = format!("r{}", worker.0 - 1).as_str().into();
            let outcome = Outcome::Returned(Bytes::new());
            state.handle(Event::Answered { worker, request, outcome }, now);
            state.handle(Event::Polled { worker }, now);
        }
        state.handle(invocation("b", "more"), now);
        let mut effects = state.handle(built("b", 2), now);
        effects.extend(state.handle(Event::Tick, now));
        effects.extend(state.handle(invocation("a", "again"), now));
        let stopped: Vec<WorkerId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Stop { worker, .. } => Some(*worker),
                _ => None,
            })
            .collect();
        assert_eq!(stopped.len(), 1, "at a limit of {limit}");
        let effects = state.handle(Event::Exited { worker: stopped[0], exit: Exit::Code(0) }, now);
        let starts =
            |effect: &Effect| matches!(effect, Effect::Start(start) if start.spec.id.as_str() == "b");
        assert!(effects.iter().any(starts));
    }
}

#[test]
fn a_burst_starts_a_few_processes_at_a_time_and_waits_for_none_that_takes_long() {
    let mut world = World::new(100);
    for number in 1..=20 {
        world.send(invocation("a", &format!("r{number}")));
    }
    let starts = |did: Vec<String>| did.iter().filter(|what| what.starts_with("start")).count();
    assert_eq!(starts(world.built("a", 1, Ok("x")).did()), 4);
    assert_eq!(world.poll(1).did(), ["deliver r1 w1", "start w5 a x"]);
    world.answer(1, "r1");
    assert_eq!(world.poll(1).did(), ["deliver r2 w1"], "one that is there is quicker than one that starts");
    world.send(invocation("b", "other"));
    assert_eq!(world.built("b", 2, Ok("x")).did(), ["start w6 b x"], "nobody waits for the first one");
    let wake = world.state.next_wake().unwrap();
    assert!(wake <= world.now + pool::STARTING);
    // It takes long with the second, and so do the others with their start.
    world.now += pool::SHORT_WAIT;
    assert_eq!(starts(world.send(Event::Tick).did()), 0);
    world.now += pool::SLOW;
    assert_eq!(starts(world.send(Event::Tick).did()), 4);
}

#[test]
fn short_calls_wait_for_a_process_that_is_there_and_not_for_long() {
    let mut world = World::new(100);
    world.send(invocation("a", "first")).built("a", 1, Ok("x")).poll(1);
    world.now += Duration::from_millis(5);
    world.answer(1, "first").poll(1);
    for number in 1..=20 {
        let did = world.send(invocation("a", &format!("r{number}"))).did();
        assert_eq!(did.len(), usize::from(number == 1), "{did:?}");
    }
    assert_eq!(world.answer(1, "r1").poll(1).did(), ["deliver r2 w1"]);
    // This one takes longer than those before it.
    let wake = world.state.next_wake().unwrap();
    assert!(wake > world.now && wake <= world.now + pool::SHORT_WAIT);
    world.now = wake;
    let did = world.send(Event::Tick).did();
    assert_eq!(did, ["start w2 a x", "start w3 a x", "start w4 a x", "start w5 a x"]);
}

#[test]
fn calls_that_are_answered_one_after_the_other_need_no_further_process() {
    let mut world = World::new(100);
    world.send(invocation("a", "first")).built("a", 1, Ok("x")).poll(1);
    world.now += Duration::from_millis(5);
    world.answer(1, "first").poll(1);
    for number in 1..=20 {
        world.send(invocation("a", &format!("r{number}")));
    }
    // For longer than any of them would wait by itself.
    for number in 1..=10 {
        world.now += Duration::from_millis(10) + pool::SHORT_WAIT / 10;
        world.send(Event::Tick);
        assert_eq!(world.did(), [""; 0]);
        let next = format!("deliver r{} w1", number + 1);
        assert_eq!(world.answer(1, &format!("r{number}")).poll(1).did(), [next]);
    }
}

#[test]
fn where_processes_take_long_to_start_there_are_not_ever_more_of_them() {
    let mut world = World::new(100);
    for number in 1..=40 {
        world.send(invocation("a", &format!("r{number}")));
    }
    world.built("a", 1, Ok("x"));
    let began = world.now;
    let mut started = 4;
    while world.now < began + pool::SLOW {
        assert!(world.state.next_wake().unwrap() > world.now);
        world.now = world.state.next_wake().unwrap();
        started += world.send(Event::Tick).did().iter().filter(|what| what.starts_with("start")).count();
        assert!(started <= 12, "{started} after {:?}", world.now - began);
    }
    // Some functions wait for something when they start, so others are not held up by them for longer.
    assert_eq!(started, 12);
}

#[test]
fn who_waits_behind_a_call_that_hangs_is_not_held_up_by_answers_to_others() {
    let mut world = World::new(100);
    let of = |request: &str, token: &str| {
        let Event::Invoked(mut call) = invocation("a", request) else { unreachable!() };
        Arc::make_mut(&mut call.environment).insert("AWS_SESSION_TOKEN".into(), token.into());
        call.remaining = Duration::from_secs(300);
        Event::Invoked(call)
    };
    world.send(of("r1", "one")).built("a", 1, Ok("x")).poll(1).answer(1, "r1").poll(1);
    world.send(of("r2", "two")).poll(2).answer(2, "r2").poll(2);
    // This one takes long, and the next one of its environment waits.
    assert_eq!(world.send(of("hangs", "one")).did().last().unwrap(), "deliver hangs w1");
    assert_eq!(world.send(of("waits", "one")).did(), [""; 0]);
    for number in 3..30 {
        let request = format!("r{number}");
        world.now += Duration::from_millis(50);
        if world.send(Event::Tick).did().contains(&"start w3 a x".to_owned()) {
            return;
        }
        world.send(of(&request, "two")).answer(2, &request).poll(2);
    }
    panic!("nobody starts a worker for it");
}

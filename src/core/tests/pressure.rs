//! Many calls in little room, on a clock of their own: each worker takes a while to start, and each call a while to run.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::*;

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
                Effect::Build { spec, generation } => {
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

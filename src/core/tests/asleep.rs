//! What becomes of calls on a machine that sleeps: the callers do not.

use super::*;
use crate::{
    aws::{Clock, Fake},
    continuous::Continuous,
};

const SLEEP: Duration = Duration::from_secs(20 * 60);

/// The core on a machine whose clocks are set by hand.
struct World {
    machine: Fake,
    time: Continuous,
    state: State,
    effects: Vec<Effect>,
}

impl World {
    /// One with a single worker, that of the first call.
    fn new() -> Self {
        let machine = Fake::new(std::time::SystemTime::now());
        let time = Continuous::new(Clock::of(machine.clone()));
        let state = State::new(Config { max_workers: 1, ..Config::default() });
        let mut world = Self { machine, time, state, effects: Vec::new() };
        world.send(Event::Functions(vec![spec("a")]));
        world.call("r1");
        world.built(1);
        world.send(Event::Polled { worker: WorkerId(1) });
        world
    }

    fn send(&mut self, event: Event) {
        self.effects = self.state.handle(event, self.time.now());
    }

    fn call(&mut self, request: &str) {
        let Event::Invoked(mut invocation) = invocation("a", request) else { unreachable!() };
        invocation.patience = Some(invocation.remaining);
        self.send(Event::Invoked(invocation));
    }

    fn built(&mut self, generation: u64) {
        let (generation, result) = (Generation(generation), Ok(artifact("a", &generation.to_string())));
        self.send(Event::Built { function: "a".into(), generation, result });
    }

    fn sleep(&mut self) {
        self.machine.pass(SLEEP);
    }

    /// Whether this request has got to a worker, and whether it has failed.
    fn fate(&self, wanted: &str) -> (bool, bool) {
        let delivered = |effect: &Effect| matches!(effect, Effect::Deliver { delivery, .. } if delivery.request.as_str() == wanted);
        let failed = |effect: &Effect| matches!(effect, Effect::Answer { request, answer: Answer::Outcome(Outcome::Failed(_)), .. } if request.as_str() == wanted);
        (self.effects.iter().any(delivered), self.effects.iter().any(failed))
    }
}

#[test]
fn a_call_that_waits_for_a_worker_when_the_machine_goes_to_sleep_is_not_begun() {
    let mut world = World::new();
    world.call("r2");
    let wake = world.state.next_wake().unwrap();
    assert!(wake > world.time.now());
    world.sleep();
    assert!(wake < world.time.now(), "that is over");
    // What comes first is not the clock, but the answer of the one before.
    let outcome = Outcome::Returned(Bytes::from_static(b"1"));
    world.send(Event::Answered { worker: WorkerId(1), request: "r1".into(), outcome });
    assert_eq!(world.fate("r2"), (false, true));
    world.send(Event::Polled { worker: WorkerId(1) });
    assert_eq!(world.fate("r2"), (false, false));
}

#[test]
fn nor_is_one_that_waits_for_a_build() {
    let mut world = World::new();
    world.send(changed("/app/a/index.js"));
    world.call("r2");
    world.sleep();
    world.built(2);
    assert_eq!(world.fate("r2"), (false, true));
}

#[test]
fn what_comes_after_it_is() {
    let mut world = World::new();
    world.sleep();
    world.call("r2");
    let outcome = Outcome::Returned(Bytes::from_static(b"1"));
    world.send(Event::Answered { worker: WorkerId(1), request: "r1".into(), outcome });
    world.send(Event::Tick);
    // The worker of a call whose time was over while the machine slept has been ended.
    world.send(Event::Exited { worker: WorkerId(1), exit: Exit::Signal("killed".into()) });
    world.send(Event::Polled { worker: WorkerId(2) });
    assert_eq!(world.fate("r2"), (true, false));
}

#[test]
fn a_build_that_takes_longer_than_the_caller_waits_ends_in_no_call() {
    let mut world = World::new();
    world.send(changed("/app/a/index.js"));
    world.call("r2");
    world.machine.pass(Duration::from_secs(10));
    world.send(Event::Tick);
    assert_eq!(world.fate("r2"), (false, true));
}

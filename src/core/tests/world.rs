//! The core in a story.

use super::*;

/// The core together with what it believes about the outside, so that a story reads as one.
pub(super) struct World {
    pub state: State,
    pub now: Instant,
    pub effects: Vec<Effect>,
}

impl World {
    pub(super) fn new(max_workers: usize) -> Self {
        let mut world = Self {
            state: State::new(Config { max_workers, ..Config::default() }),
            now: Instant::now(),
            effects: Vec::new(),
        };
        world.send(Event::Functions(vec![spec("a"), spec("b")]));
        world
    }

    pub(super) fn send(&mut self, event: Event) -> &mut Self {
        self.effects = self.state.handle(event, self.now);
        self
    }

    pub(super) fn built(
        &mut self,
        function: &str,
        generation: u64,
        result: Result<&str, BuildError>,
    ) -> &mut Self {
        self.send(Event::Built {
            function: function.into(),
            generation: Generation(generation),
            result: result.map(|fingerprint| artifact(function, fingerprint)),
        })
    }

    /// The same, with other files that it was made of.
    pub(super) fn built_of(
        &mut self,
        function: &str,
        generation: u64,
        fingerprint: &str,
        inputs: &[&str],
    ) -> &mut Self {
        let inputs = inputs.iter().map(|&input| input.into()).collect();
        let artifact = Artifact { inputs, ..Artifact::clone(&artifact(function, fingerprint)) };
        self.send(Event::Built {
            function: function.into(),
            generation: Generation(generation),
            result: Ok(Arc::new(artifact)),
        })
    }

    pub(super) fn answer(&mut self, worker: u64, request: &str) -> &mut Self {
        let outcome = Outcome::Returned(Bytes::from_static(b"1"));
        self.send(Event::Answered { worker: WorkerId(worker), request: request.into(), outcome })
    }

    pub(super) fn poll(&mut self, worker: u64) -> &mut Self {
        self.send(Event::Polled { worker: WorkerId(worker) })
    }

    /// What the last event led to, in short, without what is shown.
    pub(super) fn did(&self) -> Vec<String> {
        self.effects.iter().filter_map(describe).collect()
    }
}

/// A worker of `a` has a call.
pub(super) fn with_running_call() -> World {
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1);
    world
}

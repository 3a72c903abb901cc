//! Every order of events: what must never happen, and what must happen in the end.

use proptest::prelude::*;

use super::{
    outside::{NAMES, Outside},
    *,
};

/// What can happen next. Indices choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Invoke(usize, usize),
    Poll(usize),
    Answer(usize),
    Fail(usize),
    Stream(usize, bool),
    InitFail(usize),
    Exit(usize, i32),
    Obey(usize),
    Save(usize, bool),
    Build(usize, bool),
    Inspect(usize),
    Debuggers(bool, BTreeSet<LanguageId>),
    DebuggerReady(usize),
    DebuggerComes(usize),
    DebuggerWaits(usize),
    Pause(usize),
    Resume(usize),
    Write(usize),
    Call(usize, bool),
    Introduce(usize, usize),
    Ignore(usize),
    Strange(usize, usize),
    Wait(u64),
    Redeploy([bool; 3], u64),
    Late,
    Shutdown,
}

/// Steps of a world in which nothing fails: every worker answers, every build succeeds, no function is removed.
fn benign() -> impl Strategy<Value = Step> {
    let worker = || 0..6usize;
    let gate = prop::sample::subsequence(vec!["scripted", "other"], 0..=2).prop_map(|names| gate(&names));
    prop_oneof![
        8 => (0..3usize, 0..3usize).prop_map(|(function, environment)| Step::Invoke(function, environment)),
        8 => worker().prop_map(Step::Poll),
        6 => worker().prop_map(Step::Answer),
        2 => (worker(), any::<bool>()).prop_map(|(worker, end)| Step::Stream(worker, end)),
        4 => worker().prop_map(Step::Obey),
        3 => (0..3usize, any::<bool>()).prop_map(|(function, structural)| Step::Save(function, structural)),
        5 => (0..3usize).prop_map(|build| Step::Build(build, true)),
        3 => worker().prop_map(Step::Inspect),
        1 => (any::<bool>(), gate).prop_map(|(attached, gate)| Step::Debuggers(attached, gate)),
        3 => worker().prop_map(Step::DebuggerReady),
        1 => worker().prop_map(Step::DebuggerComes),
        1 => worker().prop_map(Step::DebuggerWaits),
        1 => worker().prop_map(Step::Pause),
        1 => worker().prop_map(Step::Resume),
        1 => worker().prop_map(Step::Write),
        3 => (0..3usize, any::<bool>()).prop_map(|(function, event)| Step::Call(function, event)),
        2 => (0..2usize, 0..3usize).prop_map(|(question, environment)| Step::Introduce(question, environment)),
        2 => (0..2usize).prop_map(Step::Ignore),
        1 => (0..3usize, 0..3usize).prop_map(|(function, environment)| Step::Strange(function, environment)),
        1 => Just(Step::Wait(0)),
        1 => (10..13u64).prop_map(|timeout| Step::Redeploy([true; 3], timeout)),
        1 => Just(Step::Late),
    ]
}

/// Steps of a world in which anything can go wrong.
fn wild() -> impl Strategy<Value = Step> {
    let worker = || 0..6usize;
    prop_oneof![
        12 => benign(),
        1 => worker().prop_map(Step::Fail),
        1 => worker().prop_map(Step::InitFail),
        1 => (worker(), 0..4i32).prop_map(|(worker, code)| Step::Exit(worker, code)),
        1 => (0..3usize).prop_map(|build| Step::Build(build, false)),
        1 => prop_oneof![8 => 0..30u64, 1 => Just(1_000)].prop_map(Step::Wait),
        1 => (any::<[bool; 3]>(), 10..13u64).prop_map(|(present, timeout)| Step::Redeploy(present, timeout)),
    ]
}

/// Lets one thing happen.
fn take(outside: &mut Outside, step: Step) {
    let worker = |index: usize| outside.processes.keys().nth(index).copied();
    match step {
        Step::Invoke(function, environment) => drop(outside.invoke(NAMES[function], environment)),
        Step::Poll(index) => {
            if let Some(worker) = worker(index) {
                outside.poll(worker);
            }
        }
        Step::Answer(index) => {
            if let Some(worker) = worker(index) {
                outside.answer(worker, Outcome::Returned(Bytes::new()));
            }
        }
        Step::Fail(index) => {
            if let Some(worker) = worker(index) {
                outside.answer(worker, Outcome::Failed(FunctionError::new("Error", "no")));
            }
        }
        Step::Stream(index, end) => {
            let Some(worker) = worker(index) else { return };
            let Some(process) = outside.processes.get_mut(&worker) else { return };
            let Some(request) = process.holds.clone() else { return };
            if end {
                process.holds = None;
            }
            let part = if end { StreamPart::End { error: None } } else { StreamPart::Data(Bytes::new()) };
            outside.send(Event::Streamed { worker, request, part });
        }
        Step::InitFail(index) => {
            let Some(worker) = worker(index) else { return };
            outside.send(Event::InitFailed { worker, error: FunctionError::new("Runtime.X", "no") });
        }
        Step::Exit(index, code) => {
            if let Some(worker) = worker(index) {
                outside.exit(worker, code);
            }
        }
        Step::Obey(index) => {
            if let Some(worker) = worker(index)
                && outside.processes[&worker].stopped
            {
                outside.exit(worker, 0);
            }
        }
        Step::Save(function, structural) => outside.save(NAMES[function], structural),
        Step::Build(index, good) => {
            if index < outside.compilers.len() {
                outside.build(index, good);
            }
        }
        Step::Inspect(index) => {
            if let Some(worker) = worker(index) {
                outside.announce(worker);
            }
        }
        Step::Debuggers(attached, gate) => {
            outside.debuggers = attached;
            let gate = if attached { gate } else { BTreeSet::new() };
            outside.send(Event::Debuggers { attached: usize::from(attached), gate });
        }
        Step::DebuggerReady(index) => {
            if let Some(worker) = worker(index) {
                outside.ready(worker);
            }
        }
        Step::DebuggerComes(index) => {
            let Some(worker) = worker(index) else { return };
            let process = outside.processes.get_mut(&worker).unwrap();
            if process.offered {
                process.awaited = true;
                outside.send(Event::DebuggerComes { worker });
            }
        }
        Step::DebuggerWaits(index) => {
            if let Some(worker) = worker(index) {
                outside.send(Event::DebuggerWaits { worker, port: 1 });
            }
        }
        Step::Pause(index) => {
            let Some(worker) = worker(index) else { return };
            outside.processes.get_mut(&worker).unwrap().paused = true;
            outside.send(Event::Paused { worker, place: None });
        }
        Step::Resume(index) => {
            let Some(worker) = worker(index) else { return };
            outside.processes.get_mut(&worker).unwrap().paused = false;
            outside.send(Event::Resumed { worker });
        }
        Step::Write(index) => {
            let Some(worker) = worker(index) else { return };
            outside.send(Event::Output { worker, line: "x".into() });
        }
        Step::Call(function, event) => outside.call(NAMES[function], event.then_some("{}")),
        Step::Introduce(index, environment) => {
            if index < outside.questions.len() {
                outside.introduce(index, environment);
            }
        }
        Step::Ignore(index) => {
            // While nothing fails, only what has been answered is over.
            if outside.questions.get(index).is_some_and(|asked| asked.answered || outside.wild) {
                outside.ignore(index);
            }
        }
        Step::Strange(function, environment) => {
            outside.introduced(NAMES[function], environment, "of another machine".to_owned());
        }
        Step::Wait(seconds) => {
            outside.now += Duration::from_secs(seconds);
            outside.send(Event::Tick);
        }
        Step::Redeploy(present, timeout) => outside.redeploy(present, timeout),
        // What was on its way from a worker when it ended.
        Step::Late => {
            let worker = WorkerId(1000);
            for event in [
                Event::DebuggerReady { worker },
                Event::DebuggerComes { worker },
                Event::Polled { worker },
                Event::Paused { worker, place: None },
                Event::Resumed { worker },
                Event::Output { worker, line: "x".into() },
                Event::Exited { worker, exit: Exit::Code(0) },
                Event::Debuggable { worker, target: inspector_target() },
                Event::InitFailed { worker, error: FunctionError::new("Runtime.X", "no") },
            ] {
                outside.send(event);
            }
        }
        Step::Shutdown => outside.send(Event::Shutdown),
    }
}

fn cases(usual: u32) -> ProptestConfig {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: given.unwrap_or(usual), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(300))]

    /// While workers answer, every call is served with the code that was saved last and the credentials that came with it, whatever
    /// the limit, the order, and the debuggers, and however specs change meanwhile.
    #[test]
    fn every_call_is_served(steps in prop::collection::vec(benign(), 1..150), limit in 1..4usize) {
        let mut outside = Outside::new(limit, false);
        for step in steps {
            take(&mut outside, step);
        }
        outside.settle();
        outside.none_is_open();
        prop_assert!(outside.failed.is_empty(), "not served: {:?}", outside.failed);
        outside.all_are_fresh();
    }

    /// Every request gets exactly one outcome, whatever goes wrong in whatever order; a save ends no call; and afterwards everything
    /// is served again.
    #[test]
    fn each_request_gets_exactly_one_outcome(
        steps in prop::collection::vec(wild(), 1..150),
        limit in 1..4usize,
        stops in any::<bool>(),
    ) {
        let mut outside = Outside::new(limit, true);
        for step in steps {
            take(&mut outside, step);
        }
        if stops {
            take(&mut outside, Step::Shutdown);
            outside.none_is_open();
            prop_assert!(outside.processes.values().all(|process| process.stopped));
            outside.invoke("a", 0);
            outside.call("a", Some("{}"));
            outside.call("b", None);
            outside.settle();
            outside.none_is_open();
            prop_assert!(outside.state.is_finished());
            return Ok(());
        }
        outside.settle();
        outside.none_is_open();
        // Code that did not build is tried again when it is saved.
        outside.redeploy([true; 3], 10);
        NAMES.iter().for_each(|name| outside.save(name, false));
        outside.settle();
        outside.all_are_fresh();
    }
}

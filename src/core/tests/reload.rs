//! What becomes of saved files.

use super::{world::*, *};

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
    assert_eq!(world.built("a", 1, Ok("x")).did(), ["build a g2"], "it may have read the file before");
    world.send(changed("/app/b/index.js"));
    assert_eq!(world.built("a", 2, Ok("y")).did(), ["start w1 a y"], "that file is not among its inputs");
}

#[test]
fn a_save_during_a_build_that_fails_is_not_lost_either() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1")).send(changed("/app/a/index.js"));
    assert_eq!(world.built("a", 1, Err(broken())).did(), ["build a g2"]);
    assert_eq!(world.built("a", 2, Ok("x")).did(), ["start w1 a x"]);
}

#[test]
fn a_file_that_appears_during_a_build_may_change_what_is_imported() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    let appeared = |path: &str| Event::FilesChanged(vec![FileChange { path: path.into(), structural: true }]);
    world.send(appeared("/app/a/new.js"));
    assert_eq!(world.built("a", 1, Ok("x")).did(), ["build a g2"]);
    // Nobody has looked for that one.
    world.send(appeared("/lib/new.js"));
    assert_eq!(world.built("a", 2, Ok("x")).did(), ["start w1 a x"]);
}

/// The same function with another timeout, as after a deployment.
fn redeployed(name: &str) -> Arc<FunctionSpec> {
    Arc::new(FunctionSpec { timeout_s: Some(11), ..(*spec(name)).clone() })
}

#[test]
fn a_build_for_what_a_function_was_before_a_deployment_is_not_used() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    assert_eq!(
        world.send(Event::Functions(vec![redeployed("a"), spec("b")])).did(),
        [""; 0],
        "one at a time"
    );
    assert_eq!(world.built("a", 1, Ok("old")).did(), ["build a g2"]);
    assert_eq!(world.built("a", 1, Ok("old")).did(), [""; 0]);
    assert_eq!(world.built("a", 2, Ok("new")).did(), ["start w1 a new"]);
}

#[test]
fn no_two_builds_have_the_same_generation_when_a_function_comes_back() {
    let mut world = World::new(10);
    world.send(invocation("a", "r1"));
    world.send(Event::Functions(vec![spec("b")]));
    assert_eq!(world.did(), ["cool a", "fail r1 Sst.UnknownFunction"]);
    world.send(Event::Functions(vec![redeployed("a"), spec("b")]));
    assert_eq!(world.send(invocation("a", "r2")).did(), [""; 0], "the former build still runs");
    assert_eq!(world.built("a", 1, Ok("old")).did(), ["build a g2"]);
    assert_eq!(world.built("a", 2, Ok("new")).did(), ["start w1 a new"]);
}

#[test]
fn code_that_is_mended_says_so_even_if_it_is_what_it_was() {
    let rebuilt = |world: &World| {
        world.effects.iter().any(|effect| matches!(effect, Effect::Ui(UiEvent::Rebuilt { .. })))
    };
    let mut world = with_running_call();
    world.answer(1, "r1").poll(1).send(changed("/app/a/index.js")).built("a", 2, Err(broken()));
    world.send(changed("/app/a/index.js")).built("a", 3, Ok("x"));
    assert!(rebuilt(&world));
    assert_eq!(world.send(invocation("a", "r2")).did(), ["deliver r2 w1"]);

    let mut world = World::new(10);
    world.send(invocation("a", "r1")).built("a", 1, Err(broken()));
    world.send(changed("/app/a/index.js")).built("a", 2, Ok("x"));
    assert!(rebuilt(&world));
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

/// A core with so many functions that each have an idle worker, and were called one after the other.
fn with_warm_functions(count: u64, shared: &str) -> World {
    let mut world = World::new(100);
    world.send(Event::Functions((1..=count).map(|number| spec(&format!("f{number}"))).collect()));
    for number in 1..=count {
        let (function, request) = (format!("f{number}"), format!("r{number}"));
        world.send(invocation(&function, &request));
        world.built_of(&function, number, "x", &[shared]);
        world.poll(number).answer(number, &request).poll(number);
        world.now += Duration::from_millis(1);
    }
    world
}

#[test]
fn of_many_functions_that_share_a_file_the_one_called_last_is_built_first_and_the_others_one_by_one() {
    let mut world = with_warm_functions(6, "/app/shared.js");
    assert_eq!(world.send(changed("/app/shared.js")).did(), ["build f6 g7"]);
    assert_eq!(world.send(invocation("f1", "next")).did(), ["build f1 g8"], "who is called waits for nobody");
    let did = world.built_of("f6", 7, "y", &["/app/shared.js"]).did();
    assert_eq!(did, ["start w7 f6 y", "stop w6 Gently"], "a build that is waited for has the machine");
    let did = world.built_of("f1", 8, "y", &["/app/shared.js"]).did();
    assert_eq!(did, ["stop w1 Gently", "start w8 f1 y"]);
    assert_eq!(world.poll(8).did(), ["deliver next w8"], "what starts has the machine as well");
    assert_eq!(world.poll(7).did(), ["build f5 g9"]);
    for (number, next) in
        [(5, Some("build f4 g10")), (4, Some("build f3 g11")), (3, Some("build f2 g12")), (2, None)]
    {
        let generation = 14 - number;
        let did = world.built_of(&format!("f{number}"), generation, "y", &["/app/shared.js"]).did();
        assert_eq!(did.iter().find(|what| what.starts_with("build")).map(String::as_str), next);
    }
}

#[test]
fn only_functions_that_were_called_last_have_workers_before_they_are_called() {
    let mut world = with_warm_functions(6, "/app/shared.js");
    let mut started = 0;
    world.send(changed("/app/shared.js"));
    for (number, generation) in (1..=6).rev().zip(7..) {
        let did = world.built_of(&format!("f{number}"), generation, "y", &["/app/shared.js"]).did();
        if let Some(worker) = did.iter().find_map(|what| what.strip_prefix("start w")?.split(' ').next()) {
            started += 1;
            world.poll(worker.parse().unwrap());
        }
        assert!(did.contains(&format!("stop w{number} Gently")), "{did:?}");
    }
    assert_eq!(started, Config::default().replaced);
    assert_eq!(world.send(invocation("f1", "next")).did(), ["start w9 f1 y"], "it was built all the same");
}

#[test]
fn of_many_idle_workers_a_few_are_kept() {
    let mut world = with_warm_functions(6, "/app/shared.js");
    world.now += Config::default().keep_spare;
    assert_eq!(world.send(Event::Tick).did(), ["stop w1 Gently", "stop w2 Gently"]);
    world.now += Config::default().keep_spare;
    assert_eq!(world.send(Event::Tick).did(), [""; 0]);
    world.now += Config::default().keep_idle;
    assert_eq!(world.send(Event::Tick).did().len(), Config::default().recent);
}

#[test]
fn a_call_that_waits_for_a_worker_runs_what_is_saved_meanwhile() {
    let mut world = World::new(1);
    world.send(invocation("a", "r1")).built("a", 1, Ok("x")).poll(1).send(invocation("a", "r2"));
    assert_eq!(world.send(changed("/app/a/index.js")).did(), ["build a g2"]);
    world.answer(1, "r1");
    assert_eq!(world.poll(1).did(), [""; 0], "nothing old is started for it");
    assert_eq!(world.built("a", 2, Ok("y")).did(), ["stop w1 Gently"]);
    let exited = Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) };
    assert_eq!(world.send(exited).did(), ["start w2 a y"]);
    assert_eq!(world.poll(2).did(), ["deliver r2 w2"]);
}

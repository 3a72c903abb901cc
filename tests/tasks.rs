//! Tasks that panic or end. In a program of their own, because the hook for panics is one for the whole program.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sst::{
    tasks::{self, Tasks},
    ui::{Ui, UiEvent},
};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_by_name_and_nothing_waits_for_what_it_leaves_undone() {
    let (ui, mut told) = Ui::channel();
    tasks::tell_panics(&ui);
    let mut next = async || match told.recv().await {
        UiEvent::Error { message, hint: Some(hint) } => format!("{message}\n{hint}"),
        other => panic!("not told: {other:?}"),
    };

    // One that nobody asks how it ended.
    let mut set = JoinSet::new();
    set.spawn(tasks::named("the build of `a`", async { panic!("no {}", "luck") }));
    let text = next().await;
    assert!(text.starts_with("the build of `a` has failed: no luck (tests/tasks.rs:"), "{text}");
    assert!(text.ends_with("please report it"), "{text}");
    tokio::spawn(async { panic!("nameless") });
    assert!(next().await.starts_with("a task has failed: nameless"));
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(|| panic!("of a thread"));
    assert!(thread.unwrap().join().is_err());
    assert!(next().await.starts_with("watch has failed: of a thread"));

    // Whoever depends on one hears of it.
    assert_eq!(tasks::caught(async { panic!("inside") }).await, Err::<(), _>("inside".to_owned()));
    next().await;
    let acted = Arc::new(AtomicBool::new(false));
    let flag = acted.clone();
    let guarded = tokio::spawn(async move {
        let _guard = tasks::on_panic(|| flag.store(true, Ordering::SeqCst));
        tokio::task::yield_now().await;
        panic!("guarded");
    });
    assert!(guarded.await.is_err() && acted.load(Ordering::SeqCst));
    next().await;
    let flag = acted.clone();
    flag.store(false, Ordering::SeqCst);
    tokio::spawn(async move { drop(tasks::on_panic(|| flag.store(true, Ordering::SeqCst))) }).await.unwrap();
    assert!(!acted.load(Ordering::SeqCst), "it has only ended");

    // The session is over when one ends that it cannot do without.
    let mut tasks = Tasks::default();
    tasks.spawn("the inspector", std::future::pending());
    tasks.spawn("the relay", async { panic!("broken") });
    let error = tasks.failed().await;
    assert_eq!(error.message, "the relay has ended, without which nothing can be served");
    assert_eq!(error.detail.as_deref(), Some("broken"));
    assert!(next().await.starts_with("the relay has failed: broken"));
    tasks.spawn("the relay", async {});
    assert_eq!(tasks.failed().await.detail.as_deref(), Some("it has come to its end"));
    // In the end they are waited for.
    tasks.until_ended("the relay").await;
    tasks.spawn("the relay", async {});
    tasks.until_ended("the relay").await;
}

//! Ends at each moment.

use std::time::Duration;

use serde_json::json;
use sst::attach::switch::Outcome;

use super::{
    account::{Account, ask, described, janitor, now, rich, wanted},
    janitor::fire,
};

/// What a function may have gone through when everything ends.
#[derive(Debug, Clone, Copy)]
enum During {
    Attaching,
    GivingBack,
}

/// Does it until the counterpart has done so many requests, of which the last is not heard of any more.
async fn end_after(account: &Account, name: &str, during: During, count: usize) {
    let attached = match during {
        During::Attaching => None,
        During::GivingBack => account.switching.attach(&[wanted(name)]).await.remove(0).1.ok(),
    };
    let from = now();
    ask("stopAfter", json!({ "count": from + count }));
    let switching = account.switching.clone();
    let name = name.to_owned();
    let mut doing = tokio::spawn(async move {
        match attached {
            None => drop(switching.attach(&[wanted(&name)]).await),
            Some(attached) => drop(switching.give_back(&[attached]).await),
        }
    });
    // It waits for an answer that does not come.
    let stopped = tokio::task::spawn_blocking(|| ask("stopped", json!({})));
    let stopped = async {
        tokio::select! {
            stopped = stopped => drop(stopped.unwrap()),
            // Then it has ended before, and nobody is stopped.
            _ = &mut doing => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(60), stopped).await.unwrap();
    let has_ended = doing.is_finished();
    doing.abort();
    // Whoever waits for it to stop hears of this, too.
    ask("goOn", json!({}));
    assert!(!has_ended, "it has ended before");
    let _ = doing.await;
}

/// Of how many moments one is tried; all of them with `SST_FAULTS=full`.
fn one_in(usual: usize) -> usize {
    if std::env::var("SST_FAULTS").is_ok_and(|faults| faults == "full") { 1 } else { usual }
}

/// How many requests something takes.
async fn requests_of(account: &Account, during: During) -> usize {
    let mut counts = (0, 0);
    // The first time the code of the stub is uploaded.
    for _ in 0..2 {
        let name = rich();
        let from = now();
        let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
        let between = now();
        account.switching.give_back(&[attached]).await;
        counts = (between - from, now() - between);
    }
    match during {
        During::Attaching => counts.0,
        During::GivingBack => counts.1,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn whenever_it_ends_the_next_one_gives_everything_back() {
    let account = Account::without_janitor().await;
    for during in [During::Attaching, During::GivingBack] {
        let all = requests_of(&account, during).await;
        assert!(all > 8, "{during:?}: {all}");
        for count in (1..all).step_by(one_in(3)) {
            let name = rich();
            let before = described(&name);
            end_after(&account, &name, during, count).await;
            let outcomes = account.restored().await;
            let well = outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Restored));
            assert!(well, "{during:?} {count}: {outcomes:?}");
            assert_eq!(described(&name), before, "{during:?}, ended after {count} of {all} requests");
            assert_eq!(account.kept().0, Vec::<String>::new(), "{during:?} {count}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn whenever_it_ends_what_others_deploy_afterwards_stays() {
    let account = Account::without_janitor().await;
    for during in [During::Attaching, During::GivingBack] {
        let all = requests_of(&account, during).await;
        for count in (2..all).step_by(one_in(5)) {
            let name = rich();
            let before = described(&name);
            end_after(&account, &name, during, count).await;
            ask("deployByOthers", json!({ "name": name, "text": "theirs", "settings": { "Timeout": 99 } }));
            let theirs = described(&name);
            account.restored().await;
            let after = described(&name);
            let mut expected = before;
            for of_them in ["CodeSha256", "CodeSize", "Timeout"] {
                expected[of_them] = theirs[of_them].clone();
            }
            assert_eq!(after, expected, "{during:?}, ended after {count} of {all} requests");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn whenever_it_ends_the_next_start_attaches_it() {
    let account = Account::without_janitor().await;
    let all = requests_of(&account, During::Attaching).await;
    for count in (3..all).step_by(one_in(5)) {
        let name = rich();
        let before = described(&name);
        end_after(&account, &name, During::Attaching, count).await;
        let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1;
        let attached = attached.unwrap_or_else(|error| panic!("{count}: {error:?}"));
        assert_eq!(described(&name)["Runtime"], "provided.al2023");
        let outcomes = account.switching.give_back(&[attached]).await;
        assert!(matches!(outcomes.as_slice(), [(_, Outcome::Restored)]), "{count}: {outcomes:?}");
        assert_eq!(described(&name), before, "ended after {count} of {all} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn whenever_it_ends_the_janitor_gives_everything_back() {
    let account = Account::without_janitor().await;
    for during in [During::Attaching, During::GivingBack] {
        let all = requests_of(&account, during).await;
        for count in (1..all).step_by(one_in(5)) {
            let name = rich();
            let before = described(&name);
            end_after(&account, &name, during, count).await;
            janitor(true);
            let said = fire(&account).await;
            janitor(false);
            assert_eq!(described(&name), before, "{during:?}, ended after {count} of {all} requests: {said}");
            assert_eq!(account.kept().0, Vec::<String>::new(), "{during:?} {count}: {said}");
        }
    }
}

//! Each request in turn is refused, or not answered.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sst::attach::switch::Outcome;

use super::account::{Account, ask, described, is_stub, now, requests, rich, wanted};

/// What attaching and giving back ask for, each once, without what only reads Lambda's answer to uploads.
async fn operations(account: &Account) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let name = rich();
    let from = now();
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    let attaching: BTreeSet<_> = requests(from).into_iter().collect();
    let from = now();
    account.switching.give_back(&[attached]).await;
    let giving: BTreeSet<_> = requests(from).into_iter().collect();
    (attaching.into_iter().collect(), giving.into_iter().collect())
}

/// An error of a service's own kind.
fn refusal(service: &str, error: &str) -> Value {
    let denied = if ["s3", "iam"].contains(&service) { "AccessDenied" } else { "AccessDeniedException" };
    let error = if error == "AccessDenied" { denied } else { error };
    json!({ "status": if error.starts_with("Access") { 403 } else { 429 }, "error": error })
}

fn fault(service: &str, operation: &str, mut what: Value) {
    what["match"] = json!({ "service": service, "operation": operation, "who": "developer" });
    ask("fault", what);
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_passes_is_waited_for() {
    let account = Account::without_janitor().await;
    let (attaching, giving) = operations(&account).await;
    let full = std::env::var("SST_FAULTS").is_ok_and(|faults| faults == "full");
    let all: BTreeSet<_> = attaching.iter().chain(&giving).collect();
    for (index, (service, operation)) in all.into_iter().enumerate() {
        for (number, what) in [
            json!({ "cut": "after", "times": 1 }),
            json!({ "cut": "before", "times": 1 }),
            json!({ "status": 429, "error": "TooManyRequestsException", "times": 2 }),
            json!({ "status": 409, "error": "ResourceConflictException", "times": 2 }),
        ]
        .into_iter()
        .enumerate()
        {
            // Each request goes wrong in two ways, and in all with `SST_FAULTS=full`.
            if !full && index % 2 != number % 2 {
                continue;
            }
            // Each service has its own words for that.
            if what["error"] == "ResourceConflictException" && service != "lambda"
                || what["status"] == 429 && ["s3", "iam", "dynamodb"].contains(&service.as_str())
            {
                continue;
            }
            let name = rich();
            let before = described(&name);
            fault(service, operation, what.clone());
            let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1;
            let attached = attached.unwrap_or_else(|error| panic!("{operation} {what}: {error:?}"));
            let outcomes = account.switching.give_back(&[attached]).await;
            assert!(
                matches!(outcomes.as_slice(), [(_, Outcome::Restored)]),
                "{operation} {what}: {outcomes:?}"
            );
            assert_eq!(described(&name), before, "{operation} {what}");
            ask("clearFaults", json!({}));
        }
    }
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_is_denied_while_attaching_is_told_and_leaves_nothing() {
    let account = Account::without_janitor().await;
    let (attaching, _) = operations(&account).await;
    // Without these it goes on: the janitor is a help, and a role that may not be read is changed.
    let needless = ["Invoke", "ListAttachedRolePolicies", "HeadObject", "HEAD"];
    for (service, operation) in attaching {
        if needless.contains(&operation.as_str()) {
            continue;
        }
        let name = rich();
        let before = described(&name);
        let mut what = refusal(&service, "AccessDenied");
        what["message"] =
            format!("User: developer is not authorized to perform: {service}:{operation} on resource: x")
                .into();
        fault(&service, &operation, what);
        let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1;
        ask("clearFaults", json!({}));
        let Err(error) = attached else {
            panic!("{service}:{operation} is not needed: {name}");
        };
        let told = format!("{} {:?} {:?}", error.message, error.detail, error.hint);
        assert!(told.contains(&format!("{service}:{operation}")), "{operation}: {told}");
        // What could not be undone without that permission is undone now.
        account.restored().await;
        assert_eq!(described(&name), before, "{operation}");
        assert_eq!(account.kept().0, Vec::<String>::new(), "{operation}");
    }
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_is_denied_while_giving_back_is_told_and_done_later() {
    let account = Account::without_janitor().await;
    let (_, giving) = operations(&account).await;
    for (service, operation) in giving {
        let name = rich();
        let before = described(&name);
        let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
        fault(&service, &operation, refusal(&service, "AccessDenied"));
        let outcomes = account.switching.give_back(&[attached]).await;
        ask("clearFaults", json!({}));
        if let [(_, Outcome::Failed(error))] = outcomes.as_slice() {
            assert!(error.hint.is_some(), "{operation}: {error:?}");
            assert_eq!(account.kept().0, [format!("attach:{name}")], "{operation}");
        } else {
            assert_eq!(operation, "ListAttachedRolePolicies", "{outcomes:?}");
        }
        account.restored().await;
        assert_eq!(described(&name), before, "{operation}");
        assert_eq!(account.kept(), (Vec::new(), Vec::new()), "{operation}");
    }
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn an_update_that_lambda_does_not_manage_is_told_and_undone() {
    let account = Account::without_janitor().await;
    let name = rich();
    let before = described(&name);
    let failing = json!({ "code": "InternalError", "reason": "no room for it" });
    let fail = |name: &str| ask("settings", json!({ "functions": { "failUpdates": { name: failing } } }));
    fail(&name);
    let error = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap_err();
    assert!(error.detail.as_ref().unwrap().contains("InternalError: no room for it"), "{error:?}");
    assert_eq!(described(&name), before);
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));

    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    fail(&name);
    let outcomes = account.switching.give_back(&[attached]).await;
    let [(_, Outcome::Failed(error))] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(error.hint.as_ref().unwrap().contains("sst attach --restore"), "{error:?}");
    account.restored().await;
    assert!(!is_stub(&name));
    assert_eq!(described(&name), before);
}

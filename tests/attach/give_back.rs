//! What a function is after it was attached.

use std::collections::BTreeSet;

use serde_json::json;
use sst::{
    attach::switch::{Change, Outcome},
    relay,
};

use super::account::{Account, LAYER, ask, described, function, is_stub, rich, wanted};

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_function_is_a_stub_and_then_what_it_was() {
    let account = Account::new().await;
    let name = rich();
    let before = described(&name);
    let mut attached = account.switching.attach(&[wanted(&name)]).await;
    let (_, attached) = attached.remove(0);
    let attached = attached.unwrap();

    let stub = described(&name);
    assert_eq!(stub["Runtime"], "provided.al2023");
    assert_eq!(stub["Timeout"], 17);
    assert_eq!(stub["Handler"], before["Handler"]);
    assert_eq!(stub["LoggingConfig"], json!({ "LogFormat": "Text", "LogGroup": "/own/group" }));
    assert_eq!(stub["VpcConfig"]["VpcId"], "");
    for gone in ["Layers", "FileSystemConfigs", "DeadLetterConfig"] {
        assert_eq!(stub.get(gone), None, "{gone}");
    }
    let variables = stub["Environment"]["Variables"].as_object().unwrap();
    assert_eq!(
        variables.keys().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        ["SST_ORIG_AWS_LAMBDA_EXEC_WRAPPER", "SST_ORIG_LD_LIBRARY_PATH", "SST_STUB", "TABLE"]
    );
    let config: serde_json::Value = serde_json::from_str(variables["SST_STUB"].as_str().unwrap()).unwrap();
    assert_eq!((&config["f"], &config["d"]), (&json!(name), &json!(7)));
    assert!(stub["Tags"]["sst:attached"].as_str().unwrap().starts_with("s3://"));
    assert_eq!(stub["Policies"].as_array().unwrap().len(), 1);
    assert_ne!(stub["CodeSha256"], before["CodeSha256"]);

    let original = attached.original();
    assert_eq!((original.runtime.as_str(), original.timeout_s), ("nodejs22.x", 7));
    assert_eq!(original.layers, [LAYER]);
    assert_eq!(original.json_log.as_deref(), Some("DEBUG"));
    assert_eq!(account.switching.original(&name).await.unwrap(), Some(original));
    // Nobody takes its lease for that of a client who answers.
    let served = relay::served(&account.switching.aws, &account.switching.debug_stack, "").await.unwrap();
    assert!(served.is_empty(), "{served:?}");
    assert!(account.switching.renew(std::slice::from_ref(&attached)).await.is_empty());

    let outcomes = account.switching.give_back(&[attached]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Restored)]), "{outcomes:?}");
    assert_eq!(described(&name), before);
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_plain_function_has_a_plain_stub() {
    let account = Account::new().await;
    let name = function(json!({}));
    let before = described(&name);
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    let outcomes = account.switching.give_back(&[attached]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Restored)]), "{outcomes:?}");
    assert_eq!(described(&name), before);
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_somebody_deploys_meanwhile_is_told_and_stays() {
    let account = Account::new().await;
    let name = rich();
    let before = described(&name);
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    ask("deployByOthers", json!({ "name": name, "text": "new", "settings": { "MemorySize": 1024 } }));
    let changes = account.switching.renew(&[attached]).await;
    let [(_, Change::Deployed { what, outcome: Outcome::RestoredAround { others } })] = changes.as_slice()
    else {
        panic!("{changes:?}")
    };
    assert_eq!((what.join(" "), others.join(" ")), ("Code".to_owned(), "Code MemorySize".to_owned()));
    let mut expected = before;
    let now = described(&name);
    for theirs in ["CodeSha256", "CodeSize", "MemorySize"] {
        expected[theirs] = now[theirs].clone();
    }
    assert_eq!(now, expected);
    assert_eq!(now["MemorySize"], 1024);
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_function_that_is_gone_is_told() {
    let account = Account::new().await;
    let (first, second) = (function(json!({})), function(json!({})));
    let attached = account.switching.attach(&[wanted(&first), wanted(&second)]).await;
    let attached: Vec<_> = attached.into_iter().map(|(_, one)| one.unwrap()).collect();
    ask("deleteFunction", json!({ "name": first }));
    let changes = account.switching.renew(&attached).await;
    assert!(matches!(changes.as_slice(), [(name, Change::Gone)] if *name == first), "{changes:?}");
    ask("deleteFunction", json!({ "name": second }));
    let outcomes = account.switching.give_back(&attached[1..]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Gone)]), "{outcomes:?}");
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_stub_is_taken_over_as_it_is_and_only_its_last_owner_gives_it_back() {
    let account = Account::new().await;
    let name = rich();
    let before = described(&name);
    let first = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    let stub = described(&name);
    let colleague = account.colleague();
    let second = colleague.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    assert_eq!(second.taken_over_from.as_deref(), Some("alice@laptop"));
    assert_eq!(described(&name), stub);
    let changes = account.switching.renew(std::slice::from_ref(&first)).await;
    assert!(matches!(changes.as_slice(), [(_, Change::TakenOver { by })] if by == "bob@desk"), "{changes:?}");
    let outcomes = account.switching.give_back(&[first]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Elsewhere { by: Some(_) })]), "{outcomes:?}");
    assert!(is_stub(&name));
    let outcomes = colleague.give_back(&[second]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Restored)]), "{outcomes:?}");
    assert_eq!(described(&name), before);
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_role_keeps_the_policy_while_another_stub_needs_it_and_if_it_had_it_before() {
    let account = Account::new().await;
    let policy = account.switching.debug_stack.stub_policy.clone().unwrap();
    ask("role", json!({ "name": "shared" }));
    ask("role", json!({ "name": "own", "attached": [policy] }));
    let arn = |role: &str| format!("arn:aws:iam::123456789012:role/{role}");
    let shared = [function(json!({ "role": arn("shared") })), function(json!({ "role": arn("shared") }))];
    let own = function(json!({ "role": arn("own") }));
    let all: Vec<_> = shared.iter().chain([&own]).map(|name| wanted(name)).collect();
    let mut attached: Vec<_> =
        account.switching.attach(&all).await.into_iter().map(|(_, one)| one.unwrap()).collect();
    let policies = |name: &str| described(name)["Policies"].as_array().unwrap().len();
    account.switching.give_back(&[attached.remove(0)]).await;
    assert_eq!(policies(&shared[0]), 1);
    account.switching.give_back(&attached).await;
    assert_eq!((policies(&shared[0]), policies(&own)), (0, 1));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_stub_has_no_more_time_than_its_queue_allows() {
    let account = Account::new().await;
    let name = function(json!({ "timeout": 30, "queueTimeout": 30 }));
    let before = described(&name);
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    assert_eq!(described(&name)["Timeout"], 30);
    account.switching.give_back(&[attached]).await;
    assert_eq!(described(&name), before);
}

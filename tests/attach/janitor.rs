//! The janitor of the debug stack gives back as this program does.

use serde_json::{Value, json};

use super::account::{Account, ask, described, is_stub, rich, wanted};

/// Has the schedule fire, when the leases of all do not count any more.
pub(crate) async fn fire(account: &Account) -> Value {
    ask("expireLeases", json!({ "table": account.switching.debug_stack.table }));
    let client = account.switching.aws.invoker(std::time::Duration::from_secs(60));
    let answer = client.invoke().function_name("sst-attach-debug-stack-janitor").send().await.unwrap();
    assert_eq!(answer.function_error(), None, "{:?}", answer.payload());
    ask("recorded", json!({ "kind": "inline" }))["entries"].as_array().unwrap().last().unwrap()["output"]
        .clone()
}

fn is_watching() -> bool {
    ask("state", json!({}))["rules"]["sst-attach-debug-stack-janitor"].as_bool().unwrap()
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn it_gives_back_what_is_left_behind_and_watches_no_longer_than_there_is_something() {
    let account = Account::new().await;
    fire(&account).await;
    assert!(!is_watching());
    let name = rich();
    let before = described(&name);
    account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    assert!(is_watching() && is_stub(&name));
    let said = fire(&account).await;
    assert_eq!(described(&name), before, "{said}");
    assert_eq!(account.kept(), (Vec::new(), Vec::new()), "{said}");
    assert!(!is_watching());
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn it_leaves_alone_what_somebody_has_attached() {
    let account = Account::new().await;
    let name = rich();
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    let client = account.switching.aws.invoker(std::time::Duration::from_secs(60));
    client.invoke().function_name("sst-attach-debug-stack-janitor").send().await.unwrap();
    assert!(is_stub(&name) && is_watching());
    account.switching.give_back(&[attached]).await;
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn whatever_others_have_changed_it_does_as_this_program_does() {
    let account = Account::new().await;
    let stub_text = "theirs";
    let cases = [
        json!({}),
        json!({ "text": stub_text }),
        json!({ "settings": { "Timeout": 99, "MemorySize": 256 } }),
        json!({ "settings": { "Runtime": "python3.13", "Layers": [] }, "text": stub_text }),
        json!({ "settings": { "LoggingConfig": { "LogFormat": "Text", "LogGroup": "/theirs" } } }),
        json!({ "settings": { "LoggingConfig": { "LogFormat": "JSON", "ApplicationLogLevel": "WARN", "LogGroup": "/own/group" } } }),
        json!({ "settings": { "Environment": { "Variables": { "TABLE": "theirs", "NEW": "1" } } } }),
        json!({ "settings": { "VpcConfig": { "SubnetIds": ["subnet-9"], "SecurityGroupIds": ["sg-9"] } }, "tags": { "theirs": "1" } }),
        json!({ "settings": { "EphemeralStorage": { "Size": 2048 }, "DeadLetterConfig": { "TargetArn": "arn:aws:sqs:eu-central-1:123456789012:other" } } }),
    ];
    for case in cases {
        let (ours, janitors) = (rich(), rich());
        for name in [&ours, &janitors] {
            account.switching.attach(&[wanted(name)]).await.remove(0).1.unwrap();
            let mut change = case.clone();
            change["name"] = name.as_str().into();
            ask("deployByOthers", change);
        }
        let leases = sst::attach::switch::leases(&account.switching.aws, &account.switching.debug_stack)
            .await
            .unwrap();
        let of_ours: Vec<_> = leases.into_iter().filter(|lease| lease.function == ours).collect();
        account.switching.restore(&of_ours).await;
        let said = fire(&account).await;
        let without_names = |name: &str| {
            let mut described = described(name);
            for differs in ["FunctionName", "FunctionArn", "Role"] {
                described.as_object_mut().unwrap().remove(differs);
            }
            if case.get("text").is_none() {
                // The functions have the code of their names.
                described.as_object_mut().unwrap().remove("CodeSha256");
            }
            described
        };
        assert_eq!(without_names(&janitors), without_names(&ours), "{case}: {said}");
        assert!(!is_stub(&ours), "{case}");
    }
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

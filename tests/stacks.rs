//! The debug stack in whatever state CloudFormation may have it, by the strict counterpart for AWS, whose states and words are those that
//! AWS documents or was seen to use.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

#[path = "counterpart/client.rs"]
mod counterpart;

use std::time::Duration;

use counterpart::{ask, endpoint};
use serde_json::{Value, json};
use sst::{
    aws::{self, Aws},
    debug_stack::{self, Answers},
    ui::Ui,
};

const FUNCTION_ONLY: &str = include_str!("fixtures/debug-stacks/function-only.yaml");

/// What there is where API Gateway answers at the routes by itself, and where a function does.
const MOCKS: [&str; 8] = [
    "ConnectIntegration",
    "ConnectIntegrationResponse",
    "ConnectResponse",
    "ConnectRoute",
    "HelloIntegration",
    "HelloIntegrationResponse",
    "HelloResponse",
    "HelloRoute",
];
const FUNCTION: [&str; 7] = [
    "ConnectRoute",
    "Control",
    "ControlIntegration",
    "ControlPermission",
    "ControlRole",
    "HelloResponse",
    "HelloRoute",
];

/// Credentials are found by variables, which belong to a process. So the tests are in another one.
#[test]
fn whatever_state_a_stack_is_in() {
    counterpart::run_ignored(include_str!("stacks.rs").matches("\n#[ignore = ").count());
}

/// Waits for something that the counterpart notes.
async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One stack of a test, without the faults of the one before.
struct Tried {
    aws: Aws,
    name: String,
}

impl Tried {
    async fn new(name: &str) -> Self {
        ask("clearFaults", json!({}));
        ask("settings", json!({ "cloudformation": { "fail": {}, "failDelete": {}, "refuse": null } }));
        let endpoint = Some(endpoint());
        let aws = Aws::connect(aws::Options { endpoint, ..aws::Options::default() }).await.unwrap();
        Self { aws, name: name.to_owned() }
    }

    async fn deploy(&self) -> Result<debug_stack::DebugStack, String> {
        let deployed = debug_stack::deploy(&self.aws, &self.name, None, &Ui::channel().0).await;
        deployed.map_err(|error| format!("{error:?}"))
    }

    async fn remove(&self) -> Result<(), String> {
        let removed = debug_stack::remove(&self.aws, &self.name, &Ui::channel().0).await;
        removed.map_err(|error| format!("{error:?}"))
    }

    async fn status(&self) -> Option<String> {
        Some(debug_stack::status(&self.aws, &self.name).await.unwrap()?.status)
    }

    fn becomes(&self, status: &str) {
        ask("stack", json!({ "name": self.name, "status": status }));
    }

    /// How often CloudFormation was asked for this about the stack, with success.
    fn asked(&self, operation: &str) -> usize {
        let answer = ask("recorded", json!({ "kind": "cloudformation" }));
        let entries = answer["entries"].as_array().unwrap();
        let is = |entry: &&Value| entry["operation"] == operation && entry["stack"] == self.name.as_str();
        entries.iter().filter(is).filter(|entry| entry["error"].is_null()).count()
    }

    /// Puts something into the bucket.
    fn fill(&self, bucket: &str) {
        ask("putObject", json!({ "bucket": bucket, "key": "left", "text": "something" }));
    }

    /// The stack of a version of `sst` for which only a function answers at its routes.
    async fn deploy_function_only(&self) {
        let client = self.aws.cloudformation();
        let change_set = client.create_change_set().stack_name(&self.name).change_set_name("first");
        let kind = aws_sdk_cloudformation::types::ChangeSetType::Create;
        let capability = aws_sdk_cloudformation::types::Capability::CapabilityIam;
        let change_set =
            change_set.change_set_type(kind).capabilities(capability).template_body(FUNCTION_ONLY);
        change_set.send().await.unwrap();
        let describe = client.describe_change_set().stack_name(&self.name).change_set_name("first");
        while describe
            .clone()
            .send()
            .await
            .unwrap()
            .execution_status
            .is_none_or(|is| is.as_str() != "AVAILABLE")
        {}
        client.execute_change_set().stack_name(&self.name).change_set_name("first").send().await.unwrap();
        while self.status().await.as_deref() != Some("CREATE_COMPLETE") {}
    }

    /// The logical ids of what there is for the routes, in order.
    fn of_routes(&self) -> Vec<String> {
        let state = ask("state", json!({}));
        let resources = state["stacks"][&self.name]["resources"].as_object().unwrap();
        let is_it = |name: &&String| ["Connect", "Hello", "Control"].iter().any(|of| name.starts_with(of));
        let mut names: Vec<_> = resources.keys().filter(is_it).cloned().collect();
        names.sort();
        names
    }

    /// A tag of another version, so that there is something to deploy.
    async fn deploy_another(&self) {
        let tags = [("another".to_owned(), "yes".to_owned())].into();
        let custom = debug_stack::Custom { template: debug_stack::TEMPLATE, tags: &tags };
        debug_stack::deploy(&self.aws, &self.name, Some(custom), &Ui::channel().0).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn it_wants_to_be_asked_less_or_its_answers_are_lost() {
    let less = json!({ "error": "Throttling", "status": 400, "message": "Rate exceeded" });
    let lost = json!({ "cut": "after" });
    for (number, (operation, mut fault)) in [
        ("DescribeStacks", less.clone()),
        ("CreateChangeSet", less.clone()),
        ("DescribeChangeSet", less.clone()),
        ("ExecuteChangeSet", less),
        ("CreateChangeSet", lost.clone()),
        ("ExecuteChangeSet", lost),
    ]
    .into_iter()
    .enumerate()
    {
        let tried = Tried::new(&format!("asked-{number}")).await;
        // More often than the SDK tries by itself, in the middle of it all.
        fault["match"] = json!({ "service": "cloudformation", "operation": operation });
        fault["skip"] = usize::from(operation == "DescribeStacks").into();
        fault["times"] = 4.into();
        ask("fault", fault);
        tried.deploy().await.unwrap();
        assert_eq!(tried.status().await.as_deref(), Some("CREATE_COMPLETE"));
    }
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn several_starts_deploy_the_same_at_once() {
    let tried = Tried::new("rivals").await;
    let all = futures_util::future::join_all((0..4).map(|_| tried.deploy())).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|one| one.as_ref() == Ok(first)), "{all:?}");
    assert_eq!(tried.asked("DeleteStack"), 0, "nobody removes what another one makes");
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn another_one_has_prepared_it_and_not_begun() {
    let tried = Tried::new("reviewed").await;
    tried.becomes("REVIEW_IN_PROGRESS");
    tried.deploy().await.unwrap();
    assert_eq!(tried.asked("DeleteStack"), 0);
    assert_eq!(tried.status().await.as_deref(), Some("CREATE_COMPLETE"));
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn another_operation_is_in_progress() {
    for operation in ["CreateChangeSet", "ExecuteChangeSet"] {
        let tried = Tried::new(&format!("busy-{operation}")).await;
        ask(
            "fault",
            json!({ "match": { "service": "cloudformation", "operation": operation }, "times": 2, "status": 409,
                "error": "OperationInProgressException", "message": "Another operation on this stack is in progress" }),
        );
        tried.deploy().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn something_still_happens_to_it() {
    for (now, then) in [
        ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"),
        ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
    ] {
        let tried = Tried::new(&format!("happens-{}", now.to_lowercase().replace('_', "-"))).await;
        tried.deploy_another().await;
        tried.becomes(now);
        let end = async {
            let before = tried.asked("DescribeStacks");
            until(|| tried.asked("DescribeStacks") >= before + 3).await;
            assert_eq!(tried.asked("CreateChangeSet"), 1, "it is waited for");
            tried.becomes(then);
        };
        let (deployed, ()) = tokio::join!(tried.deploy(), end);
        deployed.unwrap();
        assert_eq!(tried.asked("ExecuteChangeSet"), 2);
    }
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn its_creation_fails_and_is_tried_again() {
    let tried = Tried::new("created").await;
    let reason = "Resource handler returned message: \"not authorized to perform: iam:CreatePolicy\"";
    ask("settings", json!({ "cloudformation": { "fail": { "StubPolicy": reason } } }));
    let error = tried.deploy().await.unwrap_err();
    assert!(error.contains("StubPolicy") && error.contains("iam:CreatePolicy"), "{error}");
    ask("settings", json!({ "cloudformation": { "fail": {} } }));
    tried.deploy().await.unwrap();
    assert_eq!(tried.status().await.as_deref(), Some("CREATE_COMPLETE"));
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn its_removal_has_failed() {
    let tried = Tried::new("half-removed").await;
    let stack = tried.deploy().await.unwrap();
    tried.fill(&stack.bucket);
    tried.becomes("DELETE_FAILED");
    let reason = "Resource handler returned message: \"not authorized to perform: dynamodb:DeleteTable\"";
    ask("settings", json!({ "cloudformation": { "failDelete": { "Registrations": reason } } }));
    for error in [tried.deploy().await.unwrap_err(), tried.remove().await.unwrap_err()] {
        assert!(error.contains("Registrations") && error.contains("dynamodb:DeleteTable"), "{error}");
    }
    ask("settings", json!({ "cloudformation": { "failDelete": {} } }));
    tried.deploy().await.unwrap();
    assert_eq!(tried.status().await.as_deref(), Some("CREATE_COMPLETE"));
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn its_change_could_not_be_taken_back() {
    let tried = Tried::new("stuck").await;
    tried.deploy_another().await;
    tried.becomes("UPDATE_ROLLBACK_FAILED");
    let error = tried.deploy().await.unwrap_err();
    assert!(error.contains("continue-update-rollback --stack-name stuck"), "{error}");
    assert_eq!(tried.asked("CreateChangeSet"), 1);
    tried.remove().await.unwrap();
    assert_eq!(tried.status().await, None);
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn its_change_was_taken_back() {
    let tried = Tried::new("taken-back").await;
    tried.deploy_another().await;
    tried.becomes("UPDATE_ROLLBACK_COMPLETE");
    tried.deploy().await.unwrap();
    assert_eq!(tried.status().await.as_deref(), Some("UPDATE_COMPLETE"));
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_hook_of_the_account_refuses_it() {
    let tried = Tried::new("refused").await;
    let reason = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck].";
    ask("settings", json!({ "cloudformation": { "refuse": reason } }));
    let error = tried.deploy().await.unwrap_err();
    assert!(error.contains("ResourceExistenceCheck"), "{error}");
    ask("settings", json!({ "cloudformation": { "refuse": null } }));
    tried.deploy().await.unwrap();
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn it_may_not_be_looked_at() {
    let tried = Tried::new("denied").await;
    let message = "User: alice is not authorized to perform: cloudformation:DescribeStacks";
    let wanted = json!({ "service": "cloudformation", "operation": "DescribeStacks" });
    ask("fault", json!({ "match": wanted, "status": 403, "error": "AccessDenied", "message": message }));
    let error = tried.deploy().await.unwrap_err();
    assert!(error.contains("not authorized to perform: cloudformation:DescribeStacks"), "{error}");
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_stub_writes_while_it_is_removed() {
    let tried = Tried::new("written").await;
    let stack = tried.deploy().await.unwrap();
    tried.fill(&stack.bucket);
    // What was emptied is full again when CloudFormation comes to it.
    let wanted = json!({ "service": "cloudformation", "operation": "DeleteStack" });
    ask("fault", json!({ "match": wanted, "delayMs": 500, "times": 1 }));
    let write = async {
        let is_delayed = |entry: &Value| entry["operation"] == "DeleteStack";
        until(|| {
            ask("recorded", json!({ "kind": "fault" }))["entries"].as_array().unwrap().iter().any(is_delayed)
        })
        .await;
        tried.fill(&stack.bucket);
    };
    let (removed, ()) = tokio::join!(tried.remove(), write);
    removed.unwrap();
    assert_eq!(tried.asked("DeleteStack"), 2);
    assert_eq!(tried.status().await, None);
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn nobody_may_remove_it() {
    let tried = Tried::new("protected").await;
    tried.deploy().await.unwrap();
    let client = tried.aws.cloudformation();
    client
        .update_termination_protection()
        .stack_name("protected")
        .enable_termination_protection(true)
        .send()
        .await
        .unwrap();
    let error = tried.remove().await.unwrap_err();
    assert!(error.contains("TerminationProtection"), "{error}");
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_state_that_stays_is_told_and_not_waited_for() {
    let tried = Tried::new("imported").await;
    tried.deploy_another().await;
    tried.becomes("IMPORT_ROLLBACK_FAILED");
    let error = tried.deploy().await.unwrap_err();
    assert!(error.contains("is in IMPORT_ROLLBACK_FAILED state and can not be updated"), "{error}");
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_stack_whose_routes_only_knew_a_function_is_updated_in_place() {
    let tried = Tried::new("function-only").await;
    tried.deploy_function_only().await;
    assert_eq!(tried.of_routes(), FUNCTION);
    let before = debug_stack::find(&tried.aws, &tried.name).await.unwrap().unwrap();
    let after = tried.deploy().await.unwrap();
    assert_eq!(tried.status().await.as_deref(), Some("UPDATE_COMPLETE"));
    assert_eq!(after, before, "the API, the table and the bucket are the same");
    assert_eq!((after.answers, tried.of_routes()), (Answers::Mock, MOCKS.map(str::to_owned).to_vec()));
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_function_that_answers_stays_until_the_stack_is_removed() {
    let tried = Tried::new("by-function").await;
    let mocks = tried.deploy().await.unwrap();
    let function =
        debug_stack::deploy_function(&tried.aws, &tried.name, None, &Ui::channel().0).await.unwrap();
    assert_eq!((mocks.answers, function.answers), (Answers::Mock, Answers::Function));
    assert_eq!((&mocks.api_id, tried.of_routes()), (&function.api_id, FUNCTION.map(str::to_owned).to_vec()));
    let executed = tried.asked("ExecuteChangeSet");
    assert_eq!(tried.deploy().await.unwrap(), function);
    assert_eq!(tried.asked("ExecuteChangeSet"), executed, "there is nothing to deploy");
    assert!(debug_stack::status(&tried.aws, &tried.name).await.unwrap().unwrap().current);
    tried.deploy_another().await;
    assert_eq!(tried.deploy().await.unwrap(), function, "nor does another template change it");
    tried.remove().await.unwrap();
    assert_eq!(tried.deploy().await.unwrap().answers, Answers::Mock);
}

#[tokio::test]
#[ignore = "it is run by the one above"]
async fn a_start_beside_the_one_that_needs_the_function_leaves_it_there() {
    let tried = Tried::new("beside").await;
    tried.deploy().await.unwrap();
    tried.becomes("UPDATE_IN_PROGRESS");
    let before = tried.asked("DescribeStacks");
    let other = async {
        until(|| tried.asked("DescribeStacks") >= before + 2).await;
        let parameters = json!({ "Answers": "function" });
        ask("stack", json!({ "name": tried.name, "status": "UPDATE_COMPLETE", "parameters": parameters }));
    };
    let (beside, ()) = tokio::join!(tried.deploy(), other);
    assert_eq!(
        (beside.unwrap().answers, tried.of_routes()),
        (Answers::Function, FUNCTION.map(str::to_owned).to_vec())
    );
}

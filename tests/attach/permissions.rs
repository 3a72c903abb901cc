//! The policy of the documentation, and what is asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::account::{Account, now, requests, rich, wanted};

/// What the documentation says that attaching takes.
const DOCUMENT: &str = include_str!("../../docs/attach.md");

/// Actions that Lambda looks for by itself when it changes a function, or tells of its tags, so nobody sees them asked for.
const BY_LAMBDA: [&str; 4] =
    ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "lambda:ListTags"];

/// The actions of the documented policy.
fn documented() -> BTreeSet<String> {
    let (_, section) = DOCUMENT.split_once("\n## Permissions\n").unwrap();
    let (_, policy) = section.split_once("```json").unwrap();
    let policy: Value = serde_json::from_str(policy.split_once("```").unwrap().0).unwrap();
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        match &statement["Action"] {
            Value::String(one) => actions.extend([one.clone()]),
            several => {
                let several = several.as_array().unwrap().iter();
                actions.extend(several.map(|one| one.as_str().unwrap().to_owned()));
            }
        }
    }
    actions
}

/// What IAM calls a request.
fn action(service: &str, operation: &str) -> String {
    let name = match (service, operation) {
        ("lambda", "Invoke") => "InvokeFunction",
        ("lambda", "GetLayerVersionByArn") => "GetLayerVersion",
        ("s3", "HeadObject") => "GetObject",
        (_, other) => other,
    };
    format!("{service}:{name}")
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn the_documented_policy_is_what_attaching_asks_for() {
    let account = Account::new().await;
    let name = rich();
    let from = now();
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    account.switching.renew(std::slice::from_ref(&attached)).await;
    account.switching.give_back(&[attached]).await;
    account.restored().await;
    let mut asked: BTreeSet<String> =
        requests(from).iter().map(|(service, operation)| action(service, operation)).collect();
    asked.extend(BY_LAMBDA.map(str::to_owned));
    assert_eq!(asked, documented());
}

//! What parliament says of the policy that the roles of stubs get: nothing. That of the debug stack is looked at in `tests/infra`.

use std::process::Command;

use serde_json::{Value, json};
use sst::{app::stub_policy, debug_stack::DebugStack};

use super::support::{debug_stack, repository};

/// What is found in a policy, one JSON text a line.
fn findings(policy: &Value) -> String {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| repository().join("target").into());
    let said = Command::new(format!("{target}/python/bin/parliament"))
        .args(["--json", "--include-community-auditors", "--string"])
        .arg(policy.to_string())
        .env("PYTHONWARNINGS", "ignore")
        .output()
        .unwrap();
    let found = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.success(), found.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    found
}

#[test]
fn nothing_is_wrong_with_what_a_role_is_to_be_given() {
    for (partition, region) in
        [("aws", "eu-west-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
    {
        let table_arn = format!("arn:{partition}:dynamodb:{region}:123456789012:table/t");
        let stack = DebugStack { table_arn, ..debug_stack() };
        let policy = stub_policy(&stack, region, "123456789012");
        let resources = policy["Statement"].as_array().unwrap().iter().map(|one| one["Resource"].to_string());
        assert!(resources.into_iter().all(|one| one.contains(&format!("arn:{partition}:"))), "{policy}");
        assert_eq!(findings(&policy), "", "{policy:#}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::bucket"] }],
    });
    assert!(findings(&policy).contains("RESOURCE_MISMATCH"));
}

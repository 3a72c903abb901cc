//! Functions that are left alone.

use serde_json::{Value, json};
use sst::attach::switch::Switching;

use super::account::{Account, LAYER, ask, described, function, now, requests, wanted};

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_could_not_be_given_back_or_called_is_left_alone_and_why() {
    let account = Account::new().await;
    let alias = json!({ "Name": "live", "FunctionVersion": "1", "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.1 } } });
    let lost = LAYER.replace(":7", ":6");
    let size = "x".repeat(3900);
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "other": { "PackageType": "Image" } }), "container image"),
        (
            json!({ "signing": "arn:aws:lambda:eu-central-1:123456789012:code-signing-config:csc-1" }),
            "signed",
        ),
        (json!({ "other": { "SigningProfileVersionArn": "arn:aws:signer:eu-central-1:1:/p" } }), "signed"),
        (json!({ "other": { "MasterArn": "arn:aws:lambda:us-east-1:1:function:f" } }), "Lambda@Edge"),
        (json!({ "aliases": [alias] }), "its alias `live` shares the calls out"),
        (json!({ "provisioned": ["live"] }), "provisioned concurrency (`live`)"),
        (json!({ "look": { "TagsError": { "ErrorCode": "AccessDenied" } } }), "its tags cannot be read"),
        (json!({ "tags": { "sst:protected": "" } }), "the tag `sst:protected`"),
        (json!({ "tags": { "Environment": "Production" } }), "its tag `Environment` is `Production`"),
        (json!({ "runtimeUpdates": "Manual" }), "its runtime version is pinned"),
        (json!({ "runtime": "nodejs14.x" }), "its runtime `nodejs14.x`, which is going out of use"),
        (json!({ "settings": { "Layers": [lost] } }), "could not be given back its layer"),
        (
            json!({ "other": { "State": "Inactive", "StateReason": "The function is idle" } }),
            "its state is Inactive: The function is idle",
        ),
        (json!({ "other": { "LastUpdateStatus": "Failed" } }), "its last update has failed"),
        (
            json!({ "other": { "Environment": { "Error": { "ErrorCode": "AccessDenied", "Message": "no key" } } } }),
            "cannot be read: no key",
        ),
        (json!({ "variables": { "BIG": size } }), "bytes that Lambda allows"),
        (json!({ "variables": { "SST_STUB": "{}" } }), "a stub of `sst start` already"),
        (json!({ "other": { "DurableConfig": { "ExecutionTimeout": 60 } } }), "durable"),
        (json!({ "other": { "CapacityProviderConfig": {} } }), "managed instances"),
        (json!({ "other": { "TenancyConfig": { "TenantIsolationMode": "PER_TENANT" } } }), "tenants"),
        (json!({ "architecture": "arm64" }), "no stub for its architecture"),
        (json!({ "code": { "ResolvedS3Object": { "S3Bucket": "b" } } }), "stays in a bucket of its owner"),
    ];
    for (configuration, reason) in cases {
        let name = function(configuration.clone());
        let (before, from) = (described(&name), now());
        let error = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap_err();
        assert!(error.message.contains(reason), "{configuration}: {}", error.message);
        assert_eq!(described(&name), before, "{configuration}");
        let changing = |operation: &str| ["PutItem", "TagResource", "AttachRolePolicy"].contains(&operation);
        assert!(!requests(from).iter().any(|(_, operation)| changing(operation)), "{configuration}");
        let prospect = account.switching.asking().prospect(&wanted(&name)).await.unwrap();
        if !reason.contains("bytes") {
            assert!(prospect.refusal.is_some_and(|refusal| refusal.contains(reason)), "{configuration}");
        }
    }
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_looks_like_production_has_to_be_meant() {
    let account = Account::new().await;
    let name = function(json!({}));
    for (stage, stack) in [("prod", None), ("dev", Some("orders-production")), ("dev", Some("OrdersLive"))] {
        let mut wanted = wanted(&name);
        (wanted.stage, wanted.stack) = (Some(stage.to_owned()), stack.map(str::to_owned));
        let refusal = account.switching.asking().prospect(&wanted).await.unwrap().refusal.unwrap();
        assert!(refusal.contains("`--yes-production`"), "{refusal}");
        let meant = Switching { yes_production: true, ..account.switching.clone() };
        assert_eq!(meant.asking().prospect(&wanted).await.unwrap().refusal, None);
    }
    let mut product = wanted(&name);
    product.stack = Some("products-delivery".to_owned());
    assert_eq!(account.switching.asking().prospect(&product).await.unwrap().refusal, None);
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn what_does_not_come_here_is_told() {
    let account = Account::new().await;
    let aliases = json!([{ "Name": "stable", "FunctionVersion": "3" }, { "Name": "next", "FunctionVersion": "$LATEST" }]);
    let name = function(json!({ "aliases": aliases, "concurrency": 1 }));
    let prospect = account.switching.asking().prospect(&wanted(&name)).await.unwrap();
    assert_eq!(prospect.refusal, None);
    let [alias, concurrency] = prospect.notices.as_slice() else { panic!("{prospect:?}") };
    assert!(alias.contains("the alias `stable`") && alias.contains("version 3"), "{alias}");
    assert!(concurrency.contains("reserved concurrency of 1"), "{concurrency}");
    let error = account.switching.asking().prospect(&wanted("nobody")).await.unwrap_err();
    assert_eq!(error.message, "there is no function `nobody`");
}

#[tokio::test]
#[ignore = "the counterpart is started by the test that is not ignored"]
async fn a_role_that_nobody_may_change_is_told_with_the_policy_and_serves_when_it_has_it() {
    let account = Account::new().await;
    let name = function(json!({}));
    let before = described(&name);
    for operation in ["AttachRolePolicy", "DetachRolePolicy"] {
        let message =
            format!("User: developer is not authorized to perform: iam:{operation} on resource: role {name}");
        ask(
            "fault",
            json!({ "match": { "service": "iam", "operation": operation }, "status": 403, "error": "AccessDenied", "message": message }),
        );
    }
    let error = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap_err();
    let policy = account.switching.debug_stack.stub_policy.clone().unwrap();
    assert!(error.detail.as_ref().unwrap().contains("execute-api:ManageConnections"), "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains(&policy), "{error:?}");
    assert_eq!(described(&name), before);
    assert_eq!(account.kept(), (Vec::new(), Vec::new()));

    ask("role", json!({ "name": name, "attached": [policy] }));
    let attached = account.switching.attach(&[wanted(&name)]).await.remove(0).1.unwrap();
    account.switching.give_back(&[attached]).await;
    assert_eq!(described(&name)["Policies"], json!([policy]));
}

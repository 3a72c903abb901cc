use std::{
    io::Read,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;

fn trigger(kind: &str, logical_id: &str, more: Value) -> Trigger {
    let Value::Object(more) = more else { unreachable!() };
    Trigger {
        kind: kind.to_owned(),
        text: format!("{kind} {logical_id}"),
        logical_id: Some(logical_id.to_owned()),
        account: "111122223333".to_owned(),
        region: "eu-west-1".to_owned(),
        more,
        ..Trigger::default()
    }
}

fn event(trigger: &Trigger, physical_id: Option<&str>) -> Value {
    of(trigger).unwrap().event(&Origin { trigger: Some(trigger), physical_id, at: Timestamp::UNIX_EPOCH })
}

#[test]
fn a_route_is_requested_as_its_api_has_it() {
    let route = Trigger {
        method: Some("PUT".to_owned()),
        path: Some("/shops/{shopId}/{rest+}".to_owned()),
        ..trigger("apigw2", "Api", json!({ "routeKey": "PUT /shops/{shopId}/{rest+}", "stage": "$default" }))
    };
    let http = event(&route, Some("h1234"));
    assert_eq!(http["rawPath"], "/shops/123/some/path");
    assert_eq!(http["pathParameters"], json!({ "shopId": "123", "rest": "some/path" }));
    assert_eq!(http["requestContext"]["domainName"], "h1234.execute-api.eu-west-1.amazonaws.com");
    assert_eq!(http["headers"]["content-type"], "application/json");
    let old = event(
        &Trigger { more: json!({ "payload": "1.0" }).as_object().unwrap().clone(), ..route.clone() },
        None,
    );
    assert_eq!((&old["version"], &old["httpMethod"]), (&json!("1.0"), &json!("PUT")));
    let rest = event(&Trigger { kind: "apigw".to_owned(), ..route }, Some("r1234"));
    assert_eq!(
        (&rest["resource"], &rest["path"]),
        (&json!("/shops/{shopId}/{rest+}"), &json!("/shops/123/some/path"))
    );
    assert_eq!(rest["requestContext"]["path"], "/$default/shops/123/some/path");
    let fallback = event(&trigger("apigw2", "Api", json!({ "routeKey": "$default" })), None);
    assert_eq!((&fallback["rawPath"], fallback.get("pathParameters")), (&json!("/"), None));
}

#[test]
fn names_are_those_of_cloudformation_and_else_of_the_template() {
    let queue = trigger("sqs", "Queue1234", json!({}));
    for (physical, arn) in [
        (None, "arn:aws:sqs:eu-west-1:111122223333:Queue1234"),
        (
            Some("http://127.0.0.1:4566/000000000000/app-queue"),
            "arn:aws:sqs:eu-west-1:111122223333:app-queue",
        ),
        (Some("arn:aws-cn:sqs:x:y:z"), "arn:aws-cn:sqs:x:y:z"),
    ] {
        assert_eq!(event(&queue, physical)["Records"][0]["eventSourceARN"], arn, "{physical:?}");
    }
    let foreign =
        Trigger { logical_id: None, ..trigger("sqs", "", json!({ "arn": "arn:aws:sqs:a:b:theirs" })) };
    assert_eq!(event(&foreign, None)["Records"][0]["eventSourceARN"], "arn:aws:sqs:a:b:theirs");
    let bucket =
        trigger("s3", "B", json!({ "event": "s3:ObjectRemoved:*", "prefix": "in/", "suffix": ".png" }));
    let record = &event(&bucket, Some("my-uploads"))["Records"][0];
    assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::my-uploads");
    assert_eq!(
        (&record["eventName"], &record["s3"]["object"]["key"]),
        (&json!("ObjectRemoved:Delete"), &json!("in/example.png"))
    );
    let table =
        trigger("dynamodb", "T", json!({ "keys": { "owner": "S", "number": "N" }, "viewType": "NEW_IMAGE" }));
    let record = &event(&table, None)["Records"][0]["dynamodb"];
    assert_eq!(record["Keys"], json!({ "owner": { "S": "example" }, "number": { "N": "1" } }));
    assert_eq!((record["NewImage"]["owner"]["S"].as_str(), record.get("OldImage")), (Some("example"), None));
}

#[test]
fn a_pattern_is_matched_by_its_sample() {
    let pattern = json!({
        "source": [{ "prefix": "shop." }],
        "detail-type": ["OrderPlaced", "OrderPaid"],
        "detail": {
            "amount": [{ "numeric": [">", 10, "<=", 20] }],
            "open": [{ "numeric": [">", 1, "<", 2] }],
            "state": [{ "anything-but": ["closed"] }],
            "gone": [{ "exists": false }],
            "there": [{ "exists": true }],
            "address": [{ "cidr": "10.0.0.0/24" }],
            "file": [{ "wildcard": "in/*.png" }],
            "nothing": [null],
        },
    });
    let event = event(&trigger("eventbridge", "Rule", json!({ "pattern": pattern })), None);
    assert_eq!((&event["source"], &event["detail-type"]), (&json!("shop.example"), &json!("OrderPlaced")));
    assert_eq!(
        event["detail"],
        json!({ "amount": 20, "open": 1.5, "state": "example", "there": "example", "address": "10.0.0.0", "file": "in/example.png", "nothing": null })
    );
    let fixed = trigger("schedule", "Rule", json!({ "input": "{\"fixed\":true}" }));
    assert_eq!(super::tests::event(&fixed, None), json!({ "fixed": true }));
}

#[test]
fn lines_of_a_log_are_packed_as_other_programs_unpack_them() {
    let event = event(&trigger("cloudwatch-logs", "Log", json!({})), Some("/shop"));
    let packed = STANDARD.decode(event["awslogs"]["data"].as_str().unwrap()).unwrap();
    let mut unpack =
        Command::new("gzip").args(["-dc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut unpack.stdin.take().unwrap(), &packed).unwrap();
    let mut text = String::new();
    unpack.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(unpack.wait().unwrap().success());
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&data["logGroup"], &data["owner"]), (&json!("/shop"), &json!("111122223333")));
}

#[test]
fn samples_are_listed_and_chosen_by_their_kind_or_by_what_calls() {
    let route = |text: &str| Trigger { text: text.to_owned(), ..trigger("apigw2", "Api", json!({})) };
    let user = trigger("cognito", "Pool", json!({ "trigger": "PreTokenGeneration", "version": "V2_0" }));
    let unknown = trigger("mq", "Broker", json!({}));
    let triggers = [route("GET /a"), unknown, route("POST /b"), user];
    let listed = listed(&triggers);
    let own: Vec<_> = listed.iter().filter(|one| one.of.is_some()).map(|one| one.name.as_str()).collect();
    assert_eq!(own, ["apigw2", "POST /b", "cognito-pre-token-generation-v2"]);
    assert_eq!(listed.len(), KINDS.len() + 1);
    let text =
        |name: &str| chosen(name, &triggers).map(|(kind, own)| (kind.name, own.map(|own| own.text.as_str())));
    assert_eq!(text("apigw2"), Some(("apigw2", Some("GET /a"))));
    assert_eq!(text("POST /b"), Some(("apigw2", Some("POST /b"))));
    assert_eq!(text("sqs"), Some(("sqs", None)));
    assert_eq!(text("nothing"), None);
    for (mistake, meant) in [
        ("sqss", Some("sqs")),
        ("Dynamo", Some("dynamodb")),
        ("cognito", Some("cognito-pre-sign-up")),
        ("xyz", None),
    ] {
        assert_eq!(nearest(mistake).map(|kind| kind.name), meant, "{mistake}");
    }
}

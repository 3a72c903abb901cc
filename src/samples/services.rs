//! What services tell: schedules, events, logs, alarms, and what else calls functions by itself.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{Origin, fields::ID, pattern::matching};

/// What a rule or a schedule sends instead of an event, if the template says so.
fn input(origin: &Origin<'_>) -> Option<Value> {
    serde_json::from_str(origin.text("input")?).ok()
}

fn event(origin: &Origin<'_>, source: &str, kind: &str, resources: Value, detail: Value) -> Value {
    json!({
        "version": "0",
        "id": ID,
        "detail-type": kind,
        "source": source,
        "account": origin.account(),
        "time": origin.time(),
        "region": origin.region(),
        "resources": resources,
        "detail": detail,
    })
}

pub(super) fn rule_schedule(origin: &Origin<'_>) -> Value {
    let rule = origin.own_arn("events", "rule/", "my-schedule");
    input(origin).unwrap_or_else(|| event(origin, "aws.events", "Scheduled Event", json!([rule]), json!({})))
}

pub(super) fn scheduler(origin: &Origin<'_>) -> Value {
    let group = origin.text("group").unwrap_or("default");
    let schedule = origin.own_arn("scheduler", &format!("schedule/{group}/"), "my-schedule");
    // Its detail is a text.
    input(origin)
        .unwrap_or_else(|| event(origin, "aws.scheduler", "Scheduled Event", json!([schedule]), json!("{}")))
}

pub(super) fn eventbridge(origin: &Origin<'_>) -> Value {
    if let Some(input) = input(origin) {
        return input;
    }
    let wanted = origin.more("pattern").map(matching).unwrap_or_default();
    let detail = json!({ "order": "1234", "amount": 42 });
    let mut event = event(origin, "shop.orders", "OrderPlaced", json!([]), detail);
    if let Some(event) = event.as_object_mut() {
        event.extend(wanted);
    }
    event
}

pub(super) fn logs(origin: &Origin<'_>) -> Value {
    let group = origin.name("/aws/lambda/my-function");
    let line = |number: i64| {
        json!({
            "id": format!("3655{number:0>52}"),
            "timestamp": origin.millis() + number,
            "message": format!("ERROR order 1234 cannot be shipped, try {}", number + 1),
        })
    };
    let data = json!({
        "messageType": "DATA_MESSAGE",
        "owner": origin.account(),
        "logGroup": group,
        "logStream": "2026/11/30/[$LATEST]0123456789abcdef0123456789abcdef",
        "subscriptionFilters": ["my-filter"],
        "logEvents": [line(0), line(1)],
    });
    json!({ "awslogs": { "data": STANDARD.encode(gzip(data.to_string().as_bytes())) } })
}

/// As RFC 1952 has it, in stored blocks: what is in it is not made smaller, which nobody asks of a sample.
fn gzip(data: &[u8]) -> Vec<u8> {
    const LONGEST_BLOCK: usize = 0xffff;
    let mut result = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let count = data.chunks(LONGEST_BLOCK).count();
    for (number, block) in data.chunks(LONGEST_BLOCK).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        result.push(u8::from(number + 1 == count));
        result.extend(length.to_le_bytes());
        result.extend((!length).to_le_bytes());
        result.extend(block);
    }
    result.extend(crc32(data).to_le_bytes());
    result.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    result
}

fn crc32(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |rest: u32| (rest >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(rest & 1));
    !data.iter().fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(*byte), |rest, _| step(rest)))
}

pub(super) fn alarm(origin: &Origin<'_>) -> Value {
    let name = origin.name("too-many-errors");
    let state = |value: &str, reason: &str| json!({ "value": value, "reason": reason, "timestamp": origin.written("%Y-%m-%dT%H:%M:%S.000+0000") });
    json!({
        "source": "aws.cloudwatch",
        "alarmArn": origin.own_arn("cloudwatch", "alarm:", name),
        "accountId": origin.account(),
        "time": origin.written("%Y-%m-%dT%H:%M:%S.000+0000"),
        "region": origin.region(),
        "alarmData": {
            "alarmName": name,
            "state": state("ALARM", "Threshold Crossed: 1 datapoint [5.0] was greater than the threshold (1.0)."),
            "previousState": state("OK", "Threshold Crossed: 1 datapoint [0.0] was not greater than the threshold (1.0)."),
            "configuration": {
                "description": "Too many errors",
                "metrics": [{
                    "id": "errors",
                    "metricStat": {
                        "metric": { "namespace": "AWS/Lambda", "name": "Errors", "dimensions": { "FunctionName": "my-function" } },
                        "period": 60,
                        "stat": "Sum",
                    },
                    "returnData": true,
                }],
            },
        },
    })
}

/// A state machine hands over what its state has as input.
pub(super) fn task(_: &Origin<'_>) -> Value {
    json!({ "order": "1234", "amount": 42 })
}

/// What a rule selects of the message of a device.
pub(super) fn iot(_: &Origin<'_>) -> Value {
    json!({ "device": "sensor-1", "temperature": 21.5, "humidity": 40 })
}

pub(super) fn destination(origin: &Origin<'_>) -> Value {
    let has_failed = origin.text("condition") == Some("failure");
    let (condition, payload) = match has_failed {
        true => {
            ("RetriesExhausted", json!({ "errorType": "Error", "errorMessage": "it failed", "trace": [] }))
        }
        false => ("Success", json!({ "shipped": true })),
    };
    let mut context = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
    if has_failed {
        context["functionError"] = "Unhandled".into();
    }
    let function = origin.own_arn("lambda", "function:", "my-function");
    json!({
        "version": "1.0",
        "timestamp": origin.exact_time(),
        "requestContext": {
            "requestId": ID,
            "functionArn": format!("{function}:$LATEST"),
            "condition": condition,
            "approximateInvokeCount": if has_failed { 3 } else { 1 },
        },
        "requestPayload": { "order": "1234" },
        "responseContext": context,
        "responsePayload": payload,
    })
}

pub(super) fn mail(origin: &Origin<'_>) -> Value {
    let (from, to, subject) = ("jane@example.com", "orders@example.com", "An order");
    let date = origin.written("%a, %d %b %Y %H:%M:%S +0000");
    let header = |name: &str, value: &str| json!({ "name": name, "value": value });
    let passed = json!({ "status": "PASS" });
    let message = "o3vrnil0e2ic28tr8l2tj8ktb5kt9t5d";
    json!({ "Records": [{
        "eventVersion": "1.0",
        "ses": {
            "receipt": {
                "timestamp": origin.exact_time(),
                "processingTimeMillis": 574,
                "recipients": [to],
                "spamVerdict": passed,
                "virusVerdict": passed,
                "spfVerdict": passed,
                "dkimVerdict": passed,
                "dmarcVerdict": passed,
                "action": {
                    "type": "Lambda",
                    "functionArn": origin.arn("lambda", "function:my-function"),
                    "invocationType": "Event",
                },
            },
            "mail": {
                "timestamp": origin.exact_time(),
                "messageId": message,
                "source": from,
                "destination": [to],
                "headersTruncated": false,
                "headers": [header("From", from), header("To", to), header("Date", &date), header("Subject", subject)],
                "commonHeaders": {
                    "returnPath": from,
                    "from": [from],
                    "to": [to],
                    "date": date,
                    "messageId": format!("<{ID}@example.com>"),
                    "subject": subject,
                },
            },
        },
        "eventSource": "aws:ses",
    }] })
}

pub(super) fn rotation(origin: &Origin<'_>) -> Value {
    let mut event = Map::new();
    event.insert("Step".to_owned(), "createSecret".into());
    event.insert(
        "SecretId".to_owned(),
        origin.own_arn("secretsmanager", "secret:", "my-secret-AbCdEf").into(),
    );
    event.insert("ClientRequestToken".to_owned(), ID.into());
    event.into()
}

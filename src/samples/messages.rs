//! Messages and records: of queues, topics, buckets, and streams.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{Origin, fields::ID};

const BODY: &str = r#"{"order":"1234"}"#;
const MD5_OF_BODY: &str = "1ed2a250563817ccb4f3c5dd0da8f899";

pub(super) fn sqs(origin: &Origin<'_>) -> Value {
    let sent = origin.millis().to_string();
    let mut attributes = json!({
        "ApproximateReceiveCount": "1",
        "SentTimestamp": sent,
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": (origin.millis() + 5).to_string(),
    });
    if origin.more("fifo").is_some() {
        attributes["SequenceNumber"] = "18849496460467696128".into();
        attributes["MessageGroupId"] = "1".into();
        attributes["MessageDeduplicationId"] = "1".into();
    }
    json!({ "Records": [{
        "messageId": ID,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": BODY,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": MD5_OF_BODY,
        "eventSource": "aws:sqs",
        "eventSourceARN": origin.own_arn("sqs", "", "orders"),
        "awsRegion": origin.region(),
    }] })
}

pub(super) fn sns(origin: &Origin<'_>) -> Value {
    let topic = origin.own_arn("sns", "", "orders");
    let service = format!("https://sns.{}.amazonaws.com", origin.region());
    let subscription = format!("{topic}:{ID}");
    json!({ "Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": {
            "Type": "Notification",
            "MessageId": ID,
            "TopicArn": topic,
            "Subject": "An order",
            "Message": BODY,
            "Timestamp": origin.exact_time(),
            "SignatureVersion": "1",
            "Signature": "EXAMPLEpH+DcEwjAPg8O9mY8dReBSwksfg2S7WKQcikcNKWLQjwu6A4VbeS0QHVCkhRS7fUQvi2egU3N858fiTDN6bkkOxYDVrY0Ad8L10Hs3zH81mtnPk5uvvolIC1CXGu43obcgFxeL3khZl8IKvO61GWB6jI9b5+gLPoBc1Q=",
            "SigningCertUrl": format!("{service}/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem"),
            "UnsubscribeUrl": format!("{service}/?Action=Unsubscribe&SubscriptionArn={subscription}"),
            "MessageAttributes": { "kind": { "Type": "String", "Value": "order" } },
        },
    }] })
}

pub(super) fn s3(origin: &Origin<'_>) -> Value {
    let bucket = origin.name("my-bucket");
    // What is notified of names a group of them, e.g. `s3:ObjectCreated:*`.
    let event = origin.text("event").unwrap_or("s3:ObjectCreated:*").trim_start_matches("s3:");
    let event = match event {
        "ObjectCreated:*" => "ObjectCreated:Put",
        "ObjectRemoved:*" => "ObjectRemoved:Delete",
        other => other,
    };
    let key = format!(
        "{}example{}",
        origin.text("prefix").unwrap_or_default(),
        origin.text("suffix").unwrap_or(".txt")
    );
    let is_removed = event.starts_with("ObjectRemoved");
    let mut object = json!({ "key": key });
    if !is_removed {
        object["size"] = 1024.into();
        object["eTag"] = "0123456789abcdef0123456789abcdef".into();
    }
    object["sequencer"] = "0A1B2C3D4E5F678901".into();
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": origin.region(),
        "eventTime": origin.exact_time(),
        "eventName": event,
        "userIdentity": { "principalId": "AWS:AIDAINPONIXQXHT3IKHL2" },
        "requestParameters": { "sourceIPAddress": "192.0.2.1" },
        "responseElements": { "x-amz-request-id": "D82B88E5F771F645", "x-amz-id-2": "vlR7PnpV2Ce81l0PRw6jlUpck7Jo5ZsQ" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": ID,
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "A3I5XTEXAMAI3E" },
                "arn": origin.global_arn("s3", bucket),
            },
            "object": object,
        },
    }] })
}

pub(super) fn dynamodb(origin: &Origin<'_>) -> Value {
    let known = origin.more("keys").and_then(Value::as_object);
    let value_of = |kind: &Value| match kind.as_str() {
        Some("N") => json!({ "N": "1" }),
        Some("B") => json!({ "B": "AQI=" }),
        _ => json!({ "S": "example" }),
    };
    let keys: Map<String, Value> = match known {
        Some(keys) => keys.iter().map(|(name, kind)| (name.clone(), value_of(kind))).collect(),
        None => [("id".to_owned(), json!({ "S": "example" }))].into_iter().collect(),
    };
    let view = origin.text("viewType").unwrap_or("NEW_AND_OLD_IMAGES");
    let mut record = json!({ "ApproximateCreationDateTime": origin.millis() / 1000, "Keys": keys });
    let image = |text: &str| {
        let mut image = keys.clone();
        image.insert("text".to_owned(), json!({ "S": text }));
        Value::from(image)
    };
    if view.starts_with("NEW") {
        record["NewImage"] = image("now");
    }
    if view.contains("OLD") {
        record["OldImage"] = image("before");
    }
    record["SequenceNumber"] = "4421584500000000017450439091".into();
    record["SizeBytes"] = 26.into();
    record["StreamViewType"] = view.into();
    let table = origin.own_arn("dynamodb", "table/", "orders");
    // Of a table that is only referred to, the ARN is that of its stream.
    let stream = match table.contains("/stream/") {
        true => table,
        false => format!("{table}/stream/{}", origin.written("%Y-%m-%dT00:00:00.000")),
    };
    json!({ "Records": [{
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": origin.region(),
        "dynamodb": record,
        "eventSourceARN": stream,
    }] })
}

pub(super) fn kinesis(origin: &Origin<'_>) -> Value {
    let sequence = "49590338271490256608559692538361571095921575989136588898";
    json!({ "Records": [{
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": sequence,
            "data": STANDARD.encode(BODY),
            "approximateArrivalTimestamp": seconds(origin),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("shardId-000000000006:{sequence}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": format!("arn:aws:iam::{}:role/lambda-role", origin.account()),
        "awsRegion": origin.region(),
        "eventSourceARN": origin.own_arn("kinesis", "stream/", "clicks"),
    }] })
}

fn seconds(origin: &Origin<'_>) -> f64 {
    origin.at.as_duration().as_secs_f64()
}

pub(super) fn msk(origin: &Origin<'_>) -> Value {
    let cluster = origin.own_arn("kafka", "cluster/", "my-cluster/751d2973-a626-431c-9d4e-d7975eb44dd7-2");
    let mut event = kafka(origin);
    event["eventSource"] = "aws:kafka".into();
    event["eventSourceArn"] = cluster.into();
    event
}

pub(super) fn kafka(origin: &Origin<'_>) -> Value {
    let header: Vec<u8> = b"order".to_vec();
    json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "b-1.example.com:9092,b-2.example.com:9092",
        "records": { "orders-0": [{
            "topic": "orders",
            "partition": 0,
            "offset": 15,
            "timestamp": origin.millis(),
            "timestampType": "CREATE_TIME",
            "key": STANDARD.encode("1234"),
            "value": STANDARD.encode(BODY),
            "headers": [{ "kind": header }],
        }] },
    })
}

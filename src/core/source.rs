//! What an event, a result, and an error look like in one line of the terminal.

use serde_json::Value;

/// By what frames are known of those who load a function and wait for what it does.
const FOREIGN: [&str; 3] = [":internal/", "\"<frozen ", "/importlib/__init__.py\""];

/// Describes where an event comes from, e.g. `API GET /notes` or `SQS queue orders (2 messages)`.
#[must_use]
pub fn describe(payload: &[u8]) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(payload) else {
        return "event".to_owned();
    };
    http(&event)
        .or_else(|| records(&event))
        .or_else(|| event_bus(&event))
        .or_else(|| cognito(&event))
        .unwrap_or_else(|| "invoke".to_owned())
}

/// Whether somebody waits for an HTTP response.
#[must_use]
pub fn is_api(payload: &[u8]) -> bool {
    serde_json::from_slice::<Value>(payload).is_ok_and(|event| http(&event).is_some())
}

/// A result in a few words: the status code of an HTTP response, nothing for anything else.
#[must_use]
pub fn summarize(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Response {
        #[serde(rename = "statusCode")]
        status_code: Option<u16>,
    }
    match serde_json::from_slice::<Response>(body) {
        Ok(Response { status_code: Some(code) }) => code.to_string(),
        _ => String::new(),
    }
}

/// An error as Lambda's clients post it, readable: type and message, then the stack: `every_frame` of it, or those that are not of
/// what runs functions.
#[must_use]
pub fn explain(error_type: &str, body: &[u8], every_frame: bool) -> String {
    let Ok(error) = serde_json::from_slice::<Value>(body) else {
        return format!("{error_type}: {}", String::from_utf8_lossy(body));
    };
    let name = error["errorType"].as_str().filter(|name| !name.is_empty()).unwrap_or(error_type);
    let message = error["errorMessage"].as_str().unwrap_or_default();
    let head = format!("{name}: {message}");
    let lines: Vec<&str> = ["trace", "stackTrace"]
        .iter()
        .find_map(|key| error[*key].as_array())
        .map(|lines| lines.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    // Node repeats type and message as the first lines of the trace.
    let stack: Vec<&&str> = lines
        .iter()
        .skip_while(|line| !line.trim_start().starts_with("at ") && !line.contains("File \""))
        .collect();
    // What the interpreter does on its way tells nobody anything, unless it is all that there is.
    let is_foreign = |line: &str| FOREIGN.iter().any(|sign| line.contains(sign));
    let all = every_frame || stack.iter().all(|line| is_foreign(line));
    let shown = stack.into_iter().filter(|line| all || !is_foreign(line));
    shown.fold(head, |text, line| text + "\n" + line.trim_end())
}

fn http(event: &Value) -> Option<String> {
    let context = event.get("requestContext")?;
    if let Some(route) = context.get("routeKey").and_then(Value::as_str)
        && context.get("connectionId").is_some()
    {
        return Some(format!("WebSocket {route}"));
    }
    if let Some(http) = context.get("http") {
        let method = http["method"].as_str()?;
        let path = event["rawPath"].as_str().or_else(|| http["path"].as_str())?;
        let kind = if context["domainName"].as_str().is_some_and(|name| name.contains(".lambda-url.")) {
            "URL"
        } else {
            "API"
        };
        return Some(format!("{kind} {method} {path}"));
    }
    let method = event["httpMethod"].as_str()?;
    let path = event["path"].as_str()?;
    let kind = if context.get("elb").is_some() { "ALB" } else { "API" };
    Some(format!("{kind} {method} {path}"))
}

fn records(event: &Value) -> Option<String> {
    let records = event.get("Records")?.as_array()?;
    let first = records.first()?;
    // SNS spells the field with a capital letter, all others do not.
    let source = first["eventSource"].as_str().or_else(|| first["EventSource"].as_str())?;
    let last = |arn: &str| arn.rsplit([':', '/']).next().unwrap_or(arn).to_owned();
    let text = match source {
        "aws:sns" => format!("SNS topic {}", last(first["Sns"]["TopicArn"].as_str()?)),
        "aws:sqs" => format!("SQS queue {}", last(first["eventSourceARN"].as_str()?)),
        "aws:s3" => format!(
            "S3 bucket {} ({} {})",
            first["s3"]["bucket"]["name"].as_str()?,
            first["eventName"].as_str().unwrap_or("event"),
            first["s3"]["object"]["key"].as_str().unwrap_or_default(),
        ),
        "aws:dynamodb" => format!("DynamoDB stream {}", first["eventSourceARN"].as_str()?.split('/').nth(1)?),
        "aws:kinesis" => format!("Kinesis stream {}", last(first["eventSourceARN"].as_str()?)),
        other => other.to_owned(),
    };
    Some(if records.len() > 1 { format!("{text} ({} records)", records.len()) } else { text })
}

fn event_bus(event: &Value) -> Option<String> {
    let source = event.get("source")?.as_str()?;
    let detail_type = event.get("detail-type")?.as_str()?;
    if source != "aws.events" || detail_type != "Scheduled Event" {
        return Some(format!("EventBridge {source} ({detail_type})"));
    }
    let rule = event["resources"][0].as_str().and_then(|arn| arn.rsplit('/').next());
    Some(rule.map_or_else(|| "schedule".to_owned(), |rule| format!("schedule {rule}")))
}

fn cognito(event: &Value) -> Option<String> {
    let trigger = event.get("triggerSource")?.as_str()?;
    event.get("userPoolId")?;
    Some(format!("Cognito {trigger}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_by_their_source() {
        let table = [
            (
                r#"{"version":"2.0","rawPath":"/notes","requestContext":{"http":{"method":"GET","path":"/notes"}}}"#,
                "API GET /notes",
            ),
            (r#"{"httpMethod":"POST","path":"/a","requestContext":{"stage":"dev"}}"#, "API POST /a"),
            (r#"{"httpMethod":"GET","path":"/a","requestContext":{"elb":{}}}"#, "ALB GET /a"),
            (r#"{"requestContext":{"routeKey":"$connect","connectionId":"x="}}"#, "WebSocket $connect"),
            (
                r#"{"rawPath":"/","requestContext":{"domainName":"x.lambda-url.us-east-1.on.aws","http":{"method":"GET"}}}"#,
                "URL GET /",
            ),
            (
                r#"{"Records":[{"EventSource":"aws:sns","Sns":{"TopicArn":"arn:aws:sns:us-east-1:1:orders"}}]}"#,
                "SNS topic orders",
            ),
            (
                r#"{"Records":[{"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:1:jobs"},{}]}"#,
                "SQS queue jobs (2 records)",
            ),
            (
                r#"{"Records":[{"eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:r:1:table/notes/stream/2026"}]}"#,
                "DynamoDB stream notes",
            ),
            (
                r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#,
                "S3 bucket b (ObjectCreated:Put k)",
            ),
            (
                r#"{"source":"aws.events","detail-type":"Scheduled Event","resources":["arn:aws:events:r:1:rule/tick"]}"#,
                "schedule tick",
            ),
            (r#"{"source":"shop","detail-type":"Sold","detail":{}}"#, "EventBridge shop (Sold)"),
            (r#"{"a":1}"#, "invoke"),
            ("not json", "event"),
            (r#"{"Records":"x","requestContext":5}"#, "invoke"),
        ];
        for (event, expected) in table {
            assert_eq!(describe(event.as_bytes()), expected, "{event}");
        }
    }

    #[test]
    fn errors_are_shown_with_their_stack_once() {
        let body = br#"{"errorType":"TypeError","errorMessage":"boom","trace":["TypeError: boom","    at handler (/a.js:1:2)"]}"#;
        assert_eq!(explain("Unhandled", body, false), "TypeError: boom\n    at handler (/a.js:1:2)");
        assert_eq!(explain("Runtime.Unknown", b"plain", false), "Runtime.Unknown: plain");
        let body = br#"{"errorType":"E","errorMessage":"m","trace":["E: m","    at a (node:internal/x:1:2)","    at f (/a.js:1:2)","    at node:internal/y:3:4"]}"#;
        assert_eq!(explain("E", body, false), "E: m\n    at f (/a.js:1:2)");
        let body =
            br#"{"errorType":"E","errorMessage":"m","trace":["E: m","    at a (node:internal/x:1:2)"]}"#;
        assert_eq!(explain("E", body, false), "E: m\n    at a (node:internal/x:1:2)");
        let frames = [
            r#"  File \"/p/lib/importlib/__init__.py\", line 90, in import_module\n    return\n"#,
            r#"  File \"<frozen importlib._bootstrap>\", line 1, in _gcd_import\n"#,
            r#"  File \"/a.py\", line 3, in <module>\n    TABLE\n"#,
        ];
        let body =
            format!(r#"{{"errorType":"E","errorMessage":"m","stackTrace":["{}"]}}"#, frames.join("\",\""));
        let own = "  File \"/a.py\", line 3, in <module>\n    TABLE";
        assert_eq!(explain("E", body.as_bytes(), false), format!("E: m\n{own}"));
        let every = explain("E", body.as_bytes(), true);
        assert!(every.starts_with("E: m\n  File \"/p/lib/importlib/") && every.ends_with(own), "{every}");
    }
}

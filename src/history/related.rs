//! What calls have in common: the trace that they belong to, and the messages that they were called with.

use serde::Deserialize;

/// Longer events are not looked at.
const LONGEST: usize = 256 * 1024;

/// How many messages of one event count.
const MOST: usize = 20;

/// The names of what a call shares with others.
pub(super) fn related(event: &[u8], trace: Option<&str>) -> Vec<String> {
    let mut found: Vec<String> = trace.and_then(root).into_iter().collect();
    if event.len() <= LONGEST
        && let Ok(event) = serde_json::from_slice::<Event>(event)
    {
        // Another document may have an `id` of its own.
        found.extend(event.detail_type.and(event.id));
        for record in event.records.into_iter().take(MOST) {
            // A topic's message on its way through a queue keeps its own id inside.
            let inner = record.body.and_then(|body| serde_json::from_str::<Message>(&body).ok());
            found.extend([record.message_id, record.event_id].into_iter().flatten());
            found.extend([record.sns, inner].into_iter().flatten().map(|message| message.message_id));
            found.extend(record.attributes.and_then(|attributes| root(&attributes.trace?)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The part of a header of X-Ray that all calls of a trace have in common.
fn root(header: &str) -> Option<String> {
    header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).map(str::to_owned)
}

/// What services name their messages in.
#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(default, rename = "Records")]
    records: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    #[serde(rename = "eventID")]
    event_id: Option<String>,
    body: Option<String>,
    attributes: Option<Attributes>,
    #[serde(rename = "Sns")]
    sns: Option<Message>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "AWSTraceHeader")]
    trace: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "MessageId")]
    message_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_on_all_its_ways() {
        let trace = "Root=1-a-b;Parent=c;Sampled=1";
        let table: &[(&str, Option<&str>, &[&str])] = &[
            ("{}", None, &[]),
            ("not JSON", Some(trace), &["1-a-b"]),
            ("{}", Some("Self=1;Root=1-a-b"), &["1-a-b"]),
            (r#"{"Records":[{"Sns":{"MessageId":"m"}}]}"#, None, &["m"]),
            (r#"{"Records":[{"messageId":"q","body":"plain"}]}"#, None, &["q"]),
            (r#"{"Records":[{"messageId":"q","body":"{\"MessageId\":\"m\"}"}]}"#, None, &["m", "q"]),
            (
                r#"{"Records":[{"messageId":"q","attributes":{"AWSTraceHeader":"Root=1-a-b"}}]}"#,
                Some(trace),
                &["1-a-b", "q"],
            ),
            (r#"{"Records":[{"eventID":"1"},{"eventID":"2"}]}"#, None, &["1", "2"]),
            (r#"{"id":"e","detail-type":"Placed"}"#, None, &["e"]),
            (r#"{"id":"mine"}"#, None, &[]),
            (r#"{"id":7,"Records":"none"}"#, None, &[]),
        ];
        for (event, trace, expected) in table {
            assert_eq!(related(event.as_bytes(), *trace), *expected, "{event}");
        }
    }
}

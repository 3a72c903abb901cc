//! Tells the kinds of messages apart that arrive on the WebSocket.

use std::time::SystemTime;

use serde_json::Value;
use sst_wire::{DecodeError, ToClient};

use super::dial;
use crate::ids::RequestId;

/// A message from the WebSocket.
#[derive(Debug)]
pub(super) enum Message {
    /// A frame of a stub or of another client.
    Frame(ToClient),
    /// A frame in another version of the protocol. Where a request is named, it can be refused.
    OtherVersion { theirs: u32, request: Option<RequestId>, reply_to: Option<String> },
    /// The answer to our `hello`, with the time of AWS if it tells that.
    Hello(Option<SystemTime>),
    /// API Gateway's own complaint, e.g. `Internal server error`.
    Platform(String),
    /// Anything else.
    Unreadable(String),
}

/// Reads one message.
pub(super) fn read(text: &str) -> Message {
    match sst_wire::decode::<ToClient>(text) {
        Ok(frame) => return Message::Frame(frame),
        Err(DecodeError::Version { theirs }) => {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            // Every version so far has had these two names, and only they are needed to say no.
            let field = |name: &str| Some(value.get("frame")?.get(name)?.as_str()?.to_owned());
            let request = field("requestId").map(RequestId::from);
            return Message::OtherVersion { theirs, request, reply_to: field("replyTo") };
        }
        Err(DecodeError::Malformed(_)) => {}
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Message::Unreadable(shortened(text));
    };
    let message = fields.get("message").and_then(Value::as_str).map(str::to_owned);
    match (message, fields.contains_key("connectionId")) {
        (Some(message), _) => Message::Platform(message),
        (None, true) => Message::Hello(dial::time_of(&Value::Object(fields))),
        (None, false) => Message::Unreadable(shortened(text)),
    }
}

/// Enough to recognise a message by, and too little to hold an environment's secrets.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_told_apart() {
        let moved = r#"{"v":2,"frame":{"type":"moved","requestId":"r","replyTo":"c="}}"#;
        assert!(matches!(read(moved), Message::Frame(ToClient::Moved { .. })));
        assert!(matches!(read(r#"{"connectionId":"c="}"#), Message::Hello(None)));
        let hello = read(r#"{"connectionId":"c=","now":1795687200123}"#);
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_687_200_123);
        assert!(matches!(hello, Message::Hello(Some(told)) if told == time));
        let by_template = read(r#"{"connectionId": "c=", "now": "1795687200123"}"#);
        assert!(matches!(by_template, Message::Hello(Some(told)) if told == time));
        assert!(matches!(read(r#"{"connectionId": "c=", "now": ""}"#), Message::Hello(None)));
        let platform = r#"{"message":"Internal server error","connectionId":"c=","requestId":"x"}"#;
        assert!(matches!(read(platform), Message::Platform(message) if message == "Internal server error"));
        assert!(matches!(read("what"), Message::Unreadable(_)));
        assert!(matches!(read(r#"{"v":2,"frame":{"type":"no such"}}"#), Message::Unreadable(_)));
    }

    #[test]
    fn a_frame_of_another_version_can_be_refused() {
        let text = r#"{"v":7,"frame":{"type":"run","requestId":"r1","replyTo":"c=","how":"differently"}}"#;
        let Message::OtherVersion { theirs, request, reply_to } = read(text) else {
            panic!("another version")
        };
        assert_eq!((theirs, request, reply_to), (7, Some("r1".into()), Some("c=".into())));
    }

    #[test]
    fn fuzz_damaged_messages_are_told_apart() {
        let inputs = sst_fuzz::damaged(sst_fuzz::corpus("frames"));
        sst_fuzz::fuzz("frames (inbox)", file!(), 3_000, &inputs, |bytes| {
            read(&String::from_utf8_lossy(&bytes));
        });
    }
}

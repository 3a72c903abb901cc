//! Messages of the Debug Adapter Protocol (<https://microsoft.github.io/debug-adapter-protocol/>): JSON behind a `Content-Length`.

use std::io;

use bytes::{Buf, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder, Framed};

/// A message may hold the value of a large variable.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// More than any header that this protocol has.
const MAX_HEADER: usize = 1024;

/// Reads and writes messages.
#[derive(Debug, Default)]
pub(super) struct Codec;

impl Decoder for Codec {
    type Item = Value;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Value>> {
        let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            // Refused early: a web page can send a request here, and it must not be taken for a slow debugger.
            let first = bytes.as_ref().split(|byte| *byte == b'\r').next().unwrap_or_default();
            return match bytes.len() > MAX_HEADER || !may_become_header(first) {
                true => Err(invalid("not the Debug Adapter Protocol")),
                false => Ok(None),
            };
        };
        let header = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("a header that is not text"))?;
        let mut length = None;
        for line in header.split("\r\n") {
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse::<usize>().ok();
                }
                Some((name, _)) if name.eq_ignore_ascii_case("content-type") => {}
                _ => return Err(invalid("not the Debug Adapter Protocol")),
            }
        }
        let length = length.filter(|length| *length <= MAX_MESSAGE).ok_or_else(|| invalid("no length"))?;
        // No room is made ahead: whoever connects can announce anything, and what really comes makes its own.
        if bytes.len() < end + 4 + length {
            return Ok(None);
        }
        bytes.advance(end + 4);
        let message = bytes.split_to(length);
        let message = serde_json::from_slice(&message).map_err(|error| invalid(&error.to_string()))?;
        if !is_message(&message) {
            return Err(invalid("not the Debug Adapter Protocol"));
        }
        Ok(Some(message))
    }
}

/// Whether a message has the shape of one, as far as anybody here changes what is in it: an object is where an object has to be.
fn is_message(message: &Value) -> bool {
    let is_object = |value: Option<&Value>| value.is_none_or(|value| value.is_object() || value.is_null());
    let body = message.get("body");
    let list =
        |name: &str| body.and_then(|body| body.get(name)).and_then(Value::as_array).into_iter().flatten();
    message.is_object()
        && is_object(body)
        && is_object(body.and_then(|body| body.get("breakpoint")))
        && list("breakpoints").chain(list("threads")).all(Value::is_object)
}

/// Whether the beginning of a message is that of a header.
fn may_become_header(start: &[u8]) -> bool {
    let is_start_of = |name: &[u8]| {
        let length = start.len().min(name.len());
        start[..length].eq_ignore_ascii_case(&name[..length])
    };
    is_start_of(b"content-length:") || is_start_of(b"content-type:")
}

impl Encoder<Value> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: Value, bytes: &mut BytesMut) -> io::Result<()> {
        let text = message.to_string();
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", text.len()).as_bytes());
        bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The response to a request that went well.
pub(super) fn success(request: &Value, body: Value) -> Value {
    json!({
        "type": "response", "request_seq": request["seq"], "command": request["command"], "success": true, "body": body
    })
}

/// The response to a request that did not.
pub(super) fn failure(request: &Value, message: &str) -> Value {
    json!({
        "type": "response",
        "request_seq": request["seq"],
        "command": request["command"],
        "success": false,
        "message": message,
        "body": { "error": { "id": 1, "format": message, "showUser": false } },
    })
}

/// The response that breakpoints are not set, and why.
pub(super) fn unverified(request: &Value, why: &str) -> Value {
    let wanted = request["arguments"]["breakpoints"].as_array();
    let answer =
        |breakpoint: &Value| json!({ "verified": false, "message": why, "line": breakpoint["line"] });
    let answers: Vec<Value> = wanted.into_iter().flatten().map(answer).collect();
    success(request, json!({ "breakpoints": answers }))
}

/// What people call the client that sends this `initialize`.
pub(super) fn client_name(request: &Value) -> String {
    let said = |name: &str| request["arguments"][name].as_str().filter(|name| !name.is_empty());
    said("clientName").or_else(|| said("clientID")).unwrap_or("its debugger").to_owned()
}

/// An event.
pub(super) fn event(name: &str, body: Value) -> Value {
    json!({ "type": "event", "event": name, "body": body })
}

/// Numbers the messages that one side sends.
#[derive(Debug, Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    /// The message with the next number, and that.
    pub(super) fn number(&mut self, mut message: Value) -> (Value, u64) {
        self.0 += 1;
        message["seq"] = self.0.into();
        (message, self.0)
    }
}

/// Tells a client that it comes in vain.
pub(super) async fn refuse(mut client: Framed<TcpStream, Codec>, why: &str) {
    if let Some(Ok(request)) = client.next().await {
        let (response, _) = Numbers::default().number(failure(&request, why));
        let _ = client.send(response).await;
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8]) -> io::Result<Option<Value>> {
        Codec.decode(&mut BytesMut::from(text))
    }

    #[test]
    fn messages_survive_in_whatever_pieces_they_come() {
        let mut bytes = BytesMut::new();
        let message = json!({ "seq": 1, "text": "ä\r\n\r\n" });
        Codec.encode(message.clone(), &mut bytes).unwrap();
        Codec.encode(json!({}), &mut bytes).unwrap();
        let all = bytes.to_vec();
        let mut received = BytesMut::new();
        let mut found = Vec::new();
        for byte in all {
            received.extend_from_slice(&[byte]);
            found.extend(Codec.decode(&mut received).unwrap());
        }
        assert_eq!(found, [message, json!({})]);
        assert!(received.is_empty());
    }

    #[test]
    fn a_message_that_is_only_announced_takes_no_room() {
        let mut bytes = BytesMut::from(&b"Content-Length: 60000000\r\n\r\n{"[..]);
        assert_eq!(Codec.decode(&mut bytes).unwrap(), None);
        assert!(bytes.capacity() < 64 * 1024, "{}", bytes.capacity());
    }

    #[test]
    fn what_has_not_the_shape_of_a_message_is_refused() {
        let message = |text: &str| decode(format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        for text in
            ["{}", r#"{"body":null}"#, r#"{"body":{"breakpoint":{"id":1},"breakpoints":[{}],"threads":[]}}"#]
        {
            assert!(message(text).is_ok(), "{text}");
        }
        for text in
            ["2", "[]", r#"{"body":[]}"#, r#"{"body":{"breakpoint":1}}"#, r#"{"body":{"threads":[1]}}"#]
        {
            assert!(message(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_of_a_web_page_is_refused_before_its_body() {
        for start in [
            "POST / HTTP/1.1\r\n",
            "G",
            "Content-Length: 2\r\nHost: a\r\n\r\n{}",
            "Content-Length: x\r\n\r\n",
        ] {
            assert!(decode(start.as_bytes()).is_err(), "{start}");
        }
        assert_eq!(decode(b"content-le").unwrap(), None);
    }
}

//! The frames that the stub Lambda and the developer's machine exchange.
//!
//! Both directions are JSON text, because an API Gateway WebSocket delivers nothing else intact. A frame is
//! wrapped in an [`Envelope`] with the protocol version, which is checked before anything else is looked at, so
//! that a stub deployed by another version of `sst` is told apart from a damaged message.
//!
//! No I/O, no async runtime, and no AWS types live here.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[cfg(test)]
mod fuzz;
mod partition;
mod payload;

pub use partition::{Partition, partition};
pub use payload::{MAX_INLINE_BYTES, MAX_INLINE_TEXT, Payload, PayloadError, sha256_hex};

/// The version of the frames in this file. Raise it with every change that an older peer would misread.
pub const VERSION: u32 = 2;

/// The longest text that is sent as one message, in bytes. API Gateway takes 131,072 bytes per
/// `PostToConnection`; the rest is headroom.
pub const MAX_MESSAGE: usize = 120 * 1024;

/// The longest text that is taken as one message, in bytes: more than API Gateway delivers (131,072), and a bound on what a peer
/// can have this side make room for.
pub const MAX_RECEIVED: usize = 256 * 1024;

/// How much longer a stub may run than its function, in seconds. It is as long as Lambda lets a function initialise, which is not the
/// function's time either; here it is done while the stub waits. What the way takes, there and back, is part of it.
pub const EXTRA_S: u64 = 10;

/// The environment variable in which a stub finds its [`StubConfig`].
pub const CONFIG_VARIABLE: &str = "SST_STUB";

/// How long a stub waits at most for a client that is registered to take a request, in milliseconds: as long as that the caller of
/// an HTTP API, which API Gateway lets wait for 29 or 30 s, still hears what the matter is. A function with less time waits less.
pub const PATIENCE_MS: u64 = 25_000;

/// How long a request may be begun after it was sent, in milliseconds. It is sent again while its stub has patience, so one that was on
/// its way for longer has a successor, or a caller who was told that nobody has taken it.
pub const OFFER_MS: u64 = 4_000;

/// How long before the end of that time it is not begun any more, in milliseconds. The clocks of both sides differ by less. Of a short
/// time it is a quarter.
pub const MARGIN_MS: u64 = 250;

/// How often the developer's machine reports that a request is still being worked on, in milliseconds.
pub const WORKING_INTERVAL_MS: u64 = 6_000;

/// How long a stub hears nothing of a request that was taken before it asks, in milliseconds.
pub const QUIET_MS: u64 = 8_000;

/// How soon a stub asks for a part of a streamed response that is missing while later parts are there, in milliseconds. Messages overtake
/// one another by less.
pub const MISSING_MS: u64 = 1_000;

/// How long a large payload is tried to be stored, or to be had, in milliseconds, as far as the invocation's time allows. Whoever waits for
/// it is told what the matter is while there is somebody to tell, the caller of an HTTP API among them.
pub const STORAGE_MS: u64 = 20_000;

/// How long before the end of an invocation that is given up, in milliseconds, so that its caller can be told. Of a short time it is a quarter.
pub const STORAGE_MARGIN_MS: u64 = 1_000;

/// How long a payload is tried to be stored, or to be had, of an invocation that has so much time left.
#[must_use]
pub fn storage_patience(left: Duration) -> Duration {
    let margin = Duration::from_millis(STORAGE_MARGIN_MS).min(left / 4);
    Duration::from_millis(STORAGE_MS).min(left.saturating_sub(margin))
}

/// At random up to so much, so that those that were refused at the same time do not come again at the same time.
#[must_use]
pub fn jitter(most: Duration) -> Duration {
    // Each of these states is another one.
    let random = RandomState::new().build_hasher().finish();
    most.mul_f64(f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX))
}

/// A frame and the protocol version it was written in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// See [`VERSION`].
    pub v: u32,
    /// The frame itself.
    pub frame: T,
}

/// What a stub posts to the developer's machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ToClient {
    /// Run a function.
    Invoke(Box<Invoke>),
    /// The stub asks after a request that was taken, e.g. because it has reconnected; answer it on this connection from now on. The
    /// answer is [`ToStub::Ack`] and what was missed, or [`ToStub::Unknown`].
    #[serde(rename_all = "camelCase")]
    Moved {
        request_id: String,
        reply_to: String,
        /// The first part of a streamed response that has not come. All before it have.
        #[serde(default)]
        from: u64,
    },
    /// Another client registered functions that this client held.
    #[serde(rename_all = "camelCase")]
    Displaced { by: String, functions: Vec<String> },
}

/// What the developer's machine posts to a stub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ToStub {
    /// The request was taken and its one outcome will follow.
    #[serde(rename_all = "camelCase")]
    Ack { request_id: String, from: Peer },
    /// The request is still being worked on; `paused` while a debugger holds the worker.
    #[serde(rename_all = "camelCase")]
    Working { request_id: String, paused: bool, from: Peer },
    /// The outcome. Nothing follows for this request.
    #[serde(rename_all = "camelCase")]
    Reply { request_id: String, outcome: Outcome },
    /// The request could not be taken because the two sides speak different versions.
    #[serde(rename_all = "camelCase")]
    Refused { request_id: String, reason: String },
    /// The request was not taken, because another client answers for the function: the registration is to be looked up again.
    #[serde(rename_all = "camelCase")]
    Elsewhere { request_id: String, by: String, from: Peer },
    /// The client has never taken the request that it was asked after.
    #[serde(rename_all = "camelCase")]
    Unknown { request_id: String, from: Peer },
    /// A part of a streamed response. `seq` counts from 0, because deliveries may overtake one another.
    #[serde(rename_all = "camelCase")]
    Chunk {
        request_id: String,
        seq: u64,
        /// The `Content-Type` of the response; only in the first part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
        data: Payload,
    },
    /// The end of a streamed response; `seq` is one more than that of the last part.
    #[serde(rename_all = "camelCase")]
    End {
        request_id: String,
        seq: u64,
        /// The error that broke the stream off, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<StreamError>,
    },
}

/// Where a client is to be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The client process, as in [`Registration::CLIENT`].
    pub client: String,
    /// Its connection.
    pub connection: String,
}

/// One invocation, as the stub received it from Lambda.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoke {
    /// The request id that Lambda gave the invocation.
    pub request_id: String,
    /// 1 for the first delivery, higher when the stub sends the same request again.
    pub attempt: u32,
    /// The function's id in the manifest, from [`StubConfig::function`].
    pub function: String,
    /// When the frame was written by the clock of AWS, in milliseconds since the epoch.
    pub sent_ms: u64,
    /// How long after that the request may be begun, in milliseconds. Its caller is told no earlier that nobody has.
    pub patience_ms: u64,
    /// What was left of the invocation's time when the frame was written, in milliseconds.
    pub remaining_ms: u64,
    /// How much of it the function has, from when its handler is given the event, in seconds. All of it if that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// What the handler's context object is made of.
    pub context: Context,
    /// The environment of the stub's execution environment, with the role's credentials, less the stub's own
    /// setting.
    pub environment: BTreeMap<String, String>,
    /// The event, byte for byte.
    pub event: Payload,
    /// The connection to answer on.
    pub reply_to: String,
}

/// The parts of an invocation's context that Lambda sends as headers of `/invocation/next`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// `Lambda-Runtime-Invoked-Function-Arn`.
    pub invoked_function_arn: String,
    /// `Lambda-Runtime-Trace-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// `Lambda-Runtime-Client-Context`, raw JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_context: Option<String>,
    /// `Lambda-Runtime-Cognito-Identity`, raw JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cognito_identity: Option<String>,
    /// `Lambda-Runtime-Aws-Tenant-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Outcome {
    /// The handler returned; the stub posts `body` to `/response` unchanged.
    #[serde(rename_all = "camelCase")]
    Returned { body: Payload },
    /// The invocation failed; the stub posts `body` to `/error` unchanged.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// The value of `Lambda-Runtime-Function-Error-Type`.
        error_type: String,
        body: Payload,
    },
}

/// The trailers that end a streamed response which failed half way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamError {
    /// `Lambda-Runtime-Function-Error-Type`.
    pub error_type: String,
    /// `Lambda-Runtime-Function-Error-Body`, still in base64 as the worker sent it.
    pub error_body: String,
}

/// All settings of a deployed stub. They share one environment variable because Lambda gives a function's whole
/// environment only 4 KB; the names are short for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StubConfig {
    /// The version of the frames that the deploying `sst` speaks.
    pub v: u32,
    /// The function's id in the manifest.
    #[serde(rename = "f")]
    pub function: String,
    /// The stage, for messages.
    #[serde(rename = "s")]
    pub stage: String,
    /// The WebSocket endpoint with its stage, `wss://…`.
    #[serde(rename = "e")]
    pub endpoint: String,
    /// The `@connections` endpoint with its stage, `https://…`.
    #[serde(rename = "m")]
    pub management: String,
    /// The DynamoDB table of registrations.
    #[serde(rename = "t")]
    pub table: String,
    /// The S3 bucket of large payloads.
    #[serde(rename = "b")]
    pub bucket: String,
    /// The region of the debug stack.
    #[serde(rename = "r")]
    pub region: String,
    /// The time that the function has, in seconds, where the stub has more: see [`EXTRA_S`].
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// Whether `sst attach` has made the function a stub, rather than a deployment, for messages.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

/// A registration in the DynamoDB table: who answers for a function. One item per function, keyed by [`Self::KEY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration;

impl Registration {
    /// Partition key: the function's id.
    pub const KEY: &str = "pk";
    /// The client's connection id (string). None when the client has left, which leaves only its owner, and until when it was there.
    pub const CONNECTION: &str = "connection";
    /// An id of the client process (string), so that a client removes only what is still its own.
    pub const CLIENT: &str = "client";
    /// Who runs the client, for messages (string), e.g. `alice@laptop`.
    pub const OWNER: &str = "owner";
    /// Tells the project's directory of one user on one machine from others (string). Only one client at a time serves a stage from
    /// there, so a later client means that the earlier one has ended.
    pub const HOME: &str = "home";
    /// The frames' version that the client speaks (number).
    pub const VERSION: &str = "version";
    /// Until when the registration counts if it is not renewed, epoch seconds by the clock of AWS (number), the table's TTL attribute.
    /// Expired items may still be read for days.
    pub const TTL: &str = "ttl";
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The peer was deployed by another version of `sst`.
    #[error("the other side speaks protocol version {theirs}, this side {VERSION}")]
    Version {
        /// The version in the message.
        theirs: u32,
    },
    /// The message is not a frame.
    #[error("not a frame of the protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Writes a frame as the text of one message.
///
/// # Errors
/// Only when a frame cannot be represented in JSON, which no frame of this crate is.
pub fn encode<T: Serialize>(frame: T) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Envelope { v: VERSION, frame })
}

/// Reads a frame from the text of one message.
///
/// # Errors
/// [`DecodeError::Version`] when the peer speaks another version, whatever the rest looks like.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    struct Head {
        v: u32,
    }
    let Head { v } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(DecodeError::Version { theirs: v });
    }
    let envelope: Envelope<T> = serde_json::from_str(text)?;
    Ok(envelope.frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke() -> ToClient {
        ToClient::Invoke(Box::new(Invoke {
            request_id: "r1".into(),
            attempt: 1,
            function: "notes/List".into(),
            sent_ms: 1_795_687_200_000,
            patience_ms: 9_700,
            remaining_ms: 10_000,
            timeout_s: Some(3),
            context: Context { invoked_function_arn: "arn:aws:lambda:…".into(), ..Context::default() },
            environment: BTreeMap::from([("TABLE".into(), "notes".into())]),
            event: Payload::inline(br#"{"a":1}"#).unwrap(),
            reply_to: "abc=".into(),
        }))
    }

    #[test]
    fn a_frame_survives_the_wire() {
        let text = encode(invoke()).unwrap();
        assert_eq!(decode::<ToClient>(&text).unwrap(), invoke());
    }

    #[test]
    fn pauses_differ() {
        let most = Duration::from_millis(100);
        let mut pauses: Vec<Duration> = (0..200).map(|_| jitter(most)).collect();
        pauses.sort();
        assert!(pauses[0] < most / 10 && pauses[199] > most * 9 / 10 && pauses[199] <= most, "{pauses:?}");
        pauses.dedup();
        assert!(pauses.len() > 190, "{}", pauses.len());
    }

    #[test]
    fn payloads_are_given_up_while_somebody_can_be_told() {
        let patience = |left| storage_patience(Duration::from_millis(left)).as_millis();
        assert_eq!([0, 400, 3_000, 10_000, 900_000].map(patience), [0, 300, 2_250, 9_000, 20_000]);
    }

    #[test]
    fn another_version_is_told_from_a_damaged_message() {
        let text = r#"{"v":99,"frame":{"type":"somethingNew"}}"#;
        assert!(matches!(decode::<ToClient>(text), Err(DecodeError::Version { theirs: 99 })));
        assert!(matches!(decode::<ToClient>("{}"), Err(DecodeError::Malformed(_))));
    }
}

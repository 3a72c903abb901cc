//! Events and results that do not fit one message: objects of the debug stack's bucket.

use bytes::{Bytes, BytesMut};
use sst_wire::Payload;

use crate::{
    aws::{Aws, explain},
    debug_stack::DebugStack,
    ids::RequestId,
};

/// The longest event that is fetched: more than Lambda takes (6 MB).
const MAX_EVENT: u64 = 16 * 1024 * 1024;

/// The bucket.
#[derive(Debug, Clone)]
pub(super) struct Payloads {
    s3: aws_sdk_s3::Client,
    bucket: String,
}

impl Payloads {
    pub fn new(aws: &Aws, stack: &DebugStack) -> Self {
        Self { s3: aws.s3(), bucket: stack.bucket.clone() }
    }

    /// The bytes of an event. The error is a fragment for people.
    pub async fn fetch(&self, payload: &Payload) -> Result<Bytes, String> {
        let Payload::Object { key, length, .. } = payload else {
            return payload.bytes().map(Bytes::from).map_err(|error| error.to_string());
        };
        // Whoever can post to us could name any key; the stubs write below this one only.
        if !key.starts_with("payloads/") {
            return Err(format!("`{key}` is not a payload"));
        }
        if *length > MAX_EVENT {
            return Err(format!("it has {length} bytes, and an event at most {MAX_EVENT}"));
        }
        let object = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        let mut body = object.map_err(|error| explain(&error))?.body;
        let mut bytes = BytesMut::new();
        // One part more than announced is enough to notice a lie.
        while bytes.len() as u64 <= *length
            && let Some(part) = body.next().await
        {
            bytes.extend_from_slice(&part.map_err(|error| error.to_string())?);
        }
        let bytes = bytes.freeze();
        payload.check_object(&bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Puts `bytes` into the frame, or into the bucket when they are too many.
    pub async fn store(&self, request: &RequestId, bytes: &Bytes) -> Result<Payload, String> {
        if let Some(payload) = Payload::inline(bytes) {
            return Ok(payload);
        }
        self.put(format!("payloads/{request}/result"), bytes).await
    }

    /// Puts a part of a streamed response into the bucket.
    pub async fn store_part(&self, request: &RequestId, seq: u64, bytes: Bytes) -> Result<Payload, String> {
        self.put(format!("payloads/{request}/part-{seq}"), &bytes).await
    }

    async fn put(&self, key: String, bytes: &Bytes) -> Result<Payload, String> {
        let body = bytes.clone().into();
        let put = self.s3.put_object().bucket(&self.bucket).key(&key).body(body).send().await;
        put.map_err(|error| explain(&error))?;
        Ok(Payload::object(key, bytes))
    }
}

//! Events and results that do not fit one message: objects of the debug stack's bucket.

use bytes::Bytes;
use sst_wire::Payload;

use crate::{
    aws::{Aws, explain},
    debug_stack::DebugStack,
    ids::RequestId,
};

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
        let Payload::Object { key, .. } = payload else {
            return payload.bytes().map(Bytes::from).map_err(|error| error.to_string());
        };
        // Whoever can post to us could name any key; the stubs write below this one only.
        if !key.starts_with("payloads/") {
            return Err(format!("`{key}` is not a payload"));
        }
        let object = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
        let object = object.map_err(|error| explain(&error))?;
        let bytes = object.body.collect().await.map_err(|error| error.to_string())?.into_bytes();
        payload.check_object(&bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Puts `bytes` into the frame, or into the bucket when they are too many.
    pub async fn store(&self, request: &RequestId, bytes: &Bytes) -> Result<Payload, String> {
        if let Some(payload) = Payload::inline(bytes) {
            return Ok(payload);
        }
        let key = format!("payloads/{request}/result");
        let body = bytes.clone().into();
        let put = self.s3.put_object().bucket(&self.bucket).key(&key).body(body).send().await;
        put.map_err(|error| explain(&error))?;
        Ok(Payload::object(key, bytes))
    }
}

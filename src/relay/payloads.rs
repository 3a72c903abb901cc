//! Events and results that do not fit one message: objects of the debug stack's bucket.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use sst_wire::{Payload, STORAGE_MARGIN_MS, storage_patience};
use tokio::time::{Instant, timeout_at};

use super::services::{Clients, Services};
use crate::ids::RequestId;

/// The longest event that is fetched: more than Lambda takes (6 MB).
const MAX_EVENT: u64 = 16 * 1024 * 1024;

/// How often an event whose bytes break off half way is fetched.
const ATTEMPTS: u32 = 3;

impl Services {
    /// The bytes of an event whose stub lives until `until`. The error is a fragment for people, who are told before that.
    pub(super) async fn fetch(&self, payload: &Payload, until: Instant) -> Result<Bytes, String> {
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
        let bucket = self.stack().bucket.as_str();
        let get = |clients: Arc<Clients>| async move {
            clients.s3.get_object().bucket(bucket).key(key).send().await
        };
        let Patience { again_until, end } = Patience::of(until);
        in_time(end, async {
            let mut problem = String::new();
            for attempt in 0..ATTEMPTS {
                if attempt > 0 && Instant::now() >= again_until {
                    break;
                }
                let object = self.persist(again_until, get).await.map_err(|failure| failure.text)?;
                match read(object.body, *length).await {
                    Ok(bytes) => {
                        payload.check_object(&bytes).map_err(|error| error.to_string())?;
                        return Ok(bytes);
                    }
                    Err(broken) => problem = broken,
                }
            }
            Err(problem)
        })
        .await
    }

    /// Puts `bytes` into the frame, or into the bucket when they are too many.
    pub(super) async fn store(
        &self,
        request: &RequestId,
        bytes: &Bytes,
        until: Instant,
    ) -> Result<Payload, String> {
        if let Some(payload) = Payload::inline(bytes) {
            return Ok(payload);
        }
        self.put(format!("payloads/{request}/result"), bytes, until).await
    }

    /// Puts a part of a streamed response into the bucket.
    pub(super) async fn store_part(
        &self,
        request: &RequestId,
        seq: u64,
        bytes: Bytes,
        until: Instant,
    ) -> Result<Payload, String> {
        self.put(format!("payloads/{request}/part-{seq}"), &bytes, until).await
    }

    async fn put(&self, key: String, bytes: &Bytes, until: Instant) -> Result<Payload, String> {
        let (bucket, name) = (self.stack().bucket.as_str(), key.as_str());
        let put = |clients: Arc<Clients>| async move {
            clients.s3.put_object().bucket(bucket).key(name).body(bytes.clone().into()).send().await
        };
        let Patience { again_until, end } = Patience::of(until);
        in_time(end, async { self.persist(again_until, put).await.map_err(|failure| failure.text) }).await?;
        Ok(Payload::object(key, bytes))
    }
}

/// How long it is tried to reach the bucket. What is under way may take longer than what fails again and again.
struct Patience {
    again_until: Instant,
    end: Instant,
}

impl Patience {
    /// That of a request whose stub lives until `until`.
    fn of(until: Instant) -> Self {
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        let margin = Duration::from_millis(STORAGE_MARGIN_MS).min(left / 4);
        Self { again_until: now + storage_patience(left), end: now + left.saturating_sub(margin) }
    }
}

async fn in_time<T>(end: Instant, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || Err("the bucket has taken longer than the function has time".to_owned());
    timeout_at(end, work).await.unwrap_or_else(|_| late())
}

async fn read(mut body: aws_sdk_s3::primitives::ByteStream, length: u64) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    // One part more than announced is enough to notice a lie.
    while bytes.len() as u64 <= length
        && let Some(part) = body.next().await
    {
        bytes.extend_from_slice(&part.map_err(|error| error.to_string())?);
    }
    Ok(bytes.freeze())
}

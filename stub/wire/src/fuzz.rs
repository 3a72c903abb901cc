//! Frames as a broken or hostile peer could send them.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use sst_fuzz::{corpus, damaged, damaged_json, fuzz};

use super::*;

/// Reads a text as a frame of one direction. What can be read is written as it was meant.
fn reads<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let frame = decode::<T>(text).ok()?;
    let again = decode::<T>(&encode(&frame).unwrap()).unwrap();
    assert_eq!(again, frame);
    Some(frame)
}

fn opens(payload: &Payload) {
    if let Ok(bytes) = payload.bytes() {
        assert!(bytes.len() as u64 <= MAX_INLINE_BYTES);
        if let Some(again) = Payload::inline(&bytes) {
            assert_eq!(again.bytes().unwrap(), bytes);
        }
    }
    let _ = payload.check_object(b"abc");
}

fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(ToClient::Invoke(invoke)) = reads::<ToClient>(&text) {
        opens(&invoke.event);
    }
    match reads::<ToStub>(&text) {
        Some(ToStub::Reply {
            outcome: Outcome::Returned { body } | Outcome::Failed { body, .. }, ..
        }) => {
            opens(&body);
        }
        Some(ToStub::Chunk { data, .. }) => opens(&data),
        _ => {}
    }
}

#[test]
fn damaged_frames_are_refused_or_read() {
    let documents = corpus("frames");
    documents.iter().for_each(|document| read(document));
    fuzz("frames (bytes)", file!(), 3_000, &damaged(documents), |bytes| read(&bytes));
}

#[test]
fn frames_with_damaged_values_are_refused_or_read() {
    let documents =
        corpus("frames").iter().map(|document| serde_json::from_slice(document).unwrap()).collect();
    fuzz("frames (values)", file!(), 3_000, &damaged_json(documents), |bytes| read(&bytes));
}

//! What a broken or hostile debugger or debug adapter could send.

use sst_fuzz::{corpus, damaged, damaged_values, fuzz};

use super::*;
use crate::bridge::adapter::handles::Handles;

/// Reads a stream of messages that comes in pieces, and does with each what sessions do.
fn read(bytes: &[u8], piece: usize) {
    let mut received = BytesMut::new();
    let mut handles = Handles::default();
    'stream: for piece in bytes.chunks(piece) {
        received.extend_from_slice(piece);
        loop {
            match Codec.decode(&mut received) {
                Ok(Some(message)) => take(message, &mut handles),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
        // No more room than for what has come, and what a buffer grows by.
        assert!(received.capacity() <= 4 * (bytes.len() + 4096), "{}", received.capacity());
    }
}

fn take(mut message: Value, handles: &mut Handles) {
    let mut written = BytesMut::new();
    Codec.encode(message.clone(), &mut written).unwrap();
    assert_eq!(Codec.decode(&mut written).unwrap().as_ref(), Some(&message));
    for answer in [success(&message, Value::Null), failure(&message, "no"), unverified(&message, "no")] {
        Numbers::default().number(answer);
    }
    let _ = handles.theirs(&mut message["arguments"].clone());
    handles.ours(1, &mut message["body"]);
    message["body"]["allThreadsStopped"] = false.into();
    message["body"]["breakpoint"]["id"] = 1.into();
    for name in ["breakpoints", "threads"] {
        for entry in message["body"][name].as_array_mut().into_iter().flatten() {
            entry["id"] = 1.into();
        }
    }
    Numbers::default().number(message);
}

fn framed(message: &Value) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    Codec.encode(message.clone(), &mut bytes).unwrap();
    bytes.to_vec()
}

#[test]
fn damaged_messages_are_refused_or_read() {
    let inputs = (damaged(corpus("dap")), 1..4_000_usize);
    fuzz("DAP (bytes)", file!(), 2_000, &inputs, |(bytes, piece)| read(&bytes, piece));
}

#[test]
fn messages_with_damaged_values_are_refused_or_read() {
    let documents = corpus("dap")
        .iter()
        .filter_map(|document| Codec.decode(&mut BytesMut::from(document.as_slice())).ok().flatten())
        .collect();
    fuzz("DAP (values)", file!(), 2_000, &damaged_values(documents), |message| {
        read(&framed(&message), 1_000)
    });
}

//! What a broken or hostile runtime could send.

use bytes::Bytes;
use proptest::prelude::*;
use sst_fuzz::{corpus, damaged, fuzz};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::core::event::StreamPart;

/// Serves one connection on which `pieces` arrive, each after what came before it was taken.
fn serve(bytes: &[u8], piece: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (deliveries, receiver) = mpsc::unbounded_channel();
        let (events, mut reported) = mpsc::unbounded_channel();
        for request in ["r1", "r2"] {
            let delivery = Delivery {
                request: request.into(),
                payload: Bytes::from_static(b"{}"),
                context: sst_wire::Context::default(),
                deadline: Instant::now(),
                credentials: [].into(),
                debugged: false,
                stops: false,
            };
            deliveries.send(Box::new(delivery)).unwrap();
        }
        // There is nothing further, so that nobody waits.
        drop(deliveries);
        let address = (std::net::Ipv4Addr::LOCALHOST, 9).into();
        let shared = Arc::new(Shared::new(WorkerId(1), address, receiver, Arc::default(), events));
        if piece.is_multiple_of(2) {
            shared.next().await;
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (mut reading, mut writing) = tokio::io::split(ours);
        let writing = async move {
            for piece in bytes.chunks(piece) {
                if writing.write_all(piece).await.is_err() {
                    break;
                }
            }
            let _ = writing.shutdown().await;
        };
        let mut answers = Vec::new();
        let (_, _, ()) =
            tokio::join!(reading.read_to_end(&mut answers), super::serve(theirs, shared), writing);
        assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "{}", answers.escape_ascii());
        // Whatever a runtime says, each of its invocations ends at most once.
        let mut ended = std::collections::HashSet::new();
        while let Ok(event) = reported.try_recv() {
            if let Event::Answered { request, .. }
            | Event::Streamed { request, part: StreamPart::End { .. }, .. } = event
            {
                assert!(ended.insert(request));
            }
        }
    });
}

#[test]
fn damaged_requests_are_refused_or_answered() {
    let documents = corpus("runtime-api");
    let inputs = (prop::collection::vec(damaged(documents), 1..3), 1..4_000_usize);
    fuzz("Runtime API", file!(), 1_500, &inputs, |(requests, piece)| serve(&requests.concat(), piece));
}

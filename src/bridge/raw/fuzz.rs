//! What a broken or hostile debugger with a protocol of its own could send.

use sst_fuzz::{corpus, damaged, fuzz};

use super::{
    packets::{Packets, Traces},
    session::heard,
};

#[test]
fn damaged_packets_are_passed_over_or_understood() {
    let inputs = (damaged(corpus("dap")), 1..4_000_usize);
    fuzz("packets of other debuggers", file!(), 1_000, &inputs, |(bytes, piece)| {
        let (mut packets, mut traces) = (Packets::default(), Traces::default());
        let mut json = Vec::new();
        for piece in bytes.chunks(piece) {
            packets.take(piece);
            traces.client(piece);
            traces.server(piece);
            heard(&mut json, piece);
        }
        traces.undo(u32::MAX);
    });
}

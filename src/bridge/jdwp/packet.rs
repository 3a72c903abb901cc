//! Packets of the Java Debug Wire Protocol
//! (<https://docs.oracle.com/en/java/javase/17/docs/specs/jdwp/jdwp-spec.html>).

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// What either side says first.
pub(super) const HANDSHAKE: &[u8; 14] = b"JDWP-Handshake";

/// The bytes before a packet's data.
const HEADER: usize = 11;

/// In the flags of a reply.
const REPLY: u8 = 0x80;

/// The longest packet that is understood. Redefined classes and long lists of them come in one.
const MOST: usize = 256 * 1024 * 1024;

/// What the protocol calls a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Chosen by whoever asks; the reply has the same.
    pub id: u32,
    pub kind: Kind,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command by its set and its number in it.
    Command(u8, u8),
    /// The answer: zero, or what is wrong.
    Reply(u16),
}

impl Packet {
    pub(super) fn command(id: u32, (set, command): (u8, u8), data: Vec<u8>) -> Self {
        Self { id, kind: Kind::Command(set, command), data }
    }

    pub(super) fn reply(id: u32, data: Vec<u8>) -> Self {
        Self { id, kind: Kind::Reply(0), data }
    }

    pub(super) fn error(id: u32, error: u16) -> Self {
        Self { id, kind: Kind::Reply(error), data: Vec::new() }
    }
}

/// Packets as they are on the wire, after the handshake.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Codec;

impl Decoder for Codec {
    type Item = Packet;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Packet>> {
        let Some(length) = source.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(HEADER..=MOST).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a packet of {length} bytes")));
        }
        if source.len() < length {
            return Ok(None);
        }
        let mut packet = source.split_to(length);
        packet.advance(4);
        let (id, flags) = (packet.get_u32(), packet.get_u8());
        let kind = match flags & REPLY {
            0 => Kind::Command(packet.get_u8(), packet.get_u8()),
            _ => Kind::Reply(packet.get_u16()),
        };
        Ok(Some(Packet { id, kind, data: packet.to_vec() }))
    }
}

impl Encoder<Packet> for Codec {
    type Error = io::Error;

    fn encode(&mut self, packet: Packet, target: &mut BytesMut) -> io::Result<()> {
        let length = u32::try_from(HEADER + packet.data.len()).map_err(io::Error::other)?;
        target.put_u32(length);
        target.put_u32(packet.id);
        match packet.kind {
            Kind::Command(set, command) => target.put_slice(&[0, set, command]),
            Kind::Reply(error) => {
                target.put_u8(REPLY);
                target.put_u16(error);
            }
        }
        target.put_slice(&packet.data);
        Ok(())
    }
}

/// Writes a packet's data.
#[derive(Debug, Default)]
pub(super) struct Data(pub Vec<u8>);

impl Data {
    pub(super) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn int(mut self, value: u32) -> Self {
        self.0.put_u32(value);
        self
    }

    /// An id, or an index into code.
    pub(super) fn long(mut self, value: u64) -> Self {
        self.0.put_u64(value);
        self
    }

    pub(super) fn text(mut self, value: &str) -> Self {
        self.0.put_u32(u32::try_from(value.len()).unwrap_or_default());
        self.0.put_slice(value.as_bytes());
        self
    }
}

/// Reads a packet's data. Where there is too little, it reads nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn int(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.int()? as usize;
        Some(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    /// A list: each of its items is read by `read`.
    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.int()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }
}

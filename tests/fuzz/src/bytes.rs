//! Damage done to bytes, whatever they mean.

use proptest::{prelude::*, sample::Index};

/// No document becomes longer. Lines of more than 65,535 columns do occur: that is more than some numbers hold.
const MAX_LENGTH: usize = 200_000;

/// What has surprised programs before.
const SURPRISES: [&[u8]; 45] = [
    b"0",
    b"-1",
    b"-0",
    b"1e999",
    b"1e-999",
    b"0.1",
    b"4294967295",
    b"4294967296",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\xff\xfe",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x92",
    b"\0",
    b"\x03",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"#00",
    b"$",
    b"%",
    b"${",
    b"}",
    b"/",
    b"../",
    b"Content-Length: 18446744073709551615\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffffffffffff\r\n",
    b"\"__proto__\":{}",
    b",\"seq\":1e400",
    "\u{202e}ä\u{1f4a9}".as_bytes(),
];

/// A damaged document.
#[derive(Clone)]
pub struct Document(pub Vec<u8>);

impl std::ops::Deref for Document {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Document {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Document {
    /// Enough to see what it is; proptest remembers how to make it again.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 2_000;
        write!(formatter, "b\"{}\"", self.0[..self.0.len().min(SHOWN)].escape_ascii())?;
        if self.0.len() > SHOWN {
            write!(formatter, " and {} bytes more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// One damage.
#[derive(Debug, Clone)]
pub enum Damage {
    /// Turns one bit over.
    Flip(Index, u8),
    /// Puts another byte in the place of one.
    Set(Index, u8),
    /// Leaves out everything from here on.
    Truncate(Index),
    /// Leaves out a piece.
    Remove(Index, usize),
    /// Repeats a piece so many times.
    Repeat(Index, usize, usize),
    /// Puts something surprising in.
    Insert(Index, usize),
    /// Opens so many brackets, or whatever else the byte opens.
    Nest(Index, u8, usize),
    /// Moves a piece.
    Move(Index, usize, Index),
}

/// Any damage.
pub fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        at().prop_map(Damage::Truncate),
        (at(), 1..40_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        (at(), 1..60_usize, prop_oneof![9 => 1..6_usize, 1 => 1_000..4_000_usize])
            .prop_map(|(at, length, times)| Damage::Repeat(at, length, times)),
        (at(), 0..SURPRISES.len()).prop_map(|(at, which)| Damage::Insert(at, which)),
        (
            at(),
            prop::sample::select(b"[{\"\\$#".to_vec()),
            prop_oneof![9 => 1..200_usize, 1 => 1_000..100_000_usize]
        )
            .prop_map(|(at, byte, levels)| Damage::Nest(at, byte, levels)),
        (at(), 1..60_usize, at()).prop_map(|(from, length, to)| Damage::Move(from, length, to)),
    ]
}

impl Damage {
    /// Does it.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let inside = |at: &Index| at.index(length + 1);
        let piece = |at: &Index, wanted: usize| {
            let from = at.index(length + 1);
            from..(from + wanted).min(length)
        };
        match self {
            Self::Flip(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << bit,
            Self::Set(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
            Self::Flip(..) | Self::Set(..) => {}
            Self::Truncate(at) => bytes.truncate(inside(at)),
            Self::Remove(at, wanted) => drop(bytes.drain(piece(at, *wanted))),
            Self::Repeat(at, wanted, times) => {
                let piece = piece(at, *wanted);
                let repeated = bytes[piece.clone()].repeat(*times);
                bytes.splice(piece.end..piece.end, repeated);
            }
            Self::Insert(at, which) => {
                let at = inside(at);
                bytes.splice(at..at, SURPRISES[*which].iter().copied());
            }
            Self::Nest(at, byte, levels) => {
                let at = inside(at);
                let opened: &[u8] = if *byte == b'{' { b"{\"a\":" } else { std::slice::from_ref(byte) };
                bytes.splice(at..at, opened.repeat(*levels));
            }
            Self::Move(from, wanted, to) => {
                let moved: Vec<u8> = bytes.drain(piece(from, *wanted)).collect();
                let to = to.index(bytes.len() + 1);
                bytes.splice(to..to, moved);
            }
        }
        bytes.truncate(MAX_LENGTH);
    }
}

/// One of `documents`, damaged up to five times.
pub fn damaged(documents: Vec<Vec<u8>>) -> impl Strategy<Value = Document> {
    (prop::sample::select(documents), prop::collection::vec(damage(), 0..6)).prop_map(|(mut bytes, all)| {
        all.iter().for_each(|damage| damage.apply(&mut bytes));
        Document(bytes)
    })
}

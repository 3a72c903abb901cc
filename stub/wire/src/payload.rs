//! Event and result bytes: small ones travel in the frame, large ones through the bucket. The bytes are never
//! re-encoded, so what one side sends is what the other side gets, to the byte.

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest base64 text of a [`Payload::Inline`], in bytes: what [`crate::MAX_MESSAGE`] leaves beside a
/// function's environment (4 KB), its credentials, and its context.
pub const MAX_INLINE_TEXT: usize = 96 * 1024;

/// The most bytes that a [`Payload::Inline`] inflates to: more than Lambda takes as an event or as a response (6 MB), and a bound
/// on what a few kilobytes from a peer can become.
pub const MAX_INLINE_BYTES: u64 = 16 * 1024 * 1024;

/// The quickest level at which every implementation of deflate looks which bytes are frequent. Text needs a quarter less for it.
const LEVEL: Compression = Compression::new(2);

/// Takes as many bytes as fit a frame and fails at more, so that nobody compresses megabytes for nothing.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_INLINE_TEXT / 4 * 3 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of an event or of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Payload {
    /// The bytes, deflated, in base64.
    Inline {
        /// The deflated bytes in base64.
        data: String,
        /// The number of bytes before compression.
        length: u64,
    },
    /// The bytes are an object of the debug stack's bucket, stored as they are.
    Object {
        /// The object's key, below `payloads/`.
        key: String,
        /// SHA-256 of the bytes, lowercase hexadecimal.
        sha256: String,
        /// The number of bytes.
        length: u64,
    },
}

/// Why the bytes of a payload could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The text is not base64.
    #[error("the payload is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The compressed bytes are damaged.
    #[error("the payload does not inflate: {0}")]
    Inflate(#[from] std::io::Error),
    /// The bytes are not as many as announced.
    #[error("the payload has {actual} bytes, {announced} were announced")]
    Length {
        /// As announced.
        announced: u64,
        /// As found.
        actual: u64,
    },
    /// More bytes are announced than any payload has.
    #[error("the payload announces {announced} bytes, at most {MAX_INLINE_BYTES} fit a frame")]
    TooLong {
        /// As announced.
        announced: u64,
    },
    /// The bytes are not the ones announced.
    #[error("the payload's SHA-256 is not the announced one")]
    Hash,
    /// An object was given where the bytes were expected, or the other way round.
    #[error("the payload is in the bucket, not in the frame")]
    Elsewhere,
}

impl Payload {
    /// Puts `bytes` into a frame, or returns `None` when they do not fit one message.
    #[must_use]
    pub fn inline(bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 > MAX_INLINE_BYTES {
            return None;
        }
        let mut encoder = DeflateEncoder::new(Bounded(Vec::new()), LEVEL);
        encoder.write_all(bytes).ok()?;
        let data = STANDARD.encode(encoder.finish().ok()?.0);
        Some(Self::Inline { data, length: bytes.len() as u64 })
    }

    /// Describes `bytes` that are stored under `key`.
    #[must_use]
    pub fn object(key: String, bytes: &[u8]) -> Self {
        Self::Object { key, sha256: sha256_hex(bytes), length: bytes.len() as u64 }
    }

    /// The bytes of an inline payload.
    ///
    /// # Errors
    /// When the text is damaged, or when the payload is in the bucket.
    pub fn bytes(&self) -> Result<Vec<u8>, PayloadError> {
        let Self::Inline { data, length } = self else {
            return Err(PayloadError::Elsewhere);
        };
        if *length > MAX_INLINE_BYTES {
            return Err(PayloadError::TooLong { announced: *length });
        }
        let deflated = STANDARD.decode(data)?;
        let mut bytes = Vec::new();
        // One byte more than announced is enough to notice a lie, and bounds what a hostile frame can inflate to.
        DeflateDecoder::new(deflated.as_slice()).take(length + 1).read_to_end(&mut bytes)?;
        check_length(*length, bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Checks the bytes that were fetched for a payload in the bucket.
    ///
    /// # Errors
    /// When they are not the announced ones, or when the payload is inline.
    pub fn check_object(&self, bytes: &[u8]) -> Result<(), PayloadError> {
        let Self::Object { sha256, length, .. } = self else {
            return Err(PayloadError::Elsewhere);
        };
        check_length(*length, bytes.len() as u64)?;
        if sha256_hex(bytes) == *sha256 { Ok(()) } else { Err(PayloadError::Hash) }
    }
}

/// SHA-256 in lowercase hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn check_length(announced: u64, actual: u64) -> Result<(), PayloadError> {
    if announced == actual { Ok(()) } else { Err(PayloadError::Length { announced, actual }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_untouched() {
        for bytes in
            [&b""[..], b"null", "{\"\u{e4}\": 1e400, \"a\":1,\"a\":2}".as_bytes(), &[0xff, 0x00, 0xfe]]
        {
            let payload = Payload::inline(bytes).unwrap();
            assert_eq!(payload.bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn what_does_not_fit_one_message_is_refused() {
        let noise: Vec<u8> =
            (0..100_000u32).flat_map(|i| Sha256::digest(i.to_le_bytes())[..1].to_vec()).collect();
        assert_eq!(Payload::inline(&noise), None);
        assert!(Payload::inline(&vec![b'a'; 6 * 1024 * 1024]).is_some(), "compressible bytes fit");
        let text = |length| STANDARD.encode(&noise)[..length].to_owned();
        assert!(
            Payload::inline(text(95_000).as_bytes()).is_some(),
            "text of 64 letters needs six bits for each"
        );
        let longest = |length: &usize| Payload::inline(&noise[..*length]).is_some();
        let length = (73_000..73_800).rev().find(longest).unwrap();
        let Some(Payload::Inline { data, .. }) = Payload::inline(&noise[..length]) else { panic!("it fits") };
        assert!(data.len() <= MAX_INLINE_TEXT && data.len() > MAX_INLINE_TEXT - 64, "{}", data.len());
    }

    #[test]
    fn a_lie_about_the_length_or_the_hash_is_found() {
        let inline = |length| Payload::Inline { data: "S0wsTgQA".into(), length };
        assert!(matches!(inline(2).bytes(), Err(PayloadError::Length { .. })));
        for length in [MAX_INLINE_BYTES + 1, u64::MAX] {
            assert!(matches!(inline(length).bytes(), Err(PayloadError::TooLong { .. })), "{length}");
        }
        let payload = Payload::object("payloads/x".into(), b"abc");
        assert!(payload.check_object(b"abc").is_ok());
        assert!(matches!(payload.check_object(b"abd"), Err(PayloadError::Hash)));
        assert!(matches!(payload.check_object(b"ab"), Err(PayloadError::Length { .. })));
    }
}

//! The id that Go's linker writes into a program, which is another one whenever the program is. `go tool buildid` says it as well, but takes
//! longer than many builds.

use std::io::{self, Read};

use camino::Utf8Path;

/// How much of a program is looked at, in bytes. Go itself looks no further
/// (<https://cs.opensource.google/go/go/+/refs/tags/go1.26.0:src/cmd/internal/buildid/buildid.go>).
const BEGINNING: u64 = 32 * 1024;

/// How the note with the id begins in ELF files, after two lengths: its tag, and its name.
const NOTE: &[u8] = b"\x04\0\0\0Go\0\0";

/// What is before and after it in files without notes, as those of macOS.
const AROUND: (&[u8], &[u8]) = (b"\xff Go build ID: \"", b"\"\n \xff");

/// The id in a program; none when it is not where it usually is.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn build_id(executable: &Utf8Path) -> io::Result<Option<String>> {
    let mut beginning = Vec::new();
    fs_err::File::open(executable)?.take(BEGINNING).read_to_end(&mut beginning)?;
    Ok(in_note(&beginning).or_else(|| in_text(&beginning)))
}

fn in_note(bytes: &[u8]) -> Option<String> {
    let tag = find(bytes, NOTE)?;
    let length = bytes.get(tag.checked_sub(4)?..tag)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let id = bytes.get(tag + NOTE.len()..)?.get(..length)?;
    text(id)
}

fn in_text(bytes: &[u8]) -> Option<String> {
    let (before, after) = AROUND;
    let rest = bytes.get(find(bytes, before)? + before.len()..)?;
    text(rest.get(..find(rest, after)?)?)
}

/// An id consists of hashes in base64, with slashes between them.
fn text(id: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(id).ok()?;
    let is_id = text.contains('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| text.to_owned())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_in_files_with_and_without_notes() {
        let note = [&b"\x7fELF\x04\0\0\0\x05\0\0\0"[..], NOTE, b"ab/cdrest"].concat();
        assert_eq!(in_note(&note).as_deref(), Some("ab/cd"));
        let mac = [&b"\xcf\xfa\xed\xfe"[..], AROUND.0, b"ab/\\cd", AROUND.1, b"code"].concat();
        assert_eq!((in_note(&mac), in_text(&mac).as_deref()), (None, Some("ab/\\cd")));
        for other in
            [&b""[..], NOTE, b"\xff\xff\xff\xff\x04\0\0\0Go\0\0ab/cd", b"\x05\0\0\0\x04\0\0\0Go\0\0ab/\0d"]
        {
            assert_eq!((in_note(other), in_text(other)), (None, None), "{other:?}");
        }
    }
}

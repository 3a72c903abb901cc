//! Paths by their text, whatever is on the disk.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// The path without `.` and `..`: links stay as they are written.
#[must_use]
pub(crate) fn normalized(path: &Utf8Path) -> Utf8PathBuf {
    let mut clean = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

//! What the disk says of a path.

use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use camino::Utf8Path;

use crate::platform::TELLS_CLOSED_FILES;

/// By how much the time of a file may be behind the clock: file systems take it from the kernel's last tick.
const TICK: Duration = Duration::from_millis(20);

/// Whether it is a directory itself, and not a link to one: what is behind a link is watched when it was read.
pub(super) fn is_directory(path: &Utf8Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Whether a path may be something else than it was at a time. The time of the change is looked at, which nobody can set: a file that
/// is moved to a place keeps the time at which it was written. Of a path that is not there its directory says whether it was removed,
/// unless that is one that the project is in as well: there others come and go, and nothing was read but names.
pub(super) fn changed_since(path: &Utf8Path, since: SystemTime, project: &Utf8Path) -> bool {
    let since = since.checked_sub(TICK).unwrap_or(since);
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let metadata = path.symlink_metadata().or_else(|error| match path.parent() {
        Some(parent) if !project.starts_with(parent) => parent.symlink_metadata(),
        _ => Err(error),
    });
    metadata.is_ok_and(|metadata| {
        let changed = (u64::try_from(metadata.ctime()), u32::try_from(metadata.ctime_nsec()));
        matches!(changed, (Ok(seconds), Ok(nanos)) if Duration::new(seconds, nanos) > since)
    })
}

/// Whether a file that was created will be closed by whoever writes it. Links are complete from the start.
pub(super) fn is_being_written(path: &Utf8Path) -> bool {
    TELLS_CLOSED_FILES
        && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

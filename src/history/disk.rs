//! The calls of a week, in files that only the user can read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use camino::Utf8PathBuf;

use super::record::{Query, Record, Summary};
use crate::project::StateDir;

/// How long a call is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How much they take at most, in bytes.
const MOST_BYTES: u64 = 200 << 20;

/// How much is removed at least when they take more.
const AT_ONCE: u64 = 20 << 20;

/// How many files are read for a list.
const MOST_READ: usize = 2_000;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    directory: StateDir,
    bytes: Arc<AtomicU64>,
}

/// A file with a call.
struct File {
    /// In milliseconds since 1970, when the call arrived.
    at: u64,
    id: String,
    path: Utf8PathBuf,
}

impl Disk {
    /// The files in a directory.
    pub(crate) fn open(directory: StateDir) -> Self {
        Self { directory, bytes: Arc::default() }
    }

    /// Writes a call that has ended. One that cannot be written is missing later, which is no reason to disturb anybody now.
    pub(super) fn write(&self, record: &Record) {
        let Ok(text) = serde_json::to_vec(record) else { return };
        let Summary { at, id, .. } = &record.summary;
        // The ids of calls come from the cloud.
        let id: String =
            id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        match self.directory.write(&format!("{at:013}-{id}.json"), &text) {
            Ok(()) => {
                let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                if self.bytes.fetch_add(length, Ordering::Relaxed) + length > MOST_BYTES {
                    self.prune();
                }
            }
            Err(error) => tracing::debug!(%error, "a call is not written"),
        }
    }

    /// Removes what is too old, and the oldest of what is too much.
    pub(super) fn prune(&self) {
        let oldest =
            super::call::millis(SystemTime::now().checked_sub(KEPT).unwrap_or(SystemTime::UNIX_EPOCH));
        let length = |file: &File| file.path.metadata().map_or(0, |metadata| metadata.len());
        let files: Vec<(File, u64)> = self
            .files()
            .into_iter()
            .map(|file| {
                let length = length(&file);
                (file, length)
            })
            .collect();
        let mut bytes: u64 = files.iter().map(|(_, length)| length).sum();
        let most = if bytes > MOST_BYTES { MOST_BYTES - AT_ONCE } else { MOST_BYTES };
        // The last one comes first.
        for (file, length) in files.iter().rev() {
            if file.at >= oldest && bytes <= most {
                break;
            }
            let _ = fs_err::remove_file(&file.path);
            bytes -= length;
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The calls that are wanted, the last one first, besides so many others that are known.
    pub(crate) fn list(&self, query: &Query, besides: usize) -> Vec<Summary> {
        let read = self.files().into_iter().take(MOST_READ).filter_map(|file| summary(&file));
        read.filter(|summary| query.wants(summary)).take(query.limit + besides).collect()
    }

    /// The call with an id, or whose id begins so; for `last`, the last one.
    ///
    /// # Errors
    /// A sentence, when there are several.
    pub(crate) fn find(&self, id: &str) -> Result<Option<Record>, String> {
        let files = self.files();
        if id == "last" {
            return Ok(files.iter().find_map(read));
        }
        let mut found = files.iter().filter(|file| file.id.starts_with(id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(read(one)),
            (None, _) => Ok(None),
            (Some(one), Some(other)) => {
                Err(format!("`{id}` could be several calls, e.g. `{}` and `{}`", one.id, other.id))
            }
        }
    }

    /// The files, that of the last call first.
    fn files(&self) -> Vec<File> {
        let entries = self.directory.path("").read_dir_utf8().into_iter().flatten().flatten();
        let mut files: Vec<File> = entries
            .filter_map(|entry| {
                let (at, id) = entry.file_name().strip_suffix(".json")?.split_once('-')?;
                Some(File { at: at.parse().ok()?, id: id.to_owned(), path: entry.path().to_owned() })
            })
            .collect();
        files.sort_unstable_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
        files
    }
}

fn read(file: &File) -> Option<Record> {
    serde_json::from_slice(&fs_err::read(&file.path).ok()?).ok()
}

/// Without events and results, which may be megabytes.
fn summary(file: &File) -> Option<Summary> {
    serde_json::from_slice(&fs_err::read(&file.path).ok()?).ok()
}

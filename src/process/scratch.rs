//! Temporary directories that do not outlive whoever they are for.

use std::{fs::File, io, os::unix::fs::MetadataExt, path::Path};

use camino::{Utf8Path, Utf8PathBuf};
/// How their names begin.
const PREFIXES: [&str; 2] = ["sst-cloud-", "sst-tool-"];

/// The file in each that is locked.
const LOCK: &str = "in-use.lock";

/// A temporary directory for a child. The child's guard removes it; without one, it goes when this is dropped.
///
/// It is locked as long as anybody needs it. So one that nobody removed, because all were killed, can be told from one in use.
#[derive(Debug)]
pub struct Scratch {
    path: Utf8PathBuf,
    lock: Option<File>,
}

impl Scratch {
    /// A new directory, whose name begins with `prefix`.
    ///
    /// # Errors
    /// When it cannot be created, or its path is not UTF-8.
    pub fn new(prefix: &str) -> io::Result<Self> {
        debug_assert!(PREFIXES.contains(&prefix), "it would never be found again");
        loop {
            let directory = tempfile::Builder::new().prefix(prefix).tempdir()?;
            File::create_new(directory.path().join(LOCK))?;
            let Ok(lock) = lock(directory.path()) else {
                // Somebody else looks whether it is in use at this very moment, and removes it.
                continue;
            };
            let path = Utf8PathBuf::from_path_buf(directory.keep()).map_err(|path| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` is not UTF-8", path.display()))
            })?;
            return Ok(Self { path, lock: Some(lock) });
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The lock, as it is given to the guard.
    pub(super) fn lock(&self) -> Option<&File> {
        self.lock.as_ref()
    }

    /// Leaves it to somebody who was given the lock.
    pub(super) fn leave(mut self) {
        self.lock = None;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What cannot be removed now is found at the next start.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the directories whose users were killed before they could.
pub fn remove_abandoned_directories() {
    remove_abandoned(&std::env::temp_dir(), nix::unistd::getuid().as_raw());
}

fn remove_abandoned(parent: &Path, user: u32) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let is_one = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_one)) {
        // Not a link, and nobody else's: anybody may put anything there.
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        if is_ours && let Ok(_lock) = lock(&entry.path()) {
            let path = entry.path();
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::debug!(path = %path.display(), "left behind"),
                Err(error) => tracing::debug!(%error, path = %path.display(), "cannot be removed"),
            }
        }
    }
}

/// Locks a directory, until the returned file is closed by all who have it.
fn lock(directory: &Path) -> io::Result<File> {
    let file = File::open(directory.join(LOCK))?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_is_not_goes() {
        let parent = tempfile::tempdir().unwrap();
        let user = nix::unistd::getuid().as_raw();
        let path = |name: &str| parent.path().join(name);
        for name in ["sst-cloud-used", "sst-cloud-old", "sst-tool-old", "sst-e2e-of-a-test", "elsewhere"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("file"), "").unwrap();
            std::fs::write(path(name).join(LOCK), "").unwrap();
        }
        std::os::unix::fs::symlink(path("elsewhere"), path("sst-cloud-link")).unwrap();
        let used = lock(&path("sst-cloud-used")).unwrap();
        remove_abandoned(parent.path(), user + 1);
        assert!(path("sst-cloud-old").exists(), "somebody else's");
        remove_abandoned(parent.path(), user);
        assert!(!path("sst-cloud-old").exists() && !path("sst-tool-old").exists());
        assert!(path("sst-cloud-used/file").exists() && path("sst-e2e-of-a-test/file").exists());
        assert!(path("elsewhere/file").exists(), "a link is not followed");
        drop(used);
        remove_abandoned(parent.path(), user);
        assert!(!path("sst-cloud-used").exists());
    }

    #[test]
    fn it_goes_with_its_owner() {
        let scratch = Scratch::new("sst-tool-").unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}

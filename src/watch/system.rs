//! The system's own way of telling what happens in directories, and which of them it has been asked for.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use notify::{EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{
    error::{Error, Kind, Result},
    platform::{TELLS_CLOSED_FILES, WATCHES_TREES},
};

pub(super) struct System {
    watcher: RecommendedWatcher,
    project: Utf8PathBuf,
    watched: BTreeSet<Utf8PathBuf>,
}

impl System {
    pub(super) fn new(
        happened: impl FnMut(notify::Result<notify::Event>) + Send + 'static,
        project: Utf8PathBuf,
    ) -> Result<Self> {
        // What is only read wakes nobody: compilers and editors open thousands of files.
        let writes =
            if TELLS_CLOSED_FILES { EventKindMask::ACCESS_CLOSE } else { EventKindMask::MODIFY_DATA };
        let kinds = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | writes;
        let config = notify::Config::default().with_event_kinds(kinds);
        let watcher = RecommendedWatcher::new(happened, config).map_err(|error| {
            let hint = "too many programs may be watching files; on Linux, raise the limit: \
                        `sudo sysctl fs.inotify.max_user_instances=1024`";
            Error::new(Kind::Environment, "files cannot be watched").detail(error).hint(hint)
        })?;
        Ok(Self { watcher, project, watched: BTreeSet::new() })
    }

    /// Watches one directory, if it is one. Whether it was not watched before.
    pub(super) fn watch(&mut self, directory: &Utf8Path) -> notify::Result<bool> {
        if self.watched.contains(directory) || !directory.is_dir() {
            return Ok(false);
        }
        let in_project = WATCHES_TREES && directory.starts_with(&self.project);
        if !in_project || *directory == self.project {
            let mode = if in_project { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            match self.watcher.watch(directory.as_std_path(), mode) {
                // It has gone again.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => return Ok(false),
                result => result?,
            }
        }
        Ok(self.watched.insert(directory.to_owned()))
    }

    pub(super) fn unwatch(&mut self, directory: &Utf8Path) {
        if self.watched.remove(directory) {
            // The system may have done so itself, because the directory is gone.
            let _ = self.watcher.unwatch(directory.as_std_path());
        }
    }

    /// What is watched of a directory and below it.
    pub(super) fn below(&self, directory: &Utf8Path) -> Vec<Utf8PathBuf> {
        let known = self.watched.range(directory.to_owned()..);
        known.take_while(|known| known.starts_with(directory)).cloned().collect()
    }

    /// Whatever is watched has to be asked for again. Returns what that was.
    pub(super) fn forget(&mut self) -> BTreeSet<Utf8PathBuf> {
        std::mem::take(&mut self.watched)
    }
}

pub(super) fn cannot_watch(directory: &Utf8Path, error: &notify::Error) -> Error {
    let hint = match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system watches as many directories as it may, so changes will go unnoticed; raise the \
             limit: `sudo sysctl fs.inotify.max_user_watches=524288`"
        }
        _ => "changes in it will go unnoticed",
    };
    Error::new(Kind::Environment, format!("`{directory}` cannot be watched")).detail(error).hint(hint)
}

/// Whether the directory may not be looked into.
pub(super) fn is_denied(error: &notify::Error) -> bool {
    matches!(&error.kind, notify::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied)
}

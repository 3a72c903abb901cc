//! Notices changed files at once: no polling, no pause to collect changes.
//!
//! A write is reported when the file is closed, a rename when it is complete. On Linux each directory is watched by
//! itself, because the directories of installed packages, which are most of a project, need no watching.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use crate::{
    core::event::{Event, FileChange},
    error::{Error, Kind, Result},
    platform::{TELLS_CLOSED_FILES, WATCHES_TREES},
    tasks,
    ui::Ui,
};

/// Directories that hold nothing that anybody edits.
const IGNORED: [&str; 8] =
    ["node_modules", ".git", ".hg", ".sst", "cdk.out", "target", ".venv", "__pycache__"];

/// Changes that come closer together than this are one batch: an editor's rename is several.
const SAME_BATCH: Duration = Duration::from_millis(1);

/// A batch is complete after this at the latest, however busy the disk is.
const LONGEST_BATCH: Duration = Duration::from_millis(30);

/// Watches until dropped.
#[derive(Debug)]
pub struct Watch {
    watcher: SharedWatcher,
}

/// The watcher, which the thread needs for new directories. Without it, the thread has nothing more to hear and
/// ends.
type SharedWatcher = Arc<Mutex<Option<RecommendedWatcher>>>;

impl Drop for Watch {
    fn drop(&mut self) {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Watches `project` and `others`, directories outside of it, and reports what changes as `events`.
///
/// # Errors
/// [`Kind::Environment`] when the system does not let the directories be watched. Reaching the limit on the number
/// of directories is only a warning.
pub fn start(
    project: Utf8PathBuf,
    others: Vec<Utf8PathBuf>,
    events: mpsc::UnboundedSender<Event>,
    ui: Ui,
) -> Result<Watch> {
    let (sender, changes) = channel();
    let watcher = RecommendedWatcher::new(sender, notify::Config::default()).map_err(|error| {
        let hint = "too many programs may be watching files; on Linux, raise the limit: \
                    `sudo sysctl fs.inotify.max_user_instances=1024`";
        Error::new(Kind::Environment, "files cannot be watched").detail(error).hint(hint)
    })?;
    let roots: Vec<Utf8PathBuf> = std::iter::once(project).chain(others).collect();
    let watcher = Arc::new(Mutex::new(Some(watcher)));
    let watch = Watch { watcher: watcher.clone() };
    let mut watching = Watching { watcher, roots, fresh: BTreeSet::new(), ui, warned: false };
    for root in watching.roots.clone() {
        match watching.add(&root, &mut Vec::new()) {
            // Most of the project is better than nothing.
            Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                watching.warn(&root, &error)
            }
            result => result.map_err(|error| cannot_watch(&root, &error))?,
        }
    }
    let run = move || {
        let ui = watching.ui.clone();
        let _guard =
            tasks::on_panic(|| ui.warning("changed files go unnoticed from now on: start `sst` again"));
        watching.run(&changes, &events);
    };
    let thread = std::thread::Builder::new().name("the watch of files".to_owned()).spawn(run);
    thread.map_err(|error| Error::new(Kind::Environment, "cannot start a thread").detail(error))?;
    Ok(watch)
}

struct Watching {
    watcher: SharedWatcher,
    roots: Vec<Utf8PathBuf>,
    /// Files that were created and are still being written.
    fresh: BTreeSet<PathBuf>,
    ui: Ui,
    warned: bool,
}

impl Watching {
    fn run(
        mut self,
        changes: &Receiver<notify::Result<notify::Event>>,
        events: &mpsc::UnboundedSender<Event>,
    ) {
        while let Ok(first) = changes.recv() {
            let mut batch = Vec::new();
            self.take(first, &mut batch);
            let until = Instant::now() + LONGEST_BATCH;
            while Instant::now() < until
                && let Ok(next) = changes.recv_timeout(SAME_BATCH)
            {
                self.take(next, &mut batch);
            }
            let mut seen = BTreeSet::new();
            batch.retain(|change: &FileChange| seen.insert((change.path.clone(), change.structural)));
            if !batch.is_empty() && events.send(Event::FilesChanged(batch)).is_err() {
                return;
            }
        }
    }

    fn take(&mut self, event: notify::Result<notify::Event>, batch: &mut Vec<FileChange>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return tracing::warn!(%error, "watch"),
        };
        if event.need_rescan() {
            // Events were lost, so anything may have changed.
            for root in self.roots.clone() {
                // A directory may have come meanwhile.
                if let Err(error) = self.add(&root, &mut Vec::new()) {
                    self.warn(&root, &error);
                }
                batch.push(FileChange { path: root, structural: true });
            }
            return;
        }
        let kind = event.kind;
        for path in event.paths {
            let Ok(utf8) = Utf8PathBuf::from_path_buf(path.clone()) else { continue };
            if self.is_ignored(&utf8) {
                continue;
            }
            match kind {
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)) if utf8.is_dir() => {
                    batch.push(FileChange { path: utf8.clone(), structural: true });
                    if let Err(error) = self.add(&utf8, batch) {
                        self.warn(&utf8, &error);
                    }
                }
                EventKind::Create(_) if is_being_written(&utf8) => {
                    self.fresh.insert(path);
                }
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                    self.fresh.remove(&path);
                    batch.push(FileChange { path: utf8, structural: true });
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    let structural = self.fresh.remove(&path);
                    batch.push(FileChange { path: utf8, structural });
                }
                // Where the system tells when a file is closed, the writes before that are of no interest.
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) if !TELLS_CLOSED_FILES => {
                    batch.push(FileChange { path: utf8, structural: false });
                }
                _ => {}
            }
        }
    }

    /// Watches a directory and those below it. What is found in it may have come before it was watched, and is
    /// reported.
    fn add(&mut self, directory: &Utf8Path, found: &mut Vec<FileChange>) -> notify::Result<()> {
        if WATCHES_TREES {
            return match self.roots.iter().any(|root| root == directory) {
                true => self.watch(directory, RecursiveMode::Recursive),
                false => Ok(()),
            };
        }
        match self.watch(directory, RecursiveMode::NonRecursive) {
            // It has gone again.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => return Ok(()),
            result => result?,
        }
        let Ok(entries) = directory.read_dir_utf8() else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !IGNORED.contains(&entry.file_name()) => {
                    self.add(path, found)?
                }
                Ok(kind) if kind.is_file() => {
                    found.push(FileChange { path: path.to_owned(), structural: true })
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn watch(&self, directory: &Utf8Path, mode: RecursiveMode) -> notify::Result<()> {
        match &mut *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(watcher) => watcher.watch(directory.as_std_path(), mode),
            None => Ok(()),
        }
    }

    /// Whether something below a root is in a directory that is not watched. A root itself always is.
    fn is_ignored(&self, path: &Utf8Path) -> bool {
        let below = self.roots.iter().filter_map(|root| path.strip_prefix(root).ok());
        let is_ignored =
            |relative: &Utf8Path| relative.components().any(|part| IGNORED.contains(&part.as_str()));
        below.min_by_key(|relative| relative.as_str().len()).is_none_or(is_ignored)
    }

    fn warn(&mut self, directory: &Utf8Path, error: &notify::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            let Error { message, hint, .. } = cannot_watch(directory, error);
            self.ui.warning(format!("{message}: {}", hint.unwrap_or_default()));
        }
    }
}

/// Whether a file that was created will be closed by whoever writes it. Links are complete from the start.
fn is_being_written(path: &Utf8Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    TELLS_CLOSED_FILES
        && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

fn cannot_watch(directory: &Utf8Path, error: &notify::Error) -> Error {
    let hint = match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system watches as many directories as it may, so changes will go unnoticed; raise the \
             limit: `sudo sysctl fs.inotify.max_user_watches=524288`"
        }
        _ => "changes in it will go unnoticed",
    };
    Error::new(Kind::Environment, format!("`{directory}` cannot be watched")).detail(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use notify::event::Flag;

    use super::*;

    #[test]
    fn lost_events_make_every_root_a_change_and_new_directories_watched() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("UTF-8");
        let other = root.join("other");
        fs_err::create_dir(&other).expect("a directory");
        let (sender, changes) = channel();
        let watcher = RecommendedWatcher::new(sender, notify::Config::default()).expect("a watcher");
        let watcher = Arc::new(Mutex::new(Some(watcher)));
        let roots = vec![root.clone(), other.clone()];
        let (ui, _) = Ui::channel();
        let mut watching = Watching { watcher, roots, fresh: BTreeSet::new(), ui, warned: false };
        fs_err::create_dir(root.join("missed")).expect("a directory");

        let mut batch = Vec::new();
        watching.take(Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)), &mut batch);
        let structural = |path| FileChange { path, structural: true };
        assert_eq!(batch, [structural(root.clone()), structural(other)]);

        fs_err::write(root.join("missed/a"), "").expect("a file");
        let is_it = |event: notify::Event| event.paths.iter().any(|path| path.ends_with("missed/a"));
        while !is_it(changes.recv_timeout(Duration::from_secs(10)).expect("it is watched").expect("an event"))
        {
        }
    }
}

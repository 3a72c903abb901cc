//! Notices changed files at once: no polling, no pause to collect changes.
//!
//! A write is reported when the file is closed, a rename when it is complete. Two things are watched: the project, for what is new in
//! it, and whatever somebody has read ([`Readings`]), wherever that is. On Linux each directory is watched by itself, because the
//! directories of installed packages, which are most of a project, need watching only as far as something in them was read.

mod files;
mod git;
mod places;
mod system;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use notify::{
    EventKind,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use self::{
    files::{changed_since, is_being_written, is_directory},
    git::GitIgnore,
    places::Places,
    system::{System, cannot_watch},
};
use crate::{
    core::event::{Event, FileChange},
    error::{Error, Kind, Result},
    ids::FunctionId,
    ignored::{is_ignored, is_passing},
    platform::TELLS_CLOSED_FILES,
    tasks, trace,
    ui::Ui,
};

/// What comes and goes closer together than this is one batch: an editor's rename is several changes.
const SAME_BATCH: Duration = Duration::from_millis(1);

/// A batch is complete after this at the latest, however busy the disk is.
const LONGEST_BATCH: Duration = Duration::from_millis(30);

/// Watches until dropped.
#[derive(Debug)]
pub struct Watch {
    messages: Sender<Message>,
}

/// By which a watch is told what has been read.
#[derive(Debug, Clone)]
pub struct Readings {
    messages: Sender<Message>,
}

/// Who has read something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// The synthesis of the app.
    App,
    /// The build of a function.
    Function(FunctionId),
}

#[derive(Debug)]
enum Message {
    Happened(notify::Result<notify::Event>),
    Read { by: Reader, paths: Vec<Utf8PathBuf>, since: SystemTime },
    End,
}

impl Watch {
    /// By which it is told what has been read.
    #[must_use]
    pub fn readings(&self) -> Readings {
        Readings { messages: self.messages.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::End);
    }
}

impl Readings {
    /// These paths were read, and nothing else any more, by a build that began at `since`: they are watched from now on, and those that
    /// changed between that time and now are reported at once. The paths are as in
    /// [`Artifact::inputs`](crate::core::event::Artifact::inputs).
    pub fn read(&self, by: Reader, paths: Vec<Utf8PathBuf>, since: SystemTime) {
        let _ = self.messages.send(Message::Read { by, paths, since });
    }
}

/// Looks whether the system lets files be watched at all, before anything is done that takes a while.
///
/// # Errors
/// [`Kind::Environment`] when it does not.
pub fn check(project: &Utf8Path) -> Result<()> {
    System::new(|_| {}, project.to_owned()).map(drop)
}

/// Watches `project`, and what will be read, and reports what changes as `events`.
///
/// # Errors
/// [`Kind::Environment`] when the system does not let the directories be watched. Reaching the limit on the number
/// of directories is only a warning.
pub fn start(project: Utf8PathBuf, events: mpsc::UnboundedSender<Event>, ui: Ui) -> Result<Watch> {
    let (messages, receiver) = channel();
    let mut watching = Watching::new(project.clone(), &messages, ui)?;
    let watch = Watch { messages };
    match watching.add(&project, Rules::Git, &mut Vec::new()) {
        // Most of the project is better than nothing.
        Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
            watching.warn(&project, &error);
        }
        result => result.map_err(|error| cannot_watch(&project, &error))?,
    }
    let run = move || {
        let ui = watching.ui.clone();
        let _guard =
            tasks::on_panic(|| ui.warning("changed files go unnoticed from now on: start `sst` again"));
        watching.run(&receiver, &events);
    };
    let thread = std::thread::Builder::new().name("the watch of files".to_owned()).spawn(run);
    thread.map_err(|error| Error::new(Kind::Environment, "cannot start a thread").detail(error))?;
    Ok(watch)
}

struct Watching {
    system: System,
    project: Utf8PathBuf,
    git: GitIgnore,
    readers: BTreeMap<Reader, Places>,
    /// Files that were created and are still being written.
    fresh: BTreeSet<PathBuf>,
    /// What the next batch has so far, and which of that are files that were created in it.
    told: BTreeSet<Utf8PathBuf>,
    born: BTreeSet<Utf8PathBuf>,
    ui: Ui,
    warned: bool,
}

/// Which of the directories below another are not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Those that hold nothing that anybody edits.
    Ours,
    /// Those, and what the repository ignores: nobody has read anything of it.
    Git,
}

impl Watching {
    fn new(project: Utf8PathBuf, messages: &Sender<Message>, ui: Ui) -> Result<Self> {
        let sender = messages.clone();
        let happened = move |event| drop(sender.send(Message::Happened(event)));
        let system = System::new(happened, project.clone())?;
        Ok(Self {
            system,
            git: GitIgnore::of(&project),
            project,
            readers: BTreeMap::new(),
            fresh: BTreeSet::new(),
            told: BTreeSet::new(),
            born: BTreeSet::new(),
            ui,
            warned: false,
        })
    }

    fn run(mut self, messages: &Receiver<Message>, events: &mpsc::UnboundedSender<Event>) {
        while let Ok(first) = messages.recv() {
            let mut batch = Vec::new();
            if !self.take(first, &mut batch) || !self.complete_batch(messages, &mut batch) {
                return;
            }
            self.complete(&mut batch);
            if !batch.is_empty() && events.send(Event::FilesChanged(batch)).is_err() {
                return;
            }
        }
    }

    /// Takes in what belongs to the changes of a batch. Whether there is more to come.
    ///
    /// A file that was written where it is has changed, whatever comes next, so that is told at once. What comes and goes may be one half of
    /// something, as an editor's rename is.
    fn complete_batch(&mut self, messages: &Receiver<Message>, batch: &mut Vec<FileChange>) -> bool {
        let until = Instant::now() + LONGEST_BATCH;
        let mut quiet = Instant::now() + SAME_BATCH;
        loop {
            let now = Instant::now();
            let is_half = !self.born.is_empty() || batch.iter().any(|change| change.structural);
            let wait = if is_half { quiet.min(until).saturating_duration_since(now) } else { Duration::ZERO };
            // A file that is still being written will be told of when it is closed.
            let known = (batch.len(), self.fresh.len());
            let Ok(next) = messages.recv_timeout(wait) else { return true };
            if !self.take(next, batch) {
                return false;
            }
            if now >= until {
                return true;
            }
            if (batch.len(), self.fresh.len()) != known {
                quiet = now + SAME_BATCH;
            }
        }
    }

    /// A batch has ended: says each thing once. What came and went again in it was on its way to another name, and nobody can have
    /// read it.
    fn complete(&mut self, batch: &mut Vec<FileChange>) {
        let born = std::mem::take(&mut self.born);
        self.told.clear();
        let mut seen = BTreeSet::new();
        batch.retain(|change| {
            seen.insert((change.path.clone(), change.structural))
                && (!born.contains(&change.path) || change.path.exists())
        });
    }

    /// Takes in a message. Whether there is more to come.
    fn take(&mut self, message: Message, batch: &mut Vec<FileChange>) -> bool {
        match message {
            Message::Happened(Ok(event)) => self.happened(event, batch),
            Message::Happened(Err(error)) => tracing::warn!(%error, "watch"),
            Message::Read { by, paths, since } => self.read(by, &paths, since, batch),
            Message::End => return false,
        }
        true
    }

    fn happened(&mut self, event: notify::Event, batch: &mut Vec<FileChange>) {
        if event.need_rescan() {
            return self.start_over(batch);
        }
        let kind = event.kind;
        for path in event.paths {
            let Ok(utf8) = Utf8PathBuf::from_path_buf(path.clone()) else { continue };
            let wanted = self.readers.values().any(|places| places.want(&utf8));
            let rules = self.covered(&utf8);
            if !wanted && (rules.is_none() || is_passing(&utf8)) {
                continue;
            }
            let is_new = matches!(kind, EventKind::Create(_)) && !is_directory(&utf8);
            if is_new && !self.told.contains(&utf8) {
                self.born.insert(utf8.clone());
            }
            match kind {
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)) if is_directory(&utf8) => {
                    self.push(&utf8, true, batch);
                    self.appeared(&utf8, rules, batch);
                }
                EventKind::Create(_) if is_being_written(&utf8) => {
                    self.fresh.insert(path);
                }
                EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                    self.fresh.remove(&path);
                    self.disappeared(&utf8);
                    self.push(&utf8, true, batch);
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    let structural = self.fresh.remove(&path);
                    self.push(&utf8, structural, batch);
                }
                // Where the system tells when a file is closed, the writes before that are of no interest.
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) if !TELLS_CLOSED_FILES => {
                    self.push(&utf8, false, batch);
                }
                _ => continue,
            }
            if utf8.file_name() == Some(".gitignore") {
                self.git.forget();
                let project = self.project.clone();
                self.try_to_add(&project, Rules::Git, batch);
            }
        }
    }

    /// Reports a path by all its names.
    fn push(&mut self, path: &Utf8Path, structural: bool, batch: &mut Vec<FileChange>) {
        trace::save!(%path, structural, "noticed");
        self.told.insert(path.to_owned());
        let mut names = BTreeSet::from([path.to_owned()]);
        for places in self.readers.values() {
            places.names_of(path, &mut names);
        }
        batch.extend(names.into_iter().map(|path| FileChange { path, structural }));
    }

    /// Events were lost, so anything may have changed, and a directory may have come meanwhile.
    fn start_over(&mut self, batch: &mut Vec<FileChange>) {
        let project = self.project.clone();
        let mut known = self.system.forget();
        known.retain(|directory| !directory.starts_with(&project));
        self.try_to_add(&project, Rules::Git, &mut Vec::new());
        let trees: BTreeSet<_> = self.readers.values().flat_map(|places| places.trees.clone()).collect();
        for tree in trees {
            self.try_to_add(&tree, Rules::Ours, &mut Vec::new());
        }
        let directories: BTreeSet<_> =
            self.readers.values().flat_map(|places| places.directories.clone()).collect();
        for directory in directories {
            self.try_to_watch(&directory);
        }
        for path in known.iter().chain([&project]) {
            self.push(path, true, batch);
        }
    }

    /// A directory has come, maybe with something in it.
    fn appeared(&mut self, directory: &Utf8Path, rules: Option<Rules>, batch: &mut Vec<FileChange>) {
        self.disappeared(directory);
        if let Some(rules) = rules {
            self.try_to_add(directory, rules, batch);
        }
        let (mut directories, mut there) = (BTreeSet::new(), BTreeSet::new());
        for places in self.readers.values() {
            let known = places.directories.range(directory.to_owned()..);
            directories.extend(known.take_while(|known| known.starts_with(directory)).cloned());
            there.extend(places.below(directory).cloned());
        }
        for directory in directories {
            self.try_to_watch(&directory);
        }
        for path in there.iter().filter(|path| path.exists()) {
            self.push(path, true, batch);
        }
    }

    /// What was there is not, or is something else. What has another name now is not to be told of by its former one.
    fn disappeared(&mut self, path: &Utf8Path) {
        for directory in self.system.below(path) {
            self.system.unwatch(&directory);
        }
    }

    /// Somebody has read these paths, and nothing else any more.
    fn read(&mut self, by: Reader, paths: &[Utf8PathBuf], since: SystemTime, batch: &mut Vec<FileChange>) {
        let places = Places::of(paths, &self.project);
        let trees: Vec<_> = places.trees.iter().filter(|tree| !self.knows_tree(tree)).cloned().collect();
        let directories = places.directories.clone();
        let former = self.readers.insert(by, places).unwrap_or_default();
        let mut found = Vec::new();
        for tree in trees {
            self.try_to_add(&tree, Rules::Ours, &mut found);
        }
        found.retain(|change| changed_since(&change.path, since, &self.project));
        batch.append(&mut found);
        for directory in directories {
            if self.try_to_watch(&directory) {
                let known = self.readers.values().flat_map(|places| places.directly_in(&directory));
                let changed = known.filter(|path| changed_since(path, since, &self.project));
                let changed: BTreeSet<Utf8PathBuf> = changed.cloned().collect();
                changed.iter().for_each(|path| self.push(path, true, batch));
            }
        }
        let mut idle: BTreeSet<_> = former.trees.iter().flat_map(|tree| self.system.below(tree)).collect();
        idle.extend(former.directories);
        for directory in idle {
            if !self.needs(&directory) {
                self.system.unwatch(&directory);
            }
        }
    }

    fn knows_tree(&self, tree: &Utf8Path) -> bool {
        self.readers.values().any(|places| places.trees.contains(tree))
    }

    fn needs(&mut self, directory: &Utf8Path) -> bool {
        self.readers.values().any(|places| places.directories.contains(directory))
            || self.covered(directory).is_some()
    }

    /// By which rules everything in a directory is reported that a path is in; none when only what was read is.
    fn covered(&mut self, path: &Utf8Path) -> Option<Rules> {
        let open = |tree: &Utf8Path| {
            let inside = path.ancestors().take_while(|above| *above != tree);
            path.starts_with(tree) && !inside.into_iter().any(is_ignored)
        };
        if self.readers.values().flat_map(|places| &places.trees).any(|tree| open(tree)) {
            return Some(Rules::Ours);
        }
        if !open(&self.project) {
            return None;
        }
        let inside = path.ancestors().take_while(|above| *above != self.project);
        let ignored =
            inside.into_iter().any(|part| (part != path || part.is_dir()) && self.git.ignores(part));
        (!ignored).then_some(Rules::Git)
    }

    /// Watches a directory and those below it. What is found in those that were not watched may have come before that, and is reported.
    fn add(&mut self, directory: &Utf8Path, rules: Rules, found: &mut Vec<FileChange>) -> notify::Result<()> {
        let is_new = self.system.watch(directory)?;
        let Ok(entries) = directory.read_dir_utf8() else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    let ignored = is_ignored(path) || (rules == Rules::Git && self.git.ignores(path));
                    if !ignored {
                        self.add(path, rules, found)?;
                    }
                }
                Ok(_) if is_new && !is_passing(path) => self.push(path, true, found),
                _ => {}
            }
        }
        Ok(())
    }

    fn try_to_add(&mut self, directory: &Utf8Path, rules: Rules, found: &mut Vec<FileChange>) {
        if let Err(error) = self.add(directory, rules, found) {
            self.warn(directory, &error);
        }
    }

    /// Watches one directory. Whether it was not watched before.
    fn try_to_watch(&mut self, directory: &Utf8Path) -> bool {
        match self.system.watch(directory) {
            Ok(is_new) => is_new,
            Err(error) => {
                // Of a directory that may not be looked into, nothing was read either.
                if !system::is_denied(&error) {
                    self.warn(directory, &error);
                }
                false
            }
        }
    }

    fn warn(&mut self, directory: &Utf8Path, error: &notify::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            let Error { message, hint, .. } = cannot_watch(directory, error);
            self.ui.warning(format!("{message}: {}", hint.unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::Flag;

    use super::*;

    #[test]
    fn lost_events_make_every_root_a_change_and_new_directories_watched() {
        let directory = tempfile::tempdir().expect("a directory");
        let base =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("a path")).expect("UTF-8");
        let (root, other) = (base.join("project"), base.join("other"));
        for directory in [&root, &other] {
            fs_err::create_dir(directory).expect("a directory");
        }
        let (sender, messages) = channel();
        let (ui, _) = Ui::channel();
        let mut watching = Watching::new(root.clone(), &sender, ui).expect("a watcher");
        watching.read(Reader::App, &[other.join("a")], SystemTime::now(), &mut Vec::new());
        fs_err::create_dir(root.join("missed")).expect("a directory");

        let mut batch = Vec::new();
        let lost = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        watching.take(Message::Happened(Ok(lost)), &mut batch);
        let structural = |path: &Utf8PathBuf| FileChange { path: path.clone(), structural: true };
        assert!([&root, &other].iter().all(|path| batch.contains(&structural(path))), "{batch:?}");

        fs_err::write(root.join("missed/a"), "").expect("a file");
        let is_it = |message: &Message| match message {
            Message::Happened(Ok(event)) => event.paths.iter().any(|path| path.ends_with("missed/a")),
            _ => false,
        };
        while !is_it(&messages.recv_timeout(Duration::from_secs(10)).expect("it is watched")) {}
    }

    #[test]
    fn a_file_that_only_was_on_its_way_to_another_name_is_not_reported() {
        let directory = tempfile::tempdir().expect("a directory");
        let root =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("a path")).expect("UTF-8");
        let (sender, messages) = channel();
        let mut watching = Watching::new(root.clone(), &sender, Ui::channel().0).expect("a watcher");
        watching.add(&root, Rules::Git, &mut Vec::new()).expect("it is watched");
        fs_err::write(root.join("beside"), "new").expect("a file");
        fs_err::rename(root.join("beside"), root.join("saved")).expect("renamed");
        let mut batch = Vec::new();
        while !batch.iter().any(|change: &FileChange| change.path.ends_with("saved")) {
            let message = messages.recv_timeout(Duration::from_secs(10)).expect("it is noticed");
            watching.take(message, &mut batch);
        }
        watching.complete(&mut batch);
        assert_eq!(batch, [FileChange { path: root.join("saved"), structural: true }]);
    }
}

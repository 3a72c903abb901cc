//! The directories that are watched: the project's, and those outside of it that functions have code in.

use std::{collections::BTreeMap, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use crate::{
    core::event::{Event, FileChange},
    error::Result,
    project::manifest::FunctionSpec,
    ui::Ui,
    watch::{self, Watch},
};

/// Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Watches {
    root: Utf8PathBuf,
    events: mpsc::UnboundedSender<Event>,
    ui: Ui,
    _project: Watch,
    outside: BTreeMap<Utf8PathBuf, Watch>,
}

impl Watches {
    /// Watches a project. What is saved from now on is reported as `events`, which may be read later.
    ///
    /// # Errors
    /// As [`watch::start`].
    pub(super) fn start(root: Utf8PathBuf, events: mpsc::UnboundedSender<Event>, ui: Ui) -> Result<Self> {
        let project = watch::start(root.clone(), Vec::new(), events.clone(), ui.clone())?;
        Ok(Self { root, events, ui, _project: project, outside: BTreeMap::new() })
    }

    /// Reports those of `files` that were saved since `began`, when nothing was watched yet.
    pub(super) fn catch_up(&self, files: &[Utf8PathBuf], began: SystemTime) {
        let is_newer = |path: &&Utf8PathBuf| {
            path.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|saved| saved > began)
        };
        let saved = files.iter().filter(is_newer);
        let changes: Vec<FileChange> =
            saved.map(|path| FileChange { path: path.clone(), structural: false }).collect();
        if !changes.is_empty() {
            let _ = self.events.send(Event::FilesChanged(changes));
        }
    }

    /// Watches the directories outside of the project that functions have code in, and no others.
    ///
    /// # Errors
    /// As [`watch::start`].
    pub(super) fn follow(&mut self, functions: &[FunctionSpec]) -> Result<()> {
        let directories = functions.iter().map(|function| function.source.directory());
        let outside: Vec<&Utf8Path> =
            directories.filter(|directory| !directory.starts_with(&self.root)).collect();
        self.outside.retain(|directory, _| outside.contains(&directory.as_path()));
        for directory in outside {
            if !self.outside.contains_key(directory) {
                let watch =
                    watch::start(directory.to_owned(), Vec::new(), self.events.clone(), self.ui.clone())?;
                self.outside.insert(directory.to_owned(), watch);
            }
        }
        Ok(())
    }
}

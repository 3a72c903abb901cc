//! What is watched for the app itself: the project, and what its synthesis has read outside of it.

use std::time::SystemTime;

use camino::Utf8PathBuf;
use tokio::sync::mpsc;

use crate::{
    core::event::{Event, FileChange},
    error::Result,
    ui::Ui,
    watch::{self, Reader, Readings, Watch},
};

/// Dropping it ends the watch.
#[derive(Debug)]
pub(in crate::commands) struct Watches {
    events: mpsc::UnboundedSender<Event>,
    watch: Watch,
}

impl Watches {
    /// Watches a project. What is saved from now on is reported as `events`, which may be read later.
    ///
    /// # Errors
    /// As [`watch::start`].
    pub(in crate::commands) fn start(
        root: Utf8PathBuf,
        events: mpsc::UnboundedSender<Event>,
        ui: Ui,
    ) -> Result<Self> {
        Ok(Self { watch: watch::start(root, events.clone(), ui)?, events })
    }

    /// Reports those of `files` that were saved since `began`, when nothing was watched yet.
    pub(in crate::commands) fn catch_up(&self, files: &[Utf8PathBuf], began: SystemTime) {
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

    /// Watches the files that the app was synthesised from, wherever they are.
    pub(in crate::commands) fn follow(&self, inputs: &[Utf8PathBuf]) {
        self.readings().read(Reader::App, inputs.to_vec(), SystemTime::now());
    }

    /// By which the watch is told what has been read.
    pub(in crate::commands) fn readings(&self) -> Readings {
        self.watch.readings()
    }
}

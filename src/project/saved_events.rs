//! Events that were saved in the project, in `events/`, so that a team has them in common: `sst save`, `sst invoke --event NAME`.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Kind, Result};

/// The events of a project.
#[derive(Debug, Clone)]
pub struct SavedEvents {
    directory: Utf8PathBuf,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedEvent {
    /// By which it is called: the file's name without `.json`.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// When it was written last.
    pub at: SystemTime,
}

impl SavedEvents {
    /// Below the project's directory.
    pub const DIRECTORY: &str = "events";

    /// Those of the project at `root`, whether there are any or not.
    #[must_use]
    pub fn of(root: &Utf8Path) -> Self {
        Self { directory: root.join(Self::DIRECTORY) }
    }

    /// Where the event of a name is, or would be.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that is none: a file of another directory, for example.
    pub fn path(&self, name: &str) -> Result<Utf8PathBuf> {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_name) {
            return Err(Error::new(Kind::Usage, format!("an event cannot be called `{name}`"))
                .hint("use letters, digits, `-`, `_` and `.`"));
        }
        Ok(self.directory.join(format!("{name}.json")))
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<SavedEvent> {
        let entries = self.directory.read_dir_utf8().into_iter().flatten().filter_map(io::Result::ok);
        let mut events: Vec<SavedEvent> = entries
            .filter_map(|entry| {
                let name = entry.file_name().strip_suffix(".json")?.to_owned();
                let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                self.path(&name).ok()?;
                Some(SavedEvent { name, bytes: metadata.len(), at: metadata.modified().ok()? })
            })
            .collect();
        events.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        events
    }

    /// Writes an event; in the place of one that there is only if that is wanted.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that is none or is taken, [`Kind::Environment`] when it cannot be written.
    pub fn write(&self, name: &str, event: &[u8], replaces: bool) -> Result<()> {
        let path = self.path(name)?;
        let unwritten = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Environment, format!("cannot write `{path}`")).detail(error)
        };
        fs_err::create_dir_all(&self.directory).map_err(|error| unwritten(&error))?;
        // Written whole or not at all, wherever the disk is full.
        // Others of the team may read it, as far as the user lets them read what is new.
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.directory)
            .map_err(|error| unwritten(&error))?;
        io::Write::write_all(&mut file, event).map_err(|error| unwritten(&error))?;
        let kept = if replaces { file.persist(&path) } else { file.persist_noclobber(&path) };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::new(Kind::Usage, format!("`{path}` is there already"))
                    .hint("take another name, or remove it"))
            }
            Err(error) => Err(unwritten(&error.error)),
        }
    }
}

//! `.sst/`: what is remembered between runs. It belongs to one developer, so nobody else may read it and git ignores it.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
};

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};

use crate::error::{Error, Kind, Result};

/// The links that `sst` itself makes, which only the local cloud reads.
const OWN_LINKS: [&str; 2] = ["cloud-modules", "cloud-modules.new"];

/// The `.sst` directory of a project: mode 0700, with a `.gitignore` that ignores all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: Utf8PathBuf,
}

impl StateDir {
    /// Creates the directory where it is missing and takes other users' access away where it exists.
    ///
    /// # Errors
    /// [`Kind::Environment`] when it cannot be created or written to, or when a link leads out of it.
    pub fn open(root: &Utf8Path) -> Result<Self> {
        let state = Self { path: root.join(".sst") };
        state.refuse_links()?;
        state.create_directory("")?;
        if !state.path(".gitignore").exists() {
            state.write(".gitignore", b"*\n")?;
        }
        Ok(state)
    }

    /// The same for a part of it that is used by itself: a directory with mode 0700 inside.
    ///
    /// # Errors
    /// [`Kind::Environment`] when it cannot be created.
    pub fn below(&self, name: &str) -> Result<Self> {
        Ok(Self { path: self.create_directory(name)? })
    }

    /// The path of an entry; of the directory itself for an empty name.
    #[must_use]
    pub fn path(&self, name: &str) -> Utf8PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }

    /// Writes a file with mode 0600. Readers see the old content or the new one, never a part of it.
    ///
    /// # Errors
    /// [`Kind::Environment`] when the file cannot be written, e.g. because the disk is full.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name);
        // A temporary file is created with mode 0600, and renaming it keeps that.
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.path))?;
            file.write_all(content)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| self.unwritable(&path, &error))
    }

    /// Reads a file; none when it does not exist.
    ///
    /// # Errors
    /// [`Kind::Environment`] when it exists and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        match fs_err::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::new(Kind::Environment, format!("cannot read `{}`", self.path(name))).detail(error))
            }
        }
    }

    /// Creates a directory with mode 0700 inside; for an empty name, the state directory itself.
    ///
    /// # Errors
    /// [`Kind::Environment`] when it cannot be created.
    pub fn create_directory(&self, name: &str) -> Result<Utf8PathBuf> {
        let path = self.path(name);
        let create = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
        };
        create().map_err(|error| self.unwritable(&path, &error))?;
        Ok(path)
    }

    /// Creates an empty directory with mode 0700, in place of one that may be there already.
    ///
    /// # Errors
    /// [`Kind::Environment`] when the old one cannot be removed or the new one cannot be created.
    pub fn fresh_directory(&self, name: &str) -> Result<Utf8PathBuf> {
        let path = self.path(name);
        match fs_err::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.unwritable(&path, &error)),
        }
        self.create_directory(name)
    }

    /// What is written here would be written to wherever a link leads. A project that somebody else made may have brought it along.
    fn refuse_links(&self) -> Result<()> {
        let entries = self.path.read_dir_utf8().into_iter().flatten().flatten();
        let entries = entries.filter(|entry| !OWN_LINKS.contains(&entry.file_name()));
        match std::iter::once(self.path.clone())
            .chain(entries.map(Utf8DirEntry::into_path))
            .find(|path| path.is_symlink())
        {
            None => Ok(()),
            Some(link) => Err(Error::new(Kind::Environment, format!("`{link}` is a symbolic link"))
                .hint("remove it: `sst` keeps files of its own there, and does not follow links")),
        }
    }

    fn unwritable(&self, path: &Utf8Path, error: &std::io::Error) -> Error {
        let message = match error.kind() {
            std::io::ErrorKind::StorageFull => format!("the disk is full: cannot write `{path}`"),
            _ => format!("cannot write `{path}`"),
        };
        Error::new(Kind::Environment, message)
            .detail(error)
            .hint(format!("`{}` must be a directory that you can write to", self.path))
    }
}

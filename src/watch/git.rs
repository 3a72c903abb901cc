//! What a repository says of the files that are not to be kept in it.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};
use ignore::{Match, gitignore::Gitignore};

/// The `.gitignore` files of the repository that a directory is in.
#[derive(Debug)]
pub(super) struct GitIgnore {
    top: Utf8PathBuf,
    /// By their directories, as far as they have been read.
    files: HashMap<Utf8PathBuf, Option<Gitignore>>,
}

impl GitIgnore {
    pub(super) fn of(directory: &Utf8Path) -> Self {
        let top = directory.ancestors().find(|above| above.join(".git").exists()).unwrap_or(directory);
        Self { top: top.to_owned(), files: HashMap::new() }
    }

    /// Whether a directory is ignored. Those above it are not looked at.
    pub(super) fn ignores(&mut self, directory: &Utf8Path) -> bool {
        let Self { top, files } = self;
        for above in directory.ancestors().skip(1).take_while(|above| above.starts_with(&top)) {
            let file = files.entry(above.to_owned()).or_insert_with(|| {
                let file = above.join(".gitignore");
                file.is_file().then(|| Gitignore::new(file).0)
            });
            match file.as_ref().map(|file| file.matched(directory, true)) {
                Some(Match::Ignore(_)) => return true,
                Some(Match::Whitelist(_)) => return false,
                Some(Match::None) | None => {}
            }
        }
        false
    }

    /// One of the files has changed.
    pub(super) fn forget(&mut self) {
        self.files.clear();
    }
}

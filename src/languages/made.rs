//! What is remembered of how the code of a function was made, so that what its commands write does not start them again.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::project::manifest::Making;

/// File → what changes when it does.
pub(super) type Listing = BTreeMap<Utf8PathBuf, String>;

/// What is remembered of how a function was made last.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub making: Option<Making>,
    /// The files that it was made of.
    pub read: Listing,
    /// Files of the asset that the commands write.
    changed: BTreeSet<Utf8PathBuf>,
    /// Files of it that have changed while the commands ran last: either they write them, or somebody has saved them.
    suspected: BTreeSet<Utf8PathBuf>,
}

/// What is remembered of a layer that was made.
#[derive(Debug, Default)]
pub(super) struct MadeLayer {
    pub made: Made,
    /// How often that was. It is the name of the directory in which it is.
    pub number: usize,
}

impl Made {
    /// Whether the commands write a file of the asset themselves. It is none of those that the code is made of, or they would be
    /// run for ever.
    pub(super) fn written(&self, file: &Utf8Path) -> bool {
        self.changed.contains(file)
    }

    /// Takes in what has changed while the commands ran. What was there before may have been saved by somebody: it counts as written
    /// by the commands only when it changes every time.
    pub(super) fn note(&mut self, before: &Listing, after: &Listing) {
        let changed =
            after.iter().filter(|(file, stamp)| before.get(*file) != Some(stamp)).map(|(file, _)| file);
        let (there, new): (BTreeSet<_>, BTreeSet<_>) =
            changed.cloned().partition(|file| before.contains_key(file));
        let again =
            there.iter().filter(|file| self.changed.contains(*file) || self.suspected.contains(*file));
        self.changed = again.cloned().chain(new).collect();
        self.suspected = there;
    }

    /// What is watched: directories as wholes where the commands write nothing, else the other files in them.
    pub(super) fn inputs(&self, directory: &Utf8Path, files: &Listing) -> Vec<Utf8PathBuf> {
        if !self.changed.iter().any(|file| file.starts_with(directory)) {
            return vec![directory.to_owned()];
        }
        let children: BTreeSet<Utf8PathBuf> = files
            .keys()
            .filter_map(|file| file.strip_prefix(directory).ok()?.components().next())
            .map(|name| directory.join(name))
            .collect();
        let of_child = |child: Utf8PathBuf| match files.contains_key(&child) {
            true if self.written(&child) => Vec::new(),
            true => vec![child],
            false => self.inputs(&child, files),
        };
        children.into_iter().flat_map(of_child).collect()
    }
}

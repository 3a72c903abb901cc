//! Functions whose directory is deployed as it is.

use std::{collections::BTreeSet, fmt::Write as _, io, sync::Arc, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use sst_wire::sha256_hex;

use super::unbuildable;
use crate::{
    core::event::{Artifact, BuildError, Program},
    ignored::{is_ignored, is_passing},
    project::manifest::FunctionSpec,
};

/// Takes the directory as it is, to be run by `program`.
pub(super) async fn artifact(
    path: Utf8PathBuf,
    spec: Arc<FunctionSpec>,
    program: Program,
) -> Result<Artifact, BuildError> {
    let inputs = vec![path.clone()];
    let taken = tokio::task::spawn_blocking(move || take(&path, &spec, program)).await;
    taken.unwrap_or_else(|error| Err(unbuildable(error.to_string(), inputs)))
}

fn take(path: &Utf8Path, spec: &FunctionSpec, program: Program) -> Result<Artifact, BuildError> {
    let listing = Listing::of(path)
        .map_err(|error| unbuildable(format!("cannot read `{path}`: {error}"), vec![path.to_owned()]))?;
    Ok(Artifact {
        program,
        task_root: path.to_owned(),
        handler: spec.handler.clone(),
        fingerprint: sha256_hex(listing.text.as_bytes()),
        inputs: listing.inputs,
        packages: Vec::new(),
        provided: None,
        opt: None,
    })
}

/// Names, sizes, and times of all files of a directory that somebody may edit. Everything in it is deployed, so everything counts.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub text: String,
    /// The directory, and the links in it: what is behind them is in it as well.
    pub inputs: Vec<Utf8PathBuf>,
    /// The directories behind links, which may lead back to where they are.
    seen: BTreeSet<Utf8PathBuf>,
}

impl Listing {
    pub(super) fn of(directory: &Utf8Path) -> io::Result<Self> {
        let mut listing = Self { inputs: vec![directory.to_owned()], ..Self::default() };
        listing.seen.extend(directory.canonicalize_utf8());
        listing.add(directory)?;
        Ok(listing)
    }

    fn add(&mut self, directory: &Utf8Path) -> io::Result<()> {
        let mut entries: Vec<_> = directory.read_dir_utf8()?.collect::<io::Result<_>>()?;
        entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        for entry in entries {
            let path = entry.path();
            if is_passing(path) {
                continue;
            }
            let is_link = entry.file_type()?.is_symlink();
            // A file may go while it is looked at; its event comes as well.
            let Ok(metadata) = fs_err::metadata(path) else { continue };
            let is_inside = !metadata.is_dir() || (!is_ignored(path) && (!is_link || self.is_new(path)));
            if is_link && is_inside {
                self.inputs.push(path.to_owned());
            }
            if !metadata.is_dir() {
                let modified =
                    metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let _ = writeln!(self.text, "{path} {} {}", metadata.len(), modified.as_nanos());
            } else if is_inside {
                self.add(path)?;
            }
        }
        Ok(())
    }

    /// Whether what is behind a link is not in the listing yet, and the link is not in what is behind it.
    fn is_new(&mut self, link: &Utf8Path) -> bool {
        let Ok(target) = link.canonicalize_utf8() else { return false };
        let leads_back = link.parent().and_then(|parent| parent.canonicalize_utf8().ok());
        !leads_back.is_some_and(|parent| parent.starts_with(&target)) && self.seen.insert(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_links_is_listed_once() {
        let directory = tempfile::tempdir().unwrap();
        let base = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        let root = base.join("function");
        for path in ["function/sub", "shared"] {
            fs_err::create_dir_all(base.join(path)).unwrap();
        }
        fs_err::write(base.join("shared/a.py"), "").unwrap();
        let link = |to: &str, at: &str| fs_err::os::unix::fs::symlink(to, root.join(at)).unwrap();
        link("../shared", "one");
        link("../shared", "two");
        link("../..", "sub/back");
        let listing = Listing::of(&root).unwrap();
        let files: Vec<&str> = listing.text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(files, [root.join("one/a.py").as_str()]);
        assert_eq!(listing.inputs, ["", "one"].map(|path| root.join(path)));
    }
}

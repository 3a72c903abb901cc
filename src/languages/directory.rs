//! Functions whose directory is deployed as it is.

use std::{fmt::Write as _, io, sync::Arc, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use sst_wire::sha256_hex;

use super::unbuildable;
use crate::{
    core::event::{Artifact, BuildError, Program},
    project::manifest::FunctionSpec,
};

/// Installed packages, and what programs write by themselves.
pub(super) const NOBODY_EDITS: [&str; 8] =
    ["node_modules", ".git", ".venv", "venv", "__pycache__", ".sst", "cdk.out", "target"];

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
    let inputs = vec![path.to_owned()];
    let mut listing = String::new();
    list(path, &mut listing)
        .map_err(|error| unbuildable(format!("cannot read `{path}`: {error}"), inputs.clone()))?;
    Ok(Artifact {
        program,
        task_root: path.to_owned(),
        handler: spec.handler.clone(),
        fingerprint: sha256_hex(listing.as_bytes()),
        inputs,
        packages: Vec::new(),
        provided: None,
    })
}

/// Names, sizes, and times of all files that somebody may edit.
fn list(directory: &Utf8Path, listing: &mut String) -> io::Result<()> {
    let mut entries: Vec<_> = directory.read_dir_utf8()?.collect::<io::Result<_>>()?;
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    for entry in entries {
        if NOBODY_EDITS.contains(&entry.file_name()) {
            continue;
        }
        // A file may go while it is looked at; its event comes as well.
        let Ok(metadata) = fs_err::metadata(entry.path()) else { continue };
        if metadata.is_dir() && !entry.path().is_symlink() {
            list(entry.path(), listing)?;
        } else {
            let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let _ = writeln!(listing, "{} {} {}", entry.path(), metadata.len(), modified.as_nanos());
        }
    }
    Ok(())
}

//! The layers of functions, laid out as a directory that stands for `/opt`.
//!
//! A single layer is its directory itself, so that what is saved in it is what runs, and a debugger finds its files where they are.
//! Several are merged into a directory of links, in which the later ones win, as on Lambda.

mod archive;
mod merge;
mod published;

use std::{io, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use sst_wire::sha256_hex;

use self::archive::unpack;
pub(crate) use self::published::download;
use crate::core::event::{Artifact, BuildError};

/// Where functions on Lambda find their layers.
pub(crate) const OPT: &str = "/opt";

/// Where functions on Lambda find their own code.
pub(crate) const TASK_ROOT: &str = "/var/task";

/// What programs write into the directories of a layer by themselves.
const NOBODY_EDITS: [&str; 2] = [".git", "__pycache__"];

/// How many merged directories are kept: workers that are about to end still use the one before.
const KEPT: usize = 2;

/// The artifact with the layers of its function, which are merged below `directory` if need be. `watched` is what they are made of.
///
/// # Errors
/// When a layer cannot be read: on Lambda, the function would not have been deployed.
pub(crate) async fn with_layers(
    artifact: Artifact,
    layers: Vec<Utf8PathBuf>,
    watched: &[Utf8PathBuf],
    directory: Utf8PathBuf,
) -> Result<Artifact, BuildError> {
    if layers.is_empty() {
        return Ok(artifact);
    }
    let packages: Vec<Utf8PathBuf> = watched.iter().flat_map(|layer| packages_in(layer)).collect();
    let inputs: Vec<Utf8PathBuf> = artifact.inputs.iter().chain(watched).chain(&packages).cloned().collect();
    let laid_out = tokio::task::spawn_blocking(move || lay_out(&layers, &directory)).await;
    match laid_out.unwrap_or_else(|error| Err(error.to_string())) {
        Ok((opt, listing)) => Ok(Artifact {
            fingerprint: format!("{} {listing}", artifact.fingerprint),
            opt: Some(opt),
            inputs,
            ..artifact
        }),
        Err(summary) => Err(BuildError {
            detail: summary.clone(),
            summary,
            error_type: "Sst.LayerFailed".to_owned(),
            inputs,
        }),
    }
}

/// The directories of installed packages in the layers, which are part of what somebody edits there, although nobody edits those of a
/// project.
fn packages_in(layer: &Utf8Path) -> Vec<Utf8PathBuf> {
    let nodejs = layer.join("nodejs");
    let versions = nodejs.read_dir_utf8().into_iter().flatten().flatten();
    let versions = versions.filter(|entry| entry.file_name().starts_with("node"));
    let found = versions.map(|entry| match entry.file_name() {
        "node_modules" => entry.into_path(),
        _ => entry.path().join("node_modules"),
    });
    found.filter(|path| path.is_dir()).collect()
}

/// Makes one directory of the layers. Returns it, and what tells whether anything in it has changed.
fn lay_out(layers: &[Utf8PathBuf], directory: &Utf8Path) -> Result<(Utf8PathBuf, String), String> {
    let cannot = |layer: &Utf8Path, error: io::Error| {
        format!(
            "the layer `{layer}` cannot be read: {error}; see that the app names a directory or a `.zip` that is there"
        )
    };
    let mut listing = String::new();
    let mut directories = Vec::new();
    for layer in layers {
        let metadata = fs_err::metadata(layer).map_err(|error| cannot(layer, error))?;
        if metadata.is_dir() {
            list(layer, &mut listing, 0).map_err(|error| cannot(layer, error))?;
            directories.push(layer.clone());
            continue;
        }
        let modified = metadata.modified().map_err(|error| cannot(layer, error))?;
        let said = format!("{layer} {} {}\n", metadata.len(), since_epoch(modified));
        let unpacked = directory.join(format!("archive-{}", &sha256_hex(said.as_bytes())[..16]));
        if !unpacked.is_dir() {
            unpack(layer, &unpacked).map_err(|error| cannot(layer, error))?;
        }
        listing += &said;
        directories.push(unpacked);
    }
    let listing = sha256_hex(listing.as_bytes());
    if let [only] = directories.as_slice() {
        return Ok((only.clone(), listing));
    }
    let merged = directory.join(format!("merged-{}", &listing[..16]));
    let made = || -> io::Result<()> {
        if !merged.is_dir() {
            fs_err::create_dir_all(directory)?;
            let unfinished = tempfile::tempdir_in(directory)?;
            let target = Utf8Path::from_path(unfinished.path()).ok_or(io::ErrorKind::InvalidFilename)?;
            merge::merge(&directories, target)?;
            fs_err::rename(unfinished.keep(), &merged)?;
        }
        remove_older(directory, &merged);
        Ok(())
    };
    made()
        .map_err(|error| format!("the layers cannot be laid over one another in `{directory}`: {error}"))?;
    Ok((merged, listing))
}

/// Names, sizes, and times of all files of a layer.
fn list(directory: &Utf8Path, listing: &mut String, depth: usize) -> io::Result<()> {
    use std::fmt::Write as _;
    if depth > merge::DEEPEST {
        return Ok(());
    }
    let mut entries: Vec<_> = directory.read_dir_utf8()?.collect::<io::Result<_>>()?;
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    for entry in entries {
        // A file may go while it is looked at; its event comes as well.
        let Ok(metadata) = fs_err::symlink_metadata(entry.path()) else { continue };
        if NOBODY_EDITS.contains(&entry.file_name()) {
            continue;
        }
        if metadata.is_dir() {
            list(entry.path(), listing, depth + 1)?;
        } else {
            let modified = since_epoch(metadata.modified()?);
            let _ = writeln!(listing, "{} {} {modified}", entry.path(), metadata.len());
        }
    }
    Ok(())
}

fn since_epoch(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// Removes merged directories but the newest ones.
fn remove_older(directory: &Utf8Path, newest: &Utf8Path) {
    let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
    let mut merged: Vec<_> = entries
        .filter(|entry| entry.file_name().starts_with("merged-") && entry.path() != newest)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.into_path())))
        .collect();
    merged.sort();
    for (_, older) in merged.iter().rev().skip(KEPT - 1) {
        // Links only. What cannot be removed now is found at the next change.
        let _ = fs_err::remove_dir_all(older);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_is_itself_and_several_are_merged_anew_when_one_changes() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let (one, other, output) = (root.join("one"), root.join("other"), root.join("output"));
        for layer in [&one, &other] {
            fs_err::create_dir_all(layer.join("bin")).unwrap();
        }
        fs_err::write(one.join("bin/a"), "1").unwrap();
        fs_err::write(other.join("bin/b"), "2").unwrap();
        assert_eq!(lay_out(std::slice::from_ref(&one), &output).unwrap().0, one);
        let both = [one.clone(), other.clone()];
        let (merged, listing) = lay_out(&both, &output).unwrap();
        assert_eq!(fs_err::read_to_string(merged.join("bin/a")).unwrap(), "1");
        assert_eq!(lay_out(&both, &output).unwrap(), (merged.clone(), listing.clone()));
        fs_err::write(other.join("bin/c"), "3").unwrap();
        let (again, changed) = lay_out(&both, &output).unwrap();
        assert_ne!((&again, &changed), (&merged, &listing));
        assert_eq!(fs_err::read_to_string(again.join("bin/c")).unwrap(), "3");
        assert!(merged.is_dir(), "whoever runs with it goes on");
        fs_err::write(other.join("bin/d"), "4").unwrap();
        lay_out(&both, &output).unwrap();
        assert!(!merged.is_dir(), "no more than two are kept");
        let error = lay_out(&[root.join("nowhere")], &output).unwrap_err();
        assert!(error.contains("nowhere` cannot be read"), "{error}");
    }
}

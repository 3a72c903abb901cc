//! Where the sources of programs are that are compiled before they are packed: what lies around an archive that somebody has made before.

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    languages::{self, Language, Named, Place},
    paths::normalized,
    project::manifest::{BuildOptions, Source},
};

/// The source of a program.
#[derive(Debug, PartialEq)]
pub(super) struct Program {
    /// Its project: a directory or a file.
    pub(super) path: Utf8PathBuf,
    /// Its options.
    pub(super) build: BuildOptions,
}

/// The project that an archive, or a directory, was made of: the nearest one around it, in a language of the function's runtime.
pub(super) fn around(root: &Utf8Path, archive: &Utf8Path, runtime: &str, handler: &str) -> Option<Program> {
    let languages = languages::of_runtime(runtime).ok()?;
    let archive = normalized(&root.join(archive));
    let around = archive
        .ancestors()
        .skip(usize::from(!archive.is_dir()))
        .take_while(|directory| directory.starts_with(root));
    let path = around
        .into_iter()
        .find_map(|directory| languages.iter().find_map(|language| program(*language, directory, handler)))?;
    Some(Program { path, build: BuildOptions { binary: binary(&archive), ..BuildOptions::default() } })
}

/// `cargo lambda` puts each binary in a directory of its name: `target/lambda/<binary>/bootstrap.zip`.
fn binary(archive: &Utf8Path) -> Option<String> {
    let directory = archive.parent()?;
    let is_of_cargo = directory.parent()?.ends_with("target/lambda");
    directory.file_name().filter(|_| is_of_cargo).map(str::to_owned)
}

fn program(language: &dyn Language, path: &Utf8Path, handler: &str) -> Option<Utf8PathBuf> {
    let place = Place { path, named: Named::Entry, declared: handler, by_hand: None, construct: None };
    match language.source(&place) {
        Some((Source::Program { path, .. }, _)) => Some(path),
        _ => None,
    }
}

/// Whether a runtime only provides the system, so that what runs on it is a program.
pub(super) fn is_for_programs(runtime: &str) -> bool {
    languages::of_runtime(runtime).is_ok_and(|languages| languages.len() > 1)
}

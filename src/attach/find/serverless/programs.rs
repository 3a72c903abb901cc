//! Where the sources of programs are that are compiled before they are packed: what plugins for Go and Rust say, and what lies around an
//! archive that somebody has made before.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::variables::Configuration;
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

/// What a plugin compiles for a function; none when none does.
pub(super) fn of_plugin(
    configuration: &Configuration,
    plugins: &[String],
    function: &Value,
    runtime: Option<&str>,
    handler: &str,
) -> Option<Program> {
    let has = |plugin: &str| plugins.iter().any(|one| one == plugin);
    let custom = |path: &[&str]| configuration.text(path).ok().flatten();
    if has("serverless-go-plugin") {
        let base = custom(&["custom", "go", "baseDir"]).unwrap_or_default();
        let is_of_service = configuration.get(&["custom", "go", "monorepo"]) == Ok(Value::Bool(true));
        let base = if is_of_service { "" } else { &base };
        let path = normalized(&configuration.directory.join(base).join(handler));
        return path.exists().then(|| Program { path, build: BuildOptions::default() });
    }
    // The plugin's own name for what it deploys on a runtime that only provides the system.
    if has("serverless-rust") && runtime == Some("rust") {
        let (package, binary) = handler.split_once('.').unwrap_or((handler, handler));
        let directory = &configuration.directory;
        let manifests = [directory.join(package).join("Cargo.toml"), directory.join("Cargo.toml")];
        let path = manifests.into_iter().find(|path| path.is_file())?;
        let own = configuration.text_in(function, &["rust", "cargoFlags"]).ok().flatten();
        let flags = own.or_else(|| custom(&["custom", "rust", "cargoFlags"])).unwrap_or_default();
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        let build = BuildOptions { binary: Some(binary.to_owned()), flags, ..BuildOptions::default() };
        return Some(Program { path, build });
    }
    None
}

/// The project that an archive was made of: the nearest one around it, in a language of the function's runtime.
pub(super) fn around_archive(
    root: &Utf8Path,
    archive: &str,
    runtime: &str,
    handler: &str,
) -> Option<Program> {
    let languages = languages::of_runtime(runtime).ok()?;
    let archive = normalized(&root.join(archive));
    let around = archive.ancestors().skip(1).take_while(|directory| directory.starts_with(root));
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

/// Whether a file is one that is bundled, in a language of the runtime.
pub(super) fn is_bundled(entry: &Utf8Path, runtime: Option<&str>, handler: &str) -> bool {
    let Some(runtime) = runtime else { return true };
    let place = Place { path: entry, named: Named::Entry, declared: handler, by_hand: None, construct: None };
    let languages = languages::of_runtime(runtime).unwrap_or_default();
    languages.iter().any(|language| matches!(language.source(&place), Some((Source::Entry { .. }, _))))
}

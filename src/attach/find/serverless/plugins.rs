//! What plugins for Go and Rust say of where a program's sources are, and which files are bundled.

use camino::Utf8Path;
use serde_json::Value;

use super::{super::programs::Program, variables::Configuration};
use crate::{
    languages::{self, Named, Place},
    paths::normalized,
    project::manifest::{BuildOptions, Source},
};

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

/// Whether a file is one that is bundled, in a language of the runtime.
pub(super) fn is_bundled(entry: &Utf8Path, runtime: Option<&str>, handler: &str) -> bool {
    let Some(runtime) = runtime else { return true };
    let place = Place { path: entry, named: Named::Entry, declared: handler, by_hand: None, construct: None };
    let languages = languages::of_runtime(runtime).unwrap_or_default();
    languages.iter().any(|language| matches!(language.source(&place), Some((Source::Entry { .. }, _))))
}

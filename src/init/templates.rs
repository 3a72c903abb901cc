//! The apps of `templates/`, one for each language. They are whole files that work as they are; only their name is replaced.

use camino::Utf8PathBuf;
use include_dir::{Dir, include_dir};

static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// What is taken if nobody says anything.
pub(crate) const DEFAULT_LANGUAGE: &str = "typescript";

/// What every template is called.
const NAME: &str = "my-app";

/// Under its own name it would be obeyed in our repository.
const IGNORED: &str = "gitignore";

/// The languages that there are templates for.
#[must_use]
pub(crate) fn languages() -> Vec<&'static str> {
    let mut names: Vec<_> = TEMPLATES.dirs().filter_map(|directory| directory.path().to_str()).collect();
    names.sort_unstable();
    names
}

/// An app's files, relative to its directory.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) files: Vec<(Utf8PathBuf, String)>,
}

impl Template {
    /// The one of a language, which is one of [`languages`].
    pub(super) fn get(language: &str, name: &str) -> Self {
        let mut files = Vec::new();
        if let Some(directory) = TEMPLATES.get_dir(language) {
            collect(directory, language, name, &mut files);
        }
        files.sort();
        Self { files }
    }
}

fn collect(directory: &Dir<'static>, language: &str, name: &str, files: &mut Vec<(Utf8PathBuf, String)>) {
    for file in directory.files() {
        let path = file.path().strip_prefix(language).ok().and_then(|path| path.to_str());
        let (Some(path), Some(text)) = (path, file.contents_utf8()) else { continue };
        let named = match path {
            "package.json" => text.replace(NAME, &name.to_lowercase()),
            "sst.json" => text.replace(NAME, name),
            _ => text.to_owned(),
        };
        let path = if path == IGNORED { ".gitignore" } else { path };
        files.push((path.into(), named));
    }
    for directory in directory.dirs() {
        collect(directory, language, name, files);
    }
}

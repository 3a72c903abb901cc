//! Where projects are: apps, directories in which functions are attached, and those of other tools.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Project, name_without_sst_json};
use crate::error::{Error, Kind as ErrorKind, Result};

impl Project {
    /// Finds the app that `start` is in, or the nearest directory in which `sst attach` was started.
    ///
    /// # Errors
    /// As [`Project::find`].
    pub fn find_served(start: &Utf8Path) -> Result<Self> {
        let served = |directory: &&Utf8Path| is_app(directory) || directory.join(STARTED).is_file();
        match absolute(start)?.ancestors().find(served) {
            Some(directory) => Self::read(directory),
            None => Self::find(start),
        }
    }

    /// The same, or the nearest directory in which another tool's files are.
    ///
    /// # Errors
    /// As [`Project::find`].
    pub fn find_or_other_tools(start: &Utf8Path) -> Result<Self> {
        let found = Self::find_served(start);
        match absolute(start)?.ancestors().find(|directory| file_of_other_tool(directory).is_some()) {
            Some(directory) if found.is_err() => Self::read(directory),
            _ => found,
        }
    }

    /// Finds what `sst attach` is started in: the nearest directory, upwards, that is an app, or in which another tool's files are; else
    /// `start` itself.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when its files are not what they should be.
    pub fn find_any(start: &Utf8Path) -> Result<Self> {
        let start = absolute(start)?;
        let is_any = |directory: &&Utf8Path| is_app(directory) || file_of_other_tool(directory).is_some();
        Self::read(start.ancestors().find(is_any).unwrap_or(&start))
    }
}

/// Below a project: what is there once `sst start` or `sst attach` was started in it.
const STARTED: &str = ".sst/start.lock";

pub(super) fn absolute(start: &Utf8Path) -> Result<Utf8PathBuf> {
    start.canonicalize_utf8().map_err(|error| {
        Error::new(ErrorKind::Usage, format!("cannot read the directory `{start}`")).detail(error)
    })
}

pub(super) fn is_app(directory: &Utf8Path) -> bool {
    ["sst.json", "cdk.json"].iter().any(|name| directory.join(name).is_file())
}

/// The files by which other tools know their projects.
const OF_OTHER_TOOLS: [&str; 11] = [
    "samconfig.toml",
    "samconfig.yaml",
    "samconfig.yml",
    "template.yaml",
    "template.yml",
    "template.json",
    "serverless.yml",
    "serverless.yaml",
    "serverless.json",
    "serverless.ts",
    "serverless.js",
];

/// The first such file of a directory; for Terraform and OpenTofu any file of theirs.
pub(super) fn file_of_other_tool(directory: &Utf8Path) -> Option<Utf8PathBuf> {
    let known = OF_OTHER_TOOLS.iter().map(|name| directory.join(name)).find(|path| path.is_file());
    known.or_else(|| {
        let entries = directory.read_dir_utf8().ok()?.flatten();
        let mut files = entries.map(|entry| entry.path().to_owned());
        files.find(|path| matches!(path.extension(), Some("tf" | "tofu" | "tfstate")) && path.is_file())
    })
}

pub(super) fn name_of_directory(root: &Utf8Path) -> String {
    name_without_sst_json(root).unwrap_or_else(|_| "project".to_owned())
}

pub(super) fn nameless(root: &Utf8Path) -> Error {
    Error::new(ErrorKind::Usage, format!("`{}` has no `name`", root.join("sst.json")))
        .hint("add one, e.g. \"name\": \"my-app\"; `sst attach` needs none")
}

//! Which state is meant, and where its file is, if it has one.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::{INITIALISED, text};

/// The file of the workspace that each directory has.
pub(super) const STATE: &str = "terraform.tfstate";

/// The workspace that each directory has.
const DEFAULT: &str = "default";

/// Where the states of other workspaces are, each in a directory of its name.
const WORKSPACES: &str = "terraform.tfstate.d";

/// A workspace.
#[derive(Debug, PartialEq)]
pub(super) struct Workspace {
    /// Its name.
    pub(super) name: String,
    /// Whether somebody has named it, and not the directory.
    pub(super) is_asked_for: bool,
    /// Where its state is, unless that is somewhere else than on this disk.
    pub(super) file: Option<Utf8PathBuf>,
    /// The kind of the backend, as `init` has noted it.
    pub(super) backend: Option<String>,
    /// The workspaces of which there are states on this disk.
    pub(super) others: Vec<String>,
}

impl Workspace {
    /// The one that is asked for, or else the one that `workspace select` has chosen.
    pub(super) fn read(root: &Utf8Path, asked: Option<&str>) -> Self {
        let selected = fs_err::read_to_string(root.join(INITIALISED).join("environment")).ok();
        let selected = selected.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let name = asked.map(str::to_owned).or(selected).unwrap_or_else(|| DEFAULT.to_owned());
        let noted = fs_err::read(root.join(INITIALISED).join(STATE)).ok();
        let noted: Value = noted.and_then(|noted| serde_json::from_slice(&noted).ok()).unwrap_or_default();
        let backend = text(&noted["backend"], "type").map(str::to_owned);
        let is_here = backend.as_deref().is_none_or(|backend| backend == "local");
        let configured = |field: &str| text(&noted["backend"]["config"], field);
        let directory = root.join(configured("workspace_dir").unwrap_or(WORKSPACES));
        let of_default = root.join(configured("path").unwrap_or(STATE));
        let mut others = names(&directory);
        others.extend(Some(DEFAULT.to_owned()).filter(|_| of_default.is_file()));
        let file = match name.as_str() {
            DEFAULT => of_default,
            name => directory.join(name).join(STATE),
        };
        Self { name, is_asked_for: asked.is_some(), file: Some(file).filter(|_| is_here), backend, others }
    }

    /// Its name, when it is not the one that the tool takes by itself: some backends do not know that by the same name.
    pub(super) fn asked_for(&self) -> Option<&str> {
        self.is_asked_for.then_some(self.name.as_str())
    }
}

fn names(directory: &Utf8Path) -> Vec<String> {
    let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
    let with_state = entries.filter(|entry| entry.path().join(STATE).is_file());
    let mut names: Vec<String> = with_state.map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}

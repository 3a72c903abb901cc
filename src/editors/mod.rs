//! Puts the files of `launch-configs/` into a project. What is there stays: comments, other entries, and what the developer changed.

mod functions;
mod jetbrains;
mod vscode;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    error::{Error, Kind, Result},
    ids::FunctionId,
};

/// An editor for which there are files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editor {
    /// VS Code and what is made from it.
    Vscode,
    /// WebStorm.
    Webstorm,
    /// IntelliJ IDEA with its plugins for Node.js and Go.
    Intellij,
    /// PyCharm.
    Pycharm,
    /// GoLand.
    Goland,
    /// RustRover.
    Rustrover,
    /// CLion.
    Clion,
}

/// A function that does not run on Node, as a debugger sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachable {
    /// The function's id.
    pub id: FunctionId,
    /// What it is written in.
    pub language: Language,
    /// The port that its debuggers attach to.
    pub port: u16,
    /// The compiled program, for debuggers that read symbols from it; a path of this machine.
    pub program: Option<Utf8PathBuf>,
}

/// The languages beside JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python.
    Python,
    /// Go.
    Go,
    /// Rust, or whatever a command of the developer's runs.
    Native,
}

/// Where debuggers attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The inspector endpoint that shows every worker as a child.
    pub inspector: u16,
    /// The one that lists the workers as Node does itself.
    pub flat: u16,
    /// The debug adapter for all languages.
    pub adapter: u16,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file, relative to the project.
    pub path: Utf8PathBuf,
    /// Whether it is different now.
    pub changed: bool,
}

/// Writes an editor's files into the project at `root`. A second time nothing changes. `functions` are those of the app that do not run
/// on Node.
///
/// # Errors
/// [`Kind::Usage`] for a file that is there and cannot be understood, which is left as it is; [`Kind::Environment`] for one that
/// cannot be read or written.
pub fn write(
    root: &Utf8Path,
    editor: Editor,
    ports: Ports,
    functions: &[Attachable],
) -> Result<Vec<Written>> {
    match editor {
        Editor::Vscode => vscode::write(root, ports, !functions.is_empty()),
        Editor::Webstorm => jetbrains::write(root, jetbrains::WEBSTORM, ports.flat),
        Editor::Intellij => {
            let mut written = jetbrains::write(root, jetbrains::INTELLIJ, ports.flat)?;
            written.extend(functions::write(root, &functions::GOLAND, functions)?);
            Ok(written)
        }
        // Its format is not published.
        Editor::Pycharm => Ok(Vec::new()),
        Editor::Goland => functions::write(root, &functions::GOLAND, functions),
        Editor::Rustrover => functions::write(root, &functions::RUSTROVER, functions),
        Editor::Clion => functions::write(root, &functions::CLION, functions),
    }
}

/// The files of a project, relative to it, with a configuration of any editor for `sst`.
#[must_use]
pub fn found(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let runs = root.join(".run").read_dir_utf8().into_iter().flatten().flatten();
    let mut runs: Vec<Utf8PathBuf> =
        runs.map(|entry| Utf8Path::new(".run").join(entry.file_name())).collect();
    runs.sort();
    let mentions =
        |file: &Utf8PathBuf| fs_err::read_to_string(root.join(file)).is_ok_and(|text| text.contains("sst"));
    std::iter::once(Utf8PathBuf::from(".vscode/launch.json")).chain(runs).filter(mentions).collect()
}

/// Rewrites a file of the project with what `change` makes of its text, or of nothing.
fn update(
    root: &Utf8Path,
    path: Utf8PathBuf,
    change: impl FnOnce(Option<&str>) -> Result<String>,
) -> Result<Written> {
    let file = root.join(&path);
    let failed = |error: std::io::Error| Error::new(Kind::Environment, format!("`{path}`")).detail(error);
    let before = match fs_err::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let after = change(before.as_deref())?;
    let changed = before.as_deref() != Some(&after);
    if changed {
        if let Some(directory) = file.parent() {
            fs_err::create_dir_all(directory).map_err(failed)?;
        }
        fs_err::write(&file, after).map_err(failed)?;
    }
    Ok(Written { path, changed })
}

//! Puts the files of `launch-configs/` into a project. What is there stays: comments, other entries, and what the developer changed.

mod functions;
mod jetbrains;
mod launcher;
mod vscode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;

use self::launcher::Launcher;
pub(crate) use self::launcher::{has_program, obstacle};
use crate::{
    error::{Error, Kind, Result},
    ids::{FunctionId, LanguageId},
    languages::{self, Language, RunConfiguration},
};

/// An editor for which there are launch configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Editor {
    /// `.vscode/launch.json`
    Vscode,
    /// `.run/*.run.xml`
    Webstorm,
    /// `.run/*.run.xml`
    Intellij,
    /// Says what to enter for functions in Python
    Pycharm,
    /// `.run/*.run.xml` for functions in Go
    Goland,
    /// `.run/*.run.xml` for functions in Rust
    Rustrover,
    /// `.run/*.run.xml` for functions in Rust
    Clion,
    /// Those of all editors that fit the languages of the app
    All,
}

impl Editor {
    /// The editors that are meant.
    #[must_use]
    pub fn each(self) -> Vec<Self> {
        match self {
            Self::All => Self::value_variants().iter().copied().filter(|one| *one != Self::All).collect(),
            one => vec![one],
        }
    }

    /// Its name, as it is written on the command line.
    #[must_use]
    pub fn id(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A function that does not run on Node, as a debugger sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachable {
    /// The function's id.
    pub id: FunctionId,
    /// What it is written in.
    pub language: LanguageId,
    /// The port that its debuggers attach to.
    pub port: u16,
    /// The compiled program, for debuggers that read symbols from it; a path of this machine.
    pub program: Option<Utf8PathBuf>,
}

impl Attachable {
    /// Whether a configuration of an editor names its program, which is not known.
    #[must_use]
    pub(crate) fn lacks_program(&self, editor: Editor) -> bool {
        let id = editor.id();
        let names_it = |one: &RunConfiguration| {
            one.is_for(&id)
                && matches!(one, RunConfiguration::File { text, .. } if text.contains("{program}"))
        };
        self.program.is_none() && languages::get(&self.language).run_configurations().iter().any(names_it)
    }
}

/// Where debuggers attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The inspector endpoint that shows every worker as a child.
    pub inspector: u16,
    /// The one that lists the workers as Node does itself.
    pub flat: u16,
    /// The debug adapter for all languages.
    pub adapter: u16,
}

/// What launch configurations say of how the app is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Where debuggers attach.
    pub ports: Ports,
    /// Whether the last `sst start` was one with `--local`.
    pub local: bool,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
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
pub(crate) fn write(
    root: &Utf8Path,
    editor: Editor,
    usage: Usage,
    functions: &[Attachable],
) -> Result<Vec<Written>> {
    let launcher = Launcher::find(root);
    let mut written = match editor {
        Editor::Vscode => vscode::write(root, usage, &launcher, functions)?,
        Editor::Webstorm => jetbrains::write(root, jetbrains::WEBSTORM, usage, &launcher)?,
        Editor::Intellij => jetbrains::write(root, jetbrains::INTELLIJ, usage, &launcher)?,
        _ => Vec::new(),
    };
    written.extend(functions::write(root, &editor.id(), functions)?);
    Ok(written)
}

/// What has to be entered by hand for an editor, line by line.
#[must_use]
pub(crate) fn by_hand(root: &Utf8Path, editor: Editor, functions: &[Attachable]) -> Vec<String> {
    functions::by_hand(root, &editor.id(), functions)
}

/// The languages for whose functions an editor is given something, beside JavaScript.
#[must_use]
pub(crate) fn languages(editor: Editor) -> Vec<&'static str> {
    let id = editor.id();
    // Programs in other languages have those of one of them.
    let is_one = |language: &&dyn Language| {
        language.id() != languages::COMMAND && language.run_configurations().iter().any(|one| one.is_for(&id))
    };
    languages::all().filter(is_one).map(Language::name).collect()
}

/// The files of a project, relative to it, with a configuration of any editor for `sst`.
#[must_use]
pub(crate) fn found(root: &Utf8Path) -> Vec<Utf8PathBuf> {
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

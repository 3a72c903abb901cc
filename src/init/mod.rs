//! What `sst init` makes of a directory: a small app, beside whatever is there. Nothing that is there is overwritten.
//!
//! All of it is planned before the first file is written, each file is written as a whole, and `sst.json` comes last. So one that was
//! interrupted can be run once more.

mod installer;
mod package;
mod templates;

use std::{io::Write, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

pub(crate) use self::{
    installer::Installer,
    package::Own,
    templates::{DEFAULT_LANGUAGE, languages},
};
use self::{package::PACKAGE, templates::Template};
use crate::{
    error::{Error, Kind, Result},
    project,
};

/// The file that makes a directory a project.
const PROJECT: &str = "sst.json";

/// The same for an app of the CDK.
const CDK: &str = "cdk.json";

/// What git is not to keep.
const IGNORED: &str = ".gitignore";

/// What is going to be written into a directory.
#[derive(Debug)]
pub(crate) struct Plan {
    root: Utf8PathBuf,
    files: Vec<Planned>,
    /// Files of the template whose place is taken. They are settings, so what is there will do.
    pub kept: Vec<Utf8PathBuf>,
    /// Whether the project depends on the npm package that this program comes in.
    pub depends_on_us: bool,
}

/// A file, relative to the directory.
#[derive(Debug)]
struct Planned {
    path: Utf8PathBuf,
    text: String,
    /// What is merged takes the place of what was there; nothing else does.
    replaces: bool,
}

impl Plan {
    /// Finds out what an app in this language takes. `own` is what the project is to depend on, if it does not yet.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the directory has an app already, has something else where the app's code would be, or has files that
    /// cannot be understood.
    pub(crate) fn new(root: &Utf8Path, language: &str, name: &str, own: Option<&Own>) -> Result<Self> {
        let template = Template::get(language, name);
        let resumed = is_resumed(root, &template)?;
        let mut plan =
            Self { root: root.to_owned(), files: Vec::new(), kept: Vec::new(), depends_on_us: false };
        let mut taken = Vec::new();
        for (path, text) in template.files {
            match path.as_str() {
                PACKAGE => {
                    let present = read(root, PACKAGE)?;
                    let merged = package::merge(present.as_deref(), &text, own)?;
                    plan.depends_on_us = package::depends_on_us(&merged);
                    plan.replace(path, merged, present.as_deref());
                }
                IGNORED => {
                    let present = read(root, IGNORED)?;
                    plan.replace(
                        path,
                        ignoring(present.as_deref().unwrap_or_default(), &text),
                        present.as_deref(),
                    );
                }
                _ if !root.join(&path).exists() => plan.files.push(Planned { path, text, replaces: false }),
                // What an interrupted one has written.
                _ if resumed || read(root, path.as_str()).is_ok_and(|present| present == Some(text)) => {}
                _ if path.parent().is_some_and(|parent| !parent.as_str().is_empty()) => taken.push(path),
                _ => plan.kept.push(path),
            }
        }
        if !taken.is_empty() {
            let taken = taken.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::new(Kind::Usage, format!("{taken}: already there, and nothing was written"))
                .hint("move what is there, or name another directory: `sst init my-app`"));
        }
        plan.files.sort_by_key(|file| file.path == PROJECT);
        Ok(plan)
    }

    /// Writes it. Returns what was written, in order.
    ///
    /// # Errors
    /// [`Kind::Environment`] when a file cannot be written, [`Kind::Usage`] when somebody else has just written one.
    pub(crate) fn write(self) -> Result<Vec<Utf8PathBuf>> {
        let mut written = Vec::new();
        for file in self.files {
            file.write(&self.root)?;
            written.push(file.path);
        }
        Ok(written)
    }

    fn replace(&mut self, path: Utf8PathBuf, text: String, present: Option<&str>) {
        if present != Some(&text) {
            self.files.push(Planned { path, text, replaces: present.is_some() });
        }
    }
}

impl Planned {
    fn write(&self, root: &Utf8Path) -> Result<()> {
        let path = root.join(&self.path);
        // A link stays one, and so do the rights of a file.
        let path = path.canonicalize_utf8().unwrap_or(path);
        let directory = path.parent().unwrap_or(root);
        let write = || -> std::io::Result<()> {
            fs_err::create_dir_all(directory)?;
            let rights = fs_err::metadata(&path).map_or(0o666, |found| found.permissions().mode());
            let rights = std::fs::Permissions::from_mode(rights & 0o777);
            let mut file = tempfile::Builder::new().permissions(rights).tempfile_in(directory)?;
            file.write_all(self.text.as_bytes())?;
            let persisted = if self.replaces { file.persist(&path) } else { file.persist_noclobber(&path) };
            persisted.map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| Error::new(Kind::Environment, format!("cannot write `{path}`")).detail(error))
    }
}

/// The app's name: what was asked for, else what the directory or its `package.json` is called.
///
/// # Errors
/// [`Kind::Usage`] when it cannot be a part of the names of stacks.
pub(crate) fn app_name(root: &Utf8Path, wanted: Option<&str>) -> Result<String> {
    match wanted {
        Some(name) if project::is_name(name) => Ok(name.to_owned()),
        Some(name) => {
            Err(Error::new(Kind::Usage, format!("the name `{name}` cannot be part of the names of stacks"))
                .hint("use letters, digits, and hyphens, starting with a letter"))
        }
        None => Ok(begun_name(root)
            .or_else(|| project::name_without_sst_json(root).ok())
            .unwrap_or_else(|| "my-app".to_owned())),
    }
}

/// The name in an `sst.json` of an app that has been begun: that of its package is in lower case, as npm wants it.
fn begun_name(root: &Utf8Path) -> Option<String> {
    let settings = project::read_json(&root.join(PROJECT)).ok()?;
    settings["name"].as_str().map(str::to_owned)
}

/// Whether an app of the same name in the same language has been begun here.
fn is_resumed(root: &Utf8Path, template: &Template) -> Result<bool> {
    let refused = |file: &str, hint: &str| {
        Error::new(Kind::Usage, format!("`{root}` has an app already: `{file}` is there"))
            .hint(format!("{hint}; for another app: `sst init my-app`"))
    };
    if root.join(CDK).exists() {
        return Err(refused(
            CDK,
            "an app of the CDK needs nothing else: `sst start --local` starts it as it is",
        ));
    }
    let Some(present) = read(root, PROJECT)? else { return Ok(false) };
    let ours = template.files.iter().any(|(path, text)| path == PROJECT && *text == present);
    if ours { Ok(true) } else { Err(refused(PROJECT, "`sst start --local` starts it")) }
}

/// The text of a file, if there is one.
fn read(root: &Utf8Path, path: &str) -> Result<Option<String>> {
    match fs_err::read_to_string(root.join(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(Kind::Usage, format!("`{path}` cannot be read")).detail(error)),
    }
}

/// A `.gitignore` with the lines that it lacks. `/target`, `target` and `target/` are the same here: whoever has written one of them
/// has thought of it.
fn ignoring(present: &str, wanted: &str) -> String {
    let bare = |line: &str| line.trim().trim_matches('/').to_owned();
    let missing = wanted.lines().filter(|line| !present.lines().any(|there| bare(there) == bare(line)));
    let end = if present.contains("\r\n") { "\r\n" } else { "\n" };
    let mut text = present.to_owned();
    for line in missing {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push_str(end);
        }
        text.push_str(line);
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests;

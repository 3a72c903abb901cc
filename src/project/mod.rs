//! What is on disk before anything runs: `sst.json` or `cdk.json`, the stage, and the function manifest.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use crate::error::{Error, Kind as ErrorKind, Result};

mod choice;
mod json_file;
pub mod manifest;
mod places;
mod saved_events;
mod stage;
mod state_dir;
mod test_runner;
mod unknown;

pub use choice::{Choice, NOT_CHOSEN, SERVES_DEPLOYMENT};
pub use json_file::read_json;
use places::{absolute, file_of_other_tool, is_app, name_of_directory, nameless};
pub use saved_events::{SavedEvent, SavedEvents};
pub use stage::{StageRequest, check_stage, resolve_stage};
pub use state_dir::StateDir;
pub use test_runner::{TestRunner, test_runner};

/// A project, as its files describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// The absolute directory of `sst.json` or `cdk.json`.
    pub root: Utf8PathBuf,
    /// The app's name: letters, digits, and hyphens, starting with a letter.
    pub name: String,
    /// The region that `sst.json` names.
    pub region: Option<String>,
    /// How the app is synthesised.
    pub kind: Kind,
    /// Functions whose source `sst.json` names by hand, by construct path (`<stack id>/<construct>…`).
    pub functions: BTreeMap<String, HandMapping>,
    /// The stage in `sst.json`, which is deprecated because a team shares that file.
    pub stage_in_file: Option<String>,
    /// Names in events and results whose values a history does not show, besides those that it never shows.
    pub masked: Vec<String>,
    /// What `sst.json` says that nobody reads, one sentence each.
    pub unknown: Vec<String>,
    /// What is in `cdk.json`; empty where there is none.
    pub cdk: Map<String, Value>,
}

/// How the app is synthesised.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// An `sst.json` project: a module exports a function that is given the app.
    Sst {
        /// The module, absolute; the usual places are tried when absent.
        main: Option<Utf8PathBuf>,
        /// The `context` and the like of a `cdk.json` beside it; often empty.
        context: Map<String, Value>,
    },
    /// A `cdk.json` project: a command of its own builds the assembly.
    Cdk {
        /// The command that builds the assembly.
        app: String,
        /// A command to run before it.
        build: Option<String>,
        /// `context` of `cdk.json`.
        context: Map<String, Value>,
    },
    /// A project that another tool deploys, or none at all: `sst attach` runs what is deployed of it.
    Deployed,
}

/// Where the code of a function is, said by hand in `sst.json`:
/// `"functions": { "<construct path>": { "entry": "src/list.ts", "handler": "handler" } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandMapping {
    /// The source.
    pub source: HandSource,
    /// The handler: an export's name for an entry file, `file.export` for a directory. The declared one when absent.
    pub handler: Option<String>,
    /// Whether the stub's permissions were attached by hand to a role that the app does not own.
    pub policy_attached: bool,
}

/// A source that was named by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandSource {
    /// A file to bundle, absolute.
    Entry(Utf8PathBuf),
    /// A directory to run as it is, absolute.
    Directory(Utf8PathBuf),
    /// A command that is run as the `bootstrap`, in this directory.
    Command(Vec<String>, Utf8PathBuf),
    /// Whatever synthesis finds out; the mapping says only something else.
    Found,
}

impl Project {
    /// Finds the app that `start` is in: the nearest directory, upwards, with an `sst.json` or a `cdk.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when there is none, or when its files are not what they should be.
    pub fn find(start: &Utf8Path) -> Result<Self> {
        let start = absolute(start)?;
        if let Some(directory) = start.ancestors().find(|directory| is_app(directory)) {
            let project = Self::read(directory)?;
            return match project.kind {
                Kind::Deployed => Err(nameless(directory)),
                _ => Ok(project),
            };
        }
        let error = Error::new(
            ErrorKind::Usage,
            format!("no `sst.json` or `cdk.json` in `{start}` or a directory above it"),
        );
        Err(match start.ancestors().find_map(file_of_other_tool) {
            Some(file) => error.hint(format!(
                "`{file}` is there: `sst attach` runs functions on this machine that another tool has deployed"
            )),
            None => error.hint("run this inside a project, or make one here: `sst init`"),
        })
    }

    /// The project's own directory for what is remembered between runs.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn state_dir(&self) -> Result<StateDir> {
        StateDir::open(&self.root)
    }

    /// The name that `cdk.json` has for the stack of `cdk bootstrap`.
    #[must_use]
    pub fn toolkit_stack(&self) -> Option<&str> {
        self.cdk.get("toolkitStackName")?.as_str()
    }

    /// The qualifier that `cdk.json` has for the app's bootstrap.
    #[must_use]
    pub fn qualifier(&self) -> Option<&str> {
        self.cdk.get("context")?.get("@aws-cdk/core:bootstrapQualifier")?.as_str()
    }

    /// Whether the app may export `debugStack`, so that the debug stack has to wait for the synthesis: a file beside the main one has
    /// that word in it.
    #[must_use]
    pub fn may_change_debug_stack(&self) -> bool {
        let Kind::Sst { main, .. } = &self.kind else { return false };
        let directories = match main {
            Some(main) if main.is_dir() => vec![main.clone()],
            Some(main) => vec![main.parent().unwrap_or(&self.root).to_owned()],
            None => vec![self.root.join("stacks"), self.root.join("lib")],
        };
        let files = directories.iter().filter_map(|directory| directory.read_dir_utf8().ok()).flatten();
        files.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).any(|entry| {
            let text = fs_err::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            text.contains("debugStack") || text.contains("debugApp")
        })
    }

    fn read(root: &Utf8Path) -> Result<Self> {
        let fields =
            |name: &str| root.join(name).is_file().then(|| Fields::read(root.join(name))).transpose();
        let (sst, cdk) = (fields("sst.json")?, fields("cdk.json")?);
        let context = match &cdk {
            Some(cdk) => cdk.object("context")?.cloned().unwrap_or_default(),
            None => Map::new(),
        };
        if let Some(cdk) = &cdk {
            cdk.text("toolkitStackName")?;
        }
        let main = match &sst {
            Some(sst) => sst.text("main")?.map(|main| root.join(main)),
            None => None,
        };
        let command = match &cdk {
            Some(cdk) if main.is_none() => cdk.command("app")?,
            _ => None,
        };
        let kind = match (&sst, &cdk, command) {
            (_, Some(cdk), Some(app)) => Kind::Cdk { app, build: cdk.command("build")?, context },
            // It only says where the code of functions is that something else has deployed.
            (Some(sst), None, _) if sst.only_maps_functions() => Kind::Deployed,
            (Some(_), ..) => Kind::Sst { main, context },
            (None, None, _) => Kind::Deployed,
            _ => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("`{}` has no `app`", root.join("cdk.json")),
                )
                .hint("set `app` to the command that builds the app, e.g. \"node bin/app.js\""));
            }
        };
        let (name, region, functions, stage_in_file) = match &sst {
            Some(sst) => {
                let name = if kind == Kind::Deployed { name_of_directory(root) } else { sst.name()? };
                (name, sst.text("region")?, sst.hand_mappings(root)?, sst.text("stage")?)
            }
            None if kind == Kind::Deployed => (name_of_directory(root), None, BTreeMap::new(), None),
            None => (name_without_sst_json(root)?, None, BTreeMap::new(), None),
        };
        let masked = sst.as_ref().map(Fields::masked).transpose()?.unwrap_or_default();
        let unknown = sst.map(|sst| unknown::fields(&sst.path, &sst.fields)).unwrap_or_default();
        let cdk = cdk.map(|cdk| cdk.fields).unwrap_or_default();
        Ok(Self { root: root.to_owned(), name, region, kind, functions, stage_in_file, masked, unknown, cdk })
    }
}

/// Whether a text can be a part of the names of stacks: letters, digits, and hyphens, starting with a letter.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// A `cdk.json` has no name, so that of `package.json` serves, or else the directory's.
///
/// # Errors
/// [`ErrorKind::Usage`] when neither can be the name of an app.
pub fn name_without_sst_json(root: &Utf8Path) -> Result<String> {
    let package = root.join("package.json");
    let from_package = if package.is_file() {
        read_json(&package)?
            .get("name")
            .and_then(Value::as_str)
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
    } else {
        None
    };
    [from_package.as_deref(), root.file_name()]
        .into_iter()
        .flatten()
        .map(as_name)
        .find(|name| is_name(name))
        .ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("the project in `{root}` has no usable name")).hint(
                "give `package.json` a `name` that starts with a letter, or add an `sst.json` with a `name`",
            )
        })
}

/// `text` with everything that a name cannot hold replaced by hyphens.
fn as_name(text: &str) -> String {
    let replaced: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    replaced.trim_matches('-').to_owned()
}

/// The top-level fields of a JSON file of the project, read with errors that name file and field.
struct Fields {
    path: Utf8PathBuf,
    fields: Map<String, Value>,
}

impl Fields {
    fn read(path: Utf8PathBuf) -> Result<Self> {
        match read_json(&path)? {
            Value::Object(fields) => Ok(Self { path, fields }),
            other => Err(Error::new(
                ErrorKind::Usage,
                format!("`{path}` must hold a JSON object, not {}", type_name(&other)),
            )),
        }
    }

    /// Whether it says no more than where functions' code is.
    fn only_maps_functions(&self) -> bool {
        let apps = ["name", "main"];
        self.fields.contains_key("functions") && apps.iter().all(|name| !self.fields.contains_key(*name))
    }

    fn wrong_type(&self, field: &str, wanted: &str, found: &Value) -> Error {
        Error::new(
            ErrorKind::Usage,
            format!("`{field}` in `{}` must be {wanted}, not {}", self.path, type_name(found)),
        )
    }

    /// An optional string; `null` counts as absent.
    fn text(&self, field: &str) -> Result<Option<String>> {
        text_field(&self.fields, field).map_err(|found| self.wrong_type(field, "a string", found))
    }

    fn object(&self, field: &str) -> Result<Option<&Map<String, Value>>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(self.wrong_type(field, "an object", other)),
        }
    }

    /// A command of `cdk.json`, which may be a list of words.
    fn command(&self, field: &str) -> Result<Option<String>> {
        if let Some(Value::Array(words)) = self.fields.get(field) {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            let words =
                words.ok_or_else(|| self.wrong_type(field, "a string or a list of strings", &Value::Null))?;
            return Ok(Some(words.join(" ")));
        }
        Ok(self.text(field)?.filter(|command| !command.trim().is_empty()))
    }

    fn name(&self) -> Result<String> {
        let Some(name) = self.text("name")? else {
            return Err(Error::new(ErrorKind::Usage, format!("`{}` has no `name`", self.path))
                .hint("add one, e.g. \"name\": \"my-app\""));
        };
        if is_name(&name) {
            return Ok(name);
        }
        Err(Error::new(
            ErrorKind::Usage,
            format!("the name `{name}` in `{}` cannot be part of the names of stacks", self.path),
        )
        .hint("use letters, digits, and hyphens, starting with a letter"))
    }

    /// `"history": { "mask": ["cardNumber"] }`.
    fn masked(&self) -> Result<Vec<String>> {
        let Some(mask) = self.object("history")?.and_then(|history| history.get("mask")) else {
            return Ok(Vec::new());
        };
        let names = mask.as_array().and_then(|names| {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        names.ok_or_else(|| self.wrong_type("history.mask", "a list of strings", mask))
    }

    fn hand_mappings(&self, root: &Utf8Path) -> Result<BTreeMap<String, HandMapping>> {
        let Some(functions) = self.object("functions")? else {
            return Ok(BTreeMap::new());
        };
        functions
            .iter()
            .map(|(path, value)| Ok((path.clone(), self.hand_mapping(root, path, value)?)))
            .collect()
    }

    fn hand_mapping(&self, root: &Utf8Path, function: &str, value: &Value) -> Result<HandMapping> {
        let name = |field: &str| format!("functions.\"{function}\".{field}");
        let Value::Object(fields) = value else {
            return Err(self.wrong_type(&format!("functions.\"{function}\""), "an object", value));
        };
        let text = |field: &str| {
            text_field(fields, field).map_err(|found| self.wrong_type(&name(field), "a string", found))
        };
        let policy_attached = match fields.get("policyAttached") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(attached)) => *attached,
            Some(other) => return Err(self.wrong_type(&name("policyAttached"), "true or false", other)),
        };
        let command = match fields.get("command") {
            None | Some(Value::Null) => None,
            Some(Value::String(program)) => Some(vec![program.clone()]),
            Some(Value::Array(words)) if words.iter().all(Value::is_string) && !words.is_empty() => {
                Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some(other) => {
                return Err(self.wrong_type(
                    &name("command"),
                    "a program or a list of a program and its arguments",
                    other,
                ));
            }
        };
        let source = match (text("entry")?, text("directory")?, command) {
            (None, directory, Some(command)) => HandSource::Command(
                command,
                directory.map_or(root.to_owned(), |directory| root.join(directory)),
            ),
            (Some(entry), None, None) => HandSource::Entry(root.join(entry)),
            (None, Some(directory), None) => HandSource::Directory(root.join(directory)),
            (None, None, None) if policy_attached => HandSource::Found,
            (Some(_), _, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("the function `{function}` in `{}` has both `entry` and `command`", self.path),
                )
                .hint("name the file to build as `entry`, or the program to run as `command`"));
            }
            (both, _, None) => {
                let what = if both.is_some() { "both" } else { "neither" };
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "the function `{function}` in `{}` has {what} `entry` and `directory`",
                        self.path
                    )
                    .replace("neither `entry` and", "neither `entry` nor"),
                )
                .hint(
                    "name the file to bundle as `entry`, or the directory to run as it is as `directory`",
                ));
            }
        };
        Ok(HandMapping { source, handler: text("handler")?, policy_attached })
    }
}

/// An optional string of an object; the value itself when it is something else.
fn text_field<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<String>, &'a Value> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(other),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;

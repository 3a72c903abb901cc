//! Languages: one file for each, which says all there is to know of it. How its runtimes are called on Lambda, how a function's source
//! is found, built, and launched, how it is debugged, what `sst doctor` looks for, and what `sst ide` writes.
//!
//! Everything else asks here, by a [`LanguageId`] that means nothing to it. A language is added by a file, and a line in [`ALL`].

mod answers;
mod build_id;
mod cargo_profile;
mod command;
mod debugger;
mod directory;
mod go;
mod installed;
mod interpreters;
mod java;
mod lifecycle;
mod made;
mod making;
mod mentions;
mod node;
mod nodes;
mod program;
mod provided;
mod python;
mod rust;
mod sought;
#[cfg(test)]
mod tests;
mod toolbox;

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use include_dir::Dir;

pub(crate) use self::{
    debugger::{AdapterLink, DebugAdapter, Debuggee, Debugger, OwnProtocol},
    lifecycle::{Fate, fate},
    making::layer,
    mentions::{directory_loads_old_sdk, text_loads_old_sdk},
    node::{program_for, provided_for, with_program, with_provided},
    provided::Sdk,
    sought::{HandlerFile, NamedProgram},
    toolbox::Toolbox,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    ids::LanguageId,
    process::Spawner,
    project::manifest::{BuildOptions, Bundling, FunctionSpec, Source, UnheededOption},
};

/// All of them. Where several could mean the same path, the first that does is taken.
const ALL: [&dyn Language; 6] =
    [&node::Node, &python::Python, &java::Java, &rust::Rust, &go::Go, &command::Command];

/// The id of programs of which nothing is known but the command that serves them.
pub(crate) const COMMAND: &str = "command";

/// Runtimes in languages that are not among them, by the beginnings of their names, and what to call those.
const NOT_YET: [(&str, &str); 2] = [("dotnet", ".NET"), ("ruby", "Ruby")];

/// A language.
pub(crate) trait Language: Debug + Sync {
    /// What it is called in files, e.g. `go`.
    fn id(&self) -> &'static str;

    /// What people call it, e.g. `Go`.
    fn name(&self) -> &'static str;

    /// Its runtimes on Lambda.
    fn runtimes(&self) -> Runtimes;

    /// The files into which code goes that stands in a template; none for languages in which none can.
    fn inline(&self) -> Option<Inline> {
        None
    }

    /// The construct that brings functions in it, beside `Function`: the file of a package that is changed while an app is
    /// synthesised. What its options mean is said in `infra/synth/languages.cjs`, under the language's id.
    #[cfg_attr(not(test), expect(dead_code, reason = "infra/synth/languages.json is made of it"))]
    fn construct(&self) -> Option<&'static str> {
        None
    }

    /// Whether what is deployed may be an archive that somebody has made before, rather than a directory.
    fn takes_archives(&self) -> bool {
        false
    }

    /// The files in which a handler may be, relative to a function's directory: what somebody has written before what may have been made
    /// of it. None where a handler names no file.
    fn handler_files(&self, _handler: &str) -> Vec<HandlerFile> {
        Vec::new()
    }

    /// The programs of which a directory is the project, or a part of it, with their names; none where programs have no name.
    fn programs(&self, _directory: &Utf8Path) -> Vec<NamedProgram> {
        Vec::new()
    }

    /// The source that a path means, and the handler in it; none when it means nothing in this language.
    fn source(&self, place: &Place<'_>) -> Option<(Source, String)>;

    /// Makes a function runnable. What a compiler says meanwhile is given to `on_line`, line by line.
    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>>;

    /// What of a source's options has no effect, because functions are built for debuggers.
    fn unheeded(&self, _source: &Source) -> Vec<UnheededOption> {
        Vec::new()
    }

    /// What a compiler waits for, when that is what a line of it says.
    fn waits(&self, _line: &str) -> Option<String> {
        None
    }

    /// Does what takes longer than a call may take, for functions in it that need not be compiled.
    fn ahead<'a>(&'static self, _functions: &'a [FunctionSpec], _tools: &'a Toolbox) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What is started for a program. `node` is the Node that `sst` itself uses, `scripts` where the runners have been written to.
    fn launch(&self, program: &Program, node: &Utf8Path, scripts: &Utf8Path) -> Launch {
        let _ = (node, scripts);
        Launch {
            program: program.executable.clone().unwrap_or_default(),
            arguments: program.arguments.clone(),
            native: true,
            first_in_path: None,
            most_data_mb: None,
        }
    }

    /// The variables by which its runtimes find what is beside a function's code, and in the layers, when `opt` is what stands for
    /// `/opt`. A function's own variables of these names win.
    fn path_variables(
        &self,
        _runtime: &str,
        _opt: Option<&Utf8Path>,
        _task_root: &Utf8Path,
    ) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Keeps what is started for a program to the memory that its function declares, in megabytes. What a program can write to is limited
    /// by the system, with what its runtime sets aside when it starts and does not use: Go's is the largest.
    fn limit_memory(&self, launch: &mut Launch, declared_mb: u64) {
        const SET_ASIDE_MB: u64 = 112;
        launch.most_data_mb = Some(declared_mb + SET_ASIDE_MB);
    }

    /// Gives scripts in `directory` that are plain copies of those in `original` what debuggers find the originals by.
    ///
    /// # Errors
    /// When that cannot be written.
    fn map_copies(&self, _directory: &Utf8Path, _original: &Utf8Path) -> std::io::Result<()> {
        Ok(())
    }

    /// Changes what is started for a program so that it loads nothing of the function before a debugger lets it.
    fn hold(&self, _launch: &mut Launch) {}

    /// Changes what runs an artifact so that it finds what is in the layers, which are in `opt`, where variables do not say so.
    fn add_layers(&self, _program: &mut Program, _opt: &Utf8Path) {}

    /// What of ours runs its functions; none where a function's program is its own client of the Runtime API.
    fn runner(&self) -> Option<&'static Runner> {
        None
    }

    /// How tests of its handlers are written; none where nobody writes them here.
    fn tests(&self) -> Option<Tests> {
        None
    }

    /// How its processes are debugged.
    fn debugger(&self) -> &'static Debugger;

    /// What runs a function of it, where that is an interpreter whose version its runtime names.
    fn interpreter<'a>(
        &'static self,
        _spec: &'a FunctionSpec,
        _tools: &'a Toolbox,
    ) -> BoxFuture<'a, Option<Interpreted>> {
        Box::pin(std::future::ready(None))
    }

    /// What `sst doctor` looks for when an app has functions in it.
    fn checks(&self) -> &'static [Check];

    /// What JetBrains IDEs are given for each function in it.
    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &[]
    }

    /// The program that is made from a source, for debuggers that read symbols from it, if it can be told without making it.
    fn executable<'a>(
        &'static self,
        _source: &'a Source,
        _spawner: &'a Spawner,
    ) -> BoxFuture<'a, Option<Utf8PathBuf>> {
        Box::pin(std::future::ready(None))
    }
}

/// What tests of handlers are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// JavaScript, also for handlers in TypeScript.
    JavaScript,
    /// Python.
    Python,
}

/// The runtimes of a language on Lambda.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runtimes {
    /// How their names begin.
    pub prefixes: &'static [&'static str],
}

/// The files for code that stands in a template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inline {
    /// The one that the code goes into.
    pub name: &'static str,
    /// What has to be beside it, and its text.
    pub beside: Option<(&'static str, &'static str)>,
}

/// A path that somebody says is the source of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The path.
    pub path: &'a Utf8Path,
    /// How it was named.
    pub named: Named,
    /// The handler that the template declares.
    pub declared: &'a str,
    /// The handler that the developer has written beside the path.
    pub by_hand: Option<&'a str>,
    /// What the construct said of the function, as far as it said anything.
    pub construct: Option<Construct<'a>>,
}

/// How a path was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// As the file in which a function begins, or the project that it is.
    Entry,
    /// As a directory, by the developer.
    Directory,
    /// As what is deployed.
    Asset,
}

/// What a construct said of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Construct<'a> {
    /// The exported name of the handler.
    pub export: Option<&'a str>,
    /// Where packages are looked up from.
    pub root: Option<&'a Utf8Path>,
    /// The options for esbuild.
    pub bundling: Option<&'a Bundling>,
    /// The options for a compiler.
    pub build: Option<&'a BuildOptions>,
    /// What is deployed is made from the path by commands of the app.
    pub is_made: bool,
    /// These commands can be run here.
    pub can_be_made: bool,
}

impl Place<'_> {
    /// The handler's last part, which names a function in a file.
    fn last_part(&self) -> &str {
        let handler = self.declared;
        handler.rsplit('.').next().unwrap_or(handler)
    }

    /// What follows the file's name in the handler: an export, or the way to one within an export.
    fn export_path(&self) -> &str {
        let file = self.declared.rsplit('/').next().unwrap_or(self.declared);
        file.split_once('.').map_or(file, |(_, path)| path)
    }

    /// The handler that counts.
    fn handler(&self) -> String {
        self.by_hand.unwrap_or(self.declared).to_owned()
    }

    /// The directory that the path is in.
    fn parent(&self) -> Utf8PathBuf {
        self.path.parent().unwrap_or(self.path).to_owned()
    }

    /// The source of a program that is compiled from `path`.
    fn program(&self, path: Utf8PathBuf) -> Source {
        let build = self.construct.and_then(|construct| construct.build.cloned()).unwrap_or_default();
        let directory = if path.is_file() { path.parent().unwrap_or(&path) } else { &path };
        Source::Program { directory: directory.to_owned(), path, build: build.into() }
    }

    /// Whether what is deployed has to be made from the path first.
    fn is_made(&self) -> bool {
        self.construct.is_some_and(|construct| construct.is_made)
    }

    /// Whether that can be done here.
    fn can_be_made(&self) -> bool {
        self.construct.is_some_and(|construct| construct.can_be_made)
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The executable.
    pub program: Utf8PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// A program of the developer's own, to which a debugger attaches from outside.
    pub native: bool,
    /// Where what the function starts finds the same interpreter, when that is not the first in the `PATH`.
    pub first_in_path: Option<Utf8PathBuf>,
    /// How much it may have that it can write to, in megabytes, if there is a limit.
    pub most_data_mb: Option<u64>,
}

/// What runs the functions of a runtime.
#[derive(Debug, Clone)]
pub(crate) struct Interpreted {
    /// What it is, e.g. `Node.js 22.4.1`.
    pub name: String,
    /// Where it is.
    pub path: Utf8PathBuf,
    /// The same, where it is another one than `sst` itself uses.
    other: Option<Utf8PathBuf>,
    /// When it is of another version than the runtime: why, and what to do.
    pub advice: Option<String>,
}

/// Scripts of ours that run functions in a process that can be started before it is known which function it will serve.
#[derive(Debug)]
pub(crate) struct Runner {
    /// The scripts.
    pub files: &'static Dir<'static>,
    /// How the names of variables begin that are read once, when the interpreter starts: by itself, or by the libraries that it is
    /// made of.
    pub read_at_start: &'static [&'static str],
    /// Those of them that the runner reads once more, when it knows its function.
    pub read_again: &'static [&'static str],
    /// Whether it can have debuggers stop at the first line of a handler.
    pub stops_at_first_line: bool,
}

/// Something that should be on the machine.
#[derive(Debug)]
pub(crate) struct Check {
    /// How it is found.
    pub find: Find,
    /// What to say when it is not.
    pub missing: &'static str,
    /// What to do then.
    pub fix: &'static str,
    /// Whether functions run without it.
    pub only_debugging: bool,
}

/// How something is found on the machine.
#[derive(Debug)]
pub(crate) enum Find {
    /// A program says its version when it is given these arguments.
    Version(&'static str, &'static [&'static str]),
    /// A program of this name is found in some place.
    Path(&'static str, fn() -> Option<PathBuf>),
}

/// What an editor is given for each function in a language.
#[derive(Debug)]
pub(crate) enum RunConfiguration {
    /// A file.
    File {
        /// The editors, as `sst ide` knows them.
        editors: &'static [&'static str],
        /// Its text, with `{function}`, `{port}` and `{program}`.
        text: &'static str,
        /// What stands before the port in it.
        before_port: &'static str,
    },
    /// An entry of VS Code's `launch.json`.
    Entry {
        /// Its text, with `{function}` and `{port}`.
        text: &'static str,
    },
    /// Its format is not published, so the developer enters what is said after this sentence.
    ByHand {
        /// The editor, as `sst ide` knows it.
        editor: &'static str,
        /// Where it is entered.
        place: &'static str,
    },
}

impl RunConfiguration {
    /// Whether it is for an editor.
    #[must_use]
    pub(crate) fn is_for(&self, wanted: &str) -> bool {
        match self {
            Self::File { editors, .. } => editors.contains(&wanted),
            Self::ByHand { editor, .. } => *editor == wanted,
            Self::Entry { .. } => wanted == "vscode",
        }
    }
}

/// Makes a function of a language runnable.
pub(crate) async fn build(
    spec: &Arc<FunctionSpec>,
    tools: &Toolbox,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Artifact, BuildError> {
    making::artifact(get(&spec.language), spec, tools, on_line).await
}

/// All languages.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Language> {
    ALL.into_iter()
}

/// A language. One that there is not is a program of which nothing is known.
#[must_use]
pub(crate) fn get(id: &LanguageId) -> &'static dyn Language {
    all().find(|language| language.id() == id.as_str()).unwrap_or(&command::Command)
}

/// The language of which a process is kept for whatever function comes next.
#[must_use]
pub(crate) fn of_standby() -> &'static dyn Language {
    &node::Node
}

/// The languages that a runtime may mean: one, but for runtimes that only provide the system.
///
/// # Errors
/// A fragment that says why functions on it are left alone.
pub(crate) fn of_runtime(runtime: &str) -> Result<Vec<&'static dyn Language>, String> {
    let means = |language: &&dyn Language| {
        language.runtimes().prefixes.iter().any(|prefix| runtime.starts_with(prefix))
    };
    let found: Vec<_> = all().filter(means).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match NOT_YET.iter().find(|(prefix, _)| runtime.starts_with(prefix)) {
        Some((_, name)) => format!("functions in {name} (`{runtime}`) do not run on this machine yet"),
        None => format!("the runtime `{runtime}` does not run on this machine yet"),
    })
}

/// A build that could not even be tried.
#[must_use]
pub(crate) fn unbuildable(summary: String, inputs: Vec<Utf8PathBuf>) -> BuildError {
    BuildError {
        detail: summary.clone(),
        summary,
        error_type: "Runtime.ImportModuleError".to_owned(),
        inputs,
    }
}

/// A program that does not compile.
fn not_compiled(summary: String, detail: String, inputs: Vec<Utf8PathBuf>) -> BuildError {
    BuildError { summary, detail, error_type: "Sst.BuildFailed".to_owned(), inputs }
}

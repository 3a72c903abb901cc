//! What shells offer when TAB is pressed: commands and options, and the functions, stacks and stages of the project that one is in, as the
//! last `sst start` has left them below `.sst`. Nothing is asked, run or written for it.

use std::{collections::BTreeSet, io};

use camino::{Utf8Path, Utf8PathBuf};
use clap::CommandFactory;
use clap_complete::{CompleteEnv, CompletionCandidate, Shell, env::Shells};
use serde_json::Value;

use crate::{cli::Cli, project::manifest::Manifest};

/// The variable by which a shell's script asks this program.
const VARIABLE: &str = "SST_COMPLETE";

/// The program as the scripts know it: the one in the `PATH`, so that they need not be made anew for another version.
const PROGRAM: &str = "sst";

/// What is written of a stage when it is served: the beginning of the name of a file, and its end.
const OF_STAGES: [(&str, &str); 2] = [("inspector-", ""), ("debug-ports-", ".json")];

/// Where the app was synthesised to.
const ASSEMBLIES: [&str; 3] = ["start/cdk.out", "cdk.out", "cdk.out.live"];

/// Answers the script of a shell, if it is that which asks. Then there is nothing else to be done.
#[must_use]
pub fn answer() -> bool {
    let asked = CompleteEnv::with_factory(Cli::command).var(VARIABLE).bin(PROGRAM).completer(PROGRAM);
    let here = std::env::current_dir().ok();
    // A shell that is not known has no use for words about it.
    asked.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// The script of a shell, which asks this program whenever TAB is pressed.
///
/// # Errors
/// Never: it is written to memory.
pub fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    if let Some(known) = shells.completer(&shell.to_string()) {
        known.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    }
    Ok(script)
}

/// The functions: their ids, and the ends of these that mean one only.
pub(crate) fn functions() -> Vec<CompletionCandidate> {
    let Some(directory) = state_directory() else { return Vec::new() };
    let ids: Vec<String> =
        manifest(&directory).functions.iter().map(|function| function.id.to_string()).collect();
    let last = |id: &String| id.rsplit('/').next().map(str::to_owned);
    let ends: Vec<String> = ids.iter().filter_map(last).collect();
    let is_one = |end: &&String| ends.iter().filter(|other| other == end).count() == 1;
    candidates(ids.iter().chain(ends.iter().filter(is_one)).cloned())
}

/// The kinds of events that there are samples of.
pub(crate) fn samples() -> Vec<CompletionCandidate> {
    let kinds = crate::samples::KINDS.iter();
    kinds.map(|kind| CompletionCandidate::new(kind.name).help(Some(kind.text.into()))).collect()
}

/// The stacks of the app, by their names.
pub(crate) fn stacks() -> Vec<CompletionCandidate> {
    let Some(directory) = state_directory() else { return Vec::new() };
    let mut names = BTreeSet::new();
    for assembly in ASSEMBLIES {
        let artifacts = json(&directory.join(assembly).join("manifest.json"));
        let artifacts = artifacts.get("artifacts").and_then(Value::as_object).cloned().unwrap_or_default();
        let stacks = artifacts.into_iter().filter(|(_, one)| one["type"] == "aws:cloudformation:stack");
        names.extend(
            stacks.map(|(id, one)| one["properties"]["stackName"].as_str().map_or(id, str::to_owned)),
        );
    }
    if names.is_empty() {
        names.extend(manifest(&directory).functions.iter().map(|function| function.stack.clone()));
    }
    candidates(names)
}

/// The stages that were worked on here.
pub(crate) fn stages() -> Vec<CompletionCandidate> {
    let Some(directory) = state_directory() else { return Vec::new() };
    let mut names: BTreeSet<String> = directory
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let of =
                OF_STAGES.iter().find_map(|(beginning, end)| name.strip_prefix(beginning)?.strip_suffix(end));
            of.map(str::to_owned)
        })
        .collect();
    let chosen = fs_err::read_to_string(directory.join("stage")).unwrap_or_default();
    names.extend(Some(chosen.trim().to_owned()).filter(|stage| !stage.is_empty()));
    candidates(names)
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    let unique: BTreeSet<String> = names.into_iter().collect();
    unique.into_iter().map(CompletionCandidate::new).collect()
}

/// The state directory of the project that the command line is about. A project that cannot be read has one as well.
fn state_directory() -> Option<Utf8PathBuf> {
    let arguments: Vec<String> = std::env::args().collect();
    let given =
        arguments.iter().position(|argument| argument == "--project").and_then(|at| arguments.get(at + 1));
    let start = given.map_or(Utf8Path::new("."), Utf8Path::new).canonicalize_utf8().ok()?;
    let is_project =
        |directory: &&Utf8Path| ["sst.json", "cdk.json"].iter().any(|name| directory.join(name).is_file());
    start.ancestors().find(is_project).map(|root| root.join(".sst"))
}

fn manifest(directory: &Utf8Path) -> Manifest {
    serde_json::from_value(json(&directory.join("functions.json"))).unwrap_or_default()
}

fn json(path: &Utf8Path) -> Value {
    fs_err::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

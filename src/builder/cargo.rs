//! Functions in Rust: `cargo build` in the project's own target directory, so that what the developer has compiled is compiled.

use std::{collections::BTreeMap, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{
    Message,
    diagnostic::{Diagnostic, DiagnosticLevel},
};

use super::{
    child::{TO_COMPILE, follow},
    not_compiled, unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Native, Program},
    process::{Command, Spawner},
    project::manifest::BuildOptions,
};

/// Compiles a binary of the package or workspace.
pub(super) async fn artifact(
    spawner: &Spawner,
    manifest: &Utf8Path,
    options: &BuildOptions,
    on_line: impl FnMut(&str),
) -> Result<Artifact, BuildError> {
    let directory = manifest.parent().unwrap_or(manifest);
    let inputs = vec![directory.to_owned()];
    let cannot = |summary: String| unbuildable(summary, inputs.clone());
    if !manifest.is_file() {
        return Err(cannot(format!("`{manifest}` does not exist")));
    }
    let cargo = which::which("cargo").map_err(|_| {
        cannot("`cargo` is not in the PATH, which is needed to compile it: see https://rustup.rs".into())
    })?;
    let mut command = Command::new(cargo);
    command
        .args(["build", "--message-format=json", "--color=never", "--manifest-path", manifest.as_str()])
        .current_dir(directory)
        .envs(&options.environment);
    if let Some(binary) = &options.binary {
        command.args(["--bin", binary]);
    }
    if !options.features.is_empty() {
        command.args(["--features", &options.features.join(",")]);
    }
    command.args(&options.flags);
    let said = follow(spawner, command, TO_COMPILE, on_line).await;
    let said = said.map_err(|error| cannot(format!("`cargo` cannot be run to its end: {error}")))?;
    let messages: Vec<Message> = Message::parse_stream(said.stdout.as_bytes()).flatten().collect();
    if !said.status.success() {
        return Err(error(directory, &messages, &said.stderr, inputs));
    }
    let executable = pick(&messages, options.binary.as_deref()).map_err(cannot)?;
    let metadata = fs_err::metadata(&executable).map_err(|error| cannot(error.to_string()))?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(Artifact {
        inputs: inputs_of(manifest, &executable),
        fingerprint: format!("{executable} {} {modified:?}", metadata.len()),
        program: Program::Native { path: executable, arguments: Vec::new(), language: Native::Rust },
        task_root: directory.to_owned(),
        handler: String::new(),
        packages: Vec::new(),
        provided: None,
    })
}

/// The executable that was meant.
fn pick(messages: &[Message], wanted: Option<&str>) -> Result<Utf8PathBuf, String> {
    let found: BTreeMap<&str, &Utf8PathBuf> = messages
        .iter()
        .filter_map(|message| match message {
            Message::CompilerArtifact(made) if made.target.is_bin() => {
                Some((made.target.name.as_str(), made.executable.as_ref()?))
            }
            _ => None,
        })
        .collect();
    let names = || found.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (wanted.map(|name| found.get(name)), found.values().next(), found.len()) {
        (Some(Some(executable)), ..) | (None, Some(executable), 1) => Ok((*executable).clone()),
        (_, _, 0) => Err("the package has no binary".into()),
        (Some(None), ..) => Err(format!("the package has no binary of that name, but {}", names())),
        (None, ..) => Err(format!("the package has several binaries, so one has to be named: {}", names())),
    }
}

/// The files that Cargo says the executable was made of (`<executable>.d`, in the format of Makefiles).
fn inputs_of(manifest: &Utf8Path, executable: &Utf8Path) -> Vec<Utf8PathBuf> {
    let directory = manifest.parent().unwrap_or(manifest);
    let mut inputs = vec![manifest.to_owned(), directory.join("Cargo.lock"), directory.join("build.rs")];
    match fs_err::read_to_string(executable.with_extension("d")) {
        Ok(text) => {
            let text = text.replace("\\ ", "\0");
            let files =
                text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, list)| list.split(' '));
            inputs.extend(files.filter(|file| !file.is_empty()).map(|file| file.replace('\0', " ").into()));
        }
        Err(_) => inputs.push(directory.to_owned()),
    }
    inputs.sort();
    inputs.dedup();
    inputs
}

/// Paths are relative to the workspace, which is the package's directory or one above it.
fn whole_path(directory: &Utf8Path, file: &Utf8Path) -> Utf8PathBuf {
    let candidates = directory.ancestors().map(|above| above.join(file));
    candidates.into_iter().find(|file| file.is_file()).unwrap_or_else(|| file.to_owned())
}

/// A rendered error in which places can be opened from anywhere.
fn with_whole_paths(directory: &Utf8Path, rendered: &str) -> String {
    let lines = rendered.lines().map(|line| match line.split_once("--> ") {
        Some((before, place)) if before.trim().is_empty() => {
            let (file, rest) = place.split_once(':').unwrap_or((place, ""));
            format!("{before}--> {}:{rest}", whole_path(directory, file.into()))
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What the compiler says, or Cargo itself.
fn error(directory: &Utf8Path, messages: &[Message], stderr: &str, inputs: Vec<Utf8PathBuf>) -> BuildError {
    let errors = messages.iter().filter_map(|message| match message {
        Message::CompilerMessage(said) if said.message.level == DiagnosticLevel::Error => Some(&said.message),
        _ => None,
    });
    let errors: Vec<&Diagnostic> = errors.collect();
    let place = |diagnostic: &Diagnostic| {
        let span = diagnostic.spans.iter().find(|span| span.is_primary)?;
        let file = whole_path(directory, Utf8Path::new(&span.file_name));
        Some(format!("{file}:{}:{}: {}", span.line_start, span.column_start, diagnostic.message))
    };
    let summary = errors.iter().find_map(|diagnostic| place(diagnostic));
    let rendered: Vec<&str> = errors.iter().filter_map(|diagnostic| diagnostic.rendered.as_deref()).collect();
    let detail = match rendered.is_empty() {
        true => stderr.trim_end().to_owned(),
        false => with_whole_paths(directory, rendered.concat().trim_end()),
    };
    let first = || detail.lines().find(|line| line.starts_with("error")).unwrap_or("`cargo build` failed");
    not_compiled(summary.unwrap_or_else(|| first().to_owned()), detail.clone(), inputs)
}

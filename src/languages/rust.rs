//! Functions in Rust: `cargo build` in the project's own target directory, so that what the developer has compiled is compiled.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{
    Message,
    diagnostic::{Diagnostic, DiagnosticLevel},
};
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{
    AdapterLink, Check, DebugAdapter, Debuggee, Debugger, Find, Language, NamedProgram, OwnProtocol, Place,
    RunConfiguration, Runtimes, Toolbox, cargo_profile, not_compiled,
    program::{TO_ANSWER, TO_COMPILE, follow, run},
    sought::cargo_binaries,
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    process::{Command, Spawner},
    project::manifest::{BuildOptions, FunctionSpec, Source, UnheededOption},
};

/// What to do when LLDB is missing.
const INSTALL_LLDB: &str = "it comes with LLDB 16 or newer (`apt install lldb`, on macOS with Xcode)";

/// How a program is debugged in whose debugger's language is not asked for.
pub(super) static LLDB: Debugger = Debugger::Adapter {
    files: &["rs", "c", "h", "cc", "cpp", "cxx", "hpp", "zig"],
    attach: lldb,
    own: Some(OwnProtocol::Gdb),
};

/// What IDEs are given that attach with gdb or LLDB.
pub(super) static RUN_CONFIGURATIONS: [RunConfiguration; 2] = [
    RunConfiguration::File {
        editors: &["rustrover"],
        text: include_str!("../../launch-configs/rustrover/Attach to {function}.run.xml"),
        before_port: BEFORE_PORT,
    },
    RunConfiguration::File {
        editors: &["clion"],
        text: include_str!("../../launch-configs/clion/Attach to {function}.run.xml"),
        before_port: BEFORE_PORT,
    },
];

const BEFORE_PORT: &str = " remoteCommand=\"127.0.0.1:";

#[derive(Debug)]
pub(super) struct Rust;

impl Language for Rust {
    fn id(&self) -> &'static str {
        "rust"
    }

    fn name(&self) -> &'static str {
        "Rust"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["provided"] }
    }

    fn construct(&self) -> Option<&'static str> {
        Some("cargo-lambda-cdk/lib/bundling")
    }

    /// The binaries of a package: those that its `Cargo.toml` names, and those that Cargo finds by their places.
    fn programs(&self, directory: &Utf8Path) -> Vec<NamedProgram> {
        let path = directory.join("Cargo.toml");
        cargo_binaries(&path)
            .into_iter()
            .map(|name| NamedProgram { binary: Some(name.clone()), name, path: path.clone() })
            .collect()
    }

    /// A `Cargo.toml`, or a directory with one.
    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        let path = match place.path.file_name() {
            Some("Cargo.toml") => place.path.to_owned(),
            _ => place.path.join("Cargo.toml"),
        };
        path.is_file().then(|| (place.program(path), place.handler()))
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(async move {
            match &spec.source {
                Source::Program { path, build, .. } => artifact(&tools.spawner, path, build, on_line).await,
                other => Err(unbuildable(format!("`{}` is not a package", other.directory()), Vec::new())),
            }
        })
    }

    fn unheeded(&self, source: &Source) -> Vec<UnheededOption> {
        match source {
            Source::Program { path, build, .. } => cargo_profile::overridden(path, build).undone,
            _ => Vec::new(),
        }
    }

    /// For another Cargo, e.g. that of an editor.
    fn waits(&self, line: &str) -> Option<String> {
        line.strip_prefix("Blocking ").map(|waiting| format!("cargo is {}", waiting.trim()))
    }

    fn debugger(&self) -> &'static Debugger {
        &LLDB
    }

    fn checks(&self) -> &'static [Check] {
        &[
            Check {
                find: Find::Version("cargo", &["--version"]),
                missing: "`cargo` is not in the PATH",
                fix: "see https://rustup.rs",
                only_debugging: false,
            },
            Check {
                find: Find::Path("lldb-dap", lldb_dap),
                missing: "`lldb-dap` is not in the PATH",
                fix: INSTALL_LLDB,
                only_debugging: true,
            },
        ]
    }

    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &RUN_CONFIGURATIONS
    }

    fn executable<'a>(
        &'static self,
        source: &'a Source,
        spawner: &'a Spawner,
    ) -> BoxFuture<'a, Option<Utf8PathBuf>> {
        Box::pin(executable(source, spawner))
    }
}

/// `lldb-dap`, attached to a running program.
fn lldb(debuggee: Debuggee<'_>) -> BoxFuture<'_, Result<DebugAdapter, String>> {
    Box::pin(async move {
        let program = lldb_dap().ok_or_else(|| format!("`lldb-dap` is not in the PATH: {INSTALL_LLDB}"))?;
        let attach = json!({
            "request": "attach", "pid": debuggee.pid, "program": debuggee.executable, "stopOnEntry": false,
            "initCommands": formatters(debuggee.spawner).await,
        });
        Ok(DebugAdapter { link: AdapterLink::Pipes(Command::new(program)), attach })
    })
}

/// The newest one that is installed; distributions put the version into the name.
fn lldb_dap() -> Option<PathBuf> {
    let names = ["lldb-dap".to_owned()].into_iter().chain((16..=30).rev().flat_map(|version| {
        // It had another name before version 18.
        [format!("lldb-dap-{version}"), format!("lldb-vscode-{version}")]
    }));
    names.chain(["lldb-vscode".to_owned()]).find_map(|name| which::which(name).ok())
}

/// How LLDB learns to show Rust's own types, from the toolchain that brings the scripts for that.
async fn formatters(spawner: &Spawner) -> Vec<String> {
    let Ok(rustc) = which::which("rustc") else { return Vec::new() };
    let mut command = Command::new(rustc);
    command.args(["--print", "sysroot"]);
    let Ok(said) = run(spawner, command, TO_ANSWER).await else { return Vec::new() };
    let scripts = format!("{}/lib/rustlib/etc", said.stdout.trim());
    if !std::path::Path::new(&scripts).join("lldb_lookup.py").is_file() {
        return Vec::new();
    }
    vec![
        format!("command script import \"{scripts}/lldb_lookup.py\""),
        format!("command source -s true \"{scripts}/lldb_commands\""),
    ]
}

/// Where `cargo build` puts the binary of a package (<https://doc.rust-lang.org/cargo/commands/cargo-metadata.html>).
async fn executable(source: &Source, spawner: &Spawner) -> Option<Utf8PathBuf> {
    let Source::Program { path, build, .. } = source else { return None };
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path", path.as_str()]);
    // As it is compiled: both may say where the target directory is.
    command.current_dir(path.parent().unwrap_or(path)).envs(&build.environment);
    let said = run(spawner, command, TO_ANSWER).await.ok()?;
    let metadata: cargo_metadata::Metadata = serde_json::from_str(&said.stdout).ok()?;
    let name = match &build.binary {
        Some(name) => name.clone(),
        None => only_binary(path, &metadata)?,
    };
    Some(metadata.target_directory.join("debug").join(name))
}

/// The binary that `cargo build` makes of a manifest, if there is only one. Cargo tells of all packages of the workspace that the
/// manifest belongs to, and compiles the one whose manifest it is, or all where it is that of the workspace alone.
fn only_binary(manifest: &Utf8Path, metadata: &cargo_metadata::Metadata) -> Option<String> {
    let manifest = manifest.canonicalize_utf8().unwrap_or_else(|_| manifest.to_owned());
    let is_its = |package: &&cargo_metadata::Package| package.manifest_path == manifest;
    let has_its = metadata.packages.iter().any(|package| is_its(&package));
    let packages = metadata.packages.iter().filter(|package| !has_its || is_its(package));
    let mut binaries = packages.flat_map(|package| &package.targets).filter(|target| target.is_bin());
    let only = binaries.next()?;
    binaries.next().is_none().then(|| only.name.clone())
}

/// Compiles a binary of the package or workspace.
async fn artifact(
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
    let overridden = cargo_profile::overridden(manifest, options);
    command.args(&options.flags).args(&overridden.arguments).envs(&overridden.environment);
    let said = follow(spawner, command, TO_COMPILE, on_line).await;
    let said = said.map_err(|error| cannot(format!("`cargo` cannot be run to its end: {error}")))?;
    let messages: Vec<Message> = Message::parse_stream(said.stdout.as_bytes()).flatten().collect();
    if !said.status.success() {
        // Nobody knows what the compiler would have read next.
        let inputs = inputs.into_iter().chain(manifests(manifest, &messages, true)).collect();
        return Err(error(directory, &messages, &said.stderr, inputs));
    }
    let executable = pick(&messages, options.binary.as_deref()).map_err(cannot)?;
    let metadata = fs_err::metadata(&executable).map_err(|error| cannot(error.to_string()))?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(Artifact {
        inputs: inputs_of(manifest, &executable, &messages),
        fingerprint: format!("{executable} {} {modified:?}", metadata.len()),
        program: Program::native(Rust.id(), executable),
        task_root: directory.to_owned(),
        handler: String::new(),
        packages: Vec::new(),
        provided: None,
        opt: None,
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

/// The manifests of the packages that are compiled from the disk (path dependencies and members of the workspace), and whatever else
/// Cargo reads for them. `whole` means their directories as well.
fn manifests(manifest: &Utf8Path, messages: &[Message], whole: bool) -> BTreeSet<Utf8PathBuf> {
    let own = messages.iter().filter_map(|message| match message {
        Message::CompilerArtifact(made) if made.package_id.repr.contains("path+file:") => {
            Some(made.manifest_path.clone())
        }
        Message::CompilerMessage(said) if said.package_id.repr.contains("path+file:") => {
            // It does not name the manifest, which is above the source of its target.
            let mut above = said.target.src_path.ancestors().skip(1).map(|above| above.join("Cargo.toml"));
            above.find(|file| file.is_file())
        }
        _ => None,
    });
    let own: BTreeSet<Utf8PathBuf> = own.chain([manifest.to_owned()]).collect();
    let directories = own.iter().filter_map(|file| file.parent()).map(Utf8Path::to_owned);
    let mut inputs: BTreeSet<Utf8PathBuf> = if whole { directories.collect() } else { BTreeSet::new() };
    let directory = manifest.parent().unwrap_or(manifest);
    for above in directory.ancestors() {
        // What Cargo and rustup are to do may be said in any of them, also above the workspace.
        let names = [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];
        inputs.extend(names.map(|name| above.join(name)));
    }
    for above in directory.ancestors() {
        // The workspace may be in any of them as well, and is where the lock is.
        inputs.extend(["Cargo.toml", "Cargo.lock"].map(|name| above.join(name)));
        if above.join("Cargo.lock").is_file() {
            break;
        }
    }
    inputs.extend(own);
    inputs
}

/// The files that Cargo says the executable was made of (`<executable>.d`, in the format of Makefiles).
fn inputs_of(manifest: &Utf8Path, executable: &Utf8Path, messages: &[Message]) -> Vec<Utf8PathBuf> {
    let directory = manifest.parent().unwrap_or(manifest);
    let mut inputs: Vec<Utf8PathBuf> = manifests(manifest, messages, false).into_iter().collect();
    // Cargo finds these by their names.
    inputs.extend(["build.rs", "src/main.rs", "src/bin/*.rs"].map(|name| directory.join(name)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[tokio::test]
    async fn the_executable_is_that_of_the_function_in_a_workspace_of_several() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"2\"\n");
        for name in ["one", "two"] {
            write(&format!("{name}/src/main.rs"), "fn main() {}");
            write(
                &format!("{name}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\nedition = \"2021\"\n"),
            );
        }
        write("two/src/bin/more.rs", "fn main() {}");
        let elsewhere = ("CARGO_TARGET_DIR".to_owned(), root.join("elsewhere").into_string());
        let spawner = process::for_tests();
        for (manifest, binary, environment, expected) in [
            ("one/Cargo.toml", None, None, Some("target/debug/one")),
            ("one/Cargo.toml", None, Some(elsewhere), Some("elsewhere/debug/one")),
            ("two/Cargo.toml", Some("two"), None, Some("target/debug/two")),
            ("two/Cargo.toml", Some("more"), None, Some("target/debug/more")),
            ("Cargo.toml", Some("one"), None, Some("target/debug/one")),
            // Cargo does not know either which one is meant.
            ("two/Cargo.toml", None, None, None),
            ("Cargo.toml", None, None, None),
        ] {
            // The target directory of these tests is not theirs.
            let own = ("CARGO_TARGET_DIR".to_owned(), root.join("target").into_string());
            let environment = BTreeMap::from([environment.unwrap_or(own)]);
            let build =
                BuildOptions { binary: binary.map(str::to_owned), environment, ..BuildOptions::default() };
            let path = root.join(manifest);
            let source = Source::Program { directory: root.to_owned(), path, build: build.into() };
            let found = executable(&source, &spawner).await;
            assert_eq!(found, expected.map(|path| root.join(path)), "{manifest} {binary:?}");
        }
    }
}

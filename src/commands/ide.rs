//! `sst ide`: writes the launch configurations of an editor into the project.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    cli,
    editors::{self, Attachable, Editor, Language, Ports},
    error::{Error, Kind, Result},
    process::{Command, Spawner, Stdio},
    project::{
        Project, StateDir,
        manifest::{FunctionSpec, Manifest, Source},
    },
    ui::Ui,
};

/// Writes the files and says which ones.
///
/// # Errors
/// When a file that is there cannot be understood, read, or written; [`Kind::Usage`] when the app has nothing for this editor.
pub async fn run(arguments: &cli::Ide, project: &Project, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let state_dir = project.state_dir()?;
    let ports = ports(&state_dir);
    let functions = attachable(&state_dir, spawner).await?;
    let chosen: &[Editor] = match arguments.editor {
        cli::Editor::Vscode => &[Editor::Vscode],
        cli::Editor::Webstorm => &[Editor::Webstorm],
        cli::Editor::Intellij => &[Editor::Intellij],
        cli::Editor::Pycharm => return enter_in_pycharm(project, &functions, ui),
        cli::Editor::Goland => &[Editor::Goland],
        cli::Editor::Rustrover => &[Editor::Rustrover],
        cli::Editor::Clion => &[Editor::Clion],
        // IntelliJ IDEA reads what WebStorm does, and more.
        cli::Editor::All => &[Editor::Vscode, Editor::Intellij],
    };
    for editor in chosen {
        let written = editors::write(&project.root, *editor, ports, &functions)?;
        if written.is_empty() {
            return Err(nothing_for(if *editor == Editor::Goland { "Go" } else { "Rust" }));
        }
        for written in written {
            let what = if written.changed { "wrote" } else { "nothing to change in" };
            ui.info(format!("{what} `{}`", written.path));
        }
    }
    Ok(())
}

/// PyCharm's format is not published, so the developer has to enter it.
fn enter_in_pycharm(project: &Project, functions: &[Attachable], ui: &Ui) -> Result<()> {
    let python = || functions.iter().filter(|function| function.language == Language::Python);
    if python().next().is_none() {
        return Err(nothing_for("Python"));
    }
    ui.info("PyCharm 2025.3 or newer: Run | Edit Configurations… | + | Attach to DAP");
    for function in python() {
        ui.info(format!("  `{}`: remote address 127.0.0.1:{}", function.id, function.port));
    }
    ui.info(format!("  remote project path: {}", project.root));
    Ok(())
}

fn nothing_for(language: &str) -> Error {
    Error::new(Kind::Usage, format!("no function in {language} is known"))
        .hint("`sst start` finds the functions of an app, and chooses their ports: run it once")
}

/// The functions that do not run on Node, as the last `sst start` has found them.
async fn attachable(state_dir: &StateDir, spawner: &Spawner) -> Result<Vec<Attachable>> {
    let manifest = state_dir.read("functions.json")?.unwrap_or_default();
    let manifest: Manifest = serde_json::from_str(&manifest).unwrap_or_default();
    let ports = function_ports(state_dir);
    let mut found = Vec::new();
    for function in manifest.functions.into_iter().filter(|function| !function.is_node()) {
        let FunctionSpec { id, source, .. } = &function;
        let Some(port) = ports.get(id.as_str()) else { continue };
        let language = match source {
            _ if function.is_python() => Language::Python,
            Source::Go { .. } => Language::Go,
            _ => Language::Native,
        };
        let program = program(source, spawner).await;
        found.push(Attachable { language, port: *port, program, id: function.id });
    }
    Ok(found)
}

fn function_ports(state_dir: &StateDir) -> BTreeMap<String, u16> {
    if let Ok(session) = super::session::running(state_dir) {
        return session.debug_ports;
    }
    let file = format!("debug-ports-{}.json", stage(state_dir));
    let remembered = state_dir.read(&file).ok().flatten().unwrap_or_default();
    serde_json::from_str(&remembered).unwrap_or_default()
}

/// The program that is compiled from a source, if it can be told without compiling it.
async fn program(source: &Source, spawner: &Spawner) -> Option<Utf8PathBuf> {
    match source {
        Source::Rust { manifest, build } => {
            let metadata = cargo_metadata(manifest, spawner).await?;
            let targets = metadata.packages.iter().flat_map(|package| &package.targets);
            let mut binaries = targets.filter(|target| target.is_bin()).map(|target| target.name.as_str());
            let name = match &build.binary {
                Some(name) => name.as_str(),
                None => binaries.next().filter(|_| binaries.next().is_none())?,
            };
            Some(metadata.target_directory.join("debug").join(name))
        }
        Source::Command { command, directory } => {
            let program = directory.join(command.first()?);
            program.is_file().then_some(program)
        }
        _ => None,
    }
}

/// <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html>
async fn cargo_metadata(manifest: &Utf8Path, spawner: &Spawner) -> Option<cargo_metadata::Metadata> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path", manifest.as_str()]);
    command.stdout(Stdio::piped());
    let output = spawner.spawn(command).await.ok()?.wait_with_output().await.ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

fn stage(state_dir: &StateDir) -> String {
    let stage = state_dir.read("stage").ok().flatten().unwrap_or_default();
    if stage.trim().is_empty() { "dev".to_owned() } else { stage.trim().to_owned() }
}

/// The ports of the running `sst start`, or else those that it will try first.
fn ports(state_dir: &StateDir) -> Ports {
    let default = crate::bridge::DEFAULT_PORT;
    if let Ok(session) = super::session::running(state_dir) {
        let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        return Ports {
            inspector: port(&session.inspector).unwrap_or(default),
            flat: port(&session.flat_inspector).unwrap_or(default + 1),
            adapter: port(&session.debug_adapter).unwrap_or(default + 2),
        };
    }
    let remembered =
        state_dir.read(&format!("inspector-{}", stage(state_dir))).ok().flatten().unwrap_or_default();
    let mut numbers = remembered.split_whitespace().filter_map(|port| port.parse().ok());
    let inspector = numbers.next().unwrap_or(default);
    let flat = numbers.next().unwrap_or(inspector.saturating_add(1));
    Ports { inspector, flat, adapter: numbers.next().unwrap_or(inspector.saturating_add(2)) }
}

//! `sst ide`: writes the launch configurations of an editor into the project.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cli,
    editors::{self, Attachable, Editor, Ports, Usage},
    error::{Error, Kind, Result},
    languages,
    process::Spawner,
    project::{Project, StateDir, manifest::Manifest},
    ui::Ui,
};

/// Below `.sst`: whether the last `sst start` was one with `--local`.
const LAST_START: &str = "last-start";
const LOCAL: &str = "local";

const RUN_ONCE: &str = "`sst start` finds the functions of an app, and chooses their ports: run it once";

/// Writes the files and says which ones, and which editors it has nothing for.
///
/// # Errors
/// When a file that is there cannot be understood, read, or written; [`Kind::Usage`] when the app has nothing for this editor.
pub(super) async fn run(arguments: &cli::Ide, project: &Project, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let state_dir = project.state_dir()?;
    let local = state_dir.read(LAST_START)?.is_some_and(|last| last.trim() == LOCAL);
    let usage = Usage { ports: ports(&state_dir), local };
    let functions = attachable(&state_dir, spawner).await?;
    let mut told = BTreeSet::new();
    let mut left_out = Vec::new();
    // Functions whose program a configuration should name.
    let mut unknown = BTreeSet::new();
    for editor in arguments.editor.each() {
        let written = editors::write(&project.root, editor, usage, &functions)?;
        let by_hand = editors::by_hand(&project.root, editor, &functions);
        if written.is_empty() && by_hand.is_empty() {
            let languages = editors::languages(editor).join(" or ");
            if arguments.editor == Editor::All {
                left_out.push(format!("`{}` ({languages})", editor.id()));
                continue;
            }
            return Err(
                Error::new(Kind::Usage, format!("no function in {languages} is known")).hint(RUN_ONCE)
            );
        }
        let lacking = functions.iter().filter(|function| function.lacks_program(editor));
        unknown.extend(lacking.map(|function| function.id.clone()));
        // Editors share files.
        for written in written.into_iter().filter(|written| told.insert(written.path.clone())) {
            let what = if written.changed { "wrote" } else { "nothing to change in" };
            ui.info(format!("{what} `{}`", written.path));
        }
        for line in by_hand {
            ui.info(line);
        }
    }
    if !left_out.is_empty() {
        let editors = left_out.join(", ");
        ui.info(format!("left out {editors}: no function in their languages is known. {RUN_ONCE}"));
    }
    for function in functions.iter().filter(|function| unknown.contains(&function.id)) {
        ui.warning(format!(
            "the compiled program of `{}` is not known: enter it as the symbol file of its configuration",
            function.id
        ));
    }
    if let Some(obstacle) = editors::obstacle(&project.root) {
        ui.warning(obstacle);
    }
    Ok(())
}

/// Remembers how the app was started, for the configurations that start it.
///
/// # Errors
/// When it cannot be written.
pub(super) fn remember_start(state_dir: &StateDir, local: bool) -> Result<()> {
    state_dir.write(LAST_START, if local { LOCAL } else { "cloud" }.as_bytes())
}

/// The functions that do not run on Node, as the last `sst start` has found them.
async fn attachable(state_dir: &StateDir, spawner: &Spawner) -> Result<Vec<Attachable>> {
    let manifest = state_dir.read("functions.json")?.unwrap_or_default();
    let manifest: Manifest = serde_json::from_str(&manifest).unwrap_or_default();
    let ports = function_ports(state_dir);
    let mut found = Vec::new();
    for function in manifest.functions {
        let language = languages::get(&function.language);
        if language.debugger().is_inspector() {
            continue;
        }
        let Some(port) = ports.get(function.id.as_str()) else { continue };
        let program = language.executable(&function.source, spawner).await;
        found.push(Attachable { language: function.language, port: *port, program, id: function.id });
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

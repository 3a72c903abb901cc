//! `sst ide`: writes the launch configurations of an editor into the project.

use crate::{
    cli,
    editors::{self, Editor, Ports},
    error::Result,
    project::{Project, StateDir, manifest::Manifest},
    ui::Ui,
};

/// Writes the files and says which ones.
///
/// # Errors
/// When a file that is there cannot be understood, read, or written.
pub fn run(arguments: &cli::Ide, project: &Project, ui: &Ui) -> Result<()> {
    let state_dir = project.state_dir()?;
    let ports = ports(&state_dir);
    let manifest = state_dir.read("functions.json")?.unwrap_or_default();
    let manifest: Manifest = serde_json::from_str(&manifest).unwrap_or_default();
    let other_languages = manifest.functions.iter().any(|function| !function.is_node());
    let chosen: &[Editor] = match arguments.editor {
        cli::Editor::Vscode => &[Editor::Vscode],
        cli::Editor::Webstorm => &[Editor::Webstorm],
        cli::Editor::Intellij => &[Editor::Intellij],
        // WebStorm and IntelliJ IDEA read the same files.
        cli::Editor::All => &[Editor::Vscode, Editor::Webstorm],
    };
    for editor in chosen {
        for written in editors::write(&project.root, *editor, ports, other_languages)? {
            let what = if written.changed { "wrote" } else { "nothing to change in" };
            ui.info(format!("{what} `{}`", written.path));
        }
    }
    Ok(())
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
    let stage = state_dir.read("stage").ok().flatten().unwrap_or_default();
    let stage = if stage.trim().is_empty() { "dev" } else { stage.trim() };
    let remembered = state_dir.read(&format!("inspector-{stage}")).ok().flatten().unwrap_or_default();
    let mut numbers = remembered.split_whitespace().filter_map(|port| port.parse().ok());
    let inspector = numbers.next().unwrap_or(default);
    let flat = numbers.next().unwrap_or(inspector.saturating_add(1));
    Ports { inspector, flat, adapter: numbers.next().unwrap_or(inspector.saturating_add(2)) }
}

//! What the rest of the machine is told of the running app: debugger ports, `.sst/session.json`, the outputs, watched directories.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::{
    app::Outputs,
    bridge::FunctionPorts,
    console::page_address,
    editors,
    error::{Error, Kind, Result},
    languages,
    project::{
        StateDir,
        manifest::{FunctionSpec, Manifest},
    },
    ui::{Ui, UiEvent, prompt},
};

use super::{
    super::{
        own_code::write_outputs,
        session::{Session, SessionFile},
    },
    counted,
    watches::Watches,
};

/// Dropping it takes back what it has published. Nothing is before [`Publication::update`].
pub(in crate::commands) struct Publication {
    pub(super) state_dir: StateDir,
    pub(super) root: Utf8PathBuf,
    pub(super) stage: String,
    pub(super) outputs_file: Option<Utf8PathBuf>,
    /// Without what changes with the app.
    pub(super) session: Session,
    pub(super) ports: FunctionPorts,
    pub(super) watches: Watches,
    pub(super) ui: Ui,
    pub(super) file: Option<SessionFile>,
}

impl Publication {
    /// What the app was last synthesised from is watched, wherever it is.
    pub(in crate::commands) fn follow(&self, inputs: &[Utf8PathBuf]) {
        self.watches.follow(inputs);
    }

    /// Publishes the app with these functions and outputs. What was published before is replaced.
    ///
    /// # Errors
    /// [`Kind::Environment`] when no port is free, or a file cannot be written.
    pub(in crate::commands) async fn update(&mut self, manifest: &Manifest, outputs: &Outputs) -> Result<()> {
        let functions = &manifest.functions;
        self.session.debug_ports = self.open_ports(functions).await?;
        self.show_outputs(outputs)?;
        self.session.outputs.clone_from(outputs);
        match &self.file {
            Some(file) => file.update(&self.session)?,
            None => self.file = Some(SessionFile::write(self.state_dir.clone(), &self.session)?),
        }
        let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
        self.state_dir.write("functions.json", &text)
    }

    /// Says that everything is in place, and once that there are files for editors, unless the project has some.
    ///
    /// # Errors
    /// As [`Publication::update`].
    pub(in crate::commands) fn say_ready(&self, functions: &[FunctionSpec]) -> Result<()> {
        const MENTIONED: &str = "editors-mentioned";
        // Whoever reads that it listens finds everything else in place.
        let mentions = self.state_dir.read(MENTIONED)?.is_none() && editors::found(&self.root).is_empty();
        if mentions {
            self.state_dir.write(MENTIONED, b"")?;
        }
        let Session { control, token, stage, inspector, flat_inspector, debug_adapter, .. } = &self.session;
        let count = counted(functions.len(), "function");
        let listening = format!("Listening for requests (stage {stage}, {count})");
        self.ui.send(UiEvent::Listening(listening));
        // Only who runs this can type into its terminal.
        let hint = match prompt::is_interactive() {
            true => "o and ENTER opens it",
            false => "`sst console --open` opens it",
        };
        self.ui.send(UiEvent::Console {
            address: format!("http://{control}"),
            link: page_address(control, token),
            hint: hint.to_owned(),
        });
        self.ui.info(format!("Debuggers attach at {inspector} (inspector), {flat_inspector} (flat)"));
        if functions.iter().any(|function| !languages::get(&function.language).debugger().is_inspector()) {
            self.ui.info(format!("Debuggers for all languages attach at {debug_adapter}"));
        }
        if mentions {
            self.ui.info("To debug in an editor: `sst ide vscode`, `webstorm` or `intellij`, once");
        }
        Ok(())
    }

    /// Shows the outputs that are new.
    fn show_outputs(&self, outputs: &Outputs) -> Result<()> {
        for (stack, outputs) in outputs {
            for (name, value) in outputs {
                let known = self.session.outputs.get(stack).and_then(|outputs| outputs.get(name));
                if known != Some(value) {
                    let (stack, name, value) = (stack.clone(), name.clone(), value.clone());
                    self.ui.send(UiEvent::Output { stack, name, value });
                }
            }
        }
        match &self.outputs_file {
            Some(file) if self.file.is_none() || self.session.outputs != *outputs => {
                write_outputs(file, outputs)
            }
            _ => Ok(()),
        }
    }

    /// Opens a port for each function that does not run on Node, where it was the last time if possible.
    async fn open_ports(&mut self, functions: &[FunctionSpec]) -> Result<BTreeMap<String, u16>> {
        let file = format!("debug-ports-{}.json", self.stage);
        let remembered = self.state_dir.read(&file)?.unwrap_or_default();
        let mut wanted: BTreeMap<String, u16> = serde_json::from_str(&remembered).unwrap_or_default();
        let open =
            self.ports.update(functions, &wanted).await.map_err(|error| {
                Error::new(Kind::Environment, "no port for a debugger is free").detail(error)
            })?;
        wanted.extend(open.clone());
        let text = serde_json::to_vec_pretty(&wanted).unwrap_or_default();
        self.state_dir.write(&file, &text)?;
        Ok(open)
    }
}

//! What the rest of the machine is told of the running app: debugger ports, `.sst/session.json`, the outputs, watched directories.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use crate::{
    app::Outputs,
    bridge::FunctionPorts,
    core::event::Event,
    error::{Error, Kind, Result},
    project::{
        StateDir,
        manifest::{FunctionSpec, Manifest},
    },
    ui::{Ui, UiEvent},
    watch::{self, Watch},
};

use super::{
    super::{
        own_code::write_outputs,
        session::{Session, SessionFile},
    },
    plan::App,
};

/// Dropping it takes back what it has published.
pub(super) struct Publication {
    state_dir: StateDir,
    stage: String,
    root: Utf8PathBuf,
    outputs_file: Option<Utf8PathBuf>,
    /// Without what changes with the app.
    session: Session,
    ports: FunctionPorts,
    events: mpsc::UnboundedSender<Event>,
    ui: Ui,
    file: Option<SessionFile>,
    outside: BTreeMap<Utf8PathBuf, Watch>,
}

impl Publication {
    /// Nothing is published before [`Publication::update`].
    pub fn new(
        app: &App,
        session: Session,
        ports: FunctionPorts,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self {
            state_dir: app.state_dir.clone(),
            stage: app.target.stage.clone(),
            root: app.settings.project.root.clone(),
            outputs_file: app.settings.outputs_file.clone(),
            session,
            ports,
            events,
            ui: app.ui.clone(),
            file: None,
            outside: BTreeMap::new(),
        }
    }

    /// Publishes the app with these functions and outputs. What was published before is replaced.
    ///
    /// # Errors
    /// [`Kind::Environment`] when no port is free, a file cannot be written, or a directory cannot be watched.
    pub async fn update(&mut self, manifest: &Manifest, outputs: &Outputs) -> Result<()> {
        let functions = &manifest.functions;
        self.watch_outside(functions)?;
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

    /// Watches the directories outside of the project that functions have code in, and no others.
    fn watch_outside(&mut self, functions: &[FunctionSpec]) -> Result<()> {
        let directories = functions.iter().map(|function| function.source.directory());
        let outside: Vec<&Utf8Path> =
            directories.filter(|directory| !directory.starts_with(&self.root)).collect();
        self.outside.retain(|directory, _| outside.contains(&directory.as_path()));
        for directory in outside {
            if !self.outside.contains_key(directory) {
                let watch =
                    watch::start(directory.to_owned(), Vec::new(), self.events.clone(), self.ui.clone())?;
                self.outside.insert(directory.to_owned(), watch);
            }
        }
        Ok(())
    }
}

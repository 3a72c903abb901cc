//! `.sst/session.json`: what other programs need to know of a running `sst start`, so that none has to read the terminal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    project::StateDir,
};

const FILE: &str = "session.json";

/// The content of the file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Session {
    /// The process id of `sst start`.
    pub pid: u32,
    /// The stage.
    pub stage: String,
    /// The region.
    pub region: String,
    /// Where debuggers attach, e.g. `127.0.0.1:9229`.
    pub inspector: String,
    /// Where debuggers attach that know one process at a time.
    #[serde(rename = "flatInspector")]
    pub flat_inspector: String,
    /// Where debuggers attach that show workers of all languages.
    #[serde(rename = "debugAdapter")]
    pub debug_adapter: String,
    /// Where debuggers attach that know one process at a time, by function: for those that do not run on Node.
    #[serde(rename = "debugPorts")]
    pub debug_ports: BTreeMap<String, u16>,
    /// Where `sst invoke` asks, and the token that it has to show.
    pub control: String,
    /// The token.
    pub token: String,
    /// The endpoint of the local cloud, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The stack outputs: stack → name → value.
    pub outputs: BTreeMap<String, BTreeMap<String, String>>,
}

/// What other commands need to know of a running `sst start`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running {
    pub inspector: String,
    pub flat_inspector: String,
    pub debug_adapter: String,
    #[serde(default)]
    pub debug_ports: BTreeMap<String, u16>,
    pub stage: String,
    pub endpoint: Option<String>,
    pub control: String,
    pub token: String,
    pid: i32,
}

/// Finds the `sst start` of a project.
///
/// # Errors
/// [`Kind::Usage`] when there is none.
pub(super) fn running(directory: &StateDir) -> Result<Running> {
    let session: Option<Running> = directory.read(FILE)?.and_then(|text| serde_json::from_str(&text).ok());
    // The file of one that was killed is still there.
    let alive =
        |session: &Running| nix::sys::signal::kill(nix::unistd::Pid::from_raw(session.pid), None).is_ok();
    session.filter(alive).ok_or_else(|| {
        Error::new(Kind::Usage, "`sst start` does not run in this project")
            .hint("start it in another terminal")
    })
}

/// The file. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct SessionFile {
    directory: StateDir,
}

impl SessionFile {
    /// Writes the file, private to the user.
    pub fn write(directory: StateDir, session: &Session) -> Result<Self> {
        let file = Self { directory };
        file.update(session)?;
        Ok(file)
    }

    /// Writes it anew.
    pub fn update(&self, session: &Session) -> Result<()> {
        // Only strings and numbers are in it.
        let text = serde_json::to_string_pretty(session).unwrap_or_default();
        self.directory.write(FILE, text.as_bytes())
    }
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.directory.path(FILE));
    }
}

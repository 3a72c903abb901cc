//! `.sst/session.json`: what other programs need to know of a running `sst start`, so that none has to read the terminal.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{error::Result, project::StateDir};

const FILE: &str = "session.json";

/// The content of the file.
#[derive(Debug, Serialize)]
pub(super) struct Session<'a> {
    /// The process id of `sst start`.
    pub pid: u32,
    /// The stage.
    pub stage: &'a str,
    /// The region.
    pub region: &'a str,
    /// Where debuggers attach, e.g. `127.0.0.1:9229`.
    pub inspector: String,
    /// The endpoint of the local cloud, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'a str>,
    /// The stack outputs: stack → name → value.
    pub outputs: &'a BTreeMap<String, BTreeMap<String, String>>,
}

/// The file. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct SessionFile {
    directory: StateDir,
}

impl SessionFile {
    /// Writes the file, private to the user.
    pub fn write(directory: StateDir, session: &Session<'_>) -> Result<Self> {
        // Only strings and numbers are in it.
        let text = serde_json::to_string_pretty(session).unwrap_or_default();
        directory.write(FILE, text.as_bytes())?;
        Ok(Self { directory })
    }
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.directory.path(FILE));
    }
}

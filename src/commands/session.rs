//! `.sst/session.json`: what other programs need to know of a running `sst start`, so that none has to read the terminal.

use std::collections::BTreeMap;

use nix::sys::signal::kill;
use serde::{Deserialize, Serialize};

use crate::{
    console::Client,
    error::{Error, Kind, Result},
    lock::{Holder, holder},
    project::StateDir,
};

const FILE: &str = "session.json";

/// Below `.sst`: the lock of `sst start`.
pub(super) const LOCK: &str = "start.lock";

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
    /// Where the session's API is, and the token that a request has to show.
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
pub(super) struct RunningSession {
    pub inspector: String,
    pub flat_inspector: String,
    pub debug_adapter: String,
    #[serde(default)]
    pub debug_ports: BTreeMap<String, u16>,
    pub stage: String,
    #[serde(default)]
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub control: String,
    pub token: String,
    #[serde(default)]
    pub outputs: BTreeMap<String, BTreeMap<String, String>>,
    pid: i32,
}

impl RunningSession {
    /// By which it is asked.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.control, &self.token)
    }
}

/// Finds the `sst start` of a project.
///
/// # Errors
/// [`Kind::Usage`] when there is none.
pub(super) fn running(directory: &StateDir) -> Result<RunningSession> {
    let session: Option<RunningSession> =
        directory.read(FILE)?.and_then(|text| serde_json::from_str(&text).ok());
    // The file of one that was killed is still there, and its process id may be another's by now.
    let runs = |session: &RunningSession| {
        is_locked(directory).unwrap_or_else(|| kill(nix::unistd::Pid::from_raw(session.pid), None).is_ok())
    };
    session.filter(runs).ok_or_else(|| {
        Error::new(Kind::Usage, "`sst start` does not run in this project")
            .hint("start it in another terminal")
    })
}

/// What an `sst start` has written that holds a lock.
pub(super) fn of(holder: &Holder) -> Option<RunningSession> {
    let text = fs_err::read(holder.directory.join(".sst").join(FILE)).ok()?;
    let session: RunningSession = serde_json::from_slice(&text).ok()?;
    (session.pid == holder.pid).then_some(session)
}

/// The file. It goes when this is dropped, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct SessionFile {
    directory: StateDir,
    token: String,
}

impl SessionFile {
    /// Writes the file, private to the user.
    pub(super) fn write(directory: StateDir, session: &Session) -> Result<Self> {
        let file = Self { directory, token: session.token.clone() };
        file.update(session)?;
        Ok(file)
    }

    /// Writes it anew.
    pub(super) fn update(&self, session: &Session) -> Result<()> {
        // Only strings and numbers are in it.
        let text = serde_json::to_string_pretty(session).unwrap_or_default();
        self.directory.write(FILE, text.as_bytes())
    }
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        let text = self.directory.read(FILE).ok().flatten();
        let session = text.and_then(|text| serde_json::from_str::<RunningSession>(&text).ok());
        if session.is_some_and(|session| session.token == self.token) {
            let _ = std::fs::remove_file(self.directory.path(FILE));
        }
    }
}

/// Whether an `sst start` runs in a project; none when its file system knows no locks.
fn is_locked(state_dir: &StateDir) -> Option<bool> {
    holder(&state_dir.path(LOCK)).ok().map(|holder| holder.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_whoever_wrote_it() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
        let session = |token: &str| Session {
            pid: std::process::id(),
            stage: "dev".to_owned(),
            region: "us-east-1".to_owned(),
            inspector: String::new(),
            flat_inspector: String::new(),
            debug_adapter: String::new(),
            debug_ports: BTreeMap::new(),
            control: String::new(),
            token: token.to_owned(),
            endpoint: None,
            outputs: BTreeMap::new(),
        };
        let first = SessionFile::write(state_dir.clone(), &session("a")).unwrap();
        let second = SessionFile::write(state_dir.clone(), &session("b")).unwrap();
        drop(first);
        assert!(state_dir.read(FILE).unwrap().unwrap().contains("\"b\""));
        // Nobody has the lock, whatever runs under that process id.
        assert!(running(&state_dir).is_err());
        drop(second);
        assert_eq!(state_dir.read(FILE).unwrap(), None);
    }
}

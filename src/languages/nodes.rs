//! Versions of Node: which one runs the functions of a runtime.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Interpreted,
    answers::Answers,
    installed::NODE,
    program::{TO_ANSWER, run},
};
use crate::{
    process::{Command, Spawner},
    ui::Ui,
};

/// The oldest version that the runner runs on.
const OLDEST: u32 = 20;

/// Finds Nodes, and remembers what was said of them.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    spawner: Spawner,
    ui: Ui,
    /// Runtimes of which it was said that they run on another version.
    warned: Arc<Mutex<BTreeSet<String>>>,
    /// Which version each is.
    versions: Answers<String>,
}

impl Nodes {
    pub(super) fn new(spawner: Spawner, project: Utf8PathBuf, ui: Ui) -> Self {
        Self { spawner, ui, warned: Arc::default(), versions: Answers::new(project) }
    }

    /// The Node for a runtime, if it is another one than the first in the `PATH`, which `sst` itself uses. Says once for each runtime when
    /// there is none.
    pub(super) async fn executable(&self, runtime: &str) -> Option<Utf8PathBuf> {
        let found = self.of(runtime).await?;
        if let Some(advice) = &found.advice {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.insert(runtime.to_owned()) {
                self.ui.warning(format!("functions of `{runtime}` run here on {}: {advice}", found.name));
            }
        }
        found.other
    }

    /// What runs the functions of a runtime; nothing for what is no runtime of Node's, or where there is no Node.
    pub(super) async fn of(&self, runtime: &str) -> Option<Interpreted> {
        let wanted: u32 = runtime.strip_prefix("nodejs")?.strip_suffix(".x")?.parse().ok()?;
        let first = Utf8PathBuf::from_path_buf(which::which("node").ok()?).ok()?;
        let version = self.version(&first).await?;
        let name = |version: &str| format!("Node.js {version}");
        if major(&version) == Some(wanted) {
            return Some(Interpreted { name: name(&version), path: first, other: None, advice: None });
        }
        let advice = if wanted < OLDEST {
            format!("no older one than Node.js {OLDEST} can be used")
        } else {
            for path in NODE.candidates(&wanted.to_string()) {
                if let Some(version) =
                    self.version(&path).await.filter(|version| major(version) == Some(wanted))
                {
                    return Some(Interpreted {
                        name: name(&version),
                        path: path.clone(),
                        other: Some(path),
                        advice: None,
                    });
                }
            }
            format!(
                "there is no Node.js {wanted} on this machine; get it, e.g. by `nvm install {wanted}` or `mise install \
                 node@{wanted}`, and save a file of theirs"
            )
        };
        Some(Interpreted { name: name(&version), path: first, other: None, advice: Some(advice) })
    }

    /// What a Node says of its version, e.g. `22.4.1`.
    async fn version(&self, node: &Utf8Path) -> Option<String> {
        let question = async {
            let mut command = Command::new(node);
            command.arg("--version");
            let said =
                run(&self.spawner, command, TO_ANSWER).await.ok().filter(|said| said.status.success())?;
            said.stdout.trim().strip_prefix('v').map(str::to_owned)
        };
        self.versions.of(node, |_| None, question).await
    }
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

//! What Lambda's own runtimes bring along beside a function's code: the AWS SDKs. A function may rely on them, so here they are
//! installed once into the user's cache, when a project has not installed them itself.
//!
//! For Node there is one directory for all functions, as on Lambda: an SDK's error is only recognised by the same copy of the package
//! that it comes from. A directory never changes. What is missing in it brings about another one, with all of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::program::{TO_ANSWER, run};
use crate::{
    cache,
    process::{Command, Spawner},
    ui::{Ui, UiEvent},
};

/// In an installed directory: which packages it holds. Without it, it is of no use.
const LIST: &str = "provided.json";

const PROGRESS: &str = "provided";

/// How the name of a directory begins that is not whole yet.
const UNFINISHED: &str = ".unfinished-";

/// How long an installation may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The packages of Node that a runtime has, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Sdk {
    /// `aws-sdk`, up to `nodejs16.x`.
    V2,
    /// `@aws-sdk/…` and `@smithy/…`, from `nodejs18.x`.
    V3,
}

impl Sdk {
    /// The one that a runtime has; none for one that is not Node.
    #[must_use]
    pub(crate) fn of(runtime: &str) -> Option<Self> {
        let major = runtime.strip_prefix("nodejs")?.split('.').next()?;
        // The very first one was called `nodejs`.
        let major: u32 = if major.is_empty() { 0 } else { major.parse().ok()? };
        Some(if major < 18 { Self::V2 } else { Self::V3 })
    }

    /// Whether the runtime has a package.
    #[must_use]
    pub(crate) fn has(self, name: &str) -> bool {
        match self {
            Self::V2 => name == "aws-sdk",
            Self::V3 => name.starts_with("@aws-sdk/") || name.starts_with("@smithy/"),
        }
    }
}

/// The major version that the runtimes have, in the words of npm.
fn requirement(name: &str) -> String {
    match name {
        "aws-sdk" => "aws-sdk@2".to_owned(),
        name if name.starts_with("@aws-sdk/") => format!("{name}@3"),
        name => name.to_owned(),
    }
}

/// Installs what is missing. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Provided {
    spawner: Spawner,
    cache: Utf8PathBuf,
    ui: Ui,
    /// What could not be installed. It is not tried again at each save. One installation at a time: several functions are built at
    /// once, and want the same.
    failed: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    packages: BTreeSet<String>,
}

impl Provided {
    pub(super) fn new(spawner: Spawner, cache: Utf8PathBuf, ui: Ui) -> Self {
        Self { spawner, cache: cache.join("provided"), ui, failed: Arc::default() }
    }

    /// The `node_modules` with these packages, as far as they can be had. None when none can: whoever loads one that is not there will
    /// fail as for any other package that is missing.
    pub(super) async fn node(&self, packages: &BTreeSet<String>) -> Option<Utf8PathBuf> {
        let directory = self.cache.join("node");
        let modules = |found: Utf8PathBuf| found.join("node_modules");
        if let Some(found) = with(&directory, packages) {
            return Some(modules(found));
        }
        let mut failed = self.failed.lock().await;
        let mut wanted: BTreeSet<String> = packages.difference(&failed).cloned().collect();
        while !wanted.is_empty() {
            if let Some(found) = with(&directory, &wanted) {
                return Some(modules(found));
            }
            let all: BTreeSet<String> = largest(&directory).union(&wanted).cloned().collect();
            let command = |target: &Utf8Path| {
                let npm = which::which("npm").map_err(|_| "`npm` is not in the PATH".to_owned())?;
                let mut command = Command::new(npm);
                command
                    .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"])
                    .args(["--prefix", target.as_str()])
                    .args(all.iter().map(|name| requirement(name)))
                    .current_dir(target)
                    .trust_own_certificates();
                Ok(command)
            };
            match self.announced(&wanted, self.install(&directory, &all, command)).await {
                Ok(found) => return Some(modules(found)),
                Err(problem) => {
                    // A package that there is not, whose name is only in a text, must not keep the others away.
                    let at_fault: BTreeSet<String> =
                        wanted.iter().filter(|name| problem.contains(&requirement(name))).cloned().collect();
                    let lost = if at_fault.is_empty() { wanted.clone() } else { at_fault };
                    self.give_up(&lost, &problem);
                    wanted.retain(|name| !lost.contains(name));
                    failed.extend(lost);
                }
            }
        }
        None
    }

    /// The directory with `boto3` for an interpreter of a version.
    pub(super) async fn boto3(
        &self,
        interpreter: &Utf8Path,
        (major, minor): (u32, u32),
    ) -> Option<Utf8PathBuf> {
        let directory = self.cache.join(format!("python{major}.{minor}"));
        let packages = BTreeSet::from(["boto3".to_owned()]);
        let mut failed = self.failed.lock().await;
        if let Some(found) = with(&directory, &packages) {
            return Some(found);
        }
        if !failed.is_disjoint(&packages) {
            return None;
        }
        let pip = self.pip(interpreter).await;
        let command = |target: &Utf8Path| {
            let (python, is_own) = pip.ok_or("no Python with `pip` was found")?;
            let mut command = Command::new(python);
            command
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
                .args(["--target", target.as_str(), "boto3"])
                // What the shell says is about other Pythons.
                .env_remove("PYTHONPATH")
                .env_remove("PYTHONHOME");
            if !is_own {
                let version = format!("{major}.{minor}");
                command.args(["--python-version", &version, "--only-binary", ":all:"]);
            }
            Ok(command)
        };
        match self.announced(&packages, self.install(&directory, &packages, command)).await {
            Ok(found) => Some(found),
            Err(problem) => {
                self.give_up(&packages, &problem);
                failed.extend(packages);
                None
            }
        }
    }

    /// The directory in which `lib/` has what a package of the Maven repositories needs, and the package itself. `command` puts it there.
    pub(super) async fn java(
        &self,
        package: &str,
        command: impl FnOnce(&Utf8Path) -> Result<Command, String>,
    ) -> Result<Utf8PathBuf, String> {
        let directory = self.cache.join("java");
        let packages = BTreeSet::from([package.to_owned()]);
        // One installation at a time. Without it nothing runs, so it is tried again at each build.
        let _failed = self.failed.lock().await;
        if let Some(found) = with(&directory, &packages) {
            return Ok(found);
        }
        let found = self.announced(&packages, self.install(&directory, &packages, command)).await;
        found.map_err(|problem| {
            format!("what runs functions in Java (`{package}`) cannot be installed: {problem}")
        })
    }

    /// Warns of something, once.
    pub(super) async fn warn_once(&self, warning: String) {
        if self.failed.lock().await.insert(warning.clone()) {
            self.ui.warning(warning);
        }
    }

    /// A Python that can install packages, and whether it is the function's own. Virtual environments of uv have no `pip`.
    async fn pip(&self, interpreter: &Utf8Path) -> Option<(Utf8PathBuf, bool)> {
        let others = ["python3", "python"].into_iter().filter_map(|name| which::which(name).ok());
        let others =
            others.filter_map(|path| Utf8PathBuf::from_path_buf(path).ok()).map(|path| (path, false));
        for (python, is_own) in std::iter::once((interpreter.to_owned(), true)).chain(others) {
            let mut command = Command::new(&python);
            command.args(["-m", "pip", "--version"]);
            if run(&self.spawner, command, TO_ANSWER).await.is_ok_and(|said| said.status.success()) {
                return Some((python, is_own));
            }
        }
        None
    }

    /// Has packages installed, and says so.
    async fn announced(
        &self,
        packages: &BTreeSet<String>,
        install: impl Future<Output = Result<Utf8PathBuf, String>>,
    ) -> Result<Utf8PathBuf, String> {
        let what = named(packages);
        let message =
            format!("Installing what Lambda's runtimes bring along ({what}) into `{}`, once", self.cache);
        self.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
        let result = install.await;
        self.ui.send(match &result {
            Ok(_) => {
                let message = format!("What Lambda's runtimes bring along is installed ({what})");
                UiEvent::ProgressEnded { key: PROGRESS, message }
            }
            Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
        });
        result
    }

    fn give_up(&self, packages: &BTreeSet<String>, problem: &str) {
        let what = named(packages);
        self.ui.warning(format!(
            "what Lambda's runtimes bring along ({what}) cannot be installed; install it in the project: {problem}"
        ));
    }

    /// Installs packages into a directory below `parent`, which is there as a whole or not at all.
    async fn install(
        &self,
        parent: &Utf8Path,
        packages: &BTreeSet<String>,
        command: impl FnOnce(&Utf8Path) -> Result<Command, String>,
    ) -> Result<Utf8PathBuf, String> {
        let unwritable = |error: std::io::Error| format!("cannot write to `{parent}`: {error}");
        let (ui, waits) =
            (self.ui.clone(), format!("Another program is installing into `{parent}`; waiting for it"));
        let _lock = cache::lock(parent, move || ui.info(waits)).await.map_err(unwritable)?;
        // Somebody else may have been quicker.
        if let Some(found) = with(parent, packages) {
            return Ok(found);
        }
        let list = serde_json::to_string(&List { packages: packages.clone() }).unwrap_or_default();
        let name = &sst_wire::sha256_hex(list.as_bytes())[..16];
        remove_unfinished(parent);
        let unfinished =
            tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent).map_err(unwritable)?;
        let target = Utf8Path::from_path(unfinished.path()).ok_or("the cache directory is not UTF-8")?;
        let command = command(target)?;
        let said = run(&self.spawner, command, PATIENCE).await.map_err(|error| error.to_string())?;
        if !said.status.success() {
            let words = if said.stderr.trim().is_empty() { said.stdout } else { said.stderr };
            return Err(words.trim().to_owned());
        }
        fs_err::write(target.join(LIST), list).map_err(unwritable)?;
        let directory = parent.join(name);
        fs_err::rename(target, &directory).map_err(unwritable)?;
        // Nothing is left of it to be removed.
        let _ = unfinished.keep();
        Ok(directory)
    }
}

fn named(packages: &BTreeSet<String>) -> String {
    packages.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Removes what installations have left that were killed. Only whoever has the lock may do that.
fn remove_unfinished(parent: &Utf8Path) {
    for entry in parent.read_dir_utf8().into_iter().flatten().flatten() {
        if entry.file_name().starts_with(UNFINISHED)
            && let Err(error) = fs_err::remove_dir_all(entry.path())
        {
            tracing::debug!(%error, "an unfinished installation stays");
        }
    }
}

/// The installed directories and what is in each.
fn installed(parent: &Utf8Path) -> Vec<(Utf8PathBuf, BTreeSet<String>)> {
    let entries = parent.read_dir_utf8().into_iter().flatten().flatten();
    let read = |directory: Utf8PathBuf| {
        let text = fs_err::read(directory.join(LIST)).ok()?;
        let list: List = serde_json::from_slice(&text).ok()?;
        Some((directory, list.packages))
    };
    let mut found: Vec<_> = entries
        .filter(|entry| !entry.file_name().starts_with('.'))
        .filter_map(|entry| read(entry.path().to_owned()))
        .collect();
    found.sort_by_key(|(directory, packages)| (std::cmp::Reverse(packages.len()), directory.clone()));
    found
}

/// The directory that holds all of `packages`: the largest one, so that functions share it.
fn with(parent: &Utf8Path, packages: &BTreeSet<String>) -> Option<Utf8PathBuf> {
    installed(parent)
        .into_iter()
        .find(|(_, there)| there.is_superset(packages))
        .map(|(directory, _)| directory)
}

/// What is in the largest directory.
fn largest(parent: &Utf8Path) -> BTreeSet<String> {
    installed(parent).into_iter().next().map(|(_, packages)| packages).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_has_its_sdk() {
        for (runtime, sdk) in [
            ("nodejs", Some(Sdk::V2)),
            ("nodejs4.3", Some(Sdk::V2)),
            ("nodejs16.x", Some(Sdk::V2)),
            ("nodejs18.x", Some(Sdk::V3)),
            ("nodejs24.x", Some(Sdk::V3)),
            ("python3.12", None),
        ] {
            assert_eq!(Sdk::of(runtime), sdk, "{runtime}");
        }
        assert!(Sdk::V2.has("aws-sdk") && !Sdk::V2.has("@aws-sdk/client-s3"));
        assert!(Sdk::V3.has("@aws-sdk/client-s3") && Sdk::V3.has("@smithy/core") && !Sdk::V3.has("aws-sdk"));
    }

    #[test]
    fn the_largest_directory_serves() {
        let directory = tempfile::tempdir().unwrap();
        let parent = Utf8Path::from_path(directory.path()).unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        for (name, packages) in
            [("one", set(&["a"])), ("two", set(&["a", "b"])), (".unfinished-1", set(&["a", "b", "c"]))]
        {
            fs_err::create_dir(parent.join(name)).unwrap();
            let list = serde_json::to_string(&List { packages }).unwrap();
            fs_err::write(parent.join(name).join(LIST), list).unwrap();
        }
        fs_err::create_dir(parent.join("empty")).unwrap();
        assert_eq!(with(parent, &set(&["a"])), Some(parent.join("two")));
        assert_eq!(with(parent, &set(&["c"])), None);
        assert_eq!(largest(parent), set(&["a", "b"]));
        assert_eq!(with(&parent.join("nothing"), &set(&["a"])), None);
        remove_unfinished(parent);
        assert!(!parent.join(".unfinished-1").exists() && parent.join("one").exists());
    }
}

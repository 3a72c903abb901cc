//! Interpreters of Python: which there are, which one runs a function, and what they have.

use std::{
    collections::{BTreeSet, HashMap},
    env,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{
    directory, mentions,
    program::{TO_ANSWER, run},
    provided::Provided,
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    process::{Command, Spawner},
    project::manifest::FunctionSpec,
    ui::Ui,
};

/// The id of the language.
pub(super) const LANGUAGE: &str = "python";

/// Says what an interpreter is. Written so that any version understands it.
const QUESTION: &str = "import json, sys, sysconfig, importlib.util as u; \
    print(json.dumps({'version': list(sys.version_info[:2]), 'packages': sysconfig.get_paths()['purelib'], \
    'debugpy': u.find_spec('debugpy') is not None, 'boto3': u.find_spec('boto3') is not None}))";

/// Finds interpreters and remembers what they are.
#[derive(Debug, Clone)]
pub(super) struct Interpreters {
    spawner: Spawner,
    project: Utf8PathBuf,
    provided: Provided,
    ui: Ui,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<Utf8PathBuf, (Answer, Stamp)>,
    /// Warnings that have been given.
    warned: BTreeSet<String>,
}

/// When the interpreter and its packages were last changed.
type Stamp = (Option<SystemTime>, Option<SystemTime>);

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    version: (u32, u32),
    packages: Utf8PathBuf,
    debugpy: bool,
    boto3: bool,
}

impl Interpreters {
    pub(super) fn new(spawner: Spawner, project: Utf8PathBuf, provided: Provided, ui: Ui) -> Self {
        Self { spawner, project, provided, ui, known: Arc::default() }
    }

    /// The directory as it is, with the interpreter that runs it.
    pub(super) async fn artifact(
        &self,
        path: Utf8PathBuf,
        spec: Arc<FunctionSpec>,
    ) -> Result<Artifact, BuildError> {
        let program = self.find(&path, &spec).await?;
        let artifact = directory::artifact(path.clone(), spec.clone(), program.clone()).await?;
        let provided = self.boto3(&program, path).await;
        // Another interpreter is other code, and so is another SDK.
        let fingerprint = format!("{} {program:?} {provided:?}", artifact.fingerprint);
        Ok(Artifact { fingerprint, provided, ..artifact })
    }

    /// Where `boto3` is, for a function that needs it and an interpreter that has none.
    async fn boto3(&self, program: &Program, directory: Utf8PathBuf) -> Option<Utf8PathBuf> {
        let interpreter = program.executable.as_ref()?;
        let answer = self.ask(interpreter).await.filter(|answer| !answer.boto3)?;
        let mentioned = tokio::task::spawn_blocking(move || mentions::boto3(&directory)).await;
        match mentioned {
            Ok(true) => self.provided.boto3(interpreter, answer.version).await,
            _ => None,
        }
    }

    /// The interpreter: of the nearest virtual environment, else of the activated one, else the system's of the right version.
    async fn find(&self, directory: &Utf8Path, spec: &FunctionSpec) -> Result<Program, BuildError> {
        let wanted = version_of(&spec.runtime);
        let environments = self.environments(directory).await;
        let mut looked: Vec<String> = environments.iter().map(|path| format!("`{path}`")).collect();
        for interpreter in environments {
            if let Some(answer) = self.ask(&interpreter).await {
                self.warn_of_other_version(spec, &interpreter, answer.version, wanted);
                return Ok(program(interpreter, &answer));
            }
        }
        let exact = wanted.map(|(major, minor)| format!("python{major}.{minor}"));
        let mut other = None;
        for name in exact.into_iter().chain(["python3".to_owned(), "python".to_owned()]) {
            looked.push(format!("`{name}` in the PATH"));
            let Some(path) = which::which(&name).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
            else {
                continue;
            };
            if let Some(answer) = self.ask(&path).await {
                if wanted.is_none_or(|wanted| wanted == answer.version) {
                    return Ok(program(path, &answer));
                }
                other.get_or_insert((path, answer));
            }
        }
        if let Some((path, answer)) = self.of_version_manager(wanted).await {
            return Ok(program(path, &answer));
        }
        if let Some((path, answer)) = other.filter(|(_, answer)| answer.version.0 == 3) {
            self.warn_of_other_version(spec, &path, answer.version, wanted);
            return Ok(program(path, &answer));
        }
        let summary = format!(
            "there is no Python for the runtime `{}`: looked for {}",
            spec.runtime,
            looked.join(", ")
        );
        Err(unbuildable(summary, vec![directory.to_owned()]))
    }

    /// The interpreters of virtual environments, the most specific first: `.venv` or `venv` beside the code or above it (uv and
    /// most others put it there), the activated one, that of Poetry.
    async fn environments(&self, directory: &Utf8Path) -> Vec<Utf8PathBuf> {
        let inside = directory.starts_with(&self.project);
        let above: Vec<&Utf8Path> = directory
            .ancestors()
            .take_while(|above| !inside || above.starts_with(&self.project))
            .take(if inside { usize::MAX } else { 1 })
            .collect();
        let mut found: Vec<Utf8PathBuf> = above
            .iter()
            .flat_map(|above| [above.join(".venv"), above.join("venv")])
            .chain(env::var("VIRTUAL_ENV").ok().map(Utf8PathBuf::from))
            .map(|environment| environment.join("bin/python"))
            .filter(|interpreter| interpreter.exists())
            .collect();
        if found.is_empty()
            && let Some(project) = above.iter().find(|above| above.join("poetry.lock").is_file())
            && let Ok(poetry) = which::which("poetry")
        {
            let mut command = Command::new(poetry);
            command.args(["env", "info", "--executable"]).current_dir(project);
            if let Ok(said) = run(&self.spawner, command, TO_ANSWER).await
                && said.status.success()
            {
                found.push(said.stdout.trim().into());
            }
        }
        found
    }

    /// An interpreter that pyenv or uv has installed.
    async fn of_version_manager(&self, wanted: Option<(u32, u32)>) -> Option<(Utf8PathBuf, Answer)> {
        let (major, minor) = wanted?;
        let mut candidates = Vec::new();
        let pyenv = env::var("PYENV_ROOT")
            .or_else(|_| Ok::<_, env::VarError>(format!("{}/.pyenv", env::var("HOME")?)));
        if let Ok(root) = pyenv
            && let Ok(versions) = Utf8Path::new(&root).join("versions").read_dir_utf8()
        {
            let prefix = format!("{major}.{minor}.");
            let versions = versions.flatten().filter(|entry| entry.file_name().starts_with(&prefix));
            candidates.extend(versions.map(|entry| entry.path().join("bin/python")));
        }
        if let Ok(uv) = which::which("uv") {
            let mut command = Command::new(uv);
            command.args(["python", "find", "--no-python-downloads", &format!("{major}.{minor}")]);
            let said = run(&self.spawner, command, TO_ANSWER).await.ok();
            candidates.extend(said.map(|said| Utf8PathBuf::from(said.stdout.trim())));
        }
        for path in candidates {
            if let Some(answer) = self.ask(&path).await.filter(|answer| answer.version == (major, minor)) {
                return Some((path, answer));
            }
        }
        None
    }

    /// What an interpreter is; none when it does not work.
    async fn ask(&self, interpreter: &Utf8Path) -> Option<Answer> {
        let stamp = |packages: &Utf8Path| (modified(interpreter), modified(packages));
        let known = self.lock().answers.get(interpreter).cloned();
        if let Some((answer, seen)) = known
            && stamp(&answer.packages) == seen
        {
            return Some(answer);
        }
        let mut command = Command::new(interpreter);
        command.args(["-c", QUESTION]);
        let said = run(&self.spawner, command, TO_ANSWER).await.ok().filter(|said| said.status.success())?;
        let answer: Answer = serde_json::from_str(said.stdout.trim()).ok()?;
        let seen = stamp(&answer.packages);
        self.lock().answers.insert(interpreter.to_owned(), (answer.clone(), seen));
        Some(answer)
    }

    fn warn_of_other_version(
        &self,
        spec: &FunctionSpec,
        interpreter: &Utf8Path,
        (major, minor): (u32, u32),
        wanted: Option<(u32, u32)>,
    ) {
        if wanted.is_none_or(|wanted| wanted == (major, minor)) {
            return;
        }
        let FunctionSpec { id, runtime, .. } = spec;
        let warning = format!(
            "`{id}` is declared as `{runtime}` and runs here on Python {major}.{minor} (`{interpreter}`)"
        );
        if self.lock().warned.insert(warning.clone()) {
            self.ui.warning(warning);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn program(interpreter: Utf8PathBuf, answer: &Answer) -> Program {
    let elsewhere = if answer.debugpy { None } else { debugpy_of_an_editor() };
    let lacking = (!answer.debugpy && elsewhere.is_none()).then(|| {
        format!(
            "its Python has no debugpy: `{interpreter} -m pip install debugpy`, and save a file of the function"
        )
    });
    Program {
        language: LANGUAGE.into(),
        executable: Some(interpreter),
        debugger: elsewhere,
        lacking,
        ..Program::default()
    }
}

/// VS Code's extension for Python brings one along.
fn debugpy_of_an_editor() -> Option<Utf8PathBuf> {
    let home = Utf8PathBuf::from(env::var("HOME").ok()?);
    let places = [".vscode", ".vscode-server", ".vscode-insiders", ".cursor", ".cursor-server"];
    let extensions =
        places.iter().filter_map(|place| home.join(place).join("extensions").read_dir_utf8().ok());
    let mut found: Vec<Utf8PathBuf> = extensions
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.file_name().starts_with("ms-python.debugpy-"))
        .map(|entry| entry.path().join("bundled/libs"))
        .filter(|libraries| libraries.join("debugpy").is_dir())
        .collect();
    found.sort();
    found.pop()
}

/// `python3.12` as (3, 12).
fn version_of(runtime: &str) -> Option<(u32, u32)> {
    let (major, minor) = runtime.strip_prefix("python")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn modified(path: &Utf8Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

//! Interpreters of Python: which there are, which one runs a function, and what they have.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use sst_wire::sha256_hex;

use super::{
    Interpreted,
    answers::Answers,
    directory::{self, Listing},
    installed::PYTHON,
    mentions,
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

/// Says what an interpreter is, and where the packages are that are installed as links to their source: what `.pth` files add to the
/// path, and what the finders of setuptools know. Written so that any version understands it.
const QUESTION: &str = "import json, os, sys, sysconfig, importlib.util as u; \
    paths = sysconfig.get_paths(); \
    given = os.environ.get('PYTHONPATH', '').split(os.pathsep); \
    linked = [p for p in sys.path if os.path.isdir(p) and p not in given and not p.startswith(paths['stdlib']) \
    and os.path.basename(p) not in ('site-packages', 'dist-packages')]; \
    linked += [p for n, m in sys.modules.items() if n.startswith('__editable__') for p in getattr(m, 'MAPPING', {}).values()]; \
    print(json.dumps({'version': list(sys.version_info[:2]), 'packages': paths['purelib'], 'linked': linked, \
    'debugpy': u.find_spec('debugpy') is not None, 'boto3': u.find_spec('boto3') is not None}))";

/// What tells in `site-packages` that something was installed or removed.
const INSTALLED: [&str; 3] = [".dist-info", ".pth", ".egg-link"];

/// Finds interpreters and remembers what they are.
#[derive(Debug, Clone)]
pub(super) struct Interpreters {
    spawner: Spawner,
    project: Utf8PathBuf,
    provided: Provided,
    ui: Ui,
    answers: Answers<Answer>,
    /// Warnings that have been given.
    warned: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    version: (u32, u32),
    packages: Utf8PathBuf,
    /// Directories and modules outside of that, in which somebody may be working on packages.
    linked: Vec<Utf8PathBuf>,
    debugpy: bool,
    boto3: bool,
}

impl Interpreters {
    pub(super) fn new(spawner: Spawner, project: Utf8PathBuf, provided: Provided, ui: Ui) -> Self {
        let answers = Answers::new(project.clone());
        Self { spawner, project, provided, ui, answers, warned: Arc::default() }
    }

    /// The directory as it is, with the interpreter that runs it.
    pub(super) async fn artifact(
        &self,
        path: Utf8PathBuf,
        spec: Arc<FunctionSpec>,
    ) -> Result<Artifact, BuildError> {
        let program = self.find(&path, &spec).await?;
        let mut artifact = directory::artifact(path.clone(), spec.clone(), program.clone()).await?;
        artifact.inputs.extend(self.candidates(&path));
        let mut installed = String::new();
        if let Some(interpreter) = &program.executable
            && let Some(answer) = self.ask(interpreter).await
        {
            let look = tokio::task::spawn_blocking(move || answer.installed()).await;
            let (inputs, listing) = look.unwrap_or_default();
            artifact.inputs.extend(inputs);
            installed = sha256_hex(listing.as_bytes());
        }
        let provided = self.boto3(&program, path).await;
        // Another interpreter is other code, and so are other packages and another SDK.
        let fingerprint = format!("{} {program:?} {installed} {provided:?}", artifact.fingerprint);
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

    /// The interpreter of a function. Says once for each runtime and interpreter when that is of another version.
    async fn find(&self, directory: &Utf8Path, spec: &FunctionSpec) -> Result<Program, BuildError> {
        let (found, answer) = self.look(directory, spec).await?;
        if let Some(advice) = &found.advice {
            let runtime = &spec.runtime;
            let Interpreted { name, path, .. } = &found;
            let warning = format!("functions of `{runtime}` run here on {name} (`{path}`): {advice}");
            if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(warning.clone()) {
                self.ui.warning(warning);
            }
        }
        Ok(program(found.path, &answer))
    }

    /// What runs a function.
    pub(super) async fn of(&self, spec: &FunctionSpec) -> Option<Interpreted> {
        self.look(spec.source.directory(), spec).await.ok().map(|(found, _)| found)
    }

    /// The interpreter: of the nearest virtual environment, else of the activated one, else the system's of the right version.
    async fn look(
        &self,
        directory: &Utf8Path,
        spec: &FunctionSpec,
    ) -> Result<(Interpreted, Answer), BuildError> {
        let wanted = version_of(&spec.runtime);
        let environments = self.environments(directory).await;
        let mut looked: Vec<String> = environments.iter().map(|path| format!("`{path}`")).collect();
        for interpreter in environments {
            if let Some(answer) = self.ask(&interpreter).await {
                return Ok(found(interpreter, answer, wanted, |version| {
                    format!(
                        "make the virtual environment with Python {version}, e.g. by `uv venv --python {version}`"
                    )
                }));
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
                    return Ok(found(path, answer, wanted, |_| String::new()));
                }
                other.get_or_insert((path, answer));
            }
        }
        if let Some((path, answer)) = self.of_version_manager(wanted).await {
            return Ok(found(path, answer, wanted, |_| String::new()));
        }
        if let Some((path, answer)) = other.filter(|(_, answer)| answer.version.0 == 3) {
            return Ok(found(path, answer, wanted, |version| {
                format!(
                    "there is no Python {version} on this machine; get it, e.g. by `uv python install {version}` or `pyenv \
                     install {version}`, and save a file of theirs"
                )
            }));
        }
        let summary = format!(
            "there is no Python for the runtime `{}`: looked for {}",
            spec.runtime,
            looked.join(", ")
        );
        let inputs = std::iter::once(directory.to_owned()).chain(self.candidates(directory));
        Err(unbuildable(summary, inputs.collect()))
    }

    /// The directory itself and those above it in the project, in any of which a virtual environment may be.
    fn above<'a>(&self, directory: &'a Utf8Path) -> Vec<&'a Utf8Path> {
        let inside = directory.starts_with(&self.project);
        directory
            .ancestors()
            .take_while(|above| !inside || above.starts_with(&self.project))
            .take(if inside { usize::MAX } else { 1 })
            .collect()
    }

    /// Where the interpreters of virtual environments are, or would be.
    fn candidates(&self, directory: &Utf8Path) -> Vec<Utf8PathBuf> {
        let places =
            self.above(directory).into_iter().flat_map(|above| [above.join(".venv"), above.join("venv")]);
        places.map(|environment| environment.join("bin/python")).collect()
    }

    /// The interpreters of virtual environments, the most specific first: `.venv` or `venv` beside the code or above it (uv and
    /// most others put it there), the activated one, that of Poetry.
    async fn environments(&self, directory: &Utf8Path) -> Vec<Utf8PathBuf> {
        let above = self.above(directory);
        let activated = env::var("VIRTUAL_ENV").ok().map(|it| Utf8PathBuf::from(it).join("bin/python"));
        let mut found: Vec<Utf8PathBuf> =
            self.candidates(directory).into_iter().chain(activated).filter(|found| found.exists()).collect();
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

    /// An interpreter that a version manager has installed.
    async fn of_version_manager(&self, wanted: Option<(u32, u32)>) -> Option<(Utf8PathBuf, Answer)> {
        let (major, minor) = wanted?;
        let mut candidates = PYTHON.candidates(&format!("{major}.{minor}"));
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
        let question = async {
            let mut command = Command::new(interpreter);
            command.args(["-c", QUESTION]);
            let said =
                run(&self.spawner, command, TO_ANSWER).await.ok().filter(|said| said.status.success())?;
            serde_json::from_str(said.stdout.trim()).ok()
        };
        self.answers.of(interpreter, |answer| Some(answer.packages.clone()), question).await
    }
}

impl Answer {
    /// What it depends on which packages are installed, and as what state of them.
    fn installed(&self) -> (Vec<Utf8PathBuf>, String) {
        let mut inputs: Vec<Utf8PathBuf> =
            INSTALLED.iter().map(|ending| self.packages.join(format!("*{ending}"))).collect();
        let entries = self.packages.read_dir_utf8().into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_owned()).collect();
        names.retain(|name| INSTALLED.iter().any(|ending| name.ends_with(ending)));
        names.sort();
        let mut listing = names.join("\n");
        for place in &self.linked {
            if place.is_dir()
                && let Ok(below) = Listing::of(place)
            {
                listing.push_str(&below.text);
                inputs.extend(below.inputs);
            } else {
                let _ = writeln!(listing, "{place} {:?}", modified(place));
                inputs.push(place.clone());
            }
        }
        (inputs, listing)
    }
}

/// The interpreter with what is to be said of it when it is of another version than the wanted one.
fn found(
    path: Utf8PathBuf,
    answer: Answer,
    wanted: Option<(u32, u32)>,
    advice: impl FnOnce(&str) -> String,
) -> (Interpreted, Answer) {
    let (major, minor) = answer.version;
    let missing = wanted.filter(|wanted| *wanted != answer.version);
    let advice = missing.map(|(major, minor)| advice(&format!("{major}.{minor}")));
    let name = format!("Python {major}.{minor}");
    (Interpreted { name, other: Some(path.clone()), path, advice }, answer)
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

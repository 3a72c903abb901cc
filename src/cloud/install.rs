//! Installs the local cloud into a virtual environment in the user's cache directory. Once; later starts find it.

use std::{process::Output, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    cache,
    error::{Error, Kind, Result},
    process::{Command, Spawner, Stdio},
    ui::{Ui, UiEvent},
};

/// The releases that everything here was tried with. Python functions that run in the local cloud, e.g. the CDK's own, expect `boto3`.
/// Without `cryptography` Cognito's tokens have no signature, and APIs let nobody in by one.
const REQUIREMENTS: [&str; 3] = ["ministack==1.5.33", "boto3==1.43.106", "cryptography==50.0.2"];

/// The oldest Python that it runs on.
const OLDEST: (u32, u32) = (3, 10);

/// Names of Python, the usual one first.
const PYTHONS: [&str; 7] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// How long the installation may take.
const PATIENCE: Duration = Duration::from_secs(600);

const PROGRESS: &str = "cloud-install";

/// The virtual environment with the server. Two programs that need it at the same time install it once.
pub(super) async fn install(cache: &Utf8Path, spawner: &Spawner, ui: &Ui) -> Result<Utf8PathBuf> {
    let directory = cache.join(REQUIREMENTS.join("+").replace("==", "-"));
    let complete = directory.join("complete");
    let is_there = || complete.is_file() && directory.join("bin/python").is_file();
    if is_there() {
        return Ok(directory);
    }
    let unwritable = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("cannot write to the cache directory `{cache}`")).detail(error)
    };
    let python = find_python(spawner).await?;
    let (waiting, waits) =
        (ui.clone(), format!("Another program is installing into `{cache}`; waiting for it"));
    let _lock = cache::lock(cache, move || waiting.info(waits)).await.map_err(unwritable)?;
    if is_there() {
        return Ok(directory);
    }
    let server = REQUIREMENTS[0];
    let message = format!("Installing the local cloud ({server}) into `{directory}`, once");
    ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let result = create(&python, &directory, spawner).await;
    match result {
        Ok(()) => {
            // Written last: a directory without it is the remains of an installation that was interrupted.
            fs_err::write(&complete, REQUIREMENTS.join("\n")).map_err(unwritable)?;
            let message = format!("The local cloud is installed in `{directory}`");
            ui.send(UiEvent::ProgressEnded { key: PROGRESS, message });
            Ok(directory)
        }
        Err(error) => {
            ui.send(UiEvent::ProgressFailed { key: PROGRESS });
            Err(error)
        }
    }
}

async fn create(python: &Utf8Path, directory: &Utf8Path, spawner: &Spawner) -> Result<()> {
    if directory.exists() {
        fs_err::remove_dir_all(directory).map_err(|error| {
            Error::new(Kind::Environment, "cannot remove an unfinished installation").detail(error)
        })?;
    }
    let mut venv = Command::new(python);
    venv.args(["-m", "venv", directory.as_str()]);
    step(venv, spawner, "on Debian and Ubuntu: `apt install python3-venv`").await?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(REQUIREMENTS);
    step(
        pip,
        spawner,
        "it needs a way to PyPI, once; pip's own settings (`PIP_INDEX_URL`, proxies) are honoured",
    )
    .await
}

async fn step(command: Command, spawner: &Spawner, hint: &str) -> Result<()> {
    let shown = command.to_string();
    let failed = |detail: String| {
        Error::new(Kind::Environment, format!("the local cloud cannot be installed: `{shown}` failed"))
            .detail(detail)
            .hint(hint)
    };
    let output = match tokio::time::timeout(PATIENCE, run(command, spawner)).await {
        Ok(output) => output.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("it did not end within {} s", PATIENCE.as_secs()))),
    };
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(failed(String::from_utf8_lossy(&text).trim().to_owned()))
}

async fn run(mut command: Command, spawner: &Spawner) -> std::io::Result<Output> {
    command.own_temporary_files()?.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Somebody else's environment must not tell Python where its modules are.
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env_remove("VIRTUAL_ENV");
    spawner.spawn(command).await?.wait_with_output().await
}

/// A Python that is new enough and can make virtual environments.
async fn find_python(spawner: &Spawner) -> Result<Utf8PathBuf> {
    let (major, minor) = OLDEST;
    let wanted = format!("Python {major}.{minor} or newer");
    let mut found = Vec::new();
    for name in PYTHONS {
        let Some(path) = which::which(name).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
        else {
            continue;
        };
        let mut command = Command::new(&path);
        command.args(["-c", "import sys; print(*sys.version_info[:2]); import venv, ensurepip"]);
        let Ok(output) = run(command, spawner).await else { continue };
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { continue };
        if (major, minor) >= OLDEST && output.status.success() {
            return Ok(path);
        }
        let lack = if (major, minor) < OLDEST { "too old" } else { "without the `venv` module" };
        found.push(format!("`{path}` is Python {major}.{minor}, {lack}"));
    }
    let detail =
        if found.is_empty() { "there is no `python3` in the PATH".to_owned() } else { found.join("\n") };
    Err(Error::new(Kind::Environment, format!("the local cloud needs {wanted} with `venv`")).detail(detail).hint(
        format!("install {wanted} (on Debian and Ubuntu: `apt install python3 python3-venv`), or use AWS without `--local`"),
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_script_is_for_the_release_that_is_installed() {
        let release = super::REQUIREMENTS[0].trim_start_matches("ministack==");
        assert!(super::super::PROGRAM[0].1.contains(&format!("RELEASE = \"{release}\"")));
    }
}

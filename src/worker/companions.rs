//! The external extensions of a worker: processes that start before its runtime does, and end after it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{sync::mpsc, task::JoinSet};

use super::{exit::exit_of, output::Output};
use crate::{
    core::event::Exit,
    extensions::{Extensions, Reason, SHUTDOWN},
    ids::WorkerId,
    layers::{OPT, TASK_ROOT},
    process::{Child, Command, Spawner},
};

/// How long extensions may take until they have registered: Lambda gives an environment as long for its initialisation.
const TO_REGISTER: Duration = Duration::from_secs(10);

/// How long the last telemetry may take.
const LAST_RECORDS: Duration = Duration::from_millis(500);

/// What an execution environment is by which its extensions know it as well.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub opt: Option<&'a Utf8Path>,
    pub task_root: &'a Utf8Path,
    /// The environment of the function.
    pub environment: &'a BTreeMap<String, String>,
    /// A file that names the environment as programs in it expect, beside what this machine knows.
    pub hosts: Utf8PathBuf,
}

/// The outputs of the extensions of one worker, by their names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs(Arc<Mutex<Vec<(String, Output)>>>);

impl Outputs {
    /// Reads what there is, each line with the name of its extension. The second value says whether there may be more.
    pub(super) fn drain(&self) -> (Vec<(String, String)>, bool) {
        let outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let mut any_more = false;
        for (name, output) in outputs.iter() {
            let (read, more) = output.drain();
            lines.extend(read.into_iter().map(|line| (name.clone(), line)));
            any_more |= more;
        }
        (lines, any_more)
    }
}

/// The extensions that run.
#[derive(Debug)]
pub(super) struct Companions {
    extensions: Arc<Extensions>,
    running: JoinSet<(String, io::Result<Exit>)>,
}

impl Companions {
    /// Starts them, and waits until they have registered. Without any there is nothing to wait for.
    pub(super) async fn start(
        spawner: &Spawner,
        extensions: Arc<Extensions>,
        place: &Place<'_>,
        outputs: &Outputs,
        (worker, ready): (WorkerId, &mpsc::UnboundedSender<WorkerId>),
    ) -> Result<Self, Exit> {
        let mut companions = Self { extensions: extensions.clone(), running: JoinSet::new() };
        for (name, program) in extensions.external() {
            let child = spawn(spawner, program, place, outputs, (name, worker, ready)).await;
            let child = child.map_err(|error| Exit::Extension {
                error_type: "Extension.LaunchError",
                reason: format!("the extension `{name}` cannot be started: {error}"),
            })?;
            let name = name.to_owned();
            companions.running.spawn(async move {
                let mut child: Child = child;
                (name, child.wait().await.map(exit_of))
            });
        }
        if companions.running.is_empty() {
            return Ok(companions);
        }
        tokio::select! {
            () = extensions.registered() => Ok(companions),
            exit = companions.failed() => Err(exit),
            () = tokio::time::sleep(TO_REGISTER) => Err(Exit::Extension {
                error_type: "Extension.InitError",
                reason: format!(
                    "an extension has not registered within {} s (POST /2020-01-01/extension/register)",
                    TO_REGISTER.as_secs()
                ),
            }),
        }
    }

    /// Waits until one of them ends, although it has not been told to. Where there is none, that is never.
    pub(super) async fn failed(&mut self) -> Exit {
        loop {
            match self.running.join_next().await {
                Some(Ok((name, ended))) => {
                    let how = match ended {
                        Ok(Exit::Code(0)) => "exit code 0".to_owned(),
                        Ok(Exit::Code(code)) => format!("exit status {code}"),
                        Ok(Exit::Signal(signal)) => format!("signal: {signal}"),
                        Ok(Exit::NotStarted(reason) | Exit::Extension { reason, .. }) => reason,
                        Err(error) => error.to_string(),
                    };
                    let error_type = self.extensions.fatal();
                    let reason = format!("{how} (extension `{name}`)");
                    return Exit::Extension { error_type, reason };
                }
                // It was this program's fault, and the process has ended with the task.
                Some(Err(error)) => tracing::warn!(%error, "an extension is not watched any more"),
                None => std::future::pending().await,
            }
        }
    }

    /// Tells them that the environment ends, and waits until they have, but not for long. What is left then is killed.
    pub(super) async fn end(mut self, reason: Reason) {
        self.extensions.telemetry.ended(match reason {
            Reason::Timeout => "timeout",
            Reason::Failure | Reason::Spindown => "failure",
        });
        if self.extensions.shut_down(reason) && !self.running.is_empty() {
            let all = async { while self.running.join_next().await.is_some() {} };
            let flushed = self.extensions.telemetry.flush(LAST_RECORDS);
            let _ = tokio::time::timeout(SHUTDOWN, async { tokio::join!(all, flushed) }).await;
        }
        self.running.shutdown().await;
    }
}

async fn spawn(
    spawner: &Spawner,
    program: &Utf8Path,
    place: &Place<'_>,
    outputs: &Outputs,
    (name, worker, ready): (&str, WorkerId, &mpsc::UnboundedSender<WorkerId>),
) -> io::Result<Child> {
    let (output, ends) = Output::new()?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(environment(place.environment))
        .current_dir(place.task_root)
        .stdout(ends.stdout)
        .stderr(ends.stderr);
    if let Some(opt) = place.opt
        && spawner.can_mount().await.is_ok()
    {
        command.mount(opt, OPT).mount(place.task_root, TASK_ROOT);
        if write_hosts(&place.hosts).is_ok() {
            command.mount(&place.hosts, HOSTS);
        }
    }
    let child = spawner.spawn(command).await?;
    outputs.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), output.clone()));
    let ready = ready.clone();
    // It ends with the pipes.
    tokio::spawn(async move { output.watch(worker, ready).await });
    Ok(child)
}

/// Where names of machines are looked up first.
const HOSTS: &str = "/etc/hosts";

/// What this machine knows, and the names by which an execution environment knows itself: extensions listen there for telemetry.
fn write_hosts(path: &Utf8Path) -> io::Result<()> {
    let known = fs_err::read_to_string(HOSTS).unwrap_or_default();
    let text = format!("{}\n127.0.0.1 sandbox.localdomain sandbox\n", known.trim_end());
    if fs_err::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs_err::write(path, text)
}

/// The environment of an extension: what the function has, less what is about its runtime, and less what is ours.
fn environment(of_function: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const OF_THE_RUNTIME: [&str; 5] = [
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_EXEC_WRAPPER",
        "VSCODE_INSPECTOR_OPTIONS",
        "SST_BOOTLOADER",
        "SST_DEBUGGEE",
    ];
    let is_its_own = |name: &str| !name.starts_with('_') && !OF_THE_RUNTIME.contains(&name);
    let mut environment = of_function.clone();
    environment.retain(|name, _| is_its_own(name));
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_has_the_functions_variables_but_those_of_its_runtime() {
        let map = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let of_function: BTreeMap<_, _> = map(&[
            "TABLE",
            "_HANDLER",
            "_X_AMZN_TRACE_ID",
            "AWS_EXECUTION_ENV",
            "AWS_LAMBDA_RUNTIME_API",
            "SST_DEBUGGEE",
        ]);
        assert_eq!(environment(&of_function), map(&["TABLE", "AWS_LAMBDA_RUNTIME_API"]));
    }
}

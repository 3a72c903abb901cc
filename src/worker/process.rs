//! One worker process from its start to its end.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, process::ExitStatus, sync::Arc, time::Duration};

use camino::Utf8Path;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::{companions::Companions, exit::exit_of, output::Output};
use crate::{
    core::{
        effect::Stop,
        event::{Event, Exit},
    },
    extensions::Reason,
    ids::WorkerId,
    languages::Launch,
    layers::{OPT, TASK_ROOT},
    process::{Child, Command, Spawner},
};

/// How long a worker may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long the output of a dead worker is waited for. Only a process that left its session can keep the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a gated worker waits for its debuggers. The inspector endpoint gives up earlier; this is for a worker that never said
/// where its inspector listens.
const LONGEST_GATE: Duration = Duration::from_secs(65);

/// No list of the files that a function has loaded is longer, in bytes.
const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// The descriptor under which a runner finds the pipe that ties its life to ours.
pub(super) const LIFELINE: i32 = 3;

/// A process that runs, or will run, a function.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub output: Output,
    /// Our end of the runner's pipe: assignments go through it, and its end tells the runner that we are gone.
    lifeline: Arc<tokio::net::UnixStream>,
}

impl Process {
    /// Starts a program with exactly the given environment. With layers, in `opt`, it sees those and its directory where functions on
    /// Lambda do, if that can be had. Its directory has its own name all the same: by that debuggers know its files.
    pub(super) async fn spawn(
        spawner: &Spawner,
        launch: &Launch,
        environment: &BTreeMap<String, String>,
        directory: &Utf8Path,
        opt: Option<&Utf8Path>,
    ) -> io::Result<Self> {
        let (output, ends) = Output::new()?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .env_clear()
            .envs(environment)
            .current_dir(directory)
            .stdout(ends.stdout)
            .stderr(ends.stderr)
            .inherit(OwnedFd::from(theirs), LIFELINE);
        if launch.native {
            command.allow_debuggers();
        }
        if let Some(mb) = launch.most_data_mb {
            command.limit_data(mb * 1024 * 1024);
        }
        if let Some(opt) = opt
            && spawner.can_mount().await.is_ok()
        {
            command.mount(opt, OPT).mount(directory, TASK_ROOT);
        }
        let child = spawner.spawn(command).await?;
        Ok(Self { child, output, lifeline: Arc::new(tokio::net::UnixStream::from_std(ours)?) })
    }

    /// The process's id, until it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(super) fn is_alive(&self) -> bool {
        // The other end of the pipe is closed when the process is gone.
        !matches!(self.lifeline.try_read(&mut [0]), Ok(0))
    }

    /// Tells a standby something.
    pub(super) async fn send(&self, message: &serde_json::Value) -> io::Result<()> {
        send(&self.lifeline, message).await
    }

    /// Waits for a line that a standby says; none when it ends, or says anything else.
    pub(super) async fn receive(&self) -> Option<serde_json::Value> {
        let mut line = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while line.last() != Some(&b'\n') {
            self.lifeline.readable().await.ok()?;
            match self.lifeline.try_read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
            if line.len() > LONGEST_LINE {
                return None;
            }
        }
        serde_json::from_slice(&line).ok()
    }

    /// Lets the process run under a worker's id until it ends. One that is `limited` to the memory that its function declares may have
    /// ended for want of more. A gated one is sent its assignment as soon as it may load; `messages`
    /// are sent whenever they come. Reports what it writes and how it ended, after everything that it started is gone as well.
    pub(super) async fn run(
        mut self,
        (worker, limited): (WorkerId, bool),
        gated: Option<(serde_json::Value, watch::Receiver<bool>)>,
        mut messages: mpsc::UnboundedReceiver<serde_json::Value>,
        mut companions: Companions,
        mut stop: watch::Receiver<Option<Stop>>,
        (ready, events): (mpsc::UnboundedSender<WorkerId>, mpsc::UnboundedSender<Event>),
    ) {
        let output = self.output.clone();
        let reader = AbortOnDropHandle::new(tokio::spawn(async move { output.watch(worker, ready).await }));
        let lifeline = self.lifeline.clone();
        let tell = async move {
            let opened = async {
                match gated {
                    Some((assignment, mut may_load)) => {
                        let _ = tokio::time::timeout(LONGEST_GATE, may_load.wait_for(|may| *may)).await;
                        assignment
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(opened);
            let mut assigned = false;
            loop {
                let message = tokio::select! {
                    // What was sent before the gate opened goes first.
                    biased;
                    Some(message) = messages.recv() => message,
                    assignment = &mut opened, if !assigned => {
                        assigned = true;
                        assignment
                    }
                    else => std::future::pending().await,
                };
                if let Err(error) = send(&lifeline, &message).await {
                    tracing::debug!(%error, %worker, "ended before it was told everything");
                }
            }
        };
        let exit = tokio::select! {
            status = self.wait(&mut stop) => match status {
                Ok(status) => exit_of(status),
                Err(error) => Exit::NotStarted(error.to_string()),
            },
            () = tell => return,
            failure = companions.failed() => {
                // As on Lambda, nothing of an environment outlives one of its extensions.
                let _ = self.child.kill().await;
                failure
            }
        };
        let reason = match *stop.borrow() {
            Some(Stop::Gently) => Reason::Spindown,
            Some(Stop::Now) => Reason::Timeout,
            None => Reason::Failure,
        };
        companions.end(reason).await;
        drop(self.lifeline);
        let _ = tokio::time::timeout(LAST_WORDS, reader).await;
        let by_itself = limited && reason == Reason::Failure;
        self.output.has_ended(by_itself.then_some(&exit), self.child.peak_mb());
        let _ = events.send(Event::Exited { worker, exit });
    }

    /// Waits for the end, bringing it about when told to. As on Lambda, nothing of an execution environment outlives it.
    async fn wait(&mut self, stop: &mut watch::Receiver<Option<Stop>>) -> io::Result<ExitStatus> {
        let mut kill_at = None;
        loop {
            let order = *stop.borrow_and_update();
            match order {
                Some(Stop::Now) => return self.child.kill().await,
                Some(Stop::Gently) if kill_at.is_none() => {
                    self.child.terminate();
                    kill_at = Some(tokio::time::Instant::now() + GRACE);
                }
                _ => {}
            }
            let grace = async {
                match kill_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => return status,
                () = grace => return self.child.kill().await,
                changed = stop.changed() => {
                    if changed.is_err() {
                        // Nobody is left to want this worker.
                        return self.child.kill().await;
                    }
                }
            }
        }
    }
}

/// Writes a message and a line break.
async fn send(lifeline: &tokio::net::UnixStream, message: &serde_json::Value) -> io::Result<()> {
    let line = message.to_string() + "\n";
    let mut bytes = line.as_bytes();
    while !bytes.is_empty() {
        lifeline.writable().await?;
        match lifeline.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

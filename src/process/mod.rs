//! Child processes that never outlive this one, nor do their children.
//!
//! Every child is started by a *guard*: this program once more, as a process that does nothing but start one child and end it, with
//! all that descends from it. It is connected to us by a socket, and the end of that tells it that we are gone. So there is one way
//! for a child to end, whether it ends by itself, is stopped, is dropped, or this program is killed.
//!
//! A child leads a session of its own, so that Ctrl-C in the terminal reaches only this program, which then ends its children in
//! order.

mod browser;
mod child;
mod command;
mod connections;
mod following;
mod guard;
mod protocol;
mod proxies;
mod scratch;
mod tree;

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{net::unix::pipe, sync::OnceCell};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::proxies::kept_direct;
pub use self::{
    browser::open_in_browser,
    child::Child,
    command::{Command, Stdio},
    connections::connections,
    following::{claim, own_node_options, script_name, split_bootloader, variables as following_variables},
    guard::guard,
    scratch::{Scratch, remove_abandoned_directories},
    tree::is_held_by_debugger,
};
use self::{child::Guard, protocol::Report};

/// The argument that makes this program a guard.
pub const GUARD: &str = "--guard";

/// How long children that are no longer wanted may take to be gone.
const PATIENCE: Duration = Duration::from_secs(6);

/// Starts children. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spawner {
    program: Arc<OsStr>,
    guards: TaskTracker,
    ending: CancellationToken,
    /// Why no child can be shown directories in other places, once somebody has asked.
    no_mounts: Arc<OnceCell<Option<String>>>,
}

impl Spawner {
    /// With this program as the guard. Its `main` has to call [`guard()`] when its first argument is [`GUARD`].
    #[must_use]
    pub fn of_this_program() -> Self {
        Self::guarded_by(crate::platform::this_program())
    }

    /// With another program as the guard.
    #[must_use]
    pub fn guarded_by(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().into(),
            guards: TaskTracker::new(),
            ending: CancellationToken::new(),
            no_mounts: Arc::default(),
        }
    }

    /// Starts what `command` says. It ends when the returned handle is dropped, with everything that it started.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub async fn spawn(&self, command: Command) -> io::Result<Child> {
        let spawner = self.clone();
        // It starts a process and writes to it, which takes a moment.
        let begun = tokio::task::spawn_blocking(move || spawner.begin(command)).await;
        let (socket, pipes) = begun.map_err(io::Error::other)??;
        let mut guard = Guard::new(socket);
        match guard.report().await? {
            Report::Started(pid) => Ok(Child::new(pid, guard, pipes)),
            Report::NotStarted(errno) => Err(io::Error::from_raw_os_error(errno)),
            Report::Ended(..) => Err(io::Error::other("it has ended before it began")),
        }
    }

    /// Whether children can be shown directories in other places ([`Command::mount`]): this is tried once.
    ///
    /// # Errors
    /// Why not, as the system puts it.
    pub async fn can_mount(&self) -> Result<(), &str> {
        let tried = self.no_mounts.get_or_init(|| async {
            let mut command = Command::new(&self.program);
            command.arg("--version").mount("/", "/opt/sst-trial");
            match self.spawn(command).await {
                Ok(child) => {
                    let ended = child.wait_with_output().await;
                    let failed =
                        ended.map(|output| (!output.status.success()).then(|| output.status.to_string()));
                    failed.unwrap_or_else(|error| Some(error.to_string()))
                }
                Err(error) => Some(error.to_string()),
            }
        });
        match tried.await {
            None => Ok(()),
            Some(reason) => Err(reason),
        }
    }

    /// Kills what is left of all children, and waits until it is gone.
    pub async fn end(&self) {
        self.ending.cancel();
        self.guards.close();
        if tokio::time::timeout(PATIENCE, self.guards.wait()).await.is_err() {
            tracing::warn!("children do not end");
        }
    }

    /// Starts a guard and gives it its order. The rest of the conversation is through the returned socket.
    fn begin(&self, mut command: Command) -> io::Result<(Arc<tokio::net::UnixStream>, Pipes)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut guard = std::process::Command::new(&*self.program);
        guard
            .arg0("sst")
            // The program is named for whoever lists processes.
            .args([OsStr::new(GUARD), command.program()])
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            // Ctrl-C in the terminal is not for guards.
            .process_group(0);
        let guard = tokio::process::Command::from(guard).spawn()?;
        let order = command.order();
        let [stdin, stdout, stderr] =
            std::mem::replace(&mut command.streams, [Stdio::Null, Stdio::Null, Stdio::Null]);
        let (stdin, our_stdin) = match stdin {
            Stdio::Piped => {
                let (read, write) = io::pipe()?;
                (OwnedFd::from(read), Some(pipe::Sender::from_owned_fd(write.into())?))
            }
            other => (open(other)?, None),
        };
        let (stdout, our_stdout) = output(stdout)?;
        let (stderr, our_stderr) = output(stderr)?;
        let inherited = std::mem::take(&mut command.inherited);
        let scratch = command.scratch.take();
        let mut descriptors = vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        descriptors.extend(inherited.iter().map(|(descriptor, _)| descriptor.as_fd()));
        descriptors.extend(scratch.as_ref().and_then(|scratch| scratch.lock()).map(|lock| lock.as_fd()));
        protocol::send(&ours, order, &descriptors)?;
        // From now on the guard has the lock.
        if let Some(scratch) = scratch {
            scratch.leave();
        }
        ours.set_nonblocking(true)?;
        let socket = Arc::new(tokio::net::UnixStream::from_std(ours)?);
        self.guards.spawn(watch(guard, Arc::downgrade(&socket), self.ending.clone()));
        Ok((socket, (our_stdin, our_stdout, our_stderr)))
    }
}

/// Waits for the end of a guard, which comes when the child's handle is dropped, or when all are to end.
async fn watch(
    mut guard: tokio::process::Child,
    socket: Weak<tokio::net::UnixStream>,
    ending: CancellationToken,
) {
    tokio::select! {
        _ = guard.wait() => return,
        () = ending.cancelled() => {}
    }
    if let Some(socket) = socket.upgrade() {
        child::kill(&socket);
    }
    // Its status says nothing.
    let _ = guard.wait().await;
}

/// Our ends of a child's pipes.
type Pipes = (Option<pipe::Sender>, Option<pipe::Receiver>, Option<pipe::Receiver>);

fn output(stream: Stdio) -> io::Result<(OwnedFd, Option<pipe::Receiver>)> {
    match stream {
        Stdio::Piped => {
            let (read, write) = io::pipe()?;
            Ok((write.into(), Some(pipe::Receiver::from_owned_fd(read.into())?)))
        }
        other => Ok((open(other)?, None)),
    }
}

/// With the program that was built beside the tests.
#[cfg(test)]
pub fn for_tests() -> Spawner {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("sst");
    assert!(program.is_file(), "`cargo build` makes `{}`", program.display());
    Spawner::guarded_by(program)
}

fn open(stream: Stdio) -> io::Result<OwnedFd> {
    match stream {
        Stdio::Open(open) => Ok(open),
        Stdio::Null | Stdio::Piped => Ok(OpenOptions::new().read(true).write(true).open("/dev/null")?.into()),
    }
}

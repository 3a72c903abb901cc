//! Child processes that never outlive this one.
//!
//! Each child leads a session of its own, so that Ctrl-C in the terminal reaches only this program, which then ends its children in
//! order. On Linux a child also asks the kernel for SIGTERM when its parent dies. That signal is tied to the *thread* that spawned
//! the child, not to the process, which is why all children are spawned from one thread that never ends.

mod connections;
mod following;
mod tree;

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    process::Command,
    sync::mpsc,
};

use tokio::{process::Child, sync::oneshot};

pub use self::connections::connections;
pub use self::following::{claim, split_bootloader, variables as following_variables};
pub use self::tree::{ProcessIdentity, family, is_held_by_debugger};

/// The thread that spawns all children.
#[derive(Debug, Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    command: Command,
    inherited: Vec<(OwnedFd, RawFd)>,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. Must be called within the async runtime that will wait for the children.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            for job in receiver {
                // A receiver that is gone drops the child, which kills it.
                let _ = job.reply.send(spawn(job.command, job.inherited));
            }
            // The children's lives hang on this thread; it stays until the program ends.
            loop {
                std::thread::park();
            }
        })?;
        Ok(Self { jobs })
    }

    /// Lets any process of the same user attach a debugger to the program that `command` starts, where the kernel would only let
    /// its parents (Yama's `ptrace_scope` of 1, the default of Ubuntu).
    pub fn allow_debuggers(command: &mut Command) {
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::process::CommandExt;

            let allow = || {
                // Fails where there is no Yama, and then nothing has to be allowed.
                // SAFETY: a system call with numbers only.
                unsafe {
                    nix::libc::prctl(nix::libc::PR_SET_PTRACER, nix::libc::PR_SET_PTRACER_ANY, 0, 0, 0)
                };
                Ok(())
            };
            // SAFETY: the closure runs between fork and exec. It only makes a system call.
            unsafe { command.pre_exec(allow) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = command;
    }

    /// Spawns `command` as the leader of a session. Each pair of `inherited` gives the child a descriptor under a number.
    /// The child is killed when the returned handle is dropped.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub async fn spawn(&self, command: Command, inherited: Vec<(OwnedFd, RawFd)>) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread is gone");
        self.jobs.send(Job { command, inherited, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn(mut command: Command, inherited: Vec<(OwnedFd, RawFd)>) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;

    following::unfollow(&mut command);
    let numbers: Vec<(RawFd, RawFd)> = inherited.iter().map(|(from, to)| (from.as_raw_fd(), *to)).collect();
    #[cfg(target_os = "linux")]
    let parent = nix::unistd::getpid();
    let prepare = move || {
        nix::unistd::setsid()?;
        #[cfg(target_os = "linux")]
        {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
            // The parent may have died before the line above; then no signal will ever come.
            if nix::unistd::getppid() != parent {
                return Err(io::Error::other("the parent is gone"));
            }
        }
        for (from, to) in &numbers {
            // SAFETY: both are plain numbers of descriptors that stay open until after exec; `dup2` is async-signal-safe.
            // It also clears close-on-exec, unless both are the same, which the caller's numbering excludes.
            if unsafe { nix::libc::dup2(*from, *to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        crate::descriptors::restore();
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec. It only makes system calls, allocates nothing, and takes no lock.
    unsafe { command.pre_exec(prepare) };
    let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
    drop(inherited);
    child
}

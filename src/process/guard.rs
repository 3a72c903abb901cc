//! The process that stands between this program and a child: it starts the child, and ends it with everything that the child has
//! started. That is when the child itself ends, when it is told to, or when this program is gone, however suddenly.
//!
//! On Linux it adopts whoever loses their parent below it. So nobody gets away from it, not by leaving the session, nor by having a
//! parent that ends. Each child has a guard of its own, because of somebody who was adopted it cannot be told whose child it was.

use std::{
    io::{self, IoSliceMut, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    fcntl::{FcntlArg, fcntl},
    sys::{
        resource::Resource,
        signal::Signal,
        socket::{ControlMessageOwned, MsgFlags, recvmsg},
    },
};

use super::{
    command::Order,
    protocol::{MOST_DESCRIPTORS, Report, TERMINATE},
    tree::{ProcessIdentity, descendants, session},
};
use crate::{
    descriptors,
    platform::{self, ADOPTS_ORPHANS, View},
};

/// How long it may take until killed processes are gone. Only one that the kernel itself holds, or another user's, takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often those that are left are looked for, when nothing else happens.
const PAUSE: Duration = Duration::from_millis(20);

/// Numbers below belong to what the child inherits.
const FIRST_FREE: RawFd = 64;

/// What a guard hears of.
enum Happening {
    /// Children of it have ended.
    Ended(Vec<Ended>),
    /// The same, and it has none any more, so nobody descends from it.
    Alone(Vec<Ended>),
    /// The child is to be asked to end.
    Terminate,
    /// Everything is to end.
    End,
}

/// A child of it that has ended.
struct Ended {
    pid: i32,
    /// How, as of waitpid(2).
    status: i32,
    /// The most memory that it has had.
    peak_mb: u32,
}

/// Runs as a guard: reads from standard input what is to be run, and reports there.
#[must_use]
pub fn guard() -> ExitCode {
    // SAFETY: the descriptor is open, as that of any program, and nothing else here uses standard input.
    let mut control = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    let Ok((order, mut descriptors)) = receive(&mut control) else { return ExitCode::FAILURE };
    let scratch = order.scratch.clone();
    // It comes last, and keeps others from removing the directory.
    let lock = scratch.as_ref().and_then(|_| descriptors.pop());
    let report = match start(order, descriptors) {
        Ok(leader) => {
            if control.write_all(&Report::Started(leader.pid()).encode()).is_err() {
                // Nobody is there any more, which the end of the socket says as well.
                tracing::debug!("nobody waits for the child");
            }
            let (status, peak_mb) = attend(leader, &control);
            Report::Ended(status, peak_mb)
        }
        Err(error) => Report::NotStarted(error.raw_os_error().unwrap_or(nix::libc::EINVAL)),
    };
    if let Some(directory) = scratch {
        // What cannot be removed now is found at the next start.
        let _ = std::fs::remove_dir_all(directory);
    }
    drop(lock);
    let _ = control.write_all(&report.encode());
    ExitCode::SUCCESS
}

/// The order, and the descriptors that came with it.
fn receive(control: &mut UnixStream) -> io::Result<(Order, Vec<OwnedFd>)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut length = [0; 4];
    let mut space = cmsg_space!([RawFd; MOST_DESCRIPTORS]);
    let mut descriptors = Vec::new();
    let read = {
        let mut pieces = [IoSliceMut::new(&mut length)];
        let message = recvmsg::<()>(control.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::empty())?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = part {
                for descriptor in received {
                    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
                    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
                    // Out of the way of the numbers that the child gets, and closed when it is started.
                    let moved = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE))?;
                    // SAFETY: as above.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(moved) });
                }
            }
        }
        message.bytes
    };
    control.read_exact(&mut length[read..])?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    control.read_exact(&mut bytes)?;
    Ok((Order::decode(&bytes).ok_or_else(invalid)?, descriptors))
}

/// Starts the child, after which none of its descriptors is open here.
fn start(order: Order, descriptors: Vec<OwnedFd>) -> io::Result<ProcessIdentity> {
    platform::adopt_orphans()?;
    let mut descriptors = descriptors.into_iter();
    let mut stream = || descriptors.next().map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new(order.program);
    command
        .args(order.arguments)
        .env_clear()
        .envs(order.environment)
        .stdin(stream())
        .stdout(stream())
        .stderr(stream());
    if let Some(directory) = &order.directory {
        command.current_dir(directory);
    }
    let view = match order.mounts.as_slice() {
        [] => None,
        mounts => Some((View::new(mounts)?, order.directory)),
    };
    let mut placed = Vec::new();
    for (descriptor, number) in descriptors.zip(order.numbers) {
        // SAFETY: both are plain numbers. What is open under the second one is nothing of ours, since ours were moved away.
        if unsafe { nix::libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened in the line above.
        placed.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    let (parent, debuggable) = (nix::unistd::getpid(), order.debuggable);
    let (open_files, most_data) = (order.open_files, order.most_data);
    let prepare = move || {
        if let Some(limit) = open_files {
            descriptors::limit(limit);
        }
        if let Some(bytes) = most_data {
            nix::sys::resource::setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?;
        }
        if let Some((view, directory)) = &view {
            view.enter()?;
            // The one that it had is of the old view.
            if let Some(directory) = directory {
                std::env::set_current_dir(directory)?;
            }
        }
        // A session of its own, so that a signal to its process group, of whoever it may come, is for the child and its kin.
        nix::unistd::setsid()?;
        platform::prepare_child(parent, debuggable)
    };
    // SAFETY: the closure runs between fork and exec, in a process with one thread, as the guard itself is until its child runs. So
    // nobody holds the lock of the memory that a view takes; all else are system calls.
    unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?;
    ProcessIdentity::of(child.id().cast_signed()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Waits for the child's end, or brings it about, and ends what it leaves behind. Returns its status, as of waitpid(2), and the most
/// memory that it has had, in megabytes, if that is known.
fn attend(leader: ProcessIdentity, control: &UnixStream) -> (i32, u32) {
    let (sender, happenings) = mpsc::channel();
    let of_control = sender.clone();
    let Ok(mut orders) = control.try_clone() else { return end_at_once(leader) };
    let listening = thread::Builder::new().spawn(move || {
        let mut order = [0];
        // All other orders, and the end of the socket, mean the end of everything.
        while matches!(orders.read(&mut order), Ok(1)) && order[0] == TERMINATE {
            let _ = of_control.send(Happening::Terminate);
        }
        let _ = of_control.send(Happening::End);
    });
    let waiting = thread::Builder::new().spawn(move || wait(&sender));
    if listening.is_err() || waiting.is_err() {
        return end_at_once(leader);
    }
    let mut status = None;
    let mut ending = None;
    let mut alone = false;
    let mut known = Vec::new();
    loop {
        let first = match ending {
            None => happenings.recv().ok(),
            Some(_) => happenings.recv_timeout(PAUSE).ok(),
        };
        for happening in first.into_iter().chain(happenings.try_iter()) {
            alone |= matches!(happening, Happening::Alone(_));
            match happening {
                Happening::Ended(ended) | Happening::Alone(ended) => {
                    if let Some(ended) = ended.into_iter().find(|ended| ended.pid == leader.pid())
                        && status.is_none()
                    {
                        status = Some((ended.status, ended.peak_mb));
                        ending.get_or_insert_with(Instant::now);
                    }
                }
                Happening::Terminate => {
                    if !ADOPTS_ORPHANS {
                        note(leader, &mut known);
                    }
                    leader.signal(Signal::SIGTERM);
                }
                Happening::End => {
                    ending.get_or_insert_with(Instant::now);
                }
            }
        }
        let late = ending.is_some_and(|since: Instant| since.elapsed() >= PATIENCE);
        if ending.is_some() && !(alone && ADOPTS_ORPHANS) {
            note(leader, &mut known);
            known.retain(|member| member.is_alive());
            known.iter().for_each(|member| member.kill());
        }
        if alone || late {
            return status.unwrap_or((nix::libc::SIGKILL, 0));
        }
    }
}

/// Adds those that belong to the child to those that are known already. Where nobody is adopted, they cannot be told any more later.
fn note(leader: ProcessIdentity, known: &mut Vec<ProcessIdentity>) {
    let mut found = descendants(std::process::id().cast_signed());
    if !ADOPTS_ORPHANS {
        found.extend(session(leader.pid()));
    }
    for process in found {
        if !known.contains(&process) {
            known.push(process);
        }
    }
}

/// Reports children that end. On Linux there are those that were adopted among them.
fn wait(happenings: &mpsc::Sender<Happening>) {
    let mut ended = Vec::new();
    loop {
        // Whoever has ended is reported together with whether there is anybody else.
        let options = if ended.is_empty() { 0 } else { nix::libc::WNOHANG };
        let mut status = 0;
        // SAFETY: it is a plain structure of numbers, which the system fills in.
        let mut usage: nix::libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the only pointers are to local variables.
        match unsafe { nix::libc::wait4(-1, &raw mut status, options, &raw mut usage) } {
            0 => drop(happenings.send(Happening::Ended(std::mem::take(&mut ended)))),
            pid if pid > 0 => {
                let peak_mb = usage.ru_maxrss.max(0).cast_unsigned() / platform::PEAK_UNITS_IN_MB;
                ended.push(Ended { pid, status, peak_mb: u32::try_from(peak_mb).unwrap_or(u32::MAX) });
            }
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return drop(happenings.send(Happening::Alone(ended))),
        }
    }
}

/// Without threads nobody can be waited for.
fn end_at_once(leader: ProcessIdentity) -> (i32, u32) {
    descendants(std::process::id().cast_signed()).into_iter().for_each(ProcessIdentity::kill);
    leader.kill();
    (nix::libc::SIGKILL, 0)
}

//! Ctrl-C and its relatives. The first asks for an orderly end, the second ends the program, whatever it is doing.

use std::{
    io,
    os::fd::RawFd,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind};

/// How long the program may take to end by itself after the second.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// How long the same Ctrl-C may take to arrive once more, passed on by a program that was to end as well: the launcher of the npm
/// package, or `npx`, when a whole process group is told.
const ECHO: Duration = Duration::from_secs(1);

/// The variable by which the launcher says where its line is, and which process it is: `3:4711`.
const LAUNCHER: &str = "SST_LAUNCHER";

/// What the user has asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts {
    /// To end in order.
    pub gently: CancellationToken,
    /// To end now.
    pub now: CancellationToken,
}

impl Interrupts {
    /// Listens, on a thread of its own, so that even a program which does nothing else any more can be ended.
    pub(super) fn listen() -> io::Result<Self> {
        let interrupts = Self::default();
        let heard = interrupts.clone();
        // Within this call, so that none can come before somebody listens.
        let heeded = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let mut signals = SignalsInfo::<WithOrigin>::new(heeded)?;
        let listen = move || {
            let mut count = Count::default();
            for origin in signals.forever() {
                let sender = origin.process.map(|process| process.pid);
                match origin.signal {
                    // A terminal that is closed says so more than once, which is no order to hurry.
                    SIGHUP => heard.gently.cancel(),
                    _ if count.is_second(sender, Instant::now()) => break,
                    _ => heard.gently.cancel(),
                }
            }
            heard.now.cancel();
            // The guards of what was started end it when this program has gone.
            sleep(LAST_MOMENT);
            std::process::exit(Error::new(Kind::Interrupted, "interrupted").exit_code().into());
        };
        thread::Builder::new().name("interrupts".to_owned()).spawn(listen)?;
        if let Some(line) = launcher() {
            let gently = interrupts.gently.clone();
            let wait = move || {
                if has_ended(line) {
                    gently.cancel();
                }
            };
            thread::Builder::new().name("launcher".to_owned()).spawn(wait)?;
        }
        Ok(interrupts)
    }
}

/// Whether whoever has started this program wants it to go on after a signal, as `nohup` does with the end of a terminal.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: it is a plain structure, which the system fills in.
    let mut action: nix::libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the only pointer is to a local variable, and nothing is changed.
    let asked = unsafe { nix::libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == nix::libc::SIG_IGN
}

/// The line to the launcher of the npm package, if that has started this program. What it has started itself has another parent.
fn launcher() -> Option<RawFd> {
    let said = std::env::var(LAUNCHER).ok()?;
    let (descriptor, pid) = said.split_once(':')?;
    if pid.parse() != Ok(nix::unistd::getppid().as_raw()) {
        return None;
    }
    let descriptor: RawFd = descriptor.parse().ok().filter(|number| *number > 2)?;
    // Nobody who is started from here has to do with it.
    // SAFETY: a system call with numbers only. It fails when the launcher has not opened this one.
    let is_open = unsafe { nix::libc::fcntl(descriptor, nix::libc::F_SETFD, nix::libc::FD_CLOEXEC) } == 0;
    is_open.then_some(descriptor)
}

/// Waits for the end of a line on which nothing is ever said. It is that of the launcher, also when that was killed. An error is no end.
fn has_ended(line: RawFd) -> bool {
    let mut said = [0_u8; 64];
    loop {
        // SAFETY: the buffer is as long as is said, and the descriptor is only read from.
        match unsafe { nix::libc::read(line, said.as_mut_ptr().cast(), said.len()) } {
            0 => return true,
            count if count > 0 => {}
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return false,
        }
    }
}

/// Whoever is in a terminal is no process; the kernel speaks for them.
type Sender = Option<i32>;

/// Tells a second Ctrl-C from the echo of the first.
#[derive(Debug, Default)]
struct Count {
    first: Option<(Sender, Instant)>,
}

impl Count {
    fn is_second(&mut self, sender: Sender, now: Instant) -> bool {
        match self.first {
            None => {
                self.first = Some((sender, now));
                false
            }
            Some((other, since)) => sender == other || now.saturating_duration_since(since) >= ECHO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_passes_on_is_no_second_ctrl_c() {
        let now = Instant::now();
        let (terminal, launcher) = (None, Some(7));
        for (steps, expected) in [
            (vec![(terminal, 0), (terminal, 1)], vec![false, true]),
            (vec![(terminal, 0), (launcher, 1), (terminal, 2)], vec![false, false, true]),
            (vec![(launcher, 0), (launcher, 1)], vec![false, true]),
            (vec![(terminal, 0), (launcher, 1_000)], vec![false, true]),
        ] {
            let mut count = Count::default();
            let is_second =
                |(sender, at): &(Sender, u64)| count.is_second(*sender, now + Duration::from_millis(*at));
            assert_eq!(steps.iter().map(is_second).collect::<Vec<_>>(), expected, "{steps:?}");
        }
    }
}

//! Who descends from whom, and ending exactly those. A process is known by its id *and* its start time, because ids are reused.
//! Nothing is ever found by name.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::platform::{Process, process, processes};

/// A process that can be told from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessIdentity {
    pid: i32,
    start: u64,
}

impl ProcessIdentity {
    /// The process that has an id now.
    pub(super) fn of(pid: i32) -> Option<Self> {
        process(pid).map(|process| Self { pid, start: process.start })
    }

    /// Kills it, if it is still the same process.
    pub(super) fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends it a signal, if it is still the same process.
    pub(super) fn signal(self, signal: Signal) {
        if process(self.pid).is_some_and(|process| process.start == self.start) {
            // It may have ended in this very moment.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// The process's id.
    pub(super) fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it is still there.
    pub(super) fn is_alive(self) -> bool {
        process(self.pid).is_some_and(|process| process.start == self.start && !process.has_ended)
    }
}

/// All who descend from a process, without itself. Where nobody is adopted, whoever has lost their parent is not found.
pub(super) fn descendants(root: i32) -> Vec<ProcessIdentity> {
    let all: Vec<(i32, Process)> =
        processes().into_iter().filter_map(|pid| Some((pid, process(pid)?))).collect();
    let mut known = vec![root];
    let mut found = Vec::new();
    // Parents may be listed after their children, so go on until nothing new is found.
    loop {
        let before = known.len();
        for (pid, process) in &all {
            if known.contains(&process.parent) && !known.contains(pid) {
                known.push(*pid);
                if !process.has_ended {
                    found.push(ProcessIdentity { pid: *pid, start: process.start });
                }
            }
        }
        if known.len() == before {
            return found;
        }
    }
}

/// The members of the session that a process leads or led, with itself.
pub(super) fn session(leader: i32) -> Vec<ProcessIdentity> {
    let member = |pid| {
        let process = process(pid).filter(|process| process.session == leader && !process.has_ended)?;
        Some(ProcessIdentity { pid, start: process.start })
    };
    processes().into_iter().filter_map(member).collect()
}

/// Whether a debugger keeps the process from running. A signal that stops it looks the same.
#[must_use]
pub fn is_held_by_debugger(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(process).is_some_and(|process| process.is_stopped)
}

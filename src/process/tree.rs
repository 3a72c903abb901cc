//! Who descends from whom, and ending exactly those. A process is known by its id *and* its start time, because ids are reused.
//! Nothing is ever found by name.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process that can be told from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessIdentity {
    pid: i32,
    /// Clock ticks since boot, from `/proc/<pid>/stat`; elsewhere another number that stands for the time.
    start: u64,
}

impl ProcessIdentity {
    /// The process that has an id now.
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, start: stat.start })
    }

    /// Kills it, if it is still the same process.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends it a signal, if it is still the same process.
    pub fn signal(self, signal: Signal) {
        if stat(self.pid).is_some_and(|stat| stat.start == self.start) {
            // It may have ended in this very moment.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// The process's id.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it is still there.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start == self.start && stat.state != 'Z')
    }
}

/// All who descend from a process, without itself. Where nobody is adopted, whoever has lost their parent is not found.
pub(super) fn descendants(root: i32) -> Vec<ProcessIdentity> {
    let all: Vec<(i32, Stat)> = processes().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut known = vec![root];
    let mut found = Vec::new();
    // Parents may be listed after their children, so go on until nothing new is found.
    loop {
        let before = known.len();
        for (pid, stat) in &all {
            if known.contains(&stat.parent) && !known.contains(pid) {
                known.push(*pid);
                if stat.state != 'Z' {
                    found.push(ProcessIdentity { pid: *pid, start: stat.start });
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
        let stat = stat(pid).filter(|stat| stat.session == leader && stat.state != 'Z')?;
        Some(ProcessIdentity { pid, start: stat.start })
    };
    processes().into_iter().filter_map(member).collect()
}

/// Whether a debugger keeps the process from running: it is in a tracing stop (proc_pid_stat(5)), or stopped where there is no `/proc`.
#[must_use]
pub fn is_held_by_debugger(pid: u32) -> bool {
    i32::try_from(pid).ok().and_then(stat).is_some_and(|stat| matches!(stat.state, 't' | 'T'))
}

struct Stat {
    state: char,
    parent: i32,
    session: i32,
    start: u64,
}

#[cfg(target_os = "linux")]
fn processes() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)). The second field is the program's name in parentheses and may contain anything, so
/// the fields are counted from its end.
#[cfg(target_os = "linux")]
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, parent, session, start })
}

/// Without `/proc`, as on macOS, `ps` knows. Not tried on such a machine.
#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<i32> {
    let Ok(output) = std::process::Command::new("ps").args(["-axo", "pid="]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect()
}

#[cfg(not(target_os = "linux"))]
fn stat(pid: i32) -> Option<Stat> {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let arguments = ["-o", "stat=,ppid=,pgid=,lstart=", "-p", &pid.to_string()];
    let output = std::process::Command::new("ps").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // A child leads a process group as well, and `ps` does not number sessions everywhere.
    let session = fields.next()?.parse().ok()?;
    let mut hasher = DefaultHasher::new();
    fields.for_each(|field| field.hash(&mut hasher));
    Some(Stat { state, parent, session, start: hasher.finish() })
}

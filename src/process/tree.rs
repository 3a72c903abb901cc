//! Who belongs to a child, and ending exactly those. A process is known by its id *and* its start time, because ids are reused.
//! Nothing is ever found by name.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process that can be told from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    pid: i32,
    /// Clock ticks since boot, from `/proc/<pid>/stat`; 0 where there is no `/proc`.
    start: u64,
}

impl ProcessIdentity {
    /// Kills it, if it is still the same process.
    pub fn kill(self) {
        if self.start == 0 || stat(self.pid).is_some_and(|stat| stat.start == self.start) {
            // It may have ended in this very moment.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }

    /// The process's id.
    #[must_use]
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_alive(self) -> bool {
        match stat(self.pid) {
            Some(stat) => stat.start == self.start && stat.state != 'Z',
            None => self.start == 0 && kill(Pid::from_raw(self.pid), None).is_ok(),
        }
    }
}

/// The leader's descendants and the members of its session, without the leader itself. Those that left both (a daemon of a
/// daemon) are not found; ask before the leader ends, because its children change parents then.
#[must_use]
pub fn family(leader: i32) -> Vec<ProcessIdentity> {
    let all: Vec<(i32, Stat)> = processes().into_iter().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut known = vec![leader];
    let mut found = Vec::new();
    // Parents may be listed after their children, so go on until nothing new is found.
    loop {
        let before = found.len();
        for (pid, stat) in &all {
            let belongs = known.contains(&stat.parent) || stat.session == leader;
            if belongs && stat.state != 'Z' && !known.contains(pid) {
                known.push(*pid);
                found.push(ProcessIdentity { pid: *pid, start: stat.start });
            }
        }
        if found.len() == before {
            return found;
        }
    }
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
    let arguments = ["-o", "stat=,ppid=,sess=", "-p", &pid.to_string()];
    let output = std::process::Command::new("ps").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { state, parent, session: 0, start: 0 })
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;
    use crate::process::Spawner;

    #[tokio::test]
    async fn a_child_of_a_child_is_found_and_ended() {
        let spawner = Spawner::start().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 1000 & echo started; wait"]).stdout(Stdio::piped());
        let mut child = spawner.spawn(command, Vec::new()).await.unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("started"));
        let leader = child.id().unwrap() as i32;
        let members = family(leader);
        assert_eq!(members.len(), 1, "the sleeping grandchild");
        child.kill().await.unwrap();
        assert!(members[0].is_alive(), "the leader's end does not end it");
        members[0].kill();
        // Its end closes the pipe that it inherited.
        assert_eq!(lines.next_line().await.unwrap(), None);
        let later = ProcessIdentity { start: 1, ..members[0] };
        later.kill();
        assert!(!later.is_alive(), "another process's start time is another process");
    }
}

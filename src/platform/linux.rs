//! Linux: what is known of processes is in `/proc`, and somebody may adopt those that have lost their parent.

use std::{io, path::PathBuf};

use nix::{
    sys::{
        prctl::{set_child_subreaper, set_pdeathsig},
        resource::rlim_t,
        signal::Signal,
    },
    time::ClockId,
    unistd::{Pid, getppid},
};

pub(crate) use self::view::View;
use super::Process;

mod view;

/// Whether a process can adopt those that lose their parent below it.
pub(crate) const ADOPTS_ORPHANS: bool = true;

/// The user's cache directory, below the home directory.
pub(crate) const CACHE_DIRECTORY: &str = ".cache";

/// The clock that nobody sets, and that counts while the machine sleeps.
pub(crate) const CONTINUOUS_CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;

/// How many files may be open at most, if fewer than the system says.
pub(crate) const MOST_OPEN_FILES: Option<rlim_t> = None;

/// What opens an address with the program that the user has for it.
pub(crate) const OPENER: &str = "xdg-open";

/// Whether the system tells when a file that was written to is closed.
pub(crate) const TELLS_CLOSED_FILES: bool = true;

/// Whether the system watches whole trees of directories at no extra cost.
pub(crate) const WATCHES_TREES: bool = false;

/// In which parts of a megabyte getrusage(2) says the most memory that a process has had.
pub(crate) const PEAK_UNITS_IN_MB: u64 = 1024;

/// This program, as it is started once more. This path stays right when the file is replaced by a newer one.
pub(crate) fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// The ids of all processes.
pub(crate) fn processes() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)). The second field is the program's name in parentheses and may contain anything, so
/// the fields are counted from its end. The start time is in clock ticks since boot.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(Process { parent, session, start, has_ended: state == "Z", is_stopped: matches!(state, "t" | "T") })
}

/// Has the memory of large blocks given back whenever one is freed. By itself glibc does so only until one has been: from then on it takes
/// blocks of that size from its heaps, and of these only what is at the end is given back. A deployment needs several, for moments.
pub(crate) fn return_large_blocks() {
    /// From this many bytes on a block is large.
    #[cfg(target_env = "gnu")]
    const LARGE: i32 = 128 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes numbers only, and may be called at any time, by any thread.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Makes this process the parent of all who lose theirs below it.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(true)?)
}

/// Ties this process, which is about to become a child's program, to `parent`, and lets any process of the same user debug it, if it
/// is `debuggable`. For the time between fork and exec: it only makes system calls.
pub(crate) fn prepare_child(parent: Pid, debuggable: bool) -> io::Result<()> {
    // Should even the guard be killed.
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(nix::errno::Errno::ESRCH.into());
    }
    if debuggable {
        // Fails where there is no Yama, and then nothing has to be allowed.
        // SAFETY: a system call with numbers only.
        unsafe { nix::libc::prctl(nix::libc::PR_SET_PTRACER, nix::libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    }
    Ok(())
}

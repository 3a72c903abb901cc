//! macOS: what is known of processes is in `libproc`, and nobody but the system adopts those that have lost their parent.
//!
//! Never run, only type-checked.

use std::{io, path::PathBuf};

use libproc::{
    bsd_info::BSDInfo,
    proc_pid::pidinfo,
    processes::{ProcFilter, pids_by_type},
};
use nix::{
    libc::{SSTOP, SZOMB},
    sys::resource::rlim_t,
    time::ClockId,
    unistd::{Pid, getsid},
};

use super::Process;

/// A process's own view of the file system, which there is not here.
#[derive(Debug)]
pub(crate) struct View;

impl View {
    /// Always fails.
    pub(crate) fn new(_mounts: &[(PathBuf, PathBuf)]) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As [`View::new`].
    pub(crate) fn enter(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether a process can adopt those that lose their parent below it.
pub(crate) const ADOPTS_ORPHANS: bool = false;

/// The user's cache directory, below the home directory.
pub(crate) const CACHE_DIRECTORY: &str = "Library/Caches";

/// The clock that nobody sets, and that counts while the machine sleeps, which this one does here.
pub(crate) const CONTINUOUS_CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// How many files may be open at most, if fewer than the system says (`OPEN_MAX`).
pub(crate) const MOST_OPEN_FILES: Option<rlim_t> = Some(10_240);

/// What opens an address with the program that the user has for it.
pub(crate) const OPENER: &str = "open";

/// Whether the system tells when a file that was written to is closed.
pub(crate) const TELLS_CLOSED_FILES: bool = false;

/// Whether the system watches whole trees of directories at no extra cost.
pub(crate) const WATCHES_TREES: bool = true;

/// In which parts of a megabyte getrusage(2) says the most memory that a process has had.
pub(crate) const PEAK_UNITS_IN_MB: u64 = 1024 * 1024;

/// This program, as it is started once more.
pub(crate) fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sst"))
}

/// The ids of all processes.
pub(crate) fn processes() -> Vec<i32> {
    pids_by_type(ProcFilter::All).unwrap_or_default().into_iter().map(u32::cast_signed).collect()
}

/// Asks the kernel for what it tells of a process of the same user (`proc_pidinfo` in `libproc.h`). Those of other users could not be
/// ended either. The start time is in microseconds.
pub(crate) fn process(pid: i32) -> Option<Process> {
    let known: BSDInfo = pidinfo(pid, 0).ok()?;
    let session = getsid(Some(Pid::from_raw(pid))).ok()?.as_raw();
    Some(Process {
        parent: known.pbi_ppid.cast_signed(),
        session,
        start: known.pbi_start_tvsec * 1_000_000 + known.pbi_start_tvusec,
        has_ended: known.pbi_status == SZOMB,
        is_stopped: known.pbi_status == SSTOP,
    })
}

/// They are, by themselves.
pub(crate) fn return_large_blocks() {}

/// Nobody can be adopted here.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// A process cannot be tied to another one here, and debuggers need no leave.
pub(crate) fn prepare_child(_parent: Pid, _debuggable: bool) -> io::Result<()> {
    Ok(())
}

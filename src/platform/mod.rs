//! What differs between the systems that this program runs on: the same names for each of them, in a file of its own.
//!
//! Linux is where it is tried. What is written for macOS was never run: `make lint-platforms` sees to it that it compiles.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("`sst` runs on Linux and macOS only; on Windows, WSL 2 is a Linux");

pub(crate) use system::{
    ADOPTS_ORPHANS, CACHE_DIRECTORY, CONTINUOUS_CLOCK, MOST_OPEN_FILES, OPENER, PEAK_UNITS_IN_MB,
    TELLS_CLOSED_FILES, View, WATCHES_TREES, adopt_orphans, prepare_child, process, processes,
    return_large_blocks, this_program,
};

/// What the system knows of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// The id of its parent.
    pub parent: i32,
    /// The id of the leader of its session.
    pub session: i32,
    /// When it was started, as a number that only stands for that time.
    pub start: u64,
    /// It has ended, and nobody has waited for it.
    pub has_ended: bool,
    /// It does not run, because of a debugger or a signal.
    pub is_stopped: bool,
}

#[cfg(test)]
mod tests {
    use nix::unistd::{getpid, getppid, getsid};

    use super::*;

    #[test]
    fn this_process_is_known_and_one_that_has_ended_is_not_alive() {
        let ours = getpid().as_raw();
        assert!(processes().contains(&ours));
        let known = process(ours).unwrap();
        let session = getsid(None).unwrap().as_raw();
        assert_eq!((known.parent, known.session), (getppid().as_raw(), session));
        assert!(!known.has_ended && !known.is_stopped);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let found = process(pid).unwrap();
        assert_eq!((found.parent, found.session), (ours, session));
        assert!(found.start >= known.start);
        child.kill().unwrap();
        // Nobody has waited for it yet.
        while process(pid).is_some_and(|process| !process.has_ended) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(process(pid), None);
    }

    /// With the allocator of glibc, which by itself keeps blocks as large as any that was freed before.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn large_blocks_are_given_back_when_they_are_freed() {
        const SIZE: usize = 8 * 1024 * 1024;
        const ALONE: &str = "SST_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            // Other tests of the same process take and give back memory as well.
            let name = "platform::tests::large_blocks_are_given_back_when_they_are_freed";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let alone = alone.args(["--exact", name]).env(ALONE, "yes").output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
        };
        return_large_blocks();
        drop(vec![1_u8; 2 * SIZE]);
        let block = vec![1_u8; SIZE];
        // What is in use behind it keeps a heap from becoming smaller.
        let behind = vec![1_u8; 1024];
        let before = resident();
        drop(block);
        let given_back = before.saturating_sub(resident());
        assert!(given_back > SIZE / 2, "{given_back} of {SIZE} bytes");
        drop(behind);
    }
}

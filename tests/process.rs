//! Children and all that descends from them, as real processes.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::{os::unix::process::ExitStatusExt, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sst::process::{Child, Command, Scratch, Spawner, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

const PATIENCE: Duration = Duration::from_secs(20);

fn spawner() -> Spawner {
    Spawner::guarded_by(env!("CARGO_BIN_EXE_sst"))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::piped());
    command
}

/// The numbers in the next lines that a child writes.
async fn numbers<const COUNT: usize>(child: &mut Child) -> [i32; COUNT] {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut found = [0; COUNT];
    for number in &mut found {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        *number = line.parse().unwrap();
    }
    found
}

fn is_alive(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(") ").unwrap().1.starts_with('Z'),
        Err(_) => !Path::new("/proc/self").exists() && kill(Pid::from_raw(pid), None).is_ok(),
    }
}

#[tokio::test]
async fn a_child_ends_as_it_would_without_a_guard() {
    let spawner = spawner();
    let status = spawner.spawn(shell("exit 7")).await.unwrap().wait().await.unwrap();
    assert_eq!(status.code(), Some(7));
    let status = spawner.spawn(shell("kill -SEGV $$")).await.unwrap().wait().await.unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGSEGV as i32));
    let mut command = shell("read line; echo \"$0 $line $A $(pwd)\" >&2; echo out");
    command.arg("name").stdin(Stdio::piped()).stderr(Stdio::piped()).env("A", "a b").current_dir("/");
    let mut child = spawner.spawn(command).await.unwrap();
    child.stdin.take().unwrap().write_all(b"in\n").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "out\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "name in a b /\n");
    let error = spawner.spawn(Command::new("/no/such/program")).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let mut large = shell("echo ${#A}");
    large.env("A", "x".repeat(100_000)).args(std::iter::repeat_n("y".repeat(1000), 500));
    let output = spawner.spawn(large).await.unwrap().wait_with_output().await.unwrap();
    assert_eq!(output.stdout, b"100000\n", "an order need not fit a socket's buffer");
}

#[tokio::test]
async fn only_the_child_holds_its_descriptors() {
    let (ours, theirs) = std::io::pipe().unwrap();
    let mut command = shell("echo given >&5; exec 5>&- >&-; exec sleep 1000");
    command.inherit(theirs.into(), 5);
    let mut child = spawner().spawn(command).await.unwrap();
    let mut given = String::new();
    let mut ours = tokio::net::unix::pipe::Receiver::from_owned_fd(ours.into()).unwrap();
    let read = async {
        ours.read_to_string(&mut given).await.unwrap();
        child.stdout.as_mut().unwrap().read_to_end(&mut Vec::new()).await.unwrap();
    };
    tokio::time::timeout(PATIENCE, read).await.expect("both end when the child closes them");
    assert_eq!(given, "given\n");
    assert!(is_alive(child.id().unwrap() as i32));
}

#[tokio::test]
async fn a_scratch_directory_goes_when_the_last_one_has_ended() {
    let scratch = Scratch::new("sst-tool-").unwrap();
    let path = scratch.path().to_owned();
    let script =
        "trap '' TERM; while :; do mktemp >/dev/null; done & echo $!; while :; do mktemp -d >/dev/null; done";
    let mut command = shell(script);
    command.env("TMPDIR", &path).scratch(scratch);
    let mut child = spawner().spawn(command).await.unwrap();
    let [_] = numbers(&mut child).await;
    child.kill().await.unwrap();
    assert!(!path.exists());
    let mut command = Command::new("/no/such/program");
    command.own_temporary_files().unwrap();
    let shown = format!("{command:?}");
    assert!(spawner().spawn(command).await.is_err());
    let path = shown.split('"').find(|part| part.contains("/sst-tool-")).unwrap();
    assert!(!Path::new(path).exists(), "nor does it stay when nothing could be started");
}

/// What holds where a guard can adopt whoever loses their parent, and where a child ends with its guard.
#[cfg(target_os = "linux")]
mod linux {
    use std::time::Instant;

    use super::*;

    /// Starts somebody who leaves the session and whose parent ends at once, and writes their process id.
    const DAEMON: &str = "setsid sh -c 'sleep 1000 & echo $!'";

    #[tokio::test]
    async fn whoever_descends_from_a_child_ends_with_it() {
        let spawner = spawner();
        let mut other = spawner.spawn(shell(&format!("{DAEMON}; exec sleep 1000"))).await.unwrap();
        let [others] = numbers(&mut other).await;
        // By itself.
        let mut child =
            spawner.spawn(shell(&format!("{DAEMON}; sleep 1000 & echo $!; exit 3"))).await.unwrap();
        let both: [i32; 2] = numbers(&mut child).await;
        assert_eq!(child.wait().await.unwrap().code(), Some(3));
        assert_eq!(both.map(is_alive), [false, false]);
        // When it is asked to.
        let mut child =
            spawner.spawn(shell(&format!("trap 'exit 4' TERM; {DAEMON}; sleep 1000 & wait"))).await.unwrap();
        let [daemon] = numbers(&mut child).await;
        assert_eq!(child.end(PATIENCE).await.unwrap().code(), Some(4));
        assert!(!is_alive(daemon));
        // When it does not want to.
        let mut child = spawner
            .spawn(shell(&format!("trap '' TERM; {DAEMON}; while :; do sleep 0.1; done")))
            .await
            .unwrap();
        let [daemon] = numbers(&mut child).await;
        let status = child.end(Duration::from_millis(50)).await.unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(!is_alive(daemon));
        // When nobody wants it any more.
        let mut child = spawner.spawn(shell(&format!("{DAEMON}; echo $$; exec sleep 1000"))).await.unwrap();
        let both: [i32; 2] = numbers(&mut child).await;
        drop(child);
        for pid in both {
            gone(pid).await;
        }
        assert!(is_alive(others), "those of another child go on");
        // When the whole program ends.
        spawner.end().await;
        assert!(!is_alive(others));
    }

    /// Whether the kernel lets anybody have mounts of their own, as another program finds.
    fn system_lets_mount() -> bool {
        let script = "mount -t tmpfs none /tmp";
        let tried = std::process::Command::new("unshare").args(["-rm", "sh", "-c", script]).output();
        tried.unwrap().status.success()
    }

    #[tokio::test]
    async fn a_child_sees_directories_in_other_places_and_all_else_as_before() {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        for (file, text) in [("layer/data", "of a layer"), ("code/main", "of the code"), ("hosts", "names")] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        }
        let spawner = spawner();
        let script = format!(
            "cat /opt/data /var/task/main /etc/hosts; pwd; ls -d /usr/bin /proc/self /dev/null {root}; id -u; echo new > {root}/new; {DAEMON}; exec sleep 1000",
            root = root.display()
        );
        let mut command = shell(&script);
        command.current_dir(root.join("code"));
        command.mount(root.join("layer"), "/opt").mount(root.join("code"), "/var/task");
        command.mount(root.join("hosts"), "/etc/hosts");
        let started = spawner.spawn(command).await;
        assert_eq!(spawner.can_mount().await.is_ok(), system_lets_mount());
        if !system_lets_mount() {
            assert!(started.is_err(), "it is not started with less than it was to have");
            return;
        }
        let mut child = started.unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap());
        }
        let root = root.to_str().unwrap();
        let user = nix::unistd::getuid().to_string();
        let code = format!("of a layerof the codenames{root}/code");
        assert_eq!(seen[0], code);
        let mut there = seen[1..5].to_vec();
        there.sort();
        let mut expected = ["/usr/bin", "/proc/self", "/dev/null", root].map(str::to_owned).to_vec();
        expected.sort();
        assert_eq!(there, expected);
        assert_eq!(seen[5], user, "it is who it was");
        let daemon = seen[6].parse().unwrap();
        assert_eq!(std::fs::read_to_string(format!("{root}/new")).unwrap(), "new\n");
        assert!(
            !Path::new("/var/task/main").exists() && !Path::new("/opt/data").exists(),
            "nobody else does"
        );
        assert!(is_alive(daemon));
        child.kill().await.unwrap();
        assert!(!is_alive(daemon), "whoever descends from it ends with it");
    }

    #[tokio::test]
    async fn a_guard_that_is_killed_takes_its_child_along() {
        let mut child = spawner().spawn(shell("sleep 1000 & echo $!; wait")).await.unwrap();
        let [grandchild] = numbers(&mut child).await;
        let leader = child.id().unwrap() as i32;
        let stat = std::fs::read_to_string(format!("/proc/{leader}/stat")).unwrap();
        let guard = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
        assert_ne!(guard, std::process::id() as i32);
        kill(Pid::from_raw(guard), Signal::SIGKILL).unwrap();
        assert!(child.wait().await.is_err());
        gone(leader).await;
        gone(grandchild).await;
    }

    /// Waits for somebody's end that nothing else tells of.
    async fn gone(pid: i32) {
        let begun = Instant::now();
        while is_alive(pid) {
            assert!(begun.elapsed() < PATIENCE, "{pid} stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

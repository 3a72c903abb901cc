//! Running a compiler, an installer or an interpreter, and reading what it says.

use std::{io, process::ExitStatus, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    time::timeout,
};

use crate::process::{Child, Command, Spawner, Stdio};

/// How long a program may take that only answers a question, e.g. an interpreter that is asked what it is.
pub(super) const TO_ANSWER: Duration = Duration::from_secs(60);

/// How long a compiler may take. A large project takes minutes the first time, and waits for another compiler as long as that takes.
/// One that hangs, e.g. because a build script reads from a terminal, would keep its calls waiting for ever.
pub(super) const TO_COMPILE: Duration = Duration::from_secs(30 * 60);

/// How a program ended and what it wrote.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, which must come within `limit`. It is killed when the result is not waited for.
pub(super) async fn run(spawner: &Spawner, command: Command, limit: Duration) -> io::Result<Output> {
    follow(spawner, command, limit, |_| {}).await
}

/// The same. Each line that it writes to standard error is given to `on_line` when it comes.
pub(super) async fn follow(
    spawner: &Spawner,
    mut command: Command,
    limit: Duration,
    on_line: impl FnMut(&str),
) -> io::Result<Output> {
    command.own_temporary_files()?.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawner.spawn(command).await?;
    match timeout(limit, to_the_end(&mut child, on_line)).await {
        Ok(said) => said,
        Err(_) => {
            // What it may have left half done is not to be in the way of the next one.
            let _ = child.kill().await;
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {}", in_words(limit))))
        }
    }
}

async fn to_the_end(child: &mut Child, mut on_line: impl FnMut(&str)) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (Vec::new(), String::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Its pipes end with it, because all that it has started does.
    tokio::join!(
        async {
            if let Some(mut out) = out {
                // What came before an error counts.
                let _ = out.read_to_end(&mut stdout).await;
            }
        },
        async {
            if let Some(err) = err {
                lines(err, |line| {
                    on_line(line.trim_end());
                    stderr.push_str(line);
                })
                .await;
            }
        },
    );
    let status = child.wait().await?;
    Ok(Output { status, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr })
}

async fn lines(pipe: impl AsyncRead + Unpin, mut on_line: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
        // What a tool writes need not be text.
        on_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

fn in_words(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_it_says_is_heard_at_once() {
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let script = "echo '    Blocking waiting for file lock' >&2; echo out; read line <&3; exit 3";
        let (ours, theirs) = std::io::pipe().unwrap();
        let mut command = shell(script);
        command.inherit(ours.into(), 3);
        let spawner = process::for_tests();
        let running = follow(&spawner, command, TO_ANSWER, |line| drop(sender.send(line.to_owned())));
        let hear = async {
            assert_eq!(heard.recv().await.as_deref(), Some("    Blocking waiting for file lock"));
            drop(theirs);
        };
        let (said, ()) = tokio::join!(running, hear);
        let said = said.unwrap();
        assert_eq!((said.status.code(), said.stdout.as_str()), (Some(3), "out\n"));
        assert_eq!(said.stderr, "    Blocking waiting for file lock\n");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended() {
        let spawner = process::for_tests();
        let error = run(&spawner, shell("sleep 1000 & wait"), Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(error.to_string(), "it did not end within 0 s");
        assert_eq!(in_words(TO_COMPILE), "30 minutes");
    }
}

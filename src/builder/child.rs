//! Running a compiler or an interpreter and reading what it says.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
};

use crate::process::Spawner;

/// How a program ended and what it wrote.
#[derive(Debug)]
pub(super) struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end. It is killed when the result is not waited for.
pub(super) async fn run(spawner: &Spawner, mut command: Command) -> io::Result<Said> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawner.spawn(command, Vec::new()).await?.wait_with_output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

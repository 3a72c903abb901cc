//! Runs a tool (Node, the CDK) to its end.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::Context;
use crate::{
    error::{Error, Kind},
    process::{ProcessIdentity, family},
};

/// How a tool ended, and what it wrote.
#[derive(Debug)]
pub(super) struct Finished {
    pub status: ExitStatus,
    /// Standard output and standard error, line by line as they came.
    pub output: String,
}

/// Why a tool did not come to its end.
#[derive(Debug)]
pub(super) enum Problem {
    /// It could not be started or followed.
    Io(io::Error),
    /// The user does not want to wait.
    Cancelled,
}

impl Problem {
    /// The error of a command that needed the tool.
    pub fn into_error(self, kind: Kind, what: &str) -> Error {
        match self {
            Self::Io(error) => Error::new(kind, format!("cannot run {what}")).detail(error),
            Self::Cancelled => Error::new(Kind::Interrupted, "interrupted"),
        }
    }
}

/// Runs `command` with nothing to read. Each line that it writes is given to `on_line` when it comes. Everything that it started is
/// gone when this returns, and when this is dropped.
pub(super) async fn run(
    context: &Context<'_>,
    mut command: Command,
    mut on_line: impl FnMut(&str),
) -> Result<Finished, Problem> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = context.spawner.spawn(command, Vec::new()).await.map_err(Problem::Io)?;
    let _members = child.id().map(|pid| KillFamily(pid.cast_signed()));
    let mut stdout = child.stdout.take().map(lines);
    let mut stderr = child.stderr.take().map(lines);
    let mut output = String::new();
    let follow = async {
        while stdout.is_some() || stderr.is_some() {
            let line = tokio::select! {
                line = next(&mut stdout), if stdout.is_some() => line?,
                line = next(&mut stderr), if stderr.is_some() => line?,
            };
            if let Some(line) = line {
                on_line(&line);
                output.push_str(&line);
                output.push('\n');
            }
        }
        child.wait().await
    };
    tokio::select! {
        status = follow => Ok(Finished { status: status.map_err(Problem::Io)?, output }),
        () = context.cancel.cancelled() => Err(Problem::Cancelled),
    }
}

type Lines<R> = BufReader<R>;

fn lines<R: AsyncRead>(reader: R) -> Lines<R> {
    BufReader::new(reader)
}

/// The next line; at the end, none, and the reader is put away.
async fn next<R: AsyncRead + Unpin>(reader: &mut Option<Lines<R>>) -> io::Result<Option<String>> {
    let Some(source) = reader else { return Ok(None) };
    let mut bytes = Vec::new();
    if source.read_until(b'\n', &mut bytes).await? == 0 {
        *reader = None;
        return Ok(None);
    }
    // What a tool writes need not be text.
    let line = String::from_utf8_lossy(&bytes);
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Kills a tool and what it started, which the handle of the tool alone would leave running.
struct KillFamily(i32);

impl Drop for KillFamily {
    fn drop(&mut self) {
        family(self.0).into_iter().for_each(ProcessIdentity::kill);
    }
}

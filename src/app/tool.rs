//! Runs a tool (Node, the CDK) to its end.

use std::{io, process::ExitStatus, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    time::{Instant, sleep_until},
};

use super::Context;
use crate::{
    error::{Error, Kind},
    process::{Child, Command, Stdio},
};

/// How long what a tool wrote may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    pub(super) fn into_error(self, kind: Kind, what: &str) -> Error {
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
    on_line: impl FnMut(&str),
) -> Result<Finished, Problem> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = context.spawner.spawn(command).await.map_err(Problem::Io)?;
    follow(context, child, on_line).await
}

/// The same for one that has been started, with pipes for what it writes.
pub(super) async fn follow(
    context: &Context<'_>,
    mut child: Child,
    mut on_line: impl FnMut(&str),
) -> Result<Finished, Problem> {
    let mut stdout = Lines::new(child.stdout.take());
    let mut stderr = Lines::new(child.stderr.take());
    let mut output = String::new();
    let follow = async {
        let mut ended = None;
        while !(stdout.ended() && stderr.ended()) {
            let line = tokio::select! {
                line = stdout.next(), if !stdout.ended() => line?,
                line = stderr.next(), if !stderr.ended() => line?,
                status = child.wait(), if ended.is_none() => {
                    ended = Some((status?, Instant::now() + LAST_WORDS));
                    None
                }
                // Where somebody can get away, the pipes may stay open for ever.
                () = sleep_until(ended.map_or_else(Instant::now, |(_, deadline)| deadline)), if ended.is_some() => break,
            };
            if let Some(line) = line {
                on_line(&line);
                output.push_str(&line);
                output.push('\n');
            }
        }
        match ended {
            Some((status, _)) => Ok(status),
            None => child.wait().await,
        }
    };
    tokio::select! {
        status = follow => Ok(Finished { status: status.map_err(Problem::Io)?, output }),
        () = context.cancel.cancelled() => Err(Problem::Cancelled),
    }
}

/// The lines of a pipe.
struct Lines<R> {
    reader: Option<BufReader<R>>,
    /// The beginning of a line whose end has not come yet. It outlives a `next` that is given up for something else.
    begun: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: Option<R>) -> Self {
        Self { reader: pipe.map(BufReader::new), begun: Vec::new() }
    }

    fn ended(&self) -> bool {
        self.reader.is_none()
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> io::Result<Option<String>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        reader.read_until(b'\n', &mut self.begun).await?;
        let bytes = std::mem::take(&mut self.begun);
        if bytes.last() != Some(&b'\n') {
            self.reader = None;
        }
        // What a tool writes need not be text.
        let line = String::from_utf8_lossy(&bytes);
        Ok((!bytes.is_empty()).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

//! A child: what this program holds of a process that a guard runs for it.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Output},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{
        UnixStream,
        unix::pipe::{Receiver, Sender},
    },
    time::timeout,
};

use super::{
    protocol::{KILL, Report, TERMINATE},
    tree::{self, ProcessIdentity},
};

/// How long what a child wrote may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A process with all that descends from it. They end together: when the process itself does, when they are told to, when this is
/// dropped, and when this program is gone.
#[derive(Debug)]
pub struct Child {
    /// What it reads, if that is piped.
    pub stdin: Option<Sender>,
    /// What it writes, if that is piped.
    pub stdout: Option<Receiver>,
    /// Its errors, if they are piped.
    pub stderr: Option<Receiver>,
    pid: i32,
    guard: Guard,
    status: Option<ExitStatus>,
    peak_mb: Option<u32>,
}

/// The line to a guard, whose end is that of all that it guards.
#[derive(Debug)]
pub(super) struct Guard {
    socket: Arc<UnixStream>,
    /// The beginning of a report whose end has not come yet.
    begun: Vec<u8>,
}

impl Guard {
    pub(super) fn new(socket: Arc<UnixStream>) -> Self {
        Self { socket, begun: Vec::new() }
    }

    /// The next report. Nothing is lost when it is not waited for to the end.
    pub(super) async fn report(&mut self) -> io::Result<Report> {
        let gone = || io::Error::other("what watches over it has ended");
        while self.begun.len() < Report::LENGTH {
            self.socket.readable().await?;
            let mut piece = [0; Report::LENGTH];
            let missing = Report::LENGTH - self.begun.len();
            match self.socket.try_read(&mut piece[..missing]) {
                Ok(0) => return Err(gone()),
                Ok(count) => self.begun.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let mut report = [0; Report::LENGTH];
        report.copy_from_slice(&self.begun);
        self.begun.clear();
        Report::decode(report).ok_or_else(gone)
    }
}

/// Has a guard end everything.
pub(super) fn kill(guard: &UnixStream) {
    tell(guard, KILL);
}

fn tell(guard: &UnixStream, order: u8) {
    // A few bytes always find room; when the guard is gone, there is nothing to be told.
    let _ = guard.try_write(&[order]);
}

impl Child {
    pub(super) fn new(
        pid: i32,
        guard: Guard,
        (stdin, stdout, stderr): (Option<Sender>, Option<Receiver>, Option<Receiver>),
    ) -> Self {
        Self { stdin, stdout, stderr, pid, guard, status: None, peak_mb: None }
    }

    /// Waits until it has ended and everything that it started is gone. What it reads ends now. Waiting may be given up, and begun
    /// again.
    ///
    /// # Errors
    /// When its guard was killed, and so it was as well.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = loop {
            match self.guard.report().await {
                Ok(Report::Ended(status, peak_mb)) => {
                    self.peak_mb = Some(peak_mb).filter(|peak_mb| *peak_mb > 0);
                    break ExitStatus::from_raw(status);
                }
                Ok(Report::Started(_) | Report::NotStarted(_)) => {}
                Err(error) => {
                    // The child itself has been killed by the kernel.
                    tree::session(self.pid).into_iter().for_each(ProcessIdentity::kill);
                    return Err(error);
                }
            }
        };
        self.status = Some(status);
        Ok(status)
    }

    /// Its process id, until its end was waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.status.is_none().then(|| self.pid.cast_unsigned())
    }

    /// The most memory that it has had, in megabytes, when its end was waited for and that is known.
    #[must_use]
    pub fn peak_mb(&self) -> Option<u32> {
        self.peak_mb
    }

    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) {
        tell(&self.guard.socket, TERMINATE);
    }

    /// Kills it and everything that it started, which is gone when its end was waited for.
    pub fn start_kill(&self) {
        kill(&self.guard.socket);
    }

    /// Kills it and everything that it started.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.start_kill();
        self.wait().await
    }

    /// Asks it to end, and kills it when it has not within `grace`. Everything that it started ends with it.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        self.terminate();
        match timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Waits for its end and for all that it writes to its pipes.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (out, err) = (self.stdout.take(), self.stderr.take());
        let status = {
            let read = async { tokio::join!(read_all(out, &mut stdout), read_all(err, &mut stderr)) };
            tokio::pin!(read);
            tokio::select! {
                status = self.wait() => {
                    // Where somebody can get away, the pipes may stay open for ever.
                    let _ = timeout(LAST_WORDS, read).await;
                    status?
                }
                _ = &mut read => self.wait().await?,
            }
        };
        Ok(Output { status, stdout, stderr })
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // What came before an error counts.
        let _ = pipe.read_to_end(bytes).await;
    }
}

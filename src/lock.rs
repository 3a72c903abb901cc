//! Advisory locks on files, with a word of who holds them.
//!
//! The kernel gives a lock back when its holder ends, in whatever way. What the file says is only for people, and for finding the
//! holder: it stays when the lock has gone, and means nothing then.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    libc::O_NOFOLLOW,
    sys::signal::kill,
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// How often it is tried again.
const EVERY: Duration = Duration::from_millis(50);

/// How long a lock may be held by somebody who has not said yet who it is, or who only looks whether it is held.
const UNSAID: Duration = Duration::from_millis(500);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The process's id.
    pub pid: i32,
    /// What was started, e.g. `sst start`.
    pub command: String,
    /// The stage, once it is known.
    pub stage: Option<String>,
    /// The project's directory.
    pub directory: Utf8PathBuf,
    /// When it began, in local time.
    pub since: String,
    /// The terminal that it runs in, e.g. `/dev/pts/3`.
    pub terminal: Option<String>,
    /// Whether it is about to end.
    #[serde(default)]
    pub ending: bool,
}

impl Holder {
    /// This process.
    #[must_use]
    pub(crate) fn this(command: &str, stage: Option<&str>, directory: &Utf8Path) -> Self {
        let terminal = nix::unistd::ttyname(io::stdin()).ok();
        Self {
            pid: std::process::id().cast_signed(),
            command: command.to_owned(),
            stage: stage.map(str::to_owned),
            directory: directory.to_owned(),
            since: jiff::ZonedDateTime::now().strftime("%F %R").to_string(),
            terminal: terminal.and_then(|path| path.into_os_string().into_string().ok()),
            ending: false,
        }
    }

    /// Whether there is such a process. One of another container is not seen.
    fn is_there(&self) -> bool {
        !matches!(kill(Pid::from_raw(self.pid), None), Err(Errno::ESRCH))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` (process {}", self.command, self.pid)?;
        if let Some(stage) = &self.stage {
            write!(formatter, ", stage {stage}")?;
        }
        write!(formatter, ", since {}, in {}", self.since, self.directory)?;
        match &self.terminal {
            Some(terminal) => write!(formatter, ", on {terminal})"),
            None => write!(formatter, ")"),
        }
    }
}

/// A lock that is held. Dropping it gives it back, and removes the file.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: Utf8PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked, so that nobody else has locked it. Whoever has it open already finds that it is another one.
        if is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What became of an attempt to take a lock.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is ours.
    Ours(Lock),
    /// Somebody else has it; who, if that is known.
    Theirs(Option<Holder>),
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// When the file cannot be written, or its file system knows no locks.
    pub(crate) async fn take(path: &Utf8Path, holder: &Holder) -> io::Result<Attempt> {
        let deadline = Instant::now() + UNSAID;
        loop {
            let mut file = open(path)?;
            match file.try_lock() {
                // Its former holder may have removed it just now. But there are file systems where no file is ever the same.
                Ok(()) if !is_at(&file, path) && Instant::now() < deadline => {}
                Ok(()) => {
                    let mut lock = Self { file, path: path.to_owned() };
                    lock.say(holder)?;
                    return Ok(Attempt::Ours(lock));
                }
                Err(TryLockError::WouldBlock) => {
                    let said = said(&mut file);
                    if Instant::now() > deadline || said.as_ref().is_some_and(Holder::is_there) {
                        return Ok(Attempt::Theirs(said));
                    }
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            sleep(EVERY).await;
        }
    }

    /// Takes the lock as soon as it is to be had. `waiting` hears once of whoever has it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub(crate) async fn wait(
        path: &Utf8Path,
        holder: &Holder,
        waiting: impl FnOnce(Option<Holder>),
    ) -> io::Result<Self> {
        match Self::take(path, holder).await? {
            Attempt::Ours(lock) => return Ok(lock),
            Attempt::Theirs(other) => waiting(other),
        }
        loop {
            sleep(EVERY).await;
            if let Attempt::Ours(lock) = Self::take(path, holder).await? {
                return Ok(lock);
            }
        }
    }

    /// Says anew who holds it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn say(&mut self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&text)
    }

    /// Lets the program that this process becomes hold it on, until that ends.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(crate) fn outlast_exec(&self) -> io::Result<()> {
        outlast_exec(&self.file)
    }
}

/// Leaves a descriptor open in the program that this process becomes.
///
/// # Errors
/// When the system does not let it.
pub(crate) fn outlast_exec(descriptor: &impl AsFd) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Who holds a lock, if anybody does and has said who it is.
///
/// # Errors
/// When the file cannot be read, or its file system knows no locks.
pub(crate) fn holder(path: &Utf8Path) -> io::Result<Option<Holder>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A shared one gets in the way of nobody else who looks, and of a taker only for a moment.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(said(&mut file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Utf8Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(O_NOFOLLOW);
    options.open(path)
}

/// Whether a path still names an open file.
fn is_at(file: &File, path: &Utf8Path) -> bool {
    let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), path.metadata()), (Ok(open), Ok(there)) if identity(&open) == identity(&there))
}

fn said(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn this(command: &str) -> Holder {
        Holder::this(command, Some("dev"), "/project".into())
    }

    #[tokio::test]
    async fn one_at_a_time_and_the_others_hear_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("below/lock");
        assert_eq!(holder(&path).unwrap(), None, "there is no file");
        let Attempt::Ours(mut lock) = Lock::take(&path, &this("sst start")).await.unwrap() else {
            panic!("nobody has it")
        };
        assert_eq!(holder(&path).unwrap(), Some(this("sst start")));
        let Attempt::Theirs(Some(other)) = Lock::take(&path, &this("sst deploy")).await.unwrap() else {
            panic!("it is taken")
        };
        let text = other.to_string();
        let pid = std::process::id();
        assert!(text.starts_with(&format!("`sst start` (process {pid}, stage dev, since 2")), "{text}");
        assert!(text.contains(", in /project"), "{text}");
        lock.say(&Holder { stage: Some("a".to_owned()), ..this("x") }).unwrap();
        assert_eq!(
            holder(&path).unwrap().unwrap().stage.as_deref(),
            Some("a"),
            "nothing is left of the longer one"
        );

        let (told, waiting) = tokio::sync::oneshot::channel();
        let waiter = {
            let path = path.clone();
            tokio::spawn(async move {
                Lock::wait(&path, &this("sst build"), move |other| told.send(other).unwrap()).await
            })
        };
        assert_eq!(waiting.await.unwrap().unwrap().command, "x");
        drop(lock);
        let _lock = waiter.await.unwrap().unwrap();
        assert_eq!(holder(&path).unwrap().unwrap().command, "sst build");
    }

    #[tokio::test]
    async fn a_file_goes_with_its_own_holder_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("lock");
        let first = Lock::take(&path, &this("a")).await.unwrap();
        fs_err::remove_file(&path).unwrap();
        let second = Lock::take(&path, &this("b")).await.unwrap();
        assert!(matches!((&first, &second), (Attempt::Ours(_), Attempt::Ours(_))));
        drop(first);
        assert_eq!(holder(&path).unwrap().unwrap().command, "b");
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_lock_of_one_that_was_killed_is_free_at_once_and_nobody_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("lock");
        let script = "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); \
                      print(flush=True); time.sleep(600)";
        let mut other = Command::new("python3")
            .args(["-c", script, path.as_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        // It has said nothing of itself.
        assert!(matches!(Lock::take(&path, &this("a")).await.unwrap(), Attempt::Theirs(None)));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        assert!(matches!(Lock::take(&path, &this("a")).await.unwrap(), Attempt::Ours(_)));
    }
}

//! What is to be run. It looks like the standard library's command; a guard is what runs it.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt, io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::{ffi::OsStringExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::ExitStatus,
};

use super::{following, proxies::kept_direct, scratch::Scratch};
use crate::descriptors;

/// A program, what it is given, and what it may write to. Without further words it reads nothing, and nobody sees what it writes.
#[derive(Debug)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    clear: bool,
    /// None takes a variable away.
    environment: BTreeMap<OsString, Option<OsString>>,
    directory: Option<PathBuf>,
    pub(super) streams: [Stdio; 3],
    pub(super) inherited: Vec<(OwnedFd, RawFd)>,
    debuggable: bool,
    most_data: Option<u64>,
    mounts: Vec<(PathBuf, PathBuf)>,
    pub(super) scratch: Option<Scratch>,
}

/// Where one of a program's standard streams comes from or goes to.
#[derive(Debug)]
pub enum Stdio {
    /// Nowhere.
    Null,
    /// A pipe, whose other end is in the [`Child`](super::Child).
    Piped,
    /// An open file, pipe or socket.
    Open(OwnedFd),
}

impl Stdio {
    /// Nowhere.
    #[must_use]
    pub fn null() -> Self {
        Self::Null
    }

    /// A pipe, whose other end is in the [`Child`](super::Child).
    #[must_use]
    pub fn piped() -> Self {
        Self::Piped
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(open: T) -> Self {
        Self::Open(open.into())
    }
}

impl Command {
    /// Runs a program: a path, or a name that is looked for in the `PATH`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            clear: false,
            environment: BTreeMap::new(),
            directory: None,
            streams: [Stdio::Null, Stdio::Null, Stdio::Null],
            inherited: Vec::new(),
            debuggable: false,
            most_data: None,
            mounts: Vec::new(),
            scratch: None,
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// What people call the program: its file's name.
    #[must_use]
    pub fn name(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets variables.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Takes a variable away.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.environment.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Gives the program no variables but those that are set from now on.
    pub fn env_clear(&mut self) -> &mut Self {
        self.clear = true;
        self.environment.clear();
        self
    }

    /// Has a program that runs on Node trust what `AWS_CA_BUNDLE` names as well, unless the user has told Node what to trust.
    pub fn trust_own_certificates(&mut self) -> &mut Self {
        match env::var_os("AWS_CA_BUNDLE").filter(|bundle| !bundle.is_empty()) {
            Some(bundle) if env::var_os("NODE_EXTRA_CA_CERTS").is_none() => {
                self.env("NODE_EXTRA_CA_CERTS", bundle)
            }
            _ => self,
        }
    }

    /// Runs it in a directory.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What it reads.
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.streams[0] = stream.into();
        self
    }

    /// Where its output goes.
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.streams[1] = stream.into();
        self
    }

    /// Where its errors go.
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.streams[2] = stream.into();
        self
    }

    /// Gives it an open descriptor under a number.
    pub fn inherit(&mut self, descriptor: OwnedFd, number: RawFd) -> &mut Self {
        self.inherited.push((descriptor, number));
        self
    }

    /// Lets any process of the same user attach a debugger to the program, where the kernel would only let its parents (Yama's
    /// `ptrace_scope` of 1, the default of Ubuntu).
    pub fn allow_debuggers(&mut self) -> &mut Self {
        self.debuggable = true;
        self
    }

    /// Lets the program have so many bytes that it can write to, and no more. Memory that it has only reserved does not count.
    pub fn limit_data(&mut self, bytes: u64) -> &mut Self {
        self.most_data = Some(bytes);
        self
    }

    /// Lets the program, and what it starts, see a directory in another place as well, which need not exist for others. It cannot be
    /// started where [`Spawner::can_mount`](super::Spawner::can_mount) says no.
    pub fn mount(&mut self, directory: impl AsRef<Path>, place: impl AsRef<Path>) -> &mut Self {
        self.mounts.push((directory.as_ref().to_owned(), place.as_ref().to_owned()));
        self
    }

    /// Has a directory removed when the program and all that it started are gone.
    pub fn scratch(&mut self, scratch: Scratch) -> &mut Self {
        self.scratch = Some(scratch);
        self
    }

    /// Gives the program a directory of its own for temporary files, which goes with it: compilers and installers that are killed
    /// leave theirs behind.
    ///
    /// # Errors
    /// When there is no room for one.
    pub fn own_temporary_files(&mut self) -> io::Result<&mut Self> {
        let scratch = Scratch::new("sst-tool-")?;
        self.env("TMPDIR", scratch.path());
        Ok(self.scratch(scratch))
    }

    /// What it was given: arguments, variables (none takes one away), directory. For a process that runs already and is to become it.
    #[must_use]
    pub fn words(&self) -> (&[OsString], &BTreeMap<OsString, Option<OsString>>, Option<&Path>) {
        (&self.arguments, &self.environment, self.directory.as_deref())
    }

    /// Replaces this program, with its terminal and its variables. Returns only when that fails.
    #[must_use]
    pub fn exec(self) -> io::Error {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.variables(self.ours()));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.exec()
    }

    /// Runs it in this program's own terminal and group, and waits for its end: an editor takes the terminal over, and gives it back. It
    /// is killed when this is dropped.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn run_in_terminal(self) -> io::Result<ExitStatus> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.variables(self.ours())).kill_on_drop(true);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.status().await
    }

    /// Those of our variables that it may have.
    fn ours(&self) -> BTreeMap<OsString, OsString> {
        if self.clear { BTreeMap::new() } else { env::vars_os().collect() }
    }

    /// All that it has, given those of ours.
    fn variables(&self, mut variables: BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
        for (name, value) in &self.environment {
            match value {
                Some(value) => variables.insert(name.clone(), value.clone()),
                None => variables.remove(name),
            };
        }
        for (name, value) in kept_direct(|name| variables.get(OsStr::new(name))?.to_str()) {
            variables.insert(name.into(), value.into());
        }
        variables
    }

    /// What a guard is told. It is given the descriptors for the numbers in the same order.
    pub(super) fn order(&self) -> Order {
        let mut environment = self.ours();
        // A debugger that started us follows the workers, which have these variables set, and nothing else.
        for name in following::variables().into_keys() {
            let own = (name == following::NODE_OPTIONS && !self.clear).then(following::own_node_options);
            match own.flatten() {
                Some(own) => environment.insert(name.into(), own.into()),
                None => environment.remove(OsStr::new(&name)),
            };
        }
        Order {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            environment: self.variables(environment),
            directory: self.directory.clone(),
            numbers: self.inherited.iter().map(|(_, number)| *number).collect(),
            debuggable: self.debuggable,
            most_data: self.most_data,
            mounts: self.mounts.clone(),
            open_files: descriptors::original(),
            scratch: self.scratch.as_ref().map(|scratch| scratch.path().to_owned().into()),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.program.display())?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {}", argument.display()))
    }
}

/// What a guard is to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub environment: BTreeMap<OsString, OsString>,
    pub directory: Option<PathBuf>,
    /// The numbers under which it gets descriptors, besides its standard streams.
    pub numbers: Vec<RawFd>,
    pub debuggable: bool,
    /// How much it may have that it can write to, in bytes, if there is a limit.
    pub most_data: Option<u64>,
    /// Directories, and where it sees them as well.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// How many files it may have open, if not as many as the guard.
    pub open_files: Option<u64>,
    /// To be removed at the end.
    pub scratch: Option<PathBuf>,
}

impl Order {
    /// As strings that end with NUL, which none of them can contain.
    pub(super) fn encode(self) -> io::Result<Vec<u8>> {
        let number = |number: usize| OsString::from(number.to_string());
        let path = |path: Option<PathBuf>| path.unwrap_or_default().into_os_string();
        let mut fields = vec![
            self.program,
            path(self.directory),
            path(self.scratch),
            number(usize::from(self.debuggable)),
            OsString::from(self.most_data.map(|bytes| bytes.to_string()).unwrap_or_default()),
            OsString::from(self.open_files.map(|limit| limit.to_string()).unwrap_or_default()),
            number(self.arguments.len()),
            number(self.environment.len()),
            number(self.mounts.len()),
        ];
        fields.extend(self.arguments);
        fields.extend(self.environment.into_iter().flat_map(|(name, value)| [name, value]));
        fields.extend(
            self.mounts.into_iter().flat_map(|(from, to)| [from.into_os_string(), to.into_os_string()]),
        );
        fields.extend(self.numbers.into_iter().map(|number| OsString::from(number.to_string())));
        let mut bytes = Vec::new();
        for field in fields {
            let field = field.into_vec();
            if field.contains(&0) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "an argument or a variable contains NUL",
                ));
            }
            bytes.extend(field);
            bytes.push(0);
        }
        Ok(bytes)
    }

    /// The reverse. None when it is not whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes
            .strip_suffix(&[0])?
            .split(|byte| *byte == 0)
            .map(|field| OsString::from_vec(field.to_vec()));
        let mut next = || fields.next();
        let path = |field: OsString| Some(PathBuf::from(field)).filter(|path| !path.as_os_str().is_empty());
        let program = next()?;
        let directory = path(next()?);
        let scratch = path(next()?);
        let debuggable = next()? == "1";
        let most_data = next()?.to_str()?.parse().ok();
        let open_files = next()?.to_str()?.parse().ok();
        let mut number = || next()?.to_str()?.parse::<usize>().ok();
        let (arguments, variables, mounts) = (number()?, number()?, number()?);
        let arguments = (0..arguments).map(|_| fields.next()).collect::<Option<_>>()?;
        let environment =
            (0..variables).map(|_| Some((fields.next()?, fields.next()?))).collect::<Option<_>>()?;
        let mounts = (0..mounts)
            .map(|_| Some((fields.next()?.into(), fields.next()?.into())))
            .collect::<Option<_>>()?;
        let numbers = fields.map(|field| field.to_str()?.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            program,
            arguments,
            environment,
            directory,
            numbers,
            debuggable,
            most_data,
            mounts,
            open_files,
            scratch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_sent() {
        let odd = OsString::from_vec(vec![0xff, b'\n', b'=']);
        let mut command = Command::new(&odd);
        command.args(["", "a b"]).env_clear().env("A", "").env("B", &odd).current_dir("/x").allow_debuggers();
        command.limit_data(1 << 40).mount("/a", "/opt").mount(&odd, "/b");
        let order = command.order();
        assert_eq!(order.environment.len(), 2);
        let bytes = order.encode().unwrap();
        assert_eq!(Order::decode(&bytes), Some(command.order()));
        assert_eq!(Order::decode(&bytes[..bytes.len() - 1]), None);
        command.arg("a\0b");
        assert!(command.order().encode().is_err());
    }

    #[test]
    fn a_command_has_the_variables_that_are_ours_or_its_own() {
        let mut command = Command::new("x");
        command.env_remove("PATH").env("SST_OF_A_TEST", "1");
        let order = command.order();
        assert!(!order.environment.contains_key(OsStr::new("PATH")));
        assert!(order.environment.contains_key(OsStr::new("SST_OF_A_TEST")));
        assert_eq!(order.environment.get(OsStr::new("HOME")).cloned(), env::var_os("HOME"));
    }

    #[test]
    fn a_program_with_a_proxy_reaches_this_machine_without_it() {
        let direct = |command: &Command| command.order().environment.get(OsStr::new("NO_PROXY")).cloned();
        let mut command = Command::new("x");
        command.env_clear().env("PATH", "/bin");
        assert_eq!(direct(&command), None);
        command.env("HTTPS_PROXY", "http://proxy:3128").env("NO_PROXY", "a.example");
        assert_eq!(direct(&command), Some("a.example,localhost,127.0.0.1,::1".into()));
    }
}

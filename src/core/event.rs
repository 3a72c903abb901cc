//! Everything that can happen to the core. Each task reports to the core with these and with nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use camino::Utf8PathBuf;

use crate::{
    ids::{FunctionId, Generation, LanguageId, RequestId, WorkerId},
    project::manifest::FunctionSpec,
};

/// Something that happened outside of the core.
#[derive(Debug, Clone)]
pub enum Event {
    /// A request for a function arrived, or what its stub says to a [question](super::question). The relay reports each request id once, however often it was sent.
    Invoked(Box<Invocation>),
    /// A worker asked for its next invocation (`GET /invocation/next`).
    Polled { worker: WorkerId },
    /// A worker answered the invocation it was given.
    Answered { worker: WorkerId, request: RequestId, outcome: Outcome },
    /// A worker sent a part of a streamed response.
    Streamed { worker: WorkerId, request: RequestId, part: StreamPart },
    /// A worker reported that it could not initialise (`POST /init/error`).
    InitFailed { worker: WorkerId, error: FunctionError },
    /// A worker can be debugged.
    Debuggable { worker: WorkerId, target: Target },
    /// A debugger waits at `port` of this machine for a worker to connect, whose debugger is in its own process.
    DebuggerWaits { worker: WorkerId, port: u16 },
    /// How many debuggers want to hear of workers, and in which languages workers should load their functions only after these have
    /// set their breakpoints.
    Debuggers { attached: usize, gate: BTreeSet<LanguageId> },
    /// A debugger comes to a worker that serves already. It gets no further call before `DebuggerReady`.
    DebuggerComes { worker: WorkerId },
    /// The debuggers have set their breakpoints in a worker, if there are debuggers.
    DebuggerReady { worker: WorkerId },
    /// A worker wrote to its standard output or standard error.
    Output { worker: WorkerId, line: String },
    /// A worker process ended, or could not be started.
    Exited { worker: WorkerId, exit: Exit },
    /// Files were written, created, renamed, or deleted.
    FilesChanged(Vec<FileChange>),
    /// A build ended.
    Built { function: FunctionId, generation: Generation, result: Result<Arc<Artifact>, BuildError> },
    /// The set of functions is a new one, e.g. that of the deployment that begins.
    Functions(Vec<Arc<FunctionSpec>>),
    /// The stubs of all of them are in place. So whoever has answered for some of them until now does so no more.
    Deployed,
    /// This client answers for all of them.
    Registered,
    /// Somebody on this machine wants something of a function.
    Called(Call),
    /// The question with this token was not answered, unless that has happened before.
    Unanswered { token: String, reason: String },
    /// A debugger stopped a worker's code (the deadline of its invocation stands still).
    Paused { worker: WorkerId, place: Option<String> },
    /// A debugger let a worker's code go on.
    Resumed { worker: WorkerId },
    /// The connection to the stubs was lost, and why, or is there again. Only whoever watches the session wants to know: what becomes of
    /// calls, the relay says by itself.
    Connection { lost: Option<String> },
    /// Time passed. The loop sends it when [`super::State::next_wake`] is due.
    Tick,
    /// Answer what is open, stop everything.
    Shutdown,
}

/// Who waits for what becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A stub, by way of the relay.
    Relay,
    /// Another command on this machine.
    Local,
}

/// Something that somebody on this machine wants of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// By which it is answered, and the request id when it leads to one.
    pub id: RequestId,
    /// The function's id, or what is enough of it.
    pub function: String,
    /// The event to call it with; none when only its environment is wanted.
    pub event: Option<Bytes>,
    /// The trace that it begins, as X-Ray's header names one.
    pub trace_id: String,
    /// Whose event it has once more.
    pub replays: Option<RequestId>,
    /// Whether debuggers are to stop at the handler's first line.
    pub stops: bool,
}

/// One request to run a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Who has called.
    pub caller: Caller,
    /// Lambda's request id, or that of a call on this machine.
    pub request: RequestId,
    /// The function to run.
    pub function: FunctionId,
    /// The event, byte for byte.
    pub payload: Bytes,
    /// What the handler's context object is made of.
    pub context: sst_wire::Context,
    /// The environment of the stub, as received.
    pub environment: Arc<BTreeMap<String, String>>,
    /// What is left of the stub's own time.
    pub remaining: Duration,
    /// The function's time, from when its handler is given the event, if that is another one.
    pub time: Option<Duration>,
    /// How long its caller can hear of it; none where they wait as long as it takes.
    pub patience: Option<Duration>,
    /// Whose event it has once more.
    pub replays: Option<RequestId>,
    /// Whether debuggers are to stop at the handler's first line.
    pub stops: bool,
}

/// How an invocation ended in the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The handler's result, byte for byte.
    Returned(Bytes),
    /// The invocation failed.
    Failed(FunctionError),
}

/// An error in the shape that Lambda hands to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The value of `Lambda-Runtime-Function-Error-Type`, e.g. `Runtime.ExitError`.
    pub error_type: String,
    /// The JSON body, byte for byte as the runtime posted it.
    pub body: Bytes,
}

impl FunctionError {
    /// An error with a body in Lambda's general shape, `{"errorType": …, "errorMessage": …}`.
    #[must_use]
    pub fn new(error_type: &str, message: &str) -> Self {
        let body = serde_json::json!({ "errorType": error_type, "errorMessage": message });
        Self { error_type: error_type.to_owned(), body: Bytes::from(body.to_string()) }
    }
}

/// A part of a streamed response, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// The first part: the `Content-Type` of the response.
    Begin { content_type: Option<String> },
    /// Bytes.
    Data(Bytes),
    /// The end. An error that the runtime sent as trailers travels on unchanged.
    End { error: Option<sst_wire::StreamError> },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal ended it; the name is Lambda's spelling, e.g. `killed`.
    Signal(String),
    /// It never ran; why, as a fragment.
    NotStarted(String),
    /// It was ended because an extension beside it has failed: the type of the error, and how.
    Extension { error_type: &'static str, reason: String },
}

/// One path that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The absolute path.
    pub path: Utf8PathBuf,
    /// Whether the path itself came or went (created, deleted, renamed), rather than only its content changed.
    pub structural: bool,
}

/// How a debugger gets at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its inspector listens at this address (`ws://…`).
    Inspector { url: String },
    /// It is a Java virtual machine.
    Machine {
        /// Where it listens for a debugger.
        port: u16,
        /// It loads nothing of the function before a debugger lets it run.
        suspended: bool,
    },
    /// It has a debug adapter, as its language has it.
    Process {
        /// The process.
        pid: u32,
        /// What it runs.
        executable: Utf8PathBuf,
        /// What that is written in.
        language: LanguageId,
        /// Why it cannot be debugged after all.
        lacking: Option<String>,
    },
}

/// What runs an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it is written in.
    pub language: LanguageId,
    /// The interpreter, or the program itself; none for an interpreter that `sst` uses as well.
    pub executable: Option<Utf8PathBuf>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where the debugger is that the process loads, when it is not among its own packages.
    pub debugger: Option<Utf8PathBuf>,
    /// Why it cannot be debugged.
    pub lacking: Option<String>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            language: LanguageId::from(""),
            executable: None,
            arguments: Vec::new(),
            debugger: None,
            lacking: None,
        }
    }
}

impl Program {
    /// A program that serves the Runtime API by itself.
    #[must_use]
    pub fn native(language: &str, executable: Utf8PathBuf) -> Self {
        Self { language: language.into(), executable: Some(executable), ..Self::default() }
    }
}

/// Something a worker can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What runs it.
    pub program: Program,
    /// The directory that becomes `LAMBDA_TASK_ROOT`.
    pub task_root: Utf8PathBuf,
    /// The handler relative to it, as the runner needs it, e.g. `src/list.handler`. `_HANDLER` stays the declared one
    /// where the two differ.
    pub handler: String,
    /// What tells two builds apart: a hash of everything that runs. Equal fingerprints mean nothing changed.
    pub fingerprint: String,
    /// What it depends on: a change of one of these paths calls for a new build. Absolute paths. A file was read; a directory stands
    /// for everything below it; what is not there was looked for, and `directory/*.ending` stands for files that were looked for by
    /// their ending.
    pub inputs: Vec<Utf8PathBuf>,
    /// What standby workers load ahead of time: `(package name as imported, directory that imports it)`. A name that begins with `./` is
    /// that of a file in the directory, which does what is to be done. Equal ones load the same.
    pub packages: Vec<(String, Utf8PathBuf)>,
    /// Where packages are that its runtime provides and the project has not installed: a `node_modules`, or a directory for Python's
    /// path.
    pub provided: Option<Utf8PathBuf>,
    /// The directory that stands for `/opt`, with the function's layers; none for a function without any.
    pub opt: Option<Utf8PathBuf>,
}

/// Why a build failed, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// One line, e.g. `src/list.ts:3:7: Expected ";" but found "x"`.
    pub summary: String,
    /// The error with file, line, and a code frame, as it is to be printed. No colours.
    pub detail: String,
    /// The error type that a caller gets, e.g. `Runtime.UserCodeSyntaxError` or `Runtime.ImportModuleError`.
    pub error_type: String,
    /// As [`Artifact::inputs`]: a change of one of them calls for another try.
    pub inputs: Vec<Utf8PathBuf>,
}

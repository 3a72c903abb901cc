//! Everything that the core wants done. `live.rs` hands each effect to the task that can do it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use camino::Utf8PathBuf;

use super::event::{Artifact, Caller, Invocation, Outcome, StreamPart, Target};
use crate::{
    ids::{FunctionId, Generation, RequestId, WorkerId},
    project::manifest::FunctionSpec,
    ui::UiEvent,
};

/// Something the core wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Start a worker process.
    Start(Box<Start>),
    /// Let a worker that was started with `gated` load its function.
    Load { worker: WorkerId },
    /// Have a worker whose debugger is in its own process connect to `port` of this machine.
    Debug { worker: WorkerId, port: u16 },
    /// Hand an invocation to a worker that waits for one.
    Deliver { worker: WorkerId, delivery: Box<Delivery> },
    /// End a worker process.
    Stop { worker: WorkerId, how: Stop },
    /// A request has arrived that will have an outcome: what it came with, for whoever remembers.
    Arrived(Box<Invocation>),
    /// Tell whoever has called what becomes of the request.
    Answer { caller: Caller, request: RequestId, answer: Answer },
    /// Tell the relay something.
    Relay(RelayCommand),
    /// Tell those something, or do something for them, who call functions on this machine.
    Local(LocalCommand),
    /// Build a function. All builds after that of `since`, of whatever function, begin with the files as they are now, as far as is known here.
    Build { spec: Arc<FunctionSpec>, generation: Generation, since: Generation },
    /// The function is not in use any more; forget what was kept to build it quickly.
    Cool { function: FunctionId },
    /// A build has ended, or the function is gone: its code depends on these paths, and on nothing else any more. They are as
    /// [`Artifact::inputs`].
    Watch { function: FunctionId, paths: Vec<Utf8PathBuf> },
    /// Tell the inspector endpoint something.
    Bridge(BridgeCommand),
    /// Show something.
    Ui(UiEvent),
}

/// What the core tells the inspector endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BridgeCommand {
    /// Present a worker to debuggers. `Event::DebuggerReady` follows in any case.
    Offer { worker: WorkerId, function: FunctionId, target: Target },
    /// The worker is about to end, or has ended: close what is connected to it.
    Withdraw { worker: WorkerId },
}

/// What is needed to start a worker.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its id.
    pub worker: WorkerId,
    /// The function it will serve.
    pub spec: Arc<FunctionSpec>,
    /// The code it will run.
    pub artifact: Arc<Artifact>,
    /// The environment of the function, as received from the stub.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Whether it must not load the function before [`Effect::Load`]: debuggers set their breakpoints first.
    pub gated: bool,
}

/// One invocation on its way into a worker.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Lambda's request id.
    pub request: RequestId,
    /// The event, byte for byte.
    pub payload: Bytes,
    /// What becomes the headers of `/invocation/next`.
    pub context: sst_wire::Context,
    /// When the invocation's time is over. `Lambda-Runtime-Deadline-Ms` tells it in wall clock time.
    pub deadline: Instant,
    /// The role's credentials that came with this invocation (the `AWS_…` variables), for runners that take them.
    pub credentials: BTreeMap<String, String>,
    /// Whether a debugger is there, for runners that then call the function so that it sees what the function does not catch.
    pub debugged: bool,
    /// Whether debuggers are to stop at the handler's first line, which runners do that can.
    pub stops: bool,
}

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, then after a grace period SIGKILL.
    Gently,
    /// SIGKILL at once.
    Now,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It is still being worked on.
    Working { paused: bool },
    /// Its one outcome.
    Outcome(Outcome),
    /// A part of its streamed response. The last one is its outcome.
    Part(StreamPart),
}

/// What the core tells the relay.
#[derive(Debug, Clone)]
pub enum RelayCommand {
    /// Answer a stub. The relay knows the connection on which each open request is answered.
    Answer { request: RequestId, answer: Answer },
    /// Serve these functions and no others from now on, as far as nobody else serves them.
    Announce { functions: Vec<FunctionId> },
    /// The same, and take over what somebody else serves. [`super::event::Event::Registered`] follows.
    Register { functions: Vec<FunctionId> },
    /// Remove what is registered, send what is still to be sent, and end. `within` bounds it.
    Close { within: Duration },
}

/// What the core tells those who serve the other commands of this machine.
#[derive(Debug, Clone)]
pub enum LocalCommand {
    /// Ask the stub of a function for its variables and credentials. What it says arrives as an event that is a
    /// [question](super::question) with this token; else [`super::event::Event::Unanswered`] follows.
    Ask { spec: Arc<FunctionSpec>, token: String },
    /// The environment of a function, which is all that was wanted.
    Environment { call: RequestId, variables: BTreeMap<String, String> },
    /// A call is not made, and why.
    Refuse { call: RequestId, message: String, hint: Option<String> },
}

//! Everything that the core wants done. `live.rs` hands each effect to the task that can do it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::event::{Artifact, Outcome, StreamPart, Target};
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
    /// Tell the relay something.
    Relay(RelayCommand),
    /// Build a function.
    Build { spec: Arc<FunctionSpec>, generation: Generation },
    /// The function is not in use any more; forget what was kept to build it quickly.
    Cool { function: FunctionId },
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
    pub environment: BTreeMap<String, String>,
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
}

/// How a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, then after a grace period SIGKILL.
    Gently,
    /// SIGKILL at once.
    Now,
}

/// What the core tells the relay. The relay knows the connection on which each open request is answered.
#[derive(Debug, Clone)]
pub enum RelayCommand {
    /// The one outcome of a request.
    Reply { request: RequestId, outcome: Outcome },
    /// A request is still being worked on.
    Working { request: RequestId, paused: bool },
    /// A part of a streamed response.
    Stream { request: RequestId, part: StreamPart },
    /// Serve these functions and no others from now on, as far as nobody else serves them.
    Announce { functions: Vec<FunctionId> },
    /// The same, and take over what somebody else serves. [`super::event::Event::Registered`] follows.
    Register { functions: Vec<FunctionId> },
    /// Remove what is registered, send what is still to be sent, and end. `within` bounds it.
    Close { within: Duration },
}

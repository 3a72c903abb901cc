//! What the clients hear of, and what they want to hear.

use tokio_util::sync::CancellationToken;

use crate::ids::WorkerId;

/// A worker that can be debugged.
#[derive(Debug, Clone)]
pub(in crate::bridge) struct Offer {
    pub worker: WorkerId,
    pub title: String,
    /// Where a Node process's inspector listens; empty for others.
    pub url: String,
    /// Where the debug adapter of a worker listens that is no Node process, and the worker's process id.
    pub adapter: Option<(u16, u32)>,
    /// The Java virtual machine that the worker is.
    pub machine: Option<Machine>,
    /// Cancelled when the worker goes.
    pub gone: CancellationToken,
}

/// A Java virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) struct Machine {
    /// Where it listens for a debugger.
    pub port: u16,
    /// It runs when a debugger lets it.
    pub suspended: bool,
}

impl Offer {
    /// Whether it is a Node process, with an inspector.
    pub(super) fn is_node(&self) -> bool {
        self.adapter.is_none() && self.machine.is_none()
    }
}

/// Which workers a client wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bridge) enum Wants {
    /// Those with an inspector.
    Inspectors,
    /// Those with a debug adapter.
    Adapters,
    /// Those with a debug adapter that run this function.
    AdaptersOf(String),
    /// Java virtual machines that run this function.
    MachinesOf(String),
}

impl Wants {
    pub(super) fn includes(&self, offer: &Offer) -> bool {
        match self {
            Self::Inspectors => offer.is_node(),
            Self::Adapters => offer.adapter.is_some(),
            Self::AdaptersOf(function) => offer.adapter.is_some() && offer.title == *function,
            Self::MachinesOf(function) => offer.machine.is_some() && offer.title == *function,
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone)]
pub(in crate::bridge) enum Change {
    Came(Offer),
    Went(WorkerId),
    /// A worker has come that another client, of this number and name, debugs already. It comes when that one has left.
    Taken(u64, String),
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bridge) enum Missing {
    /// Nothing: no script was made of a file that has a breakpoint, or all are set.
    Nothing,
    /// A breakpoint in a line of which a script may have no code. It may be set in another line, or never.
    Perhaps,
    /// A breakpoint that will be set.
    Surely,
}

//! How processes are debugged, as data: which program is started for that, and what it is told.

use camino::Utf8Path;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::process::{Command, Spawner};

/// How the processes of a language are debugged.
#[derive(Debug)]
pub(crate) enum Debugger {
    /// By an inspector of their own (the Chrome DevTools Protocol), which says where it listens.
    Inspector,
    /// By the Java Debug Wire Protocol. The process says where it listens, and starts suspended where it is held.
    Jdwp,
    /// By a debug adapter (the Debug Adapter Protocol).
    Adapter {
        /// The endings of the files in which it takes breakpoints.
        files: &'static [&'static str],
        /// How it comes to be. The error says what is missing and how to install it.
        attach: for<'a> fn(Debuggee<'a>) -> BoxFuture<'a, Result<DebugAdapter, String>>,
        /// What debuggers may speak as well, on the port of a function.
        own: Option<OwnProtocol>,
    },
}

/// A process that is to be debugged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Debuggee<'a> {
    /// Its number.
    pub pid: u32,
    /// What it runs.
    pub executable: &'a Utf8Path,
    /// Starts what has to be asked first.
    pub spawner: &'a Spawner,
}

/// A debug adapter for one process.
#[derive(Debug)]
pub(crate) struct DebugAdapter {
    /// How it is reached.
    pub link: AdapterLink,
    /// What it is told to attach to.
    pub attach: Value,
}

/// How a debug adapter is reached.
#[derive(Debug)]
pub(crate) enum AdapterLink {
    /// The process itself is one, and connects to us when it is told where.
    Worker,
    /// It speaks on its pipes.
    Pipes(Command),
    /// It listens at an address that it writes to its output, behind these words.
    Listens(Command, &'static str),
}

/// What a debugger speaks that has a protocol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnProtocol {
    /// Delve's JSON-RPC.
    Delve,
    /// gdb's remote protocol, also as LLDB speaks it.
    Gdb,
}

impl Debugger {
    /// Whether it is an inspector.
    #[must_use]
    pub(crate) fn is_inspector(&self) -> bool {
        matches!(self, Self::Inspector)
    }

    /// Whether a process can be held before it loads a function without a runner of ours.
    #[must_use]
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Jdwp)
    }

    /// The endings of the files in which it takes breakpoints, where it is a debug adapter.
    #[must_use]
    pub(crate) fn files(&self) -> &'static [&'static str] {
        match self {
            Self::Inspector | Self::Jdwp => &[],
            Self::Adapter { files, .. } => files,
        }
    }

    /// What debuggers may speak as well.
    #[must_use]
    pub(crate) fn own_protocol(&self) -> Option<OwnProtocol> {
        match self {
            Self::Inspector | Self::Jdwp => None,
            Self::Adapter { own, .. } => *own,
        }
    }
}

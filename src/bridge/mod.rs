//! The inspector endpoint: one stable address at which a debugger finds every worker process, across restarts, as a child target.
//!
//! Children are announced in the two dialects that Node itself uses for its threads: `NodeWorker` (vscode-js-debug) and `Target`
//! (Chrome DevTools). Each client has a connection of its own to each worker, because Node allows many and forgets, for each that
//! ends, its breakpoints and nothing else. Nothing of what they say passes the core, but that a worker is paused.

mod client;
mod flat;
mod http;
mod observer;
mod place;
mod registry;
mod upstream;

use std::{io, net::SocketAddr, sync::Arc};

use camino::Utf8PathBuf;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use self::registry::Registry;
use crate::{
    core::{effect::BridgeCommand, event::Event},
    ids::WorkerId,
};

/// Where debuggers look by default.
pub const DEFAULT_PORT: u16 = 9229;

/// How many ports are tried after the wanted one.
const TRIED: u16 = 50;

/// What the endpoints are called.
#[derive(Debug, Clone)]
pub struct Names {
    /// The id of the target that stands for all workers. Clients know it again by this, so it should stay the same for a project.
    pub id: String,
    /// What people see.
    pub title: String,
    /// The project's directory; places are named relative to it.
    pub root: Utf8PathBuf,
}

/// Both endpoints. Dropping it closes them.
#[derive(Debug)]
pub struct Bridge {
    address: SocketAddr,
    flat_address: SocketAddr,
    registry: Arc<Registry>,
    _servers: [AbortOnDropHandle<()>; 2],
}

impl Bridge {
    /// Listens on 127.0.0.1: with the endpoint for all workers at `port` or the next one that is free, and with the flat one at
    /// `flat_port` or the next one.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn open(
        port: u16,
        flat_port: u16,
        names: Names,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let listener = listen(port).await?;
        let flat_listener = listen(flat_port).await?;
        let (address, flat_address) = (listener.local_addr()?, flat_listener.local_addr()?);
        let registry = Arc::new(Registry::new(names.root, events));
        let server = tokio::spawn(http::serve(listener, registry.clone(), names.id, names.title));
        let flat = tokio::spawn(flat::serve(flat_listener, registry.clone()));
        let servers = [server, flat].map(AbortOnDropHandle::new);
        Ok(Self { address, flat_address, registry, _servers: servers })
    }

    /// Where debuggers attach that show workers as children.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where debuggers attach that know one process at a time.
    #[must_use]
    pub fn flat_address(&self) -> SocketAddr {
        self.flat_address
    }

    /// A worker has got a call.
    pub fn used(&self, worker: WorkerId) {
        self.registry.used(worker);
    }

    /// Does what the core wants.
    pub fn command(&self, command: BridgeCommand) {
        match command {
            BridgeCommand::Offer { worker, title, url } => self.registry.offer(worker, title, url),
            BridgeCommand::Withdraw { worker } => self.registry.withdraw(worker),
        }
    }
}

async fn listen(port: u16) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in port..=port.saturating_add(TRIED) {
        match TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

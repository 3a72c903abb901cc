//! The inspector endpoint: one stable address at which a debugger finds every worker process, across restarts, as a child target.
//!
//! Children are announced in the two dialects that Node itself uses for its threads: `NodeWorker` (vscode-js-debug) and `Target`
//! (Chrome DevTools). Each client has a connection of its own to each worker, because Node allows many and forgets, for each that
//! ends, its breakpoints and nothing else. Nothing of what they say passes the core, but that a worker is paused.

mod client;
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
use crate::core::{effect::BridgeCommand, event::Event};

/// Where debuggers look by default.
pub const DEFAULT_PORT: u16 = 9229;

/// How many ports are tried after the wanted one.
const TRIED: u16 = 50;

/// The endpoint. Dropping it closes it.
#[derive(Debug)]
pub struct Bridge {
    address: SocketAddr,
    registry: Arc<Registry>,
    _server: AbortOnDropHandle<()>,
}

impl Bridge {
    /// Listens on 127.0.0.1, at `port` or the next one that is free. `id` names the endpoint to clients, and should stay the same
    /// for a project, `title` is what people see. Places are named relative to `root`, the project's directory.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn open(
        port: u16,
        id: &str,
        title: &str,
        root: Utf8PathBuf,
        events: mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in port..=port.saturating_add(TRIED) {
            match TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    let registry = Arc::new(Registry::new(root, events));
                    let server = tokio::spawn(http::serve(
                        listener,
                        registry.clone(),
                        id.to_owned(),
                        title.to_owned(),
                    ));
                    return Ok(Self { address, registry, _server: AbortOnDropHandle::new(server) });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where debuggers attach.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does what the core wants.
    pub fn command(&self, command: BridgeCommand) {
        match command {
            BridgeCommand::Offer { worker, title, url } => self.registry.offer(worker, title, url),
            BridgeCommand::Withdraw { worker } => self.registry.withdraw(worker),
        }
    }
}

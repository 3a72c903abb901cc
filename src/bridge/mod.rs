//! The inspector endpoint: one stable address at which a debugger finds every worker process, across restarts, as a child target.
//!
//! Children are announced in the two dialects that Node itself uses for its threads: `NodeWorker` (vscode-js-debug) and `Target`
//! (Chrome DevTools). Each client has a connection of its own to each worker, because Node allows many and forgets, for each that
//! ends, its breakpoints and nothing else. Nothing of what they say passes the core, but that a worker is paused.
//!
//! Workers in other languages have debug adapters, and one more endpoint shows all workers of all languages as sessions.

mod adapter;
mod inspector;
mod jdwp;
mod raw;
mod registry;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use camino::Utf8PathBuf;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    adapter::{Debuggee, Starter},
    registry::{Offer, Registry},
};
use crate::{
    core::{
        effect::BridgeCommand,
        event::{Event, Target},
    },
    ids::{FunctionId, WorkerId},
    languages,
    process::{Spawner, following_variables},
    project::manifest::FunctionSpec,
    tasks::{self, Tasks},
    ui::Ui,
};

/// Where debuggers look by default.
pub(crate) const DEFAULT_PORT: u16 = 9229;

/// Where the ports of single functions begin.
pub(crate) const FIRST_FUNCTION_PORT: u16 = 9240;

/// How many ports are tried after the wanted one.
const TRIED: u16 = 50;

/// What the endpoints are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The id of the target that stands for all workers. Clients know it again by this, so it should stay the same for a project.
    pub id: String,
    /// What people see.
    pub title: String,
    /// The project's directory; places are named relative to it.
    pub root: Utf8PathBuf,
}

/// The ports that are wanted. The next free one is taken for each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Of the inspector endpoint with all workers as children.
    pub inspector: u16,
    /// Of the flat one.
    pub flat: u16,
    /// Of the debug adapter for all languages.
    pub adapter: u16,
}

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Starts debuggers.
    pub spawner: Spawner,
    /// The Node that runs workers.
    pub node: Utf8PathBuf,
    /// Where the core listens.
    pub events: mpsc::UnboundedSender<Event>,
    /// The terminal.
    pub ui: Ui,
}

/// All endpoints.
#[derive(Debug)]
pub(crate) struct Bridge {
    address: SocketAddr,
    flat_address: SocketAddr,
    adapter_address: SocketAddr,
    registry: Arc<Registry>,
    /// Whether workers have a debugger that does not come through the endpoint.
    followed: bool,
    context: Context,
    debuggees: JoinSet<()>,
}

impl Bridge {
    /// Listens on 127.0.0.1 at the wanted ports, or the next ones that are free, as long as `tasks` run.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn open(
        ports: Ports,
        names: Names,
        context: Context,
        tasks: &mut Tasks,
    ) -> io::Result<Self> {
        let listener = listen(ports.inspector).await?;
        let flat_listener = listen(ports.flat).await?;
        let adapter_listener = listen(ports.adapter).await?;
        let (address, flat_address) = (listener.local_addr()?, flat_listener.local_addr()?);
        let adapter_address = adapter_listener.local_addr()?;
        let registry = Arc::new(Registry::new(names.root, context.events.clone(), context.ui.clone()));
        let protocol = Arc::new(inspector::Protocol::new(context.spawner.clone(), context.node.clone()));
        let serving = inspector::serve(listener, registry.clone(), names.id, names.title, protocol.clone());
        tasks.spawn("the inspector", serving);
        tasks.spawn("the flat inspector", inspector::serve_flat(flat_listener, registry.clone(), protocol));
        tasks.spawn("the debug adapter", adapter::serve_all(adapter_listener, registry.clone(), address));
        let debuggees = JoinSet::new();
        let followed = !following_variables().is_empty();
        Ok(Self { address, flat_address, adapter_address, registry, followed, context, debuggees })
    }

    /// For debuggers that attach to one function.
    #[must_use]
    pub(crate) fn function_ports(&self) -> FunctionPorts {
        FunctionPorts { registry: self.registry.clone(), open: BTreeMap::new() }
    }

    /// Where debuggers attach that show workers as children.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where debuggers attach that know one process at a time.
    #[must_use]
    pub(crate) fn flat_address(&self) -> SocketAddr {
        self.flat_address
    }

    /// Where debuggers attach that show workers of all languages.
    #[must_use]
    pub(crate) fn adapter_address(&self) -> SocketAddr {
        self.adapter_address
    }

    /// A worker that is a Java virtual machine listens at this port for its next debugger.
    pub(crate) fn moved(&self, worker: WorkerId, port: u16) {
        self.registry.moved(worker, port);
    }

    /// A worker has got a call.
    pub(crate) fn used(&self, worker: WorkerId) {
        self.registry.used(worker);
    }

    /// Does what the core wants.
    pub(crate) fn command(&mut self, command: BridgeCommand) {
        match command {
            BridgeCommand::Offer { worker, function, target } => self.offer(worker, &function, target),
            BridgeCommand::Withdraw { worker } => self.registry.withdraw(worker),
        }
    }

    fn offer(&mut self, worker: WorkerId, function: &FunctionId, target: Target) {
        let (title, gone) = (function.to_string(), CancellationToken::new());
        let pid = match &target {
            Target::Inspector { url } => {
                let offer = Offer { worker, title, url: url.clone(), adapter: None, machine: None, gone };
                if self.followed {
                    tokio::spawn(inspector::observe(offer.clone(), self.registry.clone()));
                }
                self.registry.offer(offer);
                return;
            }
            &Target::Machine { port, suspended } => {
                let machine = Some(registry::Machine { port, suspended });
                let wanted = self.registry.offer(Offer {
                    worker,
                    title,
                    url: String::new(),
                    adapter: None,
                    machine,
                    gone,
                });
                if suspended && !wanted {
                    // The debugger for whose sake it is suspended is that of another function.
                    let name = format!("the release of `{function}`");
                    self.debuggees.spawn(tasks::named(name, jdwp::release(port)));
                }
                return;
            }
            Target::Process { pid, .. } => *pid,
        };
        tasks::reap(&mut self.debuggees);
        // Each has a port of its own, which nobody but the clients of the other endpoints needs to know.
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((TcpListener::from_std(listener)?, port))
        });
        let (listener, port) = match listener {
            Ok(found) => found,
            Err(error) => {
                self.context.ui.warning(format!(
                    "a process of `{function}` goes on without breakpoints: there is no port for its debugger ({error})"
                ));
                let _ = self.context.events.send(Event::DebuggerReady { worker });
                return;
            }
        };
        let offer =
            Offer { worker, title, url: String::new(), adapter: Some((port, pid)), machine: None, gone };
        let Context { spawner, events, ui, .. } = self.context.clone();
        let starter = Starter { spawner, events };
        let registry = self.registry.clone();
        let debuggee = Debuggee { offer: offer.clone(), target, registry, starter, ui };
        let name = format!("the debugger of `{function}`");
        self.debuggees.spawn(tasks::named(name, debuggee.serve(listener)));
        self.registry.offer(offer);
    }

    /// Ends the debuggers that are attached to workers.
    pub(crate) async fn end(mut self) {
        self.registry.withdraw_all();
        while self.debuggees.join_next().await.is_some() {}
    }
}

/// The ports at which debuggers attach to one function that does not run on Node. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct FunctionPorts {
    registry: Arc<Registry>,
    open: BTreeMap<FunctionId, (u16, AbortOnDropHandle<()>)>,
}

impl FunctionPorts {
    /// Opens the ports of those of `functions` that have none yet, and closes those of functions that are gone. The ports are the
    /// ones `wanted` for a function, or the next ones that are free. Returns all that are open.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn update(
        &mut self,
        functions: &[FunctionSpec],
        wanted: &BTreeMap<String, u16>,
    ) -> io::Result<BTreeMap<String, u16>> {
        let has_inspector =
            |function: &&FunctionSpec| languages::get(&function.language).debugger().is_inspector();
        self.registry.expects_inspector(functions.iter().any(|function| has_inspector(&function)));
        let others = || functions.iter().filter(|function| !has_inspector(function));
        self.open.retain(|id, _| others().any(|function| function.id == *id));
        let mut free = wanted.values().max().map_or(FIRST_FUNCTION_PORT, |last| last.saturating_add(1));
        for function in others() {
            if self.open.contains_key(&function.id) {
                continue;
            }
            let known = wanted.get(function.id.as_str()).copied();
            let listener = listen(known.unwrap_or(free)).await?;
            let port = listener.local_addr()?.port();
            free = free.max(port.saturating_add(1));
            let serving = adapter::serve_function(listener, self.registry.clone(), function.id.to_string());
            let serving = tasks::named(format!("the debug port of `{}`", function.id), serving);
            let server = AbortOnDropHandle::new(tokio::spawn(serving));
            self.open.insert(function.id.clone(), (port, server));
        }
        Ok(self.open.iter().map(|(id, (port, _))| (id.to_string(), *port)).collect())
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

//! The Lambda Runtime API on loopback, one listener per worker, so that a worker can reach its own invocations and no others.
//!
//! It follows the developer guide's "Using the Lambda runtime API for custom runtimes" and, where that is silent, what the
//! official runtime clients expect.

mod credit;
mod extensions;
mod request;
mod state;

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use self::state::Shared;
use crate::{
    core::{effect::Delivery, event::Event},
    descriptors,
    extensions::Extensions,
    ids::WorkerId,
    tasks,
};

/// Clients send a whole stack trace as a header (`Lambda-Runtime-Function-XRay-Error-Cause`), up to 1 MiB by their own limits.
const MAX_HEADER_BYTES: usize = 2 * 1024 * 1024;

/// The Runtime API of one worker. Dropping it closes the socket and every connection.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    deliveries: mpsc::UnboundedSender<Box<Delivery>>,
    _task: AbortOnDropHandle<()>,
}

impl Listener {
    /// Where the worker finds it: the value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the worker's `GET /invocation/next`, the one that waits or the next that comes.
    pub fn deliver(&self, delivery: Box<Delivery>) {
        // The receiver lives as long as the task, which lives as long as `self`.
        let _ = self.deliveries.send(delivery);
    }
}

/// Opens the Runtime API of `worker` at a socket that listens already, and reports what the worker does as `events`.
///
/// # Errors
/// When the socket cannot be used.
pub fn open(
    worker: WorkerId,
    socket: std::net::TcpListener,
    events: mpsc::UnboundedSender<Event>,
) -> io::Result<Listener> {
    open_for(worker, socket, Arc::default(), events)
}

/// The same, for a worker with extensions.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_for(
    worker: WorkerId,
    socket: std::net::TcpListener,
    extensions: Arc<Extensions>,
    events: mpsc::UnboundedSender<Event>,
) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let socket = TcpListener::from_std(socket)?;
    let (deliveries, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(worker, address, receiver, extensions, events));
    let accepting = tasks::named("the runtime API of a process", accept(socket, shared));
    let task = AbortOnDropHandle::new(tokio::spawn(accepting));
    Ok(Listener { address, deliveries, _task: task })
}

async fn accept(socket: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = descriptors::accept(&socket).await;
        tasks::reap(&mut connections);
        // Without it, a client that sends head and body in two packets waits 40 ms for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        connections.spawn(serve(stream, shared));
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let shared = &*shared;
    let service = service_fn(|request| async move {
        match extensions::answer(shared, request).await {
            Ok(answer) => Ok(answer),
            Err(request) => request::answer(shared, request).await,
        }
    });
    let served = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection to the runtime API");
    }
}

/// The wall-clock time of `deadline` in milliseconds since the epoch, as `Lambda-Runtime-Deadline-Ms` wants it.
fn epoch_ms(deadline: Instant) -> u128 {
    let left = deadline.saturating_duration_since(Instant::now());
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis()
        + left.as_millis()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

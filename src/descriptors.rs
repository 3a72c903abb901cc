//! File descriptors: as many as the system gives, and what is done while there are none left.
//!
//! Each call takes several (a worker's pipes and its Runtime API, a connection to the cloud), and the usual soft limit of 1,024 is
//! there for programs that use `select`, which this one is not. Those that it starts may be: they get back what was set before.

use std::{io, net::SocketAddr, sync::OnceLock, time::Duration};

use futures_util::FutureExt;
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, rlim_t, setrlimit},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{platform::MOST_OPEN_FILES, ui::Ui};

/// How long until another connection is accepted, when there is no descriptor for one.
const PAUSE: Duration = Duration::from_millis(50);

/// A shortage is told of once in this time, however often it is met.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the soft limit was before it was raised.
static ORIGINAL: OnceLock<rlim_t> = OnceLock::new();

/// Woken when there was no descriptor for a connection.
static SHORTAGE: Notify = Notify::const_new();

/// Raises the soft limit to the hard one. Not being able to is no reason to fail.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let most = MOST_OPEN_FILES.map_or(hard, |most| hard.min(most));
    if soft < most && setrlimit(Resource::RLIMIT_NOFILE, most, hard).is_ok() {
        let _ = ORIGINAL.set(soft);
    }
}

/// The soft limit that this program was started with, if it was raised.
#[must_use]
pub fn original() -> Option<rlim_t> {
    ORIGINAL.get().copied()
}

/// Gives the program as which this one goes on the soft limit that this one was started with.
pub fn restore() {
    if let Some(original) = original() {
        limit(original);
    }
}

/// Sets the soft limit. Also for the time between fork and exec: it only makes system calls.
pub fn limit(soft: rlim_t) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
}

/// The next connection. No error ends this: a listener that has stopped would be missed for the rest of the session, while what it
/// stopped for is over in a moment.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    accepted(|| listener.accept()).await
}

async fn accepted<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            // That connection has ended before it began; the next one may be there already.
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if is_shortage(&error) {
                    SHORTAGE.notify_one();
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether an error says that the process, or the system, has no descriptor or no memory left for something.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Tells the user when connections have to wait. Runs until dropped.
pub async fn tell_shortages(ui: Ui) {
    loop {
        SHORTAGE.notified().await;
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft).unwrap_or_default();
        ui.warning(format!(
            "too many files and connections are open (the limit is {limit}): new ones wait until others are closed"
        ));
        tokio::time::sleep(TOLD_EVERY).await;
        // What was met meanwhile is the same shortage.
        let _ = SHORTAGE.notified().now_or_never();
    }
}

/// A listener that gives no errors, as [`accept`] does not. Also for `axum`, whose own one waits a second after each, and says nothing.
#[derive(Debug)]
pub struct Patient(pub TcpListener);

impl Patient {
    /// The next connection, in the form of [`TcpListener::accept`].
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Ok(accept(&self.0).await)
    }
}

impl axum::serve::Listener for Patient {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        accept(&self.0).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::ui::UiEvent;

    #[tokio::test]
    async fn no_error_ends_a_loop_and_a_shortage_is_told_once() {
        let (ui, mut told) = Ui::channel();
        let telling = tokio::spawn(tell_shortages(ui));
        let os = io::Error::from_raw_os_error;
        let [too_many, system, aborted, unknown] =
            [Errno::EMFILE, Errno::ENFILE, Errno::ECONNABORTED, Errno::EPERM].map(|errno| errno as i32);
        let mut results: VecDeque<io::Result<u8>> = [
            Err(os(too_many)),
            Err(os(aborted)),
            Err(os(unknown)),
            Err(os(system)),
            Err(os(too_many)),
            Ok(7),
        ]
        .into();
        assert_eq!(accepted(|| std::future::ready(results.pop_front().unwrap())).await, 7);
        tokio::task::yield_now().await;
        let UiEvent::Warning(text) = told.recv().await else { panic!("a warning is told") };
        assert!(text.starts_with("too many files and connections are open (the limit is "), "{text}");
        assert!(told.try_recv().is_err(), "once");
        telling.abort();
    }
}

//! What a session tells programs of this machine, and does for them, by HTTP on 127.0.0.1: `docs/api.md` describes it. Its own page asks it as
//! others do.
//!
//! Every request but those for the page's files carries the token of `.sst/session.json`, which only the user can read, in `Authorization`.
//! There are no cookies, because a browser sends those of one port to all others, and no page of another origin is answered.

mod api;
mod client;
mod guard;
mod lines;
mod logs;
mod page;
mod samples;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::middleware;
use tokio::{net::TcpListener, sync::mpsc};

pub(crate) use self::{
    client::{Client, announce, encoded},
    lines::Lines,
};
use crate::{
    aws::Aws,
    descriptors::Patient,
    history::History,
    local::{LocalCall, Notice},
    project::{SavedEvents, StateDir},
    tasks::Tasks,
};

/// Where a browser finds the page of a session, with the token that it needs. What is behind the `#` is sent to nobody.
pub(crate) fn page_address(control: &str, token: &str) -> String {
    format!("http://{control}/#token={token}")
}

/// Where it listens, or at the next port that is free: it may be remembered in a browser.
const PORT: u16 = 13_557;

/// How many ports are tried.
const TRIED: u16 = 50;

/// Where requests are listened for, and what comes in.
#[derive(Debug)]
pub(crate) struct Console {
    address: SocketAddr,
    token: Arc<str>,
    /// What is wanted of functions.
    pub calls: mpsc::UnboundedReceiver<LocalCall>,
    /// What is said of the stage.
    pub notices: mpsc::UnboundedReceiver<Notice>,
}

impl Console {
    /// Listens on 127.0.0.1, in one of `tasks`.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub(crate) async fn open(
        history: History,
        state_dir: StateDir,
        events: SavedEvents,
        aws: Aws,
        tasks: &mut Tasks,
    ) -> io::Result<Self> {
        let listener = listen().await?;
        let address = listener.local_addr()?;
        let token: Arc<str> = new_token().into();
        let (calls_sender, calls) = mpsc::unbounded_channel();
        let (notices_sender, notices) = mpsc::unbounded_channel();
        let session = api::Session {
            token: token.clone(),
            history,
            state_dir,
            events,
            aws,
            calls: calls_sender,
            notices: notices_sender,
        };
        let api = api::router(session, samples::router());
        let router = page::router().merge(api).layer(middleware::from_fn(guard::from_here));
        tasks.spawn("the session's API", async move {
            if let Err(error) = axum::serve(Patient(listener), router).await {
                tracing::warn!(%error, "the session's API");
            }
        });
        Ok(Self { address, token, calls, notices })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a request must carry.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

async fn listen() -> io::Result<TcpListener> {
    for port in PORT..PORT + TRIED {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// Nobody guesses the 244 random bits of two ids.
fn new_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests;

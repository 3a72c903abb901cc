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

/// Where it listens at first, or at the next port that is free.
const PORT: u16 = 13_557;

/// Below `.sst`: the port of the last session.
const REMEMBERED: &str = "console-port";

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
        let listener = listen(state_dir.read(REMEMBERED).ok().flatten()).await?;
        let address = listener.local_addr()?;
        // Without it the next session may be somewhere else, which is no reason not to have this one.
        let _ = state_dir.write(REMEMBERED, address.port().to_string().as_bytes());
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

/// Where the last session of the project was, so that a page that is open finds this one; else at the usual port, or the next that is free.
async fn listen(remembered: Option<String>) -> io::Result<TcpListener> {
    let remembered = remembered.and_then(|port| port.trim().parse::<u16>().ok()).filter(|port| *port > 0);
    for port in remembered.into_iter().chain(PORT..PORT + TRIED) {
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

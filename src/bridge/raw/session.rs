//! Debuggers that speak their own protocol on the port of one function. Their session is that with one worker, and ends with it;
//! one that comes while there is no worker waits for the next.
//!
//! Nothing that they say is changed. It is heard when they let the worker run, before which that gets no call, and the kernel says
//! when they have stopped it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::interval,
};

use super::{dialect::Dialect, packets::Traces};
use crate::{
    bridge::registry::{Change, Missing, Offer, Registry, Wants},
    process::is_held_by_debugger,
};

/// How often it is looked whether a worker stands.
const LOOK: Duration = Duration::from_millis(100);

/// The most that is kept of what a client says: while it waits for a worker, and of a message that has not ended.
const MOST_KEPT: usize = 1024 * 1024;

/// Serves one client until it leaves or its worker ends.
pub(in crate::bridge) async fn serve(
    mut client: TcpStream,
    dialect: Dialect,
    registry: &Arc<Registry>,
    function: &str,
) {
    let (number, mut changes) = registry.subscribe(
        Wants::AdaptersOf(function.to_owned()),
        format!("the debugger that speaks the {}", dialect.name()),
    );
    let mut early = Vec::new();
    let offer = loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(Change::Came(offer)) => break Some(offer),
                Some(Change::Went(_) | Change::Taken(..)) => {}
                None => break None,
            },
            // Read, so that its end is noticed.
            read = client.read_buf(&mut early) => if read.unwrap_or(0) == 0 || early.len() > MOST_KEPT {
                break None;
            },
        }
    };
    if let Some(offer) = offer {
        let mut session = Session {
            number,
            registry,
            offer: &offer,
            hearing: Hearing::new(dialect),
            runs: false,
            stood: false,
        };
        // Whatever goes wrong, the client has to connect again.
        let _ = session.run(client, &mut changes, &early).await;
        registry.resumed(offer.worker);
        registry.disconnected(number, offer.worker);
    }
    registry.unsubscribe(number);
}

/// What can be heard of a client's wish to let the worker run.
enum Hearing {
    Packets(Box<Traces>),
    Json(Vec<u8>),
}

struct Session<'a> {
    number: u64,
    registry: &'a Arc<Registry>,
    offer: &'a Offer,
    hearing: Hearing,
    /// The client has let the worker run.
    runs: bool,
    /// It stood when last looked at.
    stood: bool,
}

impl Session<'_> {
    async fn run(
        &mut self,
        mut client: TcpStream,
        changes: &mut mpsc::UnboundedReceiver<Change>,
        early: &[u8],
    ) -> std::io::Result<()> {
        let Some((port, pid)) = self.offer.adapter else { return Ok(()) };
        let mut server = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut look = interval(LOOK);
        let (mut up, mut down) = (early.to_vec(), Vec::new());
        loop {
            if !up.is_empty() {
                to_server.write_all(&up).await?;
                if self.hearing.runs(&up) {
                    self.let_run();
                }
                up.clear();
            }
            if !down.is_empty() {
                to_client.write_all(&down).await?;
                down.clear();
            }
            tokio::select! {
                read = from_client.read_buf(&mut up) => if read? == 0 { return Ok(()) },
                read = from_server.read_buf(&mut down) => if read? == 0 { return Ok(()) },
                _ = look.tick() => self.look(pid),
                Some(Change::Came(other)) = changes.recv() => {
                    // It is not for this client.
                    self.registry.disconnected(self.number, other.worker);
                }
            }
        }
    }

    /// The worker runs, if only for a moment that is too short to be seen.
    fn let_run(&mut self) {
        self.stood = false;
        self.registry.resumed(self.offer.worker);
        if !std::mem::replace(&mut self.runs, true) {
            self.registry.ready(self.number, self.offer.worker, Missing::Nothing);
        }
    }

    /// A worker stands for moments at every step of a debugger. One that stands twice in a row is paused.
    fn look(&mut self, pid: u32) {
        let stands = is_held_by_debugger(pid);
        match (self.stood, stands) {
            (true, true) => self.registry.paused(self.number, self.offer.worker, None),
            (_, false) => self.registry.resumed(self.offer.worker),
            (false, true) => {}
        }
        self.stood = stands;
    }
}

impl Hearing {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Adapter | Dialect::Delve => Self::Json(Vec::new()),
            Dialect::Gdb | Dialect::Lldb => Self::Packets(Box::default()),
            // It is not served here, and nothing is heard of it.
            Dialect::Jdwp => Self::Json(Vec::new()),
        }
    }

    /// Whether the client lets the worker run with this.
    fn runs(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Packets(traces) => traces.client(bytes),
            Self::Json(text) => heard(text, bytes),
        }
    }
}

/// Whether a client of Delve lets the worker run with `bytes`. `text` is what it has said and not ended before.
pub(super) fn heard(text: &mut Vec<u8>, bytes: &[u8]) -> bool {
    text.extend_from_slice(bytes);
    let mut messages = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    // All of them, or those behind the first that counts would be heard again.
    let runs = messages.by_ref().map_while(Result::ok).filter(is_continue).count() > 0;
    let read = messages.byte_offset();
    text.drain(..read);
    // What is no JSON never ends.
    if text.len() > MOST_KEPT {
        *text = Vec::new();
    }
    runs
}

/// Delve's commands that let the program run, and leaving it.
fn is_continue(message: &Value) -> bool {
    match message["method"].as_str() {
        Some("RPCServer.Command") => message["params"][0]["name"] != "halt",
        Some("RPCServer.Detach") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_when_a_client_lets_a_worker_run() {
        let mut delve = Hearing::new(Dialect::Delve);
        assert!(!delve.runs(br#"{"method":"RPCServer.State","params":[{}],"id":1}{"method":"RPCServer."#));
        assert!(delve.runs(br#"Command","params":[{"name":"continue"}],"id":2}"#));
        let mut gdb = Hearing::new(Dialect::Gdb);
        assert!(!gdb.runs(b"+$qSupported:x#00"));
        assert!(gdb.runs(b"$vCont;c#a8"));
    }
}

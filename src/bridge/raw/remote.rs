//! Servers for debuggers with a protocol of their own, for one worker: Delve, gdbserver, lldb-server.
//!
//! All of them leave a worker standing, or with breakpoints that kill it, when a client is lost. So what the client has set is taken
//! back when it leaves, and the worker runs on.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpStream, UnixStream},
};

use super::{dialect::Dialect, packets::Traces};
use crate::process::{Child, Command, Spawner};

/// How long taking back what a client has set may take.
const TIDYING: Duration = Duration::from_secs(5);

/// The descriptor that lldb-server speaks through.
const SPEAKING: i32 = 3;

/// Connects a client to the Delve at `address`, which is no more when the client has left: what a client of this protocol has let run
/// cannot be followed through the other.
pub(in crate::bridge) async fn delve(mut client: TcpStream, address: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("`dlv` is not at {address}: {error}");
    let mut server = TcpStream::connect(address).await.map_err(failed)?;
    let _ = copy_bidirectional(&mut client, &mut server).await;
    drop(server);
    match tokio::time::timeout(TIDYING, release_delve(address)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("`dlv` does not let it go: {error}")),
        Err(_) => Err(format!("`dlv` does not let it go within {} s", TIDYING.as_secs())),
    }
}

/// Has the program stand, and returns a connection through which it can be worked on; `None` if it has ended.
async fn halt(address: &str) -> io::Result<Option<Rpc>> {
    let mut delve = Rpc { stream: TcpStream::connect(address).await?, received: Vec::new(), number: 0 };
    let state = delve.call("State", json!({ "NonBlocking": true })).await?;
    if state["State"]["exited"] == true {
        return Ok(None);
    }
    if state["State"]["Running"] == true {
        delve.call("Command", json!({ "name": "halt" })).await?;
    }
    Ok(Some(delve))
}

/// Has Delve take its breakpoints out of the program and leave it, which ends Delve.
async fn release_delve(address: &str) -> io::Result<()> {
    // Nothing is to be done if the client has had it leave.
    let Ok(Some(mut delve)) = halt(address).await else { return Ok(()) };
    delve.call("Detach", json!({ "Kill": false })).await.map(drop)
}

/// A connection to Delve.
struct Rpc {
    stream: TcpStream,
    received: Vec<u8>,
    number: u64,
}

impl Rpc {
    async fn send(&mut self, method: &str, argument: Value) -> io::Result<()> {
        self.number += 1;
        let method = format!("RPCServer.{method}");
        let request = json!({ "method": method, "params": [argument], "id": self.number });
        self.stream.write_all(request.to_string().as_bytes()).await
    }

    async fn call(&mut self, method: &str, argument: Value) -> io::Result<Value> {
        self.send(method, argument).await?;
        loop {
            let mut messages = serde_json::Deserializer::from_slice(&self.received).into_iter::<Value>();
            if let Some(Ok(mut answer)) = messages.next() {
                let read = messages.byte_offset();
                self.received.drain(..read);
                if let Some(error) = answer["error"].as_str() {
                    return Err(io::Error::other(error.to_owned()));
                }
                return Ok(answer["result"].take());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Lets a client debug a process through gdbserver or lldb-server, whichever fits the client and is there.
pub(in crate::bridge) async fn gdb(
    mut client: TcpStream,
    spawner: &Spawner,
    pid: u32,
    dialect: Dialect,
) -> Result<(), String> {
    let (mut server, mut child) = attach(spawner, pid, dialect).await?;
    let result = converse(&mut client, &mut server, pid).await;
    // It has nothing to do any more. When it is gone, another one can attach.
    let _ = child.kill().await;
    result
}

/// Passes on what both say, until one of them leaves.
async fn converse(client: &mut TcpStream, server: &mut UnixStream, pid: u32) -> Result<(), String> {
    let mut traces = Traces::default();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            read = client.read_buf(&mut up) => {
                if !matches!(read, Ok(1..)) {
                    break;
                }
                traces.client(&up);
                if server.write_all(&up).await.is_err() {
                    return Ok(());
                }
                up.clear();
            }
            read = server.read_buf(&mut down) => {
                if !matches!(read, Ok(1..)) {
                    return Ok(());
                }
                traces.server(&down);
                if client.write_all(&down).await.is_err() {
                    break;
                }
                down.clear();
            }
        }
    }
    match tokio::time::timeout(TIDYING, release(server, &mut traces, pid)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("its debugger does not let it go: {error}")),
        Err(_) => Err(format!("its debugger does not let it go within {} s", TIDYING.as_secs())),
    }
}

/// Takes back what a client has set, and detaches.
async fn release(server: &mut UnixStream, traces: &mut Traces, pid: u32) -> io::Result<()> {
    if traces.detached {
        return Ok(());
    }
    if traces.running {
        server.write_all(&[3]).await?;
        while traces.running && !traces.detached {
            answer(server, traces).await?;
        }
    }
    for packet in traces.undo(pid) {
        server.write_all(packet.as_bytes()).await?;
        answer(server, traces).await?;
    }
    Ok(())
}

/// Waits for one packet, and acknowledges it: a server that does not want that passes it over.
async fn answer(server: &mut UnixStream, traces: &mut Traces) -> io::Result<()> {
    let mut received = Vec::new();
    while !received.contains(&b'#') {
        if server.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    traces.server(&received);
    server.write_all(b"+").await
}

/// Starts a server that attaches to a process, and speaks with its client through a socket of ours.
async fn attach(spawner: &Spawner, pid: u32, dialect: Dialect) -> Result<(UnixStream, Child), String> {
    let failed = |error: io::Error| format!("its debugger cannot be run: {error}");
    let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let ours = UnixStream::from_std(ours).map_err(failed)?;
    let theirs = OwnedFd::from(theirs);
    let gdbserver = which::which("gdbserver").ok();
    let lldb_server = lldb_server();
    let pid = pid.to_string();
    let command = match (gdbserver, lldb_server) {
        (gdbserver, Some(program)) if dialect == Dialect::Lldb || gdbserver.is_none() => {
            let mut command = Command::new(program);
            command.args(["gdbserver", "--fd", &SPEAKING.to_string(), "--attach", &pid]);
            command.inherit(theirs, SPEAKING);
            command
        }
        (Some(program), _) => {
            let mut command = Command::new(program);
            command.args(["--once", "--attach", "-", &pid]);
            command.stdin(theirs.try_clone().map_err(failed)?).stdout(theirs);
            command
        }
        (None, _) => {
            return Err("neither `gdbserver` nor `lldb-server` is in the PATH: `apt install gdbserver` or `apt install lldb`".into());
        }
    };
    let child = spawner.spawn(command).await.map_err(failed)?;
    Ok((ours, child))
}

/// The newest one; distributions put the version into the name.
fn lldb_server() -> Option<std::path::PathBuf> {
    let versions = (16..=30).rev().map(|version| format!("lldb-server-{version}"));
    ["lldb-server".to_owned()].into_iter().chain(versions).find_map(|name| which::which(name).ok())
}

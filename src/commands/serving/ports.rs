//! The ports for debuggers.

use crate::{
    bridge::{self, Bridge},
    error::{Error, Kind, Result},
    project::{Project, StateDir},
    settings,
    tasks::Tasks,
};

/// Looks whether the port that was asked for is free, before anything is done that takes a while.
///
/// # Errors
/// [`Kind::Environment`] when somebody has it.
pub(in crate::commands) fn check(running: &settings::Running) -> Result<()> {
    let Some(port) = running.inspect_port else { return Ok(()) };
    match std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(taken(port)),
        Err(error) => Err(Error::new(Kind::Environment, format!("port {port} cannot be used"))
            .detail(error)
            .hint(ANOTHER)),
    }
}

const ANOTHER: &str = "name another one with `--inspect-port`, or none: then it is the next one that is free";

fn taken(port: u16) -> Error {
    Error::new(Kind::Environment, format!("port {port} is taken")).hint(ANOTHER)
}

/// Opens the inspector endpoint, where it was the last time if possible: debuggers are configured with its port.
pub(super) async fn open_bridge(
    running: &settings::Running,
    project: &Project,
    state_dir: &StateDir,
    stage: &str,
    context: bridge::Context,
    tasks: &mut Tasks,
) -> Result<Bridge> {
    let file = format!("inspector-{stage}");
    // In the order of `bridge::Ports`.
    let remembered = state_dir.read(&file)?.unwrap_or_default();
    let mut remembered = remembered.split_whitespace().map_while(|port| port.parse::<u16>().ok());
    let (first, second, third) = (remembered.next(), remembered.next(), remembered.next());
    let port = running.inspect_port.or(first).unwrap_or(bridge::DEFAULT_PORT);
    let ports = bridge::Ports {
        inspector: port,
        flat: second.unwrap_or(port.saturating_add(1)),
        adapter: third.unwrap_or(port.saturating_add(2)),
    };
    // Clients know a target by its id, which has to be the same after a restart.
    let id = sst_wire::sha256_hex(format!("{}\n{stage}", project.root).as_bytes());
    let names = bridge::Names {
        id: format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]),
        title: format!("{} ({stage})", project.name),
        root: project.root.clone(),
    };
    let bridge = Bridge::open(ports, names, context, tasks).await.map_err(|error| {
        Error::new(Kind::Environment, format!("no port for the inspector endpoint from {port} on"))
            .detail(error)
            .hint("name a free one with `--inspect-port`")
    })?;
    if running.inspect_port.is_some_and(|wanted| wanted != bridge.address().port()) {
        return Err(taken(port));
    }
    let addresses = [bridge.address(), bridge.flat_address(), bridge.adapter_address()];
    let ports = addresses.map(|address| address.port().to_string()).join(" ");
    state_dir.write(&file, ports.as_bytes())?;
    Ok(bridge)
}

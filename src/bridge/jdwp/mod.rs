//! Java: one virtual machine for the debugger, whatever number of worker processes there are, one after the other or at the same time.
//!
//! IntelliJ's "Remote JVM Debug" and `jdb -attach` attach once. They are shown the threads and classes of all processes of the function;
//! what they have asked to be told of is asked of each new process as well, which starts suspended until that is done. What has gone is
//! reported as classes that were unloaded and threads that have ended.

mod answers;
mod link;
mod machines;
mod packet;
mod requests;
mod shape;
mod stops;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::codec::Framed;

use self::{
    answers::Nature,
    link::{Heard, INVALID_OBJECT, Link},
    packet::{Codec, Data, HANDSHAKE, Kind, Packet, Reader},
    requests::{ILLEGAL_ARGUMENT, Request},
    shape::{of_command, ours, theirs, to_client, to_machine},
};
use super::registry::{Change, Missing, Registry, Wants};

/// How long something stands before it is told: conditions are evaluated, and breakpoints set, in less.
const GLANCE: Duration = Duration::from_millis(50);

/// A client that finds a process running has set its breakpoints when it has been silent for this long.
const SILENCE: Duration = Duration::from_millis(300);

/// How long a client may take to say what it is.
const TO_GREET: Duration = Duration::from_secs(10);

/// How long letting a process run may take.
const TO_RELEASE: Duration = Duration::from_secs(20);

/// What the protocol says to commands that it does not know.
const NOT_IMPLEMENTED: u16 = 99;

/// Serves one client until it leaves.
pub(super) async fn serve(client: TcpStream, registry: &Arc<Registry>, function: &str) {
    let Ok(Ok(client)) = timeout(TO_GREET, greet(client)).await else { return };
    let (sink, packets) = Framed::new(client, Codec).split();
    let (number, changes) =
        registry.subscribe(Wants::MachinesOf(function.to_owned()), "its debugger".to_owned());
    let (to_session, heard) = mpsc::unbounded_channel();
    let mut session = Session {
        client: sink,
        packets,
        registry: registry.clone(),
        number,
        changes,
        links: BTreeMap::new(),
        last_machine: 0,
        to_session,
        heard,
        nature: Nature::default(),
        requests: Vec::new(),
        last_request: 0,
        last_event: 0,
        shown: None,
        held: VecDeque::new(),
        spoke: Instant::now(),
    };
    session.run().await;
    session.leave().await;
}

async fn greet(mut client: TcpStream) -> io::Result<TcpStream> {
    client.set_nodelay(true)?;
    let mut greeting = [0; HANDSHAKE.len()];
    client.read_exact(&mut greeting).await?;
    if greeting != *HANDSHAKE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    client.write_all(HANDSHAKE).await?;
    Ok(client)
}

/// Lets a process run that has started suspended, for want of a debugger that would.
pub(super) async fn release(port: u16) {
    let releasing = async {
        let stream = link::connect(|| port).await?;
        let (to_nobody, _nobody) = mpsc::unbounded_channel();
        let mut link = Link::new(0, crate::ids::WorkerId(0), stream, to_nobody);
        link.started().await;
        // It takes back all that a debugger does, and lets it run.
        link.ask((1, 6), Data::default()).await.map_err(|error| io::Error::other(error.to_string()))
    };
    match timeout(TO_RELEASE, releasing).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, port, "a virtual machine cannot be let run"),
        Err(_) => tracing::warn!(port, "a virtual machine cannot be let run in time"),
    }
}

/// Events as they go to a client.
#[derive(Debug)]
struct Events {
    policy: u8,
    /// What stands according to the requests of the client that they are of.
    wanted: u8,
    count: u32,
    /// One after the other, with the client's ids.
    data: Vec<u8>,
    /// The thread and the place of the first one that has some.
    thread: Option<u64>,
    location: Option<stops::Location>,
}

struct Session {
    client: SplitSink<Framed<TcpStream, Codec>, Packet>,
    packets: SplitStream<Framed<TcpStream, Codec>>,
    registry: Arc<Registry>,
    number: u64,
    changes: mpsc::UnboundedReceiver<Change>,
    /// The machines, by number.
    links: BTreeMap<u16, Link>,
    last_machine: u16,
    to_session: mpsc::UnboundedSender<(u16, Heard)>,
    heard: mpsc::UnboundedReceiver<(u16, Heard)>,
    nature: Nature,
    requests: Vec<Request>,
    last_request: u32,
    last_event: u32,
    /// The machine that the client knows to stand as a whole. Others that stop meanwhile are shown after it.
    shown: Option<u16>,
    held: VecDeque<(u16, Events)>,
    /// When the client spoke last.
    spoke: Instant,
}

impl Session {
    async fn run(&mut self) {
        // What is there already comes before the client's first question.
        while let Ok(change) = self.changes.try_recv() {
            self.change(change).await;
        }
        loop {
            let due = self.due();
            tokio::select! {
                packet = self.packets.next() => match packet {
                    Some(Ok(packet)) => {
                        self.spoke = Instant::now();
                        if !self.command(packet).await {
                            return;
                        }
                    }
                    Some(Err(error)) => return tracing::debug!(%error, "a Java debugger is not understood"),
                    None => return,
                },
                change = self.changes.recv() => match change {
                    Some(change) => self.change(change).await,
                    None => return,
                },
                Some((machine, heard)) = self.heard.recv() => match heard {
                    Heard::Reply { id, command, packet } => self.replied(machine, id, command, packet).await,
                    Heard::Events(data) => self.happened(machine, &data).await,
                    Heard::Ended(unanswered) => self.ended(machine, unanswered).await,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.look().await,
            }
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Came(offer) => self.came(offer).await,
            Change::Went(worker) => {
                let of_worker = self.links.values().find(|link| link.worker == worker);
                if let Some(machine) = of_worker.map(|link| link.machine) {
                    self.ended(machine, Vec::new()).await;
                }
            }
            // It is the only client of its function's machines.
            Change::Taken(..) => {}
        }
    }

    /// Does what the client wants. False when it leaves.
    async fn command(&mut self, packet: Packet) -> bool {
        let Packet { id, kind: Kind::Command(set, command), data } = packet else { return true };
        tracing::trace!(id, set, command, "a Java debugger asks");
        match (set, command) {
            // The end of a process is no debugger's business, so both mean that it leaves.
            (1, 6 | 10) => {
                self.send(Packet::reply(id, Vec::new())).await;
                return false;
            }
            (1, 1 | 7 | 12 | 17) => self.answer(id, (set, command)).await,
            (1, 2..=5 | 20 | 22) => self.gather(id, (set, command), &data).await,
            (1, 8 | 9 | 15 | 16 | 19) => self.broadcast(id, (set, command), data).await,
            (1, 14) => self.dispose(id, &data).await,
            (15, 1) => self.request(id, &data).await,
            (15, 2) => self.clear(id, &data).await,
            (15, 3) => {
                for at in (0..self.requests.len()).rev() {
                    if self.requests[at].kind == shape::BREAKPOINT {
                        self.remove(at).await;
                    }
                }
                self.send(Packet::reply(id, Vec::new())).await;
            }
            _ => self.pass_on(id, (set, command), data).await,
        }
        true
    }

    /// Passes a command on to the machine that it is about.
    async fn pass_on(&mut self, id: u32, command: (u8, u8), mut data: Vec<u8>) {
        let Some((shape, _)) = of_command(command) else {
            return self.send(Packet::error(id, NOT_IMPLEMENTED)).await;
        };
        let machine = match to_machine(shape, &mut data) {
            Ok(machine) => machine,
            Err(shape::Malformed) => return self.send(Packet::error(id, ILLEGAL_ARGUMENT)).await,
        };
        // What concerns no object concerns the machine that the client looks at.
        let machine = machine.or(self.shown).or_else(|| self.links.keys().next_back().copied());
        let Some(link) = machine.and_then(|machine| self.links.get_mut(&machine)) else {
            return match self.nature.answer(command) {
                Some(answer) if machine.is_none() => self.send(Packet::reply(id, answer)).await,
                _ => {
                    let answer = answers::of_the_gone(command);
                    let answer =
                        answer.map_or(Packet::error(id, INVALID_OBJECT), |answer| Packet::reply(id, answer));
                    self.send(answer).await;
                }
            };
        };
        let thread = Reader(&data).long().unwrap_or_default();
        link.pass_on(id, command, data);
        match command {
            (11, 2) => link.stops.suspend(thread),
            (11, 3) => link.stops.resume(thread),
            _ => return,
        }
        let machine = link.machine;
        self.stands(machine).await;
    }

    async fn replied(&mut self, machine: u16, id: u32, command: (u8, u8), packet: Packet) {
        let Kind::Reply(error) = packet.kind else { return };
        let mut data = packet.data;
        if error == 0
            && let Some((_, shape)) = of_command(command)
            && to_client(machine, shape, &mut data).is_err()
        {
            tracing::warn!(?command, "an answer of a virtual machine is not understood");
            return self.send(Packet::error(id, INVALID_OBJECT)).await;
        }
        self.send(Packet { id, kind: Kind::Reply(error), data }).await;
    }

    /// Answers what is the same for all machines.
    async fn answer(&mut self, id: u32, command: (u8, u8)) {
        let answer = self.nature.answer(command);
        self.send(answer.map_or(Packet::error(id, NOT_IMPLEMENTED), |answer| Packet::reply(id, answer)))
            .await;
    }

    /// Answers with the list of all that the machines have.
    async fn gather(&mut self, id: u32, command: (u8, u8), data: &[u8]) {
        if self.links.is_empty() {
            return self.answer(id, command).await;
        }
        let (mut count, mut items) = (0_u32, Vec::new());
        for link in self.links.values_mut() {
            let Ok(mut answer) = link.ask(command, Data(data.to_vec())).await else { continue };
            link.note(command, &answer);
            let shape = of_command(command).map_or("", |(_, reply)| reply);
            if to_client(link.machine, shape, &mut answer).is_ok()
                && let Some((number, rest)) = answer.split_first_chunk()
            {
                count = count.saturating_add(u32::from_be_bytes(*number));
                items.extend_from_slice(rest);
            }
        }
        let mut answer = Data::default().int(count);
        answer.0.append(&mut items);
        self.send(Packet::reply(id, answer.0)).await;
    }

    /// Has all machines do something.
    async fn broadcast(&mut self, id: u32, command: (u8, u8), data: Vec<u8>) {
        let held: Vec<u16> = self.held.iter().map(|(machine, _)| *machine).collect();
        let machines: Vec<u16> = self.links.keys().copied().collect();
        for machine in machines {
            let Some(link) = self.links.get_mut(&machine) else { continue };
            match command {
                (1, 8) => link.stops.suspend_all(),
                // What the client does not know to stand is not what it wants to let run.
                (1, 9) if held.contains(&machine) => continue,
                (1, 9) => link.stops.resume_all(),
                _ => {}
            }
            let _ = link.ask(command, Data(data.clone())).await;
        }
        self.send(Packet::reply(id, Vec::new())).await;
        let machines: Vec<u16> = self.links.keys().copied().collect();
        for machine in machines {
            self.stands(machine).await;
        }
    }

    /// The client has forgotten objects, of whichever machines.
    async fn dispose(&mut self, id: u32, data: &[u8]) {
        let objects = Reader(data).list(|item| Some((item.long()?, item.int()?))).unwrap_or_default();
        for link in self.links.values_mut() {
            let own = objects.iter().filter(|(object, _)| theirs(*object).0 == link.machine);
            let own: Vec<_> = own.collect();
            let count = u32::try_from(own.len()).unwrap_or_default();
            let each = |data: Data, (object, count): &(u64, u32)| data.long(theirs(*object).1).int(*count);
            if count > 0 {
                let _ = link.ask((1, 14), own.into_iter().fold(Data::default().int(count), each)).await;
            }
        }
        self.send(Packet::reply(id, Vec::new())).await;
    }

    /// The client wants to be told of something.
    async fn request(&mut self, id: u32, data: &[u8]) {
        self.last_request += 1;
        let (mut request, named) = match Request::read(self.last_request, data, &mut self.links).await {
            Ok(read) => read,
            Err(error) => return self.send(Packet::error(id, error)).await,
        };
        if let Some(named) = named {
            self.supersede(&request, named.machine).await;
            let set = match self.links.get_mut(&named.machine) {
                Some(link) => request.set_by_client(link, named.class).await,
                None => Err(INVALID_OBJECT),
            };
            if let Err(error) = set {
                return self.send(Packet::error(id, error)).await;
            }
        }
        for (machine, link) in &mut self.links {
            let is_there = |other: &Request| other.is_like(&request) && other.is_in(*machine);
            let for_it = named.is_none() || (request.lasts() && !self.requests.iter().any(is_there));
            if !for_it || request.is_in(*machine) {
                continue;
            }
            if let Err(error) = request.set(link).await
                && named.is_none()
            {
                for link in self.links.values_mut() {
                    request.clear(link).await;
                }
                return self.send(Packet::error(id, error)).await;
            }
        }
        self.requests.push(request);
        self.send(Packet::reply(id, Data::default().int(self.last_request).0)).await;
    }

    /// The client has set again itself what was set for it: it would be told twice.
    async fn supersede(&mut self, request: &Request, machine: u16) {
        for at in (0..self.requests.len()).rev() {
            let old = &mut self.requests[at];
            if !old.is_like(request) || !old.is_carried_to(machine) {
                continue;
            }
            if let Some(link) = self.links.get_mut(&machine) {
                old.clear(link).await;
            }
            if !old.is_of_client() {
                self.remove(at).await;
            }
        }
    }

    async fn clear(&mut self, id: u32, data: &[u8]) {
        let mut reader = Reader(data);
        let (kind, number) = (reader.byte(), reader.int());
        let is_it = |request: &Request| Some(request.id) == number && Some(request.kind) == kind;
        if let Some(at) = self.requests.iter().position(is_it) {
            self.remove(at).await;
        }
        self.send(Packet::reply(id, Vec::new())).await;
    }

    async fn remove(&mut self, at: usize) {
        let mut request = self.requests.remove(at);
        for link in self.links.values_mut() {
            request.clear(link).await;
        }
    }

    /// When something is to be looked at.
    fn due(&self) -> Option<Instant> {
        let pauses = self.links.values().filter_map(|link| link.stops.due);
        let unready = self.links.values().any(|link| !link.ready && !link.stops.any());
        pauses.chain(unready.then(|| self.spoke + SILENCE)).min()
    }

    /// Tells of machines that stand longer than a glance takes, and of those for which the client is ready.
    async fn look(&mut self) {
        let now = Instant::now();
        let silent = now >= self.spoke + SILENCE;
        for link in self.links.values_mut() {
            if link.stops.due.is_some_and(|due| due <= now) {
                link.stops.due = None;
                link.stops.told = true;
                let place = match link.stops.location {
                    Some((class, method, index)) => link.place(class, method, index).await,
                    None => None,
                };
                self.registry.paused(self.number, link.worker, place);
            }
            if !link.ready && silent && !link.stops.any() {
                link.ready = true;
                self.registry.ready(self.number, link.worker, Missing::Nothing);
            }
        }
    }

    async fn send(&mut self, packet: Packet) {
        // A client that is gone is noticed when it is read from.
        let _ = self.client.send(packet).await;
    }

    /// The client has left. By themselves the machines forget what it has set, and run on.
    async fn leave(mut self) {
        self.registry.unsubscribe(self.number);
        self.links.clear();
        while let Ok(change) = self.changes.try_recv() {
            if let Change::Came(offer) = change
                && let Some(machine) = offer.machine.filter(|machine| machine.suspended)
            {
                release(machine.port).await;
            }
        }
    }
}

/// A client's ids of threads, and the like, for one machine.
fn client_s(machine: u16, data: Data, id: u64) -> Data {
    data.long(ours(machine, id))
}

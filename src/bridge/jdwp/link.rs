//! The connection to the virtual machine of one worker, and what is known of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::{codec::Framed, task::AbortOnDropHandle};

use super::{
    packet::{Codec, Data, HANDSHAKE, Kind, Packet, Reader},
    shape,
    stops::Stops,
};
use crate::ids::WorkerId;

/// How long a machine may take to listen: it serves one debugger at a time, and gets ready for the next when one has left.
const TO_CONNECT: Duration = Duration::from_secs(10);

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a machine may take to answer a question of ours.
const TO_ANSWER: Duration = Duration::from_secs(10);

/// What the protocol says where an object is not there any more, and we where a machine is not.
pub(super) const INVALID_OBJECT: u16 = 20;

/// What a machine tells the session.
#[derive(Debug)]
pub(super) enum Heard {
    /// The answer to something that the client has asked with the number `id`.
    Reply { id: u32, command: (u8, u8), packet: Packet },
    /// Events.
    Events(Vec<u8>),
    /// It has gone, and these questions of the client stay without an answer.
    Ended(Vec<u32>),
}

/// Who has asked.
#[derive(Debug)]
enum Asked {
    Client { id: u32, command: (u8, u8) },
    Own(oneshot::Sender<Packet>),
}

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The client, which knows the request by this number.
    Client(u32),
    /// Us: a class has come that requests wait for.
    Own,
}

/// A loaded class as JDWP describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    /// Whether it is a class, an interface, or an array.
    pub tag: u8,
    pub id: u64,
    pub signature: String,
    pub status: u32,
}

type Pending = Arc<Mutex<HashMap<u32, Asked>>>;

/// The connection to one machine.
#[derive(Debug)]
pub(super) struct Link {
    pub machine: u16,
    pub worker: WorkerId,
    /// Classes that the client may know of, by their ids.
    pub classes: BTreeMap<u64, String>,
    /// Threads that the client may know of.
    pub threads: BTreeSet<u64>,
    /// By the machine's numbers of requests.
    pub owners: HashMap<u32, Owner>,
    /// The classes that requests wait for.
    pub awaited: HashSet<String>,
    pub stops: Stops,
    /// The client has been told of it.
    pub ready: bool,
    /// It has started with all its threads suspended, for the client's requests to be set in time.
    pub started_suspended: bool,
    started: Arc<Notify>,
    out: mpsc::UnboundedSender<Packet>,
    pending: Pending,
    last: u32,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// Connects to the machine that listens at `port`, which it says anew when a debugger has left.
pub(super) async fn connect(port: impl Fn() -> u16) -> io::Result<TcpStream> {
    let until = Instant::now() + TO_CONNECT;
    loop {
        let shaken = timeout(TO_ANSWER, shake_hands(port())).await;
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn shake_hands(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(HANDSHAKE).await?;
    let mut answer = [0; HANDSHAKE.len()];
    stream.read_exact(&mut answer).await?;
    if answer == *HANDSHAKE { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
}

impl Link {
    /// Begins to listen to a machine. What it says goes to `session`, with its number.
    pub(super) fn new(
        machine: u16,
        worker: WorkerId,
        stream: TcpStream,
        session: mpsc::UnboundedSender<(u16, Heard)>,
    ) -> Self {
        let (mut sink, mut packets) = Framed::new(stream, Codec).split();
        let (out, mut outbox) = mpsc::unbounded_channel::<Packet>();
        let write = tokio::spawn(async move {
            while let Some(packet) = outbox.recv().await {
                tracing::trace!(?packet, "to a virtual machine");
                if sink.send(packet).await.is_err() {
                    return;
                }
            }
        });
        let pending = Pending::default();
        let started = Arc::new(Notify::new());
        let (asked, starts) = (pending.clone(), started.clone());
        let read = tokio::spawn(async move {
            while let Some(Ok(packet)) = packets.next().await {
                tracing::trace!(?packet, "from a virtual machine");
                let heard = match packet.kind {
                    Kind::Reply(_) => match lock(&asked).remove(&packet.id) {
                        Some(Asked::Client { id, command }) => Heard::Reply { id, command, packet },
                        Some(Asked::Own(answer)) => {
                            let _ = answer.send(packet);
                            continue;
                        }
                        None => continue,
                    },
                    Kind::Command(64, 100) if is_start(&packet.data) => {
                        starts.notify_one();
                        continue;
                    }
                    Kind::Command(64, 100) => Heard::Events(packet.data),
                    Kind::Command(..) => continue,
                };
                if session.send((machine, heard)).is_err() {
                    return;
                }
            }
            let unanswered = std::mem::take(&mut *lock(&asked)).into_values();
            let of_client = |asked| match asked {
                Asked::Client { id, .. } => Some(id),
                Asked::Own(_) => None,
            };
            let _ = session.send((machine, Heard::Ended(unanswered.filter_map(of_client).collect())));
        });
        Self {
            machine,
            worker,
            classes: BTreeMap::new(),
            threads: BTreeSet::new(),
            owners: HashMap::new(),
            awaited: HashSet::new(),
            stops: Stops::default(),
            ready: false,
            started_suspended: false,
            started,
            out,
            pending,
            last: 0,
            _tasks: [write, read].map(AbortOnDropHandle::new),
        }
    }

    /// Waits until a machine that starts suspended has said so. Before that it cannot be let run.
    pub(super) async fn started(&self) {
        let _ = timeout(TO_ANSWER, self.started.notified()).await;
    }

    /// Passes on what the client asks.
    pub(super) fn pass_on(&mut self, id: u32, command: (u8, u8), data: Vec<u8>) {
        self.send(command, data, Asked::Client { id, command });
    }

    /// Asks something and waits for the answer. The error is the machine's.
    pub(super) async fn ask(&mut self, command: (u8, u8), data: Data) -> Result<Vec<u8>, u16> {
        let (answer, answered) = oneshot::channel();
        self.send(command, data.0, Asked::Own(answer));
        match timeout(TO_ANSWER, answered).await {
            Ok(Ok(Packet { kind: Kind::Reply(0), data, .. })) => Ok(data),
            Ok(Ok(Packet { kind: Kind::Reply(error), .. })) => Err(error),
            _ => Err(INVALID_OBJECT),
        }
    }

    fn send(&mut self, command: (u8, u8), data: Vec<u8>, asked: Asked) {
        self.last = self.last.wrapping_add(1);
        lock(&self.pending).insert(self.last, asked);
        // One that is gone is noticed when it is read from.
        let _ = self.out.send(Packet::command(self.last, command, data));
    }

    /// All classes that are loaded.
    pub(super) async fn all_classes(&mut self) -> Result<Vec<Class>, u16> {
        let answer = self.ask((1, 3), Data::default()).await?;
        let classes = Reader(&answer).list(|item| {
            Some(Class { tag: item.byte()?, id: item.long()?, signature: item.text()?, status: item.int()? })
        });
        Ok(classes.unwrap_or_default())
    }

    /// The classes of this name; several where several class loaders have loaded it.
    pub(super) async fn classes(&mut self, signature: &str) -> Result<Vec<(u8, u64)>, u16> {
        let answer = self.ask((1, 2), Data::default().text(signature)).await?;
        let classes = Reader(&answer).list(|item| {
            let class = (item.byte()?, item.long()?);
            item.int().map(|_| class)
        });
        Ok(classes.unwrap_or_default())
    }

    pub(super) async fn all_threads(&mut self) -> Result<Vec<u64>, u16> {
        let answer = self.ask((1, 4), Data::default()).await?;
        Ok(Reader(&answer).list(Reader::long).unwrap_or_default())
    }

    pub(super) async fn signature(&mut self, class: u64) -> Result<String, u16> {
        let answer = self.ask((2, 1), Data::default().long(class)).await?;
        Reader(&answer).text().ok_or(INVALID_OBJECT)
    }

    /// The fields (command 4) or the methods (5) of a class: id, name, type.
    pub(super) async fn members(
        &mut self,
        class: u64,
        command: u8,
    ) -> Result<Vec<(u64, String, String)>, u16> {
        let answer = self.ask((2, command), Data::default().long(class)).await?;
        let members = Reader(&answer).list(|item| {
            let member = (item.long()?, item.text()?, item.text()?);
            item.int().map(|_| member)
        });
        Ok(members.unwrap_or_default())
    }

    /// Where in a method's code its lines begin: index and line. Nothing where that is not known.
    pub(super) async fn lines(&mut self, class: u64, method: u64) -> Vec<(u64, u32)> {
        let answer = self.ask((6, 1), Data::default().long(class).long(method)).await.unwrap_or_default();
        let mut reader = Reader(&answer);
        let _ = reader.bytes(16);
        reader.list(|item| Some((item.long()?, item.int()?))).unwrap_or_default()
    }

    /// The file and the line of a place in the code, with the directories that its package stands for.
    pub(super) async fn place(&mut self, class: u64, method: u64, index: u64) -> Option<String> {
        let signature = self.signature(class).await.ok()?;
        let answer = self.ask((2, 7), Data::default().long(class)).await.ok()?;
        let file = Reader(&answer).text()?;
        let lines = self.lines(class, method).await;
        let line = line_at(&lines, index)?;
        let class = signature.trim_start_matches('L');
        Some(match class.rsplit_once('/') {
            Some((package, _)) => format!("{package}/{file}:{line}"),
            None => format!("{file}:{line}"),
        })
    }
}

/// The line of an index.
pub(super) fn line_at(lines: &[(u64, u32)], index: u64) -> Option<u32> {
    lines.iter().filter(|(start, _)| *start <= index).max().map(|(_, line)| *line)
}

/// Whether these events say that the machine has started, and nothing else.
fn is_start(events: &[u8]) -> bool {
    events.get(1..6) == Some(&[0, 0, 0, 1, shape::VM_START])
}

fn lock(pending: &Pending) -> MutexGuard<'_, HashMap<u32, Asked>> {
    // It is whole at every point at which a panic could happen.
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

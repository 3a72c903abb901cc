//! Packets by hand, and the JDK's own debugger with real virtual machines.

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    shape::{BREAKPOINT, CLASS_PREPARE, CLASS_UNLOAD, VM_START},
    *,
};
use crate::{
    bridge::registry::{Machine, Offer},
    core::event::Event,
    ids::WorkerId,
    ui::Ui,
};

/// How long something may take. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// The debug port of a function, with whatever processes a test offers.
struct Function {
    registry: Arc<Registry>,
    events: mpsc::UnboundedReceiver<Event>,
    port: u16,
    _server: AbortOnDropHandle<()>,
}

impl Function {
    async fn open() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let registry = Arc::new(Registry::new("/".into(), sender, Ui::channel().0));
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = crate::bridge::adapter::serve_function(listener, registry.clone(), "f".to_owned());
        Self { registry, events, port, _server: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    fn offer(&self, worker: u64, port: u16, suspended: bool) -> CancellationToken {
        let gone = CancellationToken::new();
        self.registry.offer(Offer {
            worker: WorkerId(worker),
            title: "f".to_owned(),
            url: String::new(),
            adapter: None,
            machine: Some(Machine { port, suspended }),
            gone: gone.clone(),
        });
        gone
    }

    async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let events = &mut self.events;
        in_time(what, async {
            loop {
                let event = events.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        })
        .await
    }
}

/// One side of a connection.
struct Peer {
    packets: Framed<TcpStream, Codec>,
    last: u32,
}

impl Peer {
    async fn attach(port: u16) -> Self {
        let mut stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(HANDSHAKE).await.unwrap();
        let mut answer = [0; 14];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *HANDSHAKE);
        Self { packets: Framed::new(stream, Codec), last: 0 }
    }

    async fn ask(&mut self, command: (u8, u8), data: Data) -> Packet {
        self.last += 1;
        self.packets.send(Packet::command(self.last, command, data.0)).await.unwrap();
        let id = self.last;
        self.until(|packet| packet.id == id && matches!(packet.kind, Kind::Reply(_))).await
    }

    async fn event(&mut self) -> Vec<u8> {
        self.until(|packet| packet.kind == Kind::Command(64, 100)).await.data
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Packet {
        in_time("a packet", async {
            loop {
                let packet = self.packets.next().await.unwrap().unwrap();
                if wanted(&packet) {
                    return packet;
                }
            }
        })
        .await
    }
}

/// A machine with one class, `La/B;` (11), one method of it (12) and one thread (13). It tells what it is asked.
async fn machine(
    listener: TcpListener,
    asked: mpsc::UnboundedSender<Packet>,
    mut says: mpsc::UnboundedReceiver<Data>,
) {
    let (stream, _) = listener.accept().await.unwrap();
    let stream = greet(stream).await.unwrap();
    let mut packets = Framed::new(stream, Codec);
    let start = Data::default().byte(2).int(1).byte(VM_START).int(0).long(13);
    packets.send(Packet::command(1, (64, 100), start.0)).await.unwrap();
    let (mut requests, mut events) = (100, 1000);
    loop {
        tokio::select! {
            Some(packet) = packets.next() => {
                let packet = packet.unwrap();
                let Kind::Command(set, command) = packet.kind else { continue };
                let data = match (set, command) {
                    (1, 2) => Data::default().int(1).byte(1).long(11).int(7),
                    (1, 3) => Data::default().int(1).byte(1).long(11).text("La/B;").int(7),
                    (1, 4) => Data::default().int(1).long(13),
                    (1, 7) => Data([0, 0, 0, 8].repeat(5)),
                    (2, 1) => Data::default().text("La/B;"),
                    (2, 5) => Data::default().int(1).long(12).text("run").text("()V").int(1),
                    (2, 7) => Data::default().text("B.java"),
                    (6, 1) => Data::default().long(0).long(9).int(2).long(0).int(5).long(4).int(6),
                    (11, 6) => Data::default().int(1).long(65536).byte(1).long(11).long(12).long(4),
                    (15, 1) => {
                        requests += 1;
                        Data::default().int(requests)
                    }
                    _ => Data::default(),
                };
                packets.send(Packet::reply(packet.id, data.0)).await.unwrap();
                let _ = asked.send(packet);
            }
            Some(event) = says.recv() => {
                events += 1;
                packets.send(Packet::command(events, (64, 100), event.0)).await.unwrap();
            }
            else => return,
        }
    }
}

/// A machine by hand, as the test sees it.
struct Hand {
    port: u16,
    asked: mpsc::UnboundedReceiver<Packet>,
    say: mpsc::UnboundedSender<Data>,
    task: AbortOnDropHandle<()>,
}

impl Hand {
    async fn start() -> Self {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((to_asked, asked), (say, says)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let task = AbortOnDropHandle::new(tokio::spawn(machine(listener, to_asked, says)));
        Self { port, asked, say, task }
    }

    async fn asked(&mut self, set: u8, command: u8) -> Vec<u8> {
        in_time("a question", async {
            loop {
                let packet = self.asked.recv().await.unwrap();
                if packet.kind == Kind::Command(set, command) {
                    return packet.data;
                }
            }
        })
        .await
    }
}

fn breakpoint(class: u64, method: u64, index: u64) -> Data {
    Data::default().byte(BREAKPOINT).byte(2).int(1).byte(7).byte(1).long(class).long(method).long(index)
}

#[tokio::test]
async fn a_client_without_a_machine_is_answered() {
    let function = Function::open().await;
    let mut client = Peer::attach(function.port).await;
    assert_eq!(client.ask((1, 7), Data::default()).await.data, [0, 0, 0, 8].repeat(5));
    for command in [4, 5, 22] {
        assert_eq!(client.ask((1, command), Data::default()).await.data, [0; 4], "{command}");
    }
    let class = Data::default().int(1).byte(1).long(1).text("Lsst/NoProcess;").int(7);
    assert_eq!(client.ask((1, 3), Data::default()).await.data, class.0);
    assert_eq!(client.ask((2, 5), Data::default().long(1)).await.kind, Kind::Reply(INVALID_OBJECT));
    let gone = client.ask((2, 5), Data::default().long(ours(9, 1))).await;
    assert_eq!(gone.kind, Kind::Reply(INVALID_OBJECT));
    let gone = client.ask((11, 1), Data::default().long(ours(9, 1))).await;
    assert_eq!(gone, Packet::reply(gone.id, Data::default().text("ended").0));
    assert_eq!(client.ask((77, 1), Data::default()).await.kind, Kind::Reply(NOT_IMPLEMENTED));
    assert_eq!(client.ask((9, 3), Data::default().byte(1)).await.kind, Kind::Reply(ILLEGAL_ARGUMENT));
    assert_eq!(client.ask((1, 6), Data::default()).await.kind, Kind::Reply(0));
    assert!(in_time("its end", client.packets.next()).await.is_none());
}

#[tokio::test]
async fn a_breakpoint_is_set_in_each_machine_that_comes() {
    let mut function = Function::open().await;
    let mut client = Peer::attach(function.port).await;
    let wanted = Data::default().byte(CLASS_PREPARE).byte(2).int(1).byte(5).text("a.*");
    assert_eq!(client.ask((15, 1), wanted).await.data, [0, 0, 0, 1]);
    let unloads = Data::default().byte(CLASS_UNLOAD).byte(0).int(0);
    assert_eq!(client.ask((15, 1), unloads).await.data, [0, 0, 0, 2]);

    let mut first = Hand::start().await;
    function.offer(1, first.port, true);
    // It has been loaded before: the client is told all the same, and nothing goes on before it says so.
    let class = Data::default().byte(2).int(1).byte(CLASS_PREPARE).int(1).long(ours(1, 13)).byte(1);
    assert_eq!(client.event().await, class.long(ours(1, 11)).text("La/B;").int(7).0);
    let set = client.ask((15, 1), breakpoint(ours(1, 11), ours(1, 12), 4)).await;
    assert_eq!(set.data, [0, 0, 0, 3]);
    assert_eq!(first.asked(15, 1).await[..1], [CLASS_PREPARE]);
    assert_eq!(first.asked(15, 1).await[..1], [CLASS_UNLOAD]);
    assert_eq!(first.asked(15, 1).await, breakpoint(11, 12, 4).0);
    client.ask((1, 9), Data::default()).await;
    let ready = |event: &Event| matches!(event, Event::DebuggerReady { .. });
    function.until("being ready", ready).await;

    // It is hit, which stops the clock.
    let hit = |number: u32, machine: u16| {
        let data = Data::default().byte(2).int(1).byte(BREAKPOINT).int(number).long(ours(machine, 13));
        data.byte(1).long(ours(machine, 11)).long(ours(machine, 12)).long(4)
    };
    first.say.send(hit(103, 0)).unwrap();
    assert_eq!(client.event().await, hit(3, 1).0);
    let frames = client.ask((11, 6), Data::default().long(ours(1, 13)).int(0).int(1)).await.data;
    let frame = Data::default().int(1).long(ours(1, 65536)).byte(1);
    assert_eq!(frames, frame.long(ours(1, 11)).long(ours(1, 12)).long(4).0);
    let paused = function.until("its pause", |event| matches!(event, Event::Paused { .. })).await;
    assert!(matches!(paused, Event::Paused { place: Some(place), .. } if place == "a/B.java:6"));

    // Another one comes meanwhile. It is shown when the client lets the first one run.
    let mut second = Hand::start().await;
    function.offer(2, second.port, true);
    assert_eq!(second.asked(15, 1).await[..1], [CLASS_PREPARE]);
    assert_eq!(second.asked(15, 1).await[..1], [CLASS_UNLOAD]);
    assert_eq!(second.asked(15, 1).await, breakpoint(11, 12, 4).0);
    second.asked(1, 9).await;
    client.ask((1, 9), Data::default()).await;
    function.until("going on", |event| matches!(event, Event::Resumed { worker: WorkerId(1) })).await;
    assert_eq!(client.event().await[..10], [2, 0, 0, 0, 1, CLASS_PREPARE, 0, 0, 0, 1]);
    // The client sets its breakpoint there as well, so that ours is too much.
    client.ask((15, 1), breakpoint(ours(2, 11), ours(2, 12), 4)).await;
    assert_eq!(second.asked(15, 2).await, Data::default().byte(BREAKPOINT).int(103).0);
    client.ask((1, 9), Data::default()).await;

    // The first one goes, and what it has with it.
    first.task.abort();
    let event = client.event().await;
    assert_eq!(event, Data::default().byte(0).int(1).byte(CLASS_UNLOAD).int(2).text("La/B;").0);
    let gone = client.ask((2, 5), Data::default().long(ours(1, 11))).await;
    assert_eq!(gone.kind, Kind::Reply(INVALID_OBJECT));
    let there = client.ask((2, 1), Data::default().long(ours(2, 11))).await;
    assert_eq!(there.data, Data::default().text("La/B;").0);
}

#[test]
fn ids_are_exchanged_wherever_they_are() {
    let both = |shape: &str, data: Data, expected: Data| {
        let mut bytes = data.0.clone();
        assert_eq!(to_client(3, shape, &mut bytes), Ok(data.0.len()), "{shape}");
        assert_eq!(bytes, expected.0, "{shape}");
        assert_eq!(to_machine(shape, &mut bytes), Ok(Some(3)), "{shape}");
        assert_eq!(bytes, data.0, "{shape}");
    };
    let value = |id: u64| Data::default().int(2).byte(b'L').long(id).byte(b'I').int(5);
    both("*(v)", value(7), value(ours(3, 7)));
    let region = |id: u64| Data::default().byte(b'[').int(1).byte(b's').long(id);
    both("A", region(7), region(ours(3, 7)));
    let frame = |id: u64, class: u64| Data::default().int(1).long(id).byte(1).long(class).long(0).long(9);
    both("*(iL)", frame(1, 2), frame(ours(3, 1), ours(3, 2)));
    // A value without a tag is an object where it has its machine's number.
    let field = |object: u64, value: u64| Data::default().long(object).int(1).long(object).long(value);
    let mut data = field(ours(3, 1), ours(3, 7)).0;
    assert_eq!(to_machine("i*(iu)", &mut data), Ok(Some(3)));
    assert_eq!(data, field(1, 7).0);
    let mut data = field(ours(3, 1), u64::MAX).0;
    assert_eq!(to_machine("i*(iu)", &mut data), Ok(Some(3)));
    assert_eq!(data, field(1, u64::MAX).0);
    let mut several = Data::default().long(ours(1, 5)).long(ours(2, 5)).0;
    assert_eq!(to_machine("ii", &mut several), Err(shape::Malformed));
    let mut long = Data::default().int(u32::MAX).byte(1).0;
    assert_eq!(to_client(1, "s", &mut long), Err(shape::Malformed));
    assert_eq!(to_client(1, "*(v)", &mut long), Err(shape::Malformed));
}

/// The function, and what calls it: a line of input is a call.
const PROGRAM: [(&str, &str); 2] = [
    (
        "hello/Main.java",
        "package hello;\npublic class Main {\n  public static void main(String[] a) throws Exception {\n    \
         Handler handler = new Handler();\n    for (int c; (c = System.in.read()) > 0;)\n      \
         if (c != '\\n') System.out.println(handler.run((char) c));\n  }\n}\n",
    ),
    (
        "hello/Handler.java",
        "package hello;\npublic class Handler {\n  static int calls = 0;\n  String run(char c) {\n    \
         calls++;\n    return \"ran \" + c + calls;\n  }\n}\n",
    ),
];

fn compile(directory: &Utf8Path, program: &[(&str, &str)]) -> Utf8PathBuf {
    let classes = directory.join("classes");
    let mut command = std::process::Command::new("javac");
    command.args(["-g", "-d", classes.as_str()]);
    for (path, text) in program {
        let path = directory.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        command.arg(path);
    }
    let done = command.output().expect("a JDK is installed, as by `tests/apt-install.sh`");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    classes
}

/// A process with pipes.
struct Program {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a JDK is installed, as by `tests/apt-install.sh`");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, input, output: BufReader::new(output).lines() }
    }

    async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let reading = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
                seen.push(line);
            }
            String::new()
        };
        let line = timeout(PATIENCE, reading).await.unwrap_or_default();
        assert!(!line.is_empty(), "`{text}` was not said, but {seen:#?}");
        line
    }

    /// A virtual machine, and where it listens.
    async fn machine(classes: &Utf8Path, suspend: char) -> (Self, u16) {
        let mut command = Command::new("java");
        let agent =
            format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend={suspend},address=127.0.0.1:0");
        command.args([&agent, "-cp", classes.as_str(), "hello.Main"]);
        let mut program = Self::start(command);
        let line = program.until("Listening for transport").await;
        let port = line.rsplit(' ').next().unwrap().parse().unwrap();
        (program, port)
    }
}

#[tokio::test]
async fn jdb_attaches_once_and_stops_in_one_process_after_another() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    let classes = compile(directory, &PROGRAM);
    let mut function = Function::open().await;
    let mut command = Command::new("jdb");
    command.args(["-attach", &format!("127.0.0.1:{}", function.port)]);
    let mut jdb = Program::start(command);
    jdb.until("Initializing jdb").await;
    jdb.say("stop at hello.Handler:5").await;
    jdb.until("Deferring breakpoint").await;
    let mut gone = CancellationToken::new();
    for worker in 1..=3 {
        if worker == 3 {
            // Two lines have been put before it since.
            let moved = PROGRAM[1].1.replacen("  static", "\n  // more\n  static", 1);
            compile(directory, &[PROGRAM[0], (PROGRAM[1].0, &moved)]);
            jdb.say("clear hello.Handler:5").await;
            jdb.until("Removed").await;
            jdb.say("stop at hello.Handler:7").await;
        }
        let (mut java, port) = Program::machine(&classes, 'y').await;
        gone = function.offer(worker, port, true);
        function
            .until(
                "being ready",
                |event| matches!(event, Event::DebuggerReady { worker: WorkerId(id) } if *id == worker),
            )
            .await;
        java.say("x").await;
        let hit = jdb.until("Breakpoint hit").await;
        assert!(hit.contains("hello.Handler.run()"), "{hit}");
        let place = if worker == 3 { "hello/Handler.java:7" } else { "hello/Handler.java:5" };
        // On a busy machine it may have stood a while before, where nothing has a place: for a class that was loaded.
        let paused =
            function.until("its pause", |event| matches!(event, Event::Paused { place: Some(_), .. })).await;
        assert!(matches!(&paused, Event::Paused { place: Some(at), .. } if at == place), "{paused:?}");
        jdb.say("locals").await;
        jdb.until("c = x").await;
        jdb.say("print hello.Handler.calls").await;
        jdb.until("calls = 0").await;
        jdb.say("next").await;
        jdb.until("Step completed").await;
        jdb.say("print hello.Handler.calls").await;
        jdb.until("calls = 1").await;
        jdb.say("cont").await;
        java.until("ran x1").await;
        function.until("going on", |event| matches!(event, Event::Resumed { .. })).await;
        if worker < 3 {
            drop(java);
            function.registry.withdraw(WorkerId(worker));
            gone.cancelled().await;
        } else {
            // It leaves, and this one runs on without it.
            jdb.say("quit").await;
            java.say("y").await;
            java.until("ran y2").await;
        }
    }
    drop(gone);
}

#[tokio::test]
async fn a_process_without_a_debugger_is_let_run() {
    let directory = tempfile::tempdir().unwrap();
    let classes = compile(Utf8Path::from_path(directory.path()).unwrap(), &PROGRAM);
    let (mut java, port) = Program::machine(&classes, 'y').await;
    in_time("letting it run", release(port)).await;
    java.say("x").await;
    java.until("ran x1").await;
}

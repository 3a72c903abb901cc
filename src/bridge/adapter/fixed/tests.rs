//! A client and debug adapters by hand.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{core::event::Event, ids::WorkerId, ui::Ui};

/// How long an answer may take. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for something and waits for the answer to it.
async fn ask(client: &mut Connection, number: u64, command: &str) -> Value {
    let request = json!({ "seq": number, "type": "request", "command": command, "arguments": {} });
    client.send(request).await.unwrap();
    let answer = async {
        loop {
            let message = client.next().await.unwrap().unwrap();
            if message["type"] == "response" && message["request_seq"] == number {
                return message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.expect("it is answered")
}

/// The adapter of a worker: answers everything. `begins` is whether it ever says that it is ready for breakpoints.
async fn adapter(listener: TcpListener, begins: bool) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut client = Framed::new(stream, Codec);
    let mut numbers = Numbers::default();
    while let Some(Ok(request)) = client.next().await {
        let (answer, _) =
            numbers.number(success(&request, json!({ "threads": [{ "id": 1, "name": "main" }] })));
        client.send(answer).await.unwrap();
        if begins && request["command"] == "attach" {
            let (initialized, _) = numbers.number(event("initialized", json!({})));
            client.send(initialized).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_is_served_while_the_debugger_of_a_second_worker_begins() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let registry = Arc::new(Registry::new("/".into(), sender, Ui::channel().0));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let _server = AbortOnDropHandle::new(tokio::spawn(serve(listener, registry.clone(), "f".to_owned())));
    let mut client = Framed::new(TcpStream::connect(address).await.unwrap(), Codec);
    for (number, command) in [(1, "initialize"), (2, "attach"), (3, "configurationDone")] {
        assert_eq!(ask(&mut client, number, command).await["success"], true);
    }
    let mut adapters = tokio::task::JoinSet::new();
    for (worker, begins) in [(1, true), (2, false)] {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        adapters.spawn(adapter(listener, begins));
        registry.offer(Offer {
            worker: WorkerId(worker),
            title: "f".to_owned(),
            url: String::new(),
            adapter: Some((port, 1)),
            machine: None,
            gone: CancellationToken::new(),
        });
    }
    // It shows the threads of the one, although the other never gets so far.
    for number in 4.. {
        let threads = ask(&mut client, number, "threads").await["body"]["threads"].clone();
        if threads.as_array().is_some_and(|threads| threads.len() == 1) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // Nor does the call wait for it when it ends before it has begun.
    adapters.abort_all();
    while let Some(event) = events.recv().await {
        if matches!(event, Event::DebuggerReady { worker: WorkerId(2) }) {
            break;
        }
    }
}

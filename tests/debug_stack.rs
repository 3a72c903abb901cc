//! The debug stack in a real local cloud that checks signatures and policies.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::time::Duration;

use aws_sdk_apigatewaymanagement::primitives::Blob;
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{SinkExt, StreamExt};
use sst::{
    aws::{self, Aws},
    cloud::{Cloud, Options},
    core::{effect::RelayCommand, event::Event},
    debug_stack::{self, Answers, DebugStack},
    ids::FunctionId,
    process::Spawner,
    relay::{self, Relay},
    ui::{Ui, UiEvent},
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message},
};

async fn dial(url: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let authority = url.parse::<http::Uri>().unwrap().authority().unwrap().to_string();
    let stream = TcpStream::connect(authority).await?;
    Ok(tokio_tungstenite::client_async(url, stream).await?.0)
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> String {
    let message = tokio::time::timeout(Duration::from_secs(30), socket.next()).await;
    message.expect("a message comes").unwrap().unwrap().into_text().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_connects_two_parties_and_refuses_strangers() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    fs_err::create_dir_all(&directory).unwrap();
    let home = Utf8PathBuf::from(std::env::var("HOME").unwrap());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| home.join(".cache"), Utf8PathBuf::from);
    let (ui, mut shown) = Ui::channel();
    let spawner = Spawner::guarded_by(env!("CARGO_BIN_EXE_sst"));
    let options = Options {
        cache: cache.join("sst"),
        enforce_iam: true,
        node_path: Vec::new(),
        log: directory.join("cloud.log"),
    };
    let cloud = Cloud::start(options, &spawner, &ui).await.unwrap();
    let options =
        aws::Options { endpoint: Some(cloud.endpoint().to_owned()), local: true, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    assert_eq!(aws.account, "000000000000");

    let stack = debug_stack::deploy(&aws, "test-app-debug-stack", None, &ui).await.unwrap();
    while shown.try_recv().is_ok() {}
    let again = debug_stack::deploy(&aws, "test-app-debug-stack", None, &ui).await.unwrap();
    assert_eq!(stack, again);
    assert!(stack.stub_policy.as_ref().is_some_and(|arn| arn.contains(":policy/")), "{stack:?}");
    let deployed = |event: &UiEvent| matches!(event, UiEvent::ProgressBegan { .. });
    assert!(!std::iter::from_fn(|| shown.try_recv().ok()).any(|event| deployed(&event)), "nothing to deploy");

    assert_eq!(stack.answers, Answers::Mock);
    let (mut socket, hello) = greeted(&aws, &stack).await;
    let id = hello["connectionId"].as_str().expect("an id").to_owned();
    is_now(hello["now"].as_str().expect("a text, by a template").parse().unwrap());
    let post = aws.management(&stack.management).post_to_connection().connection_id(id);
    post.data(Blob::new("across")).send().await.unwrap();
    assert_eq!(text(&mut socket).await, "across");

    let unsigned = dial(&stack.endpoint).await;
    assert!(
        matches!(unsigned, Err(Error::Http(response)) if [401, 403].contains(&response.status().as_u16()))
    );
    registrations_are_their_owners(&aws, &stack).await;

    let by_function = debug_stack::deploy_function(&aws, "test-app-debug-stack", None, &ui).await.unwrap();
    assert_eq!(by_function, DebugStack { answers: Answers::Function, ..stack });
    let (_, hello) = greeted(&aws, &by_function).await;
    is_now(hello["now"].as_u64().expect("a number, by the function"));
    cloud.stop().await;
    a_cloud_that_knows_no_responses_of_routes_has_a_function(&cache.join("sst"), &directory).await;
}

/// Connects, and asks for the connection's id.
async fn greeted(aws: &Aws, stack: &DebugStack) -> (WebSocketStream<TcpStream>, serde_json::Value) {
    let signed = aws.presign_websocket(&stack.endpoint).await.unwrap();
    let mut socket = dial(&signed).await.unwrap();
    socket.send(Message::text(r#"{"action":"hello"}"#)).await.unwrap();
    let hello = serde_json::from_str(&text(&mut socket).await).unwrap();
    (socket, hello)
}

fn is_now(millis: u64) {
    let told = std::time::UNIX_EPOCH + Duration::from_millis(millis);
    let off = std::time::SystemTime::now().duration_since(told).unwrap_or_else(|early| early.duration());
    assert!(off < Duration::from_secs(10), "{off:?}");
}

/// A local cloud that somebody else runs: ministack as it was installed, without anything that is corrected in it.
async fn a_cloud_that_knows_no_responses_of_routes_has_a_function(cache: &Utf8Path, directory: &Utf8Path) {
    let is_it = |name: &str| name.starts_with("ministack-");
    let mut entries = cache.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    let installed = entries.find(|path| path.file_name().is_some_and(is_it)).unwrap();
    let port = portpicker::pick_unused_port().unwrap();
    let mut plain = tokio::process::Command::new(installed.join("bin/ministack"))
        .envs([("BIND_HOST", "127.0.0.1"), ("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
        .envs([("STATE_DIR", directory.join("state")), ("S3_DATA_DIR", directory.join("s3"))])
        .env("GATEWAY_PORT", port.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(plain.try_wait().unwrap().is_none(), "it does not start");
        tokio::task::yield_now().await;
    }
    let endpoint = Some(format!("http://127.0.0.1:{port}"));
    let aws = Aws::connect(aws::Options { endpoint, local: true, ..aws::Options::default() }).await.unwrap();
    let ui = Ui::channel().0;
    let stack = debug_stack::deploy(&aws, "test-app-debug-stack", None, &ui).await.unwrap();
    assert_eq!(stack.answers, Answers::Bare);
    assert_eq!(debug_stack::deploy(&aws, "test-app-debug-stack", None, &ui).await.unwrap(), stack);
    let (_, hello) = greeted(&aws, &stack).await;
    is_now(hello["now"].as_u64().expect("a number, by the function"));
    plain.kill().await.unwrap();
}

/// What is announced takes nothing from anybody, what is registered does. Whoever leaves first takes only its own registrations along.
async fn registrations_are_their_owners(aws: &Aws, stack: &DebugStack) {
    assert_eq!(debug_stack::find(aws, "test-app-debug-stack").await.unwrap().as_ref(), Some(stack));
    assert_eq!(debug_stack::find(aws, "no-debug-stack").await.unwrap(), None);
    let owners = async || relay::owners(aws, stack).await.unwrap();
    let connect = async |owner: &str| {
        let config = relay::Config {
            aws: aws.clone(),
            debug_stack: stack.clone(),
            stack_name: "test-app-debug-stack".to_owned(),
            owner: owner.to_owned(),
            home: owner.to_owned(),
        };
        Relay::connect(config, Ui::channel().0).await.unwrap()
    };
    let run = |relay: Relay| {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        (commands, events, tokio::spawn(relay.run(receiver, sender)))
    };
    let close = RelayCommand::Close { within: Duration::from_secs(30) };
    let (both, one) = (["a/One", "a/Two"].map(FunctionId::from).to_vec(), vec![FunctionId::from("a/One")]);
    assert_eq!(owners().await, [""; 0]);
    let mut alice = connect("alice@desk").await;
    alice.announce(both).await.unwrap();
    assert_eq!(owners().await, ["alice@desk"]);
    let mut bob = connect("bob@laptop").await;
    bob.announce(one.clone()).await.unwrap();
    assert_eq!(owners().await, ["alice@desk"]);
    let (to_alice, _, alice) = run(alice);
    let (to_bob, mut of_bob, bob) = run(bob);
    to_bob.send(RelayCommand::Register { functions: one }).unwrap();
    assert!(matches!(of_bob.recv().await, Some(Event::Registered)));
    assert_eq!(owners().await, ["alice@desk", "bob@laptop"]);
    to_alice.send(close.clone()).unwrap();
    alice.await.unwrap().unwrap();
    assert_eq!(owners().await, ["bob@laptop"]);
    to_bob.send(close).unwrap();
    bob.await.unwrap().unwrap();
    assert_eq!(owners().await, [""; 0]);
}

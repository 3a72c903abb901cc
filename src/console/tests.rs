use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;
use crate::{aws, history::Fact, local::Answer, lock::Holder};

/// A session's API, and the directory that it publishes in.
async fn open(tasks: &mut Tasks) -> (Console, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let history = History::begin(None, &[], tasks);
    let events = SavedEvents::of(camino::Utf8Path::from_path(directory.path()).unwrap());
    (Console::open(history, state_dir, events, nobodys().await, tasks).await.unwrap(), directory)
}

/// A cloud in which there is nothing.
async fn nobodys() -> Aws {
    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/a</Arn>\
        <Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", axum::routing::post(async || IDENTITY));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Aws::connect(aws::Options { endpoint, local: true, ..aws::Options::default() }).await.unwrap()
}

#[tokio::test]
async fn only_who_knows_the_token_is_answered() {
    let mut tasks = Tasks::default();
    let (mut console, _directory) = open(&mut tasks).await;
    assert!(console.address().ip().is_loopback());
    assert_eq!(console.token().len(), 64);
    let address = console.address().to_string();
    let client = Client::new(&address, console.token());
    let mut calls = console.calls;
    let answering = tokio::spawn(async move {
        let call = calls.recv().await.unwrap();
        assert_eq!((call.function.as_str(), call.event.as_deref()), ("a/b c", Some(&b"\xff{}"[..])));
        call.reply.send(Answer::Returned { body: "e30=".to_owned() }).unwrap();
        calls
    });
    let answer = client.invoke("a/b c", b"\xff{}".to_vec()).await.unwrap();
    assert_eq!(answer, Answer::Returned { body: "e30=".to_owned() });
    let mut calls = answering.await.unwrap();
    for token in ["guessed", ""] {
        let stranger = Client::new(&address, token);
        for (method, path) in [
            (Method::GET, "/api/v1/state"),
            (Method::GET, "/api/v1/stream"),
            (Method::GET, "/api/v1/invocations"),
            (Method::POST, "/api/v1/functions/a/invoke"),
            (Method::GET, "/api/v1/functions/a/environment"),
            (Method::GET, "/api/v1/samples"),
            (Method::POST, "/api/v1/changes"),
            (Method::GET, "/api/v1/nothing"),
            (Method::GET, "/nothing"),
            (Method::GET, "/vendor/../nothing"),
        ] {
            let (status, body) = stranger.ask(method, path, Vec::new()).await.unwrap();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(&body[..], b"the token of .sst/session.json is missing\n");
        }
    }
    // What has no secrets.
    let (status, page) = Client::new(&address, "").ask(Method::GET, "/", Vec::new()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(page.starts_with(b"<!doctype html>"));
    assert!(calls.try_recv().is_err());
    assert!(console.notices.try_recv().is_err());
    // Nor is a page answered that has found out the token.
    let mut page = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /api/v1/state HTTP/1.1\r\nHost: {address}\r\nOrigin: http://localhost:3000\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        console.token
    );
    page.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    page.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
    assert!(!said.to_lowercase().contains("access-control"), "{said}");
}

#[tokio::test]
async fn who_changes_what_is_deployed_is_noted_until_it_ends() {
    let mut tasks = Tasks::default();
    let (mut console, _directory) = open(&mut tasks).await;
    let address = console.address().to_string();
    let this = Holder::this("sst deploy", Some("dev"), "/project".into());
    assert!(announce(&address, "guessed", &this).await.is_err());
    let announced = announce(&address, console.token(), &this).await.unwrap();
    assert!(matches!(console.notices.try_recv(), Ok(Notice::Began(other)) if other == this));
    assert!(console.notices.try_recv().is_err());
    drop(announced);
    assert!(matches!(console.notices.recv().await, Some(Notice::Ended(other)) if other == this));
}

#[tokio::test]
async fn what_is_published_is_told_without_the_token() {
    let mut tasks = Tasks::default();
    let (console, directory) = open(&mut tasks).await;
    let client = Client::new(&console.address().to_string(), console.token());
    let state = || client.ask(Method::GET, "/api/v1/state", Vec::new());
    assert_eq!(state().await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    let write =
        |name: &str, text: &str| std::fs::write(directory.path().join(".sst").join(name), text).unwrap();
    write("session.json", r#"{"stage":"dev","token":"t"}"#);
    for (functions, triggers) in [
        (r#"{"functions":[{"id":"a/F"}]}"#, serde_json::json!({})),
        (
            r#"{"functions":[{"id":"a/F"}],"triggers":{"a/F":[{"kind":"url"}]}}"#,
            serde_json::json!({ "a/F": [{ "kind": "url" }] }),
        ),
    ] {
        write("functions.json", functions);
        let (status, body) = state().await.unwrap();
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, told),
            (
                StatusCode::OK,
                serde_json::json!({
                    "stage": "dev",
                    "directory": directory.path(),
                    "functions": [{
                        "id": "a/F",
                        "build": { "state": "none" },
                        "workers": { "starting": 0, "idle": 0, "busy": 0 },
                    }],
                    "triggers": triggers,
                    "connection": { "state": "connected", "history": [] },
                    "infrastructure": { "state": "deploying" },
                })
            )
        );
    }
    let (status, _) = client.ask(Method::GET, "/api/v1/invocations?limit=x", Vec::new()).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = client.ask(Method::GET, "/api/v1/invocations/last", Vec::new()).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_event_as_long_as_lambda_takes_it_is_passed_on() {
    let mut tasks = Tasks::default();
    let (console, _directory) = open(&mut tasks).await;
    let client = Client::new(&console.address().to_string(), console.token());
    let mut calls = console.calls;
    let answering = tokio::spawn(async move {
        let call = calls.recv().await.unwrap();
        let body = STANDARD.encode(call.event.unwrap());
        call.reply.send(Answer::Returned { body }).unwrap();
    });
    let event = vec![b'7'; 6 << 20];
    let answer = client.invoke("a", event.clone()).await.unwrap();
    assert!(answer == Answer::Returned { body: STANDARD.encode(&event) });
    answering.await.unwrap();
    let longer =
        client.ask(Method::POST, "/api/v1/functions/a/invoke", vec![b'7'; (6 << 20) + 1]).await.unwrap();
    assert_eq!(longer.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn events_of_the_project_are_listed_read_and_saved_and_nothing_else_is() {
    let mut tasks = Tasks::default();
    let (console, directory) = open(&mut tasks).await;
    let client = Client::new(&console.address().to_string(), console.token());
    let ask = async |method: Method, path: &str, body: &str| {
        let (status, body) = client.ask(method, path, body.as_bytes().to_vec()).await.unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(ask(Method::GET, "/api/v1/events", "").await, (200, r#"{"events":[]}"#.to_owned()));
    assert_eq!(ask(Method::PUT, "/api/v1/events/order", r#"{"a":1}"#).await.0, 200);
    let file = directory.path().join("events/order.json");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), r#"{"a":1}"#);
    assert_eq!(ask(Method::GET, "/api/v1/events/order", "").await, (200, r#"{"a":1}"#.to_owned()));
    let (_, listed) = ask(Method::GET, "/api/v1/events", "").await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["events"][0]["name"], &listed["events"][0]["bytes"]), (&"order".into(), &7.into()));
    // One that is there stays, unless another is wanted in its place.
    let (status, said) = ask(Method::PUT, "/api/v1/events/order", "[]").await;
    assert!(status == 409 && said.contains("is there already"), "{status} {said}");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), r#"{"a":1}"#);
    assert_eq!(ask(Method::PUT, "/api/v1/events/order?replace=true", "[]").await.0, 200);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "[]");
    assert_eq!(ask(Method::PUT, "/api/v1/events/broken", "{").await.0, 400);
    // Names that lead elsewhere are none.
    fs_err::write(directory.path().join("secret.json"), "{}").unwrap();
    for name in ["..%2fsecret", "%2e%2e%2fsecret", ".hidden", "a%00b", "a%5cb"] {
        let path = format!("/api/v1/events/{name}");
        assert_ne!(ask(Method::GET, &path, "").await.0, 200, "{name}");
        assert_ne!(ask(Method::PUT, &path, "{}").await.0, 200, "{name}");
    }
    let names: Vec<String> = directory
        .path()
        .join("events")
        .read_dir()
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["order.json"]);
}

#[tokio::test]
async fn a_deployment_begins_only_if_one_waits() {
    let mut tasks = Tasks::default();
    let (mut console, _directory) = open(&mut tasks).await;
    let client = Client::new(&console.address().to_string(), console.token());
    let asks = async |client: Client| client.ask(Method::POST, "/api/v1/deploy", Vec::new()).await.unwrap().0;
    let asked = tokio::spawn(asks(client.clone()));
    let Some(Notice::Deploy(begins)) = console.notices.recv().await else { panic!("it is not told") };
    begins.send(()).unwrap();
    assert_eq!(asked.await.unwrap(), StatusCode::OK);
    let asked = tokio::spawn(asks(client));
    let Some(Notice::Deploy(begins)) = console.notices.recv().await else { panic!("it is not told") };
    drop(begins);
    assert_eq!(asked.await.unwrap(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn samples_have_the_names_of_what_calls_a_function() {
    let mut tasks = Tasks::default();
    let (console, directory) = open(&mut tasks).await;
    let client = Client::new(&console.address().to_string(), console.token());
    let function = serde_json::json!({
        "id": "a/F", "stack": "s", "logicalId": "L", "language": "node", "runtime": "nodejs22.x", "handler": "h.h",
        "source": { "kind": "directory", "path": "/p" }, "environment": [],
    });
    let trigger = |path: &str| {
        serde_json::json!({
            "kind": "apigw2", "text": format!("GET {path}"), "method": "GET", "path": path, "logicalId": "Api", "stack": "s",
            "account": "000000000000", "region": "us-east-1", "routeKey": format!("GET {path}"),
        })
    };
    let manifest = serde_json::json!({
        "functions": [function], "leftAlone": [], "triggers": { "a/F": [trigger("/notes"), trigger("/notes/{id}")] },
    });
    std::fs::write(directory.path().join(".sst/functions.json"), manifest.to_string()).unwrap();
    let ask = async |path: &str| {
        let (status, body) = client.ask(Method::GET, path, Vec::new()).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (_, listed) = ask("/api/v1/samples?function=F").await;
    let own = |index: usize| &listed["samples"][index];
    assert_eq!(
        *own(0),
        serde_json::json!({ "name": "apigw2", "text": "HTTP API request", "of": "GET /notes" })
    );
    assert_eq!(own(1)["name"], "GET /notes/{id}");
    assert_eq!(own(2).get("of"), None);
    let (_, second) = ask(&format!("/api/v1/samples/{}?function=F", encoded("GET /notes/{id}"))).await;
    assert_eq!(
        (&second["rawPath"], &second["requestContext"]["apiId"]),
        (&"/notes/123".into(), &"Api".into())
    );
    let (status, unknown) = ask("/api/v1/samples/sqss").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(unknown["error"], "there is no sample `sqss`: did you mean `sqs`?");
    assert_eq!(ask("/api/v1/samples?function=G").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stream_ends_with_the_session_when_all_of_it_was_told() {
    let mut tasks = Tasks::default();
    let history = History::begin(None, &[], &mut tasks);
    let directory = tempfile::tempdir().unwrap();
    let root = camino::Utf8Path::from_path(directory.path()).unwrap();
    let (state_dir, events) = (StateDir::open(root).unwrap(), SavedEvents::of(root));
    let console =
        Console::open(history.clone(), state_dir, events, nobodys().await, &mut tasks).await.unwrap();
    let client = Client::new(&console.address().to_string(), console.token());
    let mut stream = client.lines("/api/v1/stream").await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
    history.tell(Fact::Connection { lost: Some("sleep".to_owned()) });
    history.tell(Fact::Over);
    let line = stream.next().await.unwrap().unwrap();
    let changed: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(changed["connection"]["state"], "lost");
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn the_next_session_of_a_project_is_where_the_last_one_was() {
    let mut tasks = Tasks::default();
    let (first, directory) = open(&mut tasks).await;
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let remembered = || state_dir.read(REMEMBERED).unwrap();
    assert_eq!(remembered(), Some(first.address().port().to_string()));
    // As long as that one is there, this one is somewhere else.
    let other = listen(remembered()).await.unwrap();
    assert_ne!(other.local_addr().unwrap(), first.address());
    // One that nobody else takes meanwhile.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    assert_eq!(listen(Some(format!("{port}\n"))).await.unwrap().local_addr().unwrap().port(), port);
    for nonsense in ["", "0", "70000", "a"] {
        assert!(listen(Some(nonsense.to_owned())).await.is_ok(), "{nonsense}");
    }
}

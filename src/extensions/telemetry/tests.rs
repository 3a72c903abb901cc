//! A subscriber on a real socket.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;

fn subscription(port: u16, types: &[&str]) -> Vec<u8> {
    let uri = format!("http://sandbox.localdomain:{port}/records");
    let subscription = json!({
        "schemaVersion": "2022-12-13",
        "types": types,
        "buffering": { "timeoutMs": 25, "maxItems": 1000, "maxBytes": 262_144 },
        "destination": { "protocol": "HTTP", "URI": uri },
    });
    subscription.to_string().into_bytes()
}

/// The records of the next request that comes, which is answered.
async fn received(listener: &TcpListener) -> Vec<Value> {
    let (stream, _) = listener.accept().await.expect("it connects");
    let mut stream = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    let mut head = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.expect("a line");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        head += &line;
        if line == "\r\n" {
            break;
        }
    }
    assert!(head.starts_with("POST /records HTTP/1.1"), "{head}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the body");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("it is answered");
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test]
async fn a_subscriber_gets_what_was_before_and_what_it_has_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let telemetry = Telemetry::new(128, "$LATEST");
    telemetry.platform("initStart", || json!({}));
    telemetry.subscribe("one", &subscription(port, &["platform", "function"])).expect("it is taken");
    telemetry.line(Category::Function, "hello");
    telemetry.line(Category::Extension, "not wanted");
    telemetry.runtime_ready();
    telemetry.all_ready(&[("one".to_owned(), vec!["INVOKE"])]);
    telemetry.start("r1", Some("Root=1"));
    telemetry.produced(5);
    telemetry.runtime_ready();
    telemetry.all_ready(&[]);
    let late = telemetry.subscribe("two", &subscription(port, &["platform"]));
    assert!(late.expect_err("late").contains("until the function is initialised"));
    let mut records = Vec::new();
    while records.len() < 9 {
        records.extend(received(&listener).await);
    }
    let types: Vec<&str> = records.iter().filter_map(|record| record["type"].as_str()).collect();
    let expected = [
        "platform.initStart",
        "platform.telemetrySubscription",
        "function",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ];
    assert_eq!(types, expected);
    assert_eq!(records[2]["record"], "hello\n");
    assert_eq!(records[6]["record"]["tracing"]["value"], "Root=1");
    assert_eq!(records[7]["record"]["metrics"]["producedBytes"], 5);
    assert!(records.iter().all(|record| record["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
    // A call that is not done is told of at the end, and what is told then is sent before that.
    telemetry.start("r2", None);
    telemetry.ended("timeout");
    let (records, ()) = tokio::join!(received(&listener), telemetry.flush(Duration::from_secs(10)));
    assert!(records.iter().any(|record| record["record"]["status"] == "timeout"), "{records:?}");
}

#[tokio::test]
async fn what_nobody_takes_is_bounded_and_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let telemetry = Telemetry::new(128, "$LATEST");
    telemetry.subscribe("one", &subscription(port, &["function"])).expect("it is taken");
    for _ in 0..3 {
        telemetry.line(Category::Function, &"x".repeat(MOST_BYTES / 2));
    }
    let kept = telemetry.lock().subscribers[0].lock().bytes;
    assert!(kept <= MOST_BYTES, "{kept}");
    telemetry.flush(Duration::from_secs(10)).await;
}

#[test]
fn a_subscription_that_means_nothing_says_what_is_wrong() {
    let telemetry = Telemetry::new(128, "$LATEST");
    for (body, problem) in [
        ("{", "EOF"),
        (r#"{"types":["other"]}"#, "unknown variant"),
        (r#"{"types":[],"destination":{"protocol":"TCP","port":1}}"#, "`types` is empty"),
        (
            r#"{"types":["function"],"destination":{"protocol":"HTTP","URI":"http://example.com:80"}}"#,
            "sandbox.localdomain",
        ),
        (
            r#"{"types":["function"],"destination":{"protocol":"TCP","port":1},"buffering":{"timeoutMs":1}}"#,
            "from 25 to 30000",
        ),
    ] {
        let error = telemetry.subscribe("one", body.as_bytes()).expect_err(body);
        assert!(error.contains(problem), "{body}: {error}");
    }
}

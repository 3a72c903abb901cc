//! Speaks raw HTTP to a listener, for what the official clients (see `tests/runtime_clients.rs`) never do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::*;
use crate::core::event::{Outcome, StreamPart};

struct Worker {
    listener: Listener,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Worker {
    fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let socket = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { listener: open(WorkerId(1), socket, sender).unwrap(), events }
    }

    fn deliver(&self, request: &str) {
        let context = sst_wire::Context { client_context: Some("{\"ä\":1}".into()), ..Default::default() };
        self.listener.deliver(Box::new(Delivery {
            request: request.into(),
            payload: Bytes::from_static(br#"{"a": 1}"#),
            context,
            deadline: Instant::now() + Duration::from_secs(3),
            credentials: [("AWS_ACCESS_KEY_ID".to_owned(), "AKIA".to_owned())].into(),
            debugged: true,
            stops: true,
        }));
    }

    async fn event(&mut self) -> Event {
        let wait = tokio::time::timeout(Duration::from_secs(10), self.events.recv());
        wait.await.expect("an event comes").expect("the listener lives")
    }

    /// Sends one request on a connection of its own and reads the whole response.
    async fn send(&self, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.listener.address()).await.unwrap();
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.listener.address())
        };
        let headers: String = headers.lines().map(|header| format!("{}\r\n", header.trim())).collect();
        let head = format!("{line} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The other side may answer and close before all is sent.
        let _ = stream.write_all(body).await;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    async fn post(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let length = body.len();
        self.send(&format!("POST /2018-06-01/runtime/{path}\nContent-Length: {length}\n{headers}"), body)
            .await
    }

    async fn take(&mut self, request: &str) -> String {
        self.deliver(request);
        let response = self.send("GET /2018-06-01/runtime/invocation/next", b"").await;
        assert!(matches!(self.event().await, Event::Polled { worker: WorkerId(1) }));
        response
    }
}

#[tokio::test]
async fn an_invocation_goes_out_and_its_answer_comes_back_byte_for_byte() {
    let mut worker = Worker::new();
    let response = worker.take("r1").await;
    assert!(response.contains("lambda-runtime-aws-request-id: r1\r\n"), "{response}");
    assert!(response.contains("lambda-runtime-client-context: {\"ä\":1}\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\n{\"a\": 1}"), "{response}");
    assert!(!response.contains("sst-"), "only runners of ours get credentials: {response}");

    let answer = worker.post("invocation/r1/response", "", b"{ \"b\": 1.0 }").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let Event::Answered { request, outcome, .. } = worker.event().await else { panic!("answered") };
    assert_eq!(request, "r1".into());
    assert_eq!(outcome, Outcome::Returned(Bytes::from_static(b"{ \"b\": 1.0 }")));
}

#[tokio::test]
async fn a_runner_of_ours_gets_the_credentials_and_hears_of_a_debugger() {
    let mut worker = Worker::new();
    worker.deliver("r1");
    let response = worker.send("GET /2018-06-01/runtime/invocation/next\nSst-Runner: 1", b"").await;
    assert!(response.contains("sst-credentials: {\"AWS_ACCESS_KEY_ID\":\"AKIA\"}"), "{response}");
    assert!(response.contains("sst-debugged: 1"), "{response}");
    assert!(response.contains("sst-stops: 1"), "{response}");
    assert!(matches!(worker.event().await, Event::Polled { .. }));
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let mut worker = Worker::new();
    let early = worker.post("invocation/r1/response", "", b"null").await;
    assert!(early.starts_with("HTTP/1.1 400") && early.contains("InvalidRequestID"), "{early}");

    worker.take("r1").await;
    let poll = worker.send("GET /2018-06-01/runtime/invocation/next", b"").await;
    assert!(poll.starts_with("HTTP/1.1 403") && poll.contains("InvalidStateTransition"), "{poll}");

    worker.post("invocation/r1/response", "", b"1").await;
    assert!(matches!(worker.event().await, Event::Answered { .. }));
    let again = worker.post("invocation/r1/error", "", b"{}").await;
    assert!(again.starts_with("HTTP/1.1 403") && again.contains("InvalidStateTransition"), "{again}");
    assert!(worker.events.try_recv().is_err(), "nothing further is reported");
}

#[tokio::test]
async fn an_error_has_the_type_that_lambda_would_tell() {
    for (header, body, expected) in [
        ("Lambda-Runtime-Function-Error-Type: Runtime.HandlerNotFound", "{}", "Runtime.HandlerNotFound"),
        ("Lambda-Runtime-Function-Error-Type: unhandled", r#"{"errorType":"MyError"}"#, "MyError"),
        ("", r#"{"errorType":"TypeError"}"#, "TypeError"),
        ("", "not json", "Unhandled"),
    ] {
        let mut worker = Worker::new();
        worker.take("r1").await;
        let answer = worker.post("invocation/r1/error", header, body.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        let Event::Answered { outcome: Outcome::Failed(error), .. } = worker.event().await else {
            panic!("failed")
        };
        assert_eq!((error.error_type.as_str(), &error.body[..]), (expected, body.as_bytes()));
    }
}

#[tokio::test]
async fn a_response_over_the_limit_fails_the_invocation() {
    let mut worker = Worker::new();
    worker.take("r1").await;
    let answer = worker.post("invocation/r1/response", "", &vec![b'1'; 6_291_557]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let Event::Answered { outcome: Outcome::Failed(error), .. } = worker.event().await else {
        panic!("failed")
    };
    assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");
    let body: serde_json::Value = serde_json::from_slice(&error.body).unwrap();
    let message = "Response payload size exceeded maximum allowed payload size (6291556 bytes).";
    let expected =
        serde_json::json!({ "errorType": "Function.ResponseSizeTooLarge", "errorMessage": message });
    assert_eq!(body, expected);

    worker.take("r2").await;
    let answer = worker.post("invocation/r2/response", "", &vec![b'1'; 6_291_556]).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test]
async fn a_streamed_response_arrives_in_parts_and_can_break_off() {
    let mut worker = Worker::new();
    worker.take("r1").await;
    let body = b"3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Type: Error\r\n\
        Lambda-Runtime-Function-Error-Body: e30=\r\n\r\n";
    let head = "POST /2018-06-01/runtime/invocation/r1/response\nTransfer-Encoding: chunked\n\
        Content-Type: text/plain\nLambda-Runtime-Function-Response-Mode: streaming\n\
        Trailer: Lambda-Runtime-Function-Error-Type\nTrailer: Lambda-Runtime-Function-Error-Body";
    let answer = worker.send(head, body).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let mut parts = Vec::new();
    for _ in 0..3 {
        let Event::Streamed { part, .. } = worker.event().await else { panic!("a part") };
        parts.push(part);
    }
    let error = sst_wire::StreamError { error_type: "Error".into(), error_body: "e30=".into() };
    assert_eq!(parts[0], StreamPart::Begin { content_type: Some("text/plain".into()) });
    assert_eq!(parts[1], StreamPart::Data(Bytes::from_static(b"abc")));
    assert_eq!(parts[2], StreamPart::End { error: Some(error) });
}

/// The beginning of a streamed response, and `length` more bytes of it for as long as somebody takes them.
async fn write_stream(address: SocketAddr, length: usize) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &[b'x'; 0x10000][..], b"\r\n"].concat();
    let mut written = 0;
    while written < length {
        match tokio::time::timeout(Duration::from_millis(200), stream.write_all(&chunk)).await {
            Ok(Ok(())) => written += 0x10000,
            _ => break,
        }
    }
    (stream, written)
}

#[tokio::test]
async fn a_stream_that_nobody_takes_is_not_read_from() {
    const LENGTH: usize = 64 * 1024 * 1024;
    let mut worker = Worker::new();
    worker.take("r1").await;
    // What the core has not looked at yet is what nobody has taken.
    let (stream, written) = write_stream(worker.listener.address(), LENGTH).await;
    assert!(written < LENGTH, "all of it was read");
    let mut waiting = 0;
    while let Ok(Event::Streamed { part, .. }) = worker.events.try_recv() {
        if let StreamPart::Data(data) = part {
            waiting += data.len();
        }
    }
    assert!((1..=1024 * 1024).contains(&waiting), "{waiting}");
    // Those were dropped, so the next ones are read.
    assert!(matches!(worker.event().await, Event::Streamed { part: StreamPart::Data(_), .. }));
    drop(stream);
    loop {
        let Event::Streamed { part, .. } = worker.event().await else { panic!("a part") };
        if let StreamPart::End { error } = part {
            assert_eq!(error.unwrap().error_type, "Runtime.TruncatedResponse");
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_over_the_limit_is_broken_off() {
    let mut worker = Worker::new();
    worker.take("r1").await;
    let address = worker.listener.address();
    let writing = tokio::spawn(async move {
        let (mut stream, _) = write_stream(address, state::MAX_STREAM as usize + 1).await;
        let mut answer = Vec::new();
        let _ = stream.write_all(b"0\r\n\r\n").await;
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    let mut length = 0;
    let error = loop {
        match worker.event().await {
            Event::Streamed { part: StreamPart::Data(data), .. } => length += data.len() as u64,
            Event::Streamed { part: StreamPart::End { error }, .. } => break error.unwrap(),
            _ => {}
        }
    };
    assert!(length <= state::MAX_STREAM && length > state::MAX_STREAM - 4 * 1024 * 1024, "{length}");
    assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");
    let answer = writing.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn an_unknown_response_mode_fails_the_invocation() {
    let mut worker = Worker::new();
    worker.take("r1").await;
    let mode = "Lambda-Runtime-Function-Response-Mode: sideways";
    let answer = worker.post("invocation/r1/response", mode, b"1").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("InvalidFunctionResponseMode"), "{answer}");
    let Event::Answered { outcome: Outcome::Failed(error), .. } = worker.event().await else {
        panic!("failed")
    };
    assert_eq!(error.error_type, "Runtime.InvalidResponseModeHeader");
}

#[tokio::test]
async fn an_initialisation_error_is_reported() {
    let mut worker = Worker::new();
    let header = "Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError";
    let cause = format!("Lambda-Runtime-Function-XRay-Error-Cause: {}", "x".repeat(900_000));
    let answer = worker.post("init/error", &format!("{header}\n{cause}"), b"{}").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let Event::InitFailed { error, .. } = worker.event().await else { panic!("init failed") };
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
}

#[tokio::test]
async fn a_web_page_gets_nothing() {
    let mut worker = Worker::new();
    worker.deliver("r1");
    let ours = format!("Host: {}", worker.listener.address());
    for headers in [
        "Host: evil.example".to_owned(),
        "Host: evil.example:80\nOrigin: http://evil.example".to_owned(),
        "Host: localhost:1".to_owned(),
        format!("{ours}\nOrigin: http://localhost"),
        format!("{ours}\nOrigin: null"),
        format!("{ours}\nOrigin: http://localhost\nOrigin: http://evil.example"),
        format!("{ours}\nReferer: http://evil.example/"),
        format!("{ours}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image"),
        format!("{ours}\nSec-Fetch-Site: none\nSec-Fetch-Mode: navigate"),
        format!("{ours}\nHost: evil.example"),
        format!("{ours}@evil.example"),
    ] {
        for request in ["GET /2018-06-01/runtime/invocation/next", "POST /2018-06-01/runtime/init/error"] {
            let answer = worker.send(&format!("{request}\n{headers}"), b"").await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{headers}: {answer}");
        }
    }
    // The call is still there, for a client that is built on Node's `fetch`.
    let answer = worker.send("GET /2018-06-01/runtime/invocation/next\nSec-Fetch-Mode: cors", b"").await;
    assert!(answer.contains("lambda-runtime-aws-request-id: r1\r\n"), "{answer}");
    assert!(matches!(worker.event().await, Event::Polled { .. }));
    assert!(worker.events.try_recv().is_err(), "nothing but this was heard");
}

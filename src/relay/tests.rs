//! Answers on their way to a stub, in a cloud that only takes note of them.

use std::{collections::HashMap, sync::Mutex, time::SystemTime};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path, State},
    routing::{post, put},
};
use bytes::Bytes;
use sst_wire::{Payload, ToStub};
use tokio::net::TcpListener;

use super::{
    dial::Refusal,
    memory::{Answered, Frames},
    requests::{age, asked_until, is_late},
    responder::start,
    *,
};
use crate::{
    aws,
    core::{
        effect::Answer,
        event::{FunctionError, Outcome, StreamPart},
    },
    debug_stack::Answers,
};

pub(super) const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/a</Arn>\
    <Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

/// What has been posted, by connection, and put into the bucket, by key.
#[derive(Debug, Default)]
struct Cloud {
    posted: Mutex<Vec<(String, String)>>,
    objects: Mutex<HashMap<String, Bytes>>,
}

impl Cloud {
    /// Somebody who knows whose credentials are used, and nothing else.
    async fn listen() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(async || IDENTITY));
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    async fn start() -> (Arc<Self>, Arc<Sender>) {
        let cloud = Arc::new(Self::default());
        let router = Router::new()
            .route("/", post(async || IDENTITY))
            .route(
                "/dev/@connections/{id}",
                post(async |State(cloud): State<Arc<Self>>, Path(id): Path<String>, body: String| {
                    cloud.posted.lock().unwrap().push((id, body));
                }),
            )
            .route(
                "/payloads/{*key}",
                put(async |State(cloud): State<Arc<Self>>, Path(key): Path<String>, body: Bytes| {
                    cloud.objects.lock().unwrap().insert(key, body);
                }),
            )
            .layer(DefaultBodyLimit::disable())
            .with_state(cloud.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let options =
            aws::Options { endpoint: Some(endpoint.clone()), local: true, ..aws::Options::default() };
        let aws = Aws::connect(options).await.unwrap();
        let stack = DebugStack {
            endpoint: "ws://127.0.0.1:9".into(),
            management: format!("{endpoint}/dev"),
            api_id: "a".into(),
            api_stage: "dev".into(),
            table: "t".into(),
            table_arn: "arn:aws:dynamodb:us-east-1:000000000000:table/t".into(),
            bucket: "payloads".into(),
            stub_policy: None,
            answers: crate::debug_stack::Answers::Mock,
        };
        let (ui, _) = Ui::channel();
        let services = Arc::new(Services::new(&aws, &stack));
        let sender = Sender::new(services, Arc::default(), "client".to_owned(), ui);
        (cloud, Arc::new(sender))
    }

    /// The frames that a connection has got.
    fn frames(&self, connection: &str) -> Vec<ToStub> {
        let posted = self.posted.lock().unwrap();
        let texts = posted.iter().filter(|(id, _)| id == connection);
        texts.map(|(_, text)| sst_wire::decode(text).unwrap()).collect()
    }

    /// The response that a stub puts together.
    fn streamed(&self, frames: &[ToStub]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = 0;
        for frame in frames {
            let ToStub::Chunk { seq, data, .. } = frame else { continue };
            assert_eq!(*seq, next);
            next += 1;
            match data {
                Payload::Inline { .. } => bytes.extend(data.bytes().unwrap()),
                Payload::Object { key, .. } => {
                    let objects = self.objects.lock().unwrap();
                    let object = objects.get(key).unwrap();
                    data.check_object(object).unwrap();
                    bytes.extend_from_slice(object);
                }
            }
        }
        assert!(matches!(frames.last(), Some(ToStub::End { seq, error: None, .. }) if *seq == next));
        bytes
    }
}

fn in_a_minute() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(|frame| frame.len()).sum()
}

/// Bytes that do not compress.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(byte).collect()
}

#[tokio::test]
async fn of_a_long_stream_most_is_kept_in_the_bucket_and_can_be_repeated() {
    let (cloud, sender) = Cloud::start().await;
    let (responder, task) = start(sender.clone(), "r1".into(), "c1".to_owned(), in_a_minute());
    let response = noise(6 * 1024 * 1024);
    responder.send(Answer::Part(StreamPart::Begin { content_type: Some("text/plain".into()) }));
    for part in response.chunks(50_000) {
        responder.send(Answer::Part(StreamPart::Data(response.slice_ref(part))));
    }
    responder.send(Answer::Part(StreamPart::End { error: None }));
    let finished = task.await;
    assert!(cloud.streamed(&cloud.frames("c1")) == response, "the response arrives as it was");
    assert!(size(&finished.frames) < 1_400_000, "{}", size(&finished.frames));
    assert!(!cloud.objects.lock().unwrap().is_empty());

    sender.repeat("c2", "r1".into(), Answered::With(finished.frames.clone()), 0).await;
    assert!(cloud.streamed(&cloud.frames("c2")) == response, "and once more");

    let all = cloud.frames("c1");
    sender.repeat("c3", "r1".into(), Answered::With(finished.frames.clone()), 3).await;
    assert_eq!(cloud.frames("c3"), all[3..], "a stub that has the first parts gets the others");
    sender.repeat("c4", "r1".into(), Answered::With(finished.frames), all.len() as u64 + 1).await;
    assert_eq!(cloud.frames("c4"), all, "one that claims to have what there is not is not believed");
}

#[tokio::test]
async fn what_takes_longer_is_acknowledged_and_once_more_when_the_stub_asks() {
    let (cloud, sender) = Cloud::start().await;
    sender.reached_on("mine");
    let (responder, task) = start(sender.clone(), "r1".into(), "c1".to_owned(), in_a_minute());
    let task = tokio::spawn(task);
    let acknowledged = async |connection: &str| {
        while cloud.frames(connection).is_empty() {
            tokio::task::yield_now().await;
        }
        let frames = cloud.frames(connection);
        let [ToStub::Ack { from, .. }] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((from.client.as_str(), from.connection.as_str()), ("client", "mine"));
    };
    acknowledged("c1").await;
    responder.asked_again("c2".to_owned(), 0);
    acknowledged("c2").await;
    responder.send(Answer::Outcome(Outcome::Returned("null".into())));
    task.await.unwrap();
    assert!(matches!(cloud.frames("c2")[..], [ToStub::Ack { .. }, ToStub::Reply { .. }]));
    assert_eq!(cloud.frames("c1").len(), 1);
}

#[tokio::test]
async fn nothing_waits_for_a_request_that_has_been_answered() {
    let (cloud, sender) = Cloud::start().await;
    let (responder, task) = start(sender.clone(), "r1".into(), "c1".to_owned(), in_a_minute());
    responder.send(Answer::Outcome(Outcome::Returned("null".into())));
    // It ends although its handle is still there.
    let finished = task.await;
    assert!(
        matches!(cloud.frames("c1")[..], [ToStub::Reply { .. }]),
        "what is answered at once needs no acknowledgement"
    );
    assert_eq!(responder.missed(&finished), None);
    responder.asked_again("c2".to_owned(), 0);
    assert_eq!(
        responder.missed(&finished),
        Some(("c2".to_owned(), 0)),
        "it asked when the answer was on its way"
    );
    assert!(size(&finished.frames) < 200, "{}", size(&finished.frames));

    sender.repeat("c2", "r1".into(), Answered::With(finished.frames), 0).await;
    assert_eq!(cloud.frames("c2"), cloud.frames("c1"));
    sender.repeat("c3", "r1".into(), Answered::Forgotten, 0).await;
    let frames = cloud.frames("c3");
    let [ToStub::Reply { outcome: sst_wire::Outcome::Failed { error_type, .. }, .. }] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!(error_type, "Sst.AnswerLost");
}

#[tokio::test]
async fn a_request_that_has_failed_is_known_for_as_long_as_lambda_sends_it_again() {
    let (_, sender) = Cloud::start().await;
    let error = || sst_wire::StreamError { error_type: "E".into(), error_body: String::new() };
    let now = Instant::now();
    let soon = now + Duration::from_secs(3);
    for (answer, failed) in [
        (Answer::Outcome(Outcome::Returned("null".into())), false),
        (Answer::Outcome(Outcome::Failed(FunctionError::new("E", "e"))), true),
        (Answer::Part(StreamPart::End { error: None }), false),
        (Answer::Part(StreamPart::End { error: Some(error()) }), true),
    ] {
        let what = format!("{answer:?}");
        let (responder, task) = start(sender.clone(), "r1".into(), "c1".to_owned(), in_a_minute());
        responder.send(answer);
        let until = asked_until(&task.await, soon, now);
        // After one minute, and after another two.
        assert_eq!(until > now + Duration::from_secs(180), failed, "{what}");
        assert!(until >= soon, "{what}");
    }
}

/// A request that may be begun for so long after it was sent, in milliseconds.
fn sent(sent_ms: u64, patience_ms: u64) -> Invoke {
    Invoke {
        request_id: "r1".into(),
        attempt: 1,
        function: "f".into(),
        sent_ms,
        patience_ms,
        remaining_ms: 60_000,
        timeout_s: None,
        context: sst_wire::Context::default(),
        environment: std::collections::BTreeMap::new(),
        event: Payload::inline(b"{}").unwrap(),
        reply_to: "c1".into(),
    }
}

#[test]
fn a_request_is_late_before_its_caller_gives_up() {
    let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    // When it was sent, how long it may be begun, when it has come, and whether that is too late.
    for (sent_ms, patience_ms, now, late) in [
        (10_000, 4_000, 10_000, false),
        (10_000, 4_000, 13_749, false),
        (10_000, 4_000, 13_750, true),
        (10_000, 4_000, 1_210_000, true),
        // A clock that is behind says nothing of how old it is.
        (10_000, 4_000, 9_000, false),
        // Of a short time the margin is a quarter.
        (10_000, 400, 10_299, false),
        (10_000, 400, 10_300, true),
        (10_000, 0, 10_000, true),
        // No time at all.
        (u64::MAX, 4_000, 10_000, false),
    ] {
        let invoke = sent(sent_ms, patience_ms);
        let age = age(&invoke, at(now));
        assert_eq!(is_late(&invoke, age), late, "{sent_ms} {patience_ms} {now}: {age:?}");
    }
}

#[test]
fn lengths_of_time_are_told_for_people() {
    let told =
        [0.04, 9.96, 10.0, 119.0, 120.0, 1_200.0].map(|seconds| duration(Duration::from_secs_f64(seconds)));
    assert_eq!(told, ["0.0 s", "10.0 s", "10 s", "119 s", "2 min", "20 min"]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_from_other_troubles() {
    let options =
        aws::Options { endpoint: Some(Cloud::listen().await), local: true, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    let refused = async |endpoint: &str| match Connector::new(aws.clone(), endpoint.to_owned(), Answers::Mock)
        .connect()
        .await
    {
        Err(Refusal::Unreachable(text)) => text,
        other => panic!("{other:?}"),
    };
    let text = refused("ws://no-such-name.invalid/dev").await;
    assert!(text.contains("lookup address"), "{text}: it is then looked whether the stack is still there");
    let text = refused("ws://127.0.0.1:9/dev").await;
    assert!(text.contains("Connection refused") && !text.contains("lookup address"), "{text}");
}

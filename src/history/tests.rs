use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::core::event::{Caller, FunctionError, Outcome, StreamPart};

/// A history, and where it is written.
fn begin(tasks: &mut Tasks) -> (History, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    (History::begin(Some(state_dir.below("history").unwrap()), &["card".to_owned()], tasks), directory)
}

fn arrived(request: &str, function: &str, event: impl Into<Bytes>) -> Fact {
    let environment = [("DB_PASSWORD", "hunter22")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Fact::Arrived(Box::new(Invocation {
        caller: Caller::Relay,
        request: request.into(),
        function: function.into(),
        payload: event.into(),
        context: sst_wire::Context { trace_id: Some("Root=1".to_owned()), ..Default::default() },
        environment: Arc::new(BTreeMap::from(environment)),
        remaining: Duration::from_secs(3),
        time: None,
        patience: None,
        replays: None,
        stops: false,
    }))
}

fn log(request: &str, line: &str) -> Fact {
    Fact::Told(UiEvent::Log { request: Some(request.into()), function: "a/F".into(), line: line.to_owned() })
}

fn returned(request: &str, body: impl Into<Bytes>) -> Fact {
    Fact::Answered { request: request.into(), answer: Answer::Outcome(Outcome::Returned(body.into())) }
}

/// Waits until a call is as it should be.
async fn until(history: &History, id: &str, holds: impl Fn(&Record) -> bool) -> Record {
    let mut seen = 0;
    loop {
        if let Ok(record) = history.find(id)
            && holds(&record)
        {
            return record;
        }
        seen = history.since(seen).change;
        assert!(history.changed(seen).await);
    }
}

const ENDED: fn(&Record) -> bool =
    |record| matches!(record.summary.status, Status::Returned | Status::Failed);

#[tokio::test]
async fn a_call_is_remembered_as_it_was_and_shown_without_secrets() {
    let mut tasks = Tasks::default();
    let (history, directory) = begin(&mut tasks);
    let event = r#"{"token": "t", "a": "hunter22", "card": 4111}"#;
    history.tell(arrived("r-1", "a/F", event));
    let source = "API GET /".to_owned();
    history.tell(Fact::Told(UiEvent::Request { request: "r-1".into(), function: "a/F".into(), source }));
    history.tell(Fact::Given { request: "r-1".into(), worker: WorkerId(1) });
    history.tell(log("r-1", "connecting with hunter22"));
    let took = Duration::from_millis(12);
    history.tell(Fact::Told(UiEvent::Response {
        request: "r-1".into(),
        function: "a/F".into(),
        took,
        summary: "200".to_owned(),
    }));
    history.tell(returned("r-1", r#"{"cookie":"c","b":1}"#));
    let record = until(&history, "r-1", ENDED).await;
    assert_eq!(record.summary.source, "API GET /");
    assert_eq!((record.summary.took_ms, record.summary.summary.as_str()), (Some(12.0), "200"));
    assert!(record.summary.waited_ms.is_some());
    assert_eq!(record.event.text.as_deref(), Some(r#"{"token":"***","a":"***","card":"***"}"#));
    assert_eq!(record.event.masked, 3);
    assert_eq!(record.result.as_ref().unwrap().text.as_deref(), Some(r#"{"cookie":"***","b":1}"#));
    assert_eq!(
        record.logs.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["connecting with ***"]
    );
    // Byte for byte, for whoever is to run it again.
    assert_eq!(history.event_of("r-1").unwrap().1, event.as_bytes());
    assert_eq!(history.event_of("last").unwrap().1, event.as_bytes());
    assert_eq!(history.result_of("r").unwrap(), br#"{"cookie":"c","b":1}"#);
    // On disk there is nothing else than what is shown, and it is nobody else's to read.
    history.tell(Fact::Over);
    tasks.until_ended(TASK).await;
    assert_eq!(history.disk.as_ref().unwrap().find("r-1").unwrap().unwrap(), record);
    for entry in std::fs::read_dir(directory.path().join(".sst/history")).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("hunter22") && !text.contains("4111"), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn failures_streams_pauses_and_replays_are_told_apart() {
    let mut tasks = Tasks::default();
    let (history, _directory) = begin(&mut tasks);
    let worker = WorkerId(7);
    let Fact::Arrived(mut replayed) = arrived("r-2", "a/F", "{}") else { unreachable!() };
    replayed.replays = Some("r-1".into());
    history.tell(Fact::Arrived(replayed));
    history.tell(Fact::Given { request: "r-2".into(), worker });
    history.tell(Fact::Told(UiEvent::Paused {
        request: "r-2".into(),
        function: "a/F".into(),
        place: Some("src/a.js:3".to_owned()),
        left: Duration::ZERO,
        of: Duration::ZERO,
    }));
    let paused = until(&history, "r-2", |record| record.summary.status == Status::Paused).await;
    assert_eq!(paused.summary.place.as_deref(), Some("src/a.js:3"));
    assert_eq!(paused.summary.replay_of.as_deref(), Some("r-1"));
    history.tell(Fact::Resumed { worker });
    until(&history, "r-2", |record| {
        record.summary.status == Status::Running && record.summary.place.is_none()
    })
    .await;
    let error = FunctionError::new("Error", "with hunter22");
    let detail = "Error: with hunter22\n    at f (a.js:1:2)".to_owned();
    history.tell(Fact::Told(UiEvent::Failure {
        request: "r-2".into(),
        function: "a/F".into(),
        took: Duration::ZERO,
        detail,
    }));
    history.tell(Fact::Answered { request: "r-2".into(), answer: Answer::Outcome(Outcome::Failed(error)) });
    let failed = until(&history, "r-2", ENDED).await;
    assert_eq!(failed.summary.error_type.as_deref(), Some("Error"));
    assert_eq!(failed.error.as_deref(), Some("Error: with ***\n    at f (a.js:1:2)"));
    history.tell(arrived("s-1", "a/G", "{}"));
    for part in [
        StreamPart::Begin { content_type: None },
        StreamPart::Data("one ".into()),
        StreamPart::Data("two".into()),
        StreamPart::End { error: None },
    ] {
        history.tell(Fact::Answered { request: "s-1".into(), answer: Answer::Part(part) });
    }
    until(&history, "s-1", ENDED).await;
    assert_eq!(history.result_of("s-1").unwrap(), b"one two");
    let listed = |query: Query| history.list(&query).into_iter().map(|call| call.id).collect::<Vec<_>>();
    assert_eq!(listed(Query::default()), ["s-1", "r-2"]);
    assert_eq!(listed(Query { failed: true, ..Query::default() }), ["r-2"]);
    assert_eq!(listed(Query { function: Some("G".to_owned()), ..Query::default() }), ["s-1"]);
    assert_eq!(listed(Query { limit: 1, ..Query::default() }), ["s-1"]);
    assert!(history.find("nope").unwrap_err().contains("no call `nope`"));
}

#[tokio::test]
async fn another_session_finds_what_was_written_and_says_what_it_cannot_run_again() {
    let mut tasks = Tasks::default();
    let (history, directory) = begin(&mut tasks);
    for (id, event) in [("r-1", r#"{ "a": 1 }"#), ("r-2", r#"{"secret":"s"}"#)] {
        history.tell(arrived(id, "a/F", event));
        history.tell(returned(id, Bytes::from_static(b"\xff\xfe")));
    }
    history.tell(Fact::Over);
    tasks.until_ended(TASK).await;
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let later = History::begin(Some(state_dir.below("history").unwrap()), &[], &mut tasks);
    assert_eq!(later.event_of("r-1").unwrap().1, br#"{ "a": 1 }"#, "as it was, spaces too");
    assert_eq!(later.result_of("r-1").unwrap(), b"\xff\xfe");
    let refused = later.event_of("r-2").unwrap_err();
    assert_eq!(
        refused,
        "of the call `r-2` only an event is left in which a value is masked: give another one"
    );
    let mut ids: Vec<_> = later.list(&Query::default()).into_iter().map(|call| call.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["r-1", "r-2"]);
    assert!(later.find("r-").unwrap_err().contains("could be several calls"));
}

#[test]
fn memory_is_bounded_and_what_is_small_stays_longest() {
    let mut store = Store::new(Mask::new(&[]));
    let now = SystemTime::now();
    let megabytes = |count: usize| Bytes::from(vec![b'1'; count << 20]);
    for number in 0..40 {
        let id = format!("r-{number:04}");
        store.take_in(now, arrived(&id, "a/F", megabytes(4)));
        store.take_in(now, returned(&id, "1"));
        store.ended();
    }
    // 40 × 4 MB do not fit into 64 MB: of the first ones only what they were is left.
    let first = store.find("r-0000").unwrap().unwrap();
    assert_eq!((first.event.is_none(), first.record().event.length), (true, Some(4 << 20)));
    assert!(store.find("r-0039").unwrap().unwrap().event.is_some());
    for number in 40..3_000 {
        store.take_in(now, arrived(&format!("r-{number:04}"), "a/F", "1"));
    }
    assert!(store.find("r-0039").unwrap().is_none());
    assert!(store.find("r-2999").unwrap().is_some());
    assert_eq!(store.list(&Query { limit: usize::MAX, ..Query::default() }).len(), 2_000);
    // A response that is streamed may be as long as it likes.
    for _ in 0..100 {
        let part = StreamPart::Data(Bytes::from(vec![b'1'; 64 * 1024]));
        store.take_in(now, Fact::Answered { request: "r-2998".into(), answer: Answer::Part(part) });
    }
    assert!(store.find("r-2998").unwrap().unwrap().weight() < 300 * 1024);
    store.take_in(
        now,
        Fact::Answered { request: "r-2998".into(), answer: Answer::Part(StreamPart::End { error: None }) },
    );
    let streamed = store.find("r-2998").unwrap().unwrap();
    assert_eq!(streamed.record().result.unwrap().length, Some(100 * 64 * 1024));
    assert_eq!(streamed.result_bytes(), None);
    // Nothing is kept of workers whose calls have ended.
    store.take_in(now, Fact::Given { request: "r-2997".into(), worker: WorkerId(1) });
    assert_eq!(store.serving_count(), 1);
    store.take_in(now, returned("r-2997", "1"));
    assert_eq!(store.serving_count(), 0);
    // What is long is not masked, and so not shown.
    store.take_in(now, arrived("r-3000", "a/F", megabytes(2)));
    let long = store.find("r-3000").unwrap().unwrap();
    assert_eq!((long.record().event.text, long.record().event.length), (None, Some(2 << 20)));
    assert!(long.event.is_some());
    // A function that writes without end pushes nothing else out.
    for _ in 0..10_000 {
        store.take_in(now, log("r-2999", &"x".repeat(1_000)));
    }
    let loud = store.find("r-2999").unwrap().unwrap().record();
    assert!(loud.logs.len() < 300 && loud.logs_left_out > 9_000, "{}", loud.logs.len());
}

#[test]
fn a_disk_keeps_a_week() {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let disk = Disk::open(state_dir.below("history").unwrap());
    let now = super::call::millis(SystemTime::now());
    let day = 24 * 60 * 60 * 1000;
    for (id, at) in [("old", now - 8 * day), ("new", now - 6 * day)] {
        let mut store = Store::new(Mask::new(&[]));
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
        store.take_in(at, arrived(id, "a/F", "1"));
        disk.write(&store.find(id).unwrap().unwrap().record());
    }
    assert_eq!(disk.list(&Query::default(), 0).len(), 2);
    disk.prune();
    let left: Vec<_> = disk.list(&Query::default(), 0).into_iter().map(|call| call.id).collect();
    assert_eq!(left, ["new"]);
    // What else is there is nobody's business.
    std::fs::write(directory.path().join(".sst/history/notes.txt"), "").unwrap();
    std::fs::write(directory.path().join(".sst/history/0000000000001-x.json"), "not JSON").unwrap();
    assert_eq!(disk.list(&Query::default(), 0).len(), 1);
}

#[test]
fn a_disk_keeps_so_much() {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = StateDir::open(camino::Utf8Path::from_path(directory.path()).unwrap()).unwrap();
    let state_dir = state_dir.below("history").unwrap();
    let now = super::call::millis(SystemTime::now());
    // Files without content, which are as long as they say and take nothing.
    let file = |age: u64, length: u64| {
        let file = std::fs::File::create(state_dir.path(&format!("{:013}-r-{age}.json", now - age))).unwrap();
        file.set_len(length).unwrap();
    };
    let there = || {
        let names =
            state_dir.path("").read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned());
        let mut ages: Vec<u64> =
            names.filter_map(|name| name.strip_suffix(".json")?.rsplit('-').next()?.parse().ok()).collect();
        ages.sort_unstable();
        ages
    };
    let disk = Disk::open(state_dir.clone());
    for age in 1..=4 {
        file(age * 1000, 50 << 20);
    }
    disk.prune();
    assert_eq!(there(), [1000, 2000, 3000, 4000], "that is as much as there may be");
    // One byte more than that is made room for, and for some that come later: the oldest go.
    let mut store = Store::new(Mask::new(&[]));
    store.take_in(SystemTime::UNIX_EPOCH + Duration::from_millis(now), arrived("r-0", "a/F", "1"));
    disk.write(&store.find("r-0").unwrap().unwrap().record());
    assert_eq!(there(), [0, 1000, 2000, 3000]);
}

#[tokio::test]
async fn what_has_ended_with_the_session_is_written() {
    let mut tasks = Tasks::default();
    let (history, _directory) = begin(&mut tasks);
    for number in 0..50 {
        let id = format!("r-{number}");
        history.tell(arrived(&id, "a/F", "1"));
        history.tell(returned(&id, "1"));
    }
    history.tell(Fact::Over);
    tasks.until_ended(TASK).await;
    let query = Query { limit: 100, ..Query::default() };
    assert_eq!(history.disk.as_ref().unwrap().list(&query, 0).len(), 50);
}

#[tokio::test]
async fn what_is_new_is_found_without_a_look_at_what_is_not() {
    let mut store = Store::new(Mask::new(&[]));
    let now = SystemTime::now();
    for number in 0..3_000 {
        let id = format!("r-{number}");
        store.take_in(now, arrived(&id, "a/F", "{}"));
        store.take_in(now, log(&id, "a line"));
        store.take_in(now, returned(&id, "{}"));
    }
    // One entry for each call that is known, however often it has changed, and none for those that are forgotten.
    assert_eq!(store.changed_count(), 2_000);
    let before = store.since(0);
    assert_eq!(before.invocations.len(), 2_000);
    assert!(store.since(before.change).invocations.is_empty());
    store.take_in(now, log("r-2500", "once more"));
    store.take_in(now, log("r-2000", "once more"));
    let ids: Vec<String> = store.since(before.change).invocations.into_iter().map(|call| call.id).collect();
    assert_eq!(ids, ["r-2500", "r-2000"]);
    assert_eq!(store.changed_count(), 2_000);
}

#[tokio::test]
async fn what_is_built_and_runs_is_told_and_nothing_is_left_of_what_is_gone() {
    let mut tasks = Tasks::default();
    let history = History::begin(None, &[], &mut tasks);
    let function = FunctionId::from("a/F");
    let told = async |facts: Vec<Fact>| {
        let before = history.since(0).change;
        facts.into_iter().for_each(|fact| history.tell(fact));
        assert!(history.changed(before).await);
        serde_json::to_value(history.since(before)).unwrap()
    };
    assert_eq!(json(&history.of_function(&function))["build"]["state"], "none");
    // Before the first change everything is new.
    told(vec![Fact::Building { function: function.clone() }]).await;
    let said = told(vec![Fact::Building { function: function.clone() }]).await;
    assert_eq!(said["functions"][0]["build"]["state"], "building");
    assert_eq!(
        (&said["connection"], &said["infrastructure"]),
        (&Value::Null, &Value::Null),
        "they are as they were"
    );
    let error = Some("index.js:1:1 broken".to_owned());
    let said = told(vec![Fact::Built { function: function.clone(), error }]).await;
    assert_eq!(said["functions"][0]["build"]["state"], "failed");
    assert_eq!(said["functions"][0]["build"]["error"], "index.js:1:1 broken");
    let said = told(vec![Fact::Built { function: function.clone(), error: None }]).await;
    assert_eq!(said["functions"][0]["build"]["error"], Value::Null);

    let workers = |starting: u32, idle: u32, busy: u32| serde_json::json!({ "starting": starting, "idle": idle, "busy": busy });
    let started = Fact::Started { worker: WorkerId(1), function: function.clone() };
    assert_eq!(told(vec![started]).await["functions"][0]["workers"], workers(1, 0, 0));
    assert_eq!(
        told(vec![Fact::Waits { worker: WorkerId(1) }]).await["functions"][0]["workers"],
        workers(0, 1, 0)
    );
    let given = vec![arrived("r-1", "a/F", "{}"), Fact::Given { request: "r-1".into(), worker: WorkerId(1) }];
    history.tell(Fact::Functions(vec![function.clone()]));
    let said = told(given).await;
    assert_eq!(json(&history.of_function(&function))["workers"], workers(0, 0, 1), "{said}");
    assert_eq!(
        told(vec![Fact::Exited { worker: WorkerId(1) }]).await["functions"][0]["workers"],
        workers(0, 0, 0)
    );

    let lost = told(vec![Fact::Connection { lost: Some("it was closed".to_owned()) }]).await;
    assert_eq!(
        (&lost["connection"]["state"], &lost["connection"]["history"][0]["reason"]),
        (&"lost".into(), &"it was closed".into())
    );
    assert_eq!(lost["functions"], Value::Null, "they are as they were");
    // A function that is no longer part of the app is forgotten, and its last process may end later.
    let gone = vec![
        Fact::Started { worker: WorkerId(2), function: function.clone() },
        Fact::Functions(Vec::new()),
        Fact::Exited { worker: WorkerId(2) },
        Fact::Connection { lost: None },
    ];
    let said = told(gone).await;
    assert_eq!(said["connection"]["state"], "connected");
    assert_eq!(json(&history.of_function(&function))["workers"], workers(0, 0, 0));
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

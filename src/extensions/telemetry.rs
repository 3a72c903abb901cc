//! What is told of an execution environment: records, collected for each subscriber until they are sent.
//!
//! It follows the developer guide's "Lambda Telemetry API"; the older Logs API takes the same subscriptions.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::destination::Destination;

/// How many records are kept for those who subscribe later, and for each who has.
const MOST_RECORDS: usize = 10_000;

/// How much of them.
const MOST_BYTES: usize = 1024 * 1024;

/// How many times records are sent before they are given up.
const ATTEMPTS: u32 = 3;

/// How long between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Category {
    /// The environment and its calls.
    Platform,
    /// What the function has written.
    Function,
    /// What the extensions have written.
    Extension,
}

impl Category {
    fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// The records of one environment.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    memory_mb: u64,
    version: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What there was before the runtime has started, for those who subscribe until then.
    backlog: Option<Backlog>,
    subscribers: Vec<Arc<Subscriber>>,
    initialised: bool,
    since: Instant,
    current: Option<Current>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            backlog: Some(Backlog::default()),
            subscribers: Vec::new(),
            initialised: false,
            since: Instant::now(),
            current: None,
        }
    }
}

/// The call that is served.
#[derive(Debug, Clone)]
struct Current {
    request: String,
    since: Instant,
    produced: usize,
    /// When the runtime had done its part.
    done: Option<Instant>,
}

/// Records in order, of which the oldest give way.
#[derive(Debug, Default)]
struct Backlog {
    records: VecDeque<(Category, String)>,
    bytes: usize,
    dropped: usize,
}

impl Backlog {
    fn push(&mut self, category: Category, record: String) {
        self.bytes += record.len();
        self.records.push_back((category, record));
        while self.records.len() > MOST_RECORDS || self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.records.pop_front() else { break };
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }
}

#[derive(Debug)]
struct Subscriber {
    name: String,
    categories: Vec<Category>,
    buffering: Buffering,
    waiting: Mutex<Backlog>,
    /// There is something in an empty buffer, or so much that it is sent at once.
    woken: Notify,
    /// Everything that there is so far is to be sent at once.
    flush: watch::Sender<u64>,
    /// How much of that has been.
    flushed: watch::Sender<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Buffering {
    max_items: usize,
    max_bytes: usize,
    timeout_ms: u64,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { max_items: 10_000, max_bytes: 256 * 1024, timeout_ms: 1_000 }
    }
}

#[derive(Debug, Deserialize)]
struct Subscription {
    types: Vec<Category>,
    destination: Destination,
    #[serde(default)]
    buffering: Buffering,
}

impl Telemetry {
    pub(super) fn new(memory_mb: u64, version: &str) -> Self {
        Self { memory_mb, version: version.to_owned(), state: Mutex::default() }
    }

    /// Sends records from now on, and those that there were before, to where the body of a request says. Errors say what is wrong with
    /// it.
    pub(crate) fn subscribe(&self, name: &str, body: &[u8]) -> Result<(), String> {
        let subscription: Subscription = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Subscription { types, destination, buffering } = subscription;
        if types.is_empty() {
            return Err("`types` is empty".to_owned());
        }
        for (what, value, range) in [
            ("maxItems", buffering.max_items, 1_000..=10_000),
            ("maxBytes", buffering.max_bytes, 262_144..=1_048_576),
            ("timeoutMs", usize::try_from(buffering.timeout_ms).unwrap_or(usize::MAX), 25..=30_000),
        ] {
            if !range.contains(&value) {
                return Err(format!("`{what}` is {value} and not from {} to {}", range.start(), range.end()));
            }
        }
        let destination = destination.resolved()?;
        let subscriber = Arc::new(Subscriber {
            name: name.to_owned(),
            categories: types.clone(),
            buffering,
            waiting: Mutex::default(),
            woken: Notify::new(),
            flush: watch::Sender::new(0),
            flushed: watch::Sender::new(0),
        });
        {
            let mut state = self.lock();
            let Some(backlog) = &state.backlog else {
                return Err("subscriptions are taken until the function is initialised".to_owned());
            };
            for (category, record) in &backlog.records {
                subscriber.push(*category, record.clone());
            }
            // One that subscribes again does so instead.
            state.subscribers.retain(|other| other.name != name);
            state.subscribers.push(subscriber.clone());
        }
        // It ends with the environment, whose last reference to the subscriber is `self`'s.
        tokio::spawn(send(Arc::downgrade(&subscriber), destination));
        let types: Vec<&str> = types.into_iter().map(Category::name).collect();
        self.platform(
            "telemetrySubscription",
            || json!({ "name": name, "state": "Subscribed", "types": types }),
        );
        Ok(())
    }

    /// Something has happened in the environment.
    pub(crate) fn platform(&self, kind: &str, record: impl FnOnce() -> Value) {
        self.record(Category::Platform, || format!("platform.{kind}"), record);
    }

    /// The function, or an extension, has written a line.
    pub(crate) fn line(&self, category: Category, line: &str) {
        self.record(category, || category.name().to_owned(), || Value::from(format!("{line}\n")));
    }

    /// The runtime asks for its next call: it is initialised, or has done its part of the last one.
    pub(crate) fn runtime_ready(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        if !std::mem::replace(&mut state.initialised, true) {
            drop(state);
            self.platform(
                "initRuntimeDone",
                || json!({ "initializationType": "on-demand", "phase": "init", "status": "success" }),
            );
            return;
        }
        let Some(current) = state.current.as_mut().filter(|current| current.done.is_none()) else { return };
        current.done = Some(now);
        let current = current.clone();
        drop(state);
        self.platform("runtimeDone", || runtime_done(&current, "success", now));
    }

    /// The extensions have done theirs as well. `extensions` are those that there are, with what they want to hear of.
    pub(crate) fn all_ready(&self, extensions: &[(String, Vec<&'static str>)]) {
        let (first, since) = {
            let mut state = self.lock();
            (state.backlog.take().is_some(), state.since)
        };
        if first {
            for (name, events) in extensions {
                self.platform("extension", || json!({ "name": name, "state": "Ready", "events": events }));
            }
            self.platform("initReport", || {
                let metrics = json!({ "durationMs": milliseconds(since.elapsed()) });
                json!({
                    "initializationType": "on-demand", "phase": "init", "status": "success", "metrics": metrics,
                })
            });
            return;
        }
        self.report("success");
    }

    /// A call is about to be served.
    pub(crate) fn start(&self, request: &str, trace: Option<&str>) {
        let current = Current { request: request.to_owned(), since: Instant::now(), produced: 0, done: None };
        self.lock().current = Some(current);
        self.platform("start", || {
            let mut record = json!({ "requestId": request, "version": self.version });
            if let Some(trace) = trace {
                record["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": trace });
            }
            record
        });
    }

    /// The function has answered with so many bytes.
    pub(crate) fn produced(&self, bytes: usize) {
        if let Some(current) = &mut self.lock().current {
            current.produced += bytes;
        }
    }

    /// The environment ends with a call that was not done, if there is one.
    pub(crate) fn ended(&self, status: &str) {
        let now = Instant::now();
        let current = {
            let mut state = self.lock();
            let current = state.current.as_mut().filter(|current| current.done.is_none());
            current.map(|current| {
                current.done = Some(now);
                current.clone()
            })
        };
        if let Some(current) = current {
            self.platform("runtimeDone", || runtime_done(&current, status, now));
            self.report(status);
        }
    }

    /// Sends at once what there is, as far as that can be done in `limit`.
    pub(crate) async fn flush(&self, limit: Duration) {
        let subscribers = self.lock().subscribers.clone();
        let all = subscribers.iter().map(|subscriber| async move {
            let mut flushed = subscriber.flushed.subscribe();
            let wanted = {
                subscriber.flush.send_modify(|count| *count += 1);
                *subscriber.flush.borrow()
            };
            subscriber.woken.notify_one();
            let _ = flushed.wait_for(|count| *count >= wanted).await;
        });
        let _ = tokio::time::timeout(limit, futures_util::future::join_all(all)).await;
    }

    fn report(&self, status: &str) {
        let Some(current) = self.lock().current.take() else { return };
        let duration = current.since.elapsed();
        let billed = duration.as_millis() + 1;
        self.platform("report", || {
            json!({
                "requestId": current.request,
                "status": status,
                "metrics": {
                    "durationMs": milliseconds(duration),
                    "billedDurationMs": u64::try_from(billed).unwrap_or(u64::MAX),
                    "memorySizeMB": self.memory_mb,
                    // What a process takes here says nothing of what it would take there.
                    "maxMemoryUsedMB": self.memory_mb,
                },
            })
        });
    }

    /// Nearly always nobody listens, and then nothing is put into words.
    fn record(&self, category: Category, kind: impl FnOnce() -> String, record: impl FnOnce() -> Value) {
        let mut state = self.lock();
        if state.backlog.is_none() && state.subscribers.is_empty() {
            return;
        }
        let (kind, record) = (kind(), record());
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        let text = json!({ "time": time, "type": kind, "record": record }).to_string();
        for subscriber in &state.subscribers {
            subscriber.push(category, text.clone());
        }
        if let Some(backlog) = &mut state.backlog {
            backlog.push(category, text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The guarded value is whole at every point at which a panic could happen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn runtime_done(current: &Current, status: &str, now: Instant) -> Value {
    let duration = milliseconds(now.saturating_duration_since(current.since));
    let metrics = json!({ "durationMs": duration, "producedBytes": current.produced });
    json!({ "requestId": current.request, "status": status, "metrics": metrics })
}

/// With three decimals, as Lambda tells durations.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

impl Subscriber {
    fn push(&self, category: Category, record: String) {
        if !self.categories.contains(&category) {
            return;
        }
        let mut waiting = self.lock();
        waiting.push(category, record);
        let is_full =
            waiting.records.len() >= self.buffering.max_items || waiting.bytes >= self.buffering.max_bytes;
        if waiting.records.len() == 1 || is_full {
            self.woken.notify_one();
        }
    }

    /// Whether what waits is enough to be sent before its time.
    fn is_full(&self) -> bool {
        let waiting = self.lock();
        waiting.records.len() >= self.buffering.max_items || waiting.bytes >= self.buffering.max_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        // The guarded value is whole at every point at which a panic could happen.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a subscriber's records as long as there is the subscriber.
async fn send(subscriber: std::sync::Weak<Subscriber>, destination: Destination) {
    loop {
        let Some(subscriber) = subscriber.upgrade() else { return };
        let timeout = Duration::from_millis(subscriber.buffering.timeout_ms);
        // It is looked again from time to time whether there is the subscriber at all.
        let _ =
            tokio::time::timeout(timeout.max(Duration::from_millis(500)), subscriber.woken.notified()).await;
        let wanted = *subscriber.flush.borrow();
        let is_flushed = || *subscriber.flushed.borrow() >= *subscriber.flush.borrow();
        if is_flushed() && !subscriber.is_full() && !subscriber.lock().records.is_empty() {
            let _ = tokio::time::timeout(timeout, subscriber.woken.notified()).await;
        }
        let wanted = wanted.max(*subscriber.flush.borrow());
        let Backlog { records, dropped, bytes } = std::mem::take(&mut *subscriber.lock());
        if !records.is_empty() {
            let texts: Vec<String> = records.into_iter().map(|(_, text)| text).collect();
            let count = texts.len();
            let mut sent = Err(String::new());
            for attempt in 1..=ATTEMPTS {
                sent = destination.send(&texts).await;
                if sent.is_ok() || attempt == ATTEMPTS {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            let dropped = dropped + if sent.is_err() { count } else { 0 };
            if let Err(error) = sent {
                tracing::debug!(%error, name = subscriber.name, "telemetry");
            }
            if dropped > 0 {
                let record = json!({ "reason": "the subscriber does not take them", "droppedRecords": dropped, "droppedBytes": bytes });
                let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
                let text =
                    json!({ "time": time, "type": "platform.logsDropped", "record": record }).to_string();
                let category = subscriber.categories[0];
                subscriber.lock().push(category, text);
            }
        }
        subscriber.flushed.send_modify(|count| *count = (*count).max(wanted));
    }
}

#[cfg(test)]
mod tests;

//! Sends what a request is answered with, in order, to wherever its stub listens.
//!
//! Each request has a task of its own, so that a stub that is slow or gone holds up no other.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_apigatewaymanagement::primitives::Blob;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sst_wire::{Payload, Peer, StreamError, ToClient, ToStub};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    memory::{Answered, Frames},
    services::{Clients, Services},
    usage::Usage,
};
use crate::{
    aws::explain,
    core::{
        effect::Answer,
        event::{FunctionError, Outcome, StreamPart},
    },
    ids::RequestId,
    tasks, trace,
    ui::{Ui, UiEvent},
};

/// The most bytes of a streamed response in one frame. They fit even when they do not compress.
const CHUNK: usize = 64 * 1024;

/// How many bytes of a streamed response's frames are kept while it lasts. The frames that follow are objects of the bucket.
const KEPT: usize = 1024 * 1024;

/// How soon a request is acknowledged. Most are answered before, which says the same, and each message counts against the account's
/// quota, and costs.
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(25);

/// The longest result that is sent without an acknowledgement before it. What is longer goes through the bucket.
const SENT_AT_ONCE: usize = 64 * 1024;

/// How long a frame is tried to be sent that is not worth much later.
const BRIEFLY: Duration = Duration::from_secs(5);

/// How long "gone" is not believed.
const FRESH: Duration = Duration::from_secs(1);

/// How soon a connection that is gone is tried once more.
const ONCE_MORE: Duration = Duration::from_millis(200);

/// The handle of a request's task. The task ends when it has sent the end of the answer, or what it has when the last handle is
/// dropped.
#[derive(Debug, Clone)]
pub(super) struct Responder {
    answers: mpsc::UnboundedSender<Answer>,
    listener: Arc<watch::Sender<Listener>>,
}

/// Where the stub listens. Counted, because being asked again on the same connection is news as well.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    connection: String,
    asked: u32,
    /// The first part of a streamed response that it has not got.
    from: u64,
}

impl Responder {
    pub(super) fn send(&self, answer: Answer) {
        // Without the task there is nobody left to answer.
        let _ = self.answers.send(answer);
    }

    /// Where the stub listens.
    pub(super) fn listener(&self) -> String {
        self.listener.borrow().connection.clone()
    }

    /// The stub sent its request again, or asks after it: it may have missed something.
    pub(super) fn asked_again(&self, connection: String, from: u64) {
        self.listener.send_modify(|listener| {
            (listener.connection, listener.from) = (connection, from);
            listener.asked += 1;
        });
    }
}

/// Starts to answer a request, with an `Ack` first unless it is answered soon, for as long as its stub lives, which is until `until`. The future is the task.
pub(super) fn start(
    sender: Arc<Sender>,
    request: RequestId,
    reply_to: String,
    until: Instant,
) -> (Responder, impl Future<Output = Finished> + Send) {
    let (answers, queue) = mpsc::unbounded_channel();
    let (listener, changes) = watch::channel(Listener { connection: reply_to, asked: 1, from: 0 });
    let responder = Responder { answers, listener: Arc::new(listener) };
    let task = Task {
        sender,
        request,
        until,
        problem: None,
        acknowledge_at: Instant::now() + ACKNOWLEDGED_AFTER,
        acknowledged: false,
        queue,
        changes,
        asked: 1,
        next: None,
        sent: Vec::new(),
        kept: 0,
        sequence: 0,
        finished: false,
        failed: false,
    };
    (responder, task.run())
}

/// What is left of a request when it has been answered.
#[derive(Debug)]
pub(super) struct Finished {
    pub request: RequestId,
    /// The frames of its answer.
    pub frames: Frames,
    /// Why the end of the answer may not have reached the stub, which then asks.
    pub problem: Option<String>,
    /// Whether it says that the function failed.
    pub failed: bool,
    /// How often the stub had asked when they were sent.
    asked: u32,
}

impl Responder {
    /// The connection of a stub that has asked once more since its request was finished, and from which part on.
    pub(super) fn missed(&self, finished: &Finished) -> Option<(String, u64)> {
        let listener = self.listener.borrow();
        (listener.asked > finished.asked).then(|| (listener.connection.clone(), listener.from))
    }
}

struct Task {
    sender: Arc<Sender>,
    request: RequestId,
    /// Until when the stub lives.
    until: Instant,
    problem: Option<String>,
    acknowledge_at: Instant,
    /// Whether the stub has been told, or is being told, that its request was taken.
    acknowledged: bool,
    queue: mpsc::UnboundedReceiver<Answer>,
    changes: watch::Receiver<Listener>,
    /// How often the stub had asked when it was last answered from the beginning.
    asked: u32,
    /// What was taken out of the queue and is not the part of a response.
    next: Option<Answer>,
    /// The frames that make up the answer so far, for a stub that asks again.
    sent: Vec<Box<str>>,
    /// How many bytes they are.
    kept: usize,
    sequence: u64,
    finished: bool,
    failed: bool,
}

impl Task {
    async fn run(mut self) -> Finished {
        self.changes.mark_unchanged();
        let mut open = true;
        while open && !self.finished {
            if let Some(answer) = self.next.take() {
                self.answer(answer).await;
                continue;
            }
            tokio::select! {
                // Whoever asks again is behind: it gets the past before it gets what is new.
                biased;
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.repeat().await,
                    Err(_) => open = false,
                },
                answer = self.queue.recv() => match answer {
                    Some(answer) => self.answer(answer).await,
                    None => open = false,
                },
                () = tokio::time::sleep_until(self.acknowledge_at), if !self.acknowledged => self.acknowledge(),
            }
        }
        while !self.finished
            && let Some(answer) = self.next.take().or_else(|| self.queue.try_recv().ok())
        {
            self.answer(answer).await;
        }
        Finished {
            request: self.request,
            frames: self.sent.into(),
            problem: self.problem,
            failed: self.failed,
            asked: self.asked,
        }
    }

    /// Tells the stub that its request was taken. The answer does not wait for this to have been sent.
    fn acknowledge(&mut self) {
        self.acknowledged = true;
        let (sender, connection) = (self.sender.clone(), self.changes.borrow().connection.clone());
        let frame = ToStub::Ack { request_id: self.request.to_string(), from: sender.peer() };
        tokio::spawn(tasks::named(format!("the acknowledgement of request {}", self.request), async move {
            sender.post_frame(&connection, &frame).await;
        }));
    }

    async fn repeat(&mut self) {
        let Listener { asked, from, .. } = self.changes.borrow_and_update().clone();
        self.asked = asked;
        if self.sent.is_empty() {
            return self.acknowledge();
        }
        let frames = std::mem::take(&mut self.sent);
        for frame in missing(&frames, from) {
            self.post_text(frame, false).await;
        }
        self.sent = frames;
    }

    async fn answer(&mut self, answer: Answer) {
        let request_id = self.request.to_string();
        let long = |outcome: &Outcome| match outcome {
            Outcome::Returned(body) => body.len() > SENT_AT_ONCE,
            Outcome::Failed(error) => error.body.len() > SENT_AT_ONCE,
        };
        match answer {
            Answer::Outcome(outcome) if !self.acknowledged && long(&outcome) => {
                self.acknowledge();
                self.next = Some(Answer::Outcome(outcome));
            }
            Answer::Working { paused } => {
                self.acknowledged = true;
                let from = self.sender.peer();
                self.post(&ToStub::Working { request_id, paused, from }).await;
            }
            Answer::Outcome(outcome) => {
                let outcome = self.sender.outcome(&self.request, outcome, self.until).await;
                trace::call!(request = %self.request, "posted to the stub");
                self.post_answer(&ToStub::Reply { request_id, outcome }).await;
                trace::call!(request = %self.request, "the stub's connection has it");
            }
            Answer::Part(StreamPart::Begin { content_type }) => {
                let content_type = content_type.or(Some("application/octet-stream".to_owned()));
                self.chunk(content_type, Payload::inline(&[])).await;
            }
            Answer::Part(StreamPart::Data(data)) => self.data(data).await,
            Answer::Part(StreamPart::End { error }) => self.end(error).await,
        }
    }

    /// Sends a part of a streamed response. It is dropped only then, with which its worker may send more.
    async fn data(&mut self, data: Bytes) {
        if self.kept <= KEPT {
            for piece in data.chunks(CHUNK) {
                self.chunk(None, Payload::inline(piece)).await;
            }
            return;
        }
        // The bucket keeps the rest of a long response. One object for all that has come meanwhile.
        let mut parts = vec![data];
        while let Ok(answer) = self.queue.try_recv() {
            match answer {
                Answer::Part(StreamPart::Data(data)) => parts.push(data),
                other => {
                    self.next = Some(other);
                    break;
                }
            }
        }
        let bytes = Bytes::from(parts.concat());
        match self.sender.services.store_part(&self.request, self.sequence, bytes, self.until).await {
            Ok(payload) => self.chunk(None, Some(payload)).await,
            Err(problem) => {
                let message = format!("the response could not be put into the bucket: {problem}");
                self.sender.ui.send(UiEvent::Error { message: message.clone(), hint: None });
                let error = FunctionError::new("Sst.PayloadUnavailable", &message);
                let error_body = STANDARD.encode(&error.body);
                self.end(Some(StreamError { error_type: error.error_type, error_body })).await;
            }
        }
    }

    async fn chunk(&mut self, content_type: Option<String>, data: Option<Payload>) {
        let Some(data) = data else {
            return tracing::error!(request = %self.request, "a chunk does not fit a frame");
        };
        let request_id = self.request.to_string();
        let frame = ToStub::Chunk { request_id, seq: self.sequence, content_type, data };
        self.sequence += 1;
        self.post_answer(&frame).await;
    }

    async fn end(&mut self, error: Option<StreamError>) {
        let frame = ToStub::End { request_id: self.request.to_string(), seq: self.sequence, error };
        self.post_answer(&frame).await;
    }

    async fn post_answer(&mut self, frame: &ToStub) {
        self.acknowledged = true;
        let last = matches!(frame, ToStub::Reply { .. } | ToStub::End { .. });
        self.finished |= last;
        self.failed |= matches!(
            frame,
            ToStub::Reply { outcome: sst_wire::Outcome::Failed { .. }, .. }
                | ToStub::End { error: Some(_), .. }
        );
        let Some(text) = text_of(frame) else { return };
        self.post_text(&text, last).await;
        self.kept += text.len();
        self.sent.push(text);
    }

    /// Sends a frame that is worth nothing later.
    async fn post(&self, frame: &ToStub) {
        let connection = self.changes.borrow().connection.clone();
        self.sender.post_frame(&connection, frame).await;
    }

    /// Sends one frame to wherever the stub listens. One that is gone may come back under another connection, and asks then.
    async fn post_text(&mut self, text: &str, last: bool) {
        let connection = self.changes.borrow().connection.clone();
        if let Err(problem) = self.sender.post(&connection, text, self.until).await
            && last
        {
            self.problem = Some(problem);
        }
    }
}

/// The frames of an answer from a part on. They are in the order of their parts.
fn missing(frames: &[Box<str>], from: u64) -> &[Box<str>] {
    usize::try_from(from).ok().and_then(|from| frames.get(from..)).unwrap_or(frames)
}

/// A frame as it is sent.
fn text_of(frame: &ToStub) -> Option<Box<str>> {
    match sst_wire::encode(frame) {
        Ok(text) => Some(text.into_boxed_str()),
        Err(error) => {
            tracing::error!(%error, "a frame cannot be written");
            None
        }
    }
}

/// Posts frames.
#[derive(Debug)]
pub(super) struct Sender {
    services: Arc<Services>,
    usage: Arc<Usage>,
    client: String,
    /// Where this client is to be reached.
    connection: Mutex<String>,
    /// Whether it was told that this client may not send anything.
    denied: AtomicBool,
    ui: Ui,
}

impl Sender {
    pub(super) fn new(services: Arc<Services>, usage: Arc<Usage>, client: String, ui: Ui) -> Self {
        Self { services, usage, client, connection: Mutex::default(), denied: AtomicBool::new(false), ui }
    }

    /// This client is to be reached on another connection from now on.
    pub(super) fn reached_on(&self, connection: &str) {
        connection.clone_into(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where this client is to be reached.
    fn peer(&self) -> Peer {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Peer { client: self.client.clone(), connection }
    }

    /// Tells a stub that its request is not taken.
    pub(super) async fn refuse(&self, connection: &str, request: RequestId, reason: String) {
        self.post_frame(connection, &ToStub::Refused { request_id: request.to_string(), reason }).await;
    }

    /// Tells a stub that another client answers for its function.
    pub(super) async fn elsewhere(&self, connection: &str, request: RequestId, by: String) {
        let (request_id, from) = (request.to_string(), self.peer());
        self.post_frame(connection, &ToStub::Elsewhere { request_id, by, from }).await;
    }

    /// Tells a stub that its request is not known here.
    pub(super) async fn unknown(&self, connection: &str, request: RequestId) {
        let (request_id, from) = (request.to_string(), self.peer());
        self.post_frame(connection, &ToStub::Unknown { request_id, from }).await;
    }

    /// Tells a stub once more what its request was answered with.
    pub(super) async fn repeat(&self, connection: &str, request: RequestId, answered: Answered, from: u64) {
        let request_id = request.to_string();
        match answered {
            Answered::With(frames) => {
                for frame in missing(&frames, from) {
                    // The stub asks again if it misses anything.
                    if let Err(problem) = self.post(connection, frame, Instant::now() + BRIEFLY).await {
                        return tracing::debug!(problem, %request, "repetition");
                    }
                }
            }
            Answered::Forgotten => {
                let message = "the request was answered, but its answer got lost and is not kept any more";
                let outcome = failed(&FunctionError::new("Sst.AnswerLost", message));
                self.post_frame(connection, &ToStub::Reply { request_id, outcome }).await;
            }
        }
    }

    /// Posts a frame that may get lost.
    async fn post_frame(&self, connection: &str, frame: &ToStub) {
        let Some(text) = text_of(frame) else { return };
        if let Err(problem) = self.post(connection, &text, Instant::now() + BRIEFLY).await {
            tracing::debug!(problem, "post");
        }
    }

    /// Tells another client that its functions are answered for here now.
    pub(super) async fn displaced(&self, connection: &str, by: &str, functions: Vec<String>) {
        let Ok(text) = sst_wire::encode(ToClient::Displaced { by: by.to_owned(), functions }) else { return };
        // The other client may be gone, which is the usual case; else it learns of it when it renews its registrations.
        let _ = self.post(connection, &text, Instant::now() + BRIEFLY).await;
    }

    /// Puts an outcome into the wire's form. One whose bytes cannot be stored becomes an error that says so.
    async fn outcome(&self, request: &RequestId, outcome: Outcome, until: Instant) -> sst_wire::Outcome {
        let stored = match &outcome {
            Outcome::Returned(body) => self.services.store(request, body, until).await,
            Outcome::Failed(error) => self.services.store(request, &error.body, until).await,
        };
        match (outcome, stored) {
            (Outcome::Returned(_), Ok(body)) => sst_wire::Outcome::Returned { body },
            (Outcome::Failed(error), Ok(body)) => {
                sst_wire::Outcome::Failed { error_type: error.error_type, body }
            }
            (_, Err(problem)) => {
                let message = format!("the result could not be put into the bucket: {problem}");
                self.ui.send(UiEvent::Error { message: message.clone(), hint: None });
                failed(&FunctionError::new("Sst.PayloadUnavailable", &message))
            }
        }
    }

    /// Tells once that what is to be sent is refused. It is tried again, because permissions spread, and credentials are renewed.
    fn tell_denial(&self, reason: &str) {
        if !self.denied.swap(true, Ordering::Relaxed) {
            let message = format!("an answer is refused by API Gateway: {reason}; trying again");
            let hint = "your credentials need `execute-api:ManageConnections` on the debug stack's API, and must not have expired";
            self.ui.send(UiEvent::Error { message, hint: Some(hint.to_owned()) });
        }
    }

    /// Posts a text, tried until `until`. The error is a fragment for people.
    async fn post(&self, connection: &str, text: &str, until: Instant) -> Result<(), String> {
        let fresh = Instant::now() + FRESH;
        let post = |clients: Arc<Clients>| async move {
            let post = clients.management.post_to_connection().connection_id(connection);
            let sent = post.data(Blob::new(text)).send().await;
            if let Err(error) = &sent
                && error.raw_response().is_some_and(|response| response.status().as_u16() == 403)
            {
                self.tell_denial(&explain(error));
            }
            sent
        };
        loop {
            let failure = match self.services.persist(until, post).await {
                Ok(_) => {
                    self.usage.message(text.len());
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if failure.status != Some(410) {
                return Err(failure.text);
            }
            // A connection that was announced a moment ago may not be known everywhere yet.
            if Instant::now() >= fresh {
                return Err("its connection is gone".to_owned());
            }
            tokio::time::sleep(ONCE_MORE).await;
        }
    }
}

/// A failure that is small enough for a frame.
fn failed(error: &FunctionError) -> sst_wire::Outcome {
    let body = Payload::inline(&error.body).unwrap_or(Payload::Inline { data: String::new(), length: 0 });
    sst_wire::Outcome::Failed { error_type: error.error_type.clone(), body }
}

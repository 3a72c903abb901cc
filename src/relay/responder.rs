//! Sends what a request is answered with, in order, to wherever its stub listens.
//!
//! Each request has a task of its own, so that a stub that is slow or gone holds up no other.

use std::{sync::Arc, time::Duration};

use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use sst_wire::{Payload, ToClient, ToStub};
use tokio::sync::{mpsc, watch};

use super::{connection::backoff, payloads::Payloads};
use crate::{
    aws::{Aws, explain},
    core::event::{FunctionError, Outcome, StreamPart},
    debug_stack::DebugStack,
    ids::RequestId,
    ui::{Ui, UiEvent},
};

/// The most bytes of a streamed response in one frame. They fit even when they do not compress.
const CHUNK: usize = 64 * 1024;

/// How long a frame is tried to be sent when the service answers with errors.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long "gone" is not believed.
const FRESH: Duration = Duration::from_secs(1);

/// What the core says to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is being worked on.
    Working { paused: bool },
    /// Its one outcome.
    Outcome(Outcome),
    /// A part of its streamed response.
    Part(StreamPart),
}

/// The handle of a request's task. The task ends, after it has sent what it has, when the last handle is dropped.
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
}

impl Responder {
    pub fn send(&self, answer: Answer) {
        // Without the task there is nobody left to answer.
        let _ = self.answers.send(answer);
    }

    /// The stub listens on another connection, and may have missed something.
    pub fn moved(&self, connection: String) {
        self.asked_again(connection);
    }

    /// The stub sent its request again.
    pub fn asked_again(&self, connection: String) {
        self.listener.send_modify(|listener| {
            listener.connection = connection;
            listener.asked += 1;
        });
    }
}

/// Starts to answer a request, with an `Ack` first. The future is the task.
pub(super) fn start(
    sender: Arc<Sender>,
    request: RequestId,
    reply_to: String,
) -> (Responder, impl Future<Output = ()> + Send) {
    let (answers, queue) = mpsc::unbounded_channel();
    let (listener, changes) = watch::channel(Listener { connection: reply_to, asked: 1 });
    let responder = Responder { answers, listener: Arc::new(listener) };
    let task = Task { sender, request, queue, changes, sent: Vec::new(), sequence: 0 };
    (responder, task.run())
}

struct Task {
    sender: Arc<Sender>,
    request: RequestId,
    queue: mpsc::UnboundedReceiver<Answer>,
    changes: watch::Receiver<Listener>,
    /// The frames that make up the answer so far, for a stub that asks again.
    sent: Vec<ToStub>,
    sequence: u64,
}

impl Task {
    async fn run(mut self) {
        self.changes.mark_unchanged();
        self.post(&ToStub::Ack { request_id: self.request.to_string() }).await;
        let mut open = true;
        while open {
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
            }
        }
        while let Ok(answer) = self.queue.try_recv() {
            self.answer(answer).await;
        }
    }

    async fn repeat(&mut self) {
        self.post(&ToStub::Ack { request_id: self.request.to_string() }).await;
        for frame in std::mem::take(&mut self.sent) {
            self.post(&frame).await;
            self.sent.push(frame);
        }
    }

    async fn answer(&mut self, answer: Answer) {
        let request_id = self.request.to_string();
        match answer {
            Answer::Working { paused } => self.post(&ToStub::Working { request_id, paused }).await,
            Answer::Outcome(outcome) => {
                let outcome = self.sender.outcome(&self.request, outcome).await;
                self.post_answer(ToStub::Reply { request_id, outcome }).await;
            }
            Answer::Part(StreamPart::Begin { content_type }) => {
                self.chunk(content_type.or(Some("application/octet-stream".to_owned())), &Bytes::new()).await;
            }
            Answer::Part(StreamPart::Data(data)) => {
                for piece in data.chunks(CHUNK) {
                    self.chunk(None, piece).await;
                }
            }
            Answer::Part(StreamPart::End { error }) => {
                let seq = self.sequence;
                self.post_answer(ToStub::End { request_id, seq, error }).await;
            }
        }
    }

    async fn chunk(&mut self, content_type: Option<String>, bytes: &[u8]) {
        let Some(data) = Payload::inline(bytes) else {
            return tracing::error!(request = %self.request, length = bytes.len(), "a chunk does not fit a frame");
        };
        let request_id = self.request.to_string();
        let frame = ToStub::Chunk { request_id, seq: self.sequence, content_type, data };
        self.sequence += 1;
        self.post_answer(frame).await;
    }

    async fn post_answer(&mut self, frame: ToStub) {
        self.post(&frame).await;
        self.sent.push(frame);
    }

    /// Sends one frame to wherever the stub listens. One that is gone may come back under another connection, and asks then.
    async fn post(&self, frame: &ToStub) {
        let connection = self.changes.borrow().connection.clone();
        if let Err(problem) = self.sender.post(&connection, frame).await
            && matches!(frame, ToStub::Reply { .. } | ToStub::End { .. })
        {
            let message = format!("the answer to request {} could not be sent: {problem}", self.request);
            self.sender.ui.send(UiEvent::Error { message, hint: None });
        }
    }
}

/// Posts frames.
#[derive(Debug)]
pub(super) struct Sender {
    management: aws_sdk_apigatewaymanagement::Client,
    payloads: Payloads,
    ui: Ui,
}

impl Sender {
    pub fn new(aws: &Aws, stack: &DebugStack, payloads: Payloads, ui: Ui) -> Self {
        Self { management: aws.management(&stack.management), payloads, ui }
    }

    /// Tells a stub that its request is not taken.
    pub async fn refuse(&self, connection: &str, request: RequestId, reason: String) {
        let frame = ToStub::Refused { request_id: request.to_string(), reason };
        if let Err(problem) = self.post(connection, &frame).await {
            tracing::debug!(problem, "refusal");
        }
    }

    /// Tells another client that its functions are answered for here now.
    pub async fn displaced(&self, connection: &str, by: &str, functions: Vec<String>) {
        let Ok(text) = sst_wire::encode(ToClient::Displaced { by: by.to_owned(), functions }) else { return };
        // The other client may be gone, which is the usual case.
        let post = self.management.post_to_connection().connection_id(connection);
        let _ = post.data(Blob::new(text)).send().await;
    }

    /// Puts an outcome into the wire's form. One whose bytes cannot be stored becomes an error that says so.
    async fn outcome(&self, request: &RequestId, outcome: Outcome) -> sst_wire::Outcome {
        let stored = match &outcome {
            Outcome::Returned(body) => self.payloads.store(request, body).await,
            Outcome::Failed(error) => self.payloads.store(request, &error.body).await,
        };
        match (outcome, stored) {
            (Outcome::Returned(_), Ok(body)) => sst_wire::Outcome::Returned { body },
            (Outcome::Failed(error), Ok(body)) => {
                sst_wire::Outcome::Failed { error_type: error.error_type, body }
            }
            (_, Err(problem)) => {
                let message = format!("the result could not be put into the bucket: {problem}");
                self.ui.send(UiEvent::Error { message: message.clone(), hint: None });
                let error = FunctionError::new("Sst.PayloadUnavailable", &message);
                let body = Payload::inline(&error.body)
                    .unwrap_or(Payload::Inline { data: String::new(), length: 0 });
                sst_wire::Outcome::Failed { error_type: error.error_type, body }
            }
        }
    }

    async fn post(&self, connection: &str, frame: &ToStub) -> Result<(), String> {
        let text = sst_wire::encode(frame).map_err(|error| error.to_string())?;
        let until = tokio::time::Instant::now() + PATIENCE;
        let fresh = tokio::time::Instant::now() + FRESH;
        let mut pauses = backoff();
        loop {
            let post = self.management.post_to_connection().connection_id(connection);
            let error = match post.data(Blob::new(text.as_str())).send().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let status = error.raw_response().map(|response| response.status().as_u16());
            match status {
                // A connection that was announced a moment ago may not be known everywhere yet.
                Some(410) if tokio::time::Instant::now() < fresh => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Some(410) => return Err("its connection is gone".to_owned()),
                // The stub's buffer is full, or the service has trouble, or the network has.
                Some(429 | 500..) | None if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(pauses.next().unwrap_or(PATIENCE)).await;
                }
                _ => return Err(explain(&error)),
            }
        }
    }
}

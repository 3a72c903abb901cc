//! A call as it was, in memory.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    mask::{Mask, Secrets},
    record::{Line, Record, Status, Stored, Summary},
    related::related,
};
use crate::core::{
    effect::Answer,
    event::{Caller, FunctionError, Invocation, Outcome, StreamPart},
};

/// How much is kept of what a call writes, in bytes: so that a function that writes without end pushes nothing else out.
const MOST_OUTPUT: usize = 256 * 1024;

/// How much of a streamed response is kept, in bytes: it may be as long as it likes.
const MOST_STREAMED: usize = 256 * 1024;

/// How long an event or a result may be to be shown and written, in bytes. To mask what is in it takes several times that much memory.
const MOST_SHOWN: usize = 1 << 20;

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub summary: Summary,
    /// None once there was no room for it any more.
    pub event: Option<Bytes>,
    result: Option<Bytes>,
    streamed: Vec<u8>,
    streamed_in_all: usize,
    error: Option<String>,
    logs: Vec<Line>,
    /// How much memory these take. Lines are many, so nobody counts them again.
    output: usize,
    logs_left_out: usize,
    trace: Option<String>,
    variables: Arc<BTreeMap<String, String>>,
    mask: Arc<Mask>,
    /// What is left of event and result when there was no room for them any more.
    forgotten: Option<(Stored, Option<Stored>)>,
}

impl Call {
    /// One that has arrived.
    pub(super) fn new(invocation: Invocation, at: SystemTime, mask: Arc<Mask>) -> Self {
        let Invocation { caller, request, function, payload, context, environment, replays, .. } = invocation;
        let summary = Summary {
            id: request.to_string(),
            function: function.to_string(),
            source: String::new(),
            at: millis(at),
            status: Status::Running,
            place: None,
            left_ms: None,
            took_ms: None,
            waited_ms: None,
            local: caller == Caller::Local,
            replay_of: replays.map(|of| of.to_string()),
            related: related(&payload, context.trace_id.as_deref()),
            summary: String::new(),
            error_type: None,
        };
        Self {
            summary,
            event: Some(payload),
            result: None,
            streamed: Vec::new(),
            streamed_in_all: 0,
            error: None,
            logs: Vec::new(),
            output: 0,
            logs_left_out: 0,
            trace: context.trace_id,
            variables: environment,
            mask,
            forgotten: None,
        }
    }

    /// Whether it has its outcome.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.summary.status, Status::Returned | Status::Failed)
    }

    /// A debugger has stopped it at a place, with so much of its time left, in milliseconds.
    pub(super) fn paused(&mut self, place: Option<String>, left_ms: u64) {
        self.summary.status = Status::Paused;
        self.summary.place = place;
        self.summary.left_ms = Some(left_ms);
    }

    /// It goes on, if it was paused.
    pub(super) fn resumed(&mut self) {
        if self.summary.status == Status::Paused {
            self.summary.status = Status::Running;
        }
        self.summary.place = None;
        self.summary.left_ms = None;
    }

    /// It has written a line.
    pub(super) fn wrote(&mut self, text: String, at: SystemTime) {
        let weight = text.len() + size_of::<Line>();
        // What follows a line that is left out is left out as well, or the output would have gaps.
        if self.logs_left_out > 0 || self.output + weight > MOST_OUTPUT {
            self.logs_left_out += 1;
        } else {
            self.output += weight;
            self.logs.push(Line { at: millis(at), text });
        }
    }

    /// What its caller is told.
    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Working { .. } | Answer::Part(StreamPart::Begin { .. }) => {}
            Answer::Part(StreamPart::Data(data)) => {
                self.streamed_in_all += data.len();
                let room = MOST_STREAMED.saturating_sub(self.streamed.len());
                self.streamed.extend_from_slice(&data[..data.len().min(room)]);
            }
            Answer::Part(StreamPart::End { error: None }) => {
                let streamed = std::mem::take(&mut self.streamed);
                self.end(Outcome::Returned(streamed.into()));
            }
            Answer::Part(StreamPart::End { error: Some(error) }) => {
                let body = STANDARD.decode(&error.error_body).unwrap_or_default().into();
                self.end(Outcome::Failed(FunctionError { error_type: error.error_type, body }));
            }
            Answer::Outcome(outcome) => self.end(outcome),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.resumed();
        match outcome {
            Outcome::Returned(body) => {
                self.summary.status = Status::Returned;
                self.result = Some(body);
            }
            Outcome::Failed(FunctionError { error_type, body }) => {
                self.summary.status = Status::Failed;
                self.summary.error_type = Some(error_type);
                self.result = Some(body);
            }
        }
    }

    /// The error as it is shown.
    pub(super) fn failed(&mut self, detail: String) {
        self.error = Some(detail);
    }

    /// What it has returned, byte for byte.
    pub(super) fn result_bytes(&self) -> Option<Vec<u8>> {
        let is_whole = self.streamed_in_all <= MOST_STREAMED;
        self.result.as_ref().filter(|_| is_whole).map(|bytes| bytes.to_vec())
    }

    /// How much memory it takes, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let error = self.error.as_ref().map_or(0, String::len);
        bytes(&self.event)
            + bytes(&self.result)
            + self.streamed.len()
            + self.output
            + error
            + size_of::<Self>()
    }

    /// Forgets the event and the result; how long they were stays.
    pub(super) fn forget(&mut self) {
        if self.forgotten.is_some() {
            return;
        }
        let stub = |bytes: &Bytes| Stored { length: Some(bytes.len()), ..Stored::default() };
        let event = self.event.take().map(|event| stub(&event)).unwrap_or_default();
        self.forgotten = Some((event, self.result.take().map(|result| stub(&result))));
    }

    /// It as others see it.
    pub(super) fn record(&self) -> Record {
        let secrets = self.mask.secrets_of(&self.variables);
        let stored = |bytes: &Bytes| self.stored(bytes, &secrets);
        let (event, result) = match &self.forgotten {
            Some(forgotten) => forgotten.clone(),
            None => {
                let mut result = self.result.as_ref().map(stored);
                if let Some(result) = result.as_mut().filter(|_| self.streamed_in_all > MOST_STREAMED) {
                    result.length = Some(self.streamed_in_all);
                }
                (self.event.as_ref().map(stored).unwrap_or_default(), result)
            }
        };
        let line = |line: &Line| Line { at: line.at, text: self.mask.text(&line.text, &secrets) };
        Record {
            summary: self.summary.clone(),
            event,
            result,
            error: self.error.as_ref().map(|error| self.mask.text(error, &secrets)),
            logs: self.logs.iter().map(line).collect(),
            logs_left_out: self.logs_left_out,
            trace: self.trace.clone(),
        }
    }

    fn stored(&self, bytes: &Bytes, secrets: &Secrets) -> Stored {
        if bytes.len() > MOST_SHOWN {
            return Stored { length: Some(bytes.len()), ..Stored::default() };
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let (text, masked) = self.mask.document(text, secrets);
                Stored { text: Some(text), masked, ..Stored::default() }
            }
            // Nobody can read in it, and whoever can decode it finds no names in it.
            Err(_) => Stored { base64: Some(STANDARD.encode(bytes)), ..Stored::default() },
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

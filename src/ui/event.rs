//! What can be shown.

use std::{io, sync::Arc, time::Duration};

use super::queue::{Events, Queue};
use crate::{
    error::Error,
    ids::{FunctionId, RequestId},
};

/// Something to show. Texts carry no colours and no trailing line break; the printer adds both. They may come from outside as they
/// are: the printer makes them harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UiEvent {
    /// A fact worth a line.
    Info(String),
    /// Something the user should know and can live with.
    Warning(String),
    /// Something went wrong; `hint` says what to do.
    Error { message: String, hint: Option<String> },
    /// Something long begins; shown as a progress bar on a terminal, as a line elsewhere. `key` names it.
    ProgressBegan { key: &'static str, message: String },
    /// The same thing went on; `message` replaces the former.
    ProgressMoved { key: &'static str, message: String },
    /// The same thing ended well; `message` stays as a line.
    ProgressEnded { key: &'static str, message: String },
    /// The same thing failed; what follows is an error event of its own.
    ProgressFailed { key: &'static str },
    /// A stack output.
    Output { stack: String, name: String, value: String },
    /// A request arrived. `source` describes the event, e.g. `API GET /notes`.
    Request { request: RequestId, function: FunctionId, source: String },
    /// The function wrote a line.
    Log { request: Option<RequestId>, function: FunctionId, line: String },
    /// A request was answered.
    Response { request: RequestId, function: FunctionId, took: Duration, summary: String },
    /// A request failed. `detail` is the error with its stack.
    Failure { request: RequestId, function: FunctionId, took: Duration, detail: String },
    /// A debugger stopped a function; its clock stands still with `left` of `of` to go. `place` is a file and a line.
    Paused { request: RequestId, function: FunctionId, place: Option<String>, left: Duration, of: Duration },
    /// The caller of a function that is paused has stopped waiting for it.
    CallerGone { request: RequestId, function: FunctionId },
    /// A function was built anew.
    Rebuilt { function: FunctionId, took: Duration },
    /// A build failed; the text has file, line, and code frame.
    BuildFailed { function: FunctionId, detail: String, still_serving: bool },
    /// What a command was asked for. To a terminal it goes as text, to anything else byte for byte.
    Result(Vec<u8>),
    /// An error that ends the program; goes to standard error.
    Fatal { message: String, detail: Option<String>, hint: Option<String> },
    /// What `--verbose` asks for; goes to standard error.
    Diagnostic(String),
    /// So many lines of functions, and so many others, were dropped here, because nobody read them.
    Dropped { output: u64, others: u64 },
    /// Nothing is shown after this.
    End,
}

/// A handle to the terminal. Cheap to clone; sending never blocks and never fails. What nobody reads is dropped at some time.
#[derive(Debug, Clone)]
pub struct Ui {
    queue: Arc<Queue>,
}

impl Ui {
    /// A handle and the receiver that the printer reads.
    #[must_use]
    pub fn channel() -> (Self, Events) {
        let queue = Arc::new(Queue::default());
        (Self { queue: queue.clone() }, Events::new(queue))
    }

    /// Shows `event`. A printer that is gone is nobody's business here.
    pub fn send(&self, event: UiEvent) {
        self.queue.push(event);
    }

    /// Shows an error that ends the program.
    pub fn fatal(&self, error: Error) {
        let Error { message, detail, hint, .. } = error;
        self.send(UiEvent::Fatal { message, detail, hint });
    }

    /// Where diagnostics are written, one at a time.
    #[must_use]
    pub fn diagnostics(&self) -> impl io::Write + use<> {
        Diagnostics(self.clone())
    }

    /// Shows a fact.
    pub fn info(&self, text: impl Into<String>) {
        self.send(UiEvent::Info(text.into()));
    }

    /// Shows a warning.
    pub fn warning(&self, text: impl Into<String>) {
        self.send(UiEvent::Warning(text.into()));
    }
}

struct Diagnostics(Ui);

impl io::Write for Diagnostics {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(UiEvent::Diagnostic(String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

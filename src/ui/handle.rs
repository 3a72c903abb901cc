//! What everything else shows things with.

use std::{io, sync::Arc};

use super::{
    event::UiEvent,
    queue::{Events, Queue},
};
use crate::error::Error;

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

//! What one listener remembers: the invocation that its worker has.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::sync::mpsc;

use crate::{
    core::{
        effect::Delivery,
        event::{Event, FunctionError, Outcome, StreamPart},
    },
    extensions::Extensions,
    ids::{RequestId, WorkerId},
};

use super::epoch_ms;

/// The longest streamed response, in bytes: 200 MB, as Lambda documents.
pub(super) const MAX_STREAM: u64 = 200 * 1024 * 1024;

/// The state of one worker's Runtime API.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) worker: WorkerId,
    pub address: SocketAddr,
    pub extensions: Arc<Extensions>,
    deliveries: tokio::sync::Mutex<mpsc::UnboundedReceiver<Box<Delivery>>>,
    current: Mutex<Option<Current>>,
    events: mpsc::UnboundedSender<Event>,
}

#[derive(Debug)]
struct Current {
    request: RequestId,
    answered: bool,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The worker does not have this request.
    UnknownRequest,
    /// The worker has answered this request before.
    AnsweredBefore,
}

impl Shared {
    pub(super) fn new(
        worker: WorkerId,
        address: SocketAddr,
        deliveries: mpsc::UnboundedReceiver<Box<Delivery>>,
        extensions: Arc<Extensions>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let deliveries = tokio::sync::Mutex::new(deliveries);
        Self { worker, address, extensions, deliveries, current: Mutex::new(None), events }
    }

    /// The next invocation, however long it takes. `None` when the worker still owes an answer, or nothing will come any more.
    pub(super) async fn next(&self) -> Option<Box<Delivery>> {
        if self.lock().as_ref().is_some_and(|current| !current.answered) {
            return None;
        }
        let extensions = &self.extensions;
        extensions.telemetry.runtime_ready();
        // As on Lambda, the next call comes when the extensions are done with the last one as well. The core bounds how long that takes:
        // a worker has to ask before the time of its last call is over.
        extensions.ready().await;
        extensions.telemetry.all_ready(&extensions.states());
        self.send(Event::Polled { worker: self.worker });
        // Dropped with the connection; an invocation that was not taken out waits for the next connection.
        let delivery = self.deliveries.lock().await.recv().await?;
        extensions.invoke(&delivery, epoch_ms(delivery.deadline));
        extensions.telemetry.start(delivery.request.as_str(), delivery.context.trace_id.as_deref());
        *self.lock() = Some(Current { request: delivery.request.clone(), answered: false });
        Some(delivery)
    }

    /// Whether the worker has `request` and has not answered it.
    pub(super) fn check(&self, request: &str) -> Result<(), Refusal> {
        match self.lock().as_ref() {
            Some(current) if current.request.as_str() != request => Err(Refusal::UnknownRequest),
            Some(Current { answered: true, .. }) => Err(Refusal::AnsweredBefore),
            Some(_) => Ok(()),
            None => Err(Refusal::UnknownRequest),
        }
    }

    /// Ends `request` with `outcome`, unless it has ended before.
    pub(super) fn answer(&self, request: &str, outcome: Outcome) -> Result<(), Refusal> {
        let request = self.take(request)?;
        self.extensions.telemetry.produced(match &outcome {
            Outcome::Returned(bytes) => bytes.len(),
            Outcome::Failed(error) => error.body.len(),
        });
        self.send(Event::Answered { worker: self.worker, request, outcome });
        Ok(())
    }

    /// Passes a part of a streamed response on. The last part ends the request.
    pub(super) fn stream(&self, request: &str, part: StreamPart) -> Result<(), Refusal> {
        let request = match part {
            StreamPart::End { .. } => self.take(request)?,
            StreamPart::Begin { .. } | StreamPart::Data(_) => {
                self.check(request)?;
                if let StreamPart::Data(data) = &part {
                    self.extensions.telemetry.produced(data.len());
                }
                RequestId::from(request)
            }
        };
        self.send(Event::Streamed { worker: self.worker, request, part });
        Ok(())
    }

    pub(super) fn init_failed(&self, error: FunctionError) {
        self.send(Event::InitFailed { worker: self.worker, error });
    }

    fn take(&self, request: &str) -> Result<RequestId, Refusal> {
        // One lock over check and mark: of two answers that come at the same time only one counts.
        let mut guard = self.lock();
        match guard.as_mut() {
            Some(current) if current.request.as_str() == request => {
                if std::mem::replace(&mut current.answered, true) {
                    Err(Refusal::AnsweredBefore)
                } else {
                    Ok(current.request.clone())
                }
            }
            _ => Err(Refusal::UnknownRequest),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        // The guarded value is whole at every point at which a panic could happen.
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn send(&self, event: Event) {
        // The core outlives every worker, but for the last moments of the program.
        let _ = self.events.send(event);
    }
}

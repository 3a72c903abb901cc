//! The frames that a client is sent.

use std::time::{Duration, UNIX_EPOCH};

use sst_wire::{Invoke, MAX_MESSAGE, Payload, ToClient, encode};
use tokio::time::Instant;

use super::Conversation;
use crate::problem::Problem;

impl Conversation<'_> {
    /// The frame that asks after the request.
    pub(super) fn question(&self) -> Result<String, Problem> {
        let reply_to = self.socket.as_ref().map(|socket| socket.id.clone()).unwrap_or_default();
        text_of(ToClient::Moved { request_id: self.call.request_id.clone(), reply_to, from: self.part })
    }

    /// The frame that offers the request.
    pub(super) async fn invoke(&mut self, window: Instant) -> Result<String, Problem> {
        self.window = self.window.max(window);
        loop {
            let event = match &self.event {
                Some(event) => event.clone(),
                None => match Payload::inline(&self.call.event) {
                    Some(event) => event,
                    None => self.cloud.store(self.call, self.patience, self.call.event.clone()).await?,
                },
            };
            let inline = matches!(event, Payload::Inline { .. });
            self.event = Some(event.clone());
            let patience = window.saturating_duration_since(Instant::now());
            let frame = ToClient::Invoke(Box::new(Invoke {
                request_id: self.call.request_id.clone(),
                attempt: self.sent + 1,
                function: self.cloud.settings.config.function.clone(),
                sent_ms: millis(self.cloud.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default()),
                patience_ms: millis(patience),
                remaining_ms: millis(self.call.remaining()),
                timeout_s: self.cloud.settings.config.timeout_s,
                context: self.call.context.clone(),
                environment: self.cloud.settings.environment.clone(),
                event,
                reply_to: self.socket.as_ref().map(|socket| socket.id.clone()).unwrap_or_default(),
            }));
            let text = text_of(frame)?;
            if text.len() <= MAX_MESSAGE {
                return Ok(text);
            }
            // A large environment or client context can leave less room than a payload counts on.
            if !inline {
                return Err(Problem::Cloud {
                    action: "send the event to `sst start`".into(),
                    detail: format!("environment and context take {} bytes", text.len()),
                });
            }
            self.event = Some(self.cloud.store(self.call, self.patience, self.call.event.clone()).await?);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

fn text_of(frame: ToClient) -> Result<String, Problem> {
    encode(frame)
        .map_err(|error| Problem::Cloud { action: "write a message".into(), detail: error.to_string() })
}

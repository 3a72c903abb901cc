//! How other commands of this machine reach a running `sst start`: `sst invoke` and `sst test --as`, with calls of functions that do
//! not come from a stub, and those that change what is deployed.
//!
//! As the relay does for stubs, this tells the core who calls, and those who have called what it answers. The core decides whether a
//! function's stub is asked first for its variables and credentials; then this asks it.

mod calls;
mod control;
mod questions;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::calls::Calls;
pub(crate) use self::{
    control::{Answer, Control, LocalCall, Notice, announce, call},
    questions::configuration,
};
use crate::{
    aws::Aws,
    core::{
        effect::{self, LocalCommand},
        event::Event,
    },
    ids::RequestId,
    project::manifest::FunctionSpec,
    tasks,
};

/// What `sst start` has of it.
#[derive(Debug)]
pub(crate) struct Local {
    incoming: mpsc::UnboundedReceiver<LocalCall>,
    calls: Calls,
    /// Where stubs are asked.
    aws: Aws,
    events: mpsc::UnboundedSender<Event>,
}

impl Local {
    /// Serves the calls that are `incoming`. Questions that are over are reported as `events`.
    #[must_use]
    pub(crate) fn new(
        incoming: mpsc::UnboundedReceiver<LocalCall>,
        aws: Aws,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self { incoming, calls: Calls::default(), aws, events }
    }

    /// The next call, for the core; none when nobody listens any more.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let call = self.incoming.recv().await?;
        Some(Event::Called(self.calls.open(call)))
    }

    /// Tells a caller what becomes of the call.
    pub(crate) fn answer(&mut self, call: &RequestId, answer: effect::Answer) {
        self.calls.answer(call, answer);
    }

    /// Does what the core wants.
    pub(crate) fn command(&mut self, command: LocalCommand) {
        match command {
            LocalCommand::Ask { spec, token } => self.ask(spec, token),
            LocalCommand::Environment { call, variables } => {
                self.calls.close(&call, Answer::Environment { variables });
            }
            LocalCommand::Refuse { call, message, hint } => {
                self.calls.close(&call, Answer::Refused { message, hint });
            }
        }
    }

    fn ask(&self, spec: Arc<FunctionSpec>, token: String) {
        let (aws, events) = (self.aws.clone(), self.events.clone());
        let name = format!("the question to the stub of `{}`", spec.id);
        tokio::spawn(tasks::named(name, async move {
            let over = |reason: String| {
                let _ = events.send(Event::Unanswered { token: token.clone(), reason });
            };
            // A question that is given up is one that was not answered.
            let _guard = tasks::on_panic(|| over("the question failed".to_owned()));
            over(match questions::ask(&aws, &spec, token.clone()).await {
                Err(reason) => reason,
                // Unless its answer went to another machine, this is the end of a question that has been answered.
                Ok(()) => "another machine answers for it".to_owned(),
            });
        }));
    }
}

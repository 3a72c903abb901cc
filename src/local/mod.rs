//! Calls of functions that do not come from a stub, but from other commands of this machine, such as `sst invoke` and `sst test --as`.
//! They come by way of the session's API.
//!
//! As the relay does for stubs, this tells the core who calls, and those who have called what it answers. The core decides whether a
//! function's stub is asked first for its variables and credentials; then this asks it.

mod calls;
mod questions;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::calls::Calls;
pub(crate) use self::questions::configuration;
use crate::{
    aws::Aws,
    core::{
        effect::{self, LocalCommand},
        event::Event,
    },
    ids::RequestId,
    lock::Holder,
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

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub(crate) enum Answer {
    /// The function's result in base64, byte for byte.
    Returned { body: String },
    /// The function failed: the body that a caller would get, in base64.
    #[serde(rename_all = "camelCase")]
    Failed { error_type: String, body: String },
    /// The variables of the function, with its role's credentials.
    Environment { variables: BTreeMap<String, String> },
    /// It was not called.
    Refused { message: String, hint: Option<String> },
}

/// Something about what is deployed of the stage that is served here.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Another command begins to change it.
    Began(Holder),
    /// That has ended, in whatever way.
    Ended(Holder),
    /// What waits to be deployed is to be deployed. Told when that begins, and dropped when nothing waits.
    Deploy(oneshot::Sender<()>),
}

/// Something that somebody on this machine wants of a function.
#[derive(Debug)]
pub(crate) struct LocalCall {
    /// By which it is answered, and the request id when it leads to one.
    pub id: RequestId,
    /// The function's id, or what is enough of it.
    pub function: String,
    /// The event to call it with; none when only its environment is wanted.
    pub event: Option<Bytes>,
    /// Whose event it has once more.
    pub replays: Option<RequestId>,
    /// Whether debuggers are to stop at the handler's first line.
    pub stops: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

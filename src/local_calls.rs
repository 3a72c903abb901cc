//! Calls that come from this machine rather than from a stub. The core does not know the difference; their answers are taken out of
//! what it has for the relay.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::oneshot;

use crate::{
    control::{Answer, LocalCall},
    core::{
        Found, State,
        effect::RelayCommand,
        event::{FunctionError, Invocation, Outcome, StreamPart},
    },
    ids::RequestId,
};

/// The calls that are open.
#[derive(Debug, Default)]
pub struct LocalCalls {
    open: HashMap<RequestId, Open>,
}

#[derive(Debug)]
struct Open {
    reply: oneshot::Sender<Answer>,
    /// What was streamed so far.
    streamed: Vec<u8>,
}

impl LocalCalls {
    /// What the core is told of a call; none when it was refused.
    pub fn begin(&mut self, state: &State, call: LocalCall) -> Option<Invocation> {
        let refuse = |reply: oneshot::Sender<Answer>, message, hint: Option<String>| {
            let _ = reply.send(Answer::Refused { message, hint });
            None
        };
        let Found { spec, environment } = match state.find_function(&call.function) {
            Ok(found) => found,
            Err(message) => return refuse(call.reply, message, None),
        };
        let Some(environment) = environment else {
            let message = format!("the variables and credentials of `{}` are not known yet", spec.id);
            let hint = "they come with its first call from the cloud; call it there once, e.g. with `aws lambda invoke`";
            return refuse(call.reply, message, Some(hint.to_owned()));
        };
        let request = RequestId::from(uuid::Uuid::new_v4().to_string());
        self.open.insert(request.clone(), Open { reply: call.reply, streamed: Vec::new() });
        Some(Invocation {
            request,
            function: spec.id.clone(),
            payload: call.event,
            context: sst_wire::Context { invoked_function_arn: arn(&environment), ..Default::default() },
            environment,
            remaining: Duration::from_secs(spec.timeout_s),
        })
    }

    /// Gives back what is for the relay.
    pub fn take(&mut self, command: RelayCommand) -> Option<RelayCommand> {
        match command {
            RelayCommand::Reply { request, outcome } if self.open.contains_key(&request) => {
                self.end(&request, |_| outcome);
            }
            RelayCommand::Working { request, .. } if self.open.contains_key(&request) => {}
            RelayCommand::Stream { request, part } if self.open.contains_key(&request) => match part {
                StreamPart::Begin { .. } => {}
                StreamPart::Data(bytes) => {
                    if let Some(open) = self.open.get_mut(&request) {
                        open.streamed.extend_from_slice(&bytes);
                    }
                }
                StreamPart::End { error } => self.end(&request, |streamed| match error {
                    None => Outcome::Returned(streamed.into()),
                    Some(error) => Outcome::Failed(FunctionError {
                        error_type: error.error_type,
                        body: STANDARD.decode(&error.error_body).unwrap_or_default().into(),
                    }),
                }),
            },
            command => return Some(command),
        }
        None
    }

    fn end(&mut self, request: &RequestId, outcome: impl FnOnce(Vec<u8>) -> Outcome) {
        let Some(open) = self.open.remove(request) else { return };
        let answer = match outcome(open.streamed) {
            Outcome::Returned(body) => Answer::Returned { body: STANDARD.encode(&body) },
            Outcome::Failed(error) => {
                Answer::Failed { error_type: error.error_type, body: STANDARD.encode(&error.body) }
            }
        };
        // Whoever asked may have given up.
        let _ = open.reply.send(answer);
    }
}

/// What an ARN says that is known here. The account is not.
fn arn(environment: &BTreeMap<String, String>) -> String {
    let variable = |name: &str| environment.get(name).map_or("", String::as_str);
    format!(
        "arn:aws:lambda:{}:000000000000:function:{}",
        variable("AWS_REGION"),
        variable("AWS_LAMBDA_FUNCTION_NAME")
    )
}

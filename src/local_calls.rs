//! Calls that come from this machine rather than from a stub. The core does not know the difference; their answers are taken out of
//! what it has for the relay.
//!
//! They need what otherwise comes with a call from the cloud: the function's variables and credentials. When these are not known, or
//! were received long ago, the calls wait until the stub has been asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
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
    project::manifest::FunctionSpec,
};

/// Credentials that were received this long ago may have expired.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// The longest response of a call that waits for all of it, in bytes, streamed or not.
const MAX_RESPONSE: usize = 6_291_556;

/// The calls that are open.
#[derive(Debug, Default)]
pub struct LocalCalls {
    open: HashMap<RequestId, Open>,
    /// The calls that wait until a stub has answered, by the question's token.
    waiting: HashMap<String, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    spec: Arc<FunctionSpec>,
    calls: Vec<LocalCall>,
}

/// What has to be done for a call.
#[derive(Debug)]
pub enum Begun {
    /// The core has to be told of it.
    Call(Box<Invocation>),
    /// The stub of a function has to be asked; the token is that of the question.
    Ask(Arc<FunctionSpec>, String),
    /// Nothing.
    Nothing,
}

#[derive(Debug)]
struct Open {
    reply: oneshot::Sender<Answer>,
    /// What was streamed so far.
    streamed: Vec<u8>,
    /// It was more than a caller who waits for all of it can be given.
    too_long: bool,
}

impl LocalCalls {
    /// Begins a call, or refuses it.
    pub fn begin(&mut self, state: &State, call: LocalCall, now: Instant) -> Begun {
        match state.find_function(&call.function) {
            Ok(Found { spec, environment: Some(environment), seen })
                if seen.is_some_and(|seen| now.saturating_duration_since(seen) < FRESH) =>
            {
                self.go(call, &spec, environment)
            }
            Ok(Found { spec, .. }) => self.ask(spec, call),
            Err(message) => {
                refuse(call, message, None);
                Begun::Nothing
            }
        }
    }

    /// The calls that have waited for the answer to a question; none when it was not asked here.
    pub fn answered(&mut self, token: &str) -> Vec<LocalCall> {
        self.waiting.remove(token).map_or_else(Vec::new, |waiting| waiting.calls)
    }

    /// A question was not answered. What was received long ago is better than nothing.
    pub fn unanswered(&mut self, state: &State, token: &str, reason: &str) -> Vec<Begun> {
        let Some(Waiting { spec, calls }) = self.waiting.remove(token) else { return Vec::new() };
        let found = state.find_function(spec.id.as_str()).ok();
        let environment = found.and_then(|found| found.environment);
        let mut begun = Vec::new();
        for call in calls {
            match &environment {
                Some(environment) => begun.push(self.go(call, &spec, environment.clone())),
                None => {
                    let message =
                        format!("the variables and credentials of `{}` are not known: {reason}", spec.id);
                    let hint = "they come with a call from the cloud as well; call it there once";
                    refuse(call, message, Some(hint.to_owned()));
                }
            }
        }
        begun
    }

    fn ask(&mut self, spec: Arc<FunctionSpec>, call: LocalCall) -> Begun {
        if let Some(waiting) = self.waiting.values_mut().find(|waiting| waiting.spec.id == spec.id) {
            waiting.calls.push(call);
            return Begun::Nothing;
        }
        let token = uuid::Uuid::new_v4().to_string();
        self.waiting.insert(token.clone(), Waiting { spec: spec.clone(), calls: vec![call] });
        Begun::Ask(spec, token)
    }

    fn go(&mut self, call: LocalCall, spec: &FunctionSpec, environment: BTreeMap<String, String>) -> Begun {
        let Some(event) = call.event else {
            let _ = call.reply.send(Answer::Environment { variables: environment });
            return Begun::Nothing;
        };
        let request = RequestId::from(uuid::Uuid::new_v4().to_string());
        self.open.insert(request.clone(), Open { reply: call.reply, streamed: Vec::new(), too_long: false });
        Begun::Call(Box::new(Invocation {
            request,
            function: spec.id.clone(),
            payload: event,
            context: sst_wire::Context { invoked_function_arn: arn(&environment), ..Default::default() },
            environment,
            remaining: Duration::from_secs(spec.timeout_s),
            patience: None,
        }))
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
                        open.too_long |= open.streamed.len() + bytes.len() > MAX_RESPONSE;
                        if open.too_long {
                            open.streamed = Vec::new();
                        } else {
                            open.streamed.extend_from_slice(&bytes);
                        }
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
        let outcome = if open.too_long {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
            );
            Outcome::Failed(FunctionError::new("Function.ResponseSizeTooLarge", &message))
        } else {
            outcome(open.streamed)
        };
        let answer = match outcome {
            Outcome::Returned(body) => Answer::Returned { body: STANDARD.encode(&body) },
            Outcome::Failed(error) => {
                Answer::Failed { error_type: error.error_type, body: STANDARD.encode(&error.body) }
            }
        };
        // Whoever asked may have given up.
        let _ = open.reply.send(answer);
    }
}

fn refuse(call: LocalCall, message: String, hint: Option<String>) {
    // Whoever asked may have given up.
    let _ = call.reply.send(Answer::Refused { message, hint });
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a call whose response comes in so many parts of 64 KiB.
    fn streamed(parts: usize) -> Answer {
        let mut calls = LocalCalls::default();
        let (reply, mut answer) = oneshot::channel();
        let request = RequestId::from("r1");
        calls.open.insert(request.clone(), Open { reply, streamed: Vec::new(), too_long: false });
        let data = StreamPart::Data(vec![b'x'; 65_536].into());
        for part in std::iter::repeat_n(data, parts).chain([StreamPart::End { error: None }]) {
            let kept = calls.open.get(&request).map_or(0, |open| open.streamed.len());
            assert!(kept <= MAX_RESPONSE, "{kept}");
            assert!(calls.take(RelayCommand::Stream { request: request.clone(), part }).is_none());
        }
        answer.try_recv().unwrap()
    }

    #[test]
    fn a_streamed_response_is_kept_until_it_is_too_long() {
        assert_eq!(streamed(2), Answer::Returned { body: STANDARD.encode(vec![b'x'; 2 * 65_536]) });
        assert!(matches!(streamed(96), Answer::Returned { .. }), "6 MiB");
        let answer = streamed(200);
        assert!(
            matches!(&answer, Answer::Failed { error_type, .. } if error_type == "Function.ResponseSizeTooLarge")
        );
    }
}

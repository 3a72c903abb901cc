//! What is wanted of functions on this machine rather than in the cloud.
//!
//! A call needs what otherwise comes with it: the function's variables and credentials. When these are not known, or were received
//! long ago, the stub is asked, and the calls of the function wait for what it says. One question is asked of a function at a time. The
//! answer is an event, which every `sst start` answers without the function, also one that has not asked.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    EXTRA, State,
    effect::{Answer, Effect, LocalCommand},
    event::{Call, Caller, Invocation, Outcome},
    function::Received,
};
use crate::{ids::FunctionId, project::manifest::FunctionSpec};

/// Credentials that were received this long ago may have expired.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// The longest that Lambda runs a function: what one gets whose own time only its deployment knows.
const LONGEST: Duration = Duration::from_secs(900);

/// A question that a stub has been asked.
#[derive(Debug)]
pub(super) struct Question {
    function: FunctionId,
    /// The calls that wait for what it says, in order of arrival.
    calls: Vec<Call>,
}

impl State {
    /// Begins a call, or has the stub asked first for what it needs.
    pub(super) fn called(&mut self, call: Call, now: Instant, effects: &mut Vec<Effect>) {
        let function = match FunctionId::named(&call.function, self.functions.iter()) {
            Ok(function) => function,
            Err(message) => return refuse(call, message, None, effects),
        };
        let spec = function.spec.clone();
        if call.stops && self.debuggers == 0 && !self.config.followed {
            let hint = "attach one first, e.g. VS Code (`sst ide vscode`)".to_owned();
            return refuse(call, "no debugger is attached that could stop".to_owned(), Some(hint), effects);
        }
        match &function.received {
            Some(Received { environment, at }) if now.saturating_duration_since(*at) < FRESH => {
                let environment = environment.clone();
                self.begin(call, &spec, environment, now, effects);
            }
            _ => self.ask(spec, call, effects),
        }
    }

    fn ask(&mut self, spec: Arc<FunctionSpec>, call: Call, effects: &mut Vec<Effect>) {
        if self.stopping {
            return refuse_because_of_the_end(call, effects);
        }
        if let Some(question) = self.questions.values_mut().find(|question| question.function == spec.id) {
            return question.calls.push(call);
        }
        // Nobody else asks with the id of this call, and this call may have to ask again.
        self.asked += 1;
        let token = format!("{}-{}", call.id, self.asked);
        self.questions.insert(token.clone(), Question { function: spec.id.clone(), calls: vec![call] });
        effects.push(Effect::Local(LocalCommand::Ask { spec, token }));
    }

    /// A stub has answered a question, be it ours or that of another machine. The calls that have waited for it can begin.
    pub(super) fn introduced(
        &mut self,
        token: &str,
        invocation: Invocation,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Invocation { caller, request, function, environment, .. } = invocation;
        let answer = Answer::Outcome(Outcome::Returned("null".into()));
        effects.push(Effect::Answer { caller, request, answer });
        let Some(question) = self.questions.remove(token) else { return };
        if let Some(function) = self.functions.get_mut(&function) {
            function.received = Some(Received { environment, at: now });
        }
        for call in question.calls {
            self.called(call, now, effects);
        }
    }

    /// A question is not answered. What was received long ago is better than nothing.
    pub(super) fn unanswered(&mut self, token: &str, reason: &str, now: Instant, effects: &mut Vec<Effect>) {
        let Some(Question { function: id, calls }) = self.questions.remove(token) else { return };
        let known = self.functions.get(&id).and_then(|function| {
            let received = function.received.as_ref()?;
            Some((function.spec.clone(), received.environment.clone()))
        });
        for call in calls {
            match &known {
                Some((spec, environment)) => self.begin(call, spec, environment.clone(), now, effects),
                None => {
                    let message = format!("the variables and credentials of `{id}` are not known: {reason}");
                    let hint = "they come with a call from the cloud as well; call it there once";
                    refuse(call, message, Some(hint.to_owned()), effects);
                }
            }
        }
    }

    /// Waits for no answers any more.
    pub(super) fn refuse_waiting_calls(&mut self, effects: &mut Vec<Effect>) {
        for question in std::mem::take(&mut self.questions).into_values() {
            for call in question.calls {
                refuse_because_of_the_end(call, effects);
            }
        }
    }

    fn begin(
        &mut self,
        call: Call,
        spec: &FunctionSpec,
        environment: Arc<BTreeMap<String, String>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(payload) = call.event else {
            let environment =
                LocalCommand::Environment { call: call.id, variables: Arc::unwrap_or_clone(environment) };
            return effects.push(Effect::Local(environment));
        };
        let time = spec.timeout_s.map_or(LONGEST, Duration::from_secs);
        let invocation = Invocation {
            caller: Caller::Local,
            request: call.id,
            function: spec.id.clone(),
            payload,
            context: sst_wire::Context {
                invoked_function_arn: arn(&environment),
                trace_id: Some(call.trace_id),
                ..Default::default()
            },
            environment,
            remaining: time + EXTRA,
            time: Some(time),
            patience: None,
            replays: call.replays,
            stops: call.stops,
        };
        self.admit(invocation, now, effects);
    }
}

fn refuse(call: Call, message: String, hint: Option<String>, effects: &mut Vec<Effect>) {
    effects.push(Effect::Local(LocalCommand::Refuse { call: call.id, message, hint }));
}

fn refuse_because_of_the_end(call: Call, effects: &mut Vec<Effect>) {
    refuse(call, "`sst start` ended before the function answered".to_owned(), None, effects);
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

//! The calls that are open: where their answers go, and what was streamed so far.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::oneshot;

use super::{Answer, LocalCall};
use crate::{
    core::{
        effect,
        event::{Call, FunctionError, Outcome, StreamPart},
    },
    ids::RequestId,
};

/// The longest response of a call that waits for all of it, in bytes, streamed or not.
const MAX_RESPONSE: usize = 6_291_556;

/// The calls that are open, by the ids that the core knows them by.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: HashMap<RequestId, Open>,
}

#[derive(Debug)]
struct Open {
    reply: oneshot::Sender<Answer>,
    streamed: Vec<u8>,
    /// It was more than a caller who waits for all of it can be given.
    too_long: bool,
}

/// A trace as Lambda begins one for each call that brings none: it is not sampled, so nothing of it is sent to X-Ray. SDKs complain of calls
/// without.
fn new_trace(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let [root, parent] = [(); 2].map(|()| uuid::Uuid::new_v4().simple().to_string());
    // The time has eight digits until 2106.
    format!("Root=1-{:08x}-{:.24};Parent={:.16};Sampled=0", seconds & 0xffff_ffff, root, parent)
}

impl Calls {
    /// Keeps where the answer to a call goes. The rest is for the core.
    pub(super) fn open(&mut self, call: LocalCall) -> Call {
        let LocalCall { id, function, event, replays, stops, reply } = call;
        self.open.insert(id.clone(), Open { reply, streamed: Vec::new(), too_long: false });
        Call { id, function, event, trace_id: new_trace(SystemTime::now()), replays, stops }
    }

    /// What becomes of a call. Its caller waits for all of it.
    pub(super) fn answer(&mut self, id: &RequestId, answer: effect::Answer) {
        match answer {
            effect::Answer::Working { .. } | effect::Answer::Part(StreamPart::Begin { .. }) => {}
            effect::Answer::Part(StreamPart::Data(bytes)) => {
                let Some(open) = self.open.get_mut(id) else { return };
                open.too_long |= open.streamed.len() + bytes.len() > MAX_RESPONSE;
                if open.too_long {
                    open.streamed = Vec::new();
                } else {
                    open.streamed.extend_from_slice(&bytes);
                }
            }
            effect::Answer::Part(StreamPart::End { error }) => self.end(id, |streamed| match error {
                None => Outcome::Returned(streamed.into()),
                Some(error) => Outcome::Failed(FunctionError {
                    error_type: error.error_type,
                    body: STANDARD.decode(&error.error_body).unwrap_or_default().into(),
                }),
            }),
            effect::Answer::Outcome(outcome) => self.end(id, |_| outcome),
        }
    }

    fn end(&mut self, id: &RequestId, outcome: impl FnOnce(Vec<u8>) -> Outcome) {
        let Some(open) = self.open.get_mut(id) else { return };
        let outcome = if open.too_long {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
            );
            Outcome::Failed(FunctionError::new("Function.ResponseSizeTooLarge", &message))
        } else {
            outcome(std::mem::take(&mut open.streamed))
        };
        let answer = match outcome {
            Outcome::Returned(body) => Answer::Returned { body: STANDARD.encode(&body) },
            Outcome::Failed(error) => {
                Answer::Failed { error_type: error.error_type, body: STANDARD.encode(&error.body) }
            }
        };
        self.close(id, answer);
    }

    /// Gives a call its one answer.
    pub(super) fn close(&mut self, id: &RequestId, answer: Answer) {
        if let Some(open) = self.open.remove(id) {
            // Whoever asked may have given up.
            let _ = open.reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a call whose response comes in so many parts of 64 KiB.
    fn streamed(parts: usize) -> Answer {
        let mut calls = Calls::default();
        let (reply, mut answer) = oneshot::channel();
        let request = RequestId::from("r1");
        calls.open.insert(request.clone(), Open { reply, streamed: Vec::new(), too_long: false });
        let data = StreamPart::Data(vec![b'x'; 65_536].into());
        for part in std::iter::repeat_n(data, parts).chain([StreamPart::End { error: None }]) {
            let kept = calls.open.get(&request).map_or(0, |open| open.streamed.len());
            assert!(kept <= MAX_RESPONSE, "{kept}");
            calls.answer(&request, effect::Answer::Part(part));
        }
        answer.try_recv().unwrap()
    }

    #[test]
    fn a_trace_has_the_time_of_its_call_and_is_told_from_all_others() {
        let at = UNIX_EPOCH + std::time::Duration::from_secs(0x5759_e988);
        let (one, other) = (new_trace(at), new_trace(at));
        let [root, parent, "Sampled=0"] = one.split(';').collect::<Vec<_>>()[..] else { panic!("{one}") };
        assert!(root.starts_with("Root=1-5759e988-") && root.len() == 40, "{root}");
        assert!(parent.starts_with("Parent=") && parent.len() == 23, "{parent}");
        assert_ne!(one, other);
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

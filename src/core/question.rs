//! The event by which a stub is asked for the variables and the credentials of its function, so that nobody has to call the function
//! first. The stub sends it here as any other, with what is wanted to know.

use serde::{Deserialize, Serialize};

/// Longer events are no questions.
const LONGEST: usize = 200;

/// The event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(rename = "sst:question")]
    token: String,
}

/// What tells a question from others; none for an event that is a function's business.
#[must_use]
pub fn token(event: &[u8]) -> Option<String> {
    let question = (event.len() <= LONGEST).then(|| serde_json::from_slice::<Question>(event).ok())?;
    question.map(|question| question.token)
}

/// The question with a token.
#[must_use]
pub fn event(token: String) -> Vec<u8> {
    serde_json::to_vec(&Question { token }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_is_one() {
        assert_eq!(token(&event("t".to_owned())).as_deref(), Some("t"));
        assert_eq!(token(br#"{ "sst:question": "t" }"#).as_deref(), Some("t"), "however it is written");
        for event in
            [r#"{"sst:question":"t","more":1}"#, r#"{"sst:question":1}"#, "{}", "null", "\"sst:question\""]
        {
            assert_eq!(token(event.as_bytes()), None, "{event}");
        }
    }
}

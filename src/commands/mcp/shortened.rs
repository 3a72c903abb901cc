//! What is too long for a model, shorter: its context is limited, and a client may refuse a longer answer as a whole.

use serde_json::Value;

/// The longest text in an answer, in bytes.
const LONGEST: usize = 16 * 1024;

/// The most lines of one call's output. The last ones stay.
const MOST_LINES: usize = 200;

/// Shortens whatever is too long, and says so in its place.
pub(super) fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST => {
            let end = text.floor_char_boundary(LONGEST);
            let left_out = text.len() - end;
            text.truncate(end);
            *text += &format!("… ({left_out} bytes more)");
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => {
            fields.values_mut().for_each(shorten);
            let surplus = fields
                .get_mut("logs")
                .and_then(Value::as_array_mut)
                .map_or(0, |lines| lines.drain(..lines.len().saturating_sub(MOST_LINES)).count());
            if surplus > 0 {
                fields.insert("earlierLogsLeftOut".to_owned(), surplus.into());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_and_many_lines_are_shortened_and_said_to_be() {
        let text = format!("{}é", "x".repeat(LONGEST - 1));
        let lines: Vec<u64> = (0..250).collect();
        let mut value = json!({ "a": [{ "text": text }], "short": "s", "logs": lines });
        shorten(&mut value);
        assert_eq!(value["a"][0]["text"], format!("{}… (2 bytes more)", "x".repeat(LONGEST - 1)));
        assert_eq!(value["short"], "s");
        assert_eq!(value["logs"].as_array().map(Vec::len), Some(MOST_LINES));
        assert_eq!((&value["logs"][0], &value["earlierLogsLeftOut"]), (&json!(50), &json!(50)));
    }
}

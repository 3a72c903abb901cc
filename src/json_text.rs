//! JSON as people read it, with each number and string as it was written: a value that nobody has touched is the same afterwards.

use std::fmt::Write as _;

use serde_json::value::RawValue;

/// How the words of JSON are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// As in JSON, and so in JavaScript.
    Json,
    /// As in Python, where all else of JSON is an expression, too.
    Python,
}

impl Words {
    fn of(self, word: &str) -> &str {
        match (self, word) {
            (Self::Python, "true") => "True",
            (Self::Python, "false") => "False",
            (Self::Python, "null") => "None",
            _ => word,
        }
    }
}

/// JSON with a line for each value, of which those after the first one are indented by `indent` and their depth, in columns. None for
/// what is not JSON.
pub(crate) fn indented(json: &[u8], words: Words, step: usize, indent: usize) -> Option<String> {
    let raw: &RawValue = serde_json::from_slice(json).ok()?;
    let mut result = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut letters = raw.get().char_indices().peekable();
    let new_line = |result: &mut String, depth: usize| {
        let _ = write!(result, "\n{:width$}", "", width = indent + step * depth);
    };
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter.is_ascii_whitespace() => {}
            '{' | '[' => {
                result.push(letter);
                while letters.next_if(|(_, next)| next.is_ascii_whitespace()).is_some() {}
                if let Some((_, end)) = letters.next_if(|(_, next)| matches!(next, '}' | ']')) {
                    result.push(end);
                } else {
                    depth += 1;
                    new_line(&mut result, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut result, depth);
                result.push(letter);
            }
            ',' => {
                result.push(letter);
                new_line(&mut result, depth);
            }
            ':' => result.push_str(": "),
            '"' => {
                result.push(letter);
                let mut escaped = false;
                for (_, letter) in letters.by_ref() {
                    result.push(letter);
                    if letter == '"' && !escaped {
                        break;
                    }
                    escaped = !escaped && letter == '\\';
                }
            }
            _ => {
                let ends = |next: char| next.is_ascii_whitespace() || ",]}".contains(next);
                let mut end = at + letter.len_utf8();
                while let Some((at, letter)) = letters.next_if(|(_, next)| !ends(*next)) {
                    end = at + letter.len_utf8();
                }
                result.push_str(words.of(&raw.get()[at..end]));
            }
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_are_written() {
        for (json, expected) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            (
                r#"{"a":1e400,"b":[12345678901234567890123,{}]}"#,
                "{\n  \"a\": 1e400,\n  \"b\": [\n    12345678901234567890123,\n    {}\n  ]\n}",
            ),
            (
                r#"{"a:{":"x\",[\\","e":"\u00e9, true"}"#,
                "{\n  \"a:{\": \"x\\\",[\\\\\",\n  \"e\": \"\\u00e9, true\"\n}",
            ),
        ] {
            let text = indented(json.as_bytes(), Words::Json, 2, 0).unwrap();
            assert_eq!(text, expected, "{json}");
            assert_eq!(indented(text.as_bytes(), Words::Json, 2, 0).unwrap(), text, "{json}");
        }
        assert_eq!(indented(b"not JSON", Words::Json, 2, 0), None);
    }

    #[test]
    fn python_has_other_words() {
        let json = br#"{"a":[true,false,null],"true":"null"}"#;
        let expected = "{\n        \"a\": [\n            True,\n            False,\n            None\n        ],\n        \"true\": \"null\"\n    }";
        assert_eq!(indented(json, Words::Python, 4, 4).unwrap(), expected);
    }
}

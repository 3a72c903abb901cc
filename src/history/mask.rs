//! What is not to be read in a history: values under names that say so, and the function's own secrets wherever they are.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// What stands in the place of a value.
pub(crate) const MASKED: &str = "***";

/// Values under names that have one of these in them, in whatever case.
const KEYS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "apikey",
];

/// Variables whose names have one of these in them as well are secrets.
const VARIABLES: [&str; 3] = ["key", "private", "dsn"];

/// No secret, although it is called so: the name of a key. In a local cloud it is the number of the account, which many events have.
const NONE: &str = "AWS_ACCESS_KEY_ID";

/// A value that is shorter is in too many texts by chance, and no secret.
const SHORTEST: usize = 6;

/// How deep documents are in documents: an event whose body is JSON, in a message, in another one.
const DEEPEST: usize = 8;

/// What is masked.
#[derive(Debug, Default)]
pub(super) struct Mask {
    keys: Vec<String>,
}

/// The values of a function's variables that are secrets, the longest first.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Mask {
    /// Values under `keys` besides the usual ones.
    pub(super) fn new(keys: &[String]) -> Self {
        Self { keys: keys.iter().map(|key| plain(key)).filter(|key| !key.is_empty()).collect() }
    }

    /// The secrets among a function's variables.
    pub(super) fn secrets_of(&self, variables: &BTreeMap<String, String>) -> Secrets {
        let is_secret = |name: &str| {
            let plain = plain(name);
            self.names(name) || VARIABLES.iter().any(|word| plain.contains(word))
        };
        let mut found: Vec<String> = variables
            .iter()
            .filter(|(name, value)| value.len() >= SHORTEST && is_secret(name) && *name != NONE)
            .map(|(_, value)| value.clone())
            .collect();
        found.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
        Secrets(found)
    }

    /// A document without what is to be masked, and how much that was. If it was nothing, the text stays as it is.
    pub(super) fn document(&self, text: &str, secrets: &Secrets) -> (String, usize) {
        let mut count = 0;
        let masked = self.within(text, secrets, DEEPEST, &mut count);
        (masked.unwrap_or_else(|| text.to_owned()), count)
    }

    /// A text without secrets.
    pub(super) fn text(&self, text: &str, secrets: &Secrets) -> String {
        secrets.without(text, &mut 0).unwrap_or_else(|| text.to_owned())
    }

    fn names(&self, name: &str) -> bool {
        let name = plain(name);
        KEYS.iter().any(|key| name.contains(key)) || self.keys.iter().any(|key| name.contains(key))
    }

    /// A text that may be JSON or a form; none if nothing is masked.
    fn within(&self, text: &str, secrets: &Secrets, depth: usize, count: &mut usize) -> Option<String> {
        let before = *count;
        if depth > 0
            && text.trim_start().starts_with(['{', '[', '"'])
            && let Ok(mut value) = serde_json::from_str::<Value>(text)
        {
            self.value(&mut value, secrets, depth - 1, count);
            return (*count > before).then(|| value.to_string());
        }
        if let Some(form) = self.form(text, count) {
            return Some(secrets.without(&form, count).unwrap_or(form));
        }
        secrets.without(text, count)
    }

    fn value(&self, value: &mut Value, secrets: &Secrets, depth: usize, count: &mut usize) {
        match value {
            Value::Object(fields) => self.object(fields, secrets, depth, count),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, secrets, depth, count)),
            Value::String(text) => {
                if let Some(masked) = self.within(text, secrets, depth, count) {
                    *text = masked;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&self, fields: &mut Map<String, Value>, secrets: &Secrets, depth: usize, count: &mut usize) {
        // API Gateway and Kinesis hand bytes over so.
        let is_encoded = fields.get("isBase64Encoded") == Some(&Value::Bool(true));
        for (name, value) in fields.iter_mut() {
            if self.names(name) && !value.is_null() && *value != Value::String(String::new()) {
                hide(value, count);
            } else if let (true, "body", Value::String(body)) = (is_encoded, name.as_str(), &mut *value)
                && let Some(text) =
                    STANDARD.decode(&*body).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            {
                if let Some(masked) = self.within(&text, secrets, depth, count) {
                    *body = STANDARD.encode(masked);
                }
            } else {
                self.value(value, secrets, depth, count);
            }
        }
    }

    /// `name=value&name=value`, as in query strings and forms.
    fn form(&self, text: &str, count: &mut usize) -> Option<String> {
        let before = *count;
        if !text.contains('=') || text.contains(char::is_whitespace) {
            return None;
        }
        let mask = |pair: &str| match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && self.names(name) => {
                *count += 1;
                format!("{name}={MASKED}")
            }
            _ => pair.to_owned(),
        };
        let masked: Vec<String> = text.split('&').map(mask).collect();
        (*count > before).then(|| masked.join("&"))
    }
}

impl Secrets {
    fn without(&self, text: &str, count: &mut usize) -> Option<String> {
        let mut masked: Option<String> = None;
        for secret in &self.0 {
            let found = masked.as_deref().unwrap_or(text).matches(secret.as_str()).count();
            if found > 0 {
                *count += found;
                masked = Some(masked.as_deref().unwrap_or(text).replace(secret.as_str(), MASKED));
            }
        }
        masked
    }
}

/// Puts the mark in the place of each value, so that one still sees how many there were.
fn hide(value: &mut Value, count: &mut usize) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, count)),
        Value::Object(fields) => fields.values_mut().for_each(|field| hide(field, count)),
        Value::Null => {}
        other => {
            *other = Value::String(MASKED.to_owned());
            *count += 1;
        }
    }
}

/// A name as it is compared: `X-Api-Key`, `api_key` and `apiKey` are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_wherever_they_are() {
        let mask = Mask::new(&["Card-Number".to_owned()]);
        let variables = [
            ("AWS_ACCESS_KEY_ID", "000000000000"),
            ("DB_PASSWORD", "hunter22"),
            ("API_KEY", "abcdef123"),
            ("TABLE", "notes-table"),
            ("PIN_SECRET", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = mask.secrets_of(&variables.into_iter().collect());
        let body = STANDARD.encode(r#"{"password":"x"}"#);
        let encoded = STANDARD.encode(r#"{"password":"***"}"#);
        let table = [
            (r#"{"a":1, "table":"notes-table"}"#, r#"{"a":1, "table":"notes-table"}"#, 0),
            (
                r#"{"headers":{"Authorization":"Bearer x","x-api-key":"k"}}"#,
                r#"{"headers":{"Authorization":"***","x-api-key":"***"}}"#,
                2,
            ),
            (r#"{"cookies":["a=1","b=2"],"n":null}"#, r#"{"cookies":["***","***"],"n":null}"#, 2),
            (r#"{"userPassword":{"old":"a","new":1}}"#, r#"{"userPassword":{"old":"***","new":"***"}}"#, 2),
            (r#"{"card_number":"4111","b":2}"#, r#"{"card_number":"***","b":2}"#, 1),
            // In a document in a document.
            (r#"{"body":"{\"secret\":\"s\",\"b\":1}"}"#, r#"{"body":"{\"secret\":\"***\",\"b\":1}"}"#, 1),
            (r#"{"rawQueryString":"a=1&token=xyz","b":2}"#, r#"{"rawQueryString":"a=1&token=***","b":2}"#, 1),
            (
                &format!(r#"{{"body":"{body}","isBase64Encoded":true}}"#),
                &format!(r#"{{"body":"{encoded}","isBase64Encoded":true}}"#),
                1,
            ),
            // The function's own secrets, under whatever name.
            (r#"{"note":"use hunter22, or abcdef123"}"#, r#"{"note":"use ***, or ***"}"#, 2),
            ("not JSON, but hunter22", "not JSON, but ***", 1),
            (r#""hunter22""#, r#""***""#, 1),
            (r#"{"accountId":"000000000000"}"#, r#"{"accountId":"000000000000"}"#, 0),
            // Too short, or empty.
            (r#"{"b":"1","token":"","token2":null}"#, r#"{"b":"1","token":"","token2":null}"#, 0),
        ];
        for (text, expected, count) in table {
            assert_eq!(mask.document(text, &secrets), (expected.to_owned(), count), "{text}");
        }
        assert_eq!(mask.text("connecting with hunter22", &secrets), "connecting with ***");
    }

    #[test]
    fn what_is_deep_ends() {
        let mask = Mask::default();
        let mut text = r#"{"secret":"s"}"#.to_owned();
        for _ in 0..20 {
            text = serde_json::json!({ "body": text }).to_string();
        }
        assert_eq!(mask.document(&text, &Secrets::default()).1, 0);
        let text = "[".repeat(100_000);
        assert_eq!(mask.document(&text, &Secrets::default()), (text.clone(), 0));
    }
}

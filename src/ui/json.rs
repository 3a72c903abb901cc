//! What each [`UiEvent`] is for programs: one line with a JSON object. `docs/json.md` describes it, and `docs/json.schema.json`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{UiEvent, text::is_obeyed};

/// The version of the objects. Fields and types may be added to one; whatever else changes makes another.
const VERSION: u32 = 1;

/// An event that was sent at a time as a line, with its end; none for what says nothing to anybody.
pub(super) fn line(event: &UiEvent, at: SystemTime) -> Option<String> {
    let (kind, fields) = described(event)?;
    let at = match event {
        UiEvent::Line { at, .. } => *at,
        _ => milliseconds_since_1970(at),
    };
    let mut object = Map::new();
    object.insert("v".to_owned(), VERSION.into());
    object.insert("type".to_owned(), kind.into());
    object.insert("at".to_owned(), at.into());
    if let Value::Object(fields) = fields {
        object.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Some(one_line(&Value::Object(object).to_string()))
}

/// Its type, and the fields that objects of this type have, `null` for those that this one does not have.
fn described(event: &UiEvent) -> Option<(&'static str, Value)> {
    let progress = |key: &str, state: &str, text: Option<&String>| {
        ("progress", json!({ "key": key, "state": state, "text": text }))
    };
    Some(match event {
        UiEvent::Info(text) => ("info", json!({ "text": text })),
        UiEvent::Warning(text) => ("warning", json!({ "text": text })),
        UiEvent::Error { message, hint } => ("error", json!({ "text": message, "hint": hint })),
        UiEvent::Fatal { message, detail, hint } => {
            ("fatal", json!({ "text": message, "detail": detail, "hint": hint }))
        }
        UiEvent::ProgressBegan { key, message } => progress(key, "began", Some(message)),
        UiEvent::ProgressMoved { key, message } => progress(key, "changed", Some(message)),
        UiEvent::ProgressEnded { key, message } => progress(key, "ended", Some(message)),
        UiEvent::ProgressFailed { key } => progress(key, "failed", None),
        UiEvent::Listening(text) => ("listening", json!({ "text": text })),
        // The link has the token, which is nobody's who reads along.
        UiEvent::Console { address, hint, .. } => ("console", json!({ "address": address, "hint": hint })),
        UiEvent::Output { stack, name, value } => {
            ("output", json!({ "stack": stack, "name": name, "value": value }))
        }
        UiEvent::Request { request, function, source } => {
            ("request", json!({ "id": request, "function": function, "source": source }))
        }
        UiEvent::Log { request, function, line } | UiEvent::Line { request, function, line, .. } => {
            ("log", json!({ "id": request, "function": function, "text": line }))
        }
        UiEvent::Response { request, function, took, summary } => (
            "response",
            json!({ "id": request, "function": function, "tookMs": milliseconds(*took), "summary": summary }),
        ),
        UiEvent::Failure { request, function, took, detail } => (
            "failure",
            json!({ "id": request, "function": function, "tookMs": milliseconds(*took), "detail": detail }),
        ),
        UiEvent::Paused { request, function, place, left, of } => (
            "paused",
            json!({
                "id": request, "function": function, "place": place,
                "leftMs": milliseconds(*left), "ofMs": milliseconds(*of),
            }),
        ),
        UiEvent::CallerGone { request, function } => {
            ("callerGone", json!({ "id": request, "function": function }))
        }
        UiEvent::Rebuilt { function, took } => {
            ("built", json!({ "function": function, "tookMs": milliseconds(*took) }))
        }
        UiEvent::BuildFailed { function, detail, still_serving } => {
            ("buildFailed", json!({ "function": function, "detail": detail, "stillServing": still_serving }))
        }
        UiEvent::Infrastructure { changes } => ("infrastructure", json!({ "changes": changes })),
        UiEvent::Question(text) => ("question", json!({ "text": text })),
        UiEvent::Result(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ("result", json!({ "text": text })),
            Err(_) => ("result", json!({ "base64": STANDARD.encode(bytes) })),
        },
        UiEvent::Dropped { output, others } => ("dropped", json!({ "output": output, "others": others })),
        // For whoever reads standard error, and for the printer.
        UiEvent::Diagnostic(_) | UiEvent::End => return None,
    })
}

/// Escapes what JSON leaves as it is and some readers take for the end of a line, or a terminal obeys. Such characters are only in
/// strings, where an escape means the same.
fn one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if is_obeyed(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                line += &format!("\\u{unit:04x}");
            }
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

fn milliseconds_since_1970(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::render::tests::events, *};

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../docs/json.schema.json")).unwrap()
    }

    /// What the schema says of a type: the names of its fields, and which of these there must be.
    fn fields_of(kind: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
        let required = kind["required"].as_array().unwrap().iter();
        (
            kind["properties"].as_object().unwrap().keys().cloned().collect(),
            required.map(|name| name.as_str().unwrap().to_owned()).collect(),
        )
    }

    #[test]
    fn each_type_has_the_fields_that_the_schema_says_and_the_schema_has_no_other_types() {
        let schema = schema();
        let kinds = schema["oneOf"].as_array().unwrap().iter();
        let mut known: BTreeSet<&str> =
            kinds.clone().map(|kind| kind["properties"]["type"]["const"].as_str().unwrap()).collect();
        for event in events("a") {
            let Some(line) = line(&event, SystemTime::now()) else { continue };
            let object: Map<String, Value> = serde_json::from_str(&line).unwrap();
            let mut kinds = kinds.clone();
            let kind = kinds.find(|kind| kind["properties"]["type"]["const"] == object["type"]);
            let (all, required) = fields_of(kind.unwrap_or_else(|| panic!("{line} is in the schema")));
            let there: BTreeSet<String> = object.keys().cloned().collect();
            assert!(there.is_subset(&all), "{line} has what the schema has");
            assert!(required.is_subset(&there), "{line} has what the schema requires");
            known.remove(object["type"].as_str().unwrap());
        }
        assert_eq!(known, BTreeSet::new());
    }

    #[test]
    fn the_documentation_has_each_type_with_all_of_its_fields() {
        let page = include_str!("../../docs/json.md");
        for kind in schema()["oneOf"].as_array().unwrap() {
            let name = kind["properties"]["type"]["const"].as_str().unwrap();
            let row =
                page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap_or_default();
            let (fields, _) = fields_of(kind);
            let missing: Vec<&String> = fields
                .iter()
                .filter(|field| !["v", "type", "at"].contains(&field.as_str()))
                .filter(|field| !row.contains(&format!("`{field}`")))
                .collect();
            assert!(missing.is_empty(), "`{name}`: {missing:?} are not in docs/json.md");
        }
    }

    #[test]
    fn text_is_as_it_was_and_an_object_is_one_line_that_no_terminal_obeys() {
        let all: String = (0..=char::MAX as u32).filter_map(char::from_u32).collect();
        let line = line(&UiEvent::Info(all.clone()), SystemTime::now()).unwrap();
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["text"].as_str(), Some(all.as_str()));
        let (before_end, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        assert_eq!(before_end.chars().find(|character| is_obeyed(*character)), None);
    }

    #[test]
    fn an_object_says_of_which_version_and_type_it_is_and_when_that_was() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let response = UiEvent::Response {
            request: "r".into(),
            function: "api/List".into(),
            took: Duration::from_micros(4200),
            summary: "200".into(),
        };
        let expected = r#"{"v":1,"type":"response","at":1700000000123,"id":"r","function":"api/List","tookMs":4.2,"summary":"200"}"#;
        assert_eq!(line(&response, at).unwrap(), format!("{expected}\n"));
        let bytes = line(&UiEvent::Result(vec![0xff]), at).unwrap();
        assert_eq!(bytes, "{\"v\":1,\"type\":\"result\",\"at\":1700000000123,\"base64\":\"/w==\"}\n");
        assert_eq!(line(&UiEvent::End, at), None);
    }
}

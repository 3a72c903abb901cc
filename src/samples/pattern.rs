//! An event that a pattern of EventBridge matches.

use serde_json::{Map, Value, json};

/// The fields that a pattern asks for, each with a value that it matches.
pub(super) fn matching(pattern: &Value) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, wanted) in pattern.as_object().into_iter().flatten() {
        let value = match (name.as_str(), wanted) {
            // One of these patterns has to match.
            ("$or", Value::Array(patterns)) => {
                found.extend(patterns.first().map(matching).unwrap_or_default());
                continue;
            }
            (_, Value::Object(_)) => Some(matching(wanted).into()),
            (_, Value::Array(values)) => values.first().and_then(value_of),
            _ => None,
        };
        found.extend(value.map(|value| (name.clone(), value)));
    }
    found
}

/// A value that one of the values in a pattern matches; none where the field must not be there.
fn value_of(wanted: &Value) -> Option<Value> {
    let Some((comparison, operand)) = wanted.as_object().and_then(|object| object.iter().next()) else {
        return Some(wanted.clone());
    };
    let text = operand.as_str().or_else(|| operand.get("equals-ignore-case")?.as_str());
    match (comparison.as_str(), text) {
        ("exists", _) if operand == false => None,
        ("prefix", Some(text)) => Some(json!(format!("{text}example"))),
        ("suffix", Some(text)) => Some(json!(format!("example{text}"))),
        ("equals-ignore-case", Some(text)) => Some(json!(text)),
        ("wildcard", Some(text)) => Some(json!(text.replace('*', "example"))),
        ("cidr", Some(text)) => Some(json!(text.split('/').next())),
        ("numeric", _) => number(operand.as_array()?),
        _ => Some(json!("example")),
    }
}

/// A number within the limits of a comparison, e.g. `[">", 0, "<=", 5]`.
fn number(comparison: &[Value]) -> Option<Value> {
    let limits = comparison.chunks(2).filter_map(|pair| match pair {
        [Value::String(sign), limit] => Some((sign.as_str(), limit.as_f64()?)),
        _ => None,
    });
    // Each with whether it is a number within itself.
    let mut least: Option<(f64, bool)> = None;
    let mut most: Option<(f64, bool)> = None;
    for (sign, limit) in limits {
        match sign {
            "=" => return Some(as_written(limit)),
            ">" | ">=" => least = Some((limit, sign == ">=")),
            _ => most = Some((limit, sign == "<=")),
        }
    }
    Some(as_written(match (least, most) {
        (Some((least, true)), _) => least,
        (_, Some((most, true))) => most,
        (Some((least, false)), Some((most, false))) => f64::midpoint(least, most),
        (Some((least, false)), None) => least + 1.0,
        (None, Some((most, false))) => most - 1.0,
        (None, None) => 0.0,
    }))
}

/// A whole number without a fraction.
fn as_written(number: f64) -> Value {
    let text = number.to_string();
    text.parse::<i64>().map_or_else(|_| json!(number), Value::from)
}

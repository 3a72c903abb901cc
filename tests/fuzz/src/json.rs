//! Damage done to JSON documents that leaves them JSON, so that it gets past the parser.

use proptest::{prelude::*, sample::Index};
use serde_json::{Map, Value, json};

use crate::bytes::{Document, damage};

/// One damage to a value somewhere in a document.
#[derive(Debug, Clone)]
enum Change {
    /// Another value, which is of a type that nobody expects there.
    Replace(Index, usize),
    /// Gone from its list or object.
    Remove(Index),
    /// There twice: as another entry of its list, or under a second name.
    Repeat(Index),
    /// Under another name.
    Rename(Index, usize),
    /// So many lists or objects around it.
    Nest(Index, bool, usize),
    /// The same as another value of the document, which may contain it.
    Copy(Index, Index),
    /// A text that is longer.
    Lengthen(Index, usize),
}

fn replacements() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(u32::MAX),
        json!(1e300),
        json!(""),
        json!("\u{0}"),
        json!("\u{202e}ä\u{1f4a9}"),
        json!("../../../../x"),
        json!("${"),
        json!("${A}${!B}${C.D}"),
        json!("18446744073709551616"),
        json!([]),
        json!([[]]),
        json!([null, 1, "a"]),
        json!({}),
        json!({ "Ref": "AWS::NoValue" }),
        json!({ "Ref": 1 }),
        json!({ "Fn::GetAtt": [] }),
        json!({ "Fn::GetAtt": "A" }),
        json!({ "Fn::Join": ["", ["a", { "Ref": "F" }]] }),
        json!({ "Fn::Sub": "${F.Arn}" }),
        json!({ "Fn::If": ["C", { "Ref": "F" }] }),
    ]
}

fn names() -> Vec<&'static str> {
    vec![
        "",
        "Ref",
        "Fn::Sub",
        "Type",
        "Properties",
        "Resources",
        "id",
        "sessionId",
        "ä",
        "__proto__",
        "a/b",
        "type",
        "AWS::NoValue",
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let levels = || prop_oneof![9 => 1..8_usize, 1 => 100..140_usize];
    prop_oneof![
        4 => (at(), 0..replacements().len()).prop_map(|(at, which)| Change::Replace(at, which)),
        2 => at().prop_map(Change::Remove),
        1 => at().prop_map(Change::Repeat),
        1 => (at(), 0..names().len()).prop_map(|(at, which)| Change::Rename(at, which)),
        1 => (at(), any::<bool>(), levels()).prop_map(|(at, list, levels)| Change::Nest(at, list, levels)),
        2 => (at(), at()).prop_map(|(from, to)| Change::Copy(from, to)),
        1 => (at(), prop_oneof![9 => 1..300_usize, 1 => 60_000..70_000_usize]).prop_map(|(at, by)| Change::Lengthen(at, by)),
    ]
}

/// The documents with up to five values damaged in each.
pub fn damaged_values(documents: Vec<Value>) -> impl Strategy<Value = Value> {
    (prop::sample::select(documents), prop::collection::vec(change(), 0..6)).prop_map(
        |(mut value, changes)| {
            changes.iter().for_each(|change| change.apply(&mut value));
            value
        },
    )
}

/// The texts of damaged documents. Of every fourth, the text is damaged as well.
pub fn damaged_json(documents: Vec<Value>) -> impl Strategy<Value = Document> {
    let text = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(damage(), 1..4)];
    (damaged_values(documents), text).prop_map(|(value, text)| {
        let mut bytes = serde_json::to_vec(&value).unwrap_or_default();
        text.iter().for_each(|damage| damage.apply(&mut bytes));
        Document(bytes)
    })
}

impl Change {
    fn apply(&self, root: &mut Value) {
        let all = count(root);
        match self {
            Self::Replace(at, which) => {
                if let Some(value) = nth(root, &mut at.index(all)) {
                    *value = replacements().swap_remove(*which);
                }
            }
            Self::Nest(at, list, levels) => {
                if let Some(value) = nth(root, &mut at.index(all)) {
                    for _ in 0..*levels {
                        let inner = value.take();
                        *value = if *list { json!([inner]) } else { json!({ "a": inner }) };
                    }
                }
            }
            Self::Copy(from, to) => {
                let copy = nth(root, &mut from.index(all)).map(|value| value.clone());
                if let (Some(copy), Some(to)) = (copy, nth(root, &mut to.index(all)))
                    // Of copies of copies of the whole, few are enough.
                    && all < 5_000
                {
                    *to = copy;
                }
            }
            Self::Lengthen(at, by) => {
                if let Some(Value::String(text)) = nth(root, &mut at.index(all)) {
                    text.push_str(&"x".repeat(*by));
                }
            }
            Self::Remove(at) => within(root, at, all, |container, index| match container {
                Value::Array(values) => drop(values.remove(index)),
                Value::Object(fields) => {
                    if let Some(name) = fields.keys().nth(index).cloned() {
                        fields.remove(&name);
                    }
                }
                _ => {}
            }),
            Self::Repeat(at) => within(root, at, all, |container, index| match container {
                Value::Array(values) => values.insert(index, values[index].clone()),
                Value::Object(fields) => {
                    if let Some((name, value)) = fields.iter().nth(index) {
                        let (name, value) = (format!("{name}2"), value.clone());
                        fields.insert(name, value);
                    }
                }
                _ => {}
            }),
            Self::Rename(at, which) => within(root, at, all, |container, index| {
                if let Value::Object(fields) = container {
                    let renamed =
                        std::mem::take(fields).into_iter().enumerate().map(|(place, (name, value))| {
                            (if place == index { names()[*which].to_owned() } else { name }, value)
                        });
                    *fields = renamed.collect::<Map<String, Value>>();
                }
            }),
        }
    }
}

/// Hands one entry of some list or object to `change`.
fn within(root: &mut Value, at: &Index, all: usize, change: impl Fn(&mut Value, usize)) {
    // The container that follows, so that one is nearly always found.
    let first = at.index(all);
    for skipped in (first..all).chain(0..first) {
        let Some(value) = nth(root, &mut { skipped }) else { return };
        let entries = match value {
            Value::Array(values) => values.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        if entries > 0 {
            return change(value, at.index(entries));
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value before which there are `index` others.
fn nth<'a>(value: &'a mut Value, index: &mut usize) -> Option<&'a mut Value> {
    if *index == 0 {
        return Some(value);
    }
    *index -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| nth(value, index)),
        Value::Object(fields) => fields.values_mut().find_map(|value| nth(value, index)),
        _ => None,
    }
}

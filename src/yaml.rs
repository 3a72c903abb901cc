//! YAML as JSON: what the files of deployment tools say, with CloudFormation's short forms (`!Ref`, `!Sub`) in their long ones.

use saphyr::{LoadableYamlNode as _, Scalar, ScanError, Yaml};
use serde_json::{Map, Number, Value, json};

/// Goes before a key that is in a mapping already. It is a character that means nothing anywhere.
const AGAIN: char = '\u{e000}';

/// Deeper than anything in a file that people read.
const DEEP: usize = 200;

/// How much of a text is put right before it is given up.
const MOST_REPAIRS: usize = 200;

/// Reads the first document of a text. An empty text is null. Later ones of equal keys count, and `<<` merges.
///
/// What people write, and AWS's own tools accept, is accepted although YAML forbids it: equal keys, and lists and objects in brackets whose
/// lines are not indented as what is around them.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut text = text.trim_start_matches('\u{feff}').to_owned();
    let mut first = None;
    for _ in 0..MOST_REPAIRS {
        let error = match Yaml::load_from_str(&text) {
            Ok(documents) => return documents.first().map_or(Ok(Value::Null), value),
            Err(error) => error,
        };
        // Later ones may be about what was done here.
        first.get_or_insert_with(|| error.to_string());
        match repaired(&text, &error) {
            Some(repaired) => text = repaired,
            None => break,
        }
    }
    Err(first.unwrap_or_default())
}

/// The text without the mistake that an error is about, if it is one that is accepted.
fn repaired(text: &str, error: &ScanError) -> Option<String> {
    let (line, column) = (error.marker().line().checked_sub(1)?, error.marker().col());
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let wrong = lines.get_mut(line)?;
    match error.info() {
        // Only within brackets, where more of it does no harm.
        "invalid indentation" | "invalid indentation in flow construct"
            if !wrong.starts_with(&" ".repeat(DEEP)) =>
        {
            wrong.insert_str(0, &" ".repeat(DEEP));
        }
        "duplicated key in mapping" => {
            let at = wrong.char_indices().nth(column).map(|(at, _)| at)?;
            wrong.insert(at, AGAIN);
        }
        _ => return None,
    }
    Some(lines.join("\n"))
}

fn value(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(scalar) => plain(scalar),
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(fields) => {
            let mut map = Map::new();
            for (key, field) in fields {
                let (key, field) = (key_of(key)?, value(field)?);
                match (key.as_str(), field) {
                    ("<<", field) => merge(&mut map, field),
                    (_, field) => {
                        map.insert(key, field);
                    }
                }
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, inner) => long_form(&tag.suffix, value(inner)?),
        Yaml::Alias(_) => return Err("an alias without its anchor".to_owned()),
        Yaml::BadValue => return Err("a value that is not what its tag says".to_owned()),
    })
}

fn plain(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::from(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::FloatingPoint(value) => Number::from_f64(value.0).map_or(Value::Null, Value::Number),
        Scalar::String(text) => Value::from(text.as_ref()),
    }
}

fn key_of(node: &Yaml<'_>) -> Result<String, String> {
    match value(node)? {
        Value::String(text) => Ok(match text.strip_prefix(AGAIN) {
            Some(again) => again.trim_start_matches(AGAIN).trim_matches(['"', '\'']).to_owned(),
            None => text,
        }),
        other @ (Value::Number(_) | Value::Bool(_) | Value::Null) => Ok(other.to_string()),
        _ => Err("a key that is not a text".to_owned()),
    }
}

/// What is merged does not win over what is there.
fn merge(map: &mut Map<String, Value>, merged: Value) {
    match merged {
        Value::Object(fields) => {
            for (key, field) in fields {
                map.entry(key).or_insert(field);
            }
        }
        Value::Array(all) => all.into_iter().for_each(|one| merge(map, one)),
        _ => {}
    }
}

/// `!Ref x` and `!Condition x` are called so in the long form as well; all others are functions.
fn long_form(tag: &str, inner: Value) -> Value {
    match tag {
        "Ref" | "Condition" => json!({ tag: inner }),
        // In the short form the two parts are one text.
        "GetAtt" => match inner {
            Value::String(text) => {
                let (resource, attribute) = text.split_once('.').unwrap_or((&text, ""));
                json!({ "Fn::GetAtt": [resource, attribute] })
            }
            other => json!({ "Fn::GetAtt": other }),
        },
        tag => json!({ format!("Fn::{tag}"): inner }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_anchors_and_merges_are_what_they_stand_for() {
        let text = "
base: &base { Runtime: nodejs22.x, Timeout: 3 }
a:
  <<: *base
  Timeout: 10
b: !Sub '${AWS::StackName}-x'
c: [!Ref Table, !GetAtt Role.Arn, !GetAtt [Role, Arn]]
d: !If [Prod, 1.5, no]
1: { on: ~ }
e: '2012-10-17'
f: 2012-10-17
";
        let expected = json!({
            "base": { "Runtime": "nodejs22.x", "Timeout": 3 },
            "a": { "Runtime": "nodejs22.x", "Timeout": 10 },
            "b": { "Fn::Sub": "${AWS::StackName}-x" },
            "c": [{ "Ref": "Table" }, { "Fn::GetAtt": ["Role", "Arn"] }, { "Fn::GetAtt": ["Role", "Arn"] }],
            "d": { "Fn::If": ["Prod", 1.5, "no"] },
            "1": { "on": null },
            "e": "2012-10-17",
            "f": "2012-10-17",
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("").unwrap(), Value::Null);
        assert!(parse("a: [1,\nb: 2").unwrap_err().contains("line"));
    }

    /// As templates of AWS's own examples have it, which its tools deploy.
    #[test]
    fn what_aws_accepts_is_accepted() {
        let text = "
a: 1
b:
  c: [{
    \"x\": \"y\",
    \"z\": [1,
    2
    ]
  }]
d: [
  a,
  b
]
a: 2
e: { f: 1 }
\"a\": 3
";
        let expected =
            json!({ "a": 3, "b": { "c": [{ "x": "y", "z": [1, 2] }] }, "d": ["a", "b"], "e": { "f": 1 } });
        assert_eq!(parse(text).unwrap(), expected);
        let error = parse("a: 1\na: 2\nb: [\n").unwrap_err();
        assert!(error.contains("line"), "{error}");
    }
}

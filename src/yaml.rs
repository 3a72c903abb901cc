//! YAML as JSON: what the files of deployment tools say, with CloudFormation's short forms (`!Ref`, `!Sub`) in their long ones.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Number, Value, json};

/// Reads the first document of a text. An empty text is null. Later ones of equal keys count, and `<<` merges.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn parse(text: &str) -> Result<Value, String> {
    let documents =
        Yaml::load_from_str(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    documents.first().map_or(Ok(Value::Null), value)
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
        Value::String(text) => Ok(text),
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
}

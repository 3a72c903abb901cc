//! What the expressions of a template become before it is deployed: those that only need its parameters and its mappings.

use std::collections::BTreeMap;

use serde_json::Value;

/// A template's parameters and mappings.
#[derive(Debug, Default)]
pub(super) struct Values {
    parameters: BTreeMap<String, String>,
    mappings: Value,
}

impl Values {
    /// Those of a template. What is given wins over its defaults.
    pub(super) fn new(template: &Value, given: BTreeMap<String, String>) -> Self {
        let declared = template.get("Parameters").and_then(Value::as_object).into_iter().flatten();
        let default =
            |(name, parameter): (&String, &Value)| Some((name.clone(), plain(parameter.get("Default")?)?));
        let mut parameters: BTreeMap<String, String> = declared.filter_map(default).collect();
        parameters.extend(given);
        Self { parameters, mappings: template.get("Mappings").cloned().unwrap_or_default() }
    }

    /// The text that a value becomes; none when only the deployment tells.
    pub(super) fn text(&self, value: &Value) -> Option<String> {
        let Value::Object(expression) = value else { return plain(value) };
        let (function, argument) = expression.iter().next().filter(|_| expression.len() == 1)?;
        match function.as_str() {
            "Ref" => self.parameters.get(argument.as_str()?).cloned(),
            "Fn::Sub" => self.substituted(argument),
            "Fn::Join" => {
                let [Value::String(between), Value::Array(parts)] = argument.as_array()?.as_slice() else {
                    return None;
                };
                let parts: Option<Vec<String>> = parts.iter().map(|part| self.text(part)).collect();
                Some(parts?.join(between))
            }
            "Fn::FindInMap" => {
                let keys: Option<Vec<String>> =
                    argument.as_array()?.iter().map(|key| self.text(key)).collect();
                let keys = keys?;
                let found = keys.iter().try_fold(&self.mappings, |map, key| map.get(key))?;
                plain(found)
            }
            _ => None,
        }
    }

    /// `Fn::Sub`, with or without variables of its own.
    fn substituted(&self, argument: &Value) -> Option<String> {
        let (text, own) = match argument {
            Value::Array(both) => (both.first()?.as_str()?, both.get(1)),
            text => (text.as_str()?, None),
        };
        let mut parts = text.split("${");
        let mut whole = parts.next()?.to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}')?;
            // `${!Name}` is a text that stays as `${Name}`.
            match name.strip_prefix('!') {
                Some(literal) => whole.push_str(&format!("${{{literal}}}")),
                None => {
                    let value = own.and_then(|own| own.get(name)).and_then(|value| self.text(value));
                    whole.push_str(&value.or_else(|| self.parameters.get(name).cloned())?);
                }
            }
            whole.push_str(rest);
        }
        Some(whole)
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_become_what_the_parameters_say() {
        let template = json!({
            "Parameters": { "Stage": { "Type": "String", "Default": "dev" }, "Runtime": { "Type": "String" }, "Count": { "Default": 2 } },
            "Mappings": { "Handlers": { "dev": { "Create": "src/dev.handler" } } },
        });
        let given = [("Runtime".to_owned(), "provided.al2023".to_owned())].into();
        let values = Values::new(&template, given);
        for (value, expected) in [
            (json!("src/"), Some("src/")),
            (json!({ "Ref": "Stage" }), Some("dev")),
            (json!({ "Ref": "Runtime" }), Some("provided.al2023")),
            (json!({ "Ref": "Count" }), Some("2")),
            (json!({ "Ref": "Table" }), None),
            (json!({ "Fn::Sub": "a-${Stage}-${!Stage}" }), Some("a-dev-${Stage}")),
            (json!({ "Fn::Sub": ["${Own}/${Stage}", { "Own": { "Ref": "Stage" } }] }), Some("dev/dev")),
            (json!({ "Fn::Sub": "${Role.Arn}" }), None),
            (json!({ "Fn::Join": ["/", ["src", { "Ref": "Stage" }]] }), Some("src/dev")),
            (json!({ "Fn::FindInMap": ["Handlers", { "Ref": "Stage" }, "Create"] }), Some("src/dev.handler")),
            (json!({ "Fn::FindInMap": ["Handlers", "prod", "Create"] }), None),
            (json!({ "Fn::If": ["IsProd", "a", "b"] }), None),
            (json!({ "Bucket": "b", "Key": "k" }), None),
        ] {
            assert_eq!(values.text(&value).as_deref(), expected, "{value}");
        }
    }
}

//! What is known of a template's expressions before the deployment. Libraries put ARNs together from the region, or look runtimes up in a
//! table of regions; values of parameters, conditions and other stacks' exports are CloudFormation's to know.

use serde_json::{Map, Value};

use super::read::{Assembly, property};

/// How a dynamic reference begins: CloudFormation puts a parameter of SSM or a secret in its place, within any text.
const DYNAMIC_REFERENCE: &str = "{{resolve:";

/// The text that an expression becomes. A number is its digits.
pub(in crate::app) fn text(assembly: &Assembly, template: usize, expression: &Value) -> Option<String> {
    let of = |value: &Value| text(assembly, template, value);
    let object = match expression {
        Value::String(text) => return (!text.contains(DYNAMIC_REFERENCE)).then(|| text.clone()),
        Value::Number(number) => return Some(number.to_string()),
        Value::Object(object) => object,
        _ => return None,
    };
    let (function, argument) = object.iter().next().filter(|_| object.len() == 1)?;
    match (function.as_str(), argument) {
        ("Ref", Value::String(name)) => named(assembly, template, name),
        ("Fn::Join", Value::Array(both)) => match both.as_slice() {
            [Value::String(between), Value::Array(parts)] => {
                Some(parts.iter().map(of).collect::<Option<Vec<_>>>()?.join(between))
            }
            _ => None,
        },
        ("Fn::Sub", Value::String(pattern)) if !pattern.contains(DYNAMIC_REFERENCE) => {
            let mut parts = pattern.split("${");
            let mut result = parts.next()?.to_owned();
            for part in parts {
                let (name, rest) = part.split_once('}')?;
                result += &named(assembly, template, name)?;
                result += rest;
            }
            Some(result)
        }
        ("Fn::FindInMap", Value::Array(keys)) => {
            let keys = keys.iter().map(of).collect::<Option<Vec<_>>>()?;
            let [table, row, column] = keys.as_slice() else { return None };
            let none = Map::new();
            let tables = assembly.templates[template].body.get("Mappings").and_then(Value::as_object);
            of(tables.unwrap_or(&none).get(table)?.get(row)?.get(column)?)
        }
        _ => None,
    }
}

/// The whole number that an expression becomes.
pub(in crate::app) fn number_of(assembly: &Assembly, template: usize, expression: &Value) -> Option<u64> {
    text(assembly, template, expression)?.parse().ok()
}

/// All that a value can become: itself, or what each branch of an `Fn::If` says. A branch without a value (`AWS::NoValue`) is `Null`. None
/// when it is made of anything else.
pub(in crate::app) fn branches(value: &Value) -> Option<Vec<&Value>> {
    match value {
        Value::Object(object) if !is_expression(object) => Some(vec![value]),
        Value::Object(_) if is_no_value(value) => Some(vec![&Value::Null]),
        Value::Object(object) => {
            let [_, yes, no] = choice(object)? else { return None };
            Some([branches(yes)?, branches(no)?].concat())
        }
        Value::String(text) if text.contains(DYNAMIC_REFERENCE) => None,
        other => Some(vec![other]),
    }
}

/// Changes all that a value can become, as [`branches`] finds it. A branch without a value becomes what `change` makes of `Null`, unless it
/// leaves that as it is.
pub(in crate::app) fn change_branches(value: &mut Value, change: &mut impl FnMut(&mut Value)) {
    if is_no_value(value) {
        let mut made = Value::Null;
        change(&mut made);
        if !made.is_null() {
            *value = made;
        }
        return;
    }
    match value.get_mut("Fn::If").and_then(Value::as_array_mut) {
        Some(three) => three.iter_mut().skip(1).for_each(|branch| change_branches(branch, change)),
        None => change(value),
    }
}

/// The variables of a function, once for each way in which its template can choose them. None where they are made of something else, in
/// which none can be seen or added.
pub(in crate::app) fn environments(function: &Value) -> Option<Vec<Map<String, Value>>> {
    let Some(environment) = property(function, "Environment") else { return Some(vec![Map::new()]) };
    let mut found = Vec::new();
    for environment in branches(environment)? {
        for variables in branches(environment.get("Variables").unwrap_or(&Value::Null))? {
            found.push(match variables {
                Value::Null => Map::new(),
                Value::Object(variables) => variables.clone(),
                _ => return None,
            });
        }
    }
    Some(found)
}

/// Changes the variables of a function, in each way in which its template can choose them.
pub(in crate::app) fn change_environments(
    properties: &mut Map<String, Value>,
    change: &mut impl FnMut(&mut Map<String, Value>),
) {
    let environment = properties.entry("Environment").or_insert(Value::Null);
    change_branches(environment, &mut |environment| {
        if environment.is_null() {
            *environment = Value::Object(Map::new());
        }
        let Some(environment) = environment.as_object_mut() else { return };
        let variables = environment.entry("Variables").or_insert(Value::Null);
        change_branches(variables, &mut |variables| {
            if variables.is_null() {
                *variables = Value::Object(Map::new());
            }
            if let Some(variables) = variables.as_object_mut() {
                change(variables);
            }
        });
    });
}

/// Whether an object stands for something else, instead of being it. Macros (`Fn::Transform`) may be beside other fields.
pub(super) fn is_expression(object: &Map<String, Value>) -> bool {
    object.keys().any(|key| key.starts_with("Fn::")) || object.len() == 1 && object.contains_key("Ref")
}

pub(super) fn is_no_value(expression: &Value) -> bool {
    expression.get("Ref").and_then(Value::as_str) == Some("AWS::NoValue")
}

/// The condition and the branches of an `Fn::If`.
fn choice(object: &Map<String, Value>) -> Option<&[Value]> {
    let three = object.get("Fn::If").filter(|_| object.len() == 1)?.as_array()?;
    Some(three.as_slice())
}

fn named(assembly: &Assembly, template: usize, name: &str) -> Option<String> {
    let stack = assembly.templates[template].stack;
    let region = assembly.region_of(stack);
    let partition = sst_wire::partition(region);
    match name {
        "AWS::Region" => Some(region.to_owned()),
        "AWS::AccountId" => Some(assembly.account_of(stack).to_owned()),
        "AWS::Partition" => Some(partition.name.to_owned()),
        "AWS::URLSuffix" => Some(partition.suffix.to_owned()),
        _ => None,
    }
}

//! The size of a function's environment variables, of which Lambda takes 4 KB.

use serde_json::{Map, Value};

use super::{
    known::is_expression,
    read::{Assembly, type_of},
};

/// The most that Lambda takes: the bytes of the variables written as one JSON object.
pub(crate) const LIMIT: usize = 4096;

/// An AWS name that CloudFormation makes up is rarely longer than its limit for most services.
const NAME: usize = 64;

/// An ARN is a name with this much around it.
const ARN: usize = NAME + 60;

/// The size of the largest of several sets of variables, between which the template chooses.
pub(in crate::app) fn largest(assembly: &Assembly, template: usize, all: &[Map<String, Value>]) -> usize {
    all.iter().map(|variables| size(assembly, template, variables)).max().unwrap_or_default()
}

/// The size of `variables` as JSON text. What is known only after the deployment is taken to be as long as such things get.
fn size(assembly: &Assembly, template: usize, variables: &Map<String, Value>) -> usize {
    let entries: usize = variables
        .iter()
        .map(|(name, value)| {
            // Two quotes around each, a colon between them.
            quoted(name) + 1 + 2 + length(assembly, template, value)
        })
        .sum();
    entries + variables.len().saturating_sub(1) + 2
}

/// The size of a document as JSON text, with what its expressions become.
pub(in crate::app) fn json_size(assembly: &Assembly, template: usize, document: &Value) -> usize {
    let of = |value: &Value| json_size(assembly, template, value);
    match document {
        Value::Array(items) => items.iter().map(|item| of(item) + 1).sum::<usize>() + 1,
        Value::Object(object) if is_expression(object) => 2 + length(assembly, template, document),
        Value::Object(object) => {
            object.iter().map(|(key, value)| quoted(key) + 2 + of(value)).sum::<usize>() + 1
        }
        other => other.to_string().len(),
    }
}

fn quoted(text: &str) -> usize {
    Value::from(text).to_string().len()
}

/// The length of a value inside of its quotes.
fn length(assembly: &Assembly, template: usize, value: &Value) -> usize {
    match value {
        // What a dynamic reference stands for may be longer than itself.
        Value::String(text) if text.contains("{{resolve:") => (quoted(text) - 2).max(NAME),
        Value::String(text) => quoted(text) - 2,
        Value::Object(expression) => expression_length(assembly, template, expression),
        other => other.to_string().len(),
    }
}

fn expression_length(assembly: &Assembly, template: usize, expression: &Map<String, Value>) -> usize {
    let part = |value: &Value| length(assembly, template, value);
    let Some((function, argument)) = expression.iter().next() else {
        return 0;
    };
    match (function.as_str(), argument) {
        ("Ref", Value::String(name)) => named_length(assembly, template, name),
        ("Fn::GetAtt", argument) => {
            let attribute = match argument {
                Value::String(both) => both.rsplit('.').next().unwrap_or_default(),
                Value::Array(both) => both.last().and_then(Value::as_str).unwrap_or_default(),
                _ => "",
            };
            if attribute.ends_with("Arn") { ARN } else { NAME }
        }
        ("Fn::Join", Value::Array(both)) => match both.as_slice() {
            [Value::String(between), Value::Array(parts)] => {
                parts.iter().map(part).sum::<usize>() + between.len() * parts.len().saturating_sub(1)
            }
            _ => NAME,
        },
        ("Fn::Sub", Value::String(text)) => substituted_length(assembly, template, text),
        ("Fn::Sub", Value::Array(both)) => {
            let text = both.first().and_then(Value::as_str).unwrap_or_default();
            substituted_length(assembly, template, text)
        }
        ("Fn::If", Value::Array(three)) => three.iter().skip(1).map(part).max().unwrap_or_default(),
        _ => NAME,
    }
}

fn named_length(assembly: &Assembly, template: usize, name: &str) -> usize {
    let stack = assembly.templates[template].stack;
    match name {
        "AWS::Region" => return assembly.region_of(stack).len(),
        "AWS::AccountId" => return assembly.account_of(stack).len(),
        "AWS::Partition" => return "aws-us-gov".len(),
        "AWS::URLSuffix" => return "amazonaws.com.cn".len(),
        "AWS::StackName" => return assembly.stacks[stack].name.len(),
        "AWS::StackId" => return ARN,
        "AWS::NoValue" => return 0,
        _ => {}
    }
    match assembly.templates[template].resource(name).map(type_of) {
        // The `Ref` of these is not a plain name.
        Some("AWS::SQS::Queue" | "AWS::SNS::Topic" | "AWS::Lambda::Version" | "AWS::Lambda::Alias") => ARN,
        Some("AWS::SecretsManager::Secret" | "AWS::StepFunctions::StateMachine") => ARN,
        _ => NAME,
    }
}

fn substituted_length(assembly: &Assembly, template: usize, text: &str) -> usize {
    let mut total = 0;
    for (index, part) in text.split("${").enumerate() {
        match part.split_once('}') {
            Some((name, rest)) if index > 0 => {
                total += match name.split_once('.') {
                    Some((_, attribute)) if attribute.ends_with("Arn") => ARN,
                    Some(_) => NAME,
                    None => named_length(assembly, template, name),
                };
                total += quoted(rest) - 2;
            }
            _ => total += quoted(part) - 2,
        }
    }
    total
}

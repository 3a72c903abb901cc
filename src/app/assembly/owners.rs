//! Which functions belong to something that a stub would break: deployments themselves, and CloudFront.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    read::{Assembly, property, type_of},
    resolve::Place,
};

/// Functions that run while the app is being deployed: the providers of custom resources. Nobody listens yet at that time,
/// and a deployment would wait for them for an hour.
pub(super) fn custom_resource_providers(assembly: &Assembly) -> BTreeSet<Place> {
    let mut providers = BTreeSet::new();
    for (index, template) in assembly.templates.iter().enumerate() {
        for (id, resource) in template.resources() {
            if let Some(provider) =
                property(resource, "ServiceToken").and_then(|token| assembly.function_behind(index, token))
            {
                providers.insert(provider);
            }
            // The provider framework's functions call the app's through these variables. Not all of them are named by a
            // service token: a state machine calls some.
            if framework_variables(resource).next().is_some() {
                providers.insert((index, id.clone()));
            }
        }
    }
    let mut called = BTreeSet::new();
    for place in &providers {
        for variable in assembly.at(place).into_iter().flat_map(framework_variables) {
            called.extend(assembly.function_behind(place.0, variable));
        }
    }
    providers.extend(called);
    providers
}

fn framework_variables(resource: &Value) -> impl Iterator<Item = &Value> {
    let variables = (type_of(resource) == "AWS::Lambda::Function")
        .then(|| property(resource, "Environment")?.get("Variables"))
        .flatten();
    ["USER_ON_EVENT_FUNCTION_ARN", "USER_IS_COMPLETE_FUNCTION_ARN"]
        .into_iter()
        .filter_map(move |name| variables?.get(name))
}

/// Functions that CloudFront replicates to its edges. They can have no environment variables and run nothing but Node and
/// Python.
pub(in crate::app) fn edge_functions(assembly: &Assembly) -> BTreeSet<Place> {
    let mut edge = BTreeSet::new();
    for (index, template) in assembly.templates.iter().enumerate() {
        let in_edge_stack = assembly.stacks[template.stack].artifact.starts_with("edge-lambda-stack-");
        for (id, resource) in template.resources() {
            match type_of(resource) {
                "AWS::CloudFront::Distribution" => associations(resource, &mut |function| {
                    edge.extend(assembly.function_behind(index, function));
                }),
                "AWS::Lambda::Function" => {
                    let role = property(resource, "Role")
                        .and_then(|role| assembly.resolve(index, role))
                        .and_then(|role| assembly.at(&role));
                    let trusted = role.and_then(|role| property(role, "AssumeRolePolicyDocument"));
                    let by_edge =
                        trusted.is_some_and(|policy| policy.to_string().contains("edgelambda.amazonaws.com"));
                    if in_edge_stack || by_edge {
                        edge.insert((index, id.clone()));
                    }
                }
                _ => {}
            }
        }
    }
    edge
}

/// The functions in the `LambdaFunctionAssociations` of a distribution, wherever they are in it.
fn associations(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| associations(item, visit)),
        Value::Object(object) => {
            for (key, inner) in object {
                if key == "LambdaFunctionARN" {
                    visit(inner);
                } else {
                    associations(inner, visit);
                }
            }
        }
        _ => {}
    }
}

//! Which functions of the app are deployed as stubs, and what has to be deployed so that they get their own code back.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::{
    app::{
        assembly::{Assembly, type_of},
        rewrite::is_stub,
    },
    aws::{Aws, explain, stack_is_missing},
    ids::FunctionId,
};

/// How many stacks are looked at at the same time.
const PARALLEL: usize = 8;

/// A function that is deployed as a stub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// By which the app knows the function. None when it does not have it any more, so that a deployment removes it.
    pub id: Option<FunctionId>,
    /// The name of the app's stack that it is in, nested or not.
    pub stack: String,
    /// By which the CDK CLI selects that.
    pub selector: String,
}

/// Finds the functions that are stubs in the deployed stacks of the app. Only those of its own account ever are.
///
/// # Errors
/// A sentence that says what could not be looked at.
pub async fn stubs(aws: &Aws, assembly: &Assembly) -> Result<Vec<Stub>, String> {
    let mut ids: BTreeMap<(&str, String, &str), FunctionId> = BTreeMap::new();
    for (index, template) in assembly.templates.iter().enumerate() {
        let (stack, path) = (assembly.stacks[template.stack].name.as_str(), assembly.path_of(index));
        for (logical_id, resource) in template.resources() {
            if type_of(resource) == "AWS::Lambda::Function" {
                let id = FunctionId::from(assembly.function_id(index, logical_id));
                ids.insert((stack, path.clone(), logical_id), id);
            }
        }
    }
    let here = (0..assembly.stacks.len()).filter(|index| assembly.account_of(*index) == aws.account);
    let looked = stream::iter(here).map(|index| async move {
        let client = aws.cloudformation_in(assembly.region_of(index));
        Ok::<_, String>((index, stubs_in(&client, &assembly.stacks[index].name).await?))
    });
    let looked: Vec<_> = looked.buffered(PARALLEL).try_collect().await?;
    let found = looked.into_iter().flat_map(|(index, places)| {
        let stack = &assembly.stacks[index];
        let ids = &ids;
        places.into_iter().map(move |(path, logical_id)| Stub {
            id: ids.get(&(stack.name.as_str(), path, logical_id.as_str())).cloned(),
            stack: stack.name.clone(),
            selector: stack.selector.clone(),
        })
    });
    Ok(found.collect())
}

/// The stubs of a deployed stack, and of those nested in it: the logical ids of these, each with a slash behind, and the function's own.
async fn stubs_in(client: &Client, stack: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut stacks = vec![(stack.to_owned(), String::new())];
    while let Some((stack, path)) = stacks.pop() {
        let template = match client.get_template().stack_name(&stack).send().await {
            Ok(template) => template,
            Err(error) if stack_is_missing(&error) => continue,
            Err(error) => return Err(format!("the template of `{stack}` is not known: {}", explain(&error))),
        };
        // What was not written in JSON, the CDK and this program have not deployed.
        let template: Value =
            serde_json::from_str(template.template_body().unwrap_or_default()).unwrap_or_default();
        let resources = || template.get("Resources").and_then(Value::as_object).into_iter().flatten();
        let stubs = resources()
            .filter(|(_, resource)| type_of(resource) == "AWS::Lambda::Function" && is_stub(resource));
        found.extend(stubs.map(|(logical_id, _)| (path.clone(), logical_id.clone())));
        if resources().any(|(_, resource)| type_of(resource) == "AWS::CloudFormation::Stack") {
            for (logical_id, nested) in nested_stacks(client, &stack).await? {
                stacks.push((nested, format!("{path}{logical_id}/")));
            }
        }
    }
    Ok(found)
}

/// The stacks that a deployed one nests: logical ids, and by which CloudFormation knows them.
async fn nested_stacks(client: &Client, stack: &str) -> Result<Vec<(String, String)>, String> {
    let mut nested = Vec::new();
    let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|error| format!("the resources of `{stack}` are not known: {}", explain(&error)))?;
        for resource in page.stack_resource_summaries() {
            if resource.resource_type() == Some("AWS::CloudFormation::Stack")
                && let (Some(logical_id), Some(id)) =
                    (resource.logical_resource_id(), resource.physical_resource_id())
            {
                nested.push((logical_id.to_owned(), id.to_owned()));
            }
        }
    }
    Ok(nested)
}

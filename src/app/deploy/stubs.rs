//! Whether the stubs are in place still: anybody may deploy over them, or remove them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    aws::{Aws, explain, stack_is_missing},
    ids::FunctionId,
    project::manifest::FunctionSpec,
};

/// How many functions are asked for at the same time.
const PARALLEL: usize = 8;

/// The functions whose stubs are not in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Those that have code of their own.
    pub own_code: Vec<FunctionId>,
    /// Those that there are no more.
    pub gone: Vec<FunctionId>,
}

enum State {
    Stub,
    OwnCode,
    Gone,
}

/// Finds the functions whose stubs are not in place.
///
/// # Errors
/// A sentence that says why they cannot be looked at.
pub async fn replaced(aws: &Aws, functions: &[FunctionSpec]) -> Result<Replaced, String> {
    let stacks: BTreeSet<&str> = functions.iter().map(|function| function.stack.as_str()).collect();
    let mut names = BTreeMap::new();
    for stack in stacks {
        names.insert(stack, physical_names(aws, stack).await?);
    }
    let named: Vec<(FunctionId, Option<String>)> = functions
        .iter()
        .map(|function| {
            let names = names.get(function.stack.as_str());
            (function.id.clone(), names.and_then(|names| names.get(&function.logical_id)).cloned())
        })
        .collect();
    let states = stream::iter(named).map(|(id, name)| async move {
        let state = match name {
            Some(name) => state(aws, &name).await?,
            None => State::Gone,
        };
        Ok::<_, String>((id, state))
    });
    let states: Vec<(FunctionId, State)> = states.buffered(PARALLEL).try_collect().await?;
    let mut replaced = Replaced::default();
    for (id, state) in states {
        match state {
            State::Stub => {}
            State::OwnCode => replaced.own_code.push(id),
            State::Gone => replaced.gone.push(id),
        }
    }
    Ok(replaced)
}

async fn state(aws: &Aws, name: &str) -> Result<State, String> {
    match aws.lambda().get_function_configuration().function_name(name).send().await {
        Ok(found) => {
            let variables = found.environment().and_then(|environment| environment.variables());
            let is_stub =
                variables.is_some_and(|variables| variables.contains_key(sst_wire::CONFIG_VARIABLE));
            Ok(if is_stub { State::Stub } else { State::OwnCode })
        }
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(State::Gone)
        }
        Err(error) => Err(format!("nothing is to be learned of `{name}`: {}", explain(&error))),
    }
}

/// The names that CloudFormation has given to the functions of a stack and of those nested in it, by their logical ids.
async fn physical_names(aws: &Aws, stack: &str) -> Result<BTreeMap<String, String>, String> {
    let client = aws.cloudformation();
    let mut names = BTreeMap::new();
    let mut stacks = vec![stack.to_owned()];
    while let Some(stack) = stacks.pop() {
        let mut pages = client.list_stack_resources().stack_name(&stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if stack_is_missing(&error) => break,
                Err(error) => {
                    return Err(format!("the resources of `{stack}` are not known: {}", explain(&error)));
                }
            };
            for resource in page.stack_resource_summaries() {
                let Some(name) = resource.physical_resource_id() else { continue };
                match (resource.resource_type(), resource.logical_resource_id()) {
                    (Some("AWS::Lambda::Function"), Some(id)) => {
                        names.insert(id.to_owned(), name.to_owned());
                    }
                    (Some("AWS::CloudFormation::Stack"), _) => stacks.push(name.to_owned()),
                    _ => {}
                }
            }
        }
    }
    Ok(names)
}

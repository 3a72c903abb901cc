//! What CloudFormation has called the resources of a stack.

use super::{Aws, explain};

/// The physical id of a resource of a stack, by its logical id, and by its type where that is known; none if there is no such resource. It
/// may be in a nested stack.
///
/// # Errors
/// A sentence that says why the resources of the stack are not known.
pub(crate) async fn physical_id(
    aws: &Aws,
    stack: &str,
    logical_id: &str,
    kind: Option<&str>,
) -> Result<Option<String>, String> {
    let client = aws.cloudformation();
    let mut stacks = vec![stack.to_owned()];
    while let Some(stack) = stacks.pop() {
        let mut pages = client.list_stack_resources().stack_name(&stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page
                .map_err(|error| format!("the resources of `{stack}` are not known: {}", explain(&error)))?;
            for resource in page.stack_resource_summaries() {
                let Some(name) = resource.physical_resource_id() else { continue };
                let found = resource.resource_type();
                if resource.logical_resource_id() == Some(logical_id) && (kind.is_none() || found == kind) {
                    return Ok(Some(name.to_owned()));
                }
                if found == Some("AWS::CloudFormation::Stack") {
                    stacks.push(name.to_owned());
                }
            }
        }
    }
    Ok(None)
}

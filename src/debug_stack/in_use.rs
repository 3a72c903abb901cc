//! A policy that is attached cannot be deleted: what becomes of a debug stack that is removed while roles have the policy of the stubs.

use aws_sdk_cloudformation::{
    error::SdkError, operation::delete_stack::DeleteStackError, types::ResourceStatus,
};

use super::STUB_POLICY;
use crate::aws::Aws;

/// Whether the stack could not be deleted because roles of other stacks have the policy of the stubs.
pub(super) async fn policy_is_in_use(aws: &Aws, stack: &str) -> bool {
    let resources = aws.cloudformation().list_stack_resources().stack_name(stack).send().await;
    let resources = resources.ok().and_then(|found| found.stack_resource_summaries);
    resources.into_iter().flatten().any(|resource| {
        resource.logical_resource_id() == Some(STUB_POLICY)
            && resource.resource_status() == Some(&ResourceStatus::DeleteFailed)
    })
}

/// Deletes a stack that could not be deleted because of its policy. That is left behind.
///
/// # Errors
/// What CloudFormation says.
pub(super) async fn delete_without_policy(aws: &Aws, stack: &str) -> Result<(), SdkError<DeleteStackError>> {
    let delete = aws.cloudformation().delete_stack().stack_name(stack).set_role_arn(aws.deployer.clone());
    delete.retain_resources(STUB_POLICY).send().await.map(drop)
}

//! The CDK's own stack in a local cloud that has just been started.

use std::time::Duration;

use aws_sdk_cloudformation::types::{Capability, OnFailure, Parameter, StackStatus};
use tokio::time::{Instant, sleep};

use super::bootstrap::USUAL_STACK;
use crate::{
    app::{Context, cdk_cli},
    aws::{Aws, explain},
    trace,
};

/// How often the local cloud is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long its stack may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bootstraps a local cloud that has just been started. It has to be done at each of its starts, so it is done without the CDK CLI, which
/// takes seconds for it, and before it is known whether the app needs it. Where that does not succeed nothing is left of it, and
/// [`super::bootstrap()`] is as necessary as before.
pub async fn bootstrap_local_cloud(context: &Context<'_>, aws: &Aws) {
    match create(context, aws).await {
        Ok(()) => trace::start!("the local cloud is bootstrapped"),
        Err(reason) => tracing::debug!(reason, "the local cloud is left to `cdk bootstrap`"),
    }
}

/// Creates the CLI's own stack, as the CLI would do it in the app's directory.
async fn create(context: &Context<'_>, aws: &Aws) -> std::result::Result<(), String> {
    let template = cdk_cli::bootstrap_template(context).map_err(|error| error.to_string())?;
    let parameter =
        |key: &str, value: &str| Parameter::builder().parameter_key(key).parameter_value(value).build();
    let client = aws.cloudformation();
    let stack = context.project.toolkit_stack().unwrap_or(USUAL_STACK);
    let qualifier = context.project.qualifier().map(|qualifier| parameter("Qualifier", qualifier));
    let policies =
        parameter("CloudFormationExecutionPolicies", "arn:aws:iam::aws:policy/AdministratorAccess");
    let parameters = [parameter("FileAssetsBucketKmsKeyId", "AWS_MANAGED_KEY"), policies];
    let parameters = parameters.into_iter().chain(qualifier).collect();
    let created = client
        .create_stack()
        .stack_name(stack)
        .template_body(template)
        .set_parameters(Some(parameters))
        .capabilities(Capability::CapabilityNamedIam)
        .on_failure(OnFailure::Delete)
        .send();
    created.await.map_err(|error| explain(&error))?;
    let until = Instant::now() + PATIENCE;
    loop {
        let described = client.describe_stacks().stack_name(stack).send().await;
        let described = described.map_err(|error| explain(&error))?;
        match described.stacks().first().and_then(|stack| stack.stack_status()) {
            Some(StackStatus::CreateComplete) => return Ok(()),
            Some(StackStatus::CreateInProgress) if Instant::now() < until => sleep(LOOK_EVERY).await,
            other => return Err(format!("the stack is {other:?}")),
        }
    }
}

//! Removes the debug stack, with what is in its bucket.

use aws_sdk_cloudformation::{
    error::ProvideErrorMetadata,
    types::{ResourceStatus, Stack, StackStatus},
};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use tokio::time::{Instant, sleep};

use super::{
    asked::{PATIENCE, describe, first_failure, look_every, patiently, settled},
    in_use::{delete_without_policy, policy_is_in_use},
};
use crate::{
    aws::{Aws, explain, stack_is_missing},
    error::{Error, Kind, Result},
    ui::{Ui, UiEvent},
};

const PROGRESS: &str = "remove-debug-stack";

/// How often the bucket is emptied at most. A stub may put something in while the stack is being removed.
const ATTEMPTS: usize = 3;

/// The bucket in the usual template.
const BUCKET: &str = "Payloads";

/// Removes the stack `name`, if there is one.
///
/// # Errors
/// [`Kind::Deployment`] with what CloudFormation or S3 say.
pub async fn remove(aws: &Aws, name: &str, ui: &Ui) -> Result<()> {
    if describe(aws, name).await?.is_none() {
        return Ok(());
    }
    ui.send(UiEvent::ProgressBegan { key: PROGRESS, message: format!("Removing the debug stack `{name}`") });
    let result = remains(aws, name).await.map_err(|detail| {
        Error::new(Kind::Deployment, format!("the debug stack `{name}` could not be removed")).detail(detail)
    });
    if matches!(result, Ok(Left::Policy)) {
        ui.warning(format!(
            "the policy of the stubs of `{name}` stays, because roles of stacks that are left have it; remove these stacks, or deploy \
             them with their own code, and delete the policy"
        ));
    }
    ui.send(match result {
        Ok(_) => {
            UiEvent::ProgressEnded { key: PROGRESS, message: format!("The debug stack `{name}` is removed") }
        }
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result.map(drop)
}

/// What stays of a stack that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// The policy of the stubs, which roles of other stacks have.
    Policy,
}

/// Removes whatever there is of a stack, once nothing else happens to it. What is wrong is said in the words of CloudFormation or S3.
pub(super) async fn remains(aws: &Aws, name: &str) -> std::result::Result<Left, String> {
    let mut attempts = 0;
    loop {
        let stack = settled(aws, name).await.map_err(|error| error.to_string())?;
        let Some(stack) = stack else { return Ok(Left::Nothing) };
        if let Some(bucket) = bucket(aws, name, &stack).await {
            empty(aws, &bucket).await?;
        }
        attempts += 1;
        match delete(aws, name, stack.stack_id().unwrap_or(name)).await {
            // There was something in it again.
            Err(reason) if attempts < ATTEMPTS && reason.contains("not empty") => {}
            done => return done,
        }
    }
}

/// Where the payloads are, also in a stack that was never complete.
async fn bucket(aws: &Aws, name: &str, stack: &Stack) -> Option<String> {
    let output = stack.outputs().iter().find(|output| output.output_key() == Some("Bucket"));
    if let Some(bucket) = output.and_then(|output| output.output_value()) {
        return Some(bucket.to_owned());
    }
    let listed = patiently(aws, |client| client.describe_stack_resources().stack_name(name).send());
    let resources = listed.await.ok()?.stack_resources.unwrap_or_default();
    let is_there = |status: &ResourceStatus| *status != ResourceStatus::DeleteComplete;
    let found = resources.into_iter().find(|resource| {
        resource.logical_resource_id() == Some(BUCKET) && resource.resource_status().is_some_and(is_there)
    });
    found?.physical_resource_id.filter(|id| !id.is_empty())
}

/// CloudFormation removes no bucket that holds something. This one holds payloads on their way, of which there are none any more.
async fn empty(aws: &Aws, bucket: &str) -> std::result::Result<(), String> {
    let client = aws.s3();
    loop {
        let listed = match client.list_objects_v2().bucket(bucket).send().await {
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
            listed => listed.map_err(|error| explain(&error))?,
        };
        let keys = listed.contents().iter().filter_map(|object| object.key());
        let objects: Vec<ObjectIdentifier> =
            keys.filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|error| error.to_string())?;
        let deleted = client.delete_objects().bucket(bucket).delete(delete).send().await;
        let deleted = deleted.map_err(|error| explain(&error))?;
        if let Some(error) = deleted.errors().first() {
            return Err(error.message().unwrap_or("an object cannot be deleted").to_owned());
        }
    }
}

async fn delete(aws: &Aws, name: &str, id: &str) -> std::result::Result<Left, String> {
    let asked = patiently(aws, |client| {
        client.delete_stack().stack_name(name).set_role_arn(aws.deployer.clone()).send()
    });
    asked.await.map_err(|error| explain(&error))?;
    let mut left = Left::Nothing;
    let until = Instant::now() + PATIENCE;
    loop {
        // A stack that is gone is known by its id only.
        let described = patiently(aws, |client| client.describe_stacks().stack_name(id).send());
        let stack = match described.await {
            Err(error) if stack_is_missing(&error) => return Ok(left),
            described => {
                described.map_err(|error| explain(&error))?.stacks.unwrap_or_default().into_iter().next()
            }
        };
        match stack.as_ref().and_then(|stack| stack.stack_status()) {
            None | Some(StackStatus::DeleteComplete) => return Ok(left),
            Some(StackStatus::DeleteFailed) if left == Left::Nothing && policy_is_in_use(aws, id).await => {
                left = Left::Policy;
                delete_without_policy(aws, id).await.map_err(|error| explain(&error))?;
                sleep(look_every(aws)).await;
            }
            Some(StackStatus::DeleteFailed) => {
                let reason = stack.as_ref().and_then(|stack| stack.stack_status_reason());
                return Err(first_failure(aws, name, reason).await);
            }
            _ if Instant::now() > until => return Err("it takes too long".to_owned()),
            _ => sleep(look_every(aws)).await,
        }
    }
}

//! Creates or updates a stack by change set and follows it to its end.

use aws_sdk_cloudformation::{
    error::{ProvideErrorMetadata, SdkError},
    types::{Capability, ChangeSetStatus, ChangeSetType, Parameter, ResourceStatus, Stack, StackStatus, Tag},
};
use tokio::time::{Instant, sleep};

use super::{
    asked::{PATIENCE, events, failed, first_failure, look, look_every, patiently, settled},
    remove,
};
use crate::{
    aws::{Aws, explain},
    error::{Error, Result},
};

/// How often it is tried. Each attempt waits first until nothing happens to the stack, so of several starts each has its turn. What is refused
/// so often is refused because of the state that the stack is in.
const ATTEMPTS: usize = 10;

/// What is deployed.
pub(super) struct Template<'a> {
    pub body: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    pub tags: &'a [(&'a str, &'a str)],
    /// Whether it may have roles with names of their own.
    pub names_roles: bool,
}

/// Deploys and returns the stack as it is then. `moved` is told what happens. Somebody else may deploy it at the same time, e.g. another
/// `sst start`: then it is looked at again when nothing happens to it any more.
pub(super) async fn deploy(
    aws: &Aws,
    name: &str,
    template: &Template<'_>,
    mut moved: impl FnMut(String),
) -> Result<Stack> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match attempt(aws, name, template, &mut moved).await {
            Err(Failure::Meanwhile(reason)) if attempts < ATTEMPTS => {
                tracing::debug!(reason, "somebody else deploys the debug stack");
                moved(format!("Waiting for what somebody else does to `{name}`"));
                sleep(look_every(aws)).await;
            }
            Err(Failure::Meanwhile(reason)) => return Err(failed(name, "preparing it", reason)),
            Err(Failure::Other(error)) => return Err(error),
            Ok(stack) => return Ok(stack),
        }
    }
}

/// Why an attempt has failed.
enum Failure {
    /// The stack is not what it was a moment ago, in CloudFormation's words.
    Meanwhile(String),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    fn of<E>(name: &str, doing: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
        let codes = ["OperationInProgressException", "InvalidChangeSetStatus", "ChangeSetNotFound"];
        let texts = ["already exists and cannot be created", "can not be updated", "does not exist"];
        if codes.contains(&code)
            || code == "ValidationError" && texts.iter().any(|text| message.contains(text))
        {
            return Self::Meanwhile(explain(error));
        }
        Self::Other(failed(name, doing, explain(error)))
    }
}

async fn attempt(
    aws: &Aws,
    name: &str,
    template: &Template<'_>,
    moved: &mut impl FnMut(String),
) -> std::result::Result<Stack, Failure> {
    let mut existing = settled(aws, name).await?;
    if let Some(status) = existing.as_ref().and_then(Stack::stack_status) {
        if *status == StackStatus::UpdateRollbackFailed {
            let existing = existing.as_ref();
            return Err(Failure::Other(stuck(aws, name, existing).await));
        }
        // A stack that was never complete cannot be updated, only replaced.
        if is_stillborn(status) {
            moved(format!("Removing the remains of an earlier attempt to create `{name}`"));
            remove::remains(aws, name)
                .await
                .map_err(|detail| failed(name, "removing its remains", detail))?;
            existing = settled(aws, name).await?;
        }
    }
    // One that is only being reviewed has no resources, and perhaps the change set of somebody else, which goes first if it is executed first.
    let is_there = existing.as_ref().and_then(Stack::stack_status);
    let kind = match is_there {
        None | Some(StackStatus::ReviewInProgress) => ChangeSetType::Create,
        Some(_) => ChangeSetType::Update,
    };
    let change_set = format!("sst-{}", uuid::Uuid::new_v4());
    let parameter = |(key, value): &(&str, &str)| {
        Parameter::builder().parameter_key(*key).parameter_value(*value).build()
    };
    let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build();
    let created = patiently(aws, |client| {
        client
            .create_change_set()
            .stack_name(name)
            .change_set_name(&change_set)
            .change_set_type(kind.clone())
            .template_body(template.body)
            .set_role_arn(aws.deployer.clone())
            .capabilities(match template.names_roles {
                true => Capability::CapabilityNamedIam,
                false => Capability::CapabilityIam,
            })
            .set_parameters(Some(template.parameters.iter().map(parameter).collect()))
            .set_tags(Some(template.tags.iter().map(tag).collect()))
            .send()
    });
    match created.await {
        Ok(_) => {}
        // The answer to the first request was lost.
        Err(error) if error.code() == Some("AlreadyExistsException") => {}
        Err(error) => return Err(Failure::of(name, "preparing it", &error)),
    }
    if !prepared(aws, name, &change_set).await? {
        let stack = look(aws, name).await?;
        return stack.ok_or_else(|| Failure::Meanwhile("it is gone".to_owned()));
    }
    let executed = patiently(aws, |client| {
        let execute = client.execute_change_set().stack_name(name).change_set_name(&change_set);
        // So that a second request, when the answer to the first was lost, is none.
        execute.client_request_token(&change_set).send()
    });
    if let Err(error) = executed.await {
        let _ = aws
            .cloudformation()
            .delete_change_set()
            .stack_name(name)
            .change_set_name(&change_set)
            .send()
            .await;
        return Err(Failure::of(name, "starting it", &error));
    }
    Ok(follow(aws, name, moved).await?)
}

/// What is said of a stack whose last change could neither be made nor taken back: only somebody who knows why can help it.
async fn stuck(aws: &Aws, name: &str, stack: Option<&Stack>) -> Error {
    let reason = first_failure(aws, name, stack.and_then(Stack::stack_status_reason)).await;
    failed(name, "its last change failed, and could not be taken back", reason).hint(format!(
        "mend the cause and run `aws cloudformation continue-update-rollback --stack-name {name} --region {}`, or remove the stack with \
         `aws cloudformation delete-stack --stack-name {name} --region {}`: the next start makes it anew",
        aws.region, aws.region
    ))
}

/// Waits for the change set. False when it holds no change.
async fn prepared(aws: &Aws, name: &str, change_set: &str) -> std::result::Result<bool, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let described = patiently(aws, |client| {
            client.describe_change_set().stack_name(name).change_set_name(change_set).send()
        });
        let described = described.await.map_err(|error| Failure::of(name, "preparing it", &error))?;
        match described.status() {
            Some(ChangeSetStatus::CreateComplete) => return Ok(true),
            Some(ChangeSetStatus::Failed) => {
                let reason = described.status_reason().unwrap_or("no reason is given").to_owned();
                let delete = aws.cloudformation().delete_change_set();
                let _ = delete.stack_name(name).change_set_name(change_set).send().await;
                let unchanged = ["didn't contain changes", "No updates are to be performed"];
                if unchanged.iter().any(|text| reason.contains(text)) {
                    return Ok(false);
                }
                return Err(failed(name, "preparing it", reason).into());
            }
            _ if Instant::now() > until => {
                return Err(failed(name, "preparing it", "it takes too long").into());
            }
            _ => sleep(look_every(aws)).await,
        }
    }
}

/// Reports what happens to the stack's resources until it is complete or has failed.
async fn follow(aws: &Aws, name: &str, moved: &mut impl FnMut(String)) -> Result<Stack> {
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    loop {
        let stack = look(aws, name).await?.ok_or_else(|| failed(name, "deploying it", "it is gone"))?;
        match stack.stack_status() {
            Some(
                StackStatus::CreateComplete
                | StackStatus::UpdateComplete
                | StackStatus::UpdateCompleteCleanupInProgress,
            ) => return Ok(stack),
            Some(status)
                if status.as_str().ends_with("_IN_PROGRESS") && !status.as_str().contains("ROLLBACK") => {}
            _ => {
                let reason = first_failure(aws, name, stack.stack_status_reason()).await;
                return Err(failed(name, "deploying it", reason));
            }
        }
        if Instant::now() > until {
            return Err(failed(name, "deploying it", "it takes too long"));
        }
        if let Some(event) = events(aws, name).await.into_iter().next()
            && event.event_id() != last.as_deref()
        {
            last = event.event_id().map(str::to_owned);
            let resource = event.logical_resource_id().unwrap_or_default();
            let status = event.resource_status().map_or("", ResourceStatus::as_str);
            moved(format!(
                "Deploying the debug stack: {resource} {}",
                status.to_lowercase().replace('_', " ")
            ));
        }
        sleep(look_every(aws)).await;
    }
}

fn is_stillborn(status: &StackStatus) -> bool {
    use StackStatus::{CreateFailed, DeleteFailed, RollbackComplete, RollbackFailed};
    matches!(status, CreateFailed | DeleteFailed | RollbackComplete | RollbackFailed)
}

//! Creates or updates a stack by change set and follows it to its end.

use std::time::Duration;

use aws_sdk_cloudformation::{
    error::{ProvideErrorMetadata, SdkError},
    operation::describe_stacks::{DescribeStacksError, DescribeStacksOutput},
    types::{
        Capability, ChangeSetStatus, ChangeSetType, Parameter, ResourceStatus, Stack, StackEvent,
        StackStatus, Tag,
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    aws::{Aws, explain, stack_is_missing},
    error::{Error, Kind, Result},
};

/// How often a deployment in progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1000);

/// A local cloud answers at once, and nobody throttles.
const LOOK_EVERY_LOCALLY: Duration = Duration::from_millis(100);

/// How long CloudFormation may be out of reach during a deployment.
const UNREACHABLE: Duration = Duration::from_secs(60);

/// How long a deployment may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What is deployed.
pub(super) struct Template<'a> {
    pub body: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    pub tags: &'a [(&'a str, &'a str)],
    /// Whether it may have roles with names of their own.
    pub names_roles: bool,
}

/// The stack of that name, if there is one.
pub(super) async fn describe(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let described = aws.cloudformation().describe_stacks().stack_name(name).send().await;
    stack(name, described)
}

/// The same in the middle of a deployment, which goes on although a network fails for a while, or CloudFormation wants to be asked less.
async fn look(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let until = Instant::now() + UNREACHABLE;
    let mut aws = aws.clone();
    loop {
        let described = aws.cloudformation().describe_stacks().stack_name(name).send().await;
        let passes = described.as_ref().is_err_and(|error| {
            let status = error.raw_response().map(|response| response.status().as_u16());
            matches!(status, None | Some(429 | 500..))
                || error.code().is_some_and(|code| code.contains("Throttl"))
        });
        if !passes || Instant::now() >= until {
            return stack(name, described);
        }
        sleep(look_every(&aws)).await;
        // What was wrong may be the connection.
        aws = aws.fresh();
    }
}

fn stack(
    name: &str,
    described: std::result::Result<DescribeStacksOutput, SdkError<DescribeStacksError>>,
) -> Result<Option<Stack>> {
    match described {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
        Err(error) if stack_is_missing(&error) => Ok(None),
        Err(error) => Err(failed(name, "looking for it", explain(&error))),
    }
}

/// Deploys and returns the stack as it is then. `moved` is told what happens.
pub(super) async fn deploy(
    aws: &Aws,
    name: &str,
    template: &Template<'_>,
    mut moved: impl FnMut(String),
) -> Result<Stack> {
    let client = aws.cloudformation();
    let mut existing = settled(aws, name).await?;
    // A stack that was never complete cannot be updated, only replaced.
    if existing.as_ref().is_some_and(|stack| is_stillborn(stack.stack_status())) {
        moved(format!("Removing the remains of an earlier attempt to create `{name}`"));
        let removed = client.delete_stack().stack_name(name).set_role_arn(aws.deployer.clone()).send().await;
        removed.map_err(|error| failed(name, "removing its remains", explain(&error)))?;
        existing = settled(aws, name).await?;
    }
    let kind = if existing.is_some() { ChangeSetType::Update } else { ChangeSetType::Create };
    let change_set = format!("sst-{}", uuid::Uuid::new_v4());
    let mut create = client
        .create_change_set()
        .stack_name(name)
        .change_set_name(&change_set)
        .change_set_type(kind)
        .template_body(template.body)
        .set_role_arn(aws.deployer.clone())
        .capabilities(match template.names_roles {
            true => Capability::CapabilityNamedIam,
            false => Capability::CapabilityIam,
        });
    for (key, value) in template.parameters {
        create = create.parameters(Parameter::builder().parameter_key(*key).parameter_value(*value).build());
    }
    for (key, value) in template.tags {
        create = create.tags(Tag::builder().key(*key).value(*value).build());
    }
    create.send().await.map_err(|error| failed(name, "preparing it", explain(&error)))?;

    if !prepared(aws, name, &change_set).await? {
        let stack = describe(aws, name).await?;
        return stack.ok_or_else(|| failed(name, "preparing it", "it is gone"));
    }
    let executed = client.execute_change_set().stack_name(name).change_set_name(&change_set).send().await;
    executed.map_err(|error| failed(name, "starting it", explain(&error)))?;
    follow(aws, name, &mut moved).await
}

/// Waits for the change set. False when it holds no change.
async fn prepared(aws: &Aws, name: &str, change_set: &str) -> Result<bool> {
    let client = aws.cloudformation();
    let until = Instant::now() + PATIENCE;
    loop {
        let described =
            client.describe_change_set().stack_name(name).change_set_name(change_set).send().await;
        let described = described.map_err(|error| failed(name, "preparing it", explain(&error)))?;
        match described.status() {
            Some(ChangeSetStatus::CreateComplete) => return Ok(true),
            Some(ChangeSetStatus::Failed) => {
                let reason = described.status_reason().unwrap_or("no reason is given").to_owned();
                let _ = client.delete_change_set().stack_name(name).change_set_name(change_set).send().await;
                let unchanged = ["didn't contain changes", "No updates are to be performed"];
                if unchanged.iter().any(|text| reason.contains(text)) {
                    return Ok(false);
                }
                return Err(failed(name, "preparing it", reason));
            }
            _ if Instant::now() > until => return Err(failed(name, "preparing it", "it takes too long")),
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
            _ => return Err(failed(name, "deploying it", first_failure(aws, name, &stack).await)),
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

/// Waits until nothing happens to the stack any more, e.g. because another run was interrupted a moment ago.
async fn settled(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let stack = look(aws, name).await?;
        let moves = stack.as_ref().and_then(Stack::stack_status).is_some_and(|status| {
            status.as_str().ends_with("_IN_PROGRESS") && *status != StackStatus::ReviewInProgress
        });
        if !moves || Instant::now() > until {
            return Ok(stack);
        }
        sleep(look_every(aws)).await;
    }
}

fn is_stillborn(status: Option<&StackStatus>) -> bool {
    use StackStatus::{CreateFailed, DeleteFailed, ReviewInProgress, RollbackComplete, RollbackFailed};
    matches!(status, Some(CreateFailed | DeleteFailed | ReviewInProgress | RollbackComplete | RollbackFailed))
}

/// The stack's events, newest first. They are for people; without them the deployment goes on.
async fn events(aws: &Aws, name: &str) -> Vec<StackEvent> {
    let answer = aws.cloudformation().describe_stack_events().stack_name(name).send().await;
    answer.ok().and_then(|answer| answer.stack_events).unwrap_or_default()
}

/// The reason of what failed first: what failed after it was only cancelled.
async fn first_failure(aws: &Aws, name: &str, stack: &Stack) -> String {
    let events = events(aws, name).await;
    let failure = events.iter().rev().find(|event| {
        event.resource_status().is_some_and(|status| status.as_str().ends_with("_FAILED"))
            && !event.resource_status_reason().unwrap_or_default().contains("ancelled")
    });
    match failure {
        Some(event) => format!(
            "{} ({}): {}",
            event.logical_resource_id().unwrap_or_default(),
            event.resource_type().unwrap_or_default(),
            event.resource_status_reason().unwrap_or("no reason is given")
        ),
        None => stack.stack_status_reason().unwrap_or("no reason is given").to_owned(),
    }
}

fn failed(name: &str, doing: &str, detail: impl std::fmt::Display) -> Error {
    Error::new(Kind::Deployment, format!("the debug stack `{name}` could not be deployed ({doing})"))
        .detail(detail)
}

pub(super) fn look_every(aws: &Aws) -> Duration {
    if aws.endpoint.is_some() { LOOK_EVERY_LOCALLY } else { LOOK_EVERY }
}

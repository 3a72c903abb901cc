//! What CloudFormation is asked about a stack, patiently.

use std::time::Duration;

use aws_sdk_cloudformation::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::describe_stacks::{DescribeStacksError, DescribeStacksOutput},
    types::{Stack, StackEvent, StackStatus},
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
pub(super) const PATIENCE: Duration = Duration::from_secs(900);

/// The stack of that name, if there is one.
pub(super) async fn describe(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let described = aws.cloudformation().describe_stacks().stack_name(name).send().await;
    stack(name, described)
}

/// The same in the middle of a deployment.
pub(super) async fn look(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let asked = patiently(aws, |client| client.describe_stacks().stack_name(name).send());
    stack(name, asked.await)
}

/// Asks CloudFormation, by a client of its own each time, until it says something: a deployment goes on although a network fails for a while,
/// or CloudFormation wants to be asked less.
pub(super) async fn patiently<T, E, F>(
    aws: &Aws,
    ask: impl Fn(Client) -> F,
) -> std::result::Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = std::result::Result<T, SdkError<E>>>,
{
    let until = Instant::now() + UNREACHABLE;
    let mut aws = aws.clone();
    loop {
        let answer = ask(aws.cloudformation()).await;
        let passes = answer.as_ref().is_err_and(|error| {
            let status = error.raw_response().map(|response| response.status().as_u16());
            matches!(status, None | Some(429 | 500..))
                || error.code().is_some_and(|code| code.contains("Throttl"))
        });
        if !passes || Instant::now() >= until {
            return answer;
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

/// Waits until nothing happens to the stack any more, e.g. because another run was interrupted a moment ago.
pub(super) async fn settled(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let stack = look(aws, name).await?;
        if !moves(stack.as_ref()) || Instant::now() > until {
            return Ok(stack);
        }
        sleep(look_every(aws)).await;
    }
}

/// The same, but that it has to be possible to ask for it. Somebody else may be about to change what answers at its routes.
pub(super) async fn at_rest(aws: &Aws, name: &str) -> Result<Option<Stack>> {
    let stack = describe(aws, name).await?;
    if moves(stack.as_ref()) { settled(aws, name).await } else { Ok(stack) }
}

fn moves(stack: Option<&Stack>) -> bool {
    stack.and_then(Stack::stack_status).is_some_and(|status| {
        status.as_str().ends_with("_IN_PROGRESS") && *status != StackStatus::ReviewInProgress
    })
}

/// The stack's events, newest first. They are for people; without them the deployment goes on.
pub(super) async fn events(aws: &Aws, name: &str) -> Vec<StackEvent> {
    let answer = aws.cloudformation().describe_stack_events().stack_name(name).send().await;
    answer.ok().and_then(|answer| answer.stack_events).unwrap_or_default()
}

/// The reason of what failed first in what was done last: what failed after it was only cancelled. Without such, what is said of the stack.
pub(super) async fn first_failure(aws: &Aws, name: &str, reason: Option<&str>) -> String {
    let events = events(aws, name).await;
    let is_begin = |event: &&StackEvent| {
        event.physical_resource_id() == event.stack_id()
            && event.resource_status_reason().is_some_and(|reason| reason == "User Initiated")
    };
    let last = events.iter().position(|event| is_begin(&event)).unwrap_or(events.len());
    let failure = events[..last].iter().rev().find(|event| {
        event.physical_resource_id() != event.stack_id()
            && event.resource_status().is_some_and(|status| status.as_str().ends_with("_FAILED"))
            && !event.resource_status_reason().unwrap_or_default().contains("ancelled")
    });
    match failure {
        Some(event) => format!(
            "{} ({}): {}",
            event.logical_resource_id().unwrap_or_default(),
            event.resource_type().unwrap_or_default(),
            event.resource_status_reason().unwrap_or("no reason is given")
        ),
        None => reason.unwrap_or("no reason is given").to_owned(),
    }
}

/// The error of a deployment.
pub(super) fn failed(name: &str, doing: &str, detail: impl std::fmt::Display) -> Error {
    Error::new(Kind::Deployment, format!("the debug stack `{name}` could not be deployed ({doing})"))
        .detail(detail)
}

/// How long to wait before a deployment is looked at again.
pub(super) fn look_every(aws: &Aws) -> Duration {
    if aws.endpoint.is_some() { LOOK_EVERY_LOCALLY } else { LOOK_EVERY }
}

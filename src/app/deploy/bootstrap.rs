//! The CDK's own stack, with the bucket and the roles that deployments use.

use crate::{
    app::{Context, cdk_cli, tool},
    aws::{Aws, explain, stack_is_missing},
    error::{Error, Kind, Result},
    ui::UiEvent,
};

const STACK: &str = "CDKToolkit";
const PROGRESS: &str = "bootstrap";

/// Whether the account and region have not been bootstrapped yet.
///
/// # Errors
/// [`Kind::Cloud`] when CloudFormation does not say.
pub async fn needs_bootstrap(aws: &Aws) -> Result<bool> {
    match aws.cloudformation().describe_stacks().stack_name(STACK).send().await {
        Ok(answer) => Ok(answer.stacks().is_empty()),
        Err(error) if stack_is_missing(&error) => Ok(true),
        Err(error) => {
            Err(Error::new(Kind::Cloud, format!("cannot look for the stack `{STACK}`"))
                .detail(explain(&error)))
        }
    }
}

/// Bootstraps the account and region.
///
/// # Errors
/// [`Kind::Deployment`] with what the CDK CLI says.
pub async fn bootstrap(context: &Context<'_>, aws: &Aws) -> Result<()> {
    let place = format!("aws://{}/{}", aws.account, aws.region);
    let message = format!("Bootstrapping {place} for the CDK, once");
    context.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let result = run(context, aws, &place).await;
    context.ui.send(match result {
        Ok(()) => UiEvent::ProgressEnded { key: PROGRESS, message: format!("{place} is bootstrapped") },
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result
}

async fn run(context: &Context<'_>, aws: &Aws, place: &str) -> Result<()> {
    let mut command = cdk_cli::command(context, aws).await?;
    // Of the project's own `cdk.json` nothing is needed, and its `app` must not be run.
    command
        .args(["bootstrap", place, "--no-notices", "--ci"])
        .current_dir(context.project.state_dir()?.path(""));
    let finished = tool::run(context, command, |line| tracing::debug!(line, "bootstrap")).await;
    let finished = finished.map_err(|problem| problem.into_error(Kind::Deployment, "`cdk bootstrap`"))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Deployment, format!("`cdk bootstrap {place}` failed"))
        .detail(finished.output.trim()))
}

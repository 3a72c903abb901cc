//! `sst doctor --account`: makes a debug stack of its own, tries there what a session needs, and removes it. Most of what `sst` knows of
//! AWS comes from its documentation; this says of one account whether that is so.

use tokio_util::sync::CancellationToken;

use crate::{
    aws::Aws,
    debug_stack,
    error::{Error, Kind, Result},
    relay::{self, Trial},
    settings,
    ui::Ui,
};

/// Tries the account, and says what it finds.
///
/// # Errors
/// [`Kind::Deployment`] when the stack cannot be deployed or removed, [`Kind::Environment`] when something does not work in it.
pub(super) async fn run(settings: &settings::App, ui: &Ui, interrupted: &CancellationToken) -> Result<()> {
    let aws = super::connect(settings.aws(), ui).await?;
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("sst-trial-{}", unique.get(..8).unwrap_or(&unique));
    ui.info(format!(
        "Trying account {} in {} with a stack of its own, `{name}`, which is removed at the end",
        aws.account, aws.region
    ));
    let tried = try_out(&aws, &name, ui, interrupted).await;
    for Trial { what, took, failure } in tried.as_deref().unwrap_or_default() {
        match failure {
            None => ui.info(format!("✓ {what} ({} ms)", took.as_millis())),
            Some(reason) => ui.info(format!("✗ {what}: {reason}")),
        }
    }
    let removed = debug_stack::remove(&aws, &name, ui).await.map_err(|error| {
        let region = &aws.region;
        error.hint(format!(
            "remove it: `aws cloudformation delete-stack --stack-name {name} --region {region}`"
        ))
    });
    let tried = tried?;
    removed?;
    if interrupted.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "interrupted"));
    }
    let bad = tried.iter().filter(|trial| trial.failure.is_some()).count();
    if bad > 0 {
        let message = format!("{bad} of {} things do not work in this account", tried.len());
        return Err(Error::new(Kind::Environment, message).hint(
            "the lines above say why; a policy of the account or a proxy on the way may be the cause",
        ));
    }
    Ok(())
}

/// Deploys the stack, and tries what is in it. Where its mocks do not answer, a function does, as in a session.
async fn try_out(aws: &Aws, name: &str, ui: &Ui, interrupted: &CancellationToken) -> Result<Vec<Trial>> {
    let mut stack = debug_stack::deploy(aws, name, None, ui).await?;
    while !interrupted.is_cancelled() {
        let tried = tokio::select! {
            tried = relay::try_out(aws, &stack) => tried,
            // What was made is removed all the same.
            () = interrupted.cancelled() => break,
        };
        match tried {
            Ok(trials) => return Ok(trials),
            Err(error) => {
                let unanswered = debug_stack::unanswered(&error);
                ui.warning(format!("{unanswered}; in a session a Lambda function does then, and so here"));
                stack = debug_stack::deploy_function(aws, name, None, ui).await?;
            }
        }
    }
    Ok(Vec::new())
}

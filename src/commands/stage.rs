//! Questions that several commands ask: which stage, and whether the account may be prepared for the CDK.

use crate::{
    aws::Aws,
    error::{Error, Kind, Result},
    project::{Project, StageRequest, resolve_stage},
    ui::{Ui, prompt},
};

/// The stage. A question for it waits on a thread of its own, so that Ctrl-C is heard. `fallback` is taken without asking.
pub(super) async fn stage(
    project: &Project,
    flag: Option<&str>,
    fallback: Option<&'static str>,
    aws: &Aws,
    ui: &Ui,
) -> Result<String> {
    let project = project.clone();
    let flag = flag.map(str::to_owned);
    let suggestion = aws.caller_arn.rsplit('/').next().map(str::to_owned);
    let ui = ui.clone();
    let resolved = tokio::task::spawn_blocking(move || {
        let request = StageRequest {
            flag: flag.as_deref(),
            interactive: prompt::is_interactive(),
            fallback,
            suggestion: suggestion.as_deref(),
        };
        resolve_stage(&project, request, &ui, |suggestion| {
            let suggestion = suggestion.map(|name| format!(" [{name}]")).unwrap_or_default();
            prompt::ask(&format!("Name of your stage{suggestion}:"))
                .map_err(|error| Error::new(Kind::Usage, "no stage was given").detail(error))
        })
    });
    resolved.await.map_err(|error| Error::new(Kind::Other, "the question failed").detail(error))?
}

/// On AWS the CDK's own stack is not made without a yes: it stays, and may cost something.
pub(super) async fn confirm_bootstrap(yes: bool, aws: &Aws) -> Result<()> {
    if aws.endpoint.is_some() || yes {
        return Ok(());
    }
    let place = format!("aws://{}/{}", aws.account, aws.region);
    let question =
        format!("{place} is not bootstrapped for the CDK yet. Bootstrap it now (bucket, roles)? [y/N]");
    if prompt::is_interactive() && confirmed(question).await {
        return Ok(());
    }
    Err(Error::new(Kind::Deployment, format!("{place} is not bootstrapped for the CDK"))
        .hint(format!("run `npx cdk bootstrap {place}`, or this command with `--yes`")))
}

/// Whether the answer is a yes. Waits on a thread of its own.
pub(super) async fn confirmed(question: String) -> bool {
    let answer = tokio::task::spawn_blocking(move || prompt::ask(&question)).await;
    matches!(answer, Ok(Ok(answer)) if matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

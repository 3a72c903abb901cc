//! What an app wants to know of its account while it is synthesised, e.g. its availability zones or the id of a VPC.

use serde_json::json;

use super::context::{Destination, LOOKED_UP, cdk_context, prepare, variables};
use crate::{
    app::{Assembly, Context, cdk_cli, tool},
    aws::Aws,
    error::{Error, Kind, Result},
    lock::{Holder, Lock},
    process,
    project::Kind as ProjectKind,
    ui::UiEvent,
};

const PROGRESS: &str = "look up";

/// Asks the account for what `assembly` was synthesised without: the library has put dummies in the places. Returns whether there are
/// answers, with which the app has to be synthesised again.
///
/// A local cloud seldom has what an app looks up in a real account. Nothing there minds the dummies, so that is no error.
///
/// # Errors
/// [`Kind::Synthesis`] with what the CDK CLI says, when the account has no answer.
pub async fn look_up(
    context: &Context<'_>,
    aws: &Aws,
    target: &Destination,
    assembly: &Assembly,
) -> Result<bool> {
    if assembly.missing.is_empty() {
        return Ok(false);
    }
    let message = "Looking up what the app needs to know of its account".to_owned();
    context.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let result = run(context, aws, target).await;
    let result = match result {
        Err(error) if aws.endpoint.is_some() && error.kind == Kind::Synthesis => {
            tracing::debug!(detail = error.detail, "look up");
            Ok(false)
        }
        other => other,
    };
    context.ui.send(match &result {
        Ok(found) => {
            let message = if *found { "The account is looked up" } else { "The local cloud has no answer" };
            UiEvent::ProgressEnded { key: PROGRESS, message: message.to_owned() }
        }
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result
}

/// Only the CLI can look everything up. It synthesises the app itself, as often as there are new questions.
async fn run(context: &Context<'_>, aws: &Aws, target: &Destination) -> Result<bool> {
    let state = context.project.state_dir()?;
    let directory = state.create_directory(LOOKED_UP)?;
    // The answers are for all commands, of which several may run.
    let this = Holder::this("sst", Some(&target.stage), &context.project.root);
    let lock = Lock::wait(&directory.join("lock"), &this, |_| {}).await;
    let _lock = lock.inspect_err(|error| tracing::warn!(%error, "no lock on look-ups"));
    let own = cdk_context(context, target)?;
    let node_options = variables(context, target)?.remove("NODE_OPTIONS");
    let settings = json!({ "app": app_command(context, node_options.as_deref()), "context": own });
    state.write(&format!("{LOOKED_UP}/cdk.json"), settings.to_string().as_bytes())?;
    let output = state.fresh_directory(&format!("{LOOKED_UP}/cdk.out"))?;
    let sources = directory.join("sources.jsonl");
    let mut command = cdk_cli::command(context, aws).await?;
    command.args(["synth", "**", "--quiet", "--no-notices", "--ci", "--output", output.as_str()]);
    let mut command = prepare(command, context, target, &[], &output, &sources)?;
    // What the developer wants loaded into the app may be named relative to the project, where the CLI does not run.
    command.current_dir(&directory).env_remove("NODE_OPTIONS");
    let finished = tool::run(context, command, |line| tracing::debug!(line, "look up")).await;
    let finished = finished.map_err(|problem| problem.into_error(Kind::Synthesis, "`cdk synth`"))?;
    if !finished.status.success() {
        return Err(Error::new(Kind::Synthesis, "what the app looks up in its account was not found")
            .detail(finished.output.trim()));
    }
    Ok(true)
}

/// The app's command, from wherever it is run.
fn app_command(context: &Context<'_>, node_options: Option<&str>) -> String {
    let command = match &context.project.kind {
        ProjectKind::Sst { .. } => {
            let host = context.tools.scripts.join("synth/host.mjs");
            format!("{} {}", quoted(context.tools.node.as_str()), quoted(host.as_str()))
        }
        ProjectKind::Cdk { app, .. } => app.clone(),
        // There is none, and so nothing to look up.
        ProjectKind::Deployed => String::new(),
    };
    let options = node_options.or(process::own_node_options().as_deref()).map(quoted).unwrap_or_default();
    format!("export NODE_OPTIONS={options} && cd {} && {command}", quoted(context.project.root.as_str()))
}

/// A text as one word of a shell's line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

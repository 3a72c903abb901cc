//! Runs the app's own code to get its cloud assembly.

use super::context::{Destination, prepare};
use crate::{
    app::{Assembly, Context, tool},
    error::{Error, Kind, Result},
    process::Command,
    project::Kind as ProjectKind,
    ui::UiEvent,
};

const PROGRESS: &str = "synthesis";

/// Synthesises the app into `cdk.out` of where the command works. Functions that run on this machine are not bundled; those of `bundle` (construct paths)
/// are.
///
/// # Errors
/// [`Kind::Synthesis`] with what the app's code says, its own stack trace included.
pub async fn synthesize(context: &Context<'_>, target: &Destination, bundle: &[String]) -> Result<Assembly> {
    let message = "Synthesising the app".to_owned();
    context.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let result = run(context, target, bundle).await;
    context.ui.send(match &result {
        Ok(assembly) => {
            let count = assembly.stacks.len();
            let plural = if count == 1 { "" } else { "s" };
            UiEvent::ProgressEnded {
                key: PROGRESS,
                message: format!("The app is synthesised ({count} stack{plural})"),
            }
        }
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result
}

async fn run(context: &Context<'_>, target: &Destination, bundle: &[String]) -> Result<Assembly> {
    let project = context.project;
    let directory = context.work.fresh_directory("cdk.out")?;
    let sources = context.work.path("sources.jsonl");
    for suffix in ["", ".inputs.json", ".debug-stack.json"] {
        let _ = fs_err::remove_file(format!("{sources}{suffix}"));
    }
    let commands = match &project.kind {
        ProjectKind::Sst { .. } => {
            let mut command = Command::new(&context.tools.node);
            command.arg(context.tools.scripts.join("synth/host.mjs"));
            vec![command]
        }
        ProjectKind::Cdk { app, build, .. } => build.iter().chain([app]).map(|line| shell(line)).collect(),
    };
    for command in commands {
        let command = prepare(command, context, target, bundle, &directory, &sources)?;
        let finished = tool::run(context, command, |line| tracing::debug!(line, "synthesis")).await;
        let finished =
            finished.map_err(|problem| problem.into_error(Kind::Synthesis, "the app's synthesis"))?;
        if !finished.status.success() {
            return Err(
                Error::new(Kind::Synthesis, "the app does not synthesise").detail(finished.output.trim())
            );
        }
    }
    if !directory.join("manifest.json").is_file() {
        return Err(Error::new(Kind::Synthesis, "the app has written no cloud assembly")
            .hint("its `app` command has to create a CDK `App`, with at least one stack"));
    }
    Assembly::read(&directory, &sources, &target.stage, &target.account, &target.region)
}

/// `app` of a `cdk.json` is a line for the shell.
fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}

//! Runs the app's own code to get its cloud assembly.

use super::{
    context::{Destination, prepare, variables},
    said,
};
use crate::{
    app::{Assembly, Context, tool},
    error::{Error, Kind, Result},
    process::Command,
    project::{Kind as ProjectKind, manifest::Synthesis},
    trace,
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
    let (build, app) = match &project.kind {
        ProjectKind::Sst { .. } => {
            let host = context.tools.scripts.join("synth/host.mjs");
            (None, vec![context.tools.node.to_string(), host.into_string()])
        }
        ProjectKind::Cdk { app, build, .. } => (build.as_deref().map(shell), shell(app)),
        ProjectKind::Deployed => {
            let message = format!("`{}` has no app that could be synthesised", project.root);
            return Err(Error::new(Kind::Usage, message));
        }
    };
    for words in build.iter().chain([&app]) {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let command = prepare(command, context, target, bundle, &directory, &sources)?;
        trace::start!(command = %words[0], "the app's code is run");
        let finished = tool::run(context, command, |line| tracing::debug!(line, "synthesis")).await;
        let finished =
            finished.map_err(|problem| problem.into_error(Kind::Synthesis, "the app's synthesis"))?;
        trace::start!(command = %words[0], "the app's code has run");
        if !finished.status.success() {
            let (said, hint) = said::of_the_app(&finished.output, context.tools.scripts.as_str());
            let error = Error::new(Kind::Synthesis, "the app does not synthesise").detail(said);
            return Err(match hint {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
    }
    if !directory.join("manifest.json").is_file() {
        return Err(Error::new(Kind::Synthesis, "the app has written no cloud assembly")
            .hint("its `app` command has to create a CDK `App`, with at least one stack"));
    }
    let assembly = Assembly::read(&directory, &sources, &target.stage, &target.account, &target.region)?;
    trace::start!("the cloud assembly is read");
    let synthesis = Synthesis { command: app, environment: variables(context, target)? };
    Ok(Assembly { synthesis, ..assembly })
}

/// `app` of a `cdk.json` is a line for the shell.
fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).into()
}

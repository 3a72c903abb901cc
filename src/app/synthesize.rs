//! Runs the app's own code to get its cloud assembly.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use super::{Assembly, Context, look_up, tool};
use crate::{
    error::{Error, Kind, Result},
    process::Command,
    project::Kind as ProjectKind,
    ui::UiEvent,
};

const PROGRESS: &str = "synthesis";

/// The newest schema of cloud assemblies that is understood here, as libraries want to be told.
const ASSEMBLY_VERSION: &str = "54.0.0";

/// Where the app is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The stage.
    pub stage: String,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The debug stack, when the app is to be asked how it wants that changed.
    pub debug_stack: Option<PlainDebugStack>,
    /// Context values of the command line.
    pub context: Map<String, Value>,
}

/// The debug stack as it is without the app's own `debugStack`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainDebugStack {
    /// Its name.
    pub name: String,
    /// The file of its template.
    pub template: Utf8PathBuf,
}

/// Synthesises the app into `cdk.out` of where the command works. Functions that run on this machine are not bundled; those of `bundle` (construct paths)
/// are.
///
/// # Errors
/// [`Kind::Synthesis`] with what the app's code says, its own stack trace included.
pub async fn synthesize(context: &Context<'_>, target: &Target, bundle: &[String]) -> Result<Assembly> {
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

async fn run(context: &Context<'_>, target: &Target, bundle: &[String]) -> Result<Assembly> {
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

/// Gives a command what the app and the hook in it look for in their environment.
pub(super) fn prepare(
    mut command: Command,
    context: &Context<'_>,
    target: &Target,
    bundle: &[String],
    directory: &Utf8Path,
    sources: &Utf8Path,
) -> Result<Command> {
    let project = context.project;
    let hook = context.tools.scripts.join("synth/hook.cjs");
    command
        .current_dir(&project.root)
        .env("SST_PROJECT", &project.root)
        .env("SST_STAGE", &target.stage)
        .env("SST_REGION", &target.region)
        .env("SST_ACCOUNT", &target.account)
        .env("SST_NPM_ROOT", &context.tools.npm_root)
        .env("SST_SOURCES", sources)
        .env("CDK_OUTDIR", directory)
        .env("CDK_DEFAULT_ACCOUNT", &target.account)
        .env("CDK_DEFAULT_REGION", &target.region)
        .env("CDK_CLI_ASM_VERSION", ASSEMBLY_VERSION)
        .env("CDK_CONTEXT_JSON", cdk_context(context, target)?.to_string());
    if let Some(debug_stack) = &target.debug_stack {
        command.env("SST_DEBUG_STACK", &debug_stack.name).env("SST_DEBUG_TEMPLATE", &debug_stack.template);
    } else {
        command.env_remove("SST_DEBUG_TEMPLATE");
    }
    if bundle.is_empty() {
        command.env_remove("SST_BUNDLE");
    } else {
        command.env("SST_BUNDLE", bundle.join("\n"));
    }
    if matches!(project.kind, ProjectKind::Cdk { .. }) {
        // Quoted, because the path may hold spaces.
        command.env("NODE_OPTIONS", format!("--require \"{hook}\""));
    }
    Ok(command)
}

/// What the CDK CLI would hand to the app: its own keys, and the values that were set by hand or found by earlier look-ups. The later
/// ones win, in the order of the CDK CLI.
pub(super) fn cdk_context(context: &Context<'_>, target: &Target) -> Result<Value> {
    let (ProjectKind::Sst { context: own, .. } | ProjectKind::Cdk { context: own, .. }) =
        &context.project.kind;
    let mut all = Map::new();
    for (key, value) in [
        ("aws:cdk:enable-path-metadata", json!(true)),
        ("aws:cdk:enable-asset-metadata", json!(true)),
        ("aws:cdk:disable-version-reporting", json!(true)),
        ("aws:cdk:bundling-stacks", json!(["**"])),
    ] {
        all.insert(key.to_owned(), value);
    }
    let read = |path: Utf8PathBuf| -> Value {
        serde_json::from_slice(&fs_err::read(path).unwrap_or_default()).unwrap_or_default()
    };
    let of_user = std::env::var("HOME").map(|home| read(Utf8PathBuf::from(home).join(".cdk.json")));
    let of_user = of_user.ok().and_then(|mut settings| settings.get_mut("context").map(Value::take));
    let found = read(context.project.root.join("cdk.context.json"));
    for values in [of_user.unwrap_or_default(), look_up::answers(context)?, found] {
        if let Value::Object(values) = values {
            all.extend(values);
        }
    }
    all.extend(own.clone());
    all.extend(target.context.clone());
    Ok(Value::Object(all))
}

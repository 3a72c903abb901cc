//! What the app is given when its code is run: where it is to be deployed, its environment, and the CDK's context.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use crate::{
    app::Context,
    error::Result,
    process::{self, Command},
    project::{Kind as ProjectKind, read_json},
};

/// The newest schema of cloud assemblies that is understood here, as libraries want to be told.
const ASSEMBLY_VERSION: &str = "54.0.0";

/// The directory, below `.sst`, in which the CDK CLI keeps the answers. The project's own `cdk.context.json` is for everybody who works
/// on it, and stays as it is.
pub(super) const LOOKED_UP: &str = "lookup";

/// Where the app is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
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

/// Gives a command what the app and the hook in it look for in their environment.
pub(super) fn prepare(
    mut command: Command,
    context: &Context<'_>,
    target: &Destination,
    bundle: &[String],
    directory: &Utf8Path,
    sources: &Utf8Path,
) -> Result<Command> {
    command
        .current_dir(&context.project.root)
        .envs(variables(context, target)?)
        .env("SST_SOURCES", sources)
        .env("CDK_OUTDIR", directory);
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
    Ok(command)
}

/// The variables that are the same whatever the app is run for.
pub(super) fn variables(context: &Context<'_>, target: &Destination) -> Result<BTreeMap<String, String>> {
    let project = context.project;
    let mut variables = vec![
        ("SST_PROJECT", project.root.to_string()),
        ("SST_STAGE", target.stage.clone()),
        ("SST_REGION", target.region.clone()),
        ("SST_ACCOUNT", target.account.clone()),
        ("SST_NPM_ROOT", context.tools.npm_root.to_string()),
        ("CDK_DEFAULT_ACCOUNT", target.account.clone()),
        ("CDK_DEFAULT_REGION", target.region.clone()),
        ("CDK_CLI_ASM_VERSION", ASSEMBLY_VERSION.to_owned()),
        ("CDK_CONTEXT_JSON", cdk_context(context, target)?.to_string()),
    ];
    if matches!(project.kind, ProjectKind::Sst { .. }) {
        // Read in one way for both sides.
        variables.push(("SST_SETTINGS", read_json(&project.root.join("sst.json"))?.to_string()));
    }
    if matches!(project.kind, ProjectKind::Cdk { .. }) {
        let hook = context.tools.scripts.join("synth/hook.cjs");
        variables.push(("NODE_OPTIONS", node_options(&hook, process::own_node_options().as_deref())));
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What Node is to load into the app: the hook, and what the developer wants to have loaded into whatever runs on Node.
fn node_options(hook: &Utf8Path, own: Option<&str>) -> String {
    // Quoted, because the path may hold spaces.
    let hook = format!("--require \"{hook}\"");
    own.map_or_else(|| hook.clone(), |own| format!("{hook} {own}"))
}

/// What the CDK CLI would hand to the app: its own keys, and the values that were set by hand or found by earlier look-ups. The later
/// ones win, in the order of the CDK CLI.
pub(super) fn cdk_context(context: &Context<'_>, target: &Destination) -> Result<Value> {
    let nothing = Map::new();
    let own = match &context.project.kind {
        ProjectKind::Sst { context: own, .. } | ProjectKind::Cdk { context: own, .. } => own,
        ProjectKind::Deployed => &nothing,
    };
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
    for values in [of_user.unwrap_or_default(), answers(context)?, found] {
        if let Value::Object(values) = values {
            all.extend(values);
        }
    }
    all.extend(own.clone());
    all.extend(target.context.clone());
    Ok(Value::Object(all))
}

/// The answers of earlier look-ups.
fn answers(context: &Context<'_>) -> Result<Value> {
    let path = context.project.state_dir()?.path(LOOKED_UP).join("cdk.context.json");
    let text = fs_err::read(path).unwrap_or_default();
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_developers_own_options_for_node_are_kept() {
        assert_eq!(node_options("/a b/hook.cjs".into(), None), r#"--require "/a b/hook.cjs""#);
        let own =
            node_options("/hook.cjs".into(), Some("--require ts-node/register --max-old-space-size=4096"));
        assert_eq!(own, r#"--require "/hook.cjs" --require ts-node/register --max-old-space-size=4096"#);
    }
}

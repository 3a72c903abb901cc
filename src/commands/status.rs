//! `sst status`: what runs in this project.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{history::answered, session};
use crate::{
    app::Outputs,
    cli,
    error::{Error, Kind, Result},
    project::{Project, manifest::Trigger},
    ui::{Ui, UiEvent},
};

/// What is shown of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    pid: u32,
    stage: String,
    region: String,
    inspector: String,
    flat_inspector: String,
    debug_adapter: String,
    endpoint: Option<String>,
    control: String,
    outputs: Outputs,
    functions: Vec<Function>,
    #[serde(default)]
    triggers: BTreeMap<String, Vec<Trigger>>,
}

#[derive(Debug, Deserialize)]
struct Function {
    id: String,
}

/// Shows it.
///
/// # Errors
/// [`Kind::Usage`] when nothing runs.
pub(super) async fn run(arguments: &cli::Status, project: &Project, ui: &Ui) -> Result<()> {
    let session = session::running(&project.state_dir()?)?;
    let body = answered(&session.client(), "/api/v1/state").await?;
    let other = |_| Error::new(Kind::Other, "`sst start` is of another version").hint("start it again");
    if arguments.json {
        let state: Value = serde_json::from_slice(&body).map_err(other)?;
        ui.send(UiEvent::Result(serde_json::to_vec_pretty(&state).unwrap_or_default()));
        return Ok(());
    }
    let state: State = serde_json::from_slice(&body).map_err(other)?;
    let cloud = state
        .endpoint
        .map_or_else(|| state.region.clone(), |endpoint| format!("{}, {endpoint}", state.region));
    let mut rows = vec![
        ("stage", format!("{} ({cloud})", state.stage)),
        ("process", state.pid.to_string()),
        (
            "debuggers",
            format!(
                "{}, one at a time {}, all languages {}",
                state.inspector, state.flat_inspector, state.debug_adapter
            ),
        ),
        ("API", format!("http://{}", state.control)),
    ];
    let width = state.functions.iter().map(|function| function.id.chars().count()).max().unwrap_or(0);
    let functions = state.functions.iter().map(|Function { id }| {
        let triggers = state.triggers.get(id).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<&str> = triggers.iter().map(|trigger| trigger.text.as_str()).collect();
        format!("{id:<width$}  {}", texts.join(", ")).trim_end().to_owned()
    });
    rows.extend(functions.enumerate().map(|(index, line)| (if index == 0 { "functions" } else { "" }, line)));
    let outputs = state.outputs.into_values().flatten();
    rows.extend(
        outputs.enumerate().map(|(index, (name, value))| {
            (if index == 0 { "outputs" } else { "" }, format!("{name}: {value}"))
        }),
    );
    let lines: Vec<String> = rows.into_iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    ui.send(UiEvent::Result(lines.join("\n").into_bytes()));
    Ok(())
}

//! `sst sample`: an event of a kind, to call a function with.

use jiff::Timestamp;
use serde::Deserialize;

use super::{history::answered, session};
use crate::{
    cli,
    console::{Client, encoded},
    error::{Error, Kind, Result},
    ids::FunctionId,
    project::{Project, manifest::Manifest},
    samples::{self, Listed, Origin},
    ui::{Ui, UiEvent},
};

/// Prints an event, or which kinds of them there are.
///
/// # Errors
/// [`Kind::Usage`] when there is no such kind, no such function, or nothing calls that.
pub(super) async fn run(
    arguments: &cli::Sample,
    project: impl FnOnce() -> Result<Project>,
    ui: &Ui,
) -> Result<()> {
    let text = match (&arguments.kind, &arguments.function) {
        (None, None) => table(&samples::listed(&[])),
        (Some(kind), None) => {
            let kind = samples::named(kind).ok_or_else(|| unknown(kind))?;
            let origin = Origin { trigger: None, physical_id: None, at: Timestamp::now() };
            serde_json::to_string_pretty(&kind.event(&origin)).unwrap_or_default()
        }
        (kind, Some(function)) => {
            let project = project()?;
            match session::running(&project.state_dir()?) {
                Ok(session) => of_session(&session.client(), kind.as_deref(), function).await?,
                Err(_) => of_template(&project, kind.as_deref(), function)?,
            }
        }
    };
    ui.send(UiEvent::Result(text.into_bytes()));
    Ok(())
}

/// With the names that CloudFormation has given, which the session looks up.
async fn of_session(client: &Client, kind: Option<&str>, function: &str) -> Result<String> {
    let query = format!("function={}", encoded(function));
    let kind = match kind {
        Some(kind) => kind.to_owned(),
        None => {
            #[derive(Deserialize)]
            struct Answer {
                samples: Vec<Listed>,
            }
            let body = answered(client, &format!("/api/v1/samples?{query}")).await?;
            let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
                Error::new(Kind::Other, "`sst start` is of another version").hint("start it again")
            })?;
            let own = answer.samples.into_iter().find(|sample| sample.of.is_some());
            own.ok_or_else(|| uncalled(function))?.name
        }
    };
    let body = answered(client, &format!("/api/v1/samples/{}?{query}", encoded(&kind))).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// With what the last `sst start` has found in the templates.
fn of_template(project: &Project, kind: Option<&str>, function: &str) -> Result<String> {
    let text = project.state_dir()?.read("functions.json")?.ok_or_else(|| {
        Error::new(Kind::Usage, "the functions of this project are not known yet")
            .hint("run `sst start` once; without `--for` a sample has the names of AWS's documentation")
    })?;
    let Manifest { functions, triggers, .. } = serde_json::from_str(&text).unwrap_or_default();
    let all = functions.iter().map(|function| (&function.id, &function.id));
    let id = FunctionId::named(function, all).map_err(|message| Error::new(Kind::Usage, message))?;
    let triggers = triggers.get(id).map(Vec::as_slice).unwrap_or_default();
    let (kind, trigger) = match kind {
        Some(name) => samples::chosen(name, triggers).ok_or_else(|| unknown(name))?,
        None => {
            let own = triggers.iter().find_map(|trigger| Some((samples::of(trigger)?, Some(trigger))));
            own.ok_or_else(|| uncalled(function))?
        }
    };
    let origin = Origin { trigger, physical_id: None, at: Timestamp::now() };
    Ok(serde_json::to_string_pretty(&kind.event(&origin)).unwrap_or_default())
}

fn unknown(name: &str) -> Error {
    Error::new(Kind::Usage, samples::unknown(name)).hint("`sst sample` lists all")
}

fn uncalled(function: &str) -> Error {
    Error::new(Kind::Usage, format!("nothing is known that calls `{function}`"))
        .hint("say which kind of event it is to be: `sst sample` lists all")
}

fn table(samples: &[Listed]) -> String {
    let width = samples.iter().map(|sample| sample.name.len()).max().unwrap_or(0);
    let lines = samples.iter().map(|Listed { name, text, .. }| format!("{name:<width$}  {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

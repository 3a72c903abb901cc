//! `sst history`, `sst show`, `sst replay`, `sst save`: the calls that there were.
//!
//! A session that runs is asked, which also knows what has not ended, and events as they were; else what is left on disk is read.

use http::{Method, StatusCode};
use serde::Deserialize;

use super::{
    edit::{Edited, edit},
    events, invoke, session,
};
use crate::{
    cli,
    console::{Client, encoded},
    error::{Error, Kind, Result},
    history::{Disk, Query, Record, Status, Stored, Summary},
    project::{Project, SavedEvents, StateDir},
    ui::{Ui, UiEvent, clock, milliseconds},
};

/// Below `.sst`: the calls on disk.
pub(super) const DIRECTORY: &str = "history";

/// What a function's name may take of a line.
const WIDEST: usize = 40;

/// Lists calls, the last one at the end, where it is seen first.
///
/// # Errors
/// [`Kind::Other`] when the session does not answer.
pub(super) async fn list(arguments: cli::History, project: &Project, ui: &Ui) -> Result<()> {
    let state_dir = project.state_dir()?;
    let query =
        Query { function: arguments.function, failed: arguments.failed, limit: arguments.limit.into() };
    let mut calls = calls(&state_dir, &query).await?;
    calls.reverse();
    if arguments.json {
        let lines: Vec<String> = calls.iter().filter_map(|call| serde_json::to_string(call).ok()).collect();
        if !lines.is_empty() {
            ui.send(UiEvent::Result(lines.join("\n").into_bytes()));
        }
        return Ok(());
    }
    if calls.is_empty() {
        ui.info("There are no such calls yet");
        return Ok(());
    }
    ui.send(UiEvent::Result(table(&calls).into_bytes()));
    Ok(())
}

/// The calls that are wanted, the last one first.
///
/// # Errors
/// [`Kind::Other`] when the session does not answer.
pub(super) async fn calls(state_dir: &StateDir, query: &Query) -> Result<Vec<Summary>> {
    #[derive(Deserialize)]
    struct Listed {
        invocations: Vec<Summary>,
    }
    let Some(client) = client(state_dir) else {
        return Ok(Disk::open(state_dir.below(DIRECTORY)?).list(query, 0));
    };
    let function = query.function.as_ref().map(|name| format!("&function={}", encoded(name)));
    let path = format!(
        "/api/v1/invocations?limit={}&failed={}{}",
        query.limit,
        query.failed,
        function.unwrap_or_default()
    );
    Ok(asked::<Listed>(&client, &path).await?.invocations)
}

/// Shows all that is known of a call.
///
/// # Errors
/// [`Kind::Usage`] when there is no such call.
pub(super) async fn show(arguments: &cli::Show, project: &Project, ui: &Ui) -> Result<()> {
    let record = find(&project.state_dir()?, &arguments.id).await?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&record).unwrap_or_default()
    } else {
        in_full(&record)
    };
    ui.send(UiEvent::Result(text.into_bytes()));
    Ok(())
}

/// Calls a function once more.
///
/// # Errors
/// As `sst invoke`.
pub(super) async fn replay(arguments: &cli::Replay, project: &Project, ui: &Ui) -> Result<()> {
    let session = session::running(&project.state_dir()?)?;
    let client = session.client();
    let mut id = arguments.id.clone();
    let mut event = match &arguments.event {
        None => None,
        Some(event) => Some(events::read(Some(event), project).await?),
    };
    if arguments.edit {
        // The last call may be another one when the editor is closed.
        id = find(&project.state_dir()?, &id).await?.summary.id;
        let former = match &event {
            Some(event) => event.clone(),
            None => answered(&client, &format!("/api/v1/invocations/{}/event", encoded(&id))).await?,
        };
        match edit(&former, &project.state_dir()?).await? {
            Edited::Unchanged => {}
            Edited::Changed(edited) => event = Some(edited),
            Edited::Emptied => {
                invoke::nothing_called(ui);
                return Ok(());
            }
        }
    }
    invoke::show(client.replay(&id, event, arguments.stop).await, ui)
}

/// Writes a call's event into the project.
///
/// # Errors
/// [`Kind::Usage`] for a name that is none, one that is taken, or when there is no such event.
pub(super) async fn save(arguments: &cli::Save, project: &Project, ui: &Ui) -> Result<()> {
    let name = &arguments.name;
    let events = SavedEvents::of(&project.root);
    // A name that cannot be is told before anybody is asked for anything.
    events.path(name)?;
    let record = find(&project.state_dir()?, &arguments.id).await?;
    let (bytes, masked) = if arguments.unmasked && record.event.masked > 0 {
        let session = session::running(&project.state_dir()?)?;
        let path = format!("/api/v1/invocations/{}/event", encoded(&record.summary.id));
        (answered(&session.client(), &path).await?, 0)
    } else {
        let text = record.event.text.clone().map(String::into_bytes).or_else(|| record.event.bytes());
        let bytes = text.ok_or_else(|| {
            Error::new(Kind::Usage, format!("the event of `{}` is not known any more", record.summary.id))
        })?;
        (bytes, record.event.masked)
    };
    events.write(name, &bytes, false)?;
    ui.info(format!(
        "Saved as {}/{name}.json: sst invoke {} --event {name}",
        SavedEvents::DIRECTORY,
        record.summary.function
    ));
    if masked > 0 {
        let values = values_masked(masked);
        ui.warning(format!(
            "{values} masked in it; `--unmasked` would write them, for everybody who sees the project"
        ));
    }
    Ok(())
}

/// How many values are masked, as the beginning of a sentence.
pub(super) fn values_masked(count: usize) -> String {
    match count {
        1 => "1 value that looks like a secret is".to_owned(),
        many => format!("{many} values that look like secrets are"),
    }
}

/// All that is known of a call.
///
/// # Errors
/// [`Kind::Usage`] when there is no such call, [`Kind::Other`] when the session does not answer.
pub(super) async fn find(state_dir: &StateDir, id: &str) -> Result<Record> {
    match client(state_dir) {
        Some(client) => asked(&client, &format!("/api/v1/invocations/{}", encoded(id))).await,
        None => Disk::open(state_dir.below(DIRECTORY)?)
            .find(id)
            .map_err(|message| Error::new(Kind::Usage, message))?
            .ok_or_else(|| {
                Error::new(Kind::Usage, format!("no call `{id}`"))
                    .hint("`sst history` lists those that are known")
            }),
    }
}

/// The session that runs, if one does.
fn client(state_dir: &StateDir) -> Option<Client> {
    Some(session::running(state_dir).ok()?.client())
}

async fn asked<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T> {
    let body = answered(client, path).await?;
    serde_json::from_slice(&body)
        .map_err(|_| Error::new(Kind::Other, "`sst start` is of another version").hint("start it again"))
}

/// The body of a good answer.
///
/// # Errors
/// [`Kind::Usage`] with what the session says, [`Kind::Other`] when it does not answer.
pub(super) async fn answered(client: &Client, path: &str) -> Result<Vec<u8>> {
    let asked = client.ask(Method::GET, path, Vec::new()).await;
    let (status, body) = asked.map_err(|error| invoke::silent(&error))?;
    if status == StatusCode::OK {
        return Ok(body.to_vec());
    }
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let said = said.as_ref().and_then(|said| said["error"].as_str());
    Err(Error::new(Kind::Usage, said.unwrap_or("`sst start` is of another version")))
}

/// A line for each call, in columns.
fn table(calls: &[Summary]) -> String {
    let rows: Vec<[String; 6]> = calls.iter().map(row).collect();
    let head = ["TIME", "ID", "FUNCTION", "OUTCOME", "TOOK", "EVENT"].map(str::to_owned);
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(&rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).min(WIDEST)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let lines = std::iter::once(&head).chain(&rows).map(|row| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(call: &Summary) -> [String; 6] {
    let outcome = match (call.status, &call.error_type) {
        (Status::Running, _) => "…".to_owned(),
        (Status::Paused, _) => "⏸".to_owned(),
        (Status::Returned, _) if call.summary.is_empty() => "ok".to_owned(),
        (Status::Returned, _) => call.summary.clone(),
        (Status::Failed, error) => error.clone().unwrap_or_else(|| "failed".to_owned()),
    };
    let again = if call.replay_of.is_some() { "↻ " } else { "" };
    let id = call.id.chars().take(8).collect();
    let took = call.took_ms.map(milliseconds).unwrap_or_default();
    [clock(call.at), id, call.function.clone(), outcome, took, format!("{again}{}", call.source)]
}

fn in_full(record: &Record) -> String {
    let Record { summary, event, result, error, logs, logs_left_out, trace } = record;
    let mut lines = vec![format!("{}  {}  {}", summary.id, summary.function, summary.source)];
    let took = summary.took_ms.map(|took| format!(", {}", milliseconds(took))).unwrap_or_default();
    let waited =
        summary.waited_ms.map(|waited| format!(" ({} until a process had it)", milliseconds(waited)));
    let status = match summary.status {
        Status::Running => "it runs".to_owned(),
        Status::Paused => format!(
            "paused{}",
            summary.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default()
        ),
        Status::Returned => "returned".to_owned(),
        Status::Failed => format!(
            "failed{}",
            summary.error_type.as_ref().map(|kind| format!(": {kind}")).unwrap_or_default()
        ),
    };
    lines.push(format!("{}, {status}{took}{}", clock(summary.at), waited.unwrap_or_default()));
    if let Some(of) = &summary.replay_of {
        lines.push(format!("with the event of {of} once more"));
    }
    lines.extend(trace.as_ref().map(|trace| format!("trace {trace}")));
    let mut section = |name: &str, text: String| {
        lines.push(String::new());
        lines.push(name.to_owned());
        lines.extend(text.lines().map(|line| format!("  {line}")));
    };
    section("EVENT", readable(event));
    if !logs.is_empty() {
        let mut written: Vec<&str> = logs.iter().map(|line| line.text.as_str()).collect();
        let more = format!("… and {logs_left_out} lines more");
        written.extend((*logs_left_out > 0).then_some(more.as_str()));
        section("OUTPUT", written.join("\n"));
    }
    match (error, result) {
        (Some(error), _) => section("ERROR", error.clone()),
        (None, Some(result)) => section("RESULT", readable(result)),
        (None, None) => {}
    }
    lines.join("\n")
}

/// JSON in lines, anything else as it is.
fn readable(stored: &Stored) -> String {
    let Stored { text, base64, masked, length } = stored;
    let text = match (text, base64) {
        (Some(text), _) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
            Err(_) => text.clone(),
        },
        (None, Some(base64)) => format!("(base64) {base64}"),
        (None, None) => String::new(),
    };
    let length = length.map(|length| format!("\n({length} bytes in all)"));
    let masked = (*masked > 0).then(|| format!("\n({masked} masked)"));
    format!("{text}{}{}", length.unwrap_or_default(), masked.unwrap_or_default())
}

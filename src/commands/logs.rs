//! `sst logs`: what functions write, in any terminal of the project.
//!
//! A session that runs is asked; else what is left on disk of the last calls is read.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use http::StatusCode;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{history::DIRECTORY, invoke::silent, session};
use crate::{
    cli,
    console::{Client, Lines, encoded},
    error::{Error, Kind, Result},
    history::{Disk, LogLine, Query},
    ids::RequestId,
    project::{Project, StateDir, manifest::Manifest},
    ui::{Ui, UiEvent},
};

/// What a function's name may take of a line.
const WIDEST: usize = 24;

/// A line of the session's answer: a line of output, how many are missing, or the number of the last one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Said {
    Line(LogLine),
    Missed { missed: u64 },
    Reached { change: u64 },
}

/// Shows the last lines, and those that come until the session ends or the user is tired of it.
///
/// # Errors
/// [`Kind::Usage`] when there is nothing to follow, [`Kind::Other`] when the session does not answer.
pub(super) async fn run(
    arguments: cli::Logs,
    project: &Project,
    ui: &Ui,
    interrupted: &CancellationToken,
) -> Result<()> {
    let state_dir = project.state_dir()?;
    let names = Names::of(&state_dir);
    let shown = Shown { ui, names: &names };
    match session::running(&state_dir) {
        Ok(session) => {
            let client = session.client();
            tokio::select! {
                read = read(&client, &arguments, &shown) => read,
                () = interrupted.cancelled() => Ok(()),
            }
        }
        Err(error) if arguments.follow => Err(error),
        Err(_) => {
            let query = Query { function: arguments.function, ..Query::default() };
            let disk = Disk::open(state_dir.below(DIRECTORY)?);
            shown.lines(&last_of(&disk, &query, arguments.limit.into()));
            Ok(())
        }
    }
}

async fn read(client: &Client, arguments: &cli::Logs, shown: &Shown<'_>) -> Result<()> {
    let mut lines = open(client, 0, arguments.function.as_deref()).await?;
    let most: usize = arguments.limit.into();
    let mut last = VecDeque::new();
    while let Some(said) = next(&mut lines).await.map_err(|error| silent(&error))? {
        match said {
            Said::Line(line) => {
                last.push_back(line);
                if last.len() > most {
                    last.pop_front();
                }
            }
            // Whoever wants the last lines knows that there were others.
            Said::Missed { .. } => {}
            Said::Reached { .. } => break,
        }
    }
    shown.lines(last.make_contiguous());
    if !arguments.follow {
        return Ok(());
    }
    // A session that is killed ends in the middle of an answer.
    while let Ok(Some(said)) = next(&mut lines).await {
        match said {
            Said::Line(line) => shown.line(&line),
            Said::Missed { missed } => shown.ui.send(UiEvent::Dropped { output: missed, others: 0 }),
            Said::Reached { .. } => {}
        }
    }
    shown.ui.info("The session has ended");
    Ok(())
}

/// The lines of a running session behind a number: first those that there are, then those that come.
///
/// # Errors
/// [`Kind::Other`] when the session does not answer.
pub(super) async fn open(client: &Client, after: u64, function: Option<&str>) -> Result<Lines> {
    let function = function.map(|name| format!("&function={}", encoded(name))).unwrap_or_default();
    let path = format!("/api/v1/logs?after={after}{function}");
    let lines = client.lines(&path).await.map_err(|error| silent(&error))?;
    match lines.status {
        StatusCode::OK => Ok(lines),
        _ => Err(Error::new(Kind::Other, "`sst start` is of another version").hint("start it again")),
    }
}

/// The next that a session says; none when it has ended.
pub(super) async fn next(lines: &mut Lines) -> io::Result<Option<Said>> {
    match lines.next().await? {
        Some(line) => Ok(Some(serde_json::from_slice(&line)?)),
        None => Ok(None),
    }
}

/// What is left of the last calls, in the order in which it was written.
fn last_of(disk: &Disk, query: &Query, most: usize) -> Vec<LogLine> {
    let calls = disk.list(query, 0).into_iter().filter_map(|call| disk.find(&call.id).ok().flatten());
    let mut lines: Vec<LogLine> = calls
        .flat_map(|call| {
            let (id, function) = (call.summary.id, call.summary.function);
            call.logs.into_iter().map(move |line| LogLine {
                change: 0,
                at: line.at,
                id: Some(id.clone()),
                function: function.clone(),
                text: line.text,
            })
        })
        .collect();
    lines.sort_by_key(|line| line.at);
    lines.split_off(lines.len().saturating_sub(most))
}

/// How lines are shown.
struct Shown<'a> {
    ui: &'a Ui,
    names: &'a Names,
}

impl Shown<'_> {
    fn lines(&self, lines: &[LogLine]) {
        lines.iter().for_each(|line| self.line(line));
    }

    fn line(&self, line: &LogLine) {
        self.ui.send(UiEvent::Line {
            at: line.at,
            request: line.id.as_ref().map(RequestId::from),
            function: line.function.as_str().into(),
            name: self.names.short(&line.function),
            line: line.text.clone(),
        });
    }
}

/// What functions are called in a line: the end of their ids, as long as it has to be to mean one only.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    short: HashMap<String, String>,
    width: usize,
}

impl Names {
    /// Those of the functions that the last session has left word of.
    fn of(state_dir: &StateDir) -> Self {
        let text = state_dir.read("functions.json").ok().flatten().unwrap_or_default();
        let manifest: Manifest = serde_json::from_str(&text).unwrap_or_default();
        Self::new(&manifest.functions.iter().map(|function| function.id.to_string()).collect::<Vec<_>>())
    }

    fn new(ids: &[String]) -> Self {
        let ends_so = |id: &str, end: &str| {
            id.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let shortest = |id: &String| {
            let starts = id.rmatch_indices('/').map(|(at, _)| at + 1);
            let mut ends = starts.map(|at| &id[at..]);
            let unique = ends.find(|end| ids.iter().filter(|other| ends_so(other, end)).count() == 1);
            unique.unwrap_or(id).to_owned()
        };
        let short: HashMap<String, String> = ids.iter().map(|id| (id.clone(), shortest(id))).collect();
        let width = short.values().map(|name| name.chars().count()).max().unwrap_or(0).min(WIDEST);
        Self { short, width }
    }

    /// As wide as the others.
    fn short(&self, id: &str) -> String {
        let name = self.short.get(id).map_or(id, String::as_str);
        format!("{name:<width$}", width = self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be_and_equally_wide() {
        let ids = ["api/List", "api/Get", "api/Jobs/Handler", "other/Handler", "alone"].map(str::to_owned);
        let names = Names::new(&ids);
        let table = [
            ("api/List", "List"),
            ("api/Get", "Get"),
            ("api/Jobs/Handler", "Jobs/Handler"),
            ("other/Handler", "other/Handler"),
            ("alone", "alone"),
            ("unknown/List", "unknown/List"),
        ];
        for (id, short) in table {
            assert_eq!(names.short(id), format!("{short:<13}"));
        }
    }

    #[test]
    fn what_a_session_says_is_told_apart() {
        let said = |text: &str| serde_json::from_str::<Said>(text).unwrap();
        let line = r#"{"change":7,"at":1,"function":"f","text":"missed"}"#;
        assert!(matches!(said(line), Said::Line(LogLine { change: 7, id: None, .. })));
        assert!(matches!(said(r#"{"change":7,"missed":3}"#), Said::Missed { missed: 3 }));
        assert!(matches!(said(r#"{"change":7}"#), Said::Reached { change: 7 }));
    }
}

//! The stage: which copy of the app this developer works on.

use crate::{
    error::{Error, Kind, Result},
    ui::Ui,
};

use super::{Project, as_name, is_name};

/// The file in `.sst/` that remembers the answer to the prompt.
const FILE: &str = "stage";

/// Long enough for any name, short enough for `<stage>-<app>-debug-stack` to fit 128 characters with room for the app.
const MAX_LENGTH: usize = 50;

/// What is known about the stage besides the project's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageRequest<'a> {
    /// `--stage`.
    pub flag: Option<&'a str>,
    /// Whether somebody can answer a prompt.
    pub interactive: bool,
    /// The stage to take without asking when nothing names one: `dev` in a local cloud, none on AWS, where it could be
    /// somebody else's.
    pub fallback: Option<&'a str>,
    /// What the prompt suggests, e.g. the name of the AWS caller. Characters that a stage cannot have are replaced.
    pub suggestion: Option<&'a str>,
}

/// The stage to work on: `--stage`, else `sst.json`, else what was answered before, else the fallback, else the answer to
/// `prompt`, which is given the suggestion, and called again with what was wrong until the answer can be a stage.
///
/// # Errors
/// [`Kind::Usage`] when no stage is named and nobody can be asked, or when a named one has characters that it cannot have;
/// whatever `prompt` fails with; [`Kind::Environment`] when the answer cannot be stored.
pub fn resolve_stage(
    project: &Project,
    request: StageRequest<'_>,
    ui: &Ui,
    mut prompt: impl FnMut(Option<&str>, Option<String>) -> Result<String>,
) -> Result<String> {
    for unknown in &project.unknown {
        ui.warning(unknown.clone());
    }
    if let Some(flag) = request.flag {
        return check_stage(flag).map_err(|error| error.hint("give another name with `--stage`"));
    }
    if let Some(stage) = &project.stage_in_file {
        ui.warning(format!(
            "`stage` in `{}` is deprecated, because the file is shared and a stage is not: remove it and use `--stage`",
            project.root.join("sst.json")
        ));
        return check_stage(stage).map_err(|error| error.hint("remove `stage` from `sst.json`"));
    }
    let state = project.state_dir()?;
    if let Some(stored) = state.read(FILE)?.map(|text| text.trim().to_owned())
        && !stored.is_empty()
    {
        return check_stage(&stored)
            .map_err(|error| error.hint(format!("remove `{}` to choose again", state.path(FILE))));
    }
    if let Some(fallback) = request.fallback {
        return check_stage(fallback);
    }
    if !request.interactive {
        return Err(Error::new(Kind::Usage, "no stage is known, and there is no terminal to ask for one")
            .hint("name it with `--stage <name>`"));
    }
    let suggestion = request.suggestion.map(as_name).filter(|name| check_stage(name).is_ok());
    let mut wrong = None;
    loop {
        let answer = prompt(suggestion.as_deref(), wrong.take())?;
        let answer = match (answer.trim(), &suggestion) {
            ("", Some(suggestion)) => suggestion.clone(),
            (answer, _) => answer.to_owned(),
        };
        match check_stage(&answer) {
            Ok(stage) => {
                state.write(FILE, format!("{stage}\n").as_bytes())?;
                return Ok(stage);
            }
            Err(error) => {
                wrong = Some(error.to_string());
            }
        }
    }
}

/// Checks that a text can be a stage.
///
/// # Errors
/// [`Kind::Usage`] when it is empty, too long, or has characters that the names of stacks cannot have.
pub fn check_stage(stage: &str) -> Result<String> {
    if stage.is_empty() {
        return Err(Error::new(Kind::Usage, "the stage has no name"));
    }
    if stage.len() > MAX_LENGTH {
        let message = format!("the stage `{stage}` is longer than {MAX_LENGTH} characters");
        return Err(Error::new(Kind::Usage, message));
    }
    if !is_name(stage) {
        let message = format!(
            "the stage `{stage}` cannot be part of the names of stacks: use letters, digits, and hyphens, starting with a letter"
        );
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(stage.to_owned())
}

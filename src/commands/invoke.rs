//! `sst invoke`: calls a function through the running `sst start`, without the cloud.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    edit::{Edited, edit},
    events,
};
use crate::{
    cli,
    error::{Error, Kind, Result},
    local::Answer,
    project::Project,
    ui::{Ui, UiEvent},
};

/// Calls the function and shows what it returns.
///
/// # Errors
/// [`Kind::Usage`] when nothing runs or the function is not known; [`Kind::Other`] when the function fails.
pub(super) async fn run(arguments: cli::Invoke, project: &Project, ui: &Ui) -> Result<()> {
    let session = super::session::running(&project.state_dir()?)?;
    let event = events::read(arguments.event.as_deref(), project).await?;
    let event = match arguments.edit {
        false => event,
        true => match edit(&event, &project.state_dir()?).await? {
            Edited::Unchanged => event,
            Edited::Changed(edited) => edited,
            Edited::Emptied => {
                nothing_called(ui);
                return Ok(());
            }
        },
    };
    let answer = session.client().invoke(&arguments.function, event).await;
    show(answer, ui)
}

/// Says that the user did not want it.
pub(super) fn nothing_called(ui: &Ui) {
    ui.info("Nothing was called: the event was emptied");
}

/// Shows what has become of a call.
///
/// # Errors
/// As [`run`].
pub(super) fn show(answer: io::Result<Answer>, ui: &Ui) -> Result<()> {
    match answer.map_err(|error| silent(&error))? {
        Answer::Returned { body } => {
            ui.send(UiEvent::Result(bytes(&body)));
            Ok(())
        }
        Answer::Failed { error_type, body } => {
            Err(Error::new(Kind::Other, format!("the function failed: {error_type}"))
                .detail(String::from_utf8_lossy(&bytes(&body))))
        }
        Answer::Refused { message, hint } => Err(refused(message, hint)),
        // Nobody has asked for it.
        Answer::Environment { .. } => Err(refused("the function was not called".to_owned(), None)),
    }
}

/// The error of a session that runs, and does not answer.
pub(super) fn silent(error: &io::Error) -> Error {
    Error::new(Kind::Other, "`sst start` did not answer")
        .detail(error)
        .hint("look at its terminal, or start it again")
}

/// The error of a command that `sst start` would not serve.
pub(super) fn refused(message: String, hint: Option<String>) -> Error {
    let error = Error::new(Kind::Usage, message);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn bytes(body: &str) -> Vec<u8> {
    STANDARD.decode(body).unwrap_or_default()
}

//! `sst invoke`: calls a function through the running `sst start`, without the cloud.

use std::io::Read;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    cli,
    error::{Error, Kind, Result},
    local::{self, Answer},
    project::Project,
    ui::{Ui, UiEvent},
};

/// Calls the function and shows what it returns.
///
/// # Errors
/// [`Kind::Usage`] when nothing runs or the function is not known; [`Kind::Other`] when the function fails.
pub(super) async fn run(arguments: cli::Invoke, project: &Project, ui: &Ui) -> Result<()> {
    let session = super::session::running(&project.state_dir()?)?;
    let event = event(arguments.event.as_deref()).await?;
    let answer = local::call(&session.control, &session.token, &arguments.function, Some(&event)).await;
    let answer = answer.map_err(|error| {
        Error::new(Kind::Other, "`sst start` did not answer")
            .detail(error)
            .hint("look at its terminal, or start it again")
    })?;
    match answer {
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
        Answer::Environment { .. } | Answer::Noted => {
            Err(refused("the function was not called".to_owned(), None))
        }
    }
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

async fn event(source: Option<&str>) -> Result<Vec<u8>> {
    let unreadable = |what: &str, error: &dyn std::fmt::Display| {
        Error::new(Kind::Usage, format!("{what} cannot be read")).detail(error)
    };
    let (what, bytes) = match source {
        None => return Ok(b"{}".to_vec()),
        Some("-") => {
            // On a thread of its own, because the terminal may take as long as it likes.
            let read = tokio::task::spawn_blocking(|| {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
            });
            let bytes = read.await.map_err(|error| unreadable("standard input", &error))?;
            ("standard input".to_owned(), bytes.map_err(|error| unreadable("standard input", &error))?)
        }
        Some(file) => {
            let what = format!("`{file}`");
            (what.clone(), fs_err::read(file).map_err(|error| unreadable(&what, &error))?)
        }
    };
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(&bytes) {
        return Err(
            Error::new(Kind::Usage, format!("{what} is not JSON, which every event is")).detail(error)
        );
    }
    Ok(bytes)
}

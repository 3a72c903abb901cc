//! `sst console`: the address of the page of the running `sst start`.

use std::io;

use super::session;
use crate::{
    cli,
    console::page_address,
    error::{Error, Kind, Result},
    process::open_in_browser,
    project::Project,
    ui::{Ui, UiEvent},
};

/// Prints the address, with the token that the page needs, and opens it if that is asked for.
///
/// # Errors
/// [`Kind::Usage`] when nothing runs, [`Kind::Environment`] when nothing opens the address.
pub(super) async fn run(arguments: &cli::Console, project: &Project, ui: &Ui) -> Result<()> {
    let session = session::running(&project.state_dir()?)?;
    let address = page_address(&session.control, &session.token);
    ui.send(UiEvent::Result(address.clone().into_bytes()));
    if arguments.open {
        open_in_browser(&address).await.map_err(|error| unopened(&error))?;
    }
    Ok(())
}

/// The error of an address that nothing has opened.
pub(super) fn unopened(error: &io::Error) -> Error {
    Error::new(Kind::Environment, "the console could not be opened in a browser")
        .detail(error)
        .hint("open the address that `sst console` prints")
}

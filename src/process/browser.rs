//! The user's browser. It is a program of the user's own, so it has no guard, and stays when this program ends.

use std::{io, os::unix::process::CommandExt, process::Stdio, time::Duration};

use crate::platform::OPENER;

/// How long what opens an address may take to say that it cannot. Some of them are the browser, which stays.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens an address in the user's browser.
///
/// # Errors
/// When there is nothing that opens addresses, or it says that it cannot.
pub async fn open_in_browser(address: &str) -> io::Result<()> {
    let mut opener = std::process::Command::new(OPENER);
    // Ctrl-C in the terminal is not for a browser.
    opener.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut opener = tokio::process::Command::from(opener).spawn()?;
    match tokio::time::timeout(PATIENCE, opener.wait()).await {
        Ok(Ok(status)) if !status.success() => Err(io::Error::other(format!("`{OPENER}`: {status}"))),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

//! Events that functions are called with from the command line: files, standard input, and those that were saved in the project.

use std::io::Read;

use camino::Utf8Path;

use crate::{
    error::{Error, Kind, Result},
    project::{Project, SavedEvents},
};

/// An event from a file, from those that were saved, or from standard input.
///
/// # Errors
/// [`Kind::Usage`] when it cannot be read, or is not JSON.
pub(super) async fn read(source: Option<&str>, project: &Project) -> Result<Vec<u8>> {
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
            let saved = SavedEvents::of(&project.root).path(file).ok().filter(|saved| saved.exists());
            let is_saved = !Utf8Path::new(file).exists();
            let file = saved.as_ref().filter(|_| is_saved).map_or(file, |saved| saved.as_str());
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

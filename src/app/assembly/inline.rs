//! Functions whose code is in the template: it is written to a file, from which they run like any other.

use camino::Utf8PathBuf;
use sst_wire::sha256_hex;

use crate::{
    error::Result,
    ids::FunctionId,
    languages::Inline,
    project::{Project, manifest::Source},
};

/// The directory, below `.sst`, of the files that are written.
const DIRECTORY: &str = "inline";

/// Writes the code as Lambda does: to the file that its language would be written to. Always to the same place, so that breakpoints stay.
///
/// # Errors
/// [`crate::error::Kind::Environment`] when it cannot be written.
pub(super) fn source(project: &Project, id: &FunctionId, files: Inline, code: &str) -> Result<Source> {
    let state = project.state_dir()?;
    let name = format!("{DIRECTORY}/{}", id.as_file_name());
    state.create_directory(DIRECTORY)?;
    let path: Utf8PathBuf = state.create_directory(&name)?;
    if let Some((beside, text)) = files.beside {
        write(&state, &format!("{name}/{beside}"), text)?;
    }
    write(&state, &format!("{name}/{}", files.name), code)?;
    Ok(Source::Inline { path, sha256: sha256_hex(code.as_bytes()) })
}

/// Writes what is different, so that the time of a file that is the same stays as well.
fn write(state: &crate::project::StateDir, name: &str, text: &str) -> Result<()> {
    if state.read(name)?.as_deref() == Some(text) {
        return Ok(());
    }
    state.write(name, text.as_bytes())
}

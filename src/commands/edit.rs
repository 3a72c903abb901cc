//! `--edit`: an event in the user's own editor before a function is called with it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use super::stage::answer_to;
use crate::{
    error::{Error, Kind, Result},
    json_text::{Words, indented},
    process::Command,
    project::StateDir,
    ui::prompt,
};

/// What is run when neither `VISUAL` nor `EDITOR` says anything: POSIX has it everywhere.
const USUAL: &str = "vi";

/// What has become of an event in an editor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edited {
    /// It was left as it was.
    Unchanged,
    /// It says something else now.
    Changed(Vec<u8>),
    /// It was emptied, by which the user says that nothing is to be called.
    Emptied,
}

/// Opens an event in the editor until it is JSON, or nothing. It is in a file that only the user can read, and only for so long.
///
/// # Errors
/// [`Kind::Environment`] when the editor cannot be run; [`Kind::Usage`] when it leaves something that is not JSON, and nobody is there to
/// be asked whether to edit it again, or says no.
pub(super) async fn edit(event: &[u8], state_dir: &StateDir) -> Result<Edited> {
    let unwritten = |error: std::io::Error| {
        Error::new(Kind::Environment, "the event cannot be written to a file for the editor").detail(error)
    };
    // A directory, because editors write other files beside the one that is edited. It goes when this is dropped.
    let directory =
        tempfile::Builder::new().prefix("edit-").tempdir_in(state_dir.path("")).map_err(unwritten)?;
    fs_err::set_permissions(directory.path(), Permissions::from_mode(0o700)).map_err(unwritten)?;
    let file = directory.path().join("event.json");
    // What is not JSON stays as it is.
    let shown =
        indented(event, Words::Json, 2, 0).map_or_else(|| event.to_vec(), |text| (text + "\n").into_bytes());
    fs_err::write(&file, &shown).map_err(unwritten)?;
    fs_err::set_permissions(&file, Permissions::from_mode(0o600)).map_err(unwritten)?;
    loop {
        run_editor(&file).await?;
        let text = fs_err::read(&file)
            .map_err(|error| Error::new(Kind::Usage, "the editor has left no event").detail(error))?;
        if text == shown {
            return Ok(Edited::Unchanged);
        }
        if text.trim_ascii().is_empty() {
            return Ok(Edited::Emptied);
        }
        let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(&text) else {
            return Ok(Edited::Changed(text.trim_ascii().to_vec()));
        };
        let place = pointed_at(&text, &error);
        if !prompt::is_interactive() {
            return Err(Error::new(Kind::Usage, "the event is not JSON, which every event is")
                .detail(place)
                .hint("nothing was called; edit it again"));
        }
        prompt::say(&format!("The event is not JSON, which every event is:\n\n{place}\n"));
        let answer = answer_to("Edit it again? [Y/n]".to_owned()).await;
        if answer.is_none_or(|answer| answer.eq_ignore_ascii_case("n") || answer.eq_ignore_ascii_case("no")) {
            return Err(Error::new(Kind::Usage, "nothing was called: the event is not JSON"));
        }
    }
}

/// Runs the editor in this terminal, as Git does: what the variables say may have arguments, such as `code --wait`.
async fn run_editor(file: &std::path::Path) -> Result<()> {
    let said = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let editor = said.unwrap_or_else(|| USUAL.to_owned());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{editor} \"$@\""), &editor]).arg(file);
    let hint = "`VISUAL` or `EDITOR` says which editor is run, e.g. `code --wait`";
    let failed = |why: String| {
        Error::new(Kind::Environment, format!("the editor `{editor}` has failed, and nothing was called"))
            .detail(why)
            .hint(hint)
    };
    match command.run_in_terminal().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Where a text is not JSON: the line, with a mark below the place, and what is wrong there.
fn pointed_at(text: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = format!("{}: ", error.line());
    // Tabs stay what they are, so that the mark is below its place.
    let blank = |letter: char| if letter == '\t' { '\t' } else { ' ' };
    let column = error.column().saturating_sub(1);
    let indent: String = before.chars().chain(line.chars().take(column)).map(blank).collect();
    format!("{before}{line}\n{indent}^\n{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_pointed_at() {
        let text = b"{\n\t\"a\": 1,\n\t\"b\": x\n}\n";
        let error = serde_json::from_slice::<serde_json::Value>(text).unwrap_err();
        assert_eq!(pointed_at(text, &error), "3: \t\"b\": x\n   \t     ^\nexpected value at line 3 column 7");
    }
}

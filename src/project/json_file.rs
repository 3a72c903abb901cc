//! Reading JSON that people write: where it is broken is shown with line, column, and a code frame.

use camino::Utf8Path;
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// Reads a JSON file. A byte order mark, which some editors write, is skipped.
///
/// # Errors
/// [`Kind::Usage`] when the file cannot be read or is not JSON; the detail is a code frame.
pub fn read_json(path: &Utf8Path) -> Result<Value> {
    let bytes = fs_err::read(path)
        .map_err(|error| Error::new(Kind::Usage, format!("cannot read `{path}`")).detail(error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::new(Kind::Usage, format!("`{path}` is not UTF-8 text")).detail(error))?;
    if text.trim().is_empty() {
        return Err(Error::new(Kind::Usage, format!("`{path}` is empty"))
            .hint("it must hold a JSON object, e.g. { \"name\": \"my-app\" }"));
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // serde_json appends the position, which the message already has in the form that terminals make clickable.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
        Error::new(Kind::Usage, format!("{path}:{line}:{column}: not valid JSON: {reason}"))
            .detail(code_frame(text, line, column))
    })
}

/// The lines around a position (both counted from 1), the line itself marked, and a caret below the column.
fn code_frame(text: &str, line: usize, column: usize) -> String {
    const AROUND: usize = 2;
    // What was minified is one line, of which nobody wants to see all.
    const LONGEST: usize = 160;
    let skipped = if column > LONGEST { column - LONGEST / 2 } else { 0 };
    let first = line.saturating_sub(AROUND).max(1);
    let width = (line + AROUND).to_string().len();
    let mut frame = String::new();
    for (number, content) in text
        .lines()
        .enumerate()
        .map(|(index, content)| (index + 1, content))
        .skip(first - 1)
        .take_while(|(number, _)| *number <= line + AROUND)
    {
        let content: String = content.replace('\t', " ").chars().skip(skipped).take(LONGEST).collect();
        let mark = if number == line { '>' } else { ' ' };
        frame += format!("{mark} {number:>width$} | {content}").trim_end();
        frame.push('\n');
        if number == line {
            frame +=
                &format!("  {:width$} | {:indent$}^\n", "", "", indent = column.saturating_sub(skipped + 1));
        }
    }
    frame.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_points_at_the_column() {
        let frame = code_frame("{\n  \"name\": \"x\"\n  \"region\": 1\n}\n", 3, 3);
        assert_eq!(frame, "  1 | {\n  2 |   \"name\": \"x\"\n> 3 |   \"region\": 1\n    |   ^\n  4 | }");
    }

    #[test]
    fn of_a_long_line_only_what_is_around_the_column_is_shown() {
        let text = format!("{{{}x", " ".repeat(70_000));
        let frame = code_frame(&text, 1, 70_002);
        assert_eq!(frame, format!("> 1 | {}x\n    | {}^", " ".repeat(79), " ".repeat(79)));
    }

    #[test]
    fn a_position_at_the_end_of_the_file_has_a_frame() {
        assert_eq!(code_frame("{", 1, 1), "> 1 | {\n    | ^");
        assert_eq!(code_frame("{\n", 2, 0), "  1 | {");
    }
}

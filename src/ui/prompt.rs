//! Questions on the terminal.
#![expect(clippy::print_stdout, reason = "this is one of the places that write to the terminal")]

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether somebody is there to answer.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks for a line. Blocks its thread until there is one; the end of the input is an error.
///
/// # Errors
/// When the terminal is gone.
pub fn ask(question: &str) -> io::Result<String> {
    print!("{question} ");
    io::stdout().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim().to_owned())
}

//! What is said of the command line before there is a printer: help, the version, or what is wrong with it.

use std::process::ExitCode;

/// Writes what the parser of the command line has to say, to standard output if it was asked for that. Returns how the program ends.
#[must_use]
pub fn explain(said: &clap::Error) -> ExitCode {
    // Nobody is left who could be told that it cannot be written.
    let _ = said.print();
    u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

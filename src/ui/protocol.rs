//! Standard input and output for a command that speaks a protocol there: see [`super::printer::Format::Apart`].

use tokio::io::{Stdin, Stdout};

/// Both ends. Nothing else may be written there.
#[must_use]
pub fn stdio() -> (Stdin, Stdout) {
    (tokio::io::stdin(), tokio::io::stdout())
}

//! Expected errors: the user's or the environment's fault. They carry what happened, why, and what to do, and end the program
//! with an exit code of their own. Everything else is a bug.

use std::fmt::Display;

/// An error that ends a command. The message is a lowercase fragment that fits after "error: ".
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What happened.
    pub message: String,
    /// Why: the text of a tool, a stack trace, a code frame. Shown indented, below the message.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// What kind of error it is.
    pub kind: Kind,
}

/// The kinds of expected errors, each with an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bad arguments or bad files of the project: exit code 2.
    Usage,
    /// A tool that is missing or too old: exit code 3.
    Environment,
    /// The app does not synthesise: exit code 4.
    Synthesis,
    /// A deployment failed: exit code 5.
    Deployment,
    /// The cloud could not be reached or refused: exit code 6.
    Cloud,
    /// The user interrupted: exit code 130.
    Interrupted,
    /// Anything else: exit code 1.
    Other,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None, hint: None, kind }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the text that says why.
    #[must_use]
    pub fn detail(mut self, detail: impl Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// The same of something: that goes before the message.
    #[must_use]
    pub fn of(mut self, what: impl Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Adds what to do, unless that is said already.
    #[must_use]
    pub fn or_hint(self, hint: impl Into<String>) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::Environment => 3,
            Kind::Synthesis => 4,
            Kind::Deployment => 5,
            Kind::Cloud => 6,
            Kind::Interrupted => 130,
        }
    }
}

/// A result with an expected error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! The only writer to the terminal. Everything else sends [`UiEvent`]s through a [`Ui`] handle.

mod event;
pub mod printer;
pub mod prompt;
mod reminder;

pub use event::{Ui, UiEvent};

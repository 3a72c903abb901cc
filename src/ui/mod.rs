//! The only writer to the terminal. Everything else sends [`UiEvent`]s through a [`Ui`] handle.
//!
//! A thread of its own writes them. What it cannot write, because nobody reads, waits in a queue that is bounded; nothing else waits.
//! What is written is `text::Text`, which has no control characters but ours.

pub mod arguments;
mod event;
mod handle;
mod json;
pub mod printer;
pub mod prompt;
pub mod protocol;
mod queue;
mod reminder;
mod render;
mod text;
mod times;

pub use event::UiEvent;
pub use handle::Ui;
pub use queue::Events;
pub use times::{clock, milliseconds};

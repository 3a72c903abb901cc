//! The state machine that decides. It owns every open invocation, deadline, queue, pool, and generation.
//!
//! [`State::handle`] takes one [`event::Event`] and the time, and returns what is to be done about it. It does no I/O, spawns
//! nothing, and reads no clock, so that every order of events can be tested.

pub mod effect;
pub mod event;

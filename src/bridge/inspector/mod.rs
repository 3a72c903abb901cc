//! The inspector endpoints, which speak the Chrome DevTools Protocol for Node workers: one with all workers as children (`http`,
//! `client`), a flat one (`flat`), and the observer of workers that a debugger follows by itself.
//!
//! All of them connect to a worker by way of `upstream`, and understand of what it says where it is paused (`place`) and which
//! breakpoints are still to come (`breakpoints`).
//! What may be asked of a worker at all is told by Node itself (`protocol`).

mod breakpoints;
mod client;
mod flat;
mod http;
mod line_map;
mod observer;
mod pieces;
mod place;
mod protocol;
mod upstream;

pub(super) use self::{flat::serve as serve_flat, http::serve, observer::observe, protocol::Protocol};

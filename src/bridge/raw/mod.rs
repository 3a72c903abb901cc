//! Delve's and gdb's own protocols, for debuggers that speak no other: which one a client speaks (`dialect`), the session at the port of
//! a function (`session`), and the servers behind it (`remote`). What they say is passed on as it is, and only heard.

mod dialect;
#[cfg(test)]
mod fuzz;
mod packets;
mod remote;
mod session;

pub(super) use self::{
    dialect::Dialect,
    remote::{delve, gdb},
    session::serve,
};

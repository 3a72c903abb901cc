//! The debug adapters, which speak the Debug Adapter Protocol for workers in other languages than Node's: one for each worker
//! (`debuggee`), in front of the debugger that has attached to it (`debugger`); one for each function, which outlives its workers
//! (`fixed`); and one for all languages, which starts a session for each worker (`hub`).

mod dap;
mod debuggee;
mod debugger;
mod fixed;
mod handles;
mod hub;

pub(super) use self::{
    debuggee::Debuggee, debugger::Starter, fixed::serve as serve_function, hub::serve as serve_all,
};

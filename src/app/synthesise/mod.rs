//! Running the app's own code, which writes the cloud assembly, and looking up in its account what it wants to know for that.

mod context;
mod look_up;
mod run;
mod said;

pub use self::{
    context::{Destination, PlainDebugStack},
    look_up::look_up,
    run::synthesize,
};

//! Reading the cloud assembly that the app has written: its stacks and templates, what expressions in these point at, and which
//! functions there are. What is read stays as it is.

mod discover;
mod environment;
mod inline;
mod owners;
mod read;
mod resolve;

pub use self::{
    discover::discover,
    read::{Assembly, DebugStackExport, SourceRecord, Stack, Template, asset_directories},
};
pub(super) use self::{
    discover::{no_room, number, owned_role, variables},
    environment::{LIMIT as ENVIRONMENT_LIMIT, size as environment_size},
    owners::edge_functions,
    read::{property, type_of},
    resolve::{Place, names_in, rename},
};

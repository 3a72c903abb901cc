//! Reading the cloud assembly that the app has written: its stacks and templates, what expressions in these point at, and which
//! functions there are. What is read stays as it is.

mod bootstrap;
mod discover;
mod environment;
mod inline;
mod known;
mod layers;
mod owners;
mod read;
mod resolve;

pub(super) use self::{
    bootstrap::DEFAULT_QUALIFIER,
    discover::{DEFAULT_TIMEOUT_S, number, owned_role},
    environment::{json_size, largest as environment_size},
    known::{branches, change_branches, change_environments, environments, number_of, text},
    owners::edge_functions,
    read::{construct_path, property, type_of},
    resolve::{Place, names_in, rename},
};
pub use self::{
    bootstrap::{Bootstrap, Environment, Role, environments_of},
    discover::discover,
    read::{Assembly, DebugStackExport, SourceRecord, Stack, StackOptions, Template, asset_directories},
};
pub(crate) use self::{
    discover::{LONGEST_TIMEOUT_S, no_room},
    environment::LIMIT as ENVIRONMENT_LIMIT,
};

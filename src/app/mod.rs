//! The app's cloud side: synthesise it, find its functions, put stubs in their place, deploy.
//!
//! ```text
//! synthesize ─Assembly→ discover ─Manifest→ rewrite ─Rewritten→ deploy ─Outputs
//! ```
//!
//! While the app runs, [`StackSources`] says which saves call for another round, and [`changes()`] what that would change.
//!
//! An app that looks something up in its account is synthesised twice, with [`look_up()`] in between.
//! Where [`unchanged()`] says so there is nothing to deploy.
//! Nothing here changes the account but [`bootstrap()`], [`bootstrap_local_cloud()`], [`deploy()`] and [`remove()`].

mod assembly;
mod cdk_cli;
mod deploy;
#[cfg(test)]
mod expressions;
#[cfg(test)]
mod fuzz;
mod rewrite;
mod synthesise;
mod tool;
mod triggers;

use tokio_util::sync::CancellationToken;

pub use self::{
    assembly::{
        Assembly, Bootstrap, DebugStackExport, Environment, Role, SourceRecord, Stack, StackOptions,
        Template, asset_directories, discover, environments_of,
    },
    cdk_cli::{Standby, cdk_version},
    deploy::{
        Action, Deployment, EVERY_STACK, Lacking, Outputs, Replaced, ResourceChange, StackChange,
        StackSources, Stub, abandoned, bootstrap, bootstrap_local_cloud, cdk_command, changes, deploy,
        lacking, local_url, remove, replaced, stubs, unchanged,
    },
    rewrite::{
        DeployedPlace, DeployedStack, DeployedTemplate, Kept, KeptStub, Options, Rewritten, kept,
        read_deployed, rewrite, stub_policy,
    },
    synthesise::{Destination, PlainDebugStack, look_up, synthesize},
    triggers::triggers,
};
pub(crate) use self::{
    assembly::{ENVIRONMENT_LIMIT, LONGEST_TIMEOUT_S, no_room},
    rewrite::{stub_variables, text_logging},
};
use crate::{
    process::Spawner,
    project::{Project, StateDir},
    tools::Tools,
    ui::Ui,
};

/// What all steps work with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The project.
    pub project: &'a Project,
    /// The programs and scripts.
    pub tools: &'a Tools,
    /// Where the steps keep what they hand to one another. Not the same for two commands that may run at a time.
    pub work: &'a StateDir,
    /// Starts them.
    pub spawner: &'a Spawner,
    /// The terminal.
    pub ui: &'a Ui,
    /// Cancelled when the user does not want to wait for the end.
    pub cancel: &'a CancellationToken,
}

//! The app's cloud side: synthesise it, find its functions, put stubs in their place, deploy.
//!
//! ```text
//! synthesize ─Assembly→ discover ─Manifest→ rewrite ─Rewritten→ deploy ─Outputs
//! ```
//!
//! While the app runs, [`StackSources`] says which saves call for another round, and [`changes()`] what that would change.
//!
//! An app that looks something up in its account is synthesised twice, with [`look_up()`] in between.
//! Nothing here changes the account but [`bootstrap()`], [`deploy()`] and [`remove()`].

mod assembly;
mod cdk_cli;
mod deploy;
#[cfg(test)]
mod fuzz;
mod rewrite;
mod synthesise;
mod tool;

use tokio_util::sync::CancellationToken;

pub use self::{
    assembly::{Assembly, DebugStackExport, SourceRecord, Stack, Template, asset_directories, discover},
    cdk_cli::cdk_version,
    deploy::{
        Deployment, EVERY_STACK, Outputs, Replaced, StackChange, StackSources, abandoned, bootstrap,
        cdk_command, changes, deploy, local_url, needs_bootstrap, remove, replaced,
    },
    rewrite::{
        DeployedPlace, DeployedStack, DeployedTemplate, Kept, KeptStub, Options, Rewritten, kept,
        read_deployed, rewrite, stub_policy,
    },
    synthesise::{Destination, PlainDebugStack, look_up, synthesize},
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

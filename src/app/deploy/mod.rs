//! What changes the account, and what looks at it: deploying an assembly with the CDK CLI and removing it again, bootstrapping, what a
//! deployment would change, and whether the stubs are still in place.

mod bootstrap;
mod changes;
mod deployment;
mod stubs;

pub use self::{
    bootstrap::{bootstrap, needs_bootstrap},
    changes::{StackChange, StackSources, abandoned, changes},
    deployment::{Deployment, EVERY_STACK, Outputs, cdk_command, deploy, local_url, remove},
    stubs::{Replaced, replaced},
};

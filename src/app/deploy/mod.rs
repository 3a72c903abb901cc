//! What changes the account, and what looks at it: deploying an assembly with the CDK CLI and removing it again, bootstrapping, what a
//! deployment would change, whether there is anything to deploy, whether the stubs are still in place, and where there are any.

mod bootstrap;
mod changes;
mod deployment;
mod restorable;
mod stubs;
mod toolkit;
mod unchanged;

pub use self::{
    bootstrap::{Lacking, bootstrap, lacking},
    changes::{Action, ResourceChange, StackChange, StackSources, abandoned, changes},
    deployment::{Deployment, EVERY_STACK, Outputs, cdk_command, deploy, local_url, remove},
    restorable::{Stub, stubs},
    stubs::{Replaced, replaced},
    toolkit::bootstrap_local_cloud,
    unchanged::unchanged,
};

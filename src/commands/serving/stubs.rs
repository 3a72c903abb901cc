//! What has to be there before functions can be stubs: the debug stack, the connection to it, and the code of stubs.

use super::super::claims::owner;
use crate::{
    aws::Aws,
    debug_stack::{self, Answers, Custom, DebugStack},
    error::{Error, Kind, Result},
    project::StateDir,
    relay::{self, Relay, Unconnected},
    stub_package::{self, Architecture, Stubs},
    tools::Tools,
    trace,
    ui::Ui,
};

/// Deploys the debug stack `name`, and connects to it. Where API Gateway does not answer by itself, a function does from then on.
///
/// # Errors
/// [`Kind::Deployment`]; [`Kind::Cloud`] when nothing answers there.
pub(in crate::commands) async fn meet(
    aws: &Aws,
    name: &str,
    custom: Option<Custom<'_>>,
    home: &str,
    ui: &Ui,
) -> Result<(DebugStack, Relay)> {
    let connect = |debug_stack: &DebugStack| {
        let config = relay::Config {
            aws: aws.clone(),
            debug_stack: debug_stack.clone(),
            stack_name: name.to_owned(),
            owner: owner(),
            home: home.to_owned(),
        };
        Relay::connect(config, ui.clone())
    };
    let mut debug_stack = debug_stack::deploy(aws, name, custom, ui).await?;
    let relay = match connect(&debug_stack).await {
        Err(Unconnected::Unanswered(error)) if debug_stack.answers == Answers::Mock => {
            let unanswered = debug_stack::unanswered(&error);
            ui.warning(format!("{unanswered}, so a Lambda function does from now on"));
            debug_stack = debug_stack::deploy_function(aws, name, custom, ui).await?;
            connect(&debug_stack).await?
        }
        connected => connected?,
    };
    trace::start!("connected to the stubs' API");
    Ok((debug_stack, relay))
}

/// Packs the stubs, which takes a while to compress, on a thread of its own. Those for `only_here` have the architecture of this machine, on
/// which a local cloud runs them whatever its functions declare.
///
/// # Errors
/// [`Kind::Environment`] when one cannot be read, or not be written.
pub(in crate::commands) async fn pack(tools: &Tools, state_dir: &StateDir, only_here: bool) -> Result<Stubs> {
    let (mut stubs, directory) = (tools.stubs.clone(), state_dir.create_directory("stub")?);
    if only_here {
        stubs.sort_by_key(|(architecture, _)| *architecture != Architecture::HERE);
        stubs.truncate(1);
    }
    let packing = tokio::task::spawn_blocking(move || stub_package::package_all(&stubs, &directory));
    let stubs = packing
        .await
        .map_err(|error| Error::new(Kind::Other, "the stub cannot be packed").detail(error))??;
    trace::start!("the stub is packed");
    Ok(stubs)
}

//! Programs of which nothing is known but the command that serves them, as the executable `bootstrap` of a deployed function does.

use std::sync::Arc;

use camino::Utf8PathBuf;
use futures_util::future::BoxFuture;

use super::{
    Check, Debugger, Language, Place, RunConfiguration, Runtimes, Toolbox, directory, rust, unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    process::Spawner,
    project::manifest::{FunctionSpec, Source},
};

#[derive(Debug)]
pub(super) struct Command;

impl Language for Command {
    fn id(&self) -> &'static str {
        super::COMMAND
    }

    fn name(&self) -> &'static str {
        "another language"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["provided"] }
    }

    /// A path says nothing of the command that serves it.
    fn source(&self, _place: &Place<'_>) -> Option<(Source, String)> {
        None
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        _tools: &'a Toolbox,
        _on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(async move {
            let directory = spec.source.directory().to_owned();
            let artifact = directory::artifact(directory, spec.clone(), Program::default()).await?;
            let command = match &spec.source {
                Source::Command { command, .. } => command.as_slice(),
                _ => &[],
            };
            with_command(artifact, command)
        })
    }

    fn debugger(&self) -> &'static Debugger {
        &rust::LLDB
    }

    fn checks(&self) -> &'static [Check] {
        &[]
    }

    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &rust::RUN_CONFIGURATIONS
    }

    fn executable<'a>(
        &'static self,
        source: &'a Source,
        _spawner: &'a Spawner,
    ) -> BoxFuture<'a, Option<Utf8PathBuf>> {
        let program = match source {
            Source::Command { command, directory } => command.first().map(|first| directory.join(first)),
            _ => None,
        };
        Box::pin(std::future::ready(program.filter(|program| program.is_file())))
    }
}

/// The directory with the command that serves it.
fn with_command(artifact: Artifact, command: &[String]) -> Result<Artifact, BuildError> {
    let inputs = artifact.inputs.clone();
    let Some((program, arguments)) = command.split_first() else {
        return Err(unbuildable("its command is empty".to_owned(), inputs));
    };
    // A path is relative to the directory; a name is looked for in the PATH.
    let path = match program.contains('/') {
        true => Some(artifact.task_root.join(program)).filter(|path| path.is_file()),
        false => which::which(program).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok()),
    };
    let Some(path) = path else {
        return Err(unbuildable(format!("its command `{program}` was not found"), inputs));
    };
    let program = Program::native(Command.id(), path);
    Ok(Artifact { program: Program { arguments: arguments.to_vec(), ..program }, ..artifact })
}

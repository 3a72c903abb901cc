//! The script that a function wants its runtime to be started by (`AWS_LAMBDA_EXEC_WRAPPER`), with the runtime's command as arguments.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    core::event::Artifact,
    languages::Launch,
    layers::{OPT, TASK_ROOT},
    project::manifest::{FunctionSpec, Layer},
};

/// What names the script.
const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// Puts the function's wrapper before what is started, if it has one. Whether it has.
///
/// # Errors
/// Why the wrapper cannot be run, as Lambda would not start the function either.
pub(super) fn wrap(
    launch: &mut Launch,
    spec: &FunctionSpec,
    artifact: &Artifact,
    environment: &BTreeMap<String, String>,
) -> Result<bool, String> {
    // Functions that bring their own runtime are started as they are.
    let Some(named) = environment.get(WRAPPER).filter(|_| !spec.runtime.starts_with("provided")) else {
        return Ok(false);
    };
    let wrapper = on_this_machine(named, artifact);
    let Ok(metadata) = fs_err::metadata(&wrapper) else {
        // It was said already that the layer is not here.
        if spec.layers.iter().any(|layer| matches!(layer, Layer::Absent { .. })) {
            return Ok(false);
        }
        return Err(format!("{named}: does not exist; `{WRAPPER}` names it, here it would be `{wrapper}`"));
    };
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("{named}: is not an executable; `chmod +x {wrapper}`"));
    }
    let program = std::mem::replace(&mut launch.program, wrapper);
    launch.arguments.insert(0, program.into_string());
    Ok(true)
}

/// A path as functions on Lambda know it, where it is here.
fn on_this_machine(path: &str, artifact: &Artifact) -> Utf8PathBuf {
    let path = Utf8Path::new(path);
    let in_layer = artifact.opt.as_ref().and_then(|opt| Some(opt.join(path.strip_prefix(OPT).ok()?)));
    let in_code = || Some(artifact.task_root.join(path.strip_prefix(TASK_ROOT).ok()?));
    in_layer.or_else(in_code).unwrap_or_else(|| path.to_owned())
}

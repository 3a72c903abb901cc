//! Terraform and OpenTofu: what the state says of `aws_lambda_function`, and of whatever has made its package.
//!
//! The tool itself is asked first, since it reads the state of any backend; where it cannot be, the state is read from its own file.

mod show;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod workspace;

use camino::Utf8Path;
use serde_json::Value;

use self::{
    show::Program,
    sources::Sources,
    state::{Resource, State},
    workspace::Workspace,
};
use super::{Asked, Code, Declaration, Declared, Which, programs};
use crate::error::{Error, Kind, Result};

/// What people call the tool.
const TOOL: &str = "Terraform";

/// How the names of files end that make a directory a module.
const CONFIGURATIONS: [&str; 4] = [".tf", ".tf.json", ".tofu", ".tofu.json"];

/// The directory that `init` makes.
const INITIALISED: &str = ".terraform";

/// Reads the state of a root module. None when the directory is none.
///
/// # Errors
/// [`Kind::Usage`] for a workspace that there is not, or a state that is none; [`Kind::Environment`] where only the tool can read it.
pub(super) async fn declare(asked: &Asked<'_>) -> Result<Option<Declaration>> {
    if !is_module(asked.root) {
        return Ok(None);
    }
    let chosen = std::env::var("TF_WORKSPACE").ok().filter(|name| !name.is_empty());
    let workspace = Workspace::read(asked.root, asked.stage.or(chosen.as_deref()));
    let mut notices = Vec::new();
    let program = Program::find(asked.root).filter(|_| asked.root.join(INITIALISED).is_dir());
    if let Some(program) = &program {
        match program.show(asked, &workspace).await? {
            Ok(state) => {
                let shown = format!("`{} show` (workspace {})", program.name(), workspace.name);
                return Ok(Some(declaration(asked, &workspace, &state, shown, notices)));
            }
            Err(reason) => notices.push(format!("`{} show` failed ({reason})", program.name())),
        }
    }
    let Some(file) = workspace.file.as_ref().filter(|file| file.is_file()) else {
        return Err(unread(&workspace, program.is_some(), notices.into_iter().next()));
    };
    let state = State::of_file(file)?;
    let file = file.strip_prefix(asked.root).unwrap_or(file);
    let shown = format!("{file} (workspace {})", workspace.name);
    if let Some(notice) = notices.first_mut() {
        notice.push_str(&format!(": `{file}` was read instead"));
    }
    Ok(Some(declaration(asked, &workspace, &state, shown, notices)))
}

/// Whether a directory has a configuration, or a state.
fn is_module(root: &Utf8Path) -> bool {
    let entries = root.read_dir_utf8().into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_owned());
    names.any(|name| name == workspace::STATE || CONFIGURATIONS.iter().any(|ending| name.ends_with(ending)))
}

/// Why there is no state, and what to do.
fn unread(workspace: &Workspace, was_asked: bool, failure: Option<String>) -> Error {
    let by_name = "or name functions with `--function`";
    let name = &workspace.name;
    let error = match (&workspace.file, &workspace.backend) {
        (None, Some(backend)) => {
            let message =
                format!("the state is in a backend (`{backend}`) that only Terraform or OpenTofu reads");
            Error::new(Kind::Environment, message).hint(match was_asked {
                true => format!("see to it that the tool can read it, {by_name}"),
                false => format!("install `terraform` or `tofu`, {by_name}"),
            })
        }
        _ if !workspace.others.is_empty() => {
            Error::new(Kind::Usage, format!("there is no state of the workspace `{name}`"))
                .hint(format!("there are: {}", workspace.others.join(", ")))
        }
        _ => Error::new(Kind::Environment, "this directory has no state of Terraform or OpenTofu")
            .hint(format!("run `terraform init` and `terraform apply`, {by_name}")),
    };
    match failure {
        Some(failure) => error.detail(failure),
        None => error,
    }
}

/// Everything that a state says of functions.
fn declaration(
    asked: &Asked<'_>,
    workspace: &Workspace,
    state: &State,
    shown: String,
    mut notices: Vec<String>,
) -> Declaration {
    let sources = Sources::of(asked.root, state);
    let functions: Vec<&Resource> = state.managed("aws_lambda_function").collect();
    let region = asked.region.map(str::to_owned).or_else(|| commonest_region(&functions));
    let mut elsewhere = Vec::new();
    let mut declared = Vec::new();
    for function in functions {
        let Some(name) = function.text("function_name") else { continue };
        let mut code = code(function, &sources, &mut notices);
        if let Some(other) = region_of(function).filter(|other| Some(*other) != region.as_deref()) {
            elsewhere.push(format!("`{}` ({other})", function.address));
            code.unable = Some(format!("it is in another region (`{other}`)"));
        }
        declared.push(Declared {
            label: function.address.clone(),
            which: Which::Name(name.to_owned()),
            code,
        });
    }
    if let Some(region) = region.as_ref().filter(|_| !elsewhere.is_empty()) {
        let elsewhere = elsewhere.join(", ");
        notices.push(format!(
            "only functions in `{region}` are looked for, and these are elsewhere: {elsewhere}"
        ));
    }
    let stage = Some(workspace.name.clone());
    Declaration { tool: TOOL, shown, functions: declared, region, profile: None, stage, notices }
}

fn code(function: &Resource, sources: &Sources<'_>, notices: &mut Vec<String>) -> Code {
    let text = |name: &str| function.text(name).map(str::to_owned);
    let (runtime, handler) = (text("runtime"), text("handler"));
    if function.text("package_type") == Some("Image") {
        let unable = Some("it is a container image".to_owned());
        return Code { unable, ..Code::default() };
    }
    let is_program = runtime.as_deref().is_some_and(programs::is_for_programs);
    let source = sources.find(function, handler.as_deref(), notices);
    let packed = source.clone().or_else(|| sources.archive(function));
    if let (Some(packed), Some(runtime)) = (&packed, &runtime)
        && let Some(program) =
            programs::around(sources.root, packed, runtime, handler.as_deref().unwrap_or_default())
    {
        return Code {
            path: Some(program.path),
            is_entry: true,
            build: Some(program.build),
            runtime: Some(runtime.clone()),
            ..Code::default()
        };
    }
    // What is packed of a program is what a compiler has made.
    let directory = source.filter(|_| !is_program).map(|path| match path.is_file() {
        true => path.parent().unwrap_or(&path).to_owned(),
        false => path,
    });
    Code { path: directory, handler, runtime, ..Code::default() }
}

/// The region in an ARN.
fn region_of(function: &Resource) -> Option<&str> {
    function.text("arn")?.split(':').nth(3).filter(|region| !region.is_empty())
}

/// The region in which most functions are, the first one of those that have as many.
fn commonest_region(functions: &[&Resource]) -> Option<String> {
    let regions: Vec<&str> = functions.iter().filter_map(|function| region_of(function)).collect();
    let count = |region: &str| regions.iter().filter(|one| **one == region).count();
    let first = regions.iter().rev().max_by_key(|region| count(region))?;
    Some((*first).to_owned())
}

/// A text of a value, when it is one that says something.
fn text<'a>(values: &'a Value, name: &str) -> Option<&'a str> {
    values[name].as_str().filter(|text| !text.is_empty())
}

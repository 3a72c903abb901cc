//! The Serverless Framework, versions 1 to 4, and its fork `osls`.
//!
//! Its own `print` is asked first, since it knows all variables and plugins; where that cannot be, `serverless.yml` is read as far as it
//! needs no account. What `package` has left behind in `.serverless` says what neither knows.

mod bundler;
mod functions;
mod packaged;
mod plugins;
mod print;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::Value;

use self::{
    functions::Service,
    packaged::Package,
    print::Framework,
    variables::{Configuration, Unknown},
};
use super::{Asked, Declaration};
use crate::{
    error::{Error, Kind, Result},
    yaml,
};

/// What people call the tool.
const TOOL: &str = "the Serverless Framework";

/// The files that describe a service, in the order in which the framework looks for them.
const FILES: [&str; 7] = [
    "serverless.yml",
    "serverless.yaml",
    "serverless.json",
    "serverless.js",
    "serverless.mjs",
    "serverless.cjs",
    "serverless.ts",
];

/// The files that only name services.
const COMPOSED: [&str; 5] = [
    "serverless-compose.yml",
    "serverless-compose.yaml",
    "serverless-compose.json",
    "serverless-compose.js",
    "serverless-compose.ts",
];

/// Where the framework deploys to when nothing names a region.
const DEFAULT_REGION: &str = "us-east-1";

/// Reads the service of a directory. None when there is none.
///
/// # Errors
/// [`Kind::Usage`] for a file that is wrong, or that is no service's; [`Kind::Environment`] for one that only the framework can read.
pub(super) async fn declare(asked: &Asked<'_>) -> Result<Option<Declaration>> {
    let Some(file) = FILES.into_iter().find(|name| asked.root.join(name).is_file()) else {
        return composed(asked.root);
    };
    let mut notices = Vec::new();
    let framework = Framework::find(asked.root);
    let printed = match &framework {
        Some(framework) => framework.ask(asked, file, &mut notices).await,
        None => None,
    };
    let environment = std::env::vars().collect();
    let read = read(asked, file, printed, environment)?;
    if let Some(notice) = read.notice {
        notices.push(notice);
    }
    let major = framework.and_then(|framework| framework.major).or_else(|| read.configuration.major());
    declaration(asked, file, &read.configuration, read.package.as_ref(), major, notices).map(Some)
}

/// What was read, whatever it was read from.
struct Read {
    configuration: Configuration,
    package: Option<Package>,
    notice: Option<String>,
}

/// The configuration: what was printed, or else what the file says, or else what was packaged last.
fn read(
    asked: &Asked<'_>,
    file: &str,
    printed: Option<Value>,
    environment: BTreeMap<String, String>,
) -> Result<Read> {
    let mut options = BTreeMap::new();
    options.extend(asked.stage.map(|stage| ("stage", stage.to_owned())));
    options.extend(asked.region.map(|region| ("region", region.to_owned())));
    let directory = asked.root.to_owned();
    let package = Package::read(asked.root);
    let resolved = |fields| Configuration {
        directory: directory.clone(),
        fields,
        is_resolved: true,
        options: options.clone(),
        environment: BTreeMap::new(),
    };
    if let Some(fields) = printed {
        return Ok(Read { configuration: resolved(fields), package, notice: None });
    }
    if let Some(fields) = parse(&asked.root.join(file), file)? {
        let configuration =
            Configuration { fields, is_resolved: false, environment, ..resolved(Value::Null) };
        return Ok(Read { configuration: configuration.with_env_files(), package, notice: None });
    }
    let packaged = package.filter(|package| asked.stage.is_none_or(|stage| package.stage() == Some(stage)));
    let Some(package) = packaged else { return Err(program(file)) };
    let mut configuration = resolved(package.service().clone());
    if let Some(stage) = package.stage() {
        configuration.options.insert("stage", stage.to_owned());
    }
    let notice = format!("`{file}` is a program, so what was packaged last was read instead");
    Ok(Read { configuration, package: Some(package), notice: Some(notice) })
}

/// What a file says. None for programs.
fn parse(path: &Utf8Path, file: &str) -> Result<Option<Value>> {
    let wrong = |detail: String| Error::new(Kind::Usage, format!("`{file}` cannot be read")).detail(detail);
    let is_json = file.ends_with(".json");
    if !is_json && !file.ends_with(".yml") && !file.ends_with(".yaml") {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let fields = match is_json {
        true => serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        false => yaml::parse(&text).map_err(wrong)?,
    };
    match fields {
        Value::Object(_) => Ok(Some(fields)),
        _ => Err(wrong("it has no fields".to_owned())),
    }
}

fn program(file: &str) -> Error {
    Error::new(
        Kind::Environment,
        format!("`{file}` is a program, which only the Serverless Framework can read"),
    )
    .detail("neither could it be asked, nor has it packaged this stage before")
    .hint("install the project's packages, or run `serverless package`, or name functions with `--function`")
}

/// Everything that is said of a service.
fn declaration(
    asked: &Asked<'_>,
    file: &str,
    configuration: &Configuration,
    package: Option<&Package>,
    major: Option<u64>,
    mut notices: Vec<String>,
) -> Result<Declaration> {
    let known = |found: Result<Option<String>, Unknown>, field: &str, notices: &mut Vec<String>| {
        found.unwrap_or_else(|unknown| {
            notices.push(unknown.of(field));
            None
        })
    };
    let provider = match known(configuration.text(&["provider"]), "provider", &mut notices) {
        Some(provider) => Some(provider),
        None => known(configuration.text(&["provider", "name"]), "provider.name", &mut notices),
    };
    if let Some(provider) = provider.filter(|provider| provider != "aws") {
        let message = format!("`{file}` is for the provider `{provider}`, not for AWS");
        return Err(Error::new(Kind::Usage, message));
    }
    // What was packaged for another stage has other names, and may be elsewhere.
    let stage = configuration.stage().ok();
    let package = package.filter(|package| stage.is_some() && stage.as_deref() == package.stage());
    let region = match asked.region {
        Some(region) => Some(region.to_owned()),
        None => match configuration.text(&["provider", "region"]) {
            Ok(region) => Some(region.unwrap_or_else(|| DEFAULT_REGION.to_owned())),
            Err(unknown) => {
                let packaged = package.and_then(Package::region);
                known(packaged.map(Some).ok_or(unknown), "provider.region", &mut notices)
            }
        },
    };
    let profile = known(configuration.text(&["provider", "profile"]), "provider.profile", &mut notices);
    let service = Service::new(configuration, package, major, &mut notices);
    let functions = service.functions(&mut notices);
    let shown = stage.as_ref().map_or_else(|| file.to_owned(), |stage| format!("{file} (stage {stage})"));
    Ok(Declaration { tool: TOOL, shown, functions, region, profile, stage, notices })
}

/// A file that names services is none's: which one is meant, its directory has to say.
fn composed(root: &Utf8Path) -> Result<Option<Declaration>> {
    let Some(file) = COMPOSED.into_iter().find(|name| root.join(name).is_file()) else { return Ok(None) };
    let fields = parse(&root.join(file), file)?.unwrap_or_default();
    let services = fields["services"].as_object().into_iter().flatten();
    let directories: Vec<String> = services
        .filter_map(|(name, service)| Some(format!("`{}` ({name})", service["path"].as_str()?)))
        .collect();
    let hint = match directories.as_slice() {
        [] => "run this in the directory of one of them".to_owned(),
        directories => format!("run this in the directory of one of them: {}", directories.join(", ")),
    };
    Err(Error::new(Kind::Usage, format!("`{file}` names several services")).hint(hint))
}

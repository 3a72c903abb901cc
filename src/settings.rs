//! Arguments, environment, and the project's files, resolved into plain values. Nothing after this looks at where a value came from.

use camino::Utf8PathBuf;
use serde_json::{Map, Value};

use crate::{
    aws, cache, cli,
    error::{Error, Kind, Result},
    project::{Choice, Project},
};

/// Which copy of an app a command works on, and in which cloud.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// The project.
    pub project: Project,
    /// `--stage`.
    pub stage: Option<String>,
    /// Context values of the command line, which win over the app's own.
    pub context: Map<String, Value>,
    region: Option<String>,
    profile: Option<String>,
    endpoint: Option<String>,
    /// The role with which CloudFormation changes the stacks, if one was asked for.
    deployer: Option<String>,
    /// Whether it is in the local cloud that a running `sst start` has.
    pub local: bool,
}

/// What `sst start` works with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The app.
    pub app: App,
    /// The local cloud that is started for it, if one was asked for.
    pub local: Option<LocalCloud>,
    /// Whether a stack whose deployment fails goes back to what it was.
    pub rollback: bool,
    /// The functions that run on this machine.
    pub choice: Choice,
    /// Where the outputs of the stacks are written, if that was asked for.
    pub outputs_file: Option<Utf8PathBuf>,
    /// How functions run here.
    pub running: Running,
    /// Whether functions get their own code back at the end.
    pub restore_on_exit: bool,
    /// Whether to go ahead where a question would be asked.
    pub yes: bool,
    /// Where what can be downloaded again is kept.
    pub cache: Utf8PathBuf,
}

/// What `sst attach` works with.
#[derive(Debug, Clone)]
pub(crate) struct Attach {
    /// The project, or the directory that stands for one.
    pub project: Project,
    /// `--stage`.
    pub stage: Option<String>,
    /// `--region`, or that of `sst.json`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    endpoint: Option<String>,
    /// The stacks whose functions are meant.
    pub stacks: Vec<String>,
    /// The functions that are meant.
    pub functions: Vec<String>,
    /// How functions run here.
    pub running: Running,
    /// Whether to go ahead where a question would be asked.
    pub yes: bool,
    /// Whether also functions of a stage that is named like one for production are meant.
    pub yes_production: bool,
    /// Whether functions are only given back.
    pub restore: bool,
    /// Where what can be downloaded again is kept.
    pub cache: Utf8PathBuf,
}

impl Attach {
    /// Resolves the arguments of `sst attach`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a malformed project and for an endpoint that is no URL.
    pub(crate) fn resolve(arguments: cli::Attach, directory: Option<Utf8PathBuf>) -> Result<Self> {
        let project = Project::find_any(&directory.unwrap_or_else(|| Utf8PathBuf::from(".")))?;
        let target = arguments.target;
        Ok(Self {
            stage: target.stage,
            region: target.region.or_else(|| project.region.clone()),
            profile: target.profile,
            endpoint: target.endpoint_url.as_deref().map(endpoint).transpose()?,
            project,
            stacks: arguments.stacks,
            functions: arguments.functions,
            running: arguments.running.into(),
            yes: arguments.yes,
            yes_production: arguments.yes_production,
            restore: arguments.restore,
            cache: cache::directory()?,
        })
    }

    /// How AWS is reached. What the files of the project's tool say counts where nothing else was said.
    #[must_use]
    pub(crate) fn aws(&self, region: Option<&str>, profile: Option<&str>) -> aws::Options {
        aws::Options {
            region: self.region.clone().or_else(|| region.map(str::to_owned)),
            profile: self.profile.clone().or_else(|| profile.map(str::to_owned)),
            local: false,
            endpoint: self.endpoint.clone(),
            deployer: None,
        }
    }
}

/// How functions run here, whatever has made them stubs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Whether the stubs get all the time there is.
    pub increase_timeout: bool,
    /// Whether each function has the memory that it declares, and no more.
    pub enforce_memory: bool,
    /// The most worker processes at a time.
    pub max_workers: usize,
    /// The port of the inspector endpoint, if one was asked for.
    pub inspect_port: Option<u16>,
    /// Whether calls are written to the disk.
    pub history: bool,
}

/// A local cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalCloud {
    /// Whether it checks IAM policies.
    pub enforce_iam: bool,
}

impl App {
    /// Resolves the arguments of a command.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a missing or malformed project and for an endpoint that is no URL.
    pub(crate) fn resolve(arguments: cli::Target, directory: Option<Utf8PathBuf>) -> Result<Self> {
        let project = Project::find(&directory.unwrap_or_else(|| Utf8PathBuf::from(".")))?;
        Self::of(project, arguments)
    }

    /// Resolves the arguments of a command that looks at projects of other tools as well.
    ///
    /// # Errors
    /// As [`App::resolve`].
    pub(crate) fn anywhere(arguments: cli::Target, directory: Option<Utf8PathBuf>) -> Result<Self> {
        let project = Project::find_or_other_tools(&directory.unwrap_or_else(|| Utf8PathBuf::from(".")))?;
        Self::of(project, arguments)
    }

    fn of(project: Project, arguments: cli::Target) -> Result<Self> {
        Ok(Self {
            context: Map::new(),
            deployer: None,
            local: false,
            stage: arguments.stage,
            region: arguments.region.or_else(|| project.region.clone()),
            profile: arguments.profile,
            endpoint: arguments.endpoint_url.as_deref().map(endpoint).transpose()?,
            project,
        })
    }

    /// Resolves the arguments of a command that knows the local cloud of a running `sst start`.
    ///
    /// # Errors
    /// As [`App::resolve`].
    pub(crate) fn at(arguments: cli::Place, directory: Option<Utf8PathBuf>) -> Result<Self> {
        Ok(Self { local: arguments.local, ..Self::resolve(arguments.target, directory)? })
    }

    /// The same with what the app is told beside its own context.
    ///
    /// # Errors
    /// [`Kind::Usage`] for what is not `KEY=VALUE`.
    pub(crate) fn with_context(self, synthesis: &cli::Synthesis) -> Result<Self> {
        Ok(Self { context: context(synthesis)?, ..self })
    }

    /// The same with the role with which CloudFormation changes the stacks, if there is one.
    #[must_use]
    pub(crate) fn deployed_by(self, role: Option<String>) -> Self {
        Self { deployer: role, ..self }
    }

    /// How AWS is reached.
    #[must_use]
    pub(crate) fn aws(&self) -> aws::Options {
        aws::Options {
            region: self.region.clone(),
            profile: self.profile.clone(),
            local: false,
            endpoint: self.endpoint.clone(),
            deployer: self.deployer.clone(),
        }
    }
}

impl Start {
    /// Resolves the arguments of `sst start`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a missing or malformed project and for an endpoint that is no URL.
    pub(crate) fn resolve(arguments: cli::Start, directory: Option<Utf8PathBuf>) -> Result<Self> {
        let rollback = arguments.deployment.rolls_back();
        let app = App::resolve(arguments.target, directory)?.with_context(&arguments.synthesis)?;
        Ok(Self {
            app: app.deployed_by(arguments.deployment.role_arn),
            local: arguments.local.then_some(LocalCloud { enforce_iam: arguments.enforce_iam }),
            rollback,
            choice: Choice::new(&arguments.functions, &arguments.except)?,
            outputs_file: arguments.outputs_file,
            running: arguments.running.into(),
            restore_on_exit: arguments.restore_on_exit,
            yes: arguments.yes,
            cache: cache::directory()?,
        })
    }

    /// How AWS is reached; `local` is the endpoint of the local cloud that was started.
    #[must_use]
    pub(crate) fn aws(&self, local: Option<String>) -> aws::Options {
        let options = self.app.aws();
        aws::Options { local: self.local.is_some(), endpoint: options.endpoint.clone().or(local), ..options }
    }
}

impl From<cli::Running> for Running {
    fn from(arguments: cli::Running) -> Self {
        Self {
            increase_timeout: arguments.increase_timeout,
            enforce_memory: arguments.enforce_memory,
            max_workers: arguments.max_workers.into(),
            inspect_port: arguments.inspect_port,
            history: !arguments.no_history,
        }
    }
}

impl cli::Deployment {
    /// Whether a stack whose deployment fails goes back to what it was.
    #[must_use]
    pub fn rolls_back(&self) -> bool {
        self.rollback && !self.no_rollback
    }
}

/// The context values of the command line. Like the CDK CLI's they are texts, whatever they look like.
fn context(synthesis: &cli::Synthesis) -> Result<Map<String, Value>> {
    let parse = |pair: &String| {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{pair}` is not a context value"))
                .hint("give a key and a value, e.g. `--context vpc=vpc-1234`")
        })?;
        Ok((key.to_owned(), Value::from(value)))
    };
    synthesis.context.iter().map(parse).collect()
}

fn endpoint(text: &str) -> Result<String> {
    let uri = text.parse::<http::Uri>().ok();
    let usable = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.path().len() < 2
    });
    if usable {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(Error::new(Kind::Usage, format!("`{text}` is not an endpoint"))
        .hint("give a URL without a path, e.g. `--endpoint-url http://127.0.0.1:4566`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        assert_eq!(endpoint("http://127.0.0.1:4566/").unwrap(), "http://127.0.0.1:4566");
        for bad in ["127.0.0.1:4566", "ftp://x", "http://x/path", "http://"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn context_values_are_texts() {
        let given = |pairs: &[&str]| {
            context(&cli::Synthesis { context: pairs.iter().map(|pair| (*pair).to_owned()).collect() })
        };
        let values = given(&["a=1", "b=x=y", "c="]).unwrap();
        assert_eq!(Value::from(values), serde_json::json!({ "a": "1", "b": "x=y", "c": "" }));
        for bad in ["a", "=1", ""] {
            assert_eq!(given(&[bad]).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }
}

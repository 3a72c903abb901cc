//! The CDK's own stacks, with the bucket and the roles that deployments use: whether they are where an app's stacks need them, and making
//! them.

use std::fmt;

use aws_credential_types::Credentials;
use aws_sdk_cloudformation::{
    error::ProvideErrorMetadata,
    types::{Stack, StackStatus},
};
use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    app::{Context, Environment, Role, assembly::DEFAULT_QUALIFIER, cdk_cli, tool},
    aws::{Aws, explain, stack_is_missing},
    error::{Error, Kind, Result},
    project::Project,
    trace,
    ui::UiEvent,
};

/// The name that the stack has where nobody has given it another.
pub(super) const USUAL_STACK: &str = "CDKToolkit";

const PROGRESS: &str = "bootstrap";

/// What `cdk bootstrap` gives roles that deploy, where it is not told otherwise. With accounts that are trusted it has to be told.
const POLICY: &str = "iam::aws:policy/AdministratorAccess";

/// A bootstrap that is missing, or too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    account: String,
    region: String,
    qualifier: String,
    /// The name of its stack.
    stack: String,
    /// The version that is there, and the one that is needed.
    too_old: Option<(u64, u64)>,
}

impl Lacking {
    /// As the CDK CLI names the place.
    #[must_use]
    pub fn place(&self) -> String {
        format!("aws://{}/{}", self.account, self.region)
    }

    /// The command that makes it, for people.
    #[must_use]
    pub fn command(&self) -> String {
        let mut command = format!("npx cdk bootstrap {}", self.place());
        if self.qualifier != DEFAULT_QUALIFIER {
            command += &format!(" --qualifier {}", self.qualifier);
        }
        if self.stack != USUAL_STACK {
            command += &format!(" --toolkit-stack-name {}", self.stack);
        }
        command
    }
}

impl fmt::Display for Lacking {
    /// As a sentence without its end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.place())?;
        match self.too_old {
            Some((found, wanted)) => {
                write!(formatter, "has version {found} of the CDK's bootstrap, and {wanted} is needed")?;
            }
            None => write!(formatter, "is not bootstrapped for the CDK")?,
        }
        match self.qualifier.as_str() {
            DEFAULT_QUALIFIER => Ok(()),
            qualifier => write!(formatter, " with the qualifier `{qualifier}`"),
        }
    }
}

/// What is missing, or too old, in the places that stacks are deployed to, as far as it can be made from here.
///
/// # Errors
/// [`Kind::Cloud`] when nobody says what is there; [`Kind::Deployment`] for what has to be made by somebody else, in another account or by
/// another template, with what to do.
pub async fn lacking(project: &Project, aws: &Aws, environments: &[Environment]) -> Result<Vec<Lacking>> {
    let looked = environments.iter().map(|environment| Place { project, aws, environment }.lacking());
    let found: Result<Vec<_>> = join_all(looked).await.into_iter().collect();
    Ok(found?.into_iter().flatten().collect())
}

/// An environment as it is looked at.
#[derive(Clone, Copy)]
struct Place<'a> {
    project: &'a Project,
    aws: &'a Aws,
    environment: &'a Environment,
}

/// What is said of a version.
enum Said {
    Version(u64),
    Missing,
    /// Whoever asked may not.
    Denied(String),
}

impl Place<'_> {
    async fn lacking(self) -> Result<Option<Lacking>> {
        let Environment { account, bootstrap, .. } = self.environment;
        let Some(parameter) = &bootstrap.parameter else { return self.lacking_stack().await };
        let elsewhere = *account != self.aws.account;
        let said = match elsewhere {
            true => self.version_elsewhere(parameter).await?,
            false => self.version(parameter).await?,
        };
        let too_old = match said {
            Said::Version(version) if version >= bootstrap.version => return Ok(None),
            Said::Version(version) => Some((version, bootstrap.version)),
            Said::Missing => None,
            Said::Denied(reason) => {
                // The CDK CLI has more ways to look, and says itself what it does not find.
                tracing::debug!(reason, parameter, "bootstrap");
                return Ok(None);
            }
        };
        let Some(qualifier) = &bootstrap.qualifier else {
            let missing = too_old.map_or_else(
                || "is not there".to_owned(),
                |(found, wanted)| format!("says {found}, not {wanted}"),
            );
            return Err(self.impossible(format!("the SSM parameter `{parameter}` {missing}")).hint(
                "the app is not deployed with the CDK's own bootstrap: ask whoever makes that for its environments",
            ));
        };
        if elsewhere {
            let lacking = self.named(qualifier, self.usual_name().to_owned(), too_old);
            return Err(self.impossible(lacking.to_string()).hint(self.for_others(&lacking)));
        }
        let stack = self.stack(qualifier, too_old).await?;
        Ok(Some(self.named(qualifier, stack, too_old)))
    }

    fn named(self, qualifier: &str, stack: String, too_old: Option<(u64, u64)>) -> Lacking {
        let Environment { account, region, .. } = self.environment.clone();
        Lacking { account, region, qualifier: qualifier.to_owned(), stack, too_old }
    }

    /// The name that the stack has if there is no other in its place.
    fn usual_name(&self) -> &str {
        self.project.toolkit_stack().unwrap_or(USUAL_STACK)
    }

    /// That the app's stacks cannot be deployed there, and why.
    fn impossible(self, why: String) -> Error {
        let Environment { account, region, stacks, .. } = self.environment;
        let stacks = stacks.iter().map(|stack| format!("`{stack}`")).collect::<Vec<_>>().join(", ");
        Error::new(Kind::Deployment, format!("{stacks} cannot be deployed to aws://{account}/{region}"))
            .detail(why)
    }

    /// What whoever has the other account can do.
    fn for_others(self, lacking: &Lacking) -> String {
        format!(
            "run this with credentials of account {}: `{} --trust {} --cloudformation-execution-policies arn:{}:{POLICY}`",
            lacking.account,
            lacking.command(),
            self.aws.account,
            self.aws.partition()
        )
    }

    /// The version that a parameter says, for the caller or else for a role of the bootstrap.
    async fn version(self, parameter: &str) -> Result<Said> {
        let own = self.ask(parameter, None).await?;
        if !matches!(own, Said::Denied(_)) {
            return Ok(own);
        }
        for role in &self.environment.bootstrap.roles {
            if let Ok(credentials) = self.assume(role).await
                && let said @ (Said::Version(_) | Said::Missing) =
                    self.ask(parameter, Some(credentials)).await?
            {
                return Ok(said);
            }
        }
        Ok(own)
    }

    /// The same in another account, where only a role can look.
    async fn version_elsewhere(self, parameter: &str) -> Result<Said> {
        let Environment { account, bootstrap, .. } = self.environment;
        let Some(role) = bootstrap.roles.first() else {
            let why =
                format!("the credentials are for account {}, and the stack names no role", self.aws.account);
            return Err(self.impossible(why).hint(format!("use credentials of account {account}")));
        };
        match self.assume(role).await {
            Ok(credentials) => self.ask(parameter, Some(credentials)).await,
            Err(reason) => {
                let why = format!("the role `{}` cannot be assumed: {reason}", self.whole(role.name()));
                let usual = bootstrap.qualifier.as_deref().unwrap_or(DEFAULT_QUALIFIER);
                let lacking = self.named(usual, self.usual_name().to_owned(), None);
                let hint = format!(
                    "allow your credentials `sts:AssumeRole` on it. If account {account} is not bootstrapped, or does not trust account {}, {}",
                    self.aws.account,
                    self.for_others(&lacking)
                );
                Err(self.impossible(why).hint(hint))
            }
        }
    }

    async fn assume(self, role: &Role) -> std::result::Result<Credentials, String> {
        let external_id = role.external_id.as_deref().map(|id| self.whole(id));
        self.aws.assume(&self.whole(&role.arn), external_id).await
    }

    /// A text with the CDK's placeholders replaced.
    fn whole(self, text: &str) -> String {
        let Environment { account, region, .. } = self.environment;
        text.replace("${AWS::Partition}", self.aws.partition())
            .replace("${AWS::AccountId}", account)
            .replace("${AWS::Region}", region)
    }

    async fn ask(self, parameter: &str, credentials: Option<Credentials>) -> Result<Said> {
        let region = &self.environment.region;
        let client = self.aws.ssm_in(region, credentials);
        match client.get_parameter().name(parameter).with_decryption(true).send().await {
            Ok(answer) => {
                let value = answer.parameter().and_then(|found| found.value()).unwrap_or_default();
                let version = value.trim().parse().map_err(|_| {
                    self.impossible(format!(
                        "the SSM parameter `{parameter}` is `{value}`, which is no version"
                    ))
                })?;
                Ok(Said::Version(version))
            }
            Err(error) => match error.code() {
                Some("ParameterNotFound" | "ParameterVersionNotFound") => Ok(Said::Missing),
                Some(code) if code.contains("AccessDenied") || code.contains("Unauthorized") => {
                    Ok(Said::Denied(explain(&error)))
                }
                _ => Err(self.unknown(&explain(&error))),
            },
        }
    }

    fn unknown(self, why: &str) -> Error {
        let Environment { account, region, .. } = self.environment;
        Error::new(Kind::Cloud, format!("cannot look whether aws://{account}/{region} is bootstrapped"))
            .detail(why)
    }

    /// The name of the stack that makes it. One of another qualifier is not touched: others deploy with that.
    async fn stack(self, qualifier: &str, too_old: Option<(u64, u64)>) -> Result<String> {
        let named = self.project.toolkit_stack();
        let usual = named.unwrap_or(USUAL_STACK);
        let own = format!("{USUAL_STACK}-{qualifier}");
        let candidates = if named.is_none() { vec![usual, &own] } else { vec![usual] };
        let mut free = None;
        let mut taken = String::new();
        for name in candidates {
            match self.qualifier_of(name).await? {
                Some(found) if found == qualifier => return Ok(name.to_owned()),
                Some(found) => taken = found,
                None => free = free.or(Some(name)),
            }
        }
        let place = self.named(qualifier, usual.to_owned(), too_old);
        match (free, too_old) {
            (Some(name), None) => Ok(name.to_owned()),
            (_, Some(_)) => Err(self.impossible(place.to_string()).hint(format!(
                "find the stack that made it, and run `npx cdk bootstrap {} --qualifier {qualifier} --toolkit-stack-name <its name>`",
                place.place()
            ))),
            (None, None) => Err(self
                .impossible(format!("the stack `{usual}` there is the bootstrap of the qualifier `{taken}`"))
                .hint(format!("give `toolkitStackName` in `cdk.json` another name than that; `{qualifier}` needs a stack of its own"))),
        }
    }

    /// The qualifier of a bootstrap stack, if there is one of that name.
    async fn qualifier_of(self, stack: &str) -> Result<Option<String>> {
        let client = self.aws.cloudformation_in(&self.environment.region);
        match client.describe_stacks().stack_name(stack).send().await {
            // Of one that was only looked at there is nothing but the name.
            Ok(answer) => Ok(answer.stacks().first().filter(|stack| is_there(stack)).map(|stack| {
                let parameters = stack.parameters().iter();
                let mut named = parameters.filter(|parameter| parameter.parameter_key() == Some("Qualifier"));
                let value = named.next().and_then(|parameter| parameter.parameter_value());
                value.unwrap_or(DEFAULT_QUALIFIER).to_owned()
            })),
            Err(error) if stack_is_missing(&error) => Ok(None),
            Err(error) => {
                Err(self.unknown(&format!("the stack `{stack}` cannot be described: {}", explain(&error))))
            }
        }
    }

    /// What old versions of the CDK need: the stack, whatever it is called.
    async fn lacking_stack(self) -> Result<Option<Lacking>> {
        // In another account the CDK CLI looks, which says what it does not find.
        if self.environment.account != self.aws.account
            || self.qualifier_of(self.usual_name()).await?.is_some()
        {
            return Ok(None);
        }
        let qualifier = self.environment.bootstrap.qualifier.as_deref().unwrap_or(DEFAULT_QUALIFIER);
        Ok(Some(self.named(qualifier, self.usual_name().to_owned(), None)))
    }
}

fn is_there(stack: &Stack) -> bool {
    !matches!(
        stack.stack_status(),
        Some(StackStatus::ReviewInProgress | StackStatus::DeleteInProgress | StackStatus::DeleteComplete)
    )
}

/// Makes what is missing, one after the other.
///
/// # Errors
/// [`Kind::Deployment`] with what the CDK CLI says.
pub async fn bootstrap(context: &Context<'_>, aws: &Aws, lacking: &[Lacking]) -> Result<()> {
    for lacking in lacking {
        let place = lacking.place();
        let message = format!("Bootstrapping {place} for the CDK, once");
        context.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
        let result = run(context, aws, lacking).await;
        context.ui.send(match result {
            Ok(()) => UiEvent::ProgressEnded { key: PROGRESS, message: format!("{place} is bootstrapped") },
            Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
        });
        result?;
    }
    Ok(())
}

async fn run(context: &Context<'_>, aws: &Aws, lacking: &Lacking) -> Result<()> {
    let mut command = cdk_cli::command(context, aws).await?;
    command
        .args(["bootstrap", &lacking.place(), "--qualifier", &lacking.qualifier])
        .args(["--toolkit-stack-name", &lacking.stack, "--no-notices", "--ci"])
        .current_dir(directory(context)?);
    let finished = tool::run(context, command, |line| {
        tracing::debug!(line, "bootstrap");
        trace::start!(line, "the CDK CLI");
    })
    .await;
    let finished = finished.map_err(|problem| problem.into_error(Kind::Deployment, "`cdk bootstrap`"))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Deployment, format!("`cdk bootstrap {}` failed", lacking.place()))
        .detail(finished.output.trim()))
}

/// A directory whose `cdk.json` has what the project's says of a bootstrap (tags, a bucket, context), and no `app`, which must not be run.
fn directory(context: &Context<'_>) -> Result<camino::Utf8PathBuf> {
    const OF_A_BOOTSTRAP: [&str; 3] = ["context", "tags", "toolkitBucket"];
    let directory = context.work.fresh_directory("bootstrap")?;
    let mut settings = context.project.cdk.clone();
    settings.retain(|name, _| OF_A_BOOTSTRAP.contains(&name.as_str()));
    let text = Value::from(settings).to_string();
    context.work.write("bootstrap/cdk.json", text.as_bytes())?;
    Ok(directory)
}

#[cfg(test)]
mod tests;

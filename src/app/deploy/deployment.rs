//! Deploys an assembly with the CDK CLI, and removes what was deployed.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use crate::{
    app::{Context, Rewritten, Standby, cdk_cli, tool},
    aws::{Aws, explain},
    error::{Error, Kind, Result},
    process::Command,
    trace,
    ui::UiEvent,
};

const PROGRESS: &str = "deploy";
const REMOVAL: &str = "remove";

/// The outputs of the stacks: stack → name → value.
pub type Outputs = BTreeMap<String, BTreeMap<String, String>>;

/// What is deployed.
#[derive(Debug, Clone)]
pub struct Deployment<'a> {
    /// The assembly's directory.
    pub directory: &'a Utf8Path,
    /// By which the CDK CLI selects the stacks.
    pub stacks: Vec<String>,
    /// Whether a stack whose deployment fails goes back to what it was.
    pub rollback: bool,
    /// Whether stacks are changed without a change set, as in a local cloud: there nobody looks at one, and none is made when only outputs
    /// have changed.
    pub direct: bool,
    /// The bootstrap buckets that its assets are published to: `(account, region, bucket)`.
    pub asset_buckets: &'a BTreeSet<(String, String, String)>,
}

impl<'a> From<&'a Rewritten> for Deployment<'a> {
    /// All of it.
    fn from(assembly: &'a Rewritten) -> Self {
        Self {
            directory: &assembly.directory,
            stacks: vec![EVERY_STACK.to_owned()],
            rollback: true,
            direct: false,
            asset_buckets: &assembly.asset_buckets,
        }
    }
}

/// Every stack; `--all` would leave out those of stages.
pub const EVERY_STACK: &str = "**";

/// Deploys stacks, with a CLI that has been started for that, if there is one.
///
/// # Errors
/// [`Kind::Deployment`], with the event of the resource that failed first in front.
pub async fn deploy(
    context: &Context<'_>,
    aws: &Aws,
    assembly: &Deployment<'_>,
    standby: Option<Standby>,
) -> Result<Outputs> {
    let message = "Deploying the app".to_owned();
    context.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let result = run(context, aws, assembly, standby).await;
    context.ui.send(match &result {
        Ok(_) => UiEvent::ProgressEnded { key: PROGRESS, message: "The app is deployed".to_owned() },
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result
}

async fn run(
    context: &Context<'_>,
    aws: &Aws,
    assembly: &Deployment<'_>,
    standby: Option<Standby>,
) -> Result<Outputs> {
    open_asset_buckets(aws, assembly).await;
    let outputs = context.work.path("outputs.json");
    let _ = fs_err::remove_file(&outputs);
    let mut command = cdk_cli::command(context, aws).await?;
    command
        .arg("deploy")
        .args(&assembly.stacks)
        .args(["--app", assembly.directory.as_str(), "--outputs-file", outputs.as_str()])
        .args(["--require-approval", "never", "--progress", "events", "--no-notices", "--ci"])
        .args(["--asset-parallelism", "true", "--concurrency", "4"])
        // Of the project's own `cdk.json` nothing is needed any more.
        .current_dir(context.work.path(""));
    if assembly.direct {
        // It takes the CLI a second less as well.
        command.args(["--method", "direct"]);
    }
    if let Some(stack) = context.project.toolkit_stack() {
        command.args(["--toolkit-stack-name", stack]);
    }
    if !assembly.rollback {
        command.arg("--no-rollback");
    }
    if let Some(role) = &aws.deployer {
        command.args(["--role-arn", role]);
    }
    let on_line = |line: &str| {
        tracing::debug!(line, "deploy");
        trace::start!(line, "the CDK CLI");
        if let Some(moved) = progress(line) {
            context.ui.send(UiEvent::ProgressMoved {
                key: PROGRESS,
                message: format!("Deploying the app: {moved}"),
            });
        }
    };
    let ready = match standby {
        Some(standby) => standby.becomes(&command).await,
        None => None,
    };
    let finished = match ready {
        Some(child) => tool::follow(context, child, on_line).await,
        None => tool::run(context, command, on_line).await,
    };
    let finished = finished.map_err(|problem| problem.into_error(Kind::Deployment, "`cdk deploy`"))?;
    trace::start!("the CDK CLI has ended");
    if !finished.status.success() {
        let detail = match first_failure(&finished.output) {
            Some(first) => format!("{first}\n\n{}", finished.output.trim()),
            None => finished.output.trim().to_owned(),
        };
        return Err(Error::new(Kind::Deployment, "the app could not be deployed").detail(detail));
    }
    let text = fs_err::read(&outputs).unwrap_or_else(|_| b"{}".to_vec());
    let mut found: Outputs = serde_json::from_slice(&text).map_err(|error| {
        Error::new(Kind::Deployment, format!("the CDK CLI left no outputs in `{outputs}`")).detail(error)
    })?;
    make_local(&mut found, aws);
    Ok(found)
}

/// Gives URLs that a local cloud serves as they can be reached.
pub(super) fn make_local(outputs: &mut Outputs, aws: &Aws) {
    if let Some(endpoint) = &aws.endpoint {
        for value in outputs.values_mut().flat_map(BTreeMap::values_mut) {
            *value = local_url(value, endpoint);
        }
    }
}

/// Removes stacks, and those that need them.
///
/// # Errors
/// [`Kind::Deployment`], with the event of the resource that failed first in front.
pub async fn remove(context: &Context<'_>, aws: &Aws, directory: &Utf8Path, stacks: &[String]) -> Result<()> {
    let message = "Removing the app".to_owned();
    context.ui.send(UiEvent::ProgressBegan { key: REMOVAL, message });
    let removing = async {
        let mut command = cdk_cli::command(context, aws).await?;
        command
            .arg("destroy")
            .args(stacks)
            .args(["--app", directory.as_str(), "--force", "--progress", "events", "--no-notices", "--ci"])
            .current_dir(context.work.path(""));
        if let Some(role) = &aws.deployer {
            command.args(["--role-arn", role]);
        }
        let finished = tool::run(context, command, |line| {
            tracing::debug!(line, "remove");
            if let Some(moved) = progress(line) {
                let message = format!("Removing the app: {moved}");
                context.ui.send(UiEvent::ProgressMoved { key: REMOVAL, message });
            }
        })
        .await;
        let finished = finished.map_err(|problem| problem.into_error(Kind::Deployment, "`cdk destroy`"))?;
        if finished.status.success() {
            return Ok(());
        }
        let first = first_failure(&finished.output).map(|first| format!("{first}\n\n")).unwrap_or_default();
        Err(Error::new(Kind::Deployment, "the app could not be removed")
            .detail(format!("{first}{}", finished.output.trim())))
    };
    let result = removing.await;
    context.ui.send(match &result {
        Ok(()) => UiEvent::ProgressEnded { key: REMOVAL, message: "The app is removed".to_owned() },
        Err(_) => UiEvent::ProgressFailed { key: REMOVAL },
    });
    result
}

/// The CDK CLI for the assembly in `directory`; what it shall do is for the caller to add.
///
/// # Errors
/// [`Kind::Environment`] when there is no CLI, [`Kind::Cloud`] when there are no credentials.
pub async fn cdk_command(context: &Context<'_>, aws: &Aws, directory: &Utf8Path) -> Result<Command> {
    let mut command = cdk_cli::command(context, aws).await?;
    command.args(["--app", directory.as_str(), "--no-notices"]);
    // It is for the user's eyes, unlike the others.
    if std::env::var_os("NO_COLOR").is_none() {
        command.env_remove("NO_COLOR");
    }
    Ok(command)
}

/// The bootstrap bucket refuses requests without TLS, which are all that a local cloud with plain HTTP gets. One that does not
/// check policies takes them anyway; for one that does, the policy goes.
async fn open_asset_buckets(aws: &Aws, assembly: &Deployment<'_>) {
    if !aws.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return;
    }
    for (_, _, bucket) in assembly.asset_buckets {
        if let Err(error) = aws.s3().delete_bucket_policy().bucket(bucket).send().await {
            tracing::debug!(%bucket, error = %explain(&error), "bucket policy");
        }
    }
}

/// What a line of the CLI says about a resource: `<stack> | 3/9 | 10:00:00 | CREATE_COMPLETE | AWS::S3::Bucket | App/Bucket (…)`.
fn progress(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, count, _, status, _, resource, ..] = fields.as_slice() else { return None };
    let resource = resource.split(" (").next().unwrap_or(resource);
    let status = status.to_lowercase().replace('_', " ");
    Some(if count.is_empty() {
        format!("{resource} {status}")
    } else {
        format!("{count} {resource} {status}")
    })
}

/// The event of the resource that failed first. What failed after it was only cancelled.
fn first_failure(output: &str) -> Option<&str> {
    output
        .lines()
        .filter(|line| line.contains('|'))
        .find(|line| line.contains("_FAILED") && !line.contains("ancelled"))
        .map(str::trim)
}

/// The URL under which a local cloud at `endpoint` serves what an output names by the host name that it would have on AWS (or by one
/// of the local cloud's own, which resolve nowhere): an API, a function URL, AppSync, or a distribution. Other texts stay as they are.
#[must_use]
pub fn local_url(value: &str, endpoint: &str) -> String {
    let local = || {
        let (scheme, rest) = value.split_once("://")?;
        let base = match scheme {
            "http" | "https" => endpoint.to_owned(),
            "ws" | "wss" => endpoint.replacen("http", "ws", 1),
            _ => return None,
        };
        let host = rest.split('/').next()?;
        let path = &rest[host.len()..];
        let (id, domain) = host.split_once('.')?;
        let (kind, domain) = domain.split_once('.')?;
        let own = endpoint.split_once("://").map_or(endpoint, |(_, authority)| authority);
        let known = domain.contains(".amazonaws.com") || domain.starts_with("localhost") || domain == own;
        match kind {
            // What is at the root has the stage without a name.
            "execute-api" if known && path.trim_matches('/').is_empty() => {
                Some(format!("{base}/_aws/execute-api/{id}/$default{path}"))
            }
            "execute-api" if known => Some(format!("{base}/_aws/execute-api/{id}{path}")),
            "lambda-url" if domain.ends_with(".on.aws") => {
                let path = if path.is_empty() { "/" } else { path };
                Some(format!("{base}/_aws/lambda-url/{id}{path}"))
            }
            "appsync-api" if known => Some(format!("{base}/v1/apis/{id}{path}")),
            // A site wants the root of a host. Browsers find all names below `localhost` here.
            "cloudfront" if domain == "net" => {
                let (_, port) = own.rsplit_once(':')?;
                Some(format!("http://{id}.cloudfront.localhost:{port}{path}"))
            }
            _ => None,
        }
    };
    local().unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_apis_become_local() {
        let local = |value| local_url(value, "http://127.0.0.1:4566");
        let base = "http://127.0.0.1:4566/_aws/execute-api/abc";
        assert_eq!(local("https://abc.execute-api.us-east-1.amazonaws.com"), format!("{base}/$default"));
        assert_eq!(local("https://abc.execute-api.us-east-1.amazonaws.com/prod/"), format!("{base}/prod/"));
        assert_eq!(local("https://abc.execute-api.us-east-1.amazonaws.com/"), format!("{base}/$default/"));
        assert_eq!(local("http://abc.execute-api.localhost:4566"), format!("{base}/$default"));
        assert_eq!(local("http://abc.execute-api.127.0.0.1:4566"), format!("{base}/$default"));
        assert_eq!(
            local("wss://abc.execute-api.us-east-1.amazonaws.com/dev"),
            "ws://127.0.0.1:4566/_aws/execute-api/abc/dev"
        );
        assert_eq!(
            local("https://abc.lambda-url.us-east-1.on.aws/"),
            "http://127.0.0.1:4566/_aws/lambda-url/abc/"
        );
        assert_eq!(
            local("https://abc.appsync-api.us-east-1.amazonaws.com/graphql"),
            "http://127.0.0.1:4566/v1/apis/abc/graphql"
        );
        assert_eq!(local("https://abc.cloudfront.net"), "http://abc.cloudfront.localhost:4566");
        assert_eq!(local("https://abc.cloudfront.net/x/y"), "http://abc.cloudfront.localhost:4566/x/y");
        for other in [
            "my-bucket",
            "abc.cloudfront.net",
            "https://abc.cloudfront.net.example.com/",
            "https://example.com/x",
            "arn:aws:sns:us-east-1:0:t",
            "https://abc.lambda-url.example.com/",
            "https://abc.execute-api.example.com/",
            "ftp://abc.execute-api.us-east-1.amazonaws.com/",
        ] {
            assert_eq!(local(other), other);
        }
    }

    #[test]
    fn the_first_failure_is_found() {
        let output = "app |  0 | 1:00 | CREATE_FAILED | AWS::S3::Bucket | A (A) Resource creation cancelled\n\
            app |  0 | 1:00 | CREATE_FAILED | AWS::S3::Bucket | B (B) the name is taken\n";
        assert!(first_failure(output).unwrap().ends_with("the name is taken"));
        assert_eq!(progress(output.lines().next().unwrap()).unwrap(), "0 A create failed");
        assert_eq!(first_failure("all is well"), None);
    }
}

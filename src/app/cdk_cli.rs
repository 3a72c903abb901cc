//! The CDK CLI: the newest one that is installed, of the project's own and the one that comes with the npm package.
//!
//! A CLI reads the cloud assemblies of all older versions of the CDK, and none of newer ones. Those before 2.115 or so do not know
//! `AWS_ENDPOINT_URL` and would deploy past the local cloud.

use camino::{Utf8Path, Utf8PathBuf};
use semver::Version;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;

use super::Context;
use crate::{
    aws::Aws,
    error::{Error, Kind, Result},
    process::{Child, Command, Stdio},
    project::Project,
    tools::Tools,
};

/// A command of the CLI, with the credentials and the region that this program uses.
pub(super) async fn command(context: &Context<'_>, aws: &Aws) -> Result<Command> {
    let script = find(context.project, context.tools)?;
    let credentials = aws.credentials().await?;
    let mut command = started(context);
    command
        .arg(&script)
        .current_dir(&context.project.root)
        .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key())
        .env("AWS_REGION", &aws.region)
        .env("AWS_DEFAULT_REGION", &aws.region);
    match credentials.session_token() {
        Some(token) => command.env("AWS_SESSION_TOKEN", token),
        None => command.env_remove("AWS_SESSION_TOKEN"),
    };
    if let Some(endpoint) = &aws.endpoint {
        command.env("AWS_ENDPOINT_URL", endpoint);
        // Of one endpoint there are no other kinds, and its SDK ends with an error when it is asked for them.
        command.env("AWS_USE_FIPS_ENDPOINT", "false").env("AWS_USE_DUALSTACK_ENDPOINT", "false");
    }
    Ok(command)
}

/// Node, with what the CLI wants to know when it is loaded.
fn started(context: &Context<'_>) -> Command {
    let mut command = Command::new(&context.tools.node);
    command
        .env("CDK_DISABLE_CLI_TELEMETRY", "true")
        .env("CDK_DISABLE_VERSION_CHECK", "1")
        // What its SDK wants to say of Node is nothing that a user of this program could see to.
        .env("AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED", "true")
        .env("NO_COLOR", "1")
        .env_remove("FORCE_COLOR")
        // They are in other variables already, and a profile would win over them.
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_DEFAULT_PROFILE");
    command.trust_own_certificates();
    command
}

/// A CLI that has loaded its code, which takes a second, and waits for what it has to do. It ends when it is dropped.
#[derive(Debug)]
pub struct Standby(Child);

impl Standby {
    /// Starts one. It can be used without waiting for it. None where that fails: whoever uses it would fail in the same way, and tell.
    pub async fn start(context: &Context<'_>) -> Option<Self> {
        let script = find(context.project, context.tools).ok()?;
        let mut command = started(context);
        command
            .arg(context.tools.scripts.join("synth/cdk-standby.cjs"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        context.spawner.spawn(command).await.ok().map(Self)
    }

    /// Becomes a `command` of the CLI. None when it cannot.
    pub(super) async fn becomes(self, command: &Command) -> Option<Child> {
        let Self(mut child) = self;
        let (arguments, environment, directory) = command.words();
        // The first one is the script.
        let arguments: Option<Vec<&str>> =
            arguments.iter().skip(1).map(|argument| argument.to_str()).collect();
        let mut variables = Map::new();
        for (name, value) in environment {
            let value = match value {
                Some(value) => Value::from(value.to_str()?),
                None => Value::Null,
            };
            variables.insert(name.to_str()?.to_owned(), value);
        }
        let words =
            json!({ "arguments": arguments?, "directory": directory?.to_str()?, "environment": variables });
        child.stdin.as_mut()?.write_all(format!("{words}\n").as_bytes()).await.ok()?;
        Some(child)
    }
}

/// The version of the CLI that is used for a project.
///
/// # Errors
/// [`Kind::Environment`] when there is none.
pub fn cdk_version(project: &Project, tools: &Tools) -> Result<String> {
    let version = version(&find(project, tools)?);
    Ok(version.map_or_else(|| "of an unknown version".to_owned(), |version| version.to_string()))
}

/// The template of the stack that `cdk bootstrap` deploys.
pub(super) fn bootstrap_template(context: &Context<'_>) -> std::io::Result<String> {
    let script = find(context.project, context.tools).map_err(std::io::Error::other)?;
    let package = script.ancestors().nth(2).unwrap_or(&script);
    fs_err::read_to_string(package.join("lib/api/bootstrap/bootstrap-template.yaml"))
}

fn find(project: &Project, tools: &Tools) -> Result<Utf8PathBuf> {
    newest(&project.root, &tools.npm_root).ok_or_else(|| {
        Error::new(Kind::Environment, "the CDK CLI was not found")
            .hint("run `npm install --save-dev aws-cdk`")
    })
}

/// That of our package is where Node would look from there: in it, or beside it, as each package manager has it.
fn newest(project: &Utf8Path, npm_root: &Utf8Path) -> Option<Utf8PathBuf> {
    let roots = std::iter::once(project).chain(npm_root.ancestors());
    let installed = roots.map(|root| root.join("node_modules/aws-cdk/bin/cdk")).filter(|path| path.is_file());
    installed.max_by_key(|path| version(path))
}

/// The version of the package that `script` belongs to, if it has one.
fn version(script: &Utf8Path) -> Option<Version> {
    let manifest = script.ancestors().nth(2)?.join("package.json");
    let manifest: serde_json::Value = serde_json::from_slice(&fs_err::read(manifest).ok()?).ok()?;
    Version::parse(manifest["version"].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        // In the order in which they are taken, the last one first.
        let versions = ["not a version", "2.15.0", "2.50.0-rc.1", "2.50.0", "2.1130.2"].map(|text| {
            let package = root.join(text);
            fs_err::create_dir_all(package.join("bin")).unwrap();
            fs_err::write(package.join("package.json"), format!(r#"{{"version":"{text}"}}"#)).unwrap();
            version(&package.join("bin/cdk"))
        });
        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
        assert_eq!(versions[0], None);
        assert_eq!(versions[4].as_ref().map(Version::to_string).as_deref(), Some("2.1130.2"));
    }

    #[test]
    fn the_cli_of_our_package_is_found_wherever_package_managers_put_it() {
        let ours = concat!("node_modules/", env!("SST_NPM_PACKAGE"));
        let strict = format!("node_modules/.pnpm/sst@1/{ours}");
        for (npm_root, cli) in [
            // npm and Yarn: beside it, or in it where the project has another version.
            (ours, "node_modules/aws-cdk"),
            (ours, &format!("{ours}/node_modules/aws-cdk")),
            // pnpm: beside it, in a directory of its own.
            (&strict, "node_modules/.pnpm/sst@1/node_modules/aws-cdk"),
            // A checkout.
            ("../npm", "../npm/node_modules/aws-cdk"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let project = Utf8Path::from_path(directory.path()).unwrap().join("project");
            let script = project.join(cli).join("bin/cdk");
            fs_err::create_dir_all(project.join(npm_root)).unwrap();
            fs_err::create_dir_all(script.parent().unwrap()).unwrap();
            fs_err::write(&script, "").unwrap();
            assert_eq!(newest(&project, &project.join(npm_root)), Some(script), "{npm_root}");
            assert_eq!(newest(&project, &project.join("elsewhere")).is_some(), cli == "node_modules/aws-cdk");
        }
    }
}

//! The debug stack: deploying it, and finding out where it is.

mod answers;
mod asked;
mod change_set;
mod in_use;
mod remove;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_cloudformation::types::{Stack, StackStatus, Tag};

pub use self::{answers::Answers, remove::remove};

use crate::{
    aws::Aws,
    error::{Error, Kind, Result},
    trace,
    ui::{Ui, UiEvent},
};

/// The template, the same for AWS and for the local cloud.
pub const TEMPLATE: &str = include_str!("../../infra/debug-stack.yaml");

/// The tag that says which template the stack was deployed from, so that an unchanged one costs a single call.
const FINGERPRINT_TAG: &str = "sst:template";

/// The name of the debug stack of an app and a stage.
#[must_use]
pub fn name(stage: &str, app: &str) -> String {
    format!("{stage}-{app}-debug-stack")
}

/// What there is of a debug stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// In the words of CloudFormation, e.g. `UPDATE_COMPLETE`.
    pub status: String,
    /// Whether it was deployed from the usual template of this version.
    pub current: bool,
}

/// What CloudFormation says of the stack `name`; none when there is none.
///
/// # Errors
/// [`Kind::Deployment`] when it does not say.
pub async fn status(aws: &Aws, name: &str) -> Result<Option<Status>> {
    let stack = asked::describe(aws, name).await?;
    let usual = fingerprint(aws, TEMPLATE, &[], Answers::of(stack.as_ref()));
    Ok(stack.map(|stack| Status {
        status: stack.stack_status().map_or("unknown", StackStatus::as_str).to_owned(),
        current: tag(stack.tags(), FINGERPRINT_TAG) == Some(usual.as_str()),
    }))
}

/// The stack `name` as it is deployed; none when there is none, or none that could be used.
///
/// # Errors
/// [`Kind::Deployment`] when CloudFormation does not say.
pub async fn find(aws: &Aws, name: &str) -> Result<Option<DebugStack>> {
    let stack = asked::describe(aws, name).await?;
    Ok(stack.and_then(|stack| read(aws, &stack).ok()))
}

/// The logical id of the policy of the stubs.
const STUB_POLICY: &str = "StubPolicy";

/// The key of the progress that is shown.
const PROGRESS: &str = "debug-stack";

/// What the debug stack consists of, as the relay and the stubs need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugStack {
    /// The WebSocket endpoint with its stage: `wss://<api>.execute-api.<region>.amazonaws.com/<stage>`, in a local cloud
    /// `ws://127.0.0.1:<port>/_aws/execute-api/<api>/<stage>`.
    pub endpoint: String,
    /// The `@connections` endpoint with its stage, `https://…` or `http://…`.
    pub management: String,
    /// The API's id.
    pub api_id: String,
    /// The API's stage.
    pub api_stage: String,
    /// The DynamoDB table.
    pub table: String,
    /// The ARN of the table.
    pub table_arn: String,
    /// The S3 bucket.
    pub bucket: String,
    /// The ARN of the managed policy with what stubs may do. None where the stack has none, as with an older template of the app's own.
    pub stub_policy: Option<String>,
    /// What answers `$connect` and `hello`.
    pub answers: Answers,
}

/// A template other than the usual one.
#[derive(Debug, Clone, Copy)]
pub struct Custom<'a> {
    /// The template, in JSON or YAML, with the outputs of the usual one.
    pub template: &'a str,
    /// Tags of the stack, which CloudFormation gives to its resources.
    pub tags: &'a BTreeMap<String, String>,
}

/// Deploys the stack `name`, or finds it as it should be already. What answers `$connect` and `hello` stays what it was.
///
/// # Errors
/// [`Kind::Deployment`] with the reason of the first resource that failed.
pub async fn deploy(aws: &Aws, name: &str, custom: Option<Custom<'_>>, ui: &Ui) -> Result<DebugStack> {
    let existing = asked::at_rest(aws, name).await?;
    let answers = Answers::of(existing.as_ref());
    let deployed = deploy_with(aws, name, custom, (existing, answers), ui).await;
    match deployed {
        // A local cloud that was not started by this program.
        Err(error) if aws.endpoint.is_some() && answers != Answers::Bare && knows_no_responses(&error) => {
            tracing::debug!(detail = error.detail, "a function answers in its place");
            let existing = asked::at_rest(aws, name).await?;
            deploy_with(aws, name, custom, (existing, Answers::Bare), ui).await
        }
        deployed => deployed,
    }
}

/// Deploys the stack `name` once more, with a function that answers `$connect` and `hello` from now on.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_function(
    aws: &Aws,
    name: &str,
    custom: Option<Custom<'_>>,
    ui: &Ui,
) -> Result<DebugStack> {
    let existing = asked::at_rest(aws, name).await?;
    deploy_with(aws, name, custom, (existing, Answers::Function), ui).await
}

/// What is said when that is needed; what becomes of it follows.
#[must_use]
pub fn unanswered(error: &Error) -> String {
    let reason = error.detail.as_deref().unwrap_or(&error.message);
    format!("API Gateway does not answer `$connect` and `hello` by itself here ({reason})")
}

async fn deploy_with(
    aws: &Aws,
    name: &str,
    custom: Option<Custom<'_>>,
    (existing, answers): (Option<Stack>, Answers),
    ui: &Ui,
) -> Result<DebugStack> {
    let (body, mut tags) = match custom {
        Some(custom) => {
            let tags = custom.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            (custom.template, tags)
        }
        None => (TEMPLATE, Vec::new()),
    };
    let fingerprint = fingerprint(aws, body, &tags, answers);
    tags.push((FINGERPRINT_TAG, &fingerprint));
    if let Some(stack) = existing
        && is_complete(&stack)
        && tag(stack.tags(), FINGERPRINT_TAG) == Some(fingerprint.as_str())
    {
        trace::start!("the debug stack is as it should be");
        return read(aws, &stack);
    }
    let message = format!("Deploying the debug stack `{name}`");
    ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    let template = change_set::Template {
        body,
        parameters: &[("RequireTls", require_tls(aws)), (answers::PARAMETER, answers.value())],
        tags: &tags,
        names_roles: custom.is_some(),
    };
    let moved = |message: String| ui.send(UiEvent::ProgressMoved { key: PROGRESS, message });
    match change_set::deploy(aws, name, &template, moved).await {
        Ok(stack) => {
            trace::start!("the debug stack is deployed");
            let message = format!("The debug stack `{name}` is deployed");
            ui.send(UiEvent::ProgressEnded { key: PROGRESS, message });
            read(aws, &stack)
        }
        Err(error) => {
            ui.send(UiEvent::ProgressFailed { key: PROGRESS });
            Err(error)
        }
    }
}

/// Whether CloudFormation has refused the template for the types that the mocks need.
fn knows_no_responses(error: &Error) -> bool {
    error.detail.as_deref().is_some_and(|detail| {
        detail.contains("Unrecognized resource types") && detail.contains("AWS::ApiGatewayV2::")
    })
}

fn fingerprint(aws: &Aws, body: &str, tags: &[(&str, &str)], answers: Answers) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("\n{key}={value}")).collect();
    let text = format!("{body}\n{} {}{}", require_tls(aws), answers.value(), tags.concat());
    // Half of it is enough to tell templates apart, and easier on the eye in a console.
    sst_wire::sha256_hex(text.as_bytes())[..32].to_owned()
}

fn require_tls(aws: &Aws) -> &'static str {
    match &aws.endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => "false",
        _ => "true",
    }
}

fn is_complete(stack: &Stack) -> bool {
    use StackStatus::{CreateComplete, UpdateComplete};
    matches!(stack.stack_status(), Some(CreateComplete | UpdateComplete))
}

fn tag<'a>(tags: &'a [Tag], name: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(name))?.value()
}

fn read(aws: &Aws, stack: &Stack) -> Result<DebugStack> {
    let outputs: HashMap<&str, &str> = stack
        .outputs()
        .iter()
        .filter_map(|output| Some((output.output_key()?, output.output_value()?)))
        .collect();
    let output = |name: &str| {
        outputs.get(name).map(|value| (*value).to_owned()).ok_or_else(|| {
            Error::new(Kind::Deployment, format!("the debug stack has no output `{name}`"))
                .hint("remove the stack and start again")
        })
    };
    let (api_id, api_stage) = (output("ApiId")?, output("ApiStage")?);
    let (endpoint, management) = match &aws.endpoint {
        // The names that a local cloud gives its APIs resolve nowhere; it serves them under this path as well.
        Some(cloud) => {
            let management = format!("{cloud}/_aws/execute-api/{api_id}/{api_stage}");
            (management.replacen("http", "ws", 1), management)
        }
        None => (output("Endpoint")?, output("Management")?),
    };
    Ok(DebugStack {
        endpoint,
        management,
        api_id,
        api_stage,
        table: output("Table")?,
        table_arn: output("TableArn")?,
        bucket: output("Bucket")?,
        stub_policy: outputs.get("StubPolicyArn").map(|arn| (*arn).to_owned()),
        answers: Answers::of(Some(stack)),
    })
}

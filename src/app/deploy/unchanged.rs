//! Whether there is nothing to deploy: each stack is in the account just as it would be deployed. The CDK CLI would find the same, but
//! takes a second to be started and looks for assets first.
//!
//! What is compared is what CloudFormation has, not what was deployed from here: somebody else may have deployed meanwhile. Where it is
//! not certain that nothing would change, the CDK CLI is asked.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::{
    error::{ProvideErrorMetadata, SdkError},
    types::{Stack, StackStatus},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::deployment::{Outputs, make_local};
use crate::{
    app::{DeployedStack, StackOptions},
    aws::{Aws, explain},
    trace,
};

/// How many stacks are asked for at the same time.
const PARALLEL: usize = 8;

/// What the CDK writes into the description of a parameter whose value may change without a deployment.
const CHANGES_NOTHING: &str = "[cdk:skip]";

/// Why a stack is not known to be as it would be deployed.
struct Doubt {
    reason: String,
    /// Nobody has answered.
    unanswered: bool,
}

impl<T: Into<String>> From<T> for Doubt {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), unanswered: false }
    }
}

/// The outputs of `stacks`, if a deployment would change none of them.
pub async fn unchanged(aws: &Aws, stacks: &[DeployedStack]) -> Option<Outputs> {
    let looked = stream::iter(stacks).map(|stack| async move {
        let outputs = match as_planned(aws, stack).await {
            // The connection may have been too old.
            Err(doubt) if doubt.unanswered => as_planned(&aws.fresh(), stack).await?,
            other => other?,
        };
        Ok((stack.name.clone(), outputs))
    });
    let found: Result<Outputs, Doubt> = looked.buffer_unordered(PARALLEL).try_collect().await;
    match found {
        Ok(mut outputs) => {
            make_local(&mut outputs, aws);
            Some(outputs)
        }
        Err(Doubt { reason, .. }) => {
            trace::start!(reason, "there is something to deploy");
            None
        }
    }
}

/// The outputs of a stack that is as it would be deployed; else what is not so, or not known.
async fn as_planned(aws: &Aws, planned: &DeployedStack) -> Result<BTreeMap<String, String>, Doubt> {
    let name = &planned.name;
    if (&planned.account, &planned.region) != (&aws.account, &aws.region) {
        return Err(format!("`{name}` is somewhere else").into());
    }
    let text = fs_err::read(&planned.template).map_err(|error| error.to_string())?;
    let template: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let client = aws.cloudformation();
    let (described, deployed) = tokio::join!(
        client.describe_stacks().stack_name(name).send(),
        client.get_template().stack_name(name).send()
    );
    let described = described.map_err(|error| doubt(&error))?;
    let deployed = deployed.map_err(|error| doubt(&error))?;
    let stack = described.stacks().first().ok_or_else(|| format!("there is no `{name}`"))?;
    let deployed: Option<Value> = serde_json::from_str(deployed.template_body().unwrap_or_default()).ok();
    if deployed.as_ref() != Some(&template) {
        return Err(format!("the template of `{name}` is another one").into());
    }
    match difference(stack, &planned.options).or_else(|| open_question(stack, &template)) {
        Some(difference) => Err(format!("{difference} of `{name}`").into()),
        None => Ok(outputs(stack)),
    }
}

fn doubt<E, R>(error: &SdkError<E, R>) -> Doubt
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    Doubt { reason: explain(error), unanswered: error.raw_response().is_none() }
}

/// What is deployed otherwise than planned, beside the template.
fn difference(stack: &Stack, planned: &StackOptions) -> Option<&'static str> {
    use StackStatus::{CreateComplete, ImportComplete, UpdateComplete};
    if !matches!(stack.stack_status(), Some(CreateComplete | UpdateComplete | ImportComplete)) {
        return Some("the state");
    }
    let tags: BTreeMap<&str, &str> =
        stack.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    if !tags.into_iter().eq(planned.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
        return Some("the tags");
    }
    if stack.enable_termination_protection().unwrap_or_default() != planned.termination_protection {
        return Some("the protection");
    }
    let told: BTreeSet<&str> = stack.notification_arns().iter().map(String::as_str).collect();
    if told != planned.notification_arns.iter().map(String::as_str).collect() {
        return Some("the topics");
    }
    planned.others.then_some("something that is not compared")
}

/// What the same template may bring something else of.
fn open_question(stack: &Stack, template: &Value) -> Option<&'static str> {
    if template.get("Transform").is_some() {
        return Some("the macros");
    }
    let given: BTreeSet<&str> =
        stack.parameters().iter().filter_map(|parameter| parameter.parameter_key()).collect();
    let declared = template.get("Parameters").and_then(Value::as_object).into_iter().flatten();
    for (name, parameter) in declared {
        let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
        let from_elsewhere = text("Type").starts_with("AWS::SSM::Parameter::");
        if !given.contains(name.as_str()) || from_elsewhere && !text("Description").contains(CHANGES_NOTHING)
        {
            return Some("a parameter");
        }
    }
    None
}

fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let outputs = stack.outputs().iter();
    outputs
        .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{Parameter, Tag};
    use serde_json::json;

    use super::*;

    fn stack() -> aws_sdk_cloudformation::types::builders::StackBuilder {
        Stack::builder().stack_status(StackStatus::UpdateComplete)
    }

    #[test]
    fn what_is_beside_the_template_is_compared() {
        let tagged = |value: &str| stack().tags(Tag::builder().key("a").value(value).build()).build();
        let plain = StackOptions::default();
        let planned = StackOptions { tags: [("a".to_owned(), "1".to_owned())].into(), ..plain.clone() };
        assert_eq!(difference(&tagged("1"), &planned), None);
        assert_eq!(difference(&tagged("2"), &planned), Some("the tags"));
        assert_eq!(difference(&tagged("1"), &plain), Some("the tags"));
        assert_eq!(difference(&stack().build(), &planned), Some("the tags"));
        let protected = stack().enable_termination_protection(true).build();
        assert_eq!(difference(&protected, &plain), Some("the protection"));
        let told = stack().notification_arns("arn:aws:sns:r:a:t").build();
        assert_eq!(difference(&told, &plain), Some("the topics"));
        for status in ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS", "DELETE_FAILED"] {
            let other = stack().stack_status(status.into()).build();
            assert_eq!(difference(&other, &plain), Some("the state"), "{status}");
        }
        assert!(difference(&stack().build(), &StackOptions { others: true, ..plain }).is_some());
    }

    #[test]
    fn parameters_that_come_from_elsewhere_are_for_the_cdk_cli() {
        let given = stack().parameters(Parameter::builder().parameter_key("P").build()).build();
        let template = |parameter: Value| json!({ "Parameters": { "P": parameter }, "Resources": {} });
        let usual = json!({ "Type": "String", "Default": "x" });
        assert_eq!(open_question(&given, &template(usual.clone())), None);
        assert!(open_question(&stack().build(), &template(usual)).is_some());
        let looked_up = |description: &str| json!({ "Type": "AWS::SSM::Parameter::Value<String>", "Description": description });
        assert_eq!(open_question(&given, &template(looked_up("Version. [cdk:skip]"))), None);
        assert!(open_question(&given, &template(looked_up("Version."))).is_some());
        assert!(open_question(&given, &json!({ "Transform": "AWS::Include" })).is_some());
    }
}

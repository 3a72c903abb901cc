//! What is known in the cloud of a function: its stub is asked for the variables and the credentials, so that nobody has to call the
//! function first, and Lambda for how it is deployed.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_lambda::{error::SdkError, operation::invoke::InvokeOutput, primitives::Blob};

use crate::{
    aws::{Aws, explain, physical_id},
    core::question,
    project::manifest::FunctionSpec,
};

/// How long an answer may take: a cold start, and a stub that waits for whoever answers for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to find out what a function is called, and how it is deployed.
const LOOKING: Duration = Duration::from_secs(60);

/// Asks the stub of a function. What it says arrives as an event; this returns when it has been answered.
///
/// # Errors
/// A sentence that says why the stub cannot be asked.
pub(super) async fn ask(aws: &Aws, spec: &FunctionSpec, token: String) -> Result<(), String> {
    let name = looked_for(spec, physical_name(aws, spec)).await?;
    let event = question::event(token);
    let called = aws.invoker(PATIENCE).invoke().function_name(&name).payload(Blob::new(event)).send().await;
    match called {
        Err(SdkError::TimeoutError(_)) => {
            Err(format!("the stub `{name}` has not answered within {} s", PATIENCE.as_secs()))
        }
        Err(error) => Err(format!("`{name}` cannot be called: {}", explain(&error))),
        Ok(InvokeOutput { function_error: Some(kind), payload, .. }) => {
            let text = payload.map(Blob::into_inner).unwrap_or_default();
            Err(format!("`{name}` failed ({kind}): {}", String::from_utf8_lossy(&text)))
        }
        Ok(_) => Ok(()),
    }
}

/// The environment variables that a function is deployed with, and its role.
///
/// # Errors
/// A sentence that says why they are not to be had.
pub(crate) async fn configuration(
    aws: &Aws,
    spec: &FunctionSpec,
) -> Result<(BTreeMap<String, String>, String), String> {
    let asking = async {
        let name = physical_name(aws, spec).await?;
        let asked = aws.lambda().get_function_configuration().function_name(&name).send().await;
        let found =
            asked.map_err(|error| format!("nothing is to be learned of `{name}`: {}", explain(&error)))?;
        Ok((name, found))
    };
    let (name, found) = looked_for(spec, asking).await?;
    let role = found.role().unwrap_or_default().to_owned();
    let mut variables: BTreeMap<String, String> = found
        .environment()
        .and_then(|environment| environment.variables())
        .map(|variables| variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
        .unwrap_or_default();
    variables.remove(sst_wire::CONFIG_VARIABLE);
    variables.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name);
    Ok((variables, role))
}

/// Gives up what AWS does not say in time. Each request has limits of its own, but there may be many.
async fn looked_for<T>(
    spec: &FunctionSpec,
    asking: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let late = || format!("AWS has not said within {} s where `{}` is", LOOKING.as_secs(), spec.id);
    tokio::time::timeout(LOOKING, asking).await.unwrap_or_else(|_| Err(late()))
}

/// The name that a function has got from CloudFormation. It may be in a nested stack.
async fn physical_name(aws: &Aws, spec: &FunctionSpec) -> Result<String, String> {
    let found = physical_id(aws, &spec.stack, &spec.logical_id, Some("AWS::Lambda::Function")).await?;
    found.ok_or_else(|| format!("`{}` has no function `{}`", spec.stack, spec.logical_id))
}

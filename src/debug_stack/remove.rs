//! Removes the debug stack, with what is in its bucket.

use std::time::Duration;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use tokio::time::{Instant, sleep};

use super::change_set::{describe, look_every};
use crate::{
    aws::{Aws, explain},
    error::{Error, Kind, Result},
    ui::{Ui, UiEvent},
};

const PROGRESS: &str = "remove-debug-stack";

/// How long a removal may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// Removes the stack `name`, if there is one.
///
/// # Errors
/// [`Kind::Deployment`] with what CloudFormation or S3 say.
pub async fn remove(aws: &Aws, name: &str, ui: &Ui) -> Result<()> {
    let Some(stack) = describe(aws, name).await? else { return Ok(()) };
    ui.send(UiEvent::ProgressBegan { key: PROGRESS, message: format!("Removing the debug stack `{name}`") });
    let bucket = stack.outputs().iter().find(|output| output.output_key() == Some("Bucket"));
    let result = async {
        if let Some(bucket) = bucket.and_then(|output| output.output_value()) {
            empty(aws, bucket).await?;
        }
        delete(aws, name, stack.stack_id().unwrap_or(name)).await
    };
    let result = result.await.map_err(|detail| {
        Error::new(Kind::Deployment, format!("the debug stack `{name}` could not be removed")).detail(detail)
    });
    ui.send(match result {
        Ok(()) => {
            UiEvent::ProgressEnded { key: PROGRESS, message: format!("The debug stack `{name}` is removed") }
        }
        Err(_) => UiEvent::ProgressFailed { key: PROGRESS },
    });
    result
}

/// CloudFormation removes no bucket that holds something. This one holds payloads on their way, of which there are none any more.
async fn empty(aws: &Aws, bucket: &str) -> std::result::Result<(), String> {
    let client = aws.s3();
    loop {
        let listed = client.list_objects_v2().bucket(bucket).send().await.map_err(|error| explain(&error))?;
        let keys = listed.contents().iter().filter_map(|object| object.key());
        let objects: Vec<ObjectIdentifier> =
            keys.filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|error| error.to_string())?;
        let deleted = client.delete_objects().bucket(bucket).delete(delete).send().await;
        let deleted = deleted.map_err(|error| explain(&error))?;
        if let Some(error) = deleted.errors().first() {
            return Err(error.message().unwrap_or("an object cannot be deleted").to_owned());
        }
    }
}

async fn delete(aws: &Aws, name: &str, id: &str) -> std::result::Result<(), String> {
    let client = aws.cloudformation();
    let delete = client.delete_stack().stack_name(name).set_role_arn(aws.deployer.clone());
    delete.send().await.map_err(|error| explain(&error))?;
    let until = Instant::now() + PATIENCE;
    loop {
        // A stack that is gone is known by its id only.
        let stack = describe(aws, id).await.map_err(|error| error.to_string())?;
        let status = stack.as_ref().and_then(|stack| stack.stack_status()).map(|status| status.as_str());
        match status {
            None | Some("DELETE_COMPLETE") => return Ok(()),
            Some("DELETE_FAILED") => {
                let reason = stack.as_ref().and_then(|stack| stack.stack_status_reason());
                return Err(reason.unwrap_or("no reason is given").to_owned());
            }
            _ if Instant::now() > until => return Err("it takes too long".to_owned()),
            _ => sleep(look_every(aws)).await,
        }
    }
}

//! What is asked of Lambda about one function. Answers are taken whole, in Lambda's own shape: what the SDK knows nothing of is to come back
//! as well.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_lambda::{
    Client,
    operation::update_function_configuration::builders::UpdateFunctionConfigurationFluentBuilder as Update,
    types,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    configuration::{Settings, text},
    refused::{Refused, patiently},
};
use crate::{
    attach::TAG,
    aws::Aws,
    error::{Error, Kind, Result},
};

/// How long an update may take. Putting a function back into its network takes a minute or two.
const UPDATE: Duration = Duration::from_secs(300);

/// A function, and who asks for it.
pub(super) struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    aws: &'a Aws,
}

/// Code in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeAt {
    /// The bucket.
    pub bucket: String,
    /// The key in it.
    pub key: String,
    /// The key by which Lambda keeps the code, where that is the owner's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_kms_key_arn: Option<String>,
}

/// What an answer was, before anything was made of it.
#[derive(Debug, Clone, Default)]
struct Whole(Arc<Mutex<Value>>);

impl<'a> Function<'a> {
    pub(super) fn new(aws: &'a Aws, name: &'a str) -> Self {
        Self { name, aws }
    }

    /// All that Lambda tells of it: `Configuration`, `Code`, `Tags`, `Concurrency`. None when there is none of that name.
    pub(super) async fn look(&self) -> Result<Option<Value>, Refused> {
        let client = self.aws.lambda();
        let whole = Whole::default();
        let asked = patiently("lambda:GetFunction", || {
            client.get_function().function_name(self.name).customize().interceptor(whole.clone()).send()
        });
        found(asked.await, &whole)
    }

    /// Its configuration when no update of it is under way, whatever the last one has come to. None when it has gone.
    pub(super) async fn at_rest(&self) -> Result<Option<Value>> {
        let at_rest = async {
            let mut pause = Duration::from_millis(100);
            loop {
                let configuration = self.configuration().await?;
                if !configuration.as_ref().is_some_and(is_changing) {
                    return Ok(configuration);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(Duration::from_secs(3));
            }
        };
        match tokio::time::timeout(UPDATE, at_rest).await {
            Ok(configuration) => configuration
                .map_err(|refused: Refused| refused.because(format!("cannot read `{}`", self.name))),
            Err(_) => Err(Error::new(
                Kind::Cloud,
                format!("an update of `{}` takes longer than {} s", self.name, UPDATE.as_secs()),
            )),
        }
    }

    async fn configuration(&self) -> Result<Option<Value>, Refused> {
        let client = self.aws.lambda();
        let whole = Whole::default();
        let asked = patiently("lambda:GetFunctionConfiguration", || {
            let get = client.get_function_configuration().function_name(self.name);
            get.customize().interceptor(whole.clone()).send()
        });
        found(asked.await, &whole)
    }

    /// How asynchronous events of it are handled, where it has something of its own.
    pub(super) async fn event_invoke_config(&self) -> Result<Option<Value>, Refused> {
        let client = self.aws.lambda();
        let whole = Whole::default();
        let asked = patiently("lambda:GetFunctionEventInvokeConfig", || {
            let get = client.get_function_event_invoke_config().function_name(self.name);
            get.customize().interceptor(whole.clone()).send()
        });
        found(asked.await, &whole)
    }

    /// Changes some of its settings, once, if nobody has since `revision`. Whether it was done without an answer is for the caller to look.
    pub(super) async fn set(&self, settings: &Settings, revision: &str) -> Result<(), Refused> {
        let update = self.aws.lambda_changing().update_function_configuration().function_name(self.name);
        let update = settings.iter().fold(update, |update, (name, value)| with(update, name, value));
        let sent = update.revision_id(revision).send().await;
        sent.map(drop).map_err(|error| Refused::of("lambda:UpdateFunctionConfiguration", &error))
    }

    /// Changes its code, in the same way.
    pub(super) async fn set_code(&self, code: &CodeAt, revision: &str) -> Result<(), Refused> {
        let update = self.aws.lambda_changing().update_function_code().function_name(self.name);
        let update = update.s3_bucket(&code.bucket).s3_key(&code.key);
        let update = update.set_source_kms_key_arn(code.source_kms_key_arn.clone());
        let sent = update.revision_id(revision).send().await;
        sent.map(drop).map_err(|error| Refused::of("lambda:UpdateFunctionCode", &error))
    }

    /// Gives it the tag of functions that are attached.
    pub(super) async fn tag(&self, arn: &str, value: &str) -> Result<(), Refused> {
        let client = self.aws.lambda();
        let tags = HashMap::from([(TAG.to_owned(), value.to_owned())]);
        let tag = || client.tag_resource().resource(arn).set_tags(Some(tags.clone())).send();
        patiently("lambda:TagResource", tag).await.map(drop)
    }

    /// Takes the tag off.
    pub(super) async fn untag(&self, arn: &str) -> Result<(), Refused> {
        let client = self.aws.lambda();
        let untag = || client.untag_resource().resource(arn).tag_keys(TAG).send();
        patiently("lambda:UntagResource", untag).await.map(drop)
    }

    /// How it is asked for.
    pub(super) fn aws(&self) -> &Aws {
        self.aws
    }

    /// A client of Lambda.
    pub(super) fn client(&self) -> Client {
        self.aws.lambda()
    }
}

/// Whether an update of a function, or its creation, is under way.
fn is_changing(configuration: &Value) -> bool {
    text(configuration, "LastUpdateStatus") == "InProgress" || text(configuration, "State") == "Pending"
}

/// An answer, or none when there is no such thing.
fn found<T>(asked: Result<T, Refused>, whole: &Whole) -> Result<Option<Value>, Refused> {
    match asked {
        Ok(_) => Ok(Some(whole.0.lock().unwrap_or_else(PoisonError::into_inner).clone())),
        Err(refused) if refused.is_missing() => Ok(None),
        Err(refused) => Err(refused),
    }
}

#[dyn_dispatch_hint]
impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().unwrap_or_default();
        // An error has another shape, which is for the SDK to read.
        if let Ok(value) = serde_json::from_slice(bytes) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }
        Ok(())
    }
}

/// An update with one more setting.
fn with(update: Update, name: &str, value: &Value) -> Update {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    match name {
        "Runtime" => update.set_runtime(value.as_str().map(types::Runtime::from)),
        "Timeout" => update.set_timeout(number(value)),
        "Environment" => {
            let all = value.as_object().into_iter().flatten();
            let variables = all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            update.environment(types::Environment::builder().set_variables(Some(variables.collect())).build())
        }
        "Layers" => update.set_layers(Some(texts(value))),
        "VpcConfig" => update.vpc_config(
            types::VpcConfig::builder()
                .set_subnet_ids(value.get("SubnetIds").map(texts))
                .set_security_group_ids(value.get("SecurityGroupIds").map(texts))
                .set_ipv6_allowed_for_dual_stack(
                    value.get("Ipv6AllowedForDualStack").and_then(Value::as_bool),
                )
                .build(),
        ),
        "FileSystemConfigs" => {
            let all = value.as_array().into_iter().flatten();
            let of = |one: &Value| {
                let builder = types::FileSystemConfig::builder().arn(text(one, "Arn"));
                builder.local_mount_path(text(one, "LocalMountPath")).build().ok()
            };
            update.set_file_system_configs(Some(all.filter_map(of).collect()))
        }
        "DeadLetterConfig" => update.dead_letter_config(
            types::DeadLetterConfig::builder().target_arn(text(value, "TargetArn")).build(),
        ),
        "EphemeralStorage" => update.set_ephemeral_storage(
            value
                .get("Size")
                .and_then(number)
                .and_then(|size| types::EphemeralStorage::builder().size(size).build().ok()),
        ),
        "SnapStart" => {
            update.snap_start(types::SnapStart::builder().apply_on(text(value, "ApplyOn").into()).build())
        }
        "LoggingConfig" => {
            let of = |name: &str| value.get(name).and_then(Value::as_str);
            update.logging_config(
                types::LoggingConfig::builder()
                    .set_log_format(of("LogFormat").map(Into::into))
                    .set_application_log_level(of("ApplicationLogLevel").map(Into::into))
                    .set_system_log_level(of("SystemLogLevel").map(Into::into))
                    .set_log_group(of("LogGroup").map(str::to_owned))
                    .build(),
            )
        }
        _ => update,
    }
}

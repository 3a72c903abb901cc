//! A function as Lambda describes it.

use std::collections::BTreeMap;

use aws_sdk_lambda::{
    operation::get_function::GetFunctionOutput,
    types::{LogFormat, PackageType},
};

/// Lambda's default for levels of a log in JSON.
const DEFAULT_LOG_LEVEL: &str = "INFO";

/// A deployed function, as far as it matters for running it here. What Lambda says in all is in its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployed {
    /// Its name, the only one of its kind in the account and the region.
    pub name: String,
    /// Its ARN, without a version.
    pub arn: String,
    /// Lambda's name of its runtime; empty for images.
    pub runtime: String,
    /// Its handler; empty for images.
    pub handler: String,
    /// The ARN of its role.
    pub role: String,
    /// Its timeout in seconds.
    pub timeout_s: u64,
    /// Its memory in megabytes.
    pub memory_mb: u64,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// The ARNs of its layers' versions, in order.
    pub layers: Vec<String>,
    /// Its architecture, as Lambda calls it: `x86_64` or `arm64`.
    pub architecture: String,
    /// The level from which on its log has messages, when that is in JSON.
    pub json_log: Option<String>,
    /// Whether it is a container image.
    pub is_image: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Deployed {
    /// Reads Lambda's answer. None when that has no configuration.
    #[must_use]
    pub fn read(answer: &GetFunctionOutput) -> Option<Self> {
        let configuration = answer.configuration()?;
        let number = |value: Option<i32>| value.and_then(|value| u64::try_from(value).ok());
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let logging = configuration.logging_config();
        let is_json = logging.and_then(|logging| logging.log_format()) == Some(&LogFormat::Json);
        let level = logging.and_then(|logging| logging.application_log_level());
        let level = level.map_or(DEFAULT_LOG_LEVEL, |level| level.as_str());
        let variables = configuration.environment().and_then(|environment| environment.variables());
        Some(Self {
            name: text(configuration.function_name()),
            arn: text(configuration.function_arn()),
            runtime: text(configuration.runtime().map(|runtime| runtime.as_str())),
            handler: text(configuration.handler()),
            role: text(configuration.role()),
            timeout_s: number(configuration.timeout()).unwrap_or(3),
            memory_mb: number(configuration.memory_size()).unwrap_or(128),
            environment: variables
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            layers: configuration
                .layers()
                .iter()
                .filter_map(|layer| layer.arn().map(str::to_owned))
                .collect(),
            architecture: configuration
                .architectures()
                .first()
                .map_or("x86_64", |one| one.as_str())
                .to_owned(),
            json_log: is_json.then(|| level.to_owned()),
            is_image: configuration.package_type() == Some(&PackageType::Image),
            tags: answer
                .tags()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }
}

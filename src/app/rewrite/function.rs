//! The properties of a function that becomes a stub.

use serde_json::{Map, Value, json};
use sst_wire::CONFIG_VARIABLE;

use crate::project::manifest::ORIGINAL_PREFIX;

use super::{Place, Rewriting};

/// The longest that Lambda runs a function, in seconds.
pub(super) const LONGEST_TIMEOUT_S: u64 = 900;

/// Properties that a stub must not have, and that need no word to the user.
///
/// Layers could start extensions in the stub; SnapStart, runtime management, and code signing are about code and a runtime
/// that are not there; a dead-letter queue would be given every failed call at once, since retries are off; a bigger `/tmp`
/// only costs.
const REMOVED: [&str; 7] = [
    "Layers",
    "SnapStart",
    "RuntimeManagementConfig",
    "DeadLetterConfig",
    "CodeSigningConfigArn",
    "EphemeralStorage",
    "ImageConfig",
];

impl Rewriting<'_> {
    /// Makes every live function a stub.
    pub(super) fn functions(&mut self) {
        let places: Vec<Place> = self.live.keys().cloned().collect();
        for place in places {
            self.function(&place);
        }
    }

    fn function(&mut self, place: &Place) {
        let Some(id) = self.live.get(place).cloned() else {
            return;
        };
        let kept = self.kept(place);
        // What its owner's `sst` has chosen stays. What it shares with the function itself is the app's.
        let deployed = kept.and_then(|kept| kept.deployed.as_ref()?.get("Properties"));
        let deployed_config = deployed.and_then(|deployed| {
            deployed.get("Environment")?.get("Variables")?.get(CONFIG_VARIABLE).cloned()
        });
        let config = deployed_config.unwrap_or_else(|| Value::from(self.stub_config(id.as_str())));
        let code = deployed
            .and_then(|deployed| deployed.get("Code").cloned())
            .unwrap_or_else(|| self.stub_code(place.0));
        let longest = kept.is_none() && self.options.increase_timeout && !self.fixed_timeout.contains(place);
        let timeout = match deployed {
            Some(deployed) => deployed.get("Timeout").cloned(),
            None => longest.then(|| json!(LONGEST_TIMEOUT_S)),
        };
        let Some(resource) = self.resource_mut(place) else {
            return;
        };
        // They tell where the code was, which is not what is deployed.
        if let Some(metadata) = resource.get_mut("Metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !name.starts_with("aws:asset:"));
        }
        let Some(properties) = self.properties_mut(place) else {
            return;
        };
        properties.insert("Code".into(), code);
        properties.insert("Runtime".into(), json!("provided.al2023"));
        properties.insert("Architectures".into(), json!(["x86_64"]));
        for name in REMOVED {
            properties.shift_remove(name);
        }
        let in_vpc = properties.shift_remove("VpcConfig").is_some();
        // A file system needs the VPC.
        let mounted = properties.shift_remove("FileSystemConfigs").is_some();
        if let Some(timeout) = timeout {
            properties.insert("Timeout".into(), timeout);
        }
        if let Some(logging) = properties.get_mut("LoggingConfig").and_then(Value::as_object_mut) {
            text_logging(logging);
        }
        environment(properties, config);
        if kept.is_some() {
            // The rest is for whoever answers for it to know.
            return;
        }
        let reserved = properties.get("ReservedConcurrentExecutions").and_then(Value::as_u64);

        if in_vpc {
            let files = if mounted { ", and its file system is not mounted" } else { "" };
            self.notices.push(format!(
                "the stub of `{id}` runs outside of its VPC{files}: the function itself runs on this machine"
            ));
        }
        match reserved {
            Some(0) => self.notices.push(format!("`{id}` has a reserved concurrency of 0, so it is never called")),
            Some(1) => self.notices.push(format!(
                "`{id}` has a reserved concurrency of 1: while a call is paused at a breakpoint, others have to wait"
            )),
            _ => {}
        }
    }

    /// The `Code` of a stub in a template: the asset that is added to the manifest of its stack.
    fn stub_code(&self, template: usize) -> Value {
        let stack = self.assembly.templates[template].stack;
        let bucket = super::files::stub_destination(self.assembly, stack)
            .and_then(|(_, destination)| destination.get("bucketName").cloned())
            .unwrap_or_default();
        let bucket = match bucket {
            Value::String(text) if text.contains("${") => json!({ "Fn::Sub": text }),
            other => other,
        };
        json!({ "S3Bucket": bucket, "S3Key": format!("{}.zip", self.options.stub_sha256) })
    }
}

/// The stub writes plain text, and levels are only filtered in JSON logs. The log group stays.
fn text_logging(logging: &mut Map<String, Value>) {
    if logging.get("LogFormat").is_some_and(|format| format != "Text") {
        logging.insert("LogFormat".into(), json!("Text"));
    }
    logging.shift_remove("ApplicationLogLevel");
    logging.shift_remove("SystemLogLevel");
}

/// Adds the stub's settings. Variables that would act on the stub's own process are renamed; the machine that runs the
/// function gives them their names back. `NODE_OPTIONS` and the like mean nothing to the stub and stay.
fn environment(properties: &mut Map<String, Value>, config: Value) {
    let variables = properties
        .entry("Environment")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .map(|environment| environment.entry("Variables").or_insert_with(|| json!({})));
    let Some(Value::Object(variables)) = variables else {
        return;
    };
    *variables = std::mem::take(variables)
        .into_iter()
        .map(|(name, value)| {
            let hurts = name == "AWS_LAMBDA_EXEC_WRAPPER" || name.starts_with("LD_");
            (if hurts { format!("{ORIGINAL_PREFIX}{name}") } else { name }, value)
        })
        .collect();
    variables.insert(CONFIG_VARIABLE.into(), config);
}

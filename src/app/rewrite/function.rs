//! The properties of a function that becomes a stub.

use serde_json::{Map, Value, json};
use sst_wire::{CONFIG_VARIABLE, EXTRA_S};

use crate::{
    app::assembly::{
        DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S, change_branches, change_environments, environments, number,
        number_of, text,
    },
    project::manifest::ORIGINAL_PREFIX,
    stub_package::Architecture,
};

use super::{Place, Rewriting};

/// Properties that a stub must not have, and that need no word to the user.
///
/// Layers could start extensions in the stub; SnapStart, runtime management, and code signing are about code and a runtime
/// that are not there; a dead-letter queue would be given every failed call; a bigger `/tmp`
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
        let deployed_config = kept.and_then(|kept| {
            let all = environments(&Value::Object(kept.deployed.clone()?))?;
            all.iter().find_map(|variables| variables.get(CONFIG_VARIABLE).cloned())
        });
        let extended = self.extended_timeout(place);
        let own_timeout = extended.map(|(own, _)| own);
        let config =
            deployed_config.unwrap_or_else(|| Value::from(self.stub_config(id.as_str(), own_timeout)));
        let (code, architectures) = match deployed {
            Some(deployed) => (deployed.get("Code").cloned(), deployed.get("Architectures").cloned()),
            None => {
                let (key, architectures) = self.stub_for(place);
                (Some(self.stub_code(place.0, &key)), architectures)
            }
        };
        let longest = kept.is_none() && self.is_given_longest(place);
        let timeout = match deployed {
            Some(deployed) => deployed.get("Timeout").cloned(),
            None if longest => Some(json!(LONGEST_TIMEOUT_S)),
            None => extended.map(|(_, longer)| json!(longer)),
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
        properties.insert("Runtime".into(), json!("provided.al2023"));
        for (name, value) in [("Code", code), ("Architectures", architectures)] {
            match value {
                Some(value) => properties.insert(name.into(), value),
                None => properties.shift_remove(name),
            };
        }
        for name in REMOVED {
            properties.shift_remove(name);
        }
        let in_vpc = properties.shift_remove("VpcConfig").is_some();
        // A file system needs the VPC.
        let mounted = properties.shift_remove("FileSystemConfigs").is_some();
        if let Some(timeout) = timeout {
            properties.insert("Timeout".into(), timeout);
        }
        if let Some(logging) = properties.get_mut("LoggingConfig") {
            change_branches(logging, &mut |logging| {
                if let Some(logging) = logging.as_object_mut() {
                    text_logging(logging);
                }
            });
        }
        environment(properties, &config);
        if kept.is_some() {
            // The rest is for whoever answers for it to know.
            return;
        }
        let reserved = number(properties.get("ReservedConcurrentExecutions"));

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

    /// Whether a function gets all the time that Lambda gives.
    fn is_given_longest(&self, place: &Place) -> bool {
        self.options.increase_timeout && self.longest_timeouts.get(place) != Some(&None)
    }

    /// The timeout of a function, and a longer one for its stub: what the way takes, and until a process is there, is not the function's
    /// time. None where it is not a number, or may not be longer.
    fn extended_timeout(&self, place: &Place) -> Option<(u64, u64)> {
        if self.is_given_longest(place) {
            return None;
        }
        let own = match self.original(place, "Timeout") {
            None => DEFAULT_TIMEOUT_S,
            Some(timeout) => number_of(self.assembly, place.0, timeout)?,
        };
        let longest = match self.longest_timeouts.get(place) {
            None => LONGEST_TIMEOUT_S,
            Some(longest) => (*longest)?.min(LONGEST_TIMEOUT_S),
        };
        let longer = (own + EXTRA_S).min(longest);
        (longer > own).then_some((own, longer))
    }

    /// The key of a function's stub in the bucket of assets, and its architectures: those that the function declares, with the stub
    /// that is made for them, in each way in which its template can choose them. Where they are not known, or there is no such stub, they
    /// are what there is a stub for.
    fn stub_for(&self, place: &Place) -> (Value, Option<Value>) {
        let stubs = self.options.stubs;
        let declared = self.original(place, "Architectures");
        let mut all_served = true;
        let mut key_of = |architectures: &Value| {
            let architecture = match architectures.as_array().map(Vec::as_slice) {
                Some([name]) => {
                    text(self.assembly, place.0, name).and_then(|name| Architecture::named(&name))
                }
                _ => architectures.is_null().then_some(Architecture::X86_64),
            };
            let package = architecture.map(|architecture| stubs.of(architecture));
            all_served &= package.is_some() && package.map(|package| package.architecture) == architecture;
            package.map_or(Value::Null, |package| Value::from(package.object_key()))
        };
        let mut key = declared.cloned().unwrap_or_default();
        change_branches(&mut key, &mut |architectures| *architectures = key_of(architectures));
        if all_served {
            return (key, declared.cloned());
        }
        let usual = stubs.usual();
        (Value::from(usual.object_key()), Some(json!([usual.architecture.name()])))
    }

    /// The `Code` of a stub in a template: the asset that is added to the manifest of its stack, under this key.
    fn stub_code(&self, template: usize, key: &Value) -> Value {
        let stack = self.assembly.templates[template].stack;
        let bucket = super::files::stub_destination(self.assembly, stack)
            .and_then(|(_, destination)| destination.get("bucketName").cloned())
            .unwrap_or_default();
        let bucket = match bucket {
            Value::String(text) if text.contains("${") => json!({ "Fn::Sub": text }),
            other => other,
        };
        json!({ "S3Bucket": bucket, "S3Key": key })
    }
}

/// The stub writes plain text, and levels are only filtered in JSON logs. The log group stays.
pub(crate) fn text_logging(logging: &mut Map<String, Value>) {
    if logging.get("LogFormat").is_some_and(|format| format != "Text") {
        logging.insert("LogFormat".into(), json!("Text"));
    }
    logging.shift_remove("ApplicationLogLevel");
    logging.shift_remove("SystemLogLevel");
}

/// Changes the variables of a function in each way in which its template can choose them, as [`stub_variables`] does.
fn environment(properties: &mut Map<String, Value>, config: &Value) {
    change_environments(properties, &mut |variables| stub_variables(variables, config));
}

/// Adds the stub's settings. Variables that would act on the stub's own process are renamed; the machine that runs the
/// function gives them their names back. `NODE_OPTIONS` and the like mean nothing to the stub and stay.
pub(crate) fn stub_variables(variables: &mut Map<String, Value>, config: &Value) {
    *variables = std::mem::take(variables)
        .into_iter()
        .map(|(name, value)| {
            let hurts = name == "AWS_LAMBDA_EXEC_WRAPPER" || name.starts_with("LD_");
            (if hurts { format!("{ORIGINAL_PREFIX}{name}") } else { name }, value)
        })
        .collect();
    variables.insert(CONFIG_VARIABLE.into(), config.clone());
}

//! Which settings of a function its stub has otherwise, and what becomes of each when the function gets its own back.
//!
//! Settings are in the shape in which `UpdateFunctionConfiguration` takes them, but that variables are not below `Variables`; what is absent and
//! what is empty are the same. Everything is decided by comparing three of them: the function's own, those of the stub, and what is there now.
//! `infra/attach-janitor.py` decides by the same rules.

use serde_json::{Map, Value, json};

use crate::app::{stub_variables, text_logging};

/// Settings by their names.
pub(super) type Settings = Map<String, Value>;

/// Of these each entry is compared by itself: others may change one of them, and leave the rest to us.
const BY_ENTRY: [&str; 2] = ["Environment", "LoggingConfig"];

/// What Lambda says of a function that changes by itself, or that is made of the other settings: nobody has set it.
const NOT_SET: [&str; 15] = [
    "CodeSha256",
    "CodeSize",
    "ConfigSha256",
    "LastModified",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "RevisionId",
    "RuntimeVersionConfig",
    "SigningJobArn",
    "SigningProfileVersionArn",
    "State",
    "StateReason",
    "StateReasonCode",
    "Version",
];

/// The settings in a function's configuration that a stub may have otherwise.
pub(super) fn settings(configuration: &Value) -> Settings {
    let at = |path: &str| configuration.pointer(path).filter(|value| !value.is_null());
    let list = |path: &str| at(path).and_then(Value::as_array).cloned().unwrap_or_default();
    // Their order means nothing.
    let sorted = |path: &str| {
        let mut all = list(path);
        all.sort_by_key(Value::to_string);
        all
    };
    let layers: Vec<Value> =
        list("/Layers").iter().map(|layer| layer.get("Arn").unwrap_or(layer).clone()).collect();
    let mut logging = at("/LoggingConfig").and_then(Value::as_object).cloned().unwrap_or_default();
    logging.retain(|_, value| !value.is_null());
    logging.entry("LogFormat").or_insert(json!("Text"));
    let all = json!({
        "Runtime": at("/Runtime"),
        "Timeout": at("/Timeout").cloned().unwrap_or(json!(3)),
        "Environment": at("/Environment/Variables").cloned().unwrap_or(json!({})),
        "Layers": layers,
        "VpcConfig": {
            "SubnetIds": sorted("/VpcConfig/SubnetIds"),
            "SecurityGroupIds": sorted("/VpcConfig/SecurityGroupIds"),
            "Ipv6AllowedForDualStack": at("/VpcConfig/Ipv6AllowedForDualStack").cloned().unwrap_or(json!(false)),
        },
        "FileSystemConfigs": list("/FileSystemConfigs"),
        "DeadLetterConfig": { "TargetArn": at("/DeadLetterConfig/TargetArn").cloned().unwrap_or(json!("")) },
        "EphemeralStorage": { "Size": at("/EphemeralStorage/Size").cloned().unwrap_or(json!(512)) },
        "SnapStart": { "ApplyOn": at("/SnapStart/ApplyOn").cloned().unwrap_or(json!("None")) },
        "LoggingConfig": logging,
    });
    into_settings(all)
}

/// Those of a function's stub: as [`crate::app`] has them in a template, where the reasons are. `timeout_s` is how long the stub may run.
pub(super) fn of_stub(own: &Settings, config: &str, timeout_s: u64) -> Settings {
    let mut logging = entries(own, "LoggingConfig");
    text_logging(&mut logging);
    let mut variables = entries(own, "Environment");
    stub_variables(&mut variables, &json!(config));
    into_settings(json!({
        "Runtime": "provided.al2023",
        "Timeout": timeout_s,
        "Environment": variables,
        "Layers": [],
        "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": false },
        "FileSystemConfigs": [],
        "DeadLetterConfig": { "TargetArn": "" },
        "EphemeralStorage": { "Size": 512 },
        "SnapStart": { "ApplyOn": "None" },
        "LoggingConfig": logging,
    }))
}

/// What is to be set so that settings become others: whole fields.
pub(super) fn changes(from: &Settings, to: &Settings) -> Settings {
    to.iter()
        .filter(|(name, value)| from.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a function gets back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Back {
    /// All its settings as they shall be.
    pub settings: Settings,
    /// What others have set meanwhile, which stays: `Timeout`, or `the variable TABLE`.
    pub others: Vec<String>,
}

/// What of a function's settings `now` goes back to its `own`: what the stub has set, and nobody since.
pub(super) fn back(own: &Settings, stub: &Settings, now: &Settings) -> Back {
    let mut others = Vec::new();
    let mut settings = Settings::new();
    for (name, now_value) in now {
        let value = if BY_ENTRY.contains(&name.as_str()) {
            let (own, stub, now) = (entries(own, name), entries(stub, name), entries(now, name));
            let mut merged = Settings::new();
            // In the order in which they were, and then what is new.
            for entry in own.keys().chain(now.keys().filter(|entry| !own.contains_key(*entry))) {
                let (value, is_theirs) = one(own.get(entry), stub.get(entry), now.get(entry));
                if is_theirs {
                    others.push(shown(name, entry));
                }
                if let Some(value) = value {
                    merged.insert(entry.clone(), value.clone());
                }
            }
            // Lambda takes levels with a log in JSON only.
            if name == "LoggingConfig" && merged.get("LogFormat") == Some(&json!("Text")) {
                text_logging(&mut merged);
            }
            Value::Object(merged)
        } else {
            let (value, is_theirs) = one(own.get(name), stub.get(name), Some(now_value));
            if is_theirs {
                others.push(name.clone());
            }
            value.cloned().unwrap_or_default()
        };
        settings.insert(name.clone(), value);
    }
    Back { settings, others }
}

/// What one setting becomes, and whether others have set it.
fn one<'a>(
    own: Option<&'a Value>,
    stub: Option<&'a Value>,
    now: Option<&'a Value>,
) -> (Option<&'a Value>, bool) {
    if now == own || now == stub { (own, false) } else { (now, true) }
}

/// What differs between two configurations that no stub has otherwise, and that somebody has set: names of fields.
pub(super) fn other_differences(before: &Value, after: &Value) -> Vec<String> {
    let (before, after) = (object(before), object(after));
    let ours = settings(&Value::Null);
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| !ours.contains_key(*name) && !NOT_SET.contains(&name.as_str()))
        .filter(|name| before.get(*name).filter(is_something) != after.get(*name).filter(is_something))
        .cloned()
        .collect()
}

/// The text of a field of a configuration; empty where it has none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_something(value: &&Value) -> bool {
    !value.is_null()
}

/// A setting as people are told of it.
fn shown(name: &str, entry: &str) -> String {
    if name == "Environment" { format!("the variable {entry}") } else { entry.to_owned() }
}

/// The entries of a setting that has some.
fn entries(settings: &Settings, name: &str) -> Settings {
    settings.get(name).map(object).unwrap_or_default()
}

fn object(value: &Value) -> Settings {
    value.as_object().cloned().unwrap_or_default()
}

fn into_settings(value: Value) -> Settings {
    match value {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A configuration as Lambda tells it, with and without whatever a function may have.
    fn configurations() -> impl Strategy<Value = Value> {
        let variables = prop::collection::btree_map("(LD_|SST_ORIG_|)[A-C]", "[a-b]{0,2}", 0..4);
        let wrapper = prop::option::of(Just("/opt/wrapper"));
        let logging = prop_oneof![
            Just(json!({ "LogFormat": "Text", "LogGroup": "/aws/lambda/f" })),
            ("(INFO|DEBUG)", "(INFO|WARN)").prop_map(|(application, system)| json!({
                "LogFormat": "JSON", "ApplicationLogLevel": application, "SystemLogLevel": system, "LogGroup": "/aws/lambda/f",
            })),
        ];
        let network = prop_oneof![
            Just(json!(null)),
            Just(
                json!({ "SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": false })
            ),
            Just(
                json!({ "SubnetIds": ["subnet-2", "subnet-1"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1" })
            ),
        ];
        let layers = prop::collection::vec("layer:[1-3]", 0..3);
        let rest = (1_u64..900, prop_oneof![Just(512), Just(1024)], prop::bool::ANY, prop::bool::ANY);
        (variables, wrapper, logging, network, layers, rest, "(nodejs22.x|python3.13|provided.al2023)").prop_map(
            |(mut variables, wrapper, logging, network, layers, (timeout, size, queue, snap), runtime)| {
                if let Some(wrapper) = wrapper {
                    variables.insert("AWS_LAMBDA_EXEC_WRAPPER".to_owned(), wrapper.to_owned());
                }
                let mut all = json!({
                    "FunctionName": "f", "Runtime": runtime, "Timeout": timeout, "MemorySize": 128, "LoggingConfig": logging,
                    "EphemeralStorage": { "Size": size }, "RevisionId": "1", "CodeSha256": "own",
                });
                if !variables.is_empty() {
                    all["Environment"] = json!({ "Variables": variables });
                }
                if !layers.is_empty() {
                    all["Layers"] = layers.iter().map(|arn| json!({ "Arn": arn, "CodeSize": 3 })).collect();
                }
                if !network.is_null() {
                    all["VpcConfig"] = network;
                }
                if queue {
                    all["DeadLetterConfig"] = json!({ "TargetArn": "queue" });
                }
                if snap {
                    all["SnapStart"] = json!({ "ApplyOn": "PublishedVersions", "OptimizationStatus": "Off" });
                }
                all
            },
        )
    }

    fn stub_of(own: &Settings) -> Settings {
        let timeout = own["Timeout"].as_u64().unwrap();
        of_stub(own, "{\"v\":2}", (timeout + 10).min(900))
    }

    proptest! {
        #[test]
        fn a_function_gets_back_what_it_had(configuration in configurations(), at in 0_usize..12) {
            let own = settings(&configuration);
            let stub = stub_of(&own);
            // Whatever part of it was set when it ended.
            let mut now = own.clone();
            for (name, value) in stub.iter().take(at) {
                now.insert(name.clone(), value.clone());
            }
            prop_assert_eq!(back(&own, &stub, &now), Back { settings: own, others: Vec::new() });
        }

        #[test]
        fn what_others_have_set_stays_and_nothing_of_ours(
            configuration in configurations(),
            theirs in configurations(),
            which in prop::collection::btree_set(0_usize..10, 0..10),
        ) {
            let own = settings(&configuration);
            let stub = stub_of(&own);
            let theirs = settings(&theirs);
            let mut now = stub.clone();
            for (index, (name, value)) in theirs.iter().enumerate() {
                if which.contains(&index) {
                    now.insert(name.clone(), value.clone());
                }
            }
            let found = back(&own, &stub, &now);
            for (name, value) in &found.settings {
                if BY_ENTRY.contains(&name.as_str()) {
                    let (of_now, of_stub, of_own) = (entries(&now, name), entries(&stub, name), entries(&own, name));
                    for (entry, value) in &of_now {
                        // What is written in plain text has no levels, whoever wants some.
                        let kept = entries(&found.settings, name).get(entry) == Some(value);
                        let is_ours = of_stub.get(entry) == Some(value);
                        prop_assert!(kept || is_ours || entry.ends_with("LogLevel"), "{} {}", name, entry);
                    }
                    for (entry, value) in &of_stub {
                        let stays = entries(&found.settings, name).get(entry) == Some(value);
                        prop_assert!(!stays || of_own.get(entry) == Some(value), "{} {} is ours", name, entry);
                    }
                } else if now[name] == stub[name] {
                    prop_assert_eq!(value, &own[name]);
                } else {
                    prop_assert_eq!(value, &now[name]);
                }
            }
            // Doing it once more changes nothing.
            prop_assert_eq!(back(&own, &stub, &found.settings).settings, found.settings);
        }
    }

    #[test]
    fn what_is_absent_is_what_is_empty() {
        let empty = json!({
            "Timeout": 3, "Layers": [], "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [], "VpcId": "" }, "Environment": { "Variables": {} },
            "DeadLetterConfig": null, "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" }, "EphemeralStorage": { "Size": 512 },
            "LoggingConfig": { "LogFormat": "Text" }, "FileSystemConfigs": [],
        });
        assert_eq!(settings(&empty), settings(&json!({})));
        assert!(changes(&settings(&empty), &settings(&json!({}))).is_empty());
    }

    #[test]
    fn a_variable_that_others_have_set_stays_among_those_that_come_back() {
        let own =
            settings(&json!({ "Environment": { "Variables": { "A": "1", "LD_PRELOAD": "x", "C": "3" } } }));
        let stub = stub_of(&own);
        let mut now = stub.clone();
        now["Environment"]["A"] = json!("2");
        now["Environment"]["D"] = json!("4");
        now["Environment"].as_object_mut().unwrap().shift_remove("C");
        let found = back(&own, &stub, &now);
        assert_eq!(found.settings["Environment"], json!({ "A": "2", "LD_PRELOAD": "x", "D": "4" }));
        assert_eq!(found.others, ["the variable A", "the variable C", "the variable D"]);
        assert_eq!(found.settings["Runtime"], own["Runtime"]);
    }

    #[test]
    fn a_log_that_others_have_made_plain_has_no_levels() {
        let of = |logging: Value| settings(&json!({ "LoggingConfig": logging }));
        let own = of(json!({ "LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "a" }));
        let stub = stub_of(&own);
        assert_eq!(stub["LoggingConfig"], json!({ "LogFormat": "Text", "LogGroup": "a" }));
        let mut now = stub.clone();
        now["LoggingConfig"]["LogGroup"] = json!("b");
        let found = back(&own, &stub, &now);
        let expected = json!({ "LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "b" });
        assert_eq!(
            (found.settings["LoggingConfig"].clone(), found.others),
            (expected, vec!["LogGroup".to_owned()])
        );
    }

    #[test]
    fn what_nobody_has_set_is_no_difference() {
        let before = json!({ "MemorySize": 128, "RevisionId": "1", "LastModified": "a", "Runtime": "nodejs22.x", "KMSKeyArn": null });
        let after = json!({ "MemorySize": 256, "RevisionId": "2", "LastModified": "b", "Runtime": "python3.13", "Description": "d" });
        assert_eq!(other_differences(&before, &after), ["MemorySize", "Description"]);
    }
}

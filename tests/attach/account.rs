//! The account of the tests: the counterpart, and who attaches functions in it.

use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use sst::{
    attach::{
        APP, Deployed, STAGE,
        switch::{self, Outcome, Switching, Wanted},
    },
    aws::{self, Aws},
    debug_stack::{self, Custom},
    stub_package::{Architecture, Stubs, package},
    ui::Ui,
};

pub(crate) use super::counterpart::ask;
use super::counterpart::endpoint;

/// Whether the janitor runs when it is called.
pub(crate) fn janitor(runs: bool) {
    ask("settings", json!({ "functions": { "inline": runs } }));
}

/// A layer that there is.
pub(crate) const LAYER: &str = "arn:aws:lambda:eu-central-1:123456789012:layer:tools:7";

/// The account as a test finds it: nothing goes wrong in it, and nobody has anything attached.
pub(crate) struct Account {
    pub switching: Switching,
    /// Holds the package of the stub.
    _directory: tempfile::TempDir,
}

impl Account {
    pub(crate) async fn new() -> Self {
        ask("clearFaults", json!({}));
        ask("goOn", json!({}));
        ask("settings", json!({ "functions": { "failUpdates": {}, "updateLooks": 1, "inline": true } }));
        ask(
            "layer",
            json!({ "arn": LAYER, "location": "https://invalid.invalid/", "sha256": "", "size": 1 }),
        );
        let endpoint = Some(endpoint());
        let aws = Aws::connect(aws::Options { endpoint, ..aws::Options::default() }).await.unwrap();
        let (ui, _) = Ui::channel();
        let (template, tags) = (switch::template(), std::collections::BTreeMap::new());
        let custom = Custom { template: &template, tags: &tags };
        let name = debug_stack::name(STAGE, APP);
        let debug_stack = debug_stack::deploy(&aws, &name, Some(custom), &ui).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(directory.path()).unwrap();
        let executable = place.join("stub");
        fs_err::write(&executable, "#!/bin/false\n").unwrap();
        let stub = package(Architecture::X86_64, &executable, &Utf8PathBuf::from(place)).unwrap();
        let switching = Switching {
            aws,
            debug_stack,
            stubs: Stubs::new(stub, Vec::new()),
            owner: "alice@laptop".to_owned(),
            home: "home-a".to_owned(),
            increase_timeout: false,
            yes_production: false,
            ui,
        };
        let account = Self { switching, _directory: directory };
        account.restored().await;
        // Whoever ends before there is a lease leaves behind what was kept until then.
        let bucket = &account.switching.debug_stack.bucket;
        ask("removeObjects", json!({ "bucket": bucket, "prefix": "attach/" }));
        account
    }

    /// The same, where the janitor is not asked to watch: each of its calls is a process, of which a table of cases would have hundreds.
    pub(crate) async fn without_janitor() -> Self {
        let account = Self::new().await;
        janitor(false);
        account
    }

    /// Somebody else in the same account.
    pub(crate) fn colleague(&self) -> Switching {
        Switching { owner: "bob@desk".to_owned(), home: "home-b".to_owned(), ..self.switching.clone() }
    }

    /// Everything is given back, as by `sst attach --restore` of each owner.
    pub(crate) async fn restored(&self) -> Vec<(String, Outcome)> {
        let leases = switch::leases(&self.switching.aws, &self.switching.debug_stack).await.unwrap();
        self.switching.restore(&leases).await
    }

    /// What is in the table and the bucket of attached functions.
    pub(crate) fn kept(&self) -> (Vec<String>, Vec<String>) {
        let state = ask("state", json!({}));
        let items = state["tables"][&self.switching.debug_stack.table].as_array().unwrap().clone();
        let leases = items.iter().map(|item| item["pk"]["S"].as_str().unwrap().to_owned());
        let objects = state["objects"][&self.switching.debug_stack.bucket].as_object().unwrap().clone();
        let objects = objects.keys().filter(|key| !key.starts_with("attach/stubs/"));
        (leases.collect(), objects.cloned().collect())
    }
}

/// A function that has everything that a stub has not, under a name of its own.
pub(crate) fn rich() -> String {
    function(json!({
        "runtime": "nodejs22.x", "handler": "index.handler", "timeout": 7,
        "variables": { "TABLE": "orders", "LD_LIBRARY_PATH": "/opt/lib", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper" },
        "tags": { "team": "orders" }, "concurrency": 5, "eventInvokeConfig": { "MaximumRetryAttempts": 1 },
        "settings": {
            "Layers": [LAYER],
            "VpcConfig": { "SubnetIds": ["subnet-2", "subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": true },
            "FileSystemConfigs": [{ "Arn": "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1", "LocalMountPath": "/mnt/a" }],
            "DeadLetterConfig": { "TargetArn": "arn:aws:sqs:eu-central-1:123456789012:dead" },
            "EphemeralStorage": { "Size": 1024 }, "SnapStart": { "ApplyOn": "PublishedVersions" }, "MemorySize": 512,
            "LoggingConfig": { "LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "/own/group" },
        },
    }))
}

/// A function with a role of its own. Returns its name.
pub(crate) fn function(mut configuration: Value) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = format!("orders-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    configuration["name"] = name.as_str().into();
    configuration["text"] = format!("exports.handler = async () => '{name}';").into();
    if configuration.get("role").is_none() {
        ask("role", json!({ "name": name }));
        configuration["role"] = format!("arn:aws:iam::123456789012:role/{name}").into();
    }
    if configuration.get("runtime").is_none() {
        configuration["runtime"] = "nodejs22.x".into();
    }
    ask("function", configuration);
    name
}

/// The function of a name, as it is to be attached.
pub(crate) fn wanted(name: &str) -> Wanted {
    let deployed = Deployed { name: name.to_owned(), ..Deployed::default() };
    Wanted { deployed, stage: Some("dev".to_owned()), stack: None }
}

/// A function as Lambda tells of it, with its tags and the policies of its role, without what changes by itself.
pub(crate) fn described(name: &str) -> Value {
    let mut described = ask("describe", json!({ "name": name }));
    for changes in ["RevisionId", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"]
    {
        described.as_object_mut().unwrap().remove(changes);
    }
    // They are a set.
    if let Some(subnets) = described.pointer_mut("/VpcConfig/SubnetIds").and_then(Value::as_array_mut) {
        subnets.sort_by_key(Value::to_string);
    }
    described
}

/// Whether a function is a stub, in part or as a whole.
pub(crate) fn is_stub(name: &str) -> bool {
    let described = described(name);
    described["Environment"]["Variables"].get("SST_STUB").is_some()
}

/// The requests of the developer's since an entry of the record: services and operations.
pub(crate) fn requests(from: usize) -> Vec<(String, String)> {
    let entries = ask("requests", json!({ "start": from }));
    let entries = entries["requests"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.iter().map(|entry| (text(&entry[0]), text(&entry[1]))).collect()
}

/// How many requests there have been.
pub(crate) fn now() -> usize {
    usize::try_from(ask("requests", json!({ "start": 0 }))["count"].as_u64().unwrap()).unwrap()
}

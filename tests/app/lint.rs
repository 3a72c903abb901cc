//! What cfn-lint says of the templates that `sst start` deploys: nothing that it does not say of the app's own.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use super::support::{REGION, repository};

/// Compares what is said of two templates, by the rule and the place.
pub(crate) fn assert_nothing_new(before: &Value, after: &Value) {
    let (before, after) = (findings(before), findings(after));
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
}

fn findings(template: &Value) -> BTreeSet<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("template.json");
    fs_err::write(&file, template.to_string()).unwrap();
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| repository().join("target").into());
    let said = Command::new(format!("{target}/python/bin/cfn-lint"))
        .args(["--format", "json", "--regions", REGION, "--"])
        .arg(&file)
        .output()
        .unwrap();
    let found: Vec<Value> = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said.stderr)));
    let text = |found: &Value| {
        let place: Vec<String> =
            found["Location"]["Path"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        (found["Rule"]["Id"].to_string(), format!("{} {}", place.join("."), found["Message"]))
    };
    found.iter().map(text).collect()
}

#[test]
#[should_panic(expected = "E3002")]
fn what_is_new_is_found() {
    let bucket = |properties: &str| -> Value {
        let text =
            format!(r#"{{"Resources":{{"B":{{"Type":"AWS::S3::Bucket","Properties":{properties}}}}}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    assert_nothing_new(&bucket("{}"), &bucket(r#"{"NoSuchProperty":1}"#));
}

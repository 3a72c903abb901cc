//! `.vscode/launch.json`, which is JSON with comments.

use camino::Utf8Path;
use jsonc_parser::{
    ParseOptions,
    cst::{CstArray, CstInputValue, CstObject, CstRootNode},
};
use serde_json::Value;

use super::{Attachable, Ports, Usage, Written, launcher::Launcher, update};
use crate::{
    error::{Error, Kind, Result},
    languages::{self, RunConfiguration},
};

const TEMPLATE: &str = include_str!("../../launch-configs/vscode/launch.json");
const PATH: &str = ".vscode/launch.json";

/// Without it, VS Code takes no breakpoints in files of languages for which it has no extension.
const SETTINGS_PATH: &str = ".vscode/settings.json";
const SETTING: &str = "debug.allowBreakpointsEverywhere";

/// The configurations whose ports follow the endpoints, and the fields that these are in.
const ATTACH: &str = "Attach to SST";
const ATTACH_ALL: &str = "Attach to SST (all languages)";

/// The configuration that starts the app, and what it starts it with as long as nobody has changed that.
const START: &str = "Debug SST Start";
const ARGUMENTS: [&str; 2] = ["start", "--increase-timeout"];
const LOCAL_ARGUMENTS: [&str; 3] = ["start", "--local", "--increase-timeout"];

/// Writes the launch configurations, and for functions in other languages than JavaScript the setting that these need.
pub(super) fn write(
    root: &Utf8Path,
    usage: Usage,
    launcher: &Launcher,
    functions: &[Attachable],
) -> Result<Vec<Written>> {
    let merged = |text: Option<&str>| merge(text.unwrap_or("{}"), usage, launcher, functions);
    let mut written = vec![update(root, PATH.into(), merged)?];
    if !functions.is_empty() {
        written.push(update(root, SETTINGS_PATH.into(), |text| settings(text.unwrap_or("{}")))?);
    }
    Ok(written)
}

/// The field with the port of a configuration, and its value.
fn port_of(name: &str, ports: Ports) -> Option<(&'static str, u16)> {
    match name {
        ATTACH => Some(("port", ports.inspector)),
        ATTACH_ALL => Some(("debugServer", ports.adapter)),
        _ => None,
    }
}

/// Adds the setting, unless the developer has decided about it.
fn settings(text: &str) -> Result<String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let root = CstRootNode::parse(text, &ParseOptions::default());
    let object = root.as_ref().ok().and_then(|root| root.object_value());
    let (Ok(root), Some(object)) = (&root, object) else {
        return Err(Error::new(
            Kind::Usage,
            format!("`{SETTINGS_PATH}` cannot be understood; it was left as it is"),
        )
        .hint(format!("correct it, or add \"{SETTING}\": true")));
    };
    if object.get(SETTING).is_none() {
        object.append(SETTING, CstInputValue::Bool(true));
    }
    let mut text = root.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Adds the entries that are missing, and sets the ports of those that attach.
fn merge(text: &str, usage: Usage, launcher: &Launcher, functions: &[Attachable]) -> Result<String> {
    let ports = usage.ports;
    let unreadable = |detail: String| {
        Error::new(Kind::Usage, format!("`{PATH}` cannot be understood; it was left as it is"))
            .detail(detail)
            .hint("correct it, or take the entries from `launch-configs/vscode/launch.json`")
    };
    // An empty file is what an editor shows before anything is in it.
    let text = if text.trim().is_empty() { "{}" } else { text };
    let root =
        CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| unreadable(error.to_string()))?;
    let object = root.object_value().ok_or_else(|| unreadable("it holds no object".to_owned()))?;
    let template = TEMPLATE.replace("/node_modules/.bin/sst\"", &format!("/{}\"", launcher.command));
    let template: Value = serde_json::from_str(&template).unwrap_or_default();
    if object.get("version").is_none() {
        object.append("version", "0.2.0".into());
    }
    for list in ["configurations", "compounds"] {
        let entries = object
            .array_value_or_create(list)
            .ok_or_else(|| unreadable(format!("`{list}` is not an array")))?;
        for entry in template[list].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or_default();
            let found = match find(&entries, name) {
                Some(present) => Some(present),
                None => {
                    entries.ensure_multiline();
                    entries.append(input(entry)).as_object()
                }
            };
            if let Some((found, (field, port))) = found.as_ref().zip(port_of(name, ports)) {
                set_port(found, field, port);
            }
            if let Some(found) = found.filter(|_| name == START && usage.local) {
                set_local(&found);
            }
        }
    }
    if let Some(entries) = object.array_value("configurations") {
        for (entry, port) in functions.iter().flat_map(entries_of) {
            let name = entry["name"].as_str().unwrap_or_default();
            let found = find(&entries, name).or_else(|| entries.append(input(&entry)).as_object());
            if let Some(found) = found {
                set_port(&found, "port", port);
            }
        }
    }
    let mut text = root.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// The entries for a function in a language for which VS Code is given some, and the function's port.
fn entries_of(function: &Attachable) -> Vec<(Value, u16)> {
    let entry = |configuration: &RunConfiguration| {
        let RunConfiguration::Entry { text } = configuration else { return None };
        let name = serde_json::to_string(function.id.as_str()).unwrap_or_default();
        let text =
            text.replace("{function}", name.trim_matches('"')).replace("{port}", &function.port.to_string());
        Some((serde_json::from_str(&text).ok()?, function.port))
    };
    languages::get(&function.language).run_configurations().iter().filter_map(entry).collect()
}

fn find(entries: &CstArray, name: &str) -> Option<CstObject> {
    entries.elements().into_iter().filter_map(|entry| entry.as_object()).find(|entry| {
        entry.get("name").and_then(|found| found.value()?.as_string_lit()?.decoded_value().ok()).as_deref()
            == Some(name)
    })
}

/// Has the app started in the local cloud, unless the developer has decided about what it is started with.
fn set_local(entry: &CstObject) {
    let Some(property) = entry.get("runtimeArgs") else { return };
    let present = property.value().and_then(|value| value.to_serde_value());
    if present == Some(ARGUMENTS.to_vec().into()) {
        property.set_value(input(&LOCAL_ARGUMENTS.to_vec().into()));
    }
}

fn set_port(entry: &CstObject, field: &str, port: u16) {
    let property = entry.get(field);
    let present = property.as_ref().and_then(|property| property.value()?.to_serde_value());
    match property {
        // What is no number, such as a variable, was put there on purpose.
        Some(property) if present.as_ref().is_some_and(Value::is_number) && present != Some(port.into()) => {
            property.set_value(CstInputValue::Number(port.to_string()));
        }
        _ => {}
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(fields) => {
            CstInputValue::Object(fields.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(inspector: u16) -> Usage {
        Usage { ports: Ports { inspector, flat: inspector + 1, adapter: inspector + 2 }, local: false }
    }

    fn launcher() -> Launcher {
        Launcher::find("/nowhere".into())
    }

    #[test]
    fn the_start_is_that_of_the_local_cloud_where_this_is_used_unless_it_was_changed() {
        let local = Usage { local: true, ..usage(9229) };
        let arguments = |text: &str| parsed(text)["configurations"][0]["runtimeArgs"].clone();
        let before = merge("{}", usage(9229), &launcher(), &[]).unwrap();
        let once = merge(&before, local, &launcher(), &[]).unwrap();
        assert_eq!(arguments(&before), serde_json::json!(ARGUMENTS));
        assert_eq!(arguments(&once), serde_json::json!(["start", "--local", "--increase-timeout"]));
        assert_eq!(merge("{}", local, &launcher(), &[]).unwrap(), once);
        for usage in [local, usage(9229)] {
            assert_eq!(merge(&once, usage, &launcher(), &[]).unwrap(), once);
        }
        let mine = before.replace("--increase-timeout", "--stage=mine");
        assert_eq!(merge(&mine, local, &launcher(), &[]).unwrap(), mine);
    }

    #[test]
    fn the_command_is_where_the_package_manager_has_put_it() {
        let command = "../../node_modules/.bin/sst".to_owned();
        let launcher = Launcher { command, ..launcher() };
        let written = merge("{}", usage(9229), &launcher, &[]).unwrap();
        let configurations = parsed(&written)["configurations"].clone();
        for index in [0, 1] {
            let executable = &configurations[index]["runtimeExecutable"];
            assert_eq!(executable, "${workspaceRoot}/../../node_modules/.bin/sst");
        }
        let elsewhere = Launcher::find("/nowhere".into());
        assert_eq!(
            merge(&written, usage(9229), &elsewhere, &[]).unwrap(),
            written,
            "it may be the developer's own"
        );
    }

    #[test]
    fn the_setting_is_added_once_and_stays_what_it_is() {
        assert_eq!(parsed(&settings("").unwrap()), serde_json::json!({ SETTING: true }));
        for text in ["{ \"a\": 1, // mine\n}", "{ \"debug.allowBreakpointsEverywhere\": false }\n"] {
            let once = settings(text).unwrap();
            assert_eq!(settings(&once).unwrap(), once);
        }
        assert!(settings("{ \"a\": 1, // mine\n}").unwrap().contains("// mine"));
        assert!(settings("{ \"debug.allowBreakpointsEverywhere\": false }").unwrap().contains("false"));
        assert_eq!(settings("[").unwrap_err().kind, Kind::Usage);
    }

    fn parsed(text: &str) -> Value {
        CstRootNode::parse(text, &ParseOptions::default()).unwrap().to_serde_value().unwrap()
    }

    #[test]
    fn a_project_without_the_file_gets_the_template() {
        for nothing in ["", "{}", "  \n"] {
            let mut expected: Value = serde_json::from_str(TEMPLATE).unwrap();
            expected["configurations"][2]["port"] = 9300.into();
            expected["configurations"][3]["debugServer"] = 9302.into();
            assert_eq!(parsed(&merge(nothing, usage(9300), &launcher(), &[]).unwrap()), expected);
        }
    }

    #[test]
    fn the_users_two_configurations_are_word_for_word() {
        let template: Value = serde_json::from_str(TEMPLATE).unwrap();
        let configurations = &template["configurations"];
        assert_eq!(configurations[0]["runtimeArgs"], serde_json::json!(["start", "--increase-timeout"]));
        assert_eq!(configurations[0]["runtimeExecutable"], "${workspaceRoot}/node_modules/.bin/sst");
        let arguments = serde_json::json!(["test", "--runInBand", "--no-cache", "--watchAll=false"]);
        assert_eq!(configurations[1]["args"], arguments);
    }

    #[test]
    fn comments_and_other_entries_stay_and_a_second_time_nothing_changes() {
        let text = r#"{
  // Mine.
  "version": "0.2.0",
  "configurations": [
    { "name": "Other", "type": "chrome", /* why */ "request": "launch", },
    { "name": "Attach to SST", "type": "node", "request": "attach", "port": 9229, "restart": false },
  ],
}
"#;
        let once = merge(text, usage(9231), &launcher(), &[]).unwrap();
        assert!(once.contains("// Mine.") && once.contains("/* why */"), "{once}");
        let value = parsed(&once);
        let names: Vec<&str> = value["configurations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["Other", ATTACH, "Debug SST Start", "Debug SST Tests", ATTACH_ALL]);
        assert_eq!(value["configurations"][1]["port"], 9231);
        assert_eq!(value["configurations"][1]["restart"], false, "the developer's own change");
        assert_eq!(merge(&once, usage(9231), &launcher(), &[]).unwrap(), once);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for text in ["{", "[]", r#"{ "configurations": 1 }"#, "nonsense {"] {
            assert_eq!(merge(text, usage(9229), &launcher(), &[]).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn a_port_that_is_a_variable_stays() {
        let text = r#"{ "configurations": [{ "name": "Attach to SST", "port": "${config:port}" }] }"#;
        assert!(merge(text, usage(9300), &launcher(), &[]).unwrap().contains("${config:port}"));
    }
}

//! A state, as `show -json` prints it, and as it is in a file of version 4. Both say the same of resources.
//!
//! After <https://developer.hashicorp.com/terraform/internals/json-format>; the file's format is what Terraform 1.11 writes.

use camino::Utf8Path;
use serde_json::Value;

use super::text;
use crate::error::{Error, Kind, Result};

/// The version of the format, since Terraform 0.12 and in OpenTofu.
const VERSION: u64 = 4;

/// All resources of a state.
#[derive(Debug, Default, PartialEq)]
pub(super) struct State {
    resources: Vec<Resource>,
}

/// One instance of a resource, or of a data source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    /// What it is called in the whole state.
    pub(super) address: String,
    /// The address of its module's instance; empty for the root module.
    pub(super) module: String,
    kind: String,
    is_managed: bool,
    /// Its attributes.
    pub(super) values: Value,
}

impl Resource {
    /// An attribute that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.values, name)
    }
}

impl State {
    /// Resources of a type that Terraform has made.
    pub(super) fn managed(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.all(kind).filter(|resource| resource.is_managed)
    }

    /// Resources and data sources of a type.
    pub(super) fn all(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(move |resource| resource.kind == kind)
    }

    /// Reads what `show -json` prints. None when that has no state.
    pub(super) fn of_show(printed: &Value) -> Option<Self> {
        let mut resources = Vec::new();
        collect(printed.get("values")?.get("root_module")?, &mut resources);
        Some(Self { resources })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Usage`] when it is no state, or one of another version.
    pub(super) fn of_file(path: &Utf8Path) -> Result<Self> {
        let wrong =
            |detail: String| Error::new(Kind::Usage, format!("`{path}` cannot be read")).detail(detail);
        let bytes = fs_err::read(path).map_err(|error| wrong(error.to_string()))?;
        let state: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if state.get("encrypted_data").is_some() {
            return Err(wrong("it is encrypted".to_owned()).hint("install `tofu`, which has the key"));
        }
        if state["version"].as_u64() != Some(VERSION) {
            return Err(wrong(format!("its version is {}, not {VERSION}", state["version"])));
        }
        let resources = state["resources"].as_array().into_iter().flatten().flat_map(instances).collect();
        Ok(Self { resources })
    }
}

/// The resources of a module that was printed, and of those in it.
fn collect(module: &Value, resources: &mut Vec<Resource>) {
    for resource in module["resources"].as_array().into_iter().flatten() {
        resources.push(Resource {
            address: resource["address"].as_str().unwrap_or_default().to_owned(),
            module: module["address"].as_str().unwrap_or_default().to_owned(),
            kind: resource["type"].as_str().unwrap_or_default().to_owned(),
            is_managed: resource["mode"] == "managed",
            values: resource["values"].clone(),
        });
    }
    module["child_modules"].as_array().into_iter().flatten().for_each(|child| collect(child, resources));
}

/// The instances of a resource in a file, each with its address.
fn instances(resource: &Value) -> Vec<Resource> {
    let part = |name: &str| resource[name].as_str().unwrap_or_default();
    let (module, kind, is_managed) = (part("module"), part("type"), part("mode") == "managed");
    let within = if module.is_empty() { String::new() } else { format!("{module}.") };
    let mode = if is_managed { "" } else { "data." };
    let base = format!("{within}{mode}{kind}.{}", part("name"));
    let instances = resource["instances"].as_array().into_iter().flatten();
    // One that is to be destroyed is not the function any more.
    let current = instances.filter(|instance| instance.get("deposed").is_none());
    current
        .map(|instance| Resource {
            address: match &instance["index_key"] {
                Value::Null => base.clone(),
                key => format!("{base}[{key}]"),
            },
            module: module.to_owned(),
            kind: kind.to_owned(),
            is_managed,
            values: instance["attributes"].clone(),
        })
        .collect()
}

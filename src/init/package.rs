//! `package.json`: what the app needs is added in the file's own style.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstObject, CstRootNode},
};
use serde_json::Value;

use crate::error::{Error, Kind, Result};

pub(super) const PACKAGE: &str = "package.json";

/// The package that this program comes in, as it was when the program was built.
const OURS: &str = include_str!("../../npm/package.json");

/// Where a project says what it depends on; the first one is what an app is developed with.
const DEPENDENCIES: [&str; 4] =
    ["devDependencies", "dependencies", "optionalDependencies", "peerDependencies"];

/// The package that this program comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    name: String,
    version: String,
}

impl Own {
    /// None as long as it is not published: a registry would give another package of that name.
    #[must_use]
    pub(crate) fn published() -> Option<Self> {
        let package: Value = serde_json::from_str(OURS).ok()?;
        let is_private = package["private"].as_bool().unwrap_or(false);
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        if is_private { None } else { Some(Self { name: text("name")?, version: text("version")? }) }
    }

    #[cfg(test)]
    pub(super) fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned() }
    }
}

/// Whether a project depends on the package that this program comes in, from wherever it has it.
pub(super) fn depends_on_us(text: &str) -> bool {
    let name = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let (project, ours) = (name(text), name(OURS));
    ours["name"]
        .as_str()
        .is_some_and(|name| DEPENDENCIES.iter().any(|list| project[list].get(name).is_some()))
}

/// Adds to a `package.json` what that of the template depends on, and `own`. Without one, that of the template is taken.
///
/// # Errors
/// [`Kind::Usage`] when it cannot be understood.
pub(super) fn merge(present: Option<&str>, template: &str, own: Option<&Own>) -> Result<String> {
    let text = present.filter(|text| !text.trim().is_empty()).unwrap_or(template);
    let unreadable = |detail: String| {
        Error::new(Kind::Usage, format!("`{PACKAGE}` cannot be understood, and nothing was written"))
            .detail(detail)
            .hint(format!("correct it: `{PACKAGE}` holds a JSON object"))
    };
    // Strictly, as package managers read it.
    if let Err(error) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
        return Err(unreadable(error.to_string()));
    }
    let root =
        CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| unreadable(error.to_string()))?;
    let object = root.object_value().ok_or_else(|| unreadable("it holds no object".to_owned()))?;
    let template: Value = serde_json::from_str(template).unwrap_or_default();
    let mut wanted: Vec<(String, String)> = Vec::new();
    for (name, version) in template[DEPENDENCIES[0]].as_object().into_iter().flatten() {
        wanted.push((name.clone(), version.as_str().unwrap_or("*").to_owned()));
    }
    wanted.extend(own.map(|own| (own.name.clone(), format!("^{}", own.version))));
    wanted.retain(|(name, _)| {
        let lists = DEPENDENCIES.iter().filter_map(|list| object.object_value(list));
        !lists.into_iter().any(|list| list.get(name).is_some())
    });
    if !wanted.is_empty() {
        let list = object
            .object_value_or_create(DEPENDENCIES[0])
            .ok_or_else(|| unreadable(format!("`{}` is not an object", DEPENDENCIES[0])))?;
        list.ensure_multiline();
        for (name, version) in wanted {
            insert(&list, &name, version);
        }
    }
    let mut text = root.to_string();
    if present.is_none() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Where package managers would put it.
fn insert(list: &CstObject, name: &str, version: String) {
    let names: Vec<_> = list.properties().iter().filter_map(|property| property.decoded_name()).collect();
    let index = names.iter().position(|there| there.as_str() > name).unwrap_or(names.len());
    list.insert(index, name, CstInputValue::String(version));
}

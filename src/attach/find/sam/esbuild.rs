//! `BuildMethod: esbuild`: the properties are options of esbuild's command line, in the template's way of writing
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-build-typescript.html>).

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use crate::{paths::normalized, project::manifest::Bundling};

/// What SAM bundles for where nothing else is said.
const FORMAT: &str = "cjs";
const TARGET: &str = "es2020";

/// What makes no difference to what a function does, or is always so here.
const WITHOUT_MEANING: [&str; 13] = [
    "bundle",
    "entryPoints",
    "logLevel",
    "metafile",
    "minify",
    "minifyIdentifiers",
    "minifySyntax",
    "minifyWhitespace",
    "outExtension",
    "outdir",
    "platform",
    "sourcemap",
    "sourcesContent",
];

/// Options whose value is a list with commas.
const LISTS: [&str; 4] = ["mainFields", "conditions", "resolveExtensions", "dropLabels"];

/// The file in which a function begins: the entry point with the name of its handler, or the handler's own file. None when there is no such
/// file.
pub(super) fn entry(
    properties: &Map<String, Value>,
    directory: &Utf8Path,
    handler: &str,
) -> Option<Utf8PathBuf> {
    let stem = Utf8PathBuf::from(handler.split('.').next().unwrap_or(handler));
    let points = properties.get("EntryPoints").and_then(Value::as_array);
    let points: Vec<&Utf8Path> =
        points.into_iter().flatten().filter_map(|one| one.as_str().map(Utf8Path::new)).collect();
    // Bundles are named as their entry points, in the directory that those have in common.
    let is_of_handler = |point: &&&Utf8Path| {
        let point = normalized(point).with_extension("");
        point == stem || point.ends_with(&stem) || stem.ends_with(&point)
    };
    let named = match points.as_slice() {
        [] => stem.clone(),
        [one] => (*one).to_owned(),
        several => (*several.iter().find(is_of_handler)?).to_owned(),
    };
    let path = normalized(&directory.join(named));
    let is_whole = path.extension().is_some() && path.is_file();
    let with_ending = || ["ts", "js"].into_iter().map(|ending| Utf8PathBuf::from(format!("{path}.{ending}")));
    if is_whole { Some(path) } else { with_ending().find(|path| path.is_file()) }
}

/// The options. Paths are relative to the directory that is bundled.
pub(super) fn bundling(properties: &Map<String, Value>, directory: &Utf8Path) -> Bundling {
    let mut bundling =
        Bundling { format: Some(FORMAT.to_owned()), target: Some(TARGET.to_owned()), ..Bundling::default() };
    for (name, value) in properties {
        let name = camel(name);
        if !WITHOUT_MEANING.contains(&name.as_str()) && name != "useNpmCi" {
            set(&mut bundling, &name, value, directory);
        }
    }
    bundling
}

fn set(bundling: &mut Bundling, name: &str, value: &Value, directory: &Utf8Path) {
    let path = |text: &str| normalized(&directory.join(text));
    match (name, value) {
        ("format", Value::String(text)) => bundling.format = Some(text.clone()),
        ("target", Value::String(text)) => bundling.target = Some(text.clone()),
        ("tsconfig", Value::String(text)) => bundling.tsconfig = Some(path(text)),
        ("external", Value::Array(_)) => bundling.external = items(value),
        ("inject", Value::Array(_)) => bundling.inject = items(value).iter().map(|one| path(one)).collect(),
        ("loader", Value::Array(_)) => bundling.loader = pairs(value),
        ("define", Value::Array(_)) => bundling.define = pairs(value),
        ("banner", Value::Array(_)) => bundling.banner = pairs(value).remove("js"),
        ("footer", Value::Array(_)) => bundling.footer = pairs(value).remove("js"),
        ("mainFields", Value::String(text)) => bundling.main_fields = list(text),
        ("conditions", Value::String(text)) => bundling.conditions = list(text),
        ("alias", Value::Array(_)) => {
            let whole = |to: &String| if to.starts_with('.') { path(to).into_string() } else { to.clone() };
            let pairs = pairs(value).into_iter().map(|(from, to)| (from, Value::from(whole(&to))));
            bundling.esbuild.insert(name.to_owned(), Value::Object(pairs.collect()));
        }
        ("supported", Value::Array(_)) => {
            let pairs = pairs(value).into_iter().map(|(name, is)| (name, Value::from(is != "false")));
            bundling.esbuild.insert(name.to_owned(), Value::Object(pairs.collect()));
        }
        (_, Value::String(text)) if LISTS.contains(&name) => {
            drop(bundling.esbuild.insert(name.to_owned(), list(text).into()));
        }
        (_, Value::String(text)) if text == "true" || text == "false" => {
            drop(bundling.esbuild.insert(name.to_owned(), Value::from(text == "true")));
        }
        // A flag that is false is as if it were not there.
        (_, Value::Bool(false)) | (_, Value::Null) => {}
        (_, other) => drop(bundling.esbuild.insert(name.to_owned(), other.clone())),
    }
}

/// `KeepNames` and `keep_names` as `keepNames`.
fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut begins = false;
    for character in name.chars() {
        match character {
            '_' | '-' => begins = !camel.is_empty(),
            _ if camel.is_empty() => camel.extend(character.to_lowercase()),
            _ if begins => {
                camel.extend(character.to_uppercase());
                begins = false;
            }
            _ => camel.push(character),
        }
    }
    camel
}

fn items(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// `[".png=file"]`.
fn pairs(value: &Value) -> BTreeMap<String, String> {
    let both = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    items(value).into_iter().filter_map(both).collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// The flags that `EsbuildCommandBuilder` of aws-lambda-builders 1.67 makes of the same properties:
    /// `--external:@aws-sdk/* --loader:.png=file --define:VERSION="1" --banner:js=// A --main-fields=module,main --keep-names
    /// --tree-shaking=true --drop:console --alias:a=b --target=es2022 --format=esm --out-extension:.js=.mjs --sourcemap`.
    #[test]
    fn properties_are_options_of_esbuild() {
        let declared = properties(json!({
            "External": ["@aws-sdk/*"], "Loader": [".png=file"], "Define": ["VERSION=\"1\""], "Banner": ["js=// A"],
            "MainFields": "module,main", "KeepNames": true, "TreeShaking": "true", "Drop": ["console"], "Alias": ["a=b"],
            "Target": "es2022", "Format": "esm", "OutExtension": [".js=.mjs"], "Sourcemap": true, "Minify": false,
            "EntryPoints": ["a.ts"], "UseNpmCi": true,
        }));
        let expected = Bundling {
            format: Some("esm".to_owned()),
            target: Some("es2022".to_owned()),
            external: vec!["@aws-sdk/*".to_owned()],
            loader: [(".png".to_owned(), "file".to_owned())].into(),
            define: [("VERSION".to_owned(), "\"1\"".to_owned())].into(),
            banner: Some("// A".to_owned()),
            main_fields: vec!["module".to_owned(), "main".to_owned()],
            esbuild: properties(
                json!({ "keepNames": true, "treeShaking": true, "drop": ["console"], "alias": { "a": "b" } }),
            ),
            ..Bundling::default()
        };
        assert_eq!(bundling(&declared, "/app".into()), expected);
        let usual = bundling(&Map::new(), "/app".into());
        assert_eq!((usual.format.as_deref(), usual.target.as_deref()), (Some("cjs"), Some("es2020")));
    }

    #[test]
    fn the_entry_is_the_one_with_the_handlers_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::create_dir_all(root.join("src/api")).unwrap();
        for file in ["src/app.ts", "src/list.ts", "src/api/create.js"] {
            fs_err::write(root.join(file), "").unwrap();
        }
        for (points, handler, expected) in [
            (&[][..], "src/app.handler", Some("src/app.ts")),
            (&[], "src/api/create.handler", Some("src/api/create.js")),
            (&["src/app.ts"], "app.handler", Some("src/app.ts")),
            (&["src/app"], "app.handler", Some("src/app.ts")),
            (&["src/app.ts", "./src/list.ts"], "list.handler", Some("src/list.ts")),
            (&["src/app.ts", "src/api/create.js"], "api/create.handler", Some("src/api/create.js")),
            (&["src/app.ts", "src/list.ts"], "other.handler", None),
            (&["src/none.ts"], "none.handler", None),
        ] {
            let found = entry(&properties(json!({ "EntryPoints": points })), root, handler);
            assert_eq!(found, expected.map(|path| root.join(path)), "{points:?} {handler}");
        }
    }
}

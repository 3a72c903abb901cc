//! What makes one file of a function's scripts, and with which options: plugins, and version 4 itself. All of it is done by esbuild here.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use super::variables::Configuration;
use crate::project::manifest::Bundling;

/// The version that comes with esbuild.
const FIRST_WITH_ESBUILD: u64 = 4;

/// In the order in which `serverless-esbuild` looks for them.
const SCRIPTS: [&str; 4] = ["ts", "js", "jsx", "tsx"];

/// Those that do not run as they are.
const TYPESCRIPT: [&str; 4] = ["ts", "tsx", "mts", "cts"];

/// Options that esbuild knows by the same name and values, and that mean the same here.
const SAME: [&str; 23] = [
    "absPaths",
    "alias",
    "charset",
    "drop",
    "dropLabels",
    "globalName",
    "ignoreAnnotations",
    "jsx",
    "jsxDev",
    "jsxFactory",
    "jsxFragment",
    "jsxImportSource",
    "jsxSideEffects",
    "keepNames",
    "mangleProps",
    "mangleQuoted",
    "packages",
    "preserveSymlinks",
    "pure",
    "resolveExtensions",
    "supported",
    "treeShaking",
    "tsconfigRaw",
];

/// Options that make no difference to what a function does, or are about what is uploaded.
const WITHOUT_MEANING: [&str; 23] = [
    "bundle",
    "buildConcurrency",
    "concurrency",
    "disposeContext",
    "installExtraArgs",
    "keepOutputDirectory",
    "legalComments",
    "logLevel",
    "metafile",
    "nativeZip",
    "outputBuildFolder",
    "outputFileExtension",
    "outputWorkFolder",
    "packagePath",
    "packager",
    "packagerOptions",
    "platform",
    "skipRebuild",
    "sourcemap",
    "sourcesContent",
    "stripEntryResolveExtensions",
    "watch",
    "zipConcurrency",
];

/// How the scripts of a service are bundled.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bundler {
    /// The endings of the files in which functions begin that are bundled, in the order in which they are looked for.
    extensions: Vec<String>,
    /// The options.
    pub(super) bundling: Bundling,
}

impl Bundler {
    /// That of a service. What of its options is not heeded is told in `notices`.
    pub(super) fn of(
        configuration: &Configuration,
        plugins: &[String],
        major: Option<u64>,
        notices: &mut Vec<String>,
    ) -> Self {
        let has = |plugin: &str| plugins.iter().any(|one| one == plugin);
        let mut get = |path: &[&str]| {
            let field = path.join(".");
            let declared = configuration.get(path).unwrap_or_else(|unknown| {
                notices.push(unknown.of(&field));
                Value::Null
            });
            Declared { field, value: declared, directory: &configuration.directory }
        };
        let (bundler, unheeded) = if has("serverless-esbuild") {
            let declared = get(&["custom", "esbuild"]);
            // Nothing else makes ES modules of what esbuild makes for Node.
            let format = declared.text("format").or_else(|| Some("cjs".to_owned()));
            let (bundling, unheeded) = declared.bundling();
            let bundling = Bundling { format, ..bundling };
            (Self { extensions: declared.extensions(), bundling }, unheeded)
        } else if has("serverless-bundle") {
            let declared = get(&["custom", "bundle"]);
            (Self { extensions: every(), bundling: declared.of_bundle() }, Vec::new())
        } else if has("serverless-webpack") {
            let declared = get(&["custom", "webpack"]);
            let file = declared.value["webpackConfig"].as_str().or(declared.value.as_str());
            let file = file.unwrap_or("webpack.config.js");
            let notice =
                format!("`{file}` of webpack is not heeded: functions are bundled with esbuild here");
            (Self { extensions: every(), bundling: Bundling::default() }, vec![notice])
        } else {
            let declared = get(&["build", "esbuild"]);
            let is_asked_for = declared.value.is_object() || declared.value == Value::Bool(true);
            let is_version_4 = major.is_some_and(|major| major >= FIRST_WITH_ESBUILD);
            let extensions =
                if is_asked_for && is_version_4 { every() } else { TYPESCRIPT.map(str::to_owned).to_vec() };
            let (bundling, unheeded) = declared.bundling();
            (Self { extensions, bundling }, unheeded)
        };
        notices.extend(unheeded);
        bundler
    }

    /// The file in which a function begins, when that is one that is bundled.
    pub(super) fn entry(&self, directory: &Utf8Path, handler: &str) -> Option<Utf8PathBuf> {
        let (stem, _) = handler.rsplit_once('.')?;
        self.extensions.iter().find_map(|extension| {
            let paths = [format!("{stem}.{extension}"), format!("{stem}/index.{extension}")];
            paths
                .iter()
                .map(|path| crate::paths::normalized(&directory.join(path)))
                .find(|path| path.is_file())
        })
    }
}

fn every() -> Vec<String> {
    SCRIPTS.iter().chain(&TYPESCRIPT[2..]).map(|one| (*one).to_owned()).collect()
}

/// The options as the file has them.
struct Declared<'a> {
    field: String,
    value: Value,
    directory: &'a Utf8Path,
}

impl Declared<'_> {
    /// Those of esbuild, and what is not heeded of them.
    fn bundling(&self) -> (Bundling, Vec<String>) {
        let mut bundling = Bundling {
            target: self.texts("target").map(|all| all.join(",")).or_else(|| self.text("target")),
            format: self.text("format"),
            external: self.external(),
            loader: self.map("loader"),
            define: self.map("define"),
            banner: self.value["banner"]["js"].as_str().map(str::to_owned),
            footer: self.value["footer"]["js"].as_str().map(str::to_owned),
            tsconfig: self.text("tsconfig").map(|path| self.directory.join(path)),
            main_fields: self.texts("mainFields").unwrap_or_default(),
            conditions: self.texts("conditions").unwrap_or_default(),
            inject: self
                .texts("inject")
                .into_iter()
                .flatten()
                .map(|path| self.directory.join(path))
                .collect(),
            plugins: self.text("plugins").map(|path| self.directory.join(path)),
            // What is not bundled is installed beside the bundle, but for what is left out of the package.
            node_modules: self
                .texts("external")
                .into_iter()
                .flatten()
                .filter(|name| !name.contains('*'))
                .collect(),
            ..Bundling::default()
        };
        let mut unheeded = Vec::new();
        for (name, value) in self.value.as_object().into_iter().flatten() {
            match name.as_str() {
                "target" | "format" | "external" | "exclude" | "loader" | "define" | "banner" | "footer"
                | "tsconfig" | "mainFields" | "conditions" | "inject" => {}
                "plugins" if value.is_string() => {}
                name if SAME.contains(&name) => {
                    bundling.esbuild.insert(name.to_owned(), value.clone());
                }
                name if WITHOUT_MEANING.contains(&name) => {}
                "minify" if value == &Value::Bool(false) => {}
                name => unheeded.push(format!("`{}.{name}` has no effect on this machine", self.field)),
            }
        }
        self.with_whole_paths(&mut bundling.esbuild);
        (bundling, unheeded)
    }

    /// Packages are left out of bundles whether they are packed beside them or not, unless all that are left out would be none.
    fn external(&self) -> Vec<String> {
        let excluded = self.texts("exclude").unwrap_or_default();
        let excluded = if excluded.iter().any(|name| name == "*") { Vec::new() } else { excluded };
        self.texts("external").into_iter().flatten().chain(excluded).collect()
    }

    fn extensions(&self) -> Vec<String> {
        let declared = self.texts("resolveExtensions");
        let declared =
            declared.map(|all| all.iter().map(|one| one.trim_start_matches('.').to_owned()).collect());
        declared.unwrap_or_else(|| SCRIPTS.map(str::to_owned).to_vec())
    }

    /// Those of `serverless-bundle`, as far as esbuild has them.
    fn of_bundle(&self) -> Bundling {
        let external = self.texts("externals").unwrap_or_default();
        let left_out = ["forceExclude", "ignorePackages"]
            .into_iter()
            .flat_map(|name| self.texts(name).unwrap_or_default());
        let mut alias = Map::new();
        for one in self.value["aliases"].as_array().into_iter().flatten().filter_map(Value::as_object) {
            for (name, path) in one.iter().filter_map(|(name, path)| Some((name, path.as_str()?))) {
                alias.insert(name.clone(), Value::from(self.directory.join(path).as_str()));
            }
        }
        let mut esbuild = Map::new();
        if !alias.is_empty() {
            esbuild.insert("alias".to_owned(), Value::Object(alias));
        }
        Bundling {
            external: external.iter().cloned().chain(left_out).collect(),
            node_modules: external
                .into_iter()
                .chain(self.texts("forceInclude").unwrap_or_default())
                .collect(),
            tsconfig: self.text("tsConfig").map(|path| self.directory.join(path)),
            esbuild,
            ..Bundling::default()
        }
    }

    fn with_whole_paths(&self, esbuild: &mut Map<String, Value>) {
        let alias = esbuild.get_mut("alias").and_then(Value::as_object_mut);
        for path in alias.into_iter().flat_map(Map::values_mut) {
            if let Some(relative) = path.as_str().filter(|path| path.starts_with('.')) {
                *path = Value::from(crate::paths::normalized(&self.directory.join(relative)).as_str());
            }
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value[name].as_str().map(str::to_owned)
    }

    /// A list of texts, or one that is not in a list.
    fn texts(&self, name: &str) -> Option<Vec<String>> {
        match &self.value[name] {
            Value::Array(all) => Some(all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()),
            Value::String(one) => Some(vec![one.clone()]),
            _ => None,
        }
    }

    fn map(&self, name: &str) -> BTreeMap<String, String> {
        let fields = self.value[name].as_object().into_iter().flatten();
        fields
            .map(|(name, value)| {
                (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect()
    }
}

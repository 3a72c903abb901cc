//! The function manifest: what synthesis found out about each function, kept in `.sst/functions.json`.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::ids::{FunctionId, LanguageId};

/// Goes before the name of an environment variable that would hurt the stub's own process (`LD_PRELOAD`,
/// `AWS_LAMBDA_EXEC_WRAPPER`, …), so that it still reaches the
/// function: the machine that runs it takes the prefix off again.
pub const ORIGINAL_PREFIX: &str = "SST_ORIG_";

/// One Lambda function of the app and where its code is on this disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSpec {
    /// The name by which stub, table, terminal, and manifest know it.
    pub id: FunctionId,
    /// The CloudFormation stack (its name) that the function is deployed in.
    pub stack: String,
    /// Its logical id in that stack's template.
    pub logical_id: String,
    /// What it is written in.
    pub language: LanguageId,
    /// Lambda's name of the runtime, e.g. `nodejs22.x`, as the app declared it.
    pub runtime: String,
    /// The handler as the app declared it, e.g. `src/list.handler`; what `_HANDLER` says to the function.
    pub handler: String,
    /// Where the code is.
    pub source: Source,
    /// The timeout that the app declared, in seconds. The stub's may be longer (`--increase-timeout`). None where only the deployment
    /// tells, as with a parameter of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// The memory that the app declared, in megabytes. Reported to the function, and enforced if that is asked for. None as with `timeout_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// The names of the environment variables that the template sets. Their values come with each invocation.
    pub environment: Vec<String>,
    /// The level from which on its log has messages, when the app wants that log as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_log: Option<String>,
    /// Its layers, in the order in which they are laid over one another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

impl FunctionSpec {
    /// Whether something of it has to be compiled, or made by the app, which takes seconds.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.source.is_compiled() || self.layers.iter().any(|layer| matches!(layer, Layer::Made { .. }))
    }
}

/// A layer of a function: files that it finds in `/opt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Layer {
    /// A directory, or an archive of one, on this disk.
    #[serde(rename_all = "camelCase")]
    Local { path: Utf8PathBuf },
    /// What commands of the app make of an asset (`Code.fromAsset` with `bundling`).
    #[serde(rename_all = "camelCase")]
    Made {
        /// Its construct path.
        name: FunctionId,
        /// The asset.
        path: Utf8PathBuf,
        /// How it is made.
        making: Box<Making>,
    },
    /// A version that somebody has published on Lambda, to be downloaded.
    #[serde(rename_all = "camelCase")]
    Published { arn: String },
    /// Its files cannot be had, so that the function runs without them.
    #[serde(rename_all = "camelCase")]
    Absent {
        /// What the app calls it.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// Where a function's code is, and how it becomes something that a worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Source {
    /// A directory that is deployed as it is (`Code.fromAsset`). The handler is looked up in it.
    #[serde(rename_all = "camelCase")]
    Directory { path: Utf8PathBuf },
    /// Code that is in the template, and was written to a file in this directory.
    #[serde(rename_all = "camelCase")]
    Inline {
        /// The directory, which is the function's alone.
        path: Utf8PathBuf,
        /// The hash of the code, since the path is always the same.
        sha256: String,
    },
    /// A JavaScript or TypeScript entry file that is bundled with esbuild (`NodejsFunction`).
    #[serde(rename_all = "camelCase")]
    Entry {
        /// The entry file.
        path: Utf8PathBuf,
        /// The exported name of the handler in that file, e.g. `handler`.
        export: String,
        /// The directory that `node_modules` and `tsconfig.json` are looked up from; usually the entry's own.
        root: Utf8PathBuf,
        /// The project's own esbuild options.
        #[serde(default)]
        bundling: Box<Bundling>,
    },
    /// A program that is compiled.
    #[serde(rename_all = "camelCase")]
    Program {
        /// Its project: whatever the compiler of its language takes, a directory or a file.
        path: Utf8PathBuf,
        /// That directory, or the file's.
        directory: Utf8PathBuf,
        /// Its options.
        #[serde(default)]
        build: Box<BuildOptions>,
    },
    /// What commands of the app make of an asset (`Code.fromAsset` with `bundling`).
    #[serde(rename_all = "camelCase")]
    Made {
        /// The asset.
        path: Utf8PathBuf,
        /// How it is made.
        making: Box<Making>,
    },
    /// A command that serves the Lambda Runtime API, as the executable `bootstrap` of a deployed function does.
    #[serde(rename_all = "camelCase")]
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// Where it runs. A change of a file in it starts the program anew.
        directory: Utf8PathBuf,
    },
}

impl Source {
    /// The directory that the code is in.
    #[must_use]
    pub fn directory(&self) -> &Utf8Path {
        match self {
            Self::Directory { path } | Self::Inline { path, .. } | Self::Made { path, .. } => path,
            Self::Program { directory, .. } | Self::Command { directory, .. } => directory,
            Self::Entry { path, .. } => path.parent().unwrap_or(path),
        }
    }

    /// Whether it has to be compiled, which takes seconds.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        matches!(self, Self::Program { .. } | Self::Made { .. })
    }
}

/// How the code of a function is made of an asset. `/asset-output` stands for where it is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Making {
    /// A program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub directory: Utf8PathBuf,
    /// Variables for it.
    pub environment: BTreeMap<String, String>,
    /// The hash of the text of the app's own function, if that is to be asked first.
    pub try_bundle: Option<String>,
    /// How the app is run for that.
    #[serde(default)]
    pub by_app: Option<Synthesis>,
}

/// How the app is run once more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Synthesis {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The variables that it is given.
    pub environment: BTreeMap<String, String>,
}

/// How a program is compiled, as a construct declared it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildOptions {
    /// Further arguments for the compiler.
    #[serde(deserialize_with = "or_default")]
    pub flags: Vec<String>,
    /// Variables for the compiler.
    #[serde(deserialize_with = "or_default")]
    pub environment: BTreeMap<String, String>,
    /// Cargo's `--bin`.
    pub binary: Option<String>,
    /// Cargo's `--features`.
    #[serde(deserialize_with = "or_default")]
    pub features: Vec<String>,
}

/// `null` as if the field were not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(value: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// esbuild options that a construct declared. Names are esbuild's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bundling {
    /// `esm` or `cjs`; decided from the entry's extension and its `package.json` when absent.
    pub format: Option<String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--external`.
    pub external: Vec<String>,
    /// `--loader`, by extension.
    pub loader: BTreeMap<String, String>,
    /// `--define`.
    pub define: BTreeMap<String, String>,
    /// `--banner:js`.
    pub banner: Option<String>,
    /// `--footer:js`.
    pub footer: Option<String>,
    /// `--tsconfig`.
    pub tsconfig: Option<Utf8PathBuf>,
    /// `--main-fields`.
    pub main_fields: Vec<String>,
    /// `--conditions`.
    pub conditions: Vec<String>,
    /// `--inject`.
    pub inject: Vec<Utf8PathBuf>,
    /// A JavaScript module that exports an array of esbuild plugins.
    pub plugins: Option<Utf8PathBuf>,
    /// Further options of esbuild's JavaScript interface, by its names.
    pub esbuild: Map<String, Value>,
    /// Variables for the commands.
    pub environment: BTreeMap<String, String>,
    /// Have the project's TypeScript compile the entry file first.
    pub pre_compilation: bool,
    /// Packages that are there even if nothing imports them by name.
    pub node_modules: Vec<String>,
    /// Files and directories that are copied to the bundle.
    pub copy_files: Vec<CopiedFile>,
    /// Commands around the bundling.
    pub commands: Option<Commands>,
}

/// A file or directory that is copied to a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopiedFile {
    /// The original.
    pub from: Utf8PathBuf,
    /// Where it is copied to, relative to the bundle's directory.
    pub to: Utf8PathBuf,
}

/// Lines for a shell. `/asset-output` in them stands for the directory of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// Where they run.
    pub directory: Utf8PathBuf,
    /// Those that come before the bundling.
    pub before: Vec<String>,
    /// Those that come after it.
    pub after: Vec<String>,
}

/// The whole manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The functions that run on this machine.
    pub functions: Vec<FunctionSpec>,
    /// The functions that keep their deployed code, and why.
    pub left_alone: Vec<LeftAlone>,
    /// What the app wants of builds that has no effect on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheeded: Vec<Unheeded>,
    /// What calls the functions. Not a part of their specs: a function whose code is the same goes on running when only this changes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub triggers: BTreeMap<FunctionId, Vec<Trigger>>,
}

/// Something in the cloud that calls a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// Which shape its events have, e.g. `apigw2` or `sqs`.
    pub kind: String,
    /// What people call it, e.g. `GET /notes/{id}` or `queue Orders`.
    pub text: String,
    /// The method of a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path of a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The logical id of what calls, such as an API or a queue; none for one that the app only refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_id: Option<String>,
    /// The name that the template gives it. Most get one from CloudFormation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The CloudFormation stack (its name) that it is deployed in.
    pub stack: String,
    /// The account of that stack.
    pub account: String,
    /// Its region.
    pub region: String,
    /// What else is known of its events, by kind: `pattern` of a rule, `keys` of a table, `prefix` of a bucket's objects.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An option of a function's build that has no effect on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unheeded {
    /// The function's id.
    pub id: FunctionId,
    /// The option as the app names it, and why it has no effect.
    #[serde(flatten)]
    pub option: UnheededOption,
}

/// An option that has no effect on this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnheededOption {
    /// Its name in the app.
    pub option: String,
    /// Why it has no effect, as a fragment that fits after a colon.
    pub reason: String,
}

/// A function that is not replaced by a stub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftAlone {
    /// The function's id.
    pub id: FunctionId,
    /// Why, as a fragment that fits after "not live: ".
    pub reason: String,
}

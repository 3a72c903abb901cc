//! The function manifest: what synthesis found out about each function, kept in `.sst/functions.json`.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// The timeout that the app declared, in seconds. The stub's may be longer (`--increase-timeout`).
    pub timeout_s: u64,
    /// The memory that the app declared, in megabytes. Reported to the function, not enforced.
    pub memory_mb: u64,
    /// The names of the environment variables that the template sets. Their values come with each invocation.
    pub environment: Vec<String>,
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
            Self::Directory { path } | Self::Inline { path, .. } => path,
            Self::Program { directory, .. } | Self::Command { directory, .. } => directory,
            Self::Entry { path, .. } => path.parent().unwrap_or(path),
        }
    }

    /// Whether it has to be compiled, which takes seconds.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        matches!(self, Self::Program { .. })
    }
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
    /// Bundle packages too, instead of leaving them to `node_modules`.
    pub bundle_packages: bool,
}

/// The whole manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The functions that run on this machine.
    pub functions: Vec<FunctionSpec>,
    /// The functions that keep their deployed code, and why.
    pub left_alone: Vec<LeftAlone>,
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

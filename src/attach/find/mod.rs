//! Which functions a project has deployed, and where on this disk their code is: what the files of its own tool say.
//!
//! First without an account ([`declare`]): the files may name the region and the profile by which it is reached.

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    error::Result,
    process::Spawner,
    project::manifest::{BuildOptions, Bundling},
    ui::Ui,
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The project's directory, absolute.
    pub root: &'a Utf8Path,
    /// `--stage`: which copy of the app, for tools that know stages or environments.
    pub stage: Option<&'a str>,
    /// `--region`.
    pub region: Option<&'a str>,
    /// Starts the project's own tool.
    pub spawner: &'a Spawner,
    /// The terminal.
    pub ui: &'a Ui,
}

/// What the files of a project's tool say.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// What people call the tool, e.g. `SAM`.
    pub tool: &'static str,
    /// What was read, as it is shown: `samconfig.toml (stack orders-dev)`.
    pub shown: String,
    /// The functions, in the files' order.
    pub functions: Vec<Declared>,
    /// The region that the files name.
    pub region: Option<String>,
    /// The profile of the AWS configuration that they name.
    pub profile: Option<String>,
    /// The stage, where the tool has some, or what serves as one, such as the name of a workspace or of a stack.
    pub stage: Option<String>,
    /// What of the files could not be heeded, one sentence each.
    pub notices: Vec<String>,
}

/// A function as the files of its tool declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What the project calls it: a logical id, the key in `serverless.yml`, an address in Terraform's state.
    pub label: String,
    /// Which of the deployed functions it is.
    pub which: Which,
    /// Where its code is, as far as the files say.
    pub code: Code,
}

/// How a deployed function is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its name on Lambda.
    Name(String),
    /// By its logical id in a CloudFormation stack, which has given it a name.
    Resource {
        /// The name of the stack.
        stack: String,
        /// The logical id in its template.
        logical_id: String,
    },
}

/// Where the code of a function is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Code {
    /// The directory, or the file, that the tool packs or bundles; absolute. What it means depends on the language.
    pub path: Option<Utf8PathBuf>,
    /// Whether `path` is a file in which a function begins, or a project to compile, rather than what is deployed as it is.
    pub is_entry: bool,
    /// The handler as the files declare it, relative to `path`; that on Lambda when absent.
    pub handler: Option<String>,
    /// The runtime as the files declare it; that on Lambda when absent.
    pub runtime: Option<String>,
    /// Where packages are looked up from.
    pub root: Option<Utf8PathBuf>,
    /// The tool's options for esbuild.
    pub bundling: Option<Bundling>,
    /// The tool's options for a compiler.
    pub build: Option<BuildOptions>,
    /// Why the function cannot run here, if the files say so, as a fragment that fits after "left alone: ".
    pub unable: Option<String>,
}

/// Reads the files of whichever tool the project has. None where there are none of any.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for files that are not what they should be.
pub async fn declare(asked: &Asked<'_>) -> Result<Option<Declaration>> {
    let _ = asked;
    Ok(None)
}

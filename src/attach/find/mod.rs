//! Which functions a project has deployed, and where on this disk their code is: what the files of its own tool say.
//!
//! First without an account ([`declare`]): the files may name the region and the profile by which it is reached. Then Lambda and
//! CloudFormation are asked ([`look_up`]), for what is declared, for a stack that any tool has deployed (`stack`), or for functions by their
//! names (`bare`). What is there is found in the project by `source`.

mod account;
mod bare;
mod cdk;
mod maps;
mod names;
mod places;
mod programs;
mod sam;
mod serverless;
mod source;
mod stack;
mod terraform;
#[cfg(test)]
mod tests;
mod wrappers;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

pub use self::cdk::{from_manifest, is_app};
use self::{places::Places, source::Sought, stack::Hints};
use super::Deployed;
use crate::{
    aws::Aws,
    error::{Error, Kind, Result},
    process::Spawner,
    project::{
        HandMapping,
        manifest::{BuildOptions, Bundling, FunctionSpec},
    },
    ui::Ui,
};

/// What is chosen on the command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chosen<'a> {
    /// `--stack`: names or ARNs of stacks.
    pub stacks: &'a [String],
    /// `--function`: names, ARNs, labels, or patterns with `*`.
    pub functions: &'a [String],
}

/// What there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where the functions were found, as it is shown: `samconfig.toml (stack orders-dev)`.
    pub shown: String,
    /// The functions, in the order of the files, or of the names.
    pub candidates: Vec<Candidate>,
    /// What else is to be said, one sentence each.
    pub notices: Vec<String>,
}

/// A function that is deployed, and what is known of its code here.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What the project calls it, else its name.
    pub label: String,
    /// The function as Lambda describes it.
    pub deployed: Deployed,
    /// The name of the stack that it is in, which may be a nested one.
    pub stack: Option<String>,
    /// Its logical id in that stack's template.
    pub logical_id: Option<String>,
    /// Where its code is.
    pub source: std::result::Result<Sourced, Unsourced>,
    /// What was known before its code was sought.
    known: Known,
}

/// What is known of a function from its tool and its template.
#[derive(Debug, Clone, PartialEq, Default)]
struct Known {
    code: Code,
    hints: Hints,
}

/// Where the code of a function is, and how that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced {
    /// The function as it runs here. Its id is its name on Lambda.
    pub spec: FunctionSpec,
    /// The source as it is shown: `src/create.ts`, `report/, Python`.
    pub shown: String,
}

/// Why it is not known where the code of a function is, or of no use.
#[derive(Debug, Clone, PartialEq)]
pub enum Unsourced {
    /// Several places could be it; the user is asked once. Each is what would be written to `sst.json`.
    Ambiguous(Vec<Sourced>),
    /// None was found: where was looked, as a fragment that fits after "no source found: ".
    NotFound(String),
    /// It cannot run here, whatever its source: why, as a fragment that fits after "left alone: ".
    Unable(String),
}

impl Candidate {
    /// The same function as it is without a stub in its place, as whoever has put that there knows it: only then its handler and its
    /// runtime tell where its code is.
    #[must_use]
    pub fn as_it_was(
        self,
        deployed: Deployed,
        root: &Utf8Path,
        mappings: &BTreeMap<String, HandMapping>,
    ) -> Self {
        Self { deployed, ..self }.sought(&Places::of(root), mappings)
    }

    /// With its code sought in the project.
    fn sought(self, places: &Places, mappings: &BTreeMap<String, HandMapping>) -> Self {
        let names = [Some(&self.deployed.name), Some(&self.label), self.logical_id.as_ref()];
        let source = source::find(&Sought {
            label: &self.label,
            deployed: &self.deployed,
            stack: self.stack.as_deref(),
            logical_id: self.logical_id.as_deref(),
            code: &self.known.code,
            hints: &self.known.hints,
            mapping: mapping(mappings, names.into_iter().flatten()),
            places,
        });
        Self { source, ..self }
    }
}

/// What `sst.json` says of a function: under one of its names, or else under a pattern that one of them matches.
fn mapping<'a>(
    mappings: &'a BTreeMap<String, HandMapping>,
    names: impl Iterator<Item = &'a String> + Clone,
) -> Option<&'a HandMapping> {
    let mut by_name = names.clone().filter_map(|name| mappings.get(name));
    by_name.next().or_else(|| {
        let mut patterns = mappings.iter().filter(|(pattern, _)| names::is_pattern(pattern));
        let matches = |pattern: &str| {
            names::matcher(pattern).is_ok_and(|matches| names.clone().any(|name| matches(name)))
        };
        patterns.find(|(pattern, _)| matches(pattern)).map(|(_, mapping)| mapping)
    })
}

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
        /// The name of the stack; empty where the files do not say it, so that `--stack` has to.
        stack: String,
        /// The logical id in its template; for one in a nested stack with those of the stacks on the way before it: `Orders/Create`.
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
    /// The whole function, where the tool knows it as this program does.
    pub known: Option<Box<FunctionSpec>>,
}

/// Reads the files of whichever tool the project has: SAM, the Serverless Framework, Terraform. None where there are none of any, and for a
/// CDK app ([`is_app`]), whose code has to be run ([`from_manifest`]).
///
/// # Errors
/// [`crate::error::Kind::Usage`] for files that are not what they should be.
pub async fn declare(asked: &Asked<'_>) -> Result<Option<Declaration>> {
    if cdk::is_app(asked.root) {
        return Ok(None);
    }
    if let Some(found) = sam::declare(asked).await? {
        return Ok(Some(found));
    }
    if let Some(found) = serverless::declare(asked).await? {
        return Ok(Some(found));
    }
    terraform::declare(asked).await
}

/// Asks Lambda and CloudFormation for the functions that are declared, or chosen by `--stack` or `--function`, and finds their code.
/// `mappings` are those of `sst.json` (`functions`), by function name, label, or pattern.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when nothing says which functions are meant, or there are none of that name;
/// [`crate::error::Kind::Cloud`] when AWS does not tell.
pub async fn look_up(
    aws: &Aws,
    declaration: Option<&Declaration>,
    chosen: &Chosen<'_>,
    asked: &Asked<'_>,
    mappings: &BTreeMap<String, HandMapping>,
) -> Result<Found> {
    let found = account::look_up(aws, declaration, chosen).await?;
    let (places, mappings) = (Places::of(asked.root), mappings.clone());
    // Thousands of directories may be looked into.
    let sought = tokio::task::spawn_blocking(move || {
        let candidates = found.candidates.into_iter().map(|one| one.sought(&places, &mappings)).collect();
        Found { candidates, ..found }
    });
    sought.await.map_err(|error| {
        Error::new(Kind::Other, "the search for the functions' code has failed").detail(error)
    })
}

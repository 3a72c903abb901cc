//! JavaScript and TypeScript on Node. An entry file is bundled (`builder/esbuild.rs`); a directory is taken as it is.

use std::{collections::BTreeSet, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use include_dir::{Dir, include_dir};

use super::{
    Check, Debugger, Inline, Language, Launch, Named, Place, Runner, Runtimes, Sdk, Toolbox, directory,
    mentions, unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    project::manifest::{FunctionSpec, Source},
};

static SCRIPTS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/runners/node");
static RUNNER: Runner = Runner { files: &SCRIPTS, read_at_start: "NODE_" };

/// The oldest runtime that AWS creates.
const OLDEST: Option<&str> = Some("nodejs22.x");

/// The extensions that Lambda's Node runtime tries.
const TRIED: [&str; 3] = ["js", "mjs", "cjs"];

#[derive(Debug)]
pub(super) struct Node;

impl Language for Node {
    fn id(&self) -> &'static str {
        "node"
    }

    fn name(&self) -> &'static str {
        "JavaScript"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes {
            prefixes: &["nodejs"],
            retired: &[
                ("nodejs", OLDEST),
                ("nodejs4.3", OLDEST),
                ("nodejs4.3-edge", OLDEST),
                ("nodejs6.10", OLDEST),
                ("nodejs8.10", OLDEST),
                ("nodejs10.x", OLDEST),
                ("nodejs12.x", OLDEST),
                ("nodejs14.x", OLDEST),
                ("nodejs16.x", OLDEST),
                ("nodejs18.x", OLDEST),
                ("nodejs20.x", OLDEST),
            ],
        }
    }

    fn sources(&self) -> &'static [&'static str] {
        &["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "json"]
    }

    fn inline(&self) -> Option<Inline> {
        // The project may say that its own files are modules. These are not.
        Some(Inline { name: "index.js", beside: Some(("package.json", "{ \"type\": \"commonjs\" }\n")) })
    }

    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        if place.named != Named::Entry {
            let handler = place.handler();
            return (!place.is_made() || has_handler(place.path, &handler))
                .then(|| (Source::Directory { path: place.path.to_owned() }, handler));
        }
        let construct = place.construct;
        let bundling = construct.and_then(|construct| construct.bundling.cloned()).unwrap_or_default();
        let export = construct.and_then(|construct| construct.export);
        let root = construct.and_then(|construct| construct.root);
        let source = Source::Entry {
            path: place.path.to_owned(),
            export: place.by_hand.or(export).unwrap_or_else(|| place.last_part()).to_owned(),
            root: root.map_or_else(|| place.parent(), Utf8Path::to_owned),
            bundling: bundling.into(),
        };
        Some((source, place.declared.to_owned()))
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        _on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(async move {
            let directory = spec.source.directory().to_owned();
            check_handler(&directory, &spec.handler)?;
            let artifact = directory::artifact(directory, spec.clone(), program()).await?;
            Ok(with_mentioned(tools, artifact, &spec.runtime).await)
        })
    }

    /// Which packages a bundled function loads is known when it is bundled. The project's own files mention at least those.
    fn ahead<'a>(&'static self, functions: &'a [FunctionSpec], tools: &'a Toolbox) -> BoxFuture<'a, ()> {
        let mut places = BTreeSet::new();
        for spec in functions {
            let Some(sdk) = Sdk::of(&spec.runtime) else { continue };
            let place = match &spec.source {
                Source::Directory { path } | Source::Inline { path, .. } => path,
                Source::Entry { .. } => &tools.project,
                Source::Program { .. } | Source::Command { .. } => continue,
            };
            places.insert((place.clone(), sdk));
        }
        Box::pin(async move { drop(provide_mentioned(tools, places).await) })
    }

    fn launch(&self, _program: &Program, node: &Utf8Path, scripts: &Utf8Path) -> Launch {
        let runner = scripts.join(self.id()).join("runner.mjs").into_string();
        // The port is the system's choice, so that any number of workers can be debugged at once.
        let arguments = vec!["--inspect=127.0.0.1:0".to_owned(), "--enable-source-maps".to_owned(), runner];
        Launch { program: node.to_owned(), arguments, native: false }
    }

    fn runner(&self) -> Option<&'static Runner> {
        Some(&RUNNER)
    }

    fn debugger(&self) -> &'static Debugger {
        &Debugger::Inspector
    }

    /// Node is needed by `sst` itself.
    fn checks(&self) -> &'static [Check] {
        &[]
    }
}

/// What runs an artifact: the Node that `sst` itself uses.
fn program() -> Program {
    Program { language: Node.id().into(), ..Program::default() }
}

/// What a malformed handler means is for the runner to say, as Lambda's does.
fn check_handler(path: &Utf8Path, handler: &str) -> Result<(), BuildError> {
    let file_name = handler.rsplit('/').next().unwrap_or(handler);
    let Some((stem, _)) = file_name.split_once('.') else { return Ok(()) };
    let stem = path.join(handler.strip_suffix(file_name).unwrap_or_default()).join(stem);
    let candidates = TRIED.map(|extension| Utf8PathBuf::from(format!("{stem}.{extension}")));
    if candidates.iter().any(|candidate| candidate.is_file()) || stem.is_file() {
        return Ok(());
    }
    let name = stem.strip_prefix(path).unwrap_or(&stem);
    let looked = TRIED.map(|extension| format!("`{name}.{extension}`")).join(", ");
    let summary = format!("Error: Cannot find module '{name}': `{path}` has none of {looked}");
    Err(unbuildable(summary, vec![path.to_owned()]))
}

/// Whether the runtime would find the handler's file in a directory.
fn has_handler(directory: &Utf8Path, handler: &str) -> bool {
    let stem = handler.rsplit_once('.').map_or(handler, |(stem, _)| stem);
    TRIED.iter().any(|extension| directory.join(format!("{stem}.{extension}")).is_file())
}

/// The `node_modules` with what functions in these directories mention and any of Lambda's runtimes has; none when they mention
/// nothing that is missing, and when it cannot be had.
pub(crate) async fn provided_for(tools: &Toolbox, directories: BTreeSet<Utf8PathBuf>) -> Option<Utf8PathBuf> {
    let with_each = |directory: Utf8PathBuf| [Sdk::V2, Sdk::V3].map(|sdk| (directory.clone(), sdk));
    provide_mentioned(tools, directories.into_iter().flat_map(with_each).collect()).await
}

/// The artifact with packages that its runtime provides, as far as they can be had.
pub(crate) async fn with_provided(
    tools: &Toolbox,
    artifact: Artifact,
    packages: BTreeSet<String>,
) -> Artifact {
    if packages.is_empty() {
        return artifact;
    }
    let Some(modules) = tools.provided.node(&packages).await else { return artifact };
    let beside = modules.parent().unwrap_or(&modules).to_owned();
    let preloaded = packages.into_iter().map(|name| (name, beside.clone()));
    Artifact {
        fingerprint: format!("{} {modules}", artifact.fingerprint),
        packages: artifact.packages.iter().cloned().chain(preloaded).collect(),
        provided: Some(modules),
        ..artifact
    }
}

/// The artifact with what its files mention of the packages that its runtime provides.
async fn with_mentioned(tools: &Toolbox, artifact: Artifact, runtime: &str) -> Artifact {
    let Some(sdk) = Sdk::of(runtime) else { return artifact };
    let directory = artifact.task_root.clone();
    let mentioned = tokio::task::spawn_blocking(move || mentions::node(&directory, sdk)).await;
    with_provided(tools, artifact, mentioned.unwrap_or_default()).await
}

async fn provide_mentioned(tools: &Toolbox, places: BTreeSet<(Utf8PathBuf, Sdk)>) -> Option<Utf8PathBuf> {
    let look = move || {
        places.into_iter().flat_map(|(place, sdk)| mentions::node(&place, sdk)).collect::<BTreeSet<_>>()
    };
    let packages = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    if packages.is_empty() { None } else { tools.provided.node(&packages).await }
}

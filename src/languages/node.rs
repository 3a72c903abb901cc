//! JavaScript and TypeScript on Node. An entry file is bundled (`builder/esbuild.rs`); a directory is taken as it is.

use std::{collections::BTreeSet, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use include_dir::{Dir, include_dir};
use sourcemap::SourceMapBuilder;
use sst_wire::sha256_hex;

use super::{
    Check, Debugger, HandlerFile, Inline, Interpreted, Language, Launch, Named, Place, Runner, Runtimes, Sdk,
    Tests, Toolbox, directory, mentions,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    project::manifest::{FunctionSpec, Source},
};

static SCRIPTS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/runners/node");
static RUNNER: Runner = Runner {
    files: &SCRIPTS,
    read_at_start: READ_AT_START,
    read_again: &["NODE_PATH"],
    stops_at_first_line: true,
};

/// By Node itself, V8, libuv, ICU, OpenSSL, and the C library. `HOME` is among the places where modules are looked for.
const READ_AT_START: &[&str] = &[
    "NODE_",
    "UV_",
    "LANG",
    "LC_",
    "TZ",
    "ICU_",
    "OPENSSL_",
    "SSL_CERT_",
    "LD_",
    "DYLD_",
    "MALLOC",
    "GLIBC_",
    "HOME",
];

/// The extensions that Lambda's Node runtime tries.
const TRIED: [&str; 3] = ["js", "mjs", "cjs"];

/// The extensions of files that a runtime does not load before something else is made of them.
const BUNDLED: [&str; 5] = ["ts", "mts", "cts", "tsx", "jsx"];

/// What npm, pnpm and Yarn write into `node_modules` when they have changed something in it.
const INSTALLED: [&str; 4] = [".package-lock.json", ".pnpm/lock.yaml", ".yarn-integrity", ".yarn-state.yml"];
/// The id of the language.
const ID: &str = "node";

#[derive(Debug)]
pub(super) struct Node;

impl Language for Node {
    fn id(&self) -> &'static str {
        ID
    }

    fn name(&self) -> &'static str {
        "JavaScript"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["nodejs"] }
    }

    fn inline(&self) -> Option<Inline> {
        // The project may say that its own files are modules. These are not.
        Some(Inline { name: "index.js", beside: Some(("package.json", "{ \"type\": \"commonjs\" }\n")) })
    }

    fn handler_files(&self, handler: &str) -> Vec<HandlerFile> {
        let stem = stem(handler);
        let of = |extension: &'static str| {
            let is_entry = BUNDLED.contains(&extension);
            [format!("{stem}.{extension}"), format!("{stem}/index.{extension}")]
                .map(|path| HandlerFile { path: path.into(), is_entry })
        };
        BUNDLED.into_iter().chain(TRIED).flat_map(of).collect()
    }

    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        if place.named != Named::Entry {
            let handler = place.handler();
            return (!place.is_made() || (!place.can_be_made() && has_handler(place.path, &handler)))
                .then(|| (Source::Directory { path: place.path.to_owned() }, handler));
        }
        let construct = place.construct;
        let bundling = construct.and_then(|construct| construct.bundling.cloned()).unwrap_or_default();
        let export = construct.and_then(|construct| construct.export);
        let root = construct.and_then(|construct| construct.root);
        let source = Source::Entry {
            path: place.path.to_owned(),
            export: place.by_hand.or(export).unwrap_or_else(|| place.export_path()).to_owned(),
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
            let program = program_for(tools, &spec.runtime).await;
            let artifact = with_program(directory::artifact(directory, spec.clone(), program).await?);
            let artifact = with_packages(artifact);
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
                Source::Program { .. } | Source::Command { .. } | Source::Made { .. } => continue,
            };
            places.insert((place.clone(), sdk));
        }
        Box::pin(async move { drop(provide_mentioned(tools, places).await) })
    }

    fn launch(&self, program: &Program, node: &Utf8Path, scripts: &Utf8Path) -> Launch {
        let runner = scripts.join(self.id()).join("runner.mjs").into_string();
        // The port is the system's choice, so that any number of workers can be debugged at once.
        let arguments = vec!["--inspect=127.0.0.1:0".to_owned(), "--enable-source-maps".to_owned(), runner];
        let other = program.executable.as_ref();
        let first_in_path = other.and_then(|other| other.parent()).map(Utf8Path::to_owned);
        Launch {
            program: other.map_or(node, |other| other).to_owned(),
            arguments,
            native: false,
            first_in_path,
            most_data_mb: None,
        }
    }

    /// Node reserves far more than it uses, so its heap is limited. What else a process has is some 40 MB, whatever the heap
    /// (measured: `docs/commands.md` says so, too).
    fn limit_memory(&self, launch: &mut Launch, declared_mb: u64) {
        const BESIDE_THE_HEAP_MB: u64 = 40;
        const LEAST_HEAP_MB: u64 = 16;
        let heap = declared_mb.saturating_sub(BESIDE_THE_HEAP_MB).max(LEAST_HEAP_MB);
        launch.arguments.insert(0, format!("--max-old-space-size={heap}"));
    }

    /// As Lambda's start script sets it, less the directories of the runtime, whose packages are provided in another way.
    fn path_variables(
        &self,
        runtime: &str,
        opt: Option<&Utf8Path>,
        task_root: &Utf8Path,
    ) -> Vec<(&'static str, String)> {
        let major = runtime.trim_start_matches("nodejs").split('.').next().unwrap_or_default();
        let layers = opt.map(|opt| {
            [format!("{opt}/nodejs/node{major}/node_modules"), format!("{opt}/nodejs/node_modules")]
        });
        let path: Vec<String> =
            layers.into_iter().flatten().chain(std::iter::once(task_root.to_string())).collect();
        vec![("NODE_PATH", path.join(":"))]
    }

    fn map_copies(&self, directory: &Utf8Path, original: &Utf8Path) -> std::io::Result<()> {
        map_copies(directory, original)
    }

    fn runner(&self) -> Option<&'static Runner> {
        Some(&RUNNER)
    }

    fn tests(&self) -> Option<Tests> {
        Some(Tests::JavaScript)
    }

    fn debugger(&self) -> &'static Debugger {
        &Debugger::Inspector
    }

    fn interpreter<'a>(
        &'static self,
        spec: &'a FunctionSpec,
        tools: &'a Toolbox,
    ) -> BoxFuture<'a, Option<Interpreted>> {
        Box::pin(tools.nodes.of(&spec.runtime))
    }

    /// Node is needed by `sst` itself.
    fn checks(&self) -> &'static [Check] {
        &[]
    }
}

/// Gives scripts that are plain copies of those in `original` source maps, so that breakpoints in the originals stop them.
fn map_copies(directory: &Utf8Path, original: &Utf8Path) -> std::io::Result<()> {
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        let (copy, original) = (entry.path(), original.join(entry.file_name()));
        if entry.file_name() == "node_modules" || copy.is_symlink() {
            continue;
        }
        if copy.is_dir() {
            map_copies(copy, &original)?;
            continue;
        }
        if !copy.extension().is_some_and(|extension| TRIED.contains(&extension)) {
            continue;
        }
        let mut text = fs_err::read(copy)?;
        if !fs_err::read(&original).is_ok_and(|same| same == text)
            || String::from_utf8_lossy(&text).contains("//# sourceMappingURL=")
        {
            continue;
        }
        let lines = text.split(|byte| *byte == b'\n').count();
        let mut map = SourceMapBuilder::new(None);
        for line in 0..u32::try_from(lines).unwrap_or(u32::MAX) {
            map.add(line, 0, line, 0, Some(original.as_str()), None, false);
        }
        let name = format!("{}.map", entry.file_name());
        let mut written = Vec::new();
        map.into_sourcemap().to_writer(&mut written).map_err(std::io::Error::other)?;
        text.extend_from_slice(format!("\n//# sourceMappingURL={name}\n").as_bytes());
        // The copy may be a link to the original's contents, or not be writable.
        fs_err::remove_file(copy)?;
        fs_err::write(copy, text)?;
        fs_err::write(directory.join(name), written)?;
    }
    Ok(())
}

/// What runs the functions of a runtime: the Node that `sst` itself uses, or another one when there is one of the right version.
pub(crate) async fn program_for(tools: &Toolbox, runtime: &str) -> Program {
    let executable = tools.nodes.executable(runtime).await;
    Program { language: Node.id().into(), executable, ..Program::default() }
}

/// The artifact whose fingerprint tells with which Node it runs: another one is other code.
pub(crate) fn with_program(artifact: Artifact) -> Artifact {
    match &artifact.program.executable {
        Some(executable) => {
            Artifact { fingerprint: format!("{} {executable}", artifact.fingerprint), ..artifact }
        }
        None => artifact,
    }
}

/// The artifact with what else decides how its files are loaded: the `package.json` that says what kind of modules they are, and what
/// package managers note when they have installed something, because nobody knows what the code will load of that.
fn with_packages(mut artifact: Artifact) -> Artifact {
    let mut state = String::new();
    for above in artifact.task_root.ancestors() {
        for file in INSTALLED.map(|file| above.join("node_modules").join(file)) {
            if let Ok(content) = fs_err::read(&file) {
                state.push_str(&sha256_hex(&content));
                artifact.inputs.push(file);
            }
        }
    }
    for manifest in artifact.task_root.ancestors().map(|above| above.join("package.json")) {
        let content = fs_err::read(&manifest);
        artifact.inputs.push(manifest);
        if let Ok(content) = content {
            state.push_str(&sha256_hex(&content));
            break;
        }
    }
    Artifact { fingerprint: format!("{} {state}", artifact.fingerprint), ..artifact }
}

/// A handler without what follows the file's name in it.
fn stem(handler: &str) -> Utf8PathBuf {
    let (parent, file) = handler.rsplit_once('/').unwrap_or(("", handler));
    Utf8Path::new(parent).join(file.split('.').next().unwrap_or(file))
}

/// Whether a directory may be what is deployed: it has what the runtime would load, or a directory that is a module.
fn has_handler(directory: &Utf8Path, handler: &str) -> bool {
    let stem = directory.join(stem(handler));
    let of_directory = ["index.js", "package.json"].iter().any(|name| stem.join(name).is_file());
    stem.is_file()
        || of_directory
        || TRIED.iter().any(|extension| Utf8PathBuf::from(format!("{stem}.{extension}")).is_file())
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

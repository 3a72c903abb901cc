//! Functions in Python: nothing is built, but the interpreter has to be found.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use include_dir::{Dir, include_dir};
use serde_json::json;

use super::{
    AdapterLink, Check, DebugAdapter, Debugger, Find, HandlerFile, Inline, Interpreted, Language, Launch,
    Named, Place, RunConfiguration, Runner, Runtimes, Tests, Toolbox, interpreters,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    project::manifest::{FunctionSpec, Source},
};

static SCRIPTS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/runners/python");
static RUNNER: Runner = Runner {
    files: &SCRIPTS,
    read_at_start: &["PYTHON", "LANG", "LC_", "TZ", "LD_", "DYLD_"],
    read_again: &[],
    stops_at_first_line: true,
};

#[derive(Debug)]
pub(super) struct Python;

impl Language for Python {
    fn id(&self) -> &'static str {
        interpreters::LANGUAGE
    }

    fn name(&self) -> &'static str {
        "Python"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["python"] }
    }

    fn inline(&self) -> Option<Inline> {
        Some(Inline { name: "index.py", beside: None })
    }

    fn construct(&self) -> Option<&'static str> {
        Some("@aws-cdk/aws-lambda-python-alpha/lib/bundling")
    }

    fn handler_files(&self, handler: &str) -> Vec<HandlerFile> {
        let module = module(handler);
        [module.with_extension("py"), module.join("__init__.py")]
            .map(|path| HandlerFile { path, is_entry: false })
            .into()
    }

    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        if place.named == Named::Entry {
            let export = place.by_hand.unwrap_or_else(|| place.last_part());
            let handler = format!("{}.{export}", place.path.file_stem().unwrap_or_default());
            return Some((Source::Directory { path: place.parent() }, handler));
        }
        let handler = place.handler();
        (!place.is_made() || has_handler(place.path, &handler))
            .then(|| (Source::Directory { path: place.path.to_owned() }, handler))
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        _on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(tools.interpreters.artifact(spec.source.directory().to_owned(), spec.clone()))
    }

    fn ahead<'a>(&'static self, functions: &'a [FunctionSpec], tools: &'a Toolbox) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for spec in functions {
                let directory = spec.source.directory().to_owned();
                let _ = tools.interpreters.artifact(directory, Arc::new(spec.clone())).await;
            }
        })
    }

    fn launch(&self, program: &Program, _node: &Utf8Path, scripts: &Utf8Path) -> Launch {
        // A debugger finds no lines in modules that are frozen into the interpreter, and says so at every start.
        let runner = scripts.join(self.id()).join("runner.py").into_string();
        let arguments = vec!["-u".to_owned(), "-Xfrozen_modules=off".to_owned(), runner];
        Launch {
            program: program.executable.clone().unwrap_or_default(),
            arguments,
            native: false,
            first_in_path: None,
            most_data_mb: None,
        }
    }

    /// Threads of Python have stacks of 8 MB each that count before they are used, so there is room for some of them.
    fn limit_memory(&self, launch: &mut Launch, declared_mb: u64) {
        const STACKS_MB: u64 = 32;
        launch.most_data_mb = Some(declared_mb + STACKS_MB);
    }

    /// The directories that Lambda's client puts behind the function's own.
    fn path_variables(
        &self,
        runtime: &str,
        opt: Option<&Utf8Path>,
        _task_root: &Utf8Path,
    ) -> Vec<(&'static str, String)> {
        let path = opt.map(|opt| format!("{opt}/python/lib/{runtime}/site-packages:{opt}/python"));
        path.map(|path| ("PYTHONPATH", path)).into_iter().collect()
    }

    fn runner(&self) -> Option<&'static Runner> {
        Some(&RUNNER)
    }

    fn tests(&self) -> Option<Tests> {
        Some(Tests::Python)
    }

    /// debugpy is loaded into the process.
    fn debugger(&self) -> &'static Debugger {
        &Debugger::Adapter {
            files: &["py", "pyw"],
            attach: |_| {
                let attach = json!({ "request": "attach", "justMyCode": true, "subProcess": false, "redirectOutput": false });
                Box::pin(std::future::ready(Ok(DebugAdapter { link: AdapterLink::Worker, attach })))
            },
            own: None,
        }
    }

    fn interpreter<'a>(
        &'static self,
        spec: &'a FunctionSpec,
        tools: &'a Toolbox,
    ) -> BoxFuture<'a, Option<Interpreted>> {
        Box::pin(tools.interpreters.of(spec))
    }

    /// Python itself is needed by the local cloud.
    fn checks(&self) -> &'static [Check] {
        &[Check {
            find: Find::Version("python3", &["-c", "import debugpy; print('debugpy', debugpy.__version__)"]),
            missing: "no debugpy in `python3`",
            fix: "`pip install debugpy` where your functions run, to debug them",
            only_debugging: true,
        }]
    }

    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &[RunConfiguration::ByHand {
            editor: "pycharm",
            place: "PyCharm 2025.3 or newer: Run | Edit Configurations… | + | Attach to DAP",
        }]
    }
}

/// The module that a handler is in, as a path.
fn module(handler: &str) -> Utf8PathBuf {
    let stem = handler.rsplit_once('.').map_or(handler, |(stem, _)| stem);
    stem.replace('.', "/").into()
}

/// Whether the runtime would find the handler's file in a directory.
fn has_handler(directory: &Utf8Path, handler: &str) -> bool {
    let module = directory.join(module(handler));
    module.with_extension("py").is_file() || module.join("__init__.py").is_file()
}

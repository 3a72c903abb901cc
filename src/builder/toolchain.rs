//! Everything that makes functions runnable but esbuild, as the languages say it: one compiler at a time, with a word while it takes long.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::Utf8PathBuf;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::{
    core::event::{Artifact, BuildError},
    ids::FunctionId,
    languages::{self, Toolbox},
    process::Spawner,
    project::manifest::{FunctionSpec, Layer},
    ui::Ui,
};

/// A compilation that takes longer is announced.
const WORTH_A_WORD: Duration = Duration::from_millis(500);

/// Cheap to clone; clones share what they have found, and take turns in compiling.
#[derive(Debug, Clone)]
pub struct Toolchain {
    tools: Toolbox,
    /// Compilers use all processors by themselves.
    compilers: Arc<Semaphore>,
    ui: Ui,
}

impl Toolchain {
    /// For functions of `project`, built into directories below `artifacts`. What can be downloaded again is kept in `cache`.
    #[must_use]
    pub fn new(
        spawner: Spawner,
        project: Utf8PathBuf,
        artifacts: Utf8PathBuf,
        cache: Utf8PathBuf,
        ui: Ui,
    ) -> Self {
        let tools = Toolbox::new(spawner, project, artifacts, cache, ui.clone());
        Self { tools, compilers: Arc::new(Semaphore::new(1)), ui }
    }

    /// What it works with.
    #[must_use]
    pub fn tools(&self) -> &Toolbox {
        &self.tools
    }

    /// Does what takes longer than a call may take, so that later builds find it done: compiles, and installs what runtimes bring along.
    /// What fails is not reported: it is tried again when it is first needed.
    pub async fn ahead(&self, functions: &[FunctionSpec]) {
        let compiling = async {
            for spec in functions.iter().filter(|spec| spec.is_compiled()) {
                if spec.source.is_compiled() {
                    let _ = self.compile(&Arc::new(spec.clone())).await;
                }
                let _ = self.layers(spec).await;
            }
        };
        let others = languages::all().map(|language| async move {
            let is_one =
                |spec: &&FunctionSpec| spec.language.as_str() == language.id() && !spec.source.is_compiled();
            let functions: Vec<FunctionSpec> = functions.iter().filter(is_one).cloned().collect();
            language.ahead(&functions, &self.tools).await;
        });
        tokio::join!(compiling, join_all(others));
    }

    /// Builds a function that is not bundled.
    pub(super) async fn artifact(&self, spec: &Arc<FunctionSpec>) -> Result<Artifact, BuildError> {
        if spec.source.is_compiled() {
            return self.compile(spec).await;
        }
        languages::build(spec, &self.tools, &mut |_| {}).await
    }

    /// Where the layers of a function are, in their order, and what those are made of that the app makes.
    pub(super) async fn layers(
        &self,
        spec: &FunctionSpec,
    ) -> Result<(Vec<Utf8PathBuf>, Vec<Utf8PathBuf>), BuildError> {
        let (mut places, mut inputs) = (Vec::new(), Vec::new());
        for layer in &spec.layers {
            match layer {
                Layer::Local { path } => {
                    places.push(path.clone());
                    inputs.push(path.clone());
                }
                Layer::Made { name, path, making } => {
                    // It is never closed.
                    let _permit = self.compilers.acquire().await.ok();
                    let last = Mutex::new(String::new());
                    let mut on_line = |line: &str| note(&last, line);
                    let made = languages::layer(name, path, making, &self.tools, &mut on_line);
                    let made = self.told(name, &last, made).await;
                    let (place, asset) = made.map_err(|error| BuildError {
                        summary: format!("the layer `{name}` cannot be made: {}", error.summary),
                        ..error
                    })?;
                    places.push(place);
                    inputs.extend(asset);
                }
                Layer::Published { .. } | Layer::Absent { .. } => {}
            }
        }
        Ok((places, inputs))
    }

    /// Compiles a program, one at a time, and says so when that takes a while.
    async fn compile(&self, spec: &Arc<FunctionSpec>) -> Result<Artifact, BuildError> {
        // It is never closed.
        let _permit = self.compilers.acquire().await.ok();
        let language = languages::get(&spec.language);
        let last = Mutex::new(String::new());
        let mut on_line = |line: &str| {
            if let Some(waiting) = language.waits(line.trim()) {
                self.ui.info(format!("Compiling `{}`: {waiting}", spec.id));
            }
            note(&last, line);
        };
        self.told(&spec.id, &last, languages::build(spec, &self.tools, &mut on_line)).await
    }

    /// Says what is being compiled when that takes a while, and what its compiler has said last.
    async fn told<T>(&self, what: &FunctionId, last: &Mutex<String>, build: impl Future<Output = T>) -> T {
        tokio::pin!(build);
        tokio::select! {
            result = &mut build => return result,
            () = tokio::time::sleep(WORTH_A_WORD) => self.ui.info(format!("Compiling `{what}`")),
        }
        let still = || match last.lock().unwrap_or_else(PoisonError::into_inner).as_str() {
            "" => format!("Still compiling `{what}`"),
            last => format!("Still compiling `{what}`: {last}"),
        };
        self.ui.remind(still, build).await
    }
}

fn note(last: &Mutex<String>, line: &str) {
    line.trim().clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
}

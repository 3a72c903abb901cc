//! The worker processes: one task per process, from spawn to the last line of its output.

pub(crate) mod environment;
mod output;
mod process;
mod standby;

use std::{collections::HashMap, net::SocketAddr};

use camino::Utf8PathBuf;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{
    environment::Surroundings,
    output::{Listening, Output},
    process::Process,
    standby::{Recipe, Standbys},
};
use crate::{
    core::{
        effect::{Start, Stop},
        event::{Event, Exit, Program, Target},
    },
    ids::WorkerId,
    languages::{self, Debugger, Runner},
    process::{Spawner, split_bootloader},
    tasks,
    tools::Tools,
};

/// All worker processes.
#[derive(Debug)]
pub(crate) struct Workers {
    tools: Tools,
    surroundings: Surroundings,
    recipe: Recipe,
    running: HashMap<WorkerId, Running>,
    standbys: Standbys,
    tasks: JoinSet<()>,
    ready: mpsc::UnboundedSender<WorkerId>,
    events: mpsc::UnboundedSender<Event>,
}

#[derive(Debug)]
struct Running {
    /// Dropping it kills the process.
    stop: watch::Sender<Option<Stop>>,
    /// Known once the process has been started.
    output: watch::Receiver<Option<Output>>,
    /// Lets a gated worker load its function.
    load: watch::Sender<bool>,
    /// It loads its function when it may.
    gated: bool,
    /// What else the runner is told.
    messages: mpsc::UnboundedSender<serde_json::Value>,
    /// Where the debugger is that the process loads, when it is not among its own packages.
    debugger: Option<Utf8PathBuf>,
}

impl Workers {
    /// Prepares to start workers. `ready` hears of each worker that has written something.
    #[must_use]
    pub(crate) fn new(
        tools: Tools,
        spawner: Spawner,
        surroundings: Surroundings,
        ready: mpsc::UnboundedSender<WorkerId>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let recipe = Recipe {
            spawner,
            node: tools.node.clone(),
            environment: surroundings.bare(),
            scripts: tools.scripts.clone(),
        };
        let mut standbys = Standbys::new();
        standbys.replenish(&recipe, None);
        Self {
            tools,
            surroundings,
            recipe,
            running: HashMap::new(),
            standbys,
            tasks: JoinSet::new(),
            ready,
            events,
        }
    }

    /// Starts a worker that will ask for its invocations at `runtime_api`. A failure is reported as its exit.
    pub(crate) fn start(&mut self, start: Start, runtime_api: SocketAddr) {
        while self.tasks.try_join_next().is_some() {}
        let (stop, stopped) = watch::channel(None);
        let (publish, output) = watch::channel(None);
        let worker = start.worker;
        let (load, may_load) = watch::channel(!start.gated);
        let (messages, to_tell) = mpsc::unbounded_channel();
        let debugger = start.artifact.program.debugger.clone();
        self.running.insert(worker, Running { stop, output, load, gated: start.gated, messages, debugger });
        let (mut launch, runner) = self.recipe.launch(&start.artifact.program);
        if start.gated {
            languages::get(&start.artifact.program.language).hold(&mut launch);
        }
        let has_runner = runner.is_some();
        let scripts = &self.tools.scripts;
        let runtime_dir = runner
            .map_or_else(|| scripts.clone(), |_| scripts.join(start.artifact.program.language.as_str()));
        let mut environment =
            self.surroundings.worker(&start.spec, &start.artifact, &start.environment, &runtime_dir);
        // The debugger comes when the function is loaded; until then the runner keeps the bootloader's name.
        let bootloader = environment.get("NODE_OPTIONS").and_then(|options| split_bootloader(options));
        if let Some((bootloader, _)) = &bootloader {
            environment.insert("SST_BOOTLOADER".to_owned(), bootloader.clone());
        }
        // Interpreters read their options when they start, so a function that brings its own cannot use a process that runs already.
        let is_own_option = |runner: &&Runner| {
            start.spec.environment.iter().any(|name| name.starts_with(runner.read_at_start))
        };
        let standby = match runner.filter(|runner| !is_own_option(runner)) {
            None => None,
            Some(_) => self.standbys.take(&start.spec.id, &launch, &start.artifact, &self.recipe.any()),
        };
        environment.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), runtime_api.to_string());
        let recipe = self.recipe.clone();
        let ready = self.ready.clone();
        let events = self.events.clone();
        let artifact = start.artifact.clone();
        self.tasks.spawn(async move {
            let lost = || {
                drop(events.send(Event::Exited { worker, exit: Exit::NotStarted(tasks::LOST.to_owned()) }))
            };
            let _guard = tasks::on_panic(lost);
            let artifact = start.artifact;
            let api = runtime_api.to_string();
            let assignment = standby::assignment(&environment, &artifact, &api);
            // Its output is published before it is told anything: it may ask for its first call in the next moment, and where its
            // debugger attaches has to be known by then.
            let show = |process: &Process| {
                let _ = publish.send(Some(process.output.clone()));
                if let Some(target) = target(&artifact.program, process.pid()) {
                    let _ = events.send(Event::Debuggable { worker, target });
                }
            };
            let mut process = None;
            // A standby that died while it waited is no reason to fail a call.
            if let Some(standby) = standby.filter(Process::is_alive) {
                show(&standby);
                if start.gated || standby.send(&assignment).await.is_ok() {
                    process = Some(Ok(standby));
                }
            }
            let process = match process {
                Some(process) => process,
                None => {
                    if !has_runner {
                        // It is its own client of the Runtime API.
                    } else if start.gated {
                        environment.insert("SST_STANDBY".to_owned(), process::LIFELINE.to_string());
                    } else {
                        environment.insert("SST_HANDLER".to_owned(), artifact.handler.clone());
                        environment.insert("SST_LIFELINE".to_owned(), process::LIFELINE.to_string());
                        if let Some(provided) = &artifact.provided {
                            environment.insert("SST_PROVIDED".to_owned(), provided.to_string());
                        }
                    }
                    if let Some((_, others)) = bootloader {
                        environment.insert("NODE_OPTIONS".to_owned(), others);
                    }
                    Process::spawn(&recipe.spawner, &launch, &environment, &artifact.task_root)
                        .await
                        .inspect(show)
                }
            };
            match process {
                Ok(process) => {
                    let gated = (start.gated && has_runner).then_some((assignment, may_load));
                    process.run(worker, gated, to_tell, stopped, ready, events.clone()).await;
                }
                Err(error) => {
                    let reason = format!("cannot start `{}`: {error}", launch.program);
                    let _ = events.send(Event::Exited { worker, exit: Exit::NotStarted(reason) });
                }
            }
        });
        self.standbys.replenish(&self.recipe, Some((&start.spec.id, &artifact)));
    }

    /// Ends a worker. Its exit is reported as an event, as any other.
    pub(crate) fn stop(&mut self, worker: WorkerId, how: Stop) {
        if let Some(running) = self.running.get(&worker) {
            let _ = running.stop.send(Some(how));
        }
    }

    /// Lets a worker load its function, if it waits for that.
    pub(crate) fn load(&self, worker: WorkerId) {
        if let Some(running) = self.running.get(&worker) {
            let _ = running.load.send(true);
        }
    }

    /// Has a worker whose debugger is in its own process connect to `port` of this machine.
    pub(crate) fn debug(&self, worker: WorkerId, port: u16) {
        let Some(running) = self.running.get(&worker) else { return };
        let path = &running.debugger;
        let message = serde_json::json!({ "debug": { "host": "127.0.0.1", "port": port, "path": path } });
        let _ = running.messages.send(message);
    }

    /// The lines that a worker has written since the last time.
    pub(crate) fn drain_output(&mut self, worker: WorkerId) -> Vec<String> {
        let Some(running) = self.running.get(&worker) else { return Vec::new() };
        let output = running.output.borrow().clone();
        let Some(output) = output else { return Vec::new() };
        let (lines, more) = output.drain();
        if more {
            let _ = self.ready.send(worker);
        }
        lines
    }

    /// Where a worker listens for debuggers: once, after its output was drained.
    #[must_use]
    pub(crate) fn take_target(&self, worker: WorkerId) -> Option<Target> {
        let running = self.running.get(&worker)?;
        Some(match running.output.borrow().as_ref()?.take_listening()? {
            Listening::Inspector(url) => Target::Inspector { url },
            Listening::Machine(port) => Target::Machine { port, suspended: running.gated },
        })
    }

    /// Forgets a worker whose exit was reported.
    pub(crate) fn forget(&mut self, worker: WorkerId) {
        self.running.remove(&worker);
    }

    /// Kills what still runs and waits until it is gone.
    pub(crate) async fn end(mut self) {
        for running in self.running.values() {
            let _ = running.stop.send(Some(Stop::Now));
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// How a debugger gets at a process. One that listens by itself says so, when it does.
fn target(program: &Program, pid: Option<u32>) -> Option<Target> {
    if !matches!(languages::get(&program.language).debugger(), Debugger::Adapter { .. }) {
        return None;
    }
    Some(Target::Process {
        pid: pid?,
        executable: program.executable.clone().unwrap_or_default(),
        language: program.language.clone(),
        lacking: program.lacking.clone(),
    })
}

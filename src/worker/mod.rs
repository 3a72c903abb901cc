//! The worker processes: one task per process, from spawn to the last line of its output.

mod companions;
pub(crate) mod environment;
mod exit;
mod output;
mod process;
mod stamps;
mod standby;
mod wrapper;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::TcpListener,
    sync::Arc,
};

use camino::Utf8PathBuf;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{
    companions::{Companions, Outputs, Place},
    environment::Surroundings,
    output::{Listening, Output},
    process::Process,
    standby::{Purpose, RUNTIME_API, Recipe, Standbys, Taken},
};
use crate::{
    core::{
        effect::{Start, Stop},
        event::{Event, Exit, Program, Target},
    },
    extensions::{Category, Extensions},
    ids::WorkerId,
    languages::{self, Debugger, Launch},
    process::{Spawner, script_name, split_bootloader},
    tasks,
    tools::Tools,
    trace,
};

/// All worker processes.
#[derive(Debug)]
pub(crate) struct Workers {
    tools: Tools,
    surroundings: Surroundings,
    /// Whether each has the memory that its function declares, and no more.
    enforces_memory: bool,
    recipe: Recipe,
    running: HashMap<WorkerId, Running>,
    standbys: Standbys,
    /// The workers that are on their way to their first answer, and for what a standby is started then.
    unsettled: HashMap<WorkerId, Purpose>,
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
    /// What its extensions write.
    companions: Outputs,
    /// What is told of it to these.
    extensions: Arc<Extensions>,
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
        enforces_memory: bool,
        ready: mpsc::UnboundedSender<WorkerId>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let recipe = Recipe { spawner, node: tools.node.clone(), scripts: tools.scripts.clone() };
        let standbys = Standbys::new(&recipe, surroundings.bare());
        Self {
            tools,
            surroundings,
            enforces_memory,
            recipe,
            running: HashMap::new(),
            standbys,
            unsettled: HashMap::new(),
            tasks: JoinSet::new(),
            ready,
            events,
        }
    }

    /// Starts a worker, which will ask for its invocations at the socket that is returned, as its `extensions` do for their events. A
    /// failure to start it is reported as its exit.
    ///
    /// # Errors
    /// When there is no socket.
    pub(crate) fn start(&mut self, start: Start, extensions: Arc<Extensions>) -> io::Result<TcpListener> {
        while self.tasks.try_join_next().is_some() {}
        let (mut launch, runner) = self.recipe.launch(&start.artifact.program);
        if start.gated {
            languages::get(&start.artifact.program.language).hold(&mut launch);
        }
        let has_runner = runner.is_some();
        let environment = self.environment(&start, &launch, has_runner);
        let memory_mb = environment::memory_mb(&environment);
        let limited = self.enforces_memory && memory_mb.is_some();
        if limited && let Some(declared_mb) = memory_mb {
            languages::get(&start.artifact.program.language).limit_memory(&mut launch, declared_mb);
        }
        let wrapped = match wrapper::wrap(&mut launch, &start.spec, &start.artifact, &environment) {
            Ok(wrapped) => wrapped,
            Err(reason) => {
                let exit = Exit::NotStarted(reason);
                let _ = self.events.send(Event::Exited { worker: start.worker, exit });
                return standby::listen();
            }
        };
        // What is seen in `/opt`, and what a program is started by, is so from its start.
        let is_ordinary = start.artifact.opt.is_none() && !wrapped;
        let purpose = Purpose::new(&start.spec.id, &launch, &environment, &start.artifact);
        let standby = runner.filter(|_| is_ordinary);
        let standby = standby.and_then(|_| self.standbys.take(&purpose, &self.recipe));
        let (standby, starting, socket) = match standby {
            Some(Taken::Anybody(standby)) => (Some(standby), None, None),
            Some(Taken::OfFunction(standby, socket)) => (Some(standby), None, Some(socket)),
            Some(Taken::Starting(starting, socket)) => (None, Some(starting), Some(socket)),
            None => (None, None, None),
        };
        let (is_there, is_starting) = (standby.is_some(), starting.is_some());
        trace::save!(worker = %start.worker, standby = is_there, is_starting, packages = socket.is_some(), "a worker starts");
        // Its packages may have changed what it was started with, and nobody is to change that back.
        let knows_environment = socket.is_some();
        let socket = socket.map_or_else(standby::listen, Ok)?;
        let runtime_api = socket.local_addr()?.to_string();
        let mut environment = environment;
        environment.insert(RUNTIME_API.to_owned(), runtime_api.clone());

        let (stop, stopped) = watch::channel(None);
        let (publish, output) = watch::channel(None);
        let worker = start.worker;
        let (load, may_load) = watch::channel(!start.gated);
        let (messages, to_tell) = mpsc::unbounded_channel();
        let debugger = start.artifact.program.debugger.clone();
        let companions = Outputs::default();
        let running = Running {
            stop,
            output,
            companions: companions.clone(),
            extensions: extensions.clone(),
            load,
            gated: start.gated,
            messages,
            debugger,
        };
        self.running.insert(worker, running);
        let recipe = self.recipe.clone();
        let ready = self.ready.clone();
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let lost = || {
                drop(events.send(Event::Exited { worker, exit: Exit::NotStarted(tasks::LOST.to_owned()) }))
            };
            let _guard = tasks::on_panic(lost);
            let artifact = start.artifact;
            let told = (!knows_environment).then_some(&environment);
            let mut assignment = standby::assignment(told, &artifact, &runtime_api);
            // Its output is published before it is told anything: it may ask for its first call in the next moment, and where its
            // debugger attaches has to be known by then.
            let show = |process: &Process| {
                process.output.declare(memory_mb);
                let _ = publish.send(Some(process.output.clone()));
                if let Some(target) = target(&artifact.program, process.pid()) {
                    let _ = events.send(Event::Debuggable { worker, target });
                }
            };
            let place = Place {
                opt: artifact.opt.as_deref(),
                task_root: &artifact.task_root,
                environment: &environment,
                hosts: recipe.scripts.join("hosts"),
            };
            let mut stopped = stopped;
            let begun = async {
                let companions = Companions::start(&recipe.spawner, extensions, &place, &companions, (worker, &ready));
                let companions = companions.await?;
                let standby = match starting {
                    Some(starting) => starting.process().await,
                    None => standby,
                };
                Ok((companions, standby))
            };
            let begun = tokio::select! {
                begun = begun => begun,
                _ = stopped.wait_for(Option::is_some) => Err(Exit::NotStarted("it was not needed any more".to_owned())),
            };
            let (companions, standby) = match begun {
                Ok(begun) => begun,
                Err(exit) => {
                    let _ = events.send(Event::Exited { worker, exit });
                    return;
                }
            };
            let mut process = None;
            if let Some(standby) = standby {
                show(&standby);
                if start.gated || standby.send(&assignment).await.is_ok() {
                    trace::save!(%worker, "the standby is told its function");
                    process = Some(Ok(standby));
                }
            }
            let process = match process {
                Some(process) => process,
                None => {
                    assignment = standby::assignment(Some(&environment), &artifact, &runtime_api);
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
                    let opt = artifact.opt.as_deref();
                    Process::spawn(&recipe.spawner, &launch, &environment, &artifact.task_root, opt)
                        .await
                        .inspect(show)
                }
            };
            match process {
                Ok(process) => {
                    let gated = (start.gated && has_runner).then_some((assignment, may_load));
                    process.run((worker, limited), gated, to_tell, companions, stopped, (ready, events.clone())).await;
                }
                Err(error) => {
                    let reason = format!("cannot start `{}`: {error}", launch.program);
                    let _ = events.send(Event::Exited { worker, exit: Exit::NotStarted(reason) });
                }
            }
        });
        if has_runner && is_ordinary {
            self.unsettled.insert(worker, purpose);
        }
        Ok(socket)
    }

    /// A worker has answered for the first time, waits for its first call, or is gone. Nobody waits for it any more, so now the standbys are
    /// started that are missing: on few cores they would make it slower.
    pub(crate) fn settled(&mut self, worker: WorkerId) {
        if let Some(purpose) = self.unsettled.remove(&worker) {
            self.standbys.replenish(&self.recipe, purpose);
        }
    }

    /// All variables of a worker but the address of its Runtime API.
    fn environment(&self, start: &Start, launch: &Launch, has_runner: bool) -> BTreeMap<String, String> {
        let scripts = &self.tools.scripts;
        let runtime_dir = match has_runner {
            true => scripts.join(start.artifact.program.language.as_str()),
            false => scripts.clone(),
        };
        let mut environment =
            self.surroundings.worker(&start.spec, &start.artifact, &start.environment, &runtime_dir);
        if let (Some(first), Some(path)) = (&launch.first_in_path, environment.get_mut("PATH")) {
            *path = format!("{first}:{path}");
        }
        // The debugger comes when the function is loaded; until then the runner keeps the bootloader's name.
        let bootloader = environment.get("NODE_OPTIONS").and_then(|options| split_bootloader(options));
        if let Some((bootloader, others)) = bootloader {
            environment.insert("SST_BOOTLOADER".to_owned(), bootloader);
            environment.insert("SST_DEBUGGEE".to_owned(), script_name(start.spec.id.as_str()));
            if others.is_empty() {
                environment.remove("NODE_OPTIONS");
            } else {
                environment.insert("NODE_OPTIONS".to_owned(), others);
            }
        }
        environment
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
        let (mut lines, mut more) = output.map(|output| output.drain()).unwrap_or_default();
        let telemetry = &running.extensions.telemetry;
        lines.iter().for_each(|line| telemetry.line(Category::Function, line));
        let (of_extensions, even_more) = running.companions.drain();
        more |= even_more;
        for (name, line) in of_extensions {
            telemetry.line(Category::Extension, &line);
            lines.push(format!("[{name}] {line}"));
        }
        if more {
            let _ = self.ready.send(worker);
        }
        lines
    }

    /// What a worker has written of lines that it has not ended.
    pub(crate) fn end_lines(&self, worker: WorkerId) -> Vec<String> {
        let output = self.running.get(&worker).and_then(|running| running.output.borrow().clone());
        output.map(|output| output.end_lines()).unwrap_or_default()
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
        self.settled(worker);
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

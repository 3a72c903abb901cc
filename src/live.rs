//! The one loop: it feeds the core with what happens, and has done what the core wants.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::Bridge,
    builder::Builder,
    continuous::Continuous,
    core::{
        State,
        effect::{Answer, Effect, RelayCommand, Start, Stop},
        event::{Caller, Event, Exit, FileChange, StreamPart, Target},
    },
    error::Result,
    extensions::Extensions,
    history::{Fact, History},
    ids::{FunctionId, RequestId, WorkerId},
    local::Local,
    project::manifest::FunctionSpec,
    runtime_api::{self, Listener},
    tasks::Tasks,
    trace,
    ui::Ui,
    watch::{Reader, Readings},
    worker::Workers,
};

/// How long the last answers may take on their way out.
const FAREWELL: Duration = Duration::from_secs(5);

/// How much of a worker's output is read before its next event is looked at. A worker that writes without end must not stop the
/// loop.
const MOST_READS: usize = 16;

/// What the task of the relay is called. Without it there is no session.
pub(crate) const RELAY: &str = "the relay to the stubs";

/// Everything the loop works with.
#[derive(Debug)]
pub(crate) struct Live {
    /// What decides.
    pub state: State,
    /// The time by which it does.
    pub time: Continuous,
    /// What happens, from all tasks.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// For the tasks that are started on the way.
    pub sender: mpsc::UnboundedSender<Event>,
    /// The connection to the stubs, which is one of the session's tasks.
    pub relay: mpsc::UnboundedSender<RelayCommand>,
    /// The other commands of this machine.
    pub local: Local,
    /// The worker processes.
    pub workers: Workers,
    /// The workers that have written something.
    pub ready: mpsc::UnboundedReceiver<WorkerId>,
    /// The runtime APIs of the workers that there are.
    pub listeners: HashMap<WorkerId, Listener>,
    /// What makes code runnable.
    pub builder: Builder,
    /// The inspector endpoint.
    pub bridge: Bridge,
    /// By which the watch is told what builds have read.
    pub readings: Readings,
    /// When the builds began that run.
    pub begun: HashMap<FunctionId, SystemTime>,
    /// Who is told of saved files, apart from the core.
    pub saved: mpsc::UnboundedSender<Vec<FileChange>>,
    /// Who waits until all functions are answered for here, and by nobody else.
    pub registered: Option<oneshot::Sender<()>>,
    /// What remembers the calls.
    pub history: History,
    /// The terminal.
    pub ui: Ui,
}

impl Live {
    /// Serves `functions` until it is `interrupted`, then answers what is open. All workers are gone when it returns.
    ///
    /// # Errors
    /// When one of `tasks` has ended, without which nothing can be served.
    pub(crate) async fn run(
        mut self,
        functions: Vec<Arc<FunctionSpec>>,
        tasks: &mut Tasks,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        let (mut failure, mut deadline) = (None, None);
        self.handle(Event::Functions(functions));
        while !self.state.is_finished() {
            let wake = self.state.next_wake();
            tokio::select! {
                Some(event) = self.events.recv() => self.heard(event),
                Some(call) = self.local.next() => self.handle(call),
                Some(worker) = self.ready.recv() => {
                    self.read_output(worker);
                }
                () = self.time.reach(wake) => self.handle(Event::Tick),
                error = tasks.failed(), if failure.is_none() => {
                    failure = Some(error);
                    deadline.get_or_insert(Instant::now() + FAREWELL);
                    self.handle(Event::Shutdown);
                }
                () = interrupted.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + FAREWELL);
                    self.handle(Event::Shutdown);
                }
                () = sleep_until(deadline) => break,
            }
        }
        let _ = self.relay.send(RelayCommand::Close { within: FAREWELL });
        tasks.until_ended(RELAY).await;
        drop(self.listeners);
        tokio::join!(self.workers.end(), self.builder.end(), self.bridge.end());
        failure.map_or(Ok(()), Err)
    }

    /// Takes in what a task says has happened.
    fn heard(&mut self, event: Event) {
        if let Some(worker) = author(&event) {
            // What a worker wrote before it answered is shown before its answer.
            let read_out = (0..MOST_READS).any(|_| !self.read_output(worker));
            // The rest of a line that it goes on writing may still be in the pipe.
            if read_out && ends_call(&event) {
                for line in self.workers.end_lines(worker) {
                    self.handle(Event::Output { worker, line });
                }
            }
        }
        match &event {
            Event::FilesChanged(changes) => drop(self.saved.send(changes.clone())),
            Event::Registered => drop(self.registered.take().map(|waiting| waiting.send(()))),
            _ => {}
        }
        self.handle(event);
    }

    /// Hands what a worker wrote to the core. Whether there was anything.
    fn read_output(&mut self, worker: WorkerId) -> bool {
        let lines = self.workers.drain_output(worker);
        let any = !lines.is_empty();
        if let Some(target) = self.workers.take_target(worker) {
            // A virtual machine says so again for each debugger that may come next.
            if let Target::Machine { port, .. } = target {
                self.bridge.moved(worker, port);
            }
            self.handle(Event::Debuggable { worker, target });
        }
        for line in lines {
            self.handle(Event::Output { worker, line });
        }
        any
    }

    /// Hands an event to the core, and has done what it wants.
    fn handle(&mut self, event: Event) {
        match &event {
            Event::Invoked(invocation) => trace::call!(request = %invocation.request, "the loop has it"),
            Event::Called(call) => trace::call!(function = %call.function, "the loop has it"),
            Event::Resumed { worker } => self.history.tell(Fact::Resumed { worker: *worker }),
            Event::Polled { worker } => {
                trace::save!(%worker, "the worker asks for a call");
                self.history.tell(Fact::Waits { worker: *worker });
            }
            Event::Exited { worker, .. } => self.history.tell(Fact::Exited { worker: *worker }),
            Event::Functions(functions) => {
                let functions = functions.iter().map(|function| function.id.clone()).collect();
                self.history.tell(Fact::Functions(functions));
            }
            Event::Connection { lost } => self.history.tell(Fact::Connection { lost: lost.clone() }),
            Event::Answered { worker, .. } => trace::call!(%worker, "the loop has the answer"),
            Event::Built { function, result, .. } => {
                trace::save!(%function, "the loop has the build");
                let error = result.as_ref().err().map(|error| error.detail.clone());
                self.history.tell(Fact::Built { function: function.clone(), error });
            }
            _ => {}
        }
        let gone = match &event {
            Event::Exited { worker, .. } => Some(*worker),
            _ => None,
        };
        let by = author(&event);
        let (asks, has_answered) = (matches!(event, Event::Polled { .. }), ends_call(&event));
        let effects = self.state.handle(event, self.time.now());
        let has_call =
            |effect: &Effect| matches!(effect, Effect::Deliver { worker, .. } if Some(*worker) == by);
        let settled = by.filter(|_| has_answered || asks && !effects.iter().any(has_call));
        for effect in effects {
            self.have_done(effect);
        }
        if let Some(worker) = settled {
            self.workers.settled(worker);
        }
        if let Some(worker) = gone {
            self.listeners.remove(&worker);
            self.workers.forget(worker);
        }
    }

    /// Each effect goes to one room.
    fn have_done(&mut self, effect: Effect) {
        match effect {
            Effect::Arrived(invocation) => self.history.tell(Fact::Arrived(invocation)),
            Effect::Answer { caller, request, answer } => {
                if !matches!(answer, Answer::Working { .. }) {
                    self.history.tell(Fact::Answered { request: request.clone(), answer: answer.clone() });
                }
                self.answer(caller, request, answer);
            }
            Effect::Relay(command) => drop(self.relay.send(command)),
            Effect::Local(command) => self.local.command(command),
            Effect::Start(start) => self.start(*start),
            Effect::Load { worker } => self.workers.load(worker),
            Effect::Debug { worker, port } => self.workers.debug(worker, port),
            Effect::Stop { worker, how } => self.workers.stop(worker, how),
            Effect::Deliver { worker, mut delivery } => {
                delivery.deadline = self.time.awake(delivery.deadline);
                self.bridge.used(worker);
                trace::call!(request = %delivery.request, %worker, "given to a worker");
                self.history.tell(Fact::Given { request: delivery.request.clone(), worker });
                if let Some(listener) = self.listeners.get(&worker) {
                    listener.deliver(delivery);
                }
            }
            Effect::Build { spec, generation, since } => {
                trace::save!(function = %spec.id, "a build is asked for");
                self.history.tell(Fact::Building { function: spec.id.clone() });
                self.begun.insert(spec.id.clone(), SystemTime::now());
                self.builder.build(spec, generation, since);
            }
            Effect::Watch { function, paths } => {
                // Without a build there is nothing that could have changed since it began.
                let since = self.begun.remove(&function).unwrap_or_else(SystemTime::now);
                self.readings.read(Reader::Function(function), paths, since);
            }
            Effect::Cool { function } => self.builder.cool(&function),
            Effect::Bridge(command) => self.bridge.command(command),
            Effect::Ui(event) => {
                self.history.tell(Fact::Told(event.clone()));
                self.ui.send(event);
            }
        }
    }

    /// An answer goes to wherever its request has come from.
    fn answer(&mut self, caller: Caller, request: RequestId, answer: Answer) {
        match caller {
            Caller::Relay => drop(self.relay.send(RelayCommand::Answer { request, answer })),
            Caller::Local => self.local.answer(&request, answer),
        }
    }

    fn start(&mut self, start: Start) {
        let worker = start.worker;
        self.history.tell(Fact::Started { worker, function: start.spec.id.clone() });
        let opt = start.artifact.opt.as_deref();
        let extensions = Arc::new(Extensions::new(&start.spec, opt, &start.environment));
        let socket = self.workers.start(start, extensions.clone());
        let open = |socket| runtime_api::open_for(worker, socket, extensions, self.sender.clone());
        match socket.and_then(open) {
            Ok(listener) => drop(self.listeners.insert(worker, listener)),
            Err(error) => {
                self.workers.stop(worker, Stop::Now);
                let exit = Exit::NotStarted(format!("no socket for its runtime API: {error}"));
                let _ = self.sender.send(Event::Exited { worker, exit });
            }
        }
    }
}

/// The worker that an event comes from.
fn author(event: &Event) -> Option<WorkerId> {
    match event {
        Event::Polled { worker }
        | Event::Answered { worker, .. }
        | Event::Streamed { worker, .. }
        | Event::InitFailed { worker, .. }
        | Event::Exited { worker, .. } => Some(*worker),
        _ => None,
    }
}

/// Whether what a worker says is the last of a call, so that a line which it has begun belongs to that.
fn ends_call(event: &Event) -> bool {
    match event {
        Event::Answered { .. } | Event::InitFailed { .. } => true,
        Event::Streamed { part, .. } => matches!(part, StreamPart::End { .. }),
        _ => false,
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

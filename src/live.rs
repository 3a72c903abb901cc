//! The one loop: it feeds the core with what happens, and has done what the core wants.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    aws::Aws,
    bridge::Bridge,
    builder::Builder,
    continuous::Continuous,
    control::LocalCall,
    core::{
        State,
        effect::{Effect, RelayCommand, Start},
        event::{Event, Exit, FileChange, Invocation, Outcome, Target},
    },
    error::Result,
    ids::WorkerId,
    local_calls::{Begun, LocalCalls},
    project::manifest::FunctionSpec,
    questions,
    relay::Relay,
    runtime_api::{self, Listener},
    tasks::{self, Tasks},
    ui::Ui,
    worker::Workers,
};

/// How long the last answers may take on their way out.
const FAREWELL: Duration = Duration::from_secs(5);

/// How much of a worker's output is read before its next event is looked at. A worker that writes without end must not stop the
/// loop.
const MOST_READS: usize = 16;

/// What the relay is called.
const RELAY: &str = "the relay to the stubs";

/// Everything the loop works with.
#[derive(Debug)]
pub struct Live {
    /// Those that are open.
    pub local: LocalCalls,
    /// Where stubs are asked for what local calls need.
    pub aws: Aws,
    /// What decides.
    pub state: State,
    /// The time by which it does.
    pub time: Continuous,
    /// Calls that come from this machine.
    pub calls: mpsc::UnboundedReceiver<LocalCall>,
    /// What happens, from all tasks.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// For the tasks that are started on the way.
    pub sender: mpsc::UnboundedSender<Event>,
    /// The workers that have written something.
    pub ready: mpsc::UnboundedReceiver<WorkerId>,
    /// The worker processes.
    pub workers: Workers,
    /// What makes code runnable.
    pub builder: Builder,
    /// The inspector endpoint.
    pub bridge: Bridge,
    /// Who is told of saved files, apart from the core.
    pub saved: mpsc::UnboundedSender<Vec<FileChange>>,
    /// Who waits until all functions are answered for here, and by nobody else.
    pub registered: Option<oneshot::Sender<()>>,
    /// The terminal.
    pub ui: Ui,
}

impl Live {
    /// Serves `functions` until it is `interrupted`, then answers what is open. All workers are gone when it returns.
    ///
    /// # Errors
    /// When one of `tasks` has ended, without which nothing can be served.
    pub async fn run(
        mut self,
        functions: Vec<Arc<FunctionSpec>>,
        relay: Relay,
        tasks: &mut Tasks,
        interrupted: &CancellationToken,
    ) -> Result<()> {
        let (commands, receiver) = mpsc::unbounded_channel();
        tasks.spawn_fallible(RELAY, relay.run(receiver, self.sender.clone()));
        let mut failure = None;
        let mut listeners = HashMap::new();
        let (unanswered_sender, mut unanswered) = mpsc::unbounded_channel();
        self.handle(Event::Functions(functions), &commands, &mut listeners);
        let mut deadline = None;
        while !self.state.is_finished() {
            let wake = self.state.next_wake();
            let event = tokio::select! {
                Some(event) = self.events.recv() => event,
                Some(call) = self.calls.recv() => {
                    let begun = self.local.begin(&self.state, call, self.time.now());
                    self.local_call(begun, &unanswered_sender, &commands, &mut listeners);
                    continue;
                }
                Some((token, reason)) = unanswered.recv() => {
                    for begun in self.local.unanswered(&self.state, &token, &reason) {
                        self.local_call(begun, &unanswered_sender, &commands, &mut listeners);
                    }
                    continue;
                }
                Some(worker) = self.ready.recv() => {
                    self.read_output(worker, &commands, &mut listeners);
                    continue;
                }
                () = self.time.reach(wake) => Event::Tick,
                error = tasks.failed(), if failure.is_none() => {
                    failure = Some(error);
                    deadline.get_or_insert(Instant::now() + FAREWELL);
                    Event::Shutdown
                }
                () = interrupted.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + FAREWELL);
                    Event::Shutdown
                }
                () = sleep_until(deadline) => break,
            };
            let event = match event {
                Event::Invoked(invocation) => match questions::token(&invocation.payload) {
                    Some(token) => {
                        let calls = self.introduced(&token, *invocation, &commands, &mut listeners);
                        for begun in calls {
                            self.local_call(begun, &unanswered_sender, &commands, &mut listeners);
                        }
                        continue;
                    }
                    None => Event::Invoked(invocation),
                },
                event => event,
            };
            if let Some(worker) = author(&event) {
                // What a worker wrote before it answered is shown before its answer.
                for _ in 0..MOST_READS {
                    if !self.read_output(worker, &commands, &mut listeners) {
                        break;
                    }
                }
            }
            match &event {
                Event::FilesChanged(changes) => drop(self.saved.send(changes.clone())),
                Event::Registered => drop(self.registered.take().map(|waiting| waiting.send(()))),
                _ => {}
            }
            self.handle(event, &commands, &mut listeners);
        }
        let _ = commands.send(RelayCommand::Close { within: FAREWELL });
        tasks.until_ended(RELAY).await;
        drop(listeners);
        tokio::join!(self.workers.end(), self.builder.end(), self.bridge.end());
        failure.map_or(Ok(()), Err)
    }

    /// Does what a local call needs. Questions that are not answered come out of `unanswered`.
    fn local_call(
        &mut self,
        begun: Begun,
        unanswered: &mpsc::UnboundedSender<(String, String)>,
        relay: &mpsc::UnboundedSender<RelayCommand>,
        listeners: &mut HashMap<WorkerId, Listener>,
    ) {
        match begun {
            Begun::Call(invocation) => self.handle(Event::Invoked(invocation), relay, listeners),
            Begun::Ask(spec, token) => {
                let (aws, unanswered) = (self.aws.clone(), unanswered.clone());
                let name = format!("the question to the stub of `{}`", spec.id);
                tokio::spawn(tasks::named(name, async move {
                    // A question that is given up is one that was not answered.
                    let lost = (unanswered.clone(), token.clone());
                    let _guard = tasks::on_panic(move || {
                        let _ = lost.0.send((lost.1.clone(), "the question failed".to_owned()));
                    });
                    let reason = match questions::ask(&aws, &spec, token.clone()).await {
                        Err(reason) => reason,
                        // Unless its answer went to another machine, this is the end of a question that has been answered.
                        Ok(()) => "another machine answers for it".to_owned(),
                    };
                    let _ = unanswered.send((token, reason));
                }));
            }
            Begun::Nothing => {}
        }
    }

    /// A stub has answered a question. The calls that have waited for it can begin.
    fn introduced(
        &mut self,
        token: &str,
        invocation: Invocation,
        relay: &mpsc::UnboundedSender<RelayCommand>,
        listeners: &mut HashMap<WorkerId, Listener>,
    ) -> Vec<Begun> {
        let Invocation { request, function, environment, .. } = invocation;
        let outcome = Outcome::Returned("null".into());
        let _ = relay.send(RelayCommand::Reply { request, outcome });
        let calls = self.local.answered(token);
        if !calls.is_empty() {
            self.handle(Event::Introduced { function, environment }, relay, listeners);
        }
        let now = self.time.now();
        calls.into_iter().map(|call| self.local.begin(&self.state, call, now)).collect()
    }

    /// Hands what a worker wrote to the core. Whether there was anything.
    fn read_output(
        &mut self,
        worker: WorkerId,
        relay: &mpsc::UnboundedSender<RelayCommand>,
        listeners: &mut HashMap<WorkerId, Listener>,
    ) -> bool {
        let lines = self.workers.drain_output(worker);
        let any = !lines.is_empty();
        if let Some(target) = self.workers.take_target(worker) {
            // A virtual machine says so again for each debugger that may come next.
            if let Target::Machine { port, .. } = target {
                self.bridge.moved(worker, port);
            }
            self.handle(Event::Debuggable { worker, target }, relay, listeners);
        }
        for line in lines {
            self.handle(Event::Output { worker, line }, relay, listeners);
        }
        any
    }

    fn handle(
        &mut self,
        event: Event,
        relay: &mpsc::UnboundedSender<RelayCommand>,
        listeners: &mut HashMap<WorkerId, Listener>,
    ) {
        let gone = match &event {
            Event::Exited { worker, .. } => Some(*worker),
            _ => None,
        };
        for effect in self.state.handle(event, self.time.now()) {
            match effect {
                Effect::Start(start) => self.start(*start, listeners),
                Effect::Load { worker } => self.workers.load(worker),
                Effect::Debug { worker, port } => self.workers.debug(worker, port),
                Effect::Deliver { worker, mut delivery } => {
                    delivery.deadline = self.time.awake(delivery.deadline);
                    self.bridge.used(worker);
                    if let Some(listener) = listeners.get(&worker) {
                        listener.deliver(delivery);
                    }
                }
                Effect::Stop { worker, how } => self.workers.stop(worker, how),
                Effect::Relay(command) => {
                    if let Some(command) = self.local.take(command) {
                        let _ = relay.send(command);
                    }
                }
                Effect::Build { spec, generation } => self.builder.build(spec, generation),
                Effect::Cool { function } => self.builder.cool(&function),
                Effect::Bridge(command) => self.bridge.command(command),
                Effect::Ui(event) => self.ui.send(event),
            }
        }
        if let Some(worker) = gone {
            listeners.remove(&worker);
            self.workers.forget(worker);
        }
    }

    fn start(&mut self, start: Start, listeners: &mut HashMap<WorkerId, Listener>) {
        let worker = start.worker;
        match runtime_api::open(worker, self.sender.clone()) {
            Ok(listener) => {
                let address = listener.address();
                listeners.insert(worker, listener);
                self.workers.start(start, address);
            }
            Err(error) => {
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

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

//! What is deployed: at first the app as it was when `sst start` began, later its changes, which are noticed when a stack's source is
//! saved and deployed when the user presses ENTER.
//!
//! One task does one thing at a time. What is saved during a synthesis or a deployment is looked at afterwards. Calls go on all the
//! while, those that come during the first deployment too.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        Lacking, Outputs, Replaced, StackChange, StackSources, abandoned, bootstrap, changes, lacking,
        replaced,
    },
    core::event::{Event, FileChange},
    debug_stack,
    error::{Error, Kind, Result},
    history::{Fact, History, Infrastructure as Standing, InfrastructureState as State},
    ids::FunctionId,
    local::Notice,
    lock::{Holder, Lock},
    process::open_in_browser,
    project::manifest::FunctionSpec,
    trace,
    ui::UiEvent,
};

use super::{
    super::{
        console::unopened,
        serving::{Publication, counted, in_full, interrupted, show, until_cancelled},
    },
    plan::{App, Plan},
};

/// The task's state.
pub(super) struct Infrastructure {
    pub app: App,
    /// What is deployed, or is about to be at first.
    pub deployed: Plan,
    pub outputs: Outputs,
    pub publication: Publication,
    /// The core.
    pub events: mpsc::UnboundedSender<Event>,
    /// What was saved.
    pub saved: mpsc::UnboundedReceiver<Vec<FileChange>>,
    /// Who else changes what is deployed.
    pub notices: mpsc::UnboundedReceiver<Notice>,
    /// Who is told what waits to be deployed.
    pub history: History,
    /// Where the session's page is, with the token.
    pub page: String,
    /// The user pressed ENTER.
    pub enter: mpsc::UnboundedReceiver<String>,
    /// Whether a deployment has failed since the last one that succeeded, so that it is not known which stacks are as planned.
    pub halfway: bool,
    /// Whether anybody can press anything.
    pub keyboard: bool,
}

/// The first deployment.
pub(super) struct Beginning {
    /// The outputs of the stacks, when there is nothing to deploy.
    pub unchanged: Option<Outputs>,
    /// Whoever else changes what is deployed waits until there is somebody to tell of it.
    pub deploying: Option<Lock>,
    /// Tells that the functions are answered for here, which [`Event::Deployed`] asks for.
    pub registered: oneshot::Receiver<()>,
    /// What has become of it.
    pub outcome: oneshot::Sender<Result<()>>,
    /// Who listens to the keyboard when all is over.
    pub keyboard: oneshot::Sender<mpsc::UnboundedReceiver<String>>,
}

/// What the user can be asked to deploy.
enum Pending {
    Nothing,
    /// The stacks as they are now do not synthesise, so there is nothing to deploy.
    Broken,
    Planned(Box<Plan>),
}

impl Infrastructure {
    /// Makes the first deployment, and those that come later, until it is cancelled. When the first one fails it cancels everything
    /// itself. What is published stays so until it is `over`.
    pub(super) async fn run(mut self, beginning: Beginning, over: CancellationToken) {
        let Beginning { unchanged, deploying, registered, outcome, keyboard } = beginning;
        let (cancel, ui) = (self.app.cancel.clone(), self.app.ui.clone());
        let first = until_cancelled(self.begin(unchanged, deploying, registered), &cancel, &ui).await;
        let failed = first.is_err();
        let _ = outcome.send(first);
        if failed {
            cancel.cancel();
        }
        self.watch().await;
        over.cancelled().await;
        let _ = keyboard.send(self.enter);
    }

    /// Deploys the app as it was planned at first, unless there is nothing to deploy.
    async fn begin(
        &mut self,
        unchanged: Option<Outputs>,
        deploying: Option<Lock>,
        registered: oneshot::Receiver<()>,
    ) -> Result<()> {
        // Whatever has been reached when it is cancelled, nothing more is begun or said.
        let unless_cancelled = || match self.app.cancel.is_cancelled() {
            true => Err(interrupted()),
            false => Ok(()),
        };
        unless_cancelled()?;
        let outputs = match unchanged {
            Some(outputs) => {
                self.app.ui.info("Nothing to deploy");
                self.app.build_ahead(&self.deployed).await;
                outputs
            }
            None => self.app.deploy(&self.deployed).await?,
        };
        trace::start!("the app is deployed");
        unless_cancelled()?;
        // Not before: until the stubs are there, events go where they have always gone, and are answered for by whoever did so.
        let _ = self.events.send(Event::Deployed);
        // Without a word from there the session is at its end.
        registered.await.map_err(|_| interrupted())?;
        trace::start!("the functions are registered");
        unless_cancelled()?;
        self.outputs = outputs;
        let manifest = &self.deployed.live.manifest;
        self.publication.update(manifest, &self.outputs).await?;
        drop(deploying);
        self.stands(State::Deployed);
        self.publication.say_ready(&manifest.functions)?;
        trace::start!("listening");
        Ok(())
    }

    /// Runs until cancelled.
    async fn watch(&mut self) {
        let cancel = self.app.cancel.clone();
        let mut pending = Pending::Nothing;
        let mut concerned = false;
        loop {
            if concerned {
                pending = self.look().await;
            }
            concerned = tokio::select! {
                () = cancel.cancelled() => return,
                Some(changes) = self.saved.recv() => {
                    let mut all = changes;
                    while let Ok(more) = self.saved.try_recv() {
                        all.extend(more);
                    }
                    self.concerned_by(&all, &pending)
                }
                Some(notice) = self.notices.recv() => {
                    match notice {
                        Notice::Began(other) => self.app.ui.warning(format!("{other} changes what is deployed")),
                        Notice::Ended(other) => {
                            let redeploy = self.replaced_by(&other).await;
                            if redeploy && !matches!(pending, Pending::Planned(_)) {
                                let gone = format!("the stubs are gone by `{}`", other.command);
                                self.waits(&[], vec![gone], None);
                                pending = Pending::Planned(Box::new(self.deployed.clone()));
                            }
                        }
                        Notice::Deploy(begins) => {
                            if let Pending::Planned(plan) = pending {
                                let _ = begins.send(());
                                pending = self.deploy(plan).await;
                            }
                        }
                    }
                    false
                }
                pressed = self.enter.recv(), if self.keyboard => {
                    self.keyboard = pressed.is_some();
                    match pressed.as_deref().map(str::trim) {
                        Some("o") => self.open_page().await,
                        Some("") => if let Pending::Planned(plan) = pending {
                            pending = self.deploy(plan).await;
                        },
                        _ => {}
                    }
                    false
                }
            };
            if cancel.is_cancelled() {
                return;
            }
        }
    }

    /// Tells whoever asks how things stand.
    fn stands(&self, state: State) {
        self.history.tell(Fact::Infrastructure(Standing { state, ..Standing::default() }));
    }

    /// The same where there is something to deploy, and maybe something has failed before.
    fn waits(&self, differences: &[StackChange], changes: Vec<String>, error: Option<&Error>) {
        let resources = differences.iter().flat_map(|stack| stack.resources.clone()).collect();
        let error = error.map(in_full);
        self.history.tell(Fact::Infrastructure(Standing {
            state: State::Changed,
            changes,
            resources,
            error,
        }));
    }

    /// A deployment of a plan has failed, which can be tried again.
    fn failed(&self, plan: &Plan, error: &Error) {
        let differences = changes(&self.deployed.live.templates, &plan.live.templates);
        self.waits(&differences, differences.iter().map(ToString::to_string).collect(), Some(error));
    }

    /// Opens the session's page in the user's browser.
    async fn open_page(&self) {
        match open_in_browser(&self.page).await {
            Ok(()) => self.app.ui.info("The console is opened in your browser"),
            Err(error) => show(&self.app.ui, &unopened(&error)),
        }
    }

    /// What was pressed before there is a question is no answer to it. So this comes before it is shown: what is pressed in the very next
    /// moment is one.
    fn forget_keys(&mut self) {
        while self.enter.try_recv().is_ok() {}
    }

    fn ask(&self, question: &str) {
        self.app.ui.send(UiEvent::Question(question.to_owned()));
    }

    fn concerned_by(&self, changes: &[FileChange], pending: &Pending) -> bool {
        let latest = match pending {
            Pending::Planned(plan) => plan,
            Pending::Nothing | Pending::Broken => &self.deployed,
        };
        let root = &self.app.settings.app.project.root;
        let sources = StackSources::new(root, &latest.inputs, &latest.live.manifest.functions);
        // A file that is missing is in no list; one that comes may be it.
        let repairs = matches!(pending, Pending::Broken) && changes.iter().any(|change| change.structural);
        sources.concerned_by(changes) || repairs
    }

    /// Synthesises the app, and asks whether to deploy it when that would change something.
    async fn look(&mut self) -> Pending {
        let ui = self.app.ui.clone();
        let planned = self.app.plan().await;
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) if error.kind == Kind::Interrupted => return Pending::Nothing,
            Err(error) => {
                show(&ui, &error);
                let error = Some(in_full(&error));
                self.history.tell(Fact::Infrastructure(Standing {
                    state: State::Broken,
                    error,
                    ..Standing::default()
                }));
                ui.info("What is deployed keeps running");
                return Pending::Broken;
            }
        };
        self.publication.follow(&plan.inputs);
        if !plan.reports_like(&self.deployed) {
            plan.report(&ui);
        }
        let (old, new) = (&self.deployed.live, &plan.live);
        let differences = changes(&old.templates, &new.templates);
        let gone = abandoned(&old.templates, &new.templates);
        if differences.is_empty() && gone.is_empty() && !self.halfway {
            self.take_over(plan).await;
            return Pending::Nothing;
        }
        let halfway = self.halfway.then(|| "what the deployment that failed has left".to_owned());
        let mut all: Vec<String> = halfway.into_iter().collect();
        all.extend(differences.iter().map(ToString::to_string));
        let stays =
            |stack| format!("{stack}: no longer part of the app; it stays until you remove it yourself");
        all.extend(gone.iter().map(stays));
        let lacking = self.lacking(&plan).await;
        all.extend(lacking.iter().flatten().map(|one| format!("the CDK's bootstrap: {one}")));
        ui.send(UiEvent::Infrastructure { changes: all.clone() });
        if let Err(error) = &lacking {
            show(&ui, error);
        }
        self.waits(&differences, all, None);
        self.forget_keys();
        if self.keyboard {
            self.ask("Press ENTER to deploy");
        } else {
            ui.info(
                "Deploy it in the console, or restart `sst start`: there is no terminal in which ENTER could be pressed",
            );
        }
        Pending::Planned(Box::new(plan))
    }

    /// Another command has changed what is deployed. Says which stubs are not there any more, and returns whether a deployment would
    /// bring them back.
    async fn replaced_by(&mut self, other: &Holder) -> bool {
        let (ui, aws) = (&self.app.ui, &self.app.aws);
        let command = &other.command;
        let Replaced { own_code, gone } = match replaced(aws, &self.deployed.live.manifest.functions).await {
            Ok(replaced) => replaced,
            Err(reason) => {
                ui.warning(format!(
                    "`{command}` has ended; whether the stubs are there is not known: {reason}"
                ));
                return false;
            }
        };
        let mut lost = Vec::new();
        if !own_code.is_empty() {
            lost.push(format!("with their own code in the cloud now: {}", listed(&own_code)));
        }
        if !gone.is_empty() {
            lost.push(format!("removed: {}", listed(&gone)));
        }
        if lost.is_empty() {
            ui.info(format!("`{command}` has ended; the stubs are in place"));
            return false;
        }
        self.halfway = true;
        let name = debug_stack::name(&self.app.target.stage, &self.app.settings.app.project.name);
        let can_be_had_back = !matches!(debug_stack::status(aws, &name).await, Ok(None)) && self.keyboard;
        let hint = match can_be_had_back {
            true => "press ENTER to deploy the stubs again",
            false => "start `sst start` again to deploy the stubs",
        };
        self.forget_keys();
        self.app.ui.send(UiEvent::Error {
            message: format!(
                "the stubs of this stage are gone by `{command}`, and calls do not come here any more; {}",
                lost.join("; ")
            ),
            hint: Some(hint.to_owned()),
        });
        can_be_had_back
    }

    /// Uses a plan that needs no deployment: what changed is only here.
    async fn take_over(&mut self, plan: Plan) {
        let same = plan.live.manifest == self.deployed.live.manifest;
        self.deployed = plan;
        self.stands(State::Deployed);
        if same {
            self.app.ui.info("Nothing to deploy");
        } else {
            self.publish().await;
            self.app.ui.info("The functions have changed; there is nothing to deploy");
        }
    }

    async fn deploy(&mut self, plan: Box<Plan>) -> Pending {
        self.stands(State::Deploying);
        // Others may have come and gone since it was made.
        let former = plan.clone();
        let plan = match self.app.renewed(*plan).await {
            Ok(plan) => plan,
            Err(error) if error.kind == Kind::Interrupted => return Pending::Nothing,
            Err(error) => {
                show(&self.app.ui, &error);
                self.failed(&former, &error);
                self.forget_keys();
                self.ask("What is deployed keeps running. Press ENTER to try again");
                return Pending::Planned(former);
            }
        };
        // Those that come are served as soon as their stubs are there, those that go until they are gone. When only a part can be
        // deployed, both serve on.
        let new = &plan.live.manifest.functions;
        let former = self.deployed.live.manifest.functions.iter();
        let going = former.filter(|function| new.iter().all(|other| other.id != function.id));
        self.serve(new.iter().chain(going));
        match self.try_deploy(&plan).await {
            Ok(outputs) => {
                let summary = difference(&self.deployed, &plan);
                self.deployed = plan;
                self.outputs = outputs;
                self.halfway = false;
                self.publish().await;
                let _ = self.events.send(Event::Deployed);
                self.stands(State::Deployed);
                self.app.ui.info(summary);
                Pending::Nothing
            }
            Err(error) if error.kind == Kind::Interrupted => Pending::Nothing,
            Err(error) => {
                self.halfway = true;
                show(&self.app.ui, &error);
                self.failed(&plan, &error);
                self.forget_keys();
                self.ask("What was deployed before keeps running. Press ENTER to try again");
                Pending::Planned(Box::new(plan))
            }
        }
    }

    async fn try_deploy(&self, plan: &Plan) -> Result<Outputs> {
        let _deploying = self.app.stage.deployment(self.app.cancel.clone(), &self.app.ui).await?;
        bootstrap(&self.app.context(), &self.app.aws, &self.lacking(plan).await?).await?;
        self.app.deploy(plan).await
    }

    /// What is missing of the CDK's own stacks where the app's are deployed.
    async fn lacking(&self, plan: &Plan) -> Result<Vec<Lacking>> {
        lacking(&self.app.settings.app.project, &self.app.aws, &plan.environments()).await
    }

    /// Makes what is deployed known to the core and to the rest of the machine.
    async fn publish(&mut self) {
        let manifest = &self.deployed.live.manifest;
        if let Err(error) = self.publication.update(manifest, &self.outputs).await {
            show(&self.app.ui, &error);
        }
        self.serve(manifest.functions.iter());
    }

    fn serve<'a>(&self, functions: impl Iterator<Item = &'a FunctionSpec>) {
        let functions = functions.cloned().map(Arc::new).collect();
        let _ = self.events.send(Event::Functions(functions));
    }
}

/// Which functions came and went.
fn difference(old: &Plan, new: &Plan) -> String {
    let missing = |from: &Plan, to: &Plan| {
        let there = &to.live.manifest.functions;
        let of = from.live.manifest.functions.iter();
        let names: Vec<String> = of
            .filter(|function| there.iter().all(|other| other.id != function.id))
            .map(|function| format!("`{}`", function.id))
            .collect();
        names.join(", ")
    };
    let (came, went) = (missing(new, old), missing(old, new));
    let count = counted(new.live.manifest.functions.len(), "function");
    let mut text = format!("{count} live");
    for (word, names) in [("new", came), ("removed", went)] {
        if !names.is_empty() {
            text += &format!("; {word}: {names}");
        }
    }
    text
}

/// The first few of them.
fn listed(functions: &[FunctionId]) -> String {
    const MOST: usize = 5;
    let names: Vec<String> = functions.iter().take(MOST).map(|id| format!("`{id}`")).collect();
    let names = names.join(", ");
    match functions.len().saturating_sub(MOST) {
        0 => names,
        more => format!("{names}, and {more} more"),
    }
}

//! The functions that are attached: switched at the beginning, looked after meanwhile, and given back at the end.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::{
    console::unopened,
    serving::{Means, counted, interrupted, show},
};
use crate::{
    attach::switch::{Attached, Change, Lease, Outcome, Switching, Wanted, leases},
    builder::Toolchain,
    core::event::Event,
    error::{Error, Kind, Result},
    history::{Fact, Infrastructure, InfrastructureState},
    local::Notice,
    process::open_in_browser,
    project::manifest::Manifest,
    ui::{Ui, UiEvent, prompt},
};

/// How often the leases are renewed, and it is looked whether somebody has deployed.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// What gives functions back that were left attached.
const RESTORE: &str = "`sst attach --restore` gives them their own code back";

/// That functions may be attached still. However the session ends, the user is told what to do.
pub(super) struct Guard {
    ui: Ui,
    names: Vec<String>,
}

impl Guard {
    /// Nothing is attached yet.
    pub(super) fn new(ui: &Ui) -> Self {
        Self { ui: ui.clone(), names: Vec::new() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.names.is_empty() {
            let names = self.names.join(", ");
            self.ui.warning(format!("these may be attached still: {names}; {RESTORE}"));
        }
    }
}

/// The task's state.
pub(super) struct Attachment {
    pub switching: Switching,
    pub manifest: Manifest,
    pub wanted: Vec<Wanted>,
    pub toolchain: Toolchain,
    pub means: Means,
    pub guard: Guard,
    /// Ends the serving.
    pub cancel: CancellationToken,
    /// The user wants it to end.
    pub interruption: CancellationToken,
    pub attached: Vec<Attached>,
    pub ui: Ui,
}

impl Attachment {
    /// Switches the functions, looks after them until the end, and gives them back. The session ends after that.
    ///
    /// # Errors
    /// When no function could be switched, or one not be given back.
    pub(super) async fn run(mut self) -> Result<()> {
        let begun = self.begin().await;
        if begun.is_ok() {
            self.watch().await;
        }
        // While what is sent here is answered still: until a function has its own code, calls come.
        let given_back = self.give_back().await;
        self.cancel.cancel();
        self.means.over.cancelled().await;
        begun.and(given_back)
    }

    async fn begin(&mut self) -> Result<()> {
        self.stands(InfrastructureState::Deploying);
        self.guard.names = self.wanted.iter().map(|wanted| wanted.deployed.name.clone()).collect();
        let names = self.guard.names.join(", ");
        self.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message: format!("Attaching {names}") });
        let functions = self.manifest.functions.clone();
        let (results, ()) =
            tokio::join!(self.switching.attach(&self.wanted), self.toolchain.ahead(&functions));
        let mut failed = Vec::new();
        for (name, result) in results {
            match result {
                Ok(attached) => self.attached.push(attached),
                Err(error) => failed.push((name, error)),
            }
        }
        if self.attached.is_empty() {
            self.ui.send(UiEvent::ProgressFailed { key: PROGRESS });
            self.guard.names.clear();
            // The first one stands for all: most often it is the same for each of them.
            let error = failed.into_iter().next().map(|(_, error)| error);
            return Err(error.unwrap_or_else(interrupted));
        }
        let count = counted(self.attached.len(), "function");
        self.ui.send(UiEvent::ProgressEnded { key: PROGRESS, message: format!("{count} attached") });
        for attached in &self.attached {
            if let Some(other) = &attached.taken_over_from {
                self.ui.info(format!("`{}` was attached by {other} until now", attached.name()));
            }
            for notice in &attached.notices {
                self.ui.warning(notice.clone());
            }
        }
        for (name, error) in failed {
            show(&self.ui, &error.of(format!("`{name}` is not attached")));
            self.drop_function(&name);
        }
        self.guard.names = self.attached.iter().map(|attached| attached.name().to_owned()).collect();
        if self.interruption.is_cancelled() {
            return Err(interrupted());
        }
        let _ = self.means.events.send(Event::Deployed);
        tokio::select! {
            registered = &mut self.means.registered => registered.map_err(|_| interrupted())?,
            () = self.interruption.cancelled() => return Err(interrupted()),
        }
        self.publish().await?;
        self.stands(InfrastructureState::Deployed);
        self.means.publication.say_ready(&self.manifest.functions)
    }

    /// Until the user wants it to end, or the session ends for another reason.
    async fn watch(&mut self) {
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewal.tick().await;
        let (mut keys, mut keyboard) = (prompt::lines(), true);
        while !self.attached.is_empty() {
            tokio::select! {
                () = self.interruption.cancelled() => return,
                () = self.cancel.cancelled() => return,
                _ = renewal.tick() => self.renew().await,
                pressed = keys.recv(), if keyboard => {
                    keyboard = pressed.is_some();
                    if pressed.as_deref().map(str::trim) == Some("o") {
                        self.open_page().await;
                    }
                }
                Some(notice) = self.means.notices.recv() => match notice {
                    Notice::Began(_) | Notice::Ended(_) | Notice::Deploy(_) => {}
                },
                Some(_) = self.means.saved.recv() => {}
            }
        }
    }

    /// Renews the leases. What others have done meanwhile wins, and is told.
    async fn renew(&mut self) {
        for (name, change) in self.switching.renew(&self.attached).await {
            self.attached.retain(|attached| attached.name() != name);
            self.guard.names.retain(|other| *other != name);
            self.drop_function(&name);
            let sentence = match change {
                Change::TakenOver { by } => format!("`{name}` is attached by {by} now, and runs there"),
                Change::GivenBack => format!("somebody has given `{name}` its own code back"),
                Change::Deployed { what, outcome } => {
                    let what = what.join(", ");
                    if let Outcome::Failed(error) = outcome {
                        show(&self.ui, &error.of(format!("`{name}` is attached still")).or_hint(RESTORE));
                    }
                    format!(
                        "somebody has deployed `{name}` ({what}), which stays; the rest is what it was before, and it does not run here any more"
                    )
                }
                Change::Gone => format!("`{name}` is not there any more"),
            };
            self.ui.warning(sentence);
            if let Err(error) = self.publish().await {
                show(&self.ui, &error);
            }
        }
    }

    /// Runs a function here no more.
    fn drop_function(&mut self, name: &str) {
        self.manifest.functions.retain(|function| function.id.as_str() != name);
        self.manifest.triggers.retain(|id, _| id.as_str() != name);
        let functions = self.manifest.functions.iter().cloned().map(Arc::new).collect();
        let _ = self.means.events.send(Event::Functions(functions));
    }

    async fn publish(&mut self) -> Result<()> {
        self.means.publication.update(&self.manifest, &crate::app::Outputs::new()).await
    }

    async fn open_page(&self) {
        match open_in_browser(&self.means.page).await {
            Ok(()) => self.ui.info("The console is opened in your browser"),
            Err(error) => self.ui.warning(unopened(&error).message),
        }
    }

    fn stands(&self, state: InfrastructureState) {
        self.means.history.tell(Fact::Infrastructure(Infrastructure { state, ..Infrastructure::default() }));
    }

    async fn give_back(&mut self) -> Result<()> {
        if self.attached.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.attached.iter().map(Attached::name).collect();
        let message = format!("Giving back {}", names.join(", "));
        self.ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
        let outcomes = self.switching.give_back(&self.attached).await;
        self.guard.names.clear();
        tell(outcomes, &self.ui)
    }
}

/// Says what has become of functions that were given back.
fn tell(outcomes: Vec<(String, Outcome)>, ui: &Ui) -> Result<()> {
    let (mut restored, mut failed) = (Vec::new(), Vec::new());
    let mut sentences = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Restored => restored.push(name),
            Outcome::RestoredAround { others } => sentences.push(format!(
                "`{name}` was deployed by somebody else meanwhile, which stays ({}); the rest is what it was before",
                others.join(", ")
            )),
            Outcome::Elsewhere { by: Some(by) } => sentences.push(format!("`{name}` is attached by {by} now")),
            Outcome::Elsewhere { by: None } => {
                sentences.push(format!("somebody else has given `{name}` its own code back"));
            }
            Outcome::Gone => sentences.push(format!("`{name}` is not there any more")),
            Outcome::Failed(error) => failed.push((name, error)),
        }
    }
    match (restored.len(), failed.is_empty()) {
        (0, true) => ui.send(UiEvent::ProgressEnded { key: PROGRESS, message: "Given back".to_owned() }),
        (0, false) => ui.send(UiEvent::ProgressFailed { key: PROGRESS }),
        (count, _) => {
            let has = if count == 1 { "has its" } else { "have their" };
            let message = format!("{} {has} own code back (verified)", restored.join(", "));
            ui.send(UiEvent::ProgressEnded { key: PROGRESS, message });
        }
    }
    for sentence in sentences {
        ui.warning(sentence);
    }
    let Some((name, error)) = failed.pop() else { return Ok(()) };
    for (name, error) in failed {
        show(ui, &error.of(format!("`{name}` is attached still")));
    }
    Err(error.of(format!("`{name}` is attached still")).or_hint(RESTORE))
}

/// `sst attach --restore`: gives back what was left attached. What others are attached to now is theirs.
///
/// # Errors
/// [`Kind::Cloud`] when it is not known what is attached; when a function could not be given back.
pub(super) async fn restore(switching: Option<Switching>, names: &[String], ui: &Ui) -> Result<()> {
    let leases = match &switching {
        Some(switching) => leases(&switching.aws, &switching.debug_stack).await?,
        None => Vec::new(),
    };
    let Some(switching) = switching.filter(|_| !leases.is_empty()) else {
        ui.info("No function is attached in this account and region: there is nothing to do");
        return Ok(());
    };
    let is_named = |lease: &Lease| names.is_empty() || names.contains(&lease.function);
    let (named, others): (Vec<_>, Vec<_>) = leases.into_iter().partition(is_named);
    if let Some(unknown) = names.iter().find(|name| named.iter().all(|lease| lease.function != **name)) {
        let attached: Vec<&str> = others.iter().chain(&named).map(|lease| lease.function.as_str()).collect();
        return Err(Error::new(Kind::Usage, format!("`{unknown}` is not attached"))
            .hint(format!("attached are {}", attached.join(", "))));
    }
    let is_theirs = |lease: &Lease| lease.live && lease.home != switching.home;
    let (theirs, ours): (Vec<_>, Vec<_>) = named.into_iter().partition(is_theirs);
    for lease in theirs {
        ui.info(format!("`{}` runs at {}, and stays so", lease.function, lease.owner));
    }
    give_back(&switching, &ours, ui).await
}

/// Gives back what was left attached by anybody who is not heard of any more.
///
/// # Errors
/// [`Kind::Cloud`] when it is not known what is attached. What cannot be given back is only told.
pub(super) async fn restore_abandoned(switching: &Switching, ui: &Ui) -> Result<()> {
    let abandoned = switching.abandoned().await?;
    if let Err(error) = give_back(switching, &abandoned, ui).await {
        show(ui, &error);
    }
    Ok(())
}

async fn give_back(switching: &Switching, leases: &[Lease], ui: &Ui) -> Result<()> {
    if leases.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        leases.iter().map(|lease| format!("{} (left by {})", lease.function, lease.owner)).collect();
    let message = format!("Giving back {}", names.join(", "));
    ui.send(UiEvent::ProgressBegan { key: PROGRESS, message });
    tell(switching.restore(leases).await, ui)
}

/// The key of the progress that is shown.
const PROGRESS: &str = "attach";

//! `sst start --restore-on-exit`: when the session is over, its functions get their own code back.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{super::restore, plan::App};
use crate::{
    app::{self, Stub},
    debug_stack,
    error::Result,
    ids::FunctionId,
    relay,
    ui::{Ui, UiEvent, prompt},
};

/// That a session leaves stubs behind, until they have their own code. However it ends, the user is told what to do.
pub(super) struct Stubs {
    ui: Ui,
    stage: String,
    /// What would have to be said.
    word: Option<String>,
}

impl Drop for Stubs {
    fn drop(&mut self) {
        if let Some(word) = self.word.take() {
            self.ui.info(word);
        }
    }
}

impl Stubs {
    /// It is not known yet whether anything is deployed.
    pub(super) fn new(ui: &Ui, stage: &str) -> Self {
        let mut stubs = Self { ui: ui.clone(), stage: stage.to_owned(), word: None };
        stubs.may_be();
        stubs
    }

    /// The functions are stubs for certain.
    pub(super) fn are(&mut self) {
        self.word = Some(restore::later(&self.stage));
    }

    fn may_be(&mut self) {
        let stage = &self.stage;
        self.word = Some(format!(
            "Functions of stage {stage} may be stubs still: `sst restore --stage {stage}` gives them their own code"
        ));
    }

    /// Gives the functions their own code back by one deployment, if the user wants it still.
    ///
    /// # Errors
    /// As a deployment; [`crate::error::Kind::Cloud`] when it cannot be seen what is deployed, and who serves it.
    pub(super) async fn restore(
        mut self,
        app: App,
        keyboard: Option<mpsc::UnboundedReceiver<String>>,
    ) -> Result<()> {
        if !wanted(&self.ui, &self.stage, keyboard).await {
            return Ok(());
        }
        self.may_be();
        // The session was cancelled, and this is not.
        let app = App { cancel: CancellationToken::new(), ..app };
        restore(app, &self.ui, &self.stage).await?;
        self.word = None;
        Ok(())
    }
}

/// Whether the user, who has asked for it at the start, still wants to wait for it. Where there is nobody to ask, it was asked for.
async fn wanted(ui: &Ui, stage: &str, keyboard: Option<mpsc::UnboundedReceiver<String>>) -> bool {
    let Some(mut keyboard) = keyboard.filter(|_| prompt::is_interactive()) else { return true };
    // What was pressed before there is a question is no answer to it.
    while keyboard.try_recv().is_ok() {}
    loop {
        ui.send(UiEvent::Question(format!(
            "Give the functions of stage {stage} their own code back now? Ctrl-C leaves them stubs [Y/n]"
        )));
        // A terminal that is gone says nothing any more.
        let Some(answer) = keyboard.recv().await else { return true };
        match answer.trim().to_lowercase().as_str() {
            "" | "y" | "yes" => return true,
            "n" | "no" => return false,
            _ => {}
        }
    }
}

async fn restore(mut app: App, ui: &Ui, stage: &str) -> Result<()> {
    let name = debug_stack::name(stage, &app.settings.app.project.name);
    let served = match debug_stack::find(&app.aws, &name).await? {
        Some(stack) => relay::served(&app.aws, &stack, &app.home).await?,
        // Without it nobody can.
        None => BTreeMap::new(),
    };
    let own = app.own_code(&served).await?;
    let stubs = app::stubs(&app.aws, &own.assembly).await.map_err(restore::unknown)?;
    let of_others = |stub: &Stub| stub.id.as_ref().and_then(|id| own.kept.get(id));
    let mut left: BTreeMap<&str, Vec<&FunctionId>> = BTreeMap::new();
    for stub in &stubs {
        if let (Some(kept), Some(id)) = (of_others(stub), &stub.id) {
            left.entry(&kept.owner).or_default().push(id);
        }
    }
    for (owner, functions) in left {
        let names: Vec<&str> = functions.into_iter().map(FunctionId::as_str).collect();
        ui.info(format!("Served by {owner}, so they stay stubs: {}", names.join(", ")));
    }
    let ours: Vec<Stub> = stubs.iter().filter(|stub| of_others(stub).is_none()).cloned().collect();
    if ours.is_empty() {
        ui.info(format!("Of stage {stage}, no function that was served here is a stub any more: there is nothing to restore"));
        return Ok(());
    }
    ui.info(restore::beginning(stage, &ours));
    app.deploy_own_code(&own, restore::selectors(&ours)).await?;
    ui.info(restore::end(stage, &ours));
    Ok(())
}

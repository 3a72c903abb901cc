//! `sst start`: deploys the app with stubs in place of its functions, and runs the functions here.

mod infrastructure;
mod plan;
mod preparation;
mod restoring;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::{
    infrastructure::{Beginning, Infrastructure},
    plan::App,
    preparation::{Preparation, Prepared},
    restoring::Stubs,
};
use super::{
    claims, restore,
    serving::{Means, Serving, interrupted, ports, until_cancelled},
};
use crate::{
    app::Outputs,
    error::Result,
    process::Spawner,
    project::StateDir,
    settings, trace,
    ui::{Ui, prompt},
    watch,
};

/// Runs until interrupted.
///
/// # Errors
/// Whatever keeps the app from being deployed and its functions from being run; see [`crate::error::Kind`].
pub(super) async fn run(
    settings: settings::Start,
    spawner: &Spawner,
    ui: &Ui,
    interruption: &CancellationToken,
) -> Result<()> {
    ports::check(&settings.running)?;
    watch::check(&settings.app.project.root)?;
    let state_dir = settings.app.project.state_dir()?;
    let session = tokio::select! {
        session = claims::ProjectClaim::begin(claims::START, &settings.app.project, ui) => session?,
        () = interruption.cancelled() => return Err(interrupted()),
    };
    let _heeding = session.heed(interruption);
    trace::start!("the project is claimed");
    if settings.local.is_some() && settings.restore_on_exit {
        ui.warning("`--restore-on-exit` has no effect with `--local`: the local cloud ends with this command, and its functions with it");
    }
    let mut cloud = None;
    let cancel = interruption.child_token();
    let preparation = Preparation {
        settings: &settings,
        state_dir: &state_dir,
        spawner,
        ui,
        cancel: &cancel,
        claim: &session,
    };
    let preparing = preparation.run(&mut cloud);
    let result = match until_cancelled(preparing, &cancel, ui).await {
        Ok(prepared) => serve(prepared, state_dir).await,
        Err(error) => Err(error),
    };
    if let Some(cloud) = cloud {
        cloud.stop().await;
    }
    result
}

/// Serves the functions, and deploys the app meanwhile.
async fn serve(prepared: Prepared, state_dir: StateDir) -> Result<()> {
    let Prepared { app, plan, unchanged, relay, served, deploying, events, watches, trust } = prepared;
    let App { settings, tools, spawner, ui, aws, target, toolchain, cancel, .. } = app.clone();
    let stage = target.stage;
    let (outcome_sender, mut outcome) = oneshot::channel();
    let (keyboard_sender, mut keyboard) = oneshot::channel();
    let leaves_stubs = settings.local.is_none();
    let stubs = (leaves_stubs && settings.restore_on_exit).then(|| Stubs::new(&ui, &stage));
    let serving = Serving {
        project: settings.app.project,
        running: settings.running,
        stage: stage.clone(),
        outputs_file: settings.outputs_file,
        tools,
        toolchain,
        spawner,
        ui: ui.clone(),
        aws,
        state_dir,
        relay,
        events,
        watches,
        trust,
        functions: plan.live.manifest.functions.clone(),
        cancel,
    };
    let deployed = app.clone();
    let deployment = |means: Means| {
        let Means { publication, events, saved, notices, history, page, registered, over } = means;
        let infrastructure = Infrastructure {
            app: deployed,
            deployed: plan,
            outputs: Outputs::new(),
            publication,
            events,
            saved,
            notices,
            history,
            page,
            enter: prompt::lines(),
            halfway: false,
            keyboard: true,
        };
        let beginning = Beginning {
            unchanged,
            deploying,
            registered,
            outcome: outcome_sender,
            keyboard: keyboard_sender,
        };
        infrastructure.run(beginning, over)
    };
    let result = serving.run(deployment).await;
    match outcome.try_recv() {
        Ok(Ok(())) => {}
        // Nothing has ever been in place. What has ended the session comes first: the deployment was only cancelled by it.
        Ok(Err(error)) => return result.and(Err(error)),
        Err(_) => return result.and(Err(interrupted())),
    }
    let result = match stubs {
        Some(mut stubs) => {
            stubs.are();
            // Of a session that has failed, nobody may be there to answer.
            let keyboard = keyboard.try_recv().ok().filter(|_| result.is_ok());
            let restored = stubs.restore(app, keyboard).await;
            match (result, restored) {
                (Err(failure), restored) => {
                    if let Err(error) = restored {
                        ui.warning(format!(
                            "the functions did not get their own code back: {}",
                            error.message
                        ));
                    }
                    // What has ended the session comes first.
                    Err(failure)
                }
                (Ok(()), restored) => restored,
            }
        }
        None => {
            if leaves_stubs {
                ui.info(restore::later(&stage));
            }
            result
        }
    };
    // Until then nobody else serves the stage from here.
    drop(served);
    ui.info("Stopped");
    result
}

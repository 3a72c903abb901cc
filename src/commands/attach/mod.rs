//! `sst attach`: functions that are deployed already run here, until they get their own code back.
//!
//! Nothing is changed before the user has seen what: first the functions are found, then asked for, then switched, while what they are
//! sent is answered already. At the end they are given back while it still is, so that no call finds nobody.

mod attached;
mod finding;
mod mapping;

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    attached::{Attachment, Guard},
    finding::Findings,
};
use super::{
    claims::{self, owner},
    serving::{Means, Serving, Watches, counted, interrupted, ports, stubs, tell_of_mounts, until_cancelled},
    stage::answer_to,
};
use crate::{
    attach::{
        self,
        switch::{Switching, Wanted},
    },
    aws::Aws,
    builder::Toolchain,
    debug_stack::{self, Custom, DebugStack},
    error::{Error, Kind, Result},
    layers,
    process::{self, Spawner},
    project::{
        StateDir,
        manifest::{FunctionSpec, Manifest},
    },
    relay::Relay,
    settings,
    stub_package::Stubs,
    tools::Tools,
    ui::{Ui, prompt},
    watch,
};

/// What it is called in locks.
const ATTACH: &str = "sst attach";

/// What the stage is called of functions whose tool knows none.
const NO_STAGE: &str = "deployed";

/// Runs until interrupted.
///
/// # Errors
/// Whatever keeps functions from being found, switched, run, and given back; see [`Kind`].
pub(super) async fn run(
    settings: settings::Attach,
    spawner: &Spawner,
    ui: &Ui,
    interruption: &CancellationToken,
) -> Result<()> {
    ports::check(&settings.running)?;
    watch::check(&settings.project.root)?;
    let state_dir = settings.project.state_dir()?;
    let session = tokio::select! {
        session = claims::ProjectClaim::begin(ATTACH, &settings.project, ui) => session?,
        () = interruption.cancelled() => return Err(interrupted()),
    };
    let _heeding = session.heed(interruption);
    for sentence in &settings.project.unknown {
        ui.warning(sentence.clone());
    }
    let command = Command { settings, state_dir, spawner: spawner.clone(), ui: ui.clone() };
    let cancel = interruption.child_token();
    let prepared = until_cancelled(command.prepare(&cancel), &cancel, ui).await?;
    match prepared {
        Some(prepared) => command.serve(prepared, interruption).await,
        None => Ok(()),
    }
}

/// What it works with.
struct Command {
    settings: settings::Attach,
    state_dir: StateDir,
    spawner: Spawner,
    ui: Ui,
}

/// What there is when functions can be switched.
struct Prepared {
    tools: Tools,
    aws: Aws,
    stage: String,
    relay: Relay,
    switching: Switching,
    manifest: Manifest,
    wanted: Vec<Wanted>,
}

impl Command {
    /// Finds the functions, asks for them, and prepares what they are met with. None when there is nothing to serve.
    async fn prepare(&self, cancel: &CancellationToken) -> Result<Option<Prepared>> {
        let Self { settings, state_dir, spawner, ui } = self;
        let tools = Tools::find(state_dir.create_directory("tool")?, spawner).await?;
        process::claim(&tools.node_version);
        let (aws, declared) = finding::declaration(self, &tools, cancel).await?;
        let stack = debug_stack::find(&aws, &debug_stack_name()).await?;
        let stubs = stubs::pack(&tools, state_dir, false).await?;
        let switching = stack.map(|stack| self.switching(&aws, stack, stubs.clone())).transpose()?;
        if settings.restore {
            attached::restore(switching, &settings.functions, ui).await?;
            return Ok(None);
        }
        if let Some(switching) = &switching {
            attached::restore_abandoned(switching, ui).await?;
        }
        let findings = finding::find(self, &aws, declared, switching.as_ref(), &stubs).await?;
        findings.report(ui);
        let Findings { stage, mut manifest, wanted, .. } = findings;
        if wanted.is_empty() {
            return Err(Error::new(Kind::Usage, "no function could run here")
                .hint("say where their code is in `sst.json`, or choose others: `--stack`, `--function`"));
        }
        tokio::select! {
            confirmed = self.confirm(&manifest.functions) => confirmed?,
            () = cancel.cancelled() => return Err(interrupted()),
        }
        layers::download(&mut manifest, &aws, &settings.cache, ui).await;
        if manifest.functions.iter().any(|function| !function.layers.is_empty()) {
            tell_of_mounts(spawner, ui).await;
        }
        let (template, tags) = (attach::switch::template(), BTreeMap::new());
        let custom = Some(Custom { template: &template, tags: &tags });
        let (debug_stack, relay) = stubs::meet(&aws, &debug_stack_name(), custom, &self.home()?, ui).await?;
        let switching = self.switching(&aws, debug_stack, stubs)?;
        Ok(Some(Prepared { tools, aws, stage, relay, switching, manifest, wanted }))
    }

    fn switching(&self, aws: &Aws, debug_stack: DebugStack, stubs: Stubs) -> Result<Switching> {
        Ok(Switching {
            aws: aws.clone(),
            debug_stack,
            stubs,
            owner: owner(),
            home: self.home()?,
            increase_timeout: self.settings.running.increase_timeout,
            yes_production: self.settings.yes_production,
            ui: self.ui.clone(),
        })
    }

    /// Asks whether these are to run here.
    async fn confirm(&self, functions: &[FunctionSpec]) -> Result<()> {
        let names: Vec<&str> = functions.iter().map(|function| function.id.as_str()).collect();
        let question =
            format!("These will run on this machine until you end: {}. Go on? [Y/n]", names.join(", "));
        if self.settings.yes {
            return Ok(());
        }
        if !prompt::is_interactive() {
            return Err(Error::new(
                Kind::Usage,
                "nothing was attached: there is no terminal in which you could be asked",
            )
            .hint("give `--yes` to begin without asking"));
        }
        match answer_to(question).await.map(|answer| answer.to_lowercase()).as_deref() {
            Some("" | "y" | "yes") => Ok(()),
            _ => Err(Error::new(Kind::Interrupted, "not attached")),
        }
    }

    /// Other projects of this user are others: each serves what it has attached.
    fn home(&self) -> Result<String> {
        let project = sst_wire::sha256_hex(self.settings.project.root.as_str().as_bytes());
        Ok(format!("{}-{}", claims::home(&self.settings.cache)?, &project[..16]))
    }

    /// Serves the functions, and switches them meanwhile.
    async fn serve(self, prepared: Prepared, interruption: &CancellationToken) -> Result<()> {
        let Prepared { tools, aws, stage, relay, switching, manifest, wanted } = prepared;
        let Self { settings, state_dir, spawner, ui } = self;
        let events = mpsc::unbounded_channel();
        let root = settings.project.root.clone();
        let watches = Watches::start(root.clone(), events.0.clone(), ui.clone())?;
        let toolchain = Toolchain::new(
            spawner.clone(),
            root,
            state_dir.create_directory("artifacts")?,
            settings.cache.clone(),
            ui.clone(),
        );
        let cancel = CancellationToken::new();
        let (outcome_sender, mut outcome) = oneshot::channel();
        let guard = Guard::new(&ui);
        let serving = Serving {
            project: settings.project,
            running: settings.running,
            stage,
            outputs_file: None,
            tools,
            toolchain: toolchain.clone(),
            spawner,
            ui: ui.clone(),
            aws,
            state_dir,
            relay,
            events,
            watches,
            trust: None,
            functions: manifest.functions.clone(),
            cancel: cancel.clone(),
        };
        let (ui_of_task, interruption) = (ui.clone(), interruption.clone());
        let deployment = |means: Means| {
            let attachment = Attachment {
                switching,
                manifest,
                wanted,
                toolchain,
                means,
                guard,
                cancel,
                interruption,
                attached: Vec::new(),
                ui: ui_of_task,
            };
            async move {
                let _ = outcome_sender.send(attachment.run().await);
            }
        };
        let result = serving.run(deployment).await;
        // What has ended the session comes first.
        result.and(outcome.try_recv().unwrap_or_else(|_| Err(interrupted())))?;
        ui.info("Stopped");
        Ok(())
    }
}

fn debug_stack_name() -> String {
    debug_stack::name(attach::STAGE, attach::APP)
}

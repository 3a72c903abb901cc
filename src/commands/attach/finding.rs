//! Which functions are meant, and where their code is: what is found, and what the user is asked about it.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{
    super::{connect, stage::stage},
    Command, NO_STAGE, mapping,
};
use crate::{
    app,
    attach::{
        Deployed,
        find::{self, Asked, Candidate, Chosen, Declaration, Found, Sourced, Unsourced},
        switch::{self, Asking, Prospect, Switching, Wanted},
    },
    aws::Aws,
    error::Result,
    project::manifest::{LeftAlone, Manifest},
    stub_package::Stubs,
    tools::Tools,
    ui::{Ui, prompt},
};

/// What the project says of its functions, and what calls them if it says that.
pub(super) struct Declared {
    declaration: Option<Declaration>,
    /// What an app of the CDK was found to be.
    app: Option<Manifest>,
}

/// What is known when everything was looked up.
pub(super) struct Findings {
    /// What it was found in, e.g. `samconfig.toml (stack orders-dev)`.
    shown: String,
    /// How each function is shown, in order.
    functions: Vec<String>,
    notices: Vec<String>,
    pub stage: String,
    pub manifest: Manifest,
    pub wanted: Vec<Wanted>,
}

/// Reads what the project says, and connects to the account that it says it is in.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for files that are not what they should be; as a synthesis, and as [`connect`].
pub(super) async fn declaration(
    command: &Command,
    tools: &Tools,
    cancel: &CancellationToken,
) -> Result<(Aws, Declared)> {
    let Command { settings, ui, .. } = command;
    let nothing = Declared { declaration: None, app: None };
    if settings.restore {
        return Ok((connect(settings.aws(None, None), ui).await?, nothing));
    }
    if find::is_app(&settings.project.root) {
        let aws = connect(settings.aws(None, None), ui).await?;
        let declared = app(command, tools, &aws, cancel).await?;
        return Ok((aws, declared));
    }
    let declaration = find::declare(&command.asked()).await?;
    let said = |field: fn(&Declaration) -> &Option<String>| {
        declaration.as_ref().and_then(|declaration| field(declaration).as_deref())
    };
    let options =
        settings.aws(said(|declaration| &declaration.region), said(|declaration| &declaration.profile));
    Ok((connect(options, ui).await?, Declared { declaration, ..nothing }))
}

/// Synthesises an app of the CDK, which tells where its functions' code is.
async fn app(command: &Command, tools: &Tools, aws: &Aws, cancel: &CancellationToken) -> Result<Declared> {
    let Command { settings, state_dir, spawner, ui } = command;
    let fallback = aws.endpoint.is_some().then_some("dev");
    let stage =
        stage(&settings.project, settings.stage.as_deref(), fallback, Some(&aws.caller_arn), ui).await?;
    let work = state_dir.below("attach")?;
    let context = app::Context { project: &settings.project, work: &work, tools, spawner, ui, cancel };
    let target = app::Destination {
        stage: stage.clone(),
        account: aws.account.clone(),
        region: aws.region.clone(),
        debug_stack: None,
        context: serde_json::Map::new(),
    };
    let mut assembly = app::synthesize(&context, &target, &[]).await?;
    if app::look_up(&context, aws, &target, &assembly).await? {
        assembly = app::synthesize(&context, &target, &[]).await?;
    }
    let mut manifest = app::discover(&assembly, &settings.project)?;
    manifest.triggers = app::triggers(&assembly, &manifest.functions);
    let declaration = Declaration { stage: Some(stage), ..find::from_manifest(&manifest) };
    Ok(Declared { declaration: Some(declaration), app: Some(manifest) })
}

/// Finds the functions, and decides which of them run here.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for functions and stacks that there are not; [`crate::error::Kind::Cloud`] when AWS does not say.
pub(super) async fn find(
    command: &Command,
    aws: &Aws,
    declared: Declared,
    switching: Option<&Switching>,
    stubs: &Stubs,
) -> Result<Findings> {
    let Command { settings, .. } = command;
    let chosen = Chosen { stacks: &settings.stacks, functions: &settings.functions };
    let mappings = &settings.project.functions;
    let Declared { declaration, app } = declared;
    let asked = command.asked();
    let found = find::look_up(aws, declaration.as_ref(), &chosen, &asked, mappings).await?;
    let stage = declaration.and_then(|declaration| declaration.stage);
    let stage = settings.stage.clone().or(stage).unwrap_or_else(|| NO_STAGE.to_owned());
    let Found { shown, candidates, notices } = found;
    let mut findings = Findings {
        shown,
        functions: Vec::new(),
        notices,
        stage,
        manifest: Manifest::default(),
        wanted: Vec::new(),
    };
    let originals = originals(switching).await?;
    let home = command.home()?;
    let asking = Asking {
        aws,
        debug_stack: switching.map(|switching| &switching.debug_stack),
        stubs,
        home: &home,
        yes_production: settings.yes_production,
    };
    for candidate in candidates {
        let candidate = match originals.get(&candidate.deployed.name) {
            Some(original) => candidate.as_it_was(original.clone(), asked.root, mappings),
            None => candidate,
        };
        findings.add(command, &asking, candidate).await?;
    }
    if let Some(app) = app {
        findings.take_triggers(&app);
    }
    Ok(findings)
}

/// What functions are without their stubs that are attached already, by their names.
async fn originals(switching: Option<&Switching>) -> Result<BTreeMap<String, Deployed>> {
    let mut originals = BTreeMap::new();
    let Some(switching) = switching else { return Ok(originals) };
    for lease in switch::leases(&switching.aws, &switching.debug_stack).await? {
        if let Some(original) = switching.original(&lease.function).await? {
            originals.insert(lease.function, original);
        }
    }
    Ok(originals)
}

impl Command {
    fn asked(&self) -> Asked<'_> {
        Asked {
            root: &self.settings.project.root,
            stage: self.settings.stage.as_deref(),
            region: self.settings.region.as_deref(),
            spawner: &self.spawner,
            ui: &self.ui,
        }
    }
}

impl Findings {
    /// Says what was found: one line for all.
    pub(super) fn report(&self, ui: &Ui) {
        let count = super::counted(self.functions.len(), "function");
        ui.info(format!("{count} found in {}: {}", self.shown, self.functions.join(" · ")));
        for notice in &self.notices {
            ui.warning(notice.clone());
        }
    }

    /// Adds a function, unless it is left alone.
    async fn add(&mut self, command: &Command, asking: &Asking<'_>, candidate: Candidate) -> Result<()> {
        let Candidate { label, deployed, stack, source, .. } = candidate;
        let sourced = match source {
            Ok(sourced) => Ok(sourced),
            Err(Unsourced::Ambiguous(places)) => self.ask(command, &label, places).await?,
            Err(Unsourced::NotFound(places)) => {
                self.notices.push(format!(
                    "no source found of `{label}`: {places}; say where it is in `sst.json`: \
                     \"functions\": {{ \"{label}\": {{ \"entry\": \"…\" }} }}"
                ));
                Err("no source found".to_owned())
            }
            Err(Unsourced::Unable(reason)) => Err(reason),
        };
        let id = deployed.name.clone();
        let wanted = Wanted { deployed, stage: Some(self.stage.clone()), stack };
        let refused = match sourced {
            Ok(sourced) => match asking.prospect(&wanted).await? {
                Prospect { refusal: None, notices } => {
                    self.notices.extend(notices);
                    self.functions.push(format!("{label} ({})", sourced.shown));
                    self.manifest.functions.push(sourced.spec);
                    self.wanted.push(wanted);
                    return Ok(());
                }
                Prospect { refusal: Some(reason), .. } => reason,
            },
            Err(reason) => reason,
        };
        self.functions.push(format!("{label}: {refused}, left alone"));
        self.manifest.left_alone.push(LeftAlone { id: id.into(), reason: refused });
        Ok(())
    }

    /// Asks which of several places a function's code is in, and keeps the answer in `sst.json`.
    async fn ask(
        &mut self,
        command: &Command,
        label: &str,
        places: Vec<Sourced>,
    ) -> Result<Result<Sourced, String>> {
        let shown: Vec<&str> = places.iter().map(|place| place.shown.as_str()).collect();
        if !prompt::is_interactive() {
            self.notices.push(format!(
                "`{label}` may be {}; say which in `sst.json`: \"functions\": {{ \"{label}\": {{ \"entry\": \"…\" }} }}",
                shown.join(" or ")
            ));
            return Ok(Err("its source is not certain".to_owned()));
        }
        match mapping::ask(label, &shown).await {
            Some(index) => {
                let place = places.into_iter().nth(index);
                if let Some(place) = &place {
                    mapping::keep(&command.settings.project.root, label, place)?;
                    command.ui.info(format!("`{label}` is {}, kept in `sst.json`", place.shown));
                }
                Ok(place.ok_or_else(|| "its source is not certain".to_owned()))
            }
            None => Ok(Err("its source is not certain".to_owned())),
        }
    }

    /// What calls the functions of an app is known by their construct paths, and here by their names.
    fn take_triggers(&mut self, app: &Manifest) {
        for function in &self.manifest.functions {
            let declared = app
                .functions
                .iter()
                .find(|other| other.stack == function.stack && other.logical_id == function.logical_id);
            if let Some(triggers) = declared.and_then(|declared| app.triggers.get(&declared.id)) {
                self.manifest.triggers.insert(function.id.clone(), triggers.clone());
            }
        }
    }
}

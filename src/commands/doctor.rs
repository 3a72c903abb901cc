//! `sst doctor`: looks at everything that the other commands need, one line each, with what to do.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, SystemTime},
};

use super::serving::counted;
use crate::{
    app,
    attach::{self, switch::Lease},
    aws::Aws,
    bridge, cache,
    debug_stack::{self, Status},
    editors,
    error::{Error, Kind, Result},
    languages::{self, Find, Language, Toolbox},
    process::{Command, Spawner, Stdio},
    project::{Kind as ProjectKind, StateDir, manifest::Manifest},
    settings,
    tools::Tools,
    ui::Ui,
};

/// How long a program may take to say which version it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at everything, and says what it finds.
///
/// # Errors
/// [`Kind::Environment`] when something is missing that the app needs.
pub(super) async fn run(settings: &settings::App, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let state_dir = settings.project.state_dir()?;
    let mut findings = Findings { ui, bad: 0 };
    findings.good(format!("project `{}` in {}", settings.project.name, settings.project.root));
    match Tools::find(state_dir.create_directory("tool")?, spawner).await {
        Ok(tools) => {
            findings.good(format!("Node.js {} at {}", tools.node_version, tools.node));
            match app::cdk_version(&settings.project, &tools) {
                // Who attaches to what another tool has deployed does not need it.
                _ if settings.project.kind == ProjectKind::Deployed => {}
                Ok(version) => findings.good(format!("CDK CLI {version}")),
                Err(error) => findings.error(&error),
            }
        }
        Err(error) => findings.error(&error),
    }
    let manifest = manifest(&state_dir)?;
    languages(&mut findings, &manifest, spawner).await;
    let (root, artifacts) = (settings.project.root.clone(), state_dir.path("artifacts"));
    let toolbox = Toolbox::new(spawner.clone(), root, artifacts, cache::directory()?, ui.clone());
    runtimes(&mut findings, &manifest, &toolbox).await;
    cloud(&mut findings, settings).await;
    ports(&mut findings, &state_dir);
    let configurations = editors::found(&settings.project.root);
    if configurations.is_empty() {
        findings.note("no launch configurations", "`sst ide vscode`, or another editor's");
    }
    for file in configurations {
        findings.good(format!("launch configuration `{file}`"));
    }
    match findings.bad {
        0 => Ok(()),
        1 => Err(Error::new(Kind::Environment, "one thing has to be put right")),
        bad => Err(Error::new(Kind::Environment, format!("{bad} things have to be put right"))),
    }
}

struct Findings<'a> {
    ui: &'a Ui,
    bad: usize,
}

impl Findings<'_> {
    fn good(&mut self, what: String) {
        self.ui.info(format!("✓ {what}"));
    }

    /// Something that only some need.
    fn note(&mut self, what: &str, fix: &str) {
        self.ui.info(format!("- {what}: {fix}"));
    }

    fn bad(&mut self, what: &str, fix: &str) {
        self.bad += 1;
        self.ui.info(format!("✗ {what}: {fix}"));
    }

    fn error(&mut self, error: &Error) {
        let hint = error.hint.as_deref().or(error.detail.as_deref()).unwrap_or("see `--verbose`");
        self.bad(&error.message, hint);
    }
}

/// The functions of the app, if `sst start` has ever found them.
pub(super) fn manifest(state_dir: &StateDir) -> Result<Manifest> {
    let text = state_dir.read("functions.json")?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Compilers, interpreters and debuggers of the languages that the app uses. A missing debugger costs only debugging.
async fn languages(findings: &mut Findings<'_>, manifest: &Manifest, spawner: &Spawner) {
    match version(spawner, "python3", &["--version"]).await {
        Some(version) => match python_is_old(&version) {
            true => findings.note(&version, "`--local` needs Python 3.10 or newer"),
            false => findings.good(version),
        },
        None => findings.bad("`python3` is not in the PATH", "`--local` needs Python 3.10 or newer"),
    }
    let is_used = |language: &&dyn Language| {
        manifest.functions.iter().any(|function| function.language.as_str() == language.id())
    };
    for check in languages::all().filter(is_used).flat_map(Language::checks) {
        let found = match &check.find {
            Find::Version(program, arguments) => version(spawner, program, arguments).await,
            Find::Path(name, find) => find().map(|path| format!("{name} at {}", path.display())),
        };
        match found {
            Some(found) => findings.good(found),
            None if check.only_debugging => findings.note(check.missing, check.fix),
            None => findings.bad(check.missing, check.fix),
        }
    }
}

/// What runs the functions of each runtime, where its version matters.
async fn runtimes(findings: &mut Findings<'_>, manifest: &Manifest, toolbox: &Toolbox) {
    let mut said = BTreeSet::new();
    for function in &manifest.functions {
        let language = languages::get(&function.language);
        let Some(interpreter) = language.interpreter(function, toolbox).await else { continue };
        let what = format!(
            "functions of `{}` run on {} at {}",
            function.runtime, interpreter.name, interpreter.path
        );
        if !said.insert(what.clone()) {
            continue;
        }
        match &interpreter.advice {
            Some(advice) => findings.note(&what, advice),
            None => findings.good(what),
        }
    }
}

/// Whether what Python says of its version is less than the local cloud needs.
fn python_is_old(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("Python ").split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (3, 10))
}

/// The first line that a program says of its version.
pub(super) async fn version(spawner: &Spawner, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(which::which(program).ok()?);
    command.args(arguments).stdout(Stdio::piped());
    let said = spawner.spawn(command).await.ok()?.wait_with_output();
    let output = tokio::time::timeout(PATIENCE, said).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().take(2).map(str::trim).collect();
    output.status.success().then(|| lines.join(", ")).filter(|text| !text.is_empty())
}

/// Who is asking, and what is there already.
async fn cloud(findings: &mut Findings<'_>, settings: &settings::App) {
    let aws = match Aws::connect(settings.aws()).await {
        Ok(aws) => aws,
        // `--local` needs no account.
        Err(error) => {
            let hint = error.hint.as_deref().unwrap_or("see `--verbose`");
            let local = if hint.contains("`--local`") { "" } else { "; `--local` needs none" };
            return findings.note(&format!("AWS: {}", error.message), &format!("{hint}{local}"));
        }
    };
    findings.good(format!("{} in account {}, {}", aws.caller_arn, aws.account, aws.region));
    match (aws.clock.fault(), aws.clock.ahead_s()) {
        (Some(fault), _) => findings.note(&format!("this machine's clock is {fault}"), super::CLOCK_FIX),
        (None, Some(_)) => findings.good("this machine's clock is right".to_owned()),
        (None, None) => {}
    }
    attached(findings, &aws).await;
    if settings.project.kind == ProjectKind::Deployed {
        return;
    }
    let environment = app::Environment::usual(&aws.account, &aws.region, settings.project.qualifier());
    match app::lacking(&settings.project, &aws, &[environment]).await.as_deref() {
        Ok([]) => findings.good("the account is bootstrapped for the CDK".to_owned()),
        Ok([lacking, ..]) => findings.note(&lacking.to_string(), "`sst start` and `sst deploy` offer it"),
        Err(error) => findings.error(error),
    }
    let stage = settings.stage.clone().or_else(|| {
        let stored = settings.project.state_dir().ok()?.read("stage").ok()??;
        Some(stored.trim().to_owned()).filter(|stage| !stage.is_empty())
    });
    let Some(stage) = stage else {
        return findings.note("no stage is known", "`sst start` asks for it, or give `--stage`");
    };
    let name = debug_stack::name(&stage, &settings.project.name);
    match debug_stack::status(&aws, &name).await {
        Ok(Some(Status { status, current })) => {
            // What the app makes of it is only known when it is synthesised.
            if current || settings.project.may_change_debug_stack() {
                findings.good(format!("the debug stack `{name}` is {status}"));
            } else {
                findings.note(
                    &format!("the debug stack `{name}` is {status}, and of another version of `sst`"),
                    "the next `sst start` deploys it anew",
                );
            }
        }
        Ok(None) => findings.note(&format!("there is no debug stack `{name}`"), "`sst start` deploys it"),
        Err(error) => findings.error(&error),
    }
}

/// What is attached in the account and region, by whom, and since when.
async fn attached(findings: &mut Findings<'_>, aws: &Aws) {
    let leases = match debug_stack::find(aws, &debug_stack::name(attach::STAGE, attach::APP)).await {
        Ok(Some(stack)) => attach::switch::leases(aws, &stack).await,
        Ok(None) => return,
        Err(error) => Err(error),
    };
    match leases {
        Ok(leases) => {
            for lease in leases {
                let Lease { function, owner, since_s, live, .. } = lease;
                let age = aged(aws.clock.now(), since_s);
                match live {
                    true => findings.good(format!("`{function}` is attached by {owner}, for {age}")),
                    false => findings.note(
                        &format!("`{function}` was left attached by {owner}, {age} ago"),
                        "`sst attach --restore` gives it its own code back",
                    ),
                }
            }
        }
        Err(error) => findings.error(&error),
    }
}

/// `12 minutes`, `3 hours`, `2 days`: as people say how old something is.
fn aged(now: SystemTime, since_s: u64) -> String {
    let now_s = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let minutes = now_s.saturating_sub(since_s) / 60;
    match minutes {
        0..120 => counted(usize::try_from(minutes).unwrap_or_default(), "minute"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

fn ports(findings: &mut Findings<'_>, state_dir: &StateDir) {
    if super::session::running(state_dir).is_ok() {
        return findings.good("`sst start` runs in this project".to_owned());
    }
    let port = bridge::DEFAULT_PORT;
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => findings.good(format!("port {port} is free for debuggers")),
        Err(_) => findings
            .note(&format!("port {port} is taken"), "the next free one is used; `sst ide` fills it in"),
    }
}

//! `sst doctor --report`: what whoever looks into a mistake has to know of a machine, and nothing that is anybody's: no names, no paths, no
//! accounts.

use std::collections::BTreeMap;

use super::doctor::{manifest, version};
use crate::{
    app, editors,
    error::Result,
    languages::{self, Find, Language},
    process::Spawner,
    project::{Kind, Project, manifest::Manifest},
    settings,
    tools::Tools,
    ui::{Ui, UiEvent},
    version::VERSION,
};

/// Variables that change how AWS is reached. Whether they are set is said, not to what.
const VARIABLES: [&str; 7] = [
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_USE_FIPS_ENDPOINT",
    "NODE_OPTIONS",
];

/// Prints the report.
///
/// # Errors
/// When the project's state cannot be read.
pub(super) async fn run(settings: &settings::App, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let state_dir = settings.project.state_dir()?;
    let manifest = manifest(&state_dir)?;
    let mut lines = vec![format!("sst {VERSION}"), system()];
    match Tools::find(state_dir.create_directory("tool")?, spawner).await {
        Ok(tools) => {
            lines.push(format!("Node.js {}", tools.node_version));
            lines.push(match app::cdk_version(&settings.project, &tools) {
                Ok(version) => format!("CDK CLI {version}"),
                Err(error) => format!("CDK CLI: {}", error.message),
            });
        }
        Err(_) => lines.push("something is missing that `sst doctor` names".to_owned()),
    }
    lines.push(version(spawner, "python3", &["--version"]).await.unwrap_or("no python3".to_owned()));
    lines.extend(of_languages(&manifest, spawner).await);
    lines.push(app_of(&settings.project, &manifest));
    let files = editors::found(&settings.project.root).len();
    lines.push(format!("launch configurations: {files}"));
    let set = |name: &&str| {
        [name.to_string(), name.to_lowercase()].iter().any(|name| std::env::var_os(name).is_some())
    };
    let set: Vec<&str> = VARIABLES.iter().copied().filter(|name| set(name)).collect();
    lines.push(format!("variables: {}", if set.is_empty() { "none".to_owned() } else { set.join(", ") }));
    ui.send(UiEvent::Result((lines.join("\n") + "\n").into_bytes()));
    Ok(())
}

fn system() -> String {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| std::env::consts::OS.to_owned(),
        |name| {
            let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
            [part(name.sysname()), part(name.release()), part(name.machine())].join(" ")
        },
    );
    let release = fs_err::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    match name {
        Some(name) => format!("{} ({kernel})", name.trim_matches('"')),
        None => kernel,
    }
}

/// The versions of what the languages of the app's functions need.
async fn of_languages(manifest: &Manifest, spawner: &Spawner) -> Vec<String> {
    let is_used = |language: &&dyn Language| {
        manifest.functions.iter().any(|function| function.language.as_str() == language.id())
    };
    let mut lines = Vec::new();
    for check in languages::all().filter(is_used).flat_map(Language::checks) {
        let found = match &check.find {
            Find::Version(program, arguments) => version(spawner, program, arguments).await,
            Find::Path(name, find) => find().map(|_| format!("{name} is there")),
        };
        lines.push(found.unwrap_or_else(|| check.missing.to_owned()));
    }
    lines
}

/// What kind of app it is, and how many functions it has of which runtime.
fn app_of(project: &Project, manifest: &Manifest) -> String {
    let kind = match &project.kind {
        Kind::Sst { .. } => "an app with a main file",
        Kind::Cdk { .. } => "an app of the CDK",
        Kind::Deployed => "a project of another tool",
    };
    let mut runtimes = BTreeMap::<&str, usize>::new();
    for function in &manifest.functions {
        *runtimes.entry(&function.runtime).or_default() += 1;
    }
    let counted: Vec<String> =
        runtimes.iter().map(|(runtime, count)| format!("{count} × {runtime}")).collect();
    match counted.is_empty() {
        true => format!("{kind}; its functions are not known yet"),
        false => format!("{kind}: {}", counted.join(", ")),
    }
}

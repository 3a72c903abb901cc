//! Functions in Go: `go build` into the artifact's directory, with the kept build cache of the developer's own toolchain.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{
    AdapterLink, Check, DebugAdapter, Debuggee, Debugger, Find, Language, OwnProtocol, Place,
    RunConfiguration, Runtimes, Toolbox, not_compiled,
    program::{Output, TO_ANSWER, TO_COMPILE, follow, run},
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    process::{Command, Spawner},
    project::manifest::{BuildOptions, FunctionSpec, Source},
};

/// Without optimisation, so that debuggers find lines and variables. Always the same, or the cache would be of no use.
const DEBUGGABLE: &str = "-gcflags=all=-N -l";

/// These say where the deployed program runs, which is not here.
const OF_THE_TARGET: [&str; 3] = ["GOOS", "GOARCH", "GOARM"];

/// What to do when Delve is missing.
const INSTALL_DELVE: &str = "`go install github.com/go-delve/delve/cmd/dlv@latest`";

#[derive(Debug)]
pub(super) struct Go;

impl Language for Go {
    fn id(&self) -> &'static str {
        "go"
    }

    fn name(&self) -> &'static str {
        "Go"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["provided", "go1.x"], retired: &[("go1.x", None)] }
    }

    fn sources(&self) -> &'static [&'static str] {
        &["go"]
    }

    fn construct(&self) -> Option<&'static str> {
        Some("@aws-cdk/aws-lambda-go-alpha/lib/bundling")
    }

    /// A Go file, or a directory with one.
    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        let is_go = |path: &Utf8Path| path.extension() == Some("go");
        let has_go = || {
            let entries = place.path.read_dir_utf8();
            entries.is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| is_go(entry.path()))))
        };
        (is_go(place.path) || has_go()).then(|| (place.program(place.path.to_owned()), place.handler()))
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(async move {
            match &spec.source {
                Source::Program { path, build, .. } => {
                    artifact(&tools.spawner, path, build, &tools.directory(spec), on_line).await
                }
                other => Err(unbuildable(format!("`{}` is not a Go program", other.directory()), Vec::new())),
            }
        })
    }

    fn debugger(&self) -> &'static Debugger {
        &Debugger::Adapter { files: &["go", "c", "h", "s"], attach: delve, own: Some(OwnProtocol::Delve) }
    }

    fn checks(&self) -> &'static [Check] {
        &[
            Check {
                find: Find::Version("go", &["version"]),
                missing: "`go` is not in the PATH",
                fix: "see https://go.dev/doc/install",
                only_debugging: false,
            },
            Check {
                find: Find::Version("dlv", &["version"]),
                missing: "`dlv` is not in the PATH",
                fix: INSTALL_DELVE,
                only_debugging: true,
            },
        ]
    }

    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &[RunConfiguration::File {
            // IntelliJ IDEA has the same plugin.
            editors: &["goland", "intellij"],
            text: include_str!("../../launch-configs/goland/Attach to {function}.run.xml"),
            before_port: " port=\"",
        }]
    }
}

/// Delve, attached to a running program (<https://github.com/go-delve/delve/tree/master/Documentation>).
fn delve(debuggee: Debuggee<'_>) -> BoxFuture<'_, Result<DebugAdapter, String>> {
    Box::pin(async move {
        let program =
            which::which("dlv").map_err(|_| format!("`dlv` is not in the PATH: {INSTALL_DELVE}"))?;
        let mut command = Command::new(program);
        command
            .args([
                "attach",
                &debuggee.pid.to_string(),
                "--headless",
                "--listen=127.0.0.1:0",
                "--api-version=2",
            ])
            // Without `--continue`: the program would go on at any time, also after a client was told that it stands.
            .arg("--accept-multiclient");
        Ok(DebugAdapter {
            link: AdapterLink::Listens(command, "listening at: "),
            attach: json!({ "request": "attach", "mode": "remote", "stopOnEntry": false }),
        })
    })
}

/// Compiles the `main` package in `path`, a directory or a file of it.
async fn artifact(
    spawner: &Spawner,
    path: &Utf8Path,
    options: &BuildOptions,
    output: &Utf8Path,
    on_line: impl FnMut(&str),
) -> Result<Artifact, BuildError> {
    let (directory, package) = match (path.extension(), path.parent(), path.file_name()) {
        (Some("go"), Some(parent), Some(name)) => (parent, name),
        _ => (path, "."),
    };
    let inputs = vec![directory.to_owned()];
    let cannot = |summary: String| unbuildable(summary, inputs.clone());
    if !path.exists() {
        return Err(cannot(format!("`{path}` does not exist")));
    }
    let go = which::which("go").map_err(|_| {
        cannot(
            "`go` is not in the PATH, which is needed to compile it: see https://go.dev/doc/install".into(),
        )
    })?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&go);
        command.args(arguments).current_dir(directory);
        let variables = options.environment.iter();
        command.envs(variables.filter(|(name, _)| !OF_THE_TARGET.contains(&name.as_str())));
        command
    };
    fs_err::create_dir_all(output).map_err(|error| cannot(error.to_string()))?;
    let executable = output.join("bootstrap");
    let mut build = command(&["build", DEBUGGABLE, "-o", executable.as_str()]);
    build.args(options.flags.iter().map(|flag| with_symbols(flag))).arg(package);
    let list = command(&["list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", package]);
    let modules = command(&["env", "GOMODCACHE", "GOMOD", "GOWORK"]);
    let failed = |error: std::io::Error| cannot(format!("`go` cannot be run to its end: {error}"));
    let (built, listed, modules) = tokio::try_join!(
        follow(spawner, build, TO_COMPILE, on_line),
        run(spawner, list, TO_COMPILE),
        run(spawner, modules, TO_ANSWER),
    )
    .map_err(failed)?;
    let inputs = inputs_of(directory, &listed, &modules);
    if !built.status.success() {
        return Err(error(directory, &built.stderr, inputs));
    }
    let identify = command(&["tool", "buildid", executable.as_str()]);
    let identified = run(spawner, identify, TO_ANSWER).await.map_err(failed)?;
    Ok(Artifact {
        program: Program::native(Go.id(), executable),
        task_root: directory.to_owned(),
        handler: String::new(),
        fingerprint: identified.stdout.trim().to_owned(),
        inputs,
        packages: Vec::new(),
        provided: None,
    })
}

/// The directories of the packages that are the developer's own, and the files that name the others.
fn inputs_of(directory: &Utf8Path, listed: &Output, modules: &Output) -> Vec<Utf8PathBuf> {
    let mut modules = modules.stdout.lines();
    let cache = modules.next().unwrap_or_default();
    let mut inputs = vec![directory.to_owned()];
    let own = |line: &&str| !line.is_empty() && (cache.is_empty() || !line.starts_with(cache));
    inputs.extend(listed.stdout.lines().filter(own).map(Utf8PathBuf::from));
    for file in modules.map(Utf8Path::new).filter(|file| file.is_absolute()) {
        inputs.push(file.to_owned());
        inputs.push(file.with_extension("sum"));
        if !listed.status.success() {
            // Whatever keeps the packages from being listed may be anywhere in the module.
            inputs.extend(file.parent().map(Utf8Path::to_owned));
        }
    }
    inputs.sort();
    inputs.dedup();
    inputs
}

/// An option without what takes the symbols out of the program.
fn with_symbols(flag: &str) -> String {
    match flag.split_once('=') {
        Some((name @ ("-ldflags" | "--ldflags"), value)) => {
            let value: Vec<&str> =
                value.split_whitespace().filter(|word| !matches!(*word, "-s" | "-w")).collect();
            format!("{name}={}", value.join(" "))
        }
        _ => flag.to_owned(),
    }
}

/// What the compiler says. It names files relative to where it runs.
fn error(directory: &Utf8Path, stderr: &str, inputs: Vec<Utf8PathBuf>) -> BuildError {
    let mut lines = Vec::new();
    let mut first = None;
    for line in stderr.trim_end().lines() {
        // `# package` goes before the messages about it.
        if line.starts_with("# ") || line.starts_with("go: downloading") {
            continue;
        }
        let line = match line.split_once(':') {
            Some((file, rest)) if file.ends_with(".go") && !Utf8Path::new(file).is_absolute() => {
                let file = directory.join(file.strip_prefix("./").unwrap_or(file));
                first.get_or_insert_with(|| format!("{file}:{rest}"));
                format!("{file}:{rest}")
            }
            _ => line.to_owned(),
        };
        lines.push(line);
    }
    let summary = first.or_else(|| lines.first().cloned()).unwrap_or_else(|| "`go build` failed".into());
    not_compiled(summary, lines.join("\n"), inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_files_in_full_and_come_without_headings() {
        let stderr = "# example.com/a\n./main.go:3:5: undefined: x\nsub/b.go:1:1: expected 'package'\n";
        let error = error("/app/a".into(), stderr, vec!["/app/a".into()]);
        assert_eq!(error.summary, "/app/a/main.go:3:5: undefined: x");
        assert_eq!(error.detail, "/app/a/main.go:3:5: undefined: x\n/app/a/sub/b.go:1:1: expected 'package'");
    }

    #[test]
    fn symbols_stay() {
        assert_eq!(with_symbols("-ldflags=-s -w -X main.version=1"), "-ldflags=-X main.version=1");
        assert_eq!(with_symbols("-tags=lambda"), "-tags=lambda");
    }
}

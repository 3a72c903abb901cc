//! Functions in Go: `go build` into the artifact's directory, with the kept build cache of the developer's own toolchain.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use serde_json::json;

use super::{
    AdapterLink, Check, DebugAdapter, Debuggee, Debugger, Find, Language, NamedProgram, OwnProtocol, Place,
    RunConfiguration, Runtimes, Toolbox,
    build_id::build_id,
    not_compiled,
    program::{Output, TO_ANSWER, TO_COMPILE, follow, run},
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    process::{Command, Spawner},
    project::manifest::{BuildOptions, FunctionSpec, Source, UnheededOption},
};

/// Without optimisation, so that debuggers find lines and variables. Always the same, or the cache would be of no use.
const DEBUGGABLE: &str = "-gcflags=all=-N -l";

/// A template that lists for each package what it is made of, one path a line (<https://pkg.go.dev/cmd/go#hdr-List_packages_or_modules>).
/// A file that is left out by its name or its tags may be one of the package later, and so may any that comes.
const FILES: &str = concat!(
    "{{if not .Standard}}{{$dir := .Dir}}",
    "{{range .GoFiles}}{{$dir}}/{{.}}\n{{end}}{{range .CgoFiles}}{{$dir}}/{{.}}\n{{end}}",
    "{{range .IgnoredGoFiles}}{{$dir}}/{{.}}\n{{end}}",
    "{{range .CFiles}}{{$dir}}/{{.}}\n{{end}}{{range .CXXFiles}}{{$dir}}/{{.}}\n{{end}}",
    "{{range .HFiles}}{{$dir}}/{{.}}\n{{end}}{{range .SFiles}}{{$dir}}/{{.}}\n{{end}}",
    "{{range .EmbedFiles}}{{$dir}}/{{.}}\n{{end}}",
    "{{$dir}}/*.go\n{{$dir}}/*.c\n{{$dir}}/*.s\n{{$dir}}/*.h\n",
    "{{with .Module}}{{.GoMod}}\n{{end}}{{end}}",
);
/// Where flags come from that are not on the command line.
const GOFLAGS: &str = "GOFLAGS";

/// These say where the deployed program runs, which is not here.
const OF_THE_TARGET: [&str; 3] = ["GOOS", "GOARCH", "GOARM"];

/// Why an option has no effect that takes symbols out of a program.
const NO_SYMBOLS: &str = "debuggers would find no lines in the program";

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
        Runtimes { prefixes: &["provided", "go1.x"] }
    }

    fn construct(&self) -> Option<&'static str> {
        Some("@aws-cdk/aws-lambda-go-alpha/lib/bundling")
    }

    /// A directory with a `package main`, which is called as the directory is.
    fn programs(&self, directory: &Utf8Path) -> Vec<NamedProgram> {
        let is_main = |path: &Utf8Path| {
            let is_test = path.file_name().is_some_and(|name| name.ends_with("_test.go"));
            path.extension() == Some("go")
                && !is_test
                && fs_err::read_to_string(path)
                    .is_ok_and(|text| text.lines().any(|line| line.trim_end() == "package main"))
        };
        let entries = directory.read_dir_utf8();
        let has_main = entries.is_ok_and(|entries| entries.flatten().any(|entry| is_main(entry.path())));
        let name = directory.file_name().filter(|_| has_main);
        name.map(|name| NamedProgram { name: name.to_owned(), path: directory.to_owned(), binary: None })
            .into_iter()
            .collect()
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

    fn unheeded(&self, source: &Source) -> Vec<UnheededOption> {
        let Source::Program { build, .. } = source else { return Vec::new() };
        let (_, mut undone) = debuggable(&build.flags);
        let of_app = build.environment.get(GOFLAGS);
        let of_shell = || std::env::var(GOFLAGS).ok();
        if let Some(flags) = of_app.cloned().or_else(of_shell) {
            let place = if of_app.is_some() { "in its `GOFLAGS`" } else { "in the `GOFLAGS` of this shell" };
            let (_, more) = debuggable(&words(&flags));
            undone.extend(more.into_iter().map(|UnheededOption { option, reason }| UnheededOption {
                option,
                reason: format!("{reason} ({place})"),
            }));
        }
        undone
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
    let plain = |arguments: &[&str]| {
        let mut command = Command::new(&go);
        command.args(arguments).current_dir(directory);
        let variables = options.environment.iter();
        command.envs(variables.filter(|(name, _)| !OF_THE_TARGET.contains(&name.as_str())));
        command
    };
    let failed = |error: std::io::Error| cannot(format!("`go` cannot be run to its end: {error}"));
    // Those of the app, of the shell, or of `go env -w`.
    let declared = run(spawner, plain(&["env", GOFLAGS]), TO_ANSWER).await.map_err(failed)?;
    let (flags, undone) = debuggable(&words(&declared.stdout));
    let command = |arguments: &[&str]| {
        let mut command = plain(arguments);
        if !undone.is_empty() {
            command.env(GOFLAGS, go_flags(&flags));
        }
        command
    };
    fs_err::create_dir_all(output).map_err(|error| cannot(error.to_string()))?;
    let executable = output.join("bootstrap");
    let mut build = command(&["build", DEBUGGABLE, "-o", executable.as_str()]);
    build.args(debuggable(&options.flags).0).arg(package);
    let list = command(&["list", "-deps", "-f", FILES, package]);
    let modules = command(&["env", "GOMODCACHE", "GOMOD", "GOWORK"]);
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
    let fingerprint = match build_id(&executable).map_err(failed)? {
        Some(id) => id,
        None => {
            let identify = command(&["tool", "buildid", executable.as_str()]);
            run(spawner, identify, TO_ANSWER).await.map_err(failed)?.stdout.trim().to_owned()
        }
    };
    Ok(Artifact {
        program: Program::native(Go.id(), executable),
        task_root: directory.to_owned(),
        handler: String::new(),
        fingerprint,
        inputs,
        packages: Vec::new(),
        provided: None,
        opt: None,
    })
}

/// What a program is made of that is the developer's own: files, and where others would count that come; and the files that name the
/// rest. A `replace` in `go.mod` and a `use` in `go.work` lead to code that is the developer's own as well.
fn inputs_of(directory: &Utf8Path, listed: &Output, modules: &Output) -> Vec<Utf8PathBuf> {
    let mut modules = modules.stdout.lines();
    let cache = modules.next().unwrap_or_default();
    let mut inputs = Vec::new();
    let own = |line: &&str| !line.is_empty() && (cache.is_empty() || !line.starts_with(cache));
    inputs.extend(listed.stdout.lines().filter(own).map(Utf8PathBuf::from));
    let module = modules.next().map(Utf8Path::new).filter(|file| file.is_absolute());
    if let Some(file) = module {
        inputs.extend([file.to_owned(), file.with_extension("sum")]);
        inputs.push(file.with_file_name("vendor").join("modules.txt"));
    }
    match modules.next().map(Utf8Path::new).filter(|file| file.is_absolute()) {
        Some(workspace) => inputs.extend([workspace.to_owned(), workspace.with_extension("work.sum")]),
        None => inputs.extend(directory.ancestors().map(|above| above.join("go.work"))),
    }
    if !listed.status.success() || inputs.is_empty() {
        // Whatever keeps the packages from being listed may be anywhere in the module.
        inputs.push(directory.to_owned());
        inputs.extend(module.and_then(Utf8Path::parent).map(Utf8Path::to_owned));
    }
    inputs.sort();
    inputs.dedup();
    inputs
}

/// Options of `go build` without those that undo debugging, and what those are. An option and its value are one word or two.
fn debuggable(flags: &[String]) -> (Vec<String>, Vec<UnheededOption>) {
    let (mut kept, mut undone) = (Vec::new(), Vec::new());
    let mut undo =
        |option: String, reason: &str| undone.push(UnheededOption { option, reason: reason.to_owned() });
    let mut rest = flags.iter();
    while let Some(flag) = rest.next() {
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag.as_str(), None),
        };
        let mut value = || inline.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
        match name.trim_start_matches('-') {
            "trimpath" => undo("-trimpath".to_owned(), "debuggers would not find the sources of the program"),
            "gcflags" => undo(
                format!("-gcflags={}", value()),
                "programs are compiled without optimisation, for debuggers",
            ),
            // The program is written where it is run from.
            "o" => drop(value()),
            "ldflags" => {
                let value = value();
                let (stripping, others): (Vec<&str>, Vec<&str>) =
                    quoted_words(&value).into_iter().partition(strips);
                kept.push(format!("-ldflags={}", others.join(" ")));
                stripping.into_iter().for_each(|word| undo(format!("-ldflags={word}"), NO_SYMBOLS));
            }
            _ => kept.push(flag.clone()),
        }
    }
    (kept, undone)
}

/// Whether an option of the linker takes symbols, or what debuggers read, out of a program.
fn strips(word: &&str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, "true"));
    matches!(name.trim_start_matches('-'), "s" | "w") && !matches!(value, "false" | "0" | "f" | "F" | "FALSE")
}

/// Single words, each with the quotes that it has.
fn quoted_words(text: &str) -> Vec<&str> {
    let mut quote = None;
    let is_between = |character: char| {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            _ => {}
        }
        quote.is_none() && character.is_whitespace()
    };
    text.split(is_between).filter(|word| !word.is_empty()).collect()
}

/// The flags in a value of `GOFLAGS`, where those with spaces are in quotes.
fn words(flags: &str) -> Vec<String> {
    let unquoted = |word: &str| {
        let inner = ['"', '\''].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote));
        inner.unwrap_or(word).to_owned()
    };
    quoted_words(flags).into_iter().map(unquoted).collect()
}

/// The same flags as a value of `GOFLAGS`.
fn go_flags(flags: &[String]) -> String {
    let quoted = flags.iter().map(|flag| match flag.contains(char::is_whitespace) {
        true if flag.contains('\'') => format!("\"{flag}\""),
        true => format!("'{flag}'"),
        false => flag.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
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
    fn options_that_undo_debugging_are_left_out_and_named() {
        let table: [(&[&str], &[&str], &[&str]); 7] = [
            // As the construct's own documentation has it.
            (
                &["-ldflags", "-s -w -X main.version=1.2.3"],
                &["-ldflags=-X main.version=1.2.3"],
                &["-ldflags=-s", "-ldflags=-w"],
            ),
            (
                &["--ldflags=-X 'main.text=-s -w' -w=true", "-tags=x"],
                &["-ldflags=-X 'main.text=-s -w'", "-tags=x"],
                &["-ldflags=-w=true"],
            ),
            (&["-ldflags=-s=false -w=0"], &["-ldflags=-s=false -w=0"], &[]),
            (&["-trimpath", "-race"], &["-race"], &["-trimpath"]),
            (&["-gcflags", "-m", "-v"], &["-v"], &["-gcflags=-m"]),
            (&["-gcflags=all=-l"], &[], &["-gcflags=all=-l"]),
            (&["-o", "elsewhere", "-tags", "x"], &["-tags", "x"], &[]),
        ];
        for (flags, kept, undone) in table {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            let (left, named) = debuggable(&flags);
            assert_eq!(left, kept, "{flags:?}");
            let named: Vec<_> = named.into_iter().map(|one| one.option).collect();
            assert_eq!(named, undone, "{flags:?}");
        }
    }

    #[test]
    fn flags_in_a_variable_are_read_and_written_as_go_does() {
        let flags = words(r#"-trimpath '-ldflags=-s -X main.a=1' "-tags=it's x" -v"#);
        assert_eq!(flags, ["-trimpath", "-ldflags=-s -X main.a=1", "-tags=it's x", "-v"]);
        let (kept, _) = debuggable(&flags);
        assert_eq!(go_flags(&kept), r#"'-ldflags=-X main.a=1' "-tags=it's x" -v"#);
    }

    #[tokio::test]
    async fn a_program_has_what_debuggers_read_whatever_the_flags() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let main = "package main\n\nimport \"fmt\"\n\nvar version = \"none\"\n\nfunc main() { fmt.Print(version) }\n";
        fs_err::write(root.join("go.mod"), "module example.com/a\n\ngo 1.21\n").unwrap();
        fs_err::write(root.join("main.go"), main).unwrap();
        let options = BuildOptions {
            flags: ["-ldflags", "-s -w -X main.version=1.2.3", "-gcflags=-l"].map(str::to_owned).into(),
            environment: [(GOFLAGS.to_owned(), "-trimpath '-ldflags=-w'".to_owned())].into(),
            ..BuildOptions::default()
        };
        let spawner = crate::process::for_tests();
        let made = artifact(&spawner, root, &options, &root.join("out"), |_| {}).await.unwrap();
        let executable = made.program.executable.unwrap();
        let say = async |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            run(&spawner, command, TO_ANSWER).await.unwrap().stdout
        };
        assert_eq!(say(executable.as_str(), &[]).await, "1.2.3");
        let id = say("go", &["tool", "buildid", executable.as_str()]).await;
        assert_eq!(build_id(&executable).unwrap().as_deref(), Some(id.trim()));
        assert_eq!(made.fingerprint, id.trim());
        assert!(say("go", &["tool", "nm", executable.as_str()]).await.contains(" main.main\n"));
        let settings = say("go", &["version", "-m", executable.as_str()]).await;
        assert!(settings.contains("-gcflags=\"all=-N -l\""), "{settings}");
        assert!(!settings.contains("-trimpath=true"), "{settings}");
        let source = Source::Program { path: root.into(), directory: root.into(), build: options.into() };
        let named: Vec<_> = Go.unheeded(&source).into_iter().map(|one| one.option).collect();
        assert_eq!(named, ["-ldflags=-s", "-ldflags=-w", "-gcflags=-l", "-trimpath", "-ldflags=-w"]);
    }
}

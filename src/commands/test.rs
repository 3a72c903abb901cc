//! `sst test`: runs the project's own test runner, with the variables of the stage.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::test_as::{self, OTHER_IDENTITIES};
use crate::{
    cli,
    error::{Error, Kind, Result},
    process::Command,
    project::{TestRunner, test_runner},
    settings,
};

/// What the user's documentation passes to Jest; other runners do not know these.
const OF_JEST: [&str; 3] = ["--runInBand", "--no-cache", "--watchAll=false"];

/// The files with variables, the most specific first.
const VARIABLES: [&str; 4] = [".env.test.local", ".env.test", ".env.local", ".env"];

/// The test runner, as which this process goes on: exit code, signals, and a debugger that follows this process are the runner's own
/// business.
///
/// # Errors
/// [`Kind::Usage`] when a file with variables cannot be read; with `--as`, whatever keeps the function's environment from being known.
pub(super) async fn run(arguments: &cli::Test, target: &settings::App) -> Result<Command> {
    let root = &target.project.root;
    let runner = test_runner(root);
    if runner == TestRunner::Node && arguments.arguments.is_empty() && !has_tests(root) {
        return Err(Error::new(Kind::Other, format!("there are no tests in `{root}`")).hint(
            "Node's test runner looks for files such as `list.test.js`, and in directories called `test`",
        ));
    }
    let mut command = command(runner, root, &arguments.arguments);
    let stored = target.project.state_dir()?.read("stage")?.unwrap_or_default();
    let stored = if stored.trim().is_empty() { "dev" } else { stored.trim() };
    command.current_dir(root).envs(variables(root)?);
    for (name, value) in [("SST_STAGE", stored), ("NODE_ENV", "test")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    if let Some(stage) = &target.stage {
        command.env("SST_STAGE", stage);
    }
    if let Some(function) = &arguments.as_function {
        let mut variables = test_as::environment(function, target).await?;
        // A debugger comes by way of this one.
        if let (Some(own), Ok(ours)) = (variables.get_mut("NODE_OPTIONS"), std::env::var("NODE_OPTIONS")) {
            *own = format!("{ours} {own}");
        }
        for name in OTHER_IDENTITIES {
            command.env_remove(name);
        }
        command.envs(variables);
    }
    Ok(command)
}

/// Whether there is anything that `node --test` runs by itself: <https://nodejs.org/api/test.html#running-tests-from-the-command-line>. Without
/// tests it succeeds, so that whoever has misnamed theirs believes that they pass.
fn has_tests(root: &Utf8Path) -> bool {
    let is_test = |entry: &ignore::DirEntry| {
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let named = stem == "test"
            || stem.starts_with("test-")
            || [".test", "-test", "_test"].iter().any(|end| stem.ends_with(end));
        let below = || {
            let parent = path.parent().and_then(|parent| parent.strip_prefix(root).ok());
            parent.is_some_and(|parent| parent.components().any(|part| part.as_os_str() == "test"))
        };
        ["js", "cjs", "mjs", "ts", "cts", "mts"].contains(&extension) && (named || below())
    };
    ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .filter_entry(|entry| entry.file_name() != "node_modules" && entry.file_name() != ".sst")
        .build()
        .flatten()
        .any(|entry| entry.file_type().is_some_and(|kind| kind.is_file()) && is_test(&entry))
}

fn command(runner: TestRunner, root: &Utf8Path, arguments: &[String]) -> Command {
    let bin = |name: &str| Command::new(root.join("node_modules/.bin").join(name));
    let serial = arguments.iter().any(|argument| argument == OF_JEST[0]);
    let others = || arguments.iter().filter(|argument| !OF_JEST.contains(&argument.as_str()));
    match runner {
        TestRunner::Jest => {
            let mut command = bin("jest");
            command.args(arguments);
            command
        }
        TestRunner::Vitest => {
            let mut command = bin("vitest");
            command.arg("run");
            if serial {
                command.arg("--no-file-parallelism");
            }
            command.args(others());
            command
        }
        TestRunner::Node => {
            let mut command = Command::new("node");
            command.arg("--test");
            if serial {
                command.arg("--test-concurrency=1");
            }
            command.args(others());
            command
        }
    }
}

/// The variables of the files. What is set already stays, and a more specific file wins.
fn variables(root: &Utf8Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in VARIABLES {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        let unreadable = |error: dotenvy::Error| {
            Error::new(Kind::Usage, format!("`{name}` cannot be understood")).detail(error)
        };
        let bytes = fs_err::read(&path).map_err(|error| unreadable(dotenvy::Error::Io(error)))?;
        // Some editors write a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        for pair in dotenvy::from_read_iter(bytes) {
            let (key, value) = pair.map_err(unreadable)?;
            if std::env::var_os(&key).is_none() {
                found.entry(key).or_insert(value);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(runner: TestRunner, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        command(runner, "/p".into(), &arguments).to_string()
    }

    #[test]
    fn each_runner_gets_what_it_understands() {
        let documented = [OF_JEST[0], OF_JEST[1], OF_JEST[2], "some.test.js"];
        let table = [
            (
                TestRunner::Jest,
                "/p/node_modules/.bin/jest --runInBand --no-cache --watchAll=false some.test.js",
            ),
            (TestRunner::Vitest, "/p/node_modules/.bin/vitest run --no-file-parallelism some.test.js"),
            (TestRunner::Node, "node --test --test-concurrency=1 some.test.js"),
        ];
        for (runner, expected) in table {
            assert_eq!(line(runner, &documented), expected);
        }
        assert_eq!(line(TestRunner::Vitest, &["-t", "name"]), "/p/node_modules/.bin/vitest run -t name");
    }

    #[test]
    fn tests_are_found_where_node_finds_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for (file, expected) in [
            ("src/list.js", false),
            ("node_modules/package/list.test.js", false),
            ("src/list.spec.js", false),
            ("src/contest.js", false),
            ("test/data.json", false),
            ("src/list.test.mjs", true),
            ("src/list-test.js", true),
            ("test.cjs", true),
            ("a/test/deep/whatever.js", true),
        ] {
            let path = root.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, "").unwrap();
            assert_eq!(has_tests(root), expected, "{file}");
            fs_err::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn the_most_specific_file_wins() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::write(root.join(".env"), "A_OF_TEST=1\nB_OF_TEST=1\nPATH=never\n").unwrap();
        fs_err::write(root.join(".env.test"), "B_OF_TEST=\"2 3\"\n").unwrap();
        let pairs: Vec<(String, String)> = variables(root).unwrap().into_iter().collect();
        let expected = [("A_OF_TEST", "1"), ("B_OF_TEST", "2 3")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        fs_err::write(root.join(".env.test"), "what is this").unwrap();
        assert_eq!(variables(root).unwrap_err().kind, Kind::Usage);
    }
}

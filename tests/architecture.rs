//! The invariants of `ARCHITECTURE.md` that can be read off the source.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const TASKS: [&str; 6] = ["relay", "runtime_api", "worker", "watch", "builder", "bridge"];

/// The Rust files below a path, with their text. A module's own tests are left out: they may use what they like.
fn sources(path: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.join(path), root.join(path).with_extension("rs")];
    while let Some(path) = open.pop() {
        if path.is_dir() && path.ends_with("tests") {
            // What `tests.rs` is elsewhere.
        } else if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
            && path.is_file()
        {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let files = sources("core");
    assert!(files.len() > 5, "the core was found: {files:?}");
    for (path, text) in files {
        for forbidden in
            ["tokio", "std::fs", "std::net", "std::process", "std::env", "std::thread", "::now()"]
        {
            assert!(!text.contains(forbidden), "{} mentions `{forbidden}`", path.display());
        }
    }
}

#[test]
fn tasks_do_not_know_one_another() {
    for task in TASKS {
        let files = sources(task);
        assert!(!files.is_empty(), "`{task}` was found");
        for (path, text) in files {
            for other in TASKS.iter().filter(|other| **other != task) {
                for form in [format!("crate::{other}"), format!("    {other}::"), format!("{{{other}::")] {
                    assert!(!text.contains(&form), "{} uses `{other}`", path.display());
                }
            }
        }
    }
}

/// What a file brings into scope from `std::process`, whichever way it is written.
fn imported_from_process(text: &str) -> impl Iterator<Item = &str> {
    let imports = text.split("use std::").skip(1).filter_map(|rest| rest.split(';').next());
    imports.filter_map(|import| import.split("process::").nth(1)).flat_map(|rest| {
        let (names, end) = rest.strip_prefix('{').map_or((rest, ','), |list| (list, '}'));
        names.split(end).next().unwrap_or_default().split(',').map(str::trim)
    })
}

#[test]
fn children_are_started_in_one_place() {
    let mut spawning = 0;
    for (path, text) in sources("") {
        let written_out =
            ["std::process::Command", "tokio::process", "CommandExt", "libc::fork", "unistd::fork"];
        let mut found: Vec<&str> = written_out.into_iter().filter(|name| text.contains(name)).collect();
        found.extend(
            imported_from_process(&text).filter(|name| name.starts_with("Command") || *name == "Stdio"),
        );
        if path.components().any(|part| part.as_os_str() == "process") {
            spawning += found.len();
        } else {
            assert!(found.is_empty(), "{} uses {found:?} where `src/process` is to be used", path.display());
        }
    }
    assert!(spawning > 2, "`src/process` starts processes");
    let forms =
        "use std::{io, process::{ExitCode, Command as C},};use std::process::Stdio;use a::process::Child;";
    assert_eq!(imported_from_process(forms).collect::<Vec<_>>(), ["ExitCode", "Command as C", "Stdio"]);
}

#[test]
fn no_error_ends_a_listener() {
    let accepting =
        |text: &str| text.matches("listener.accept()").count() + text.matches("socket.accept()").count();
    // The listeners of the latter two are patient ones.
    let known = ["descriptors.rs", "bridge/adapter/fixed.rs", "bridge/adapter/debuggee.rs"];
    for (path, text) in sources("") {
        let allowed = known.iter().any(|known| path.ends_with(known));
        assert!(allowed || accepting(&text) == 0, "{} accepts by itself", path.display());
    }
}

#[test]
fn sockets_are_bound_to_loopback_only() {
    let files = sources("");
    assert!(files.len() > 40, "all of the source was found");
    let mut binds = 0;
    for (path, text) in files {
        for line in text.lines().filter(|line| line.contains("Listener::bind(")) {
            binds += 1;
            let loopback = line.contains("Ipv4Addr::LOCALHOST") || line.contains("\"127.0.0.1");
            assert!(loopback, "{}: {line}", path.display());
        }
        assert!(!text.contains("0.0.0.0") && !text.contains("UNSPECIFIED"), "{}", path.display());
    }
    assert!(binds > 0, "there is a listener");
}

#[test]
fn only_the_ui_writes_to_the_terminal() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
    let mut writers = 0;
    for (path, text) in sources("") {
        let writes = ["io::stdout", "io::stderr", "print!(", "println!(", "Stdio::inherit"]
            .iter()
            .any(|form| text.contains(form));
        if path.starts_with(&ui) {
            writers += usize::from(writes);
        } else {
            assert!(!writes, "{} writes to the terminal", path.display());
        }
    }
    assert_eq!(writers, 2, "the printer and the questions");
}

#[test]
fn clients_of_aws_are_made_in_one_place() {
    let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws");
    let mut made = 0;
    for (path, text) in sources("") {
        let written_out = ["from_conf(", "aws_config::", "aws_smithy_http_client"];
        let named = ["Client::new(", "Client as ", "config::Builder", "Config::builder"];
        let mut found: Vec<&str> = written_out.into_iter().filter(|form| text.contains(form)).collect();
        if text.contains("aws_sdk_") {
            found.extend(named.into_iter().filter(|form| text.contains(form)));
        }
        if path.starts_with(&aws) {
            made += found.len();
        } else {
            assert!(found.is_empty(), "{} makes a client without the limits of `Aws`", path.display());
        }
    }
    assert!(made > 3, "`src/aws` makes clients");
}

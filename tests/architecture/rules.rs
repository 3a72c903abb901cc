//! What must not be said, and where. Each rule returns where it is broken.

use std::collections::BTreeSet;

use crate::{
    names::{Said, Tree, paths},
    source::{Module, What},
};

/// The tasks, each a module of its own.
const TASKS: [&str; 6] = ["relay", "runtime_api", "worker", "watch", "builder", "bridge"];

/// The rooms that a rule lets do what it forbids others. `main.rs` is one.
fn is_in(module: &Module, room: &str) -> bool {
    module.path.first().is_some_and(|first| first == room)
}

fn place(said: Said<'_>) -> String {
    format!("src/{}:{}", said.module.file, said.saying.line)
}

fn is(path: &[String], wanted: &[&str]) -> bool {
    path.len() >= wanted.len() && path.iter().zip(wanted).all(|(segment, wanted)| segment == wanted)
}

fn last(path: &[String]) -> &str {
    path.last().map_or("", String::as_str)
}

/// The paths outside of a room whose meaning is forbidden.
fn outside(tree: &Tree, home: &str, forbidden: impl Fn(&[String]) -> bool) -> Vec<String> {
    let all = paths(tree).filter(|(said, _)| !is_in(said.module, home));
    let found = all.filter(|(_, path)| forbidden(path));
    found.map(|(said, path)| format!("{}: `{}`", place(said), path.join("::"))).collect()
}

/// The methods that are called outside of a room and are forbidden there.
fn methods(tree: &Tree, home: &str, forbidden: impl Fn(Said<'_>, &str, &str) -> bool) -> Vec<String> {
    let all = tree.said().filter(|said| !is_in(said.module, home));
    let found = all.filter_map(|said| match &said.saying.what {
        What::Method(name, arguments) if forbidden(said, name, arguments) => {
            Some(format!("{}: `.{name}({arguments})`", place(said)))
        }
        _ => None,
    });
    found.collect()
}

fn texts(tree: &Tree, home: &str, forbidden: impl Fn(&str) -> bool) -> Vec<String> {
    let all = tree.said().filter(|said| !is_in(said.module, home));
    let found = all.filter_map(|said| match &said.saying.what {
        What::Text(text) if forbidden(text) => Some(format!("{}: {text:?}", place(said))),
        _ => None,
    });
    found.collect()
}

/// Source that comes from elsewhere, of which nothing is known here.
pub(crate) fn hidden_source(tree: &Tree) -> Vec<String> {
    let found =
        tree.said().filter(|said| matches!(&said.saying.what, What::Macro(path) if last(path) == "include"));
    found.map(|said| format!("{}: `include!`", place(said))).collect()
}

/// The core uses nothing that waits, asks the operating system, or tells the time.
pub(crate) fn impure_core(tree: &Tree) -> Vec<String> {
    const OF_STD: [&str; 11] =
        ["borrow", "cmp", "collections", "fmt", "iter", "mem", "ops", "sync", "time", "str", "num"];
    const CRATES: [&str; 7] = ["base64", "bytes", "camino", "serde", "serde_json", "sst_wire", "tracing"];
    const ROOMS: [&str; 4] = ["core", "ids", "project", "ui"];
    // Methods of paths look at files, those of times at the clock.
    const ASKING: [&str; 14] = [
        "canonicalize",
        "canonicalize_utf8",
        "elapsed",
        "exists",
        "is_dir",
        "is_file",
        "is_symlink",
        "metadata",
        "now",
        "read_dir",
        "read_dir_utf8",
        "read_link",
        "symlink_metadata",
        "try_exists",
    ];
    let core = |said: &Said<'_>| is_in(said.module, "core");
    let mut found = Vec::new();
    for (said, path) in paths(tree).filter(|(said, _)| core(said)) {
        let second = path.get(1).map_or("", String::as_str);
        let pure = match path[0].as_str() {
            "std" | "core" | "alloc" => path.len() == 1 || OF_STD.contains(&second),
            "crate" => ROOMS.contains(&second),
            other => CRATES.contains(&other),
        };
        if !pure || ASKING.contains(&last(&path)) {
            found.push(format!("{}: `{}`", place(said), path.join("::")));
        }
    }
    for said in tree.said().filter(core) {
        match &said.saying.what {
            What::Method(name, _) if ASKING.contains(&name.as_str()) => {
                found.push(format!("{}: `.{name}()`", place(said)));
            }
            _ => {}
        }
    }
    found
}

/// Nobody but `languages` knows a runtime of a language by its name. `provided` is one of none.
pub(crate) fn runtimes_elsewhere(tree: &Tree, home: &str) -> Vec<String> {
    const NAMES: [&str; 6] = ["nodejs", "python", "go1", "java", "dotnet", "ruby"];
    let is_version = |rest: &str| {
        let rest = rest.trim_end_matches(".x");
        rest.split('.').count() <= 2 && rest.split('.').all(|part| part.parse::<u32>().is_ok())
    };
    // Where an interpreter is looked for, that is a program's name.
    let found = texts(tree, home, |text| {
        NAMES.iter().any(|name| text.strip_prefix(name).is_some_and(|rest| rest == ".x" || is_version(rest)))
    });
    found
        .into_iter()
        .filter(|found| !found.starts_with("src/cloud/install") && !found.contains("\"python3\""))
        .collect()
}

/// No task uses another.
pub(crate) fn tasks_that_know_others(tree: &Tree) -> Vec<String> {
    for task in TASKS {
        assert!(tree.modules.keys().any(|path| *path == [task]), "`{task}` was found");
    }
    let task = |name: &str| TASKS.into_iter().find(|task| *task == name);
    let mut found = Vec::new();
    for (said, path) in paths(tree).filter(|(_, path)| path[0] == "crate") {
        let user = said.module.path.first().and_then(|room| task(room));
        let used = path.get(1).and_then(|room| task(room));
        // All of the crate would be all tasks.
        let all = path.len() == 2 && path[1] == "*";
        if user.is_some() && (all || used.is_some_and(|used| Some(used) != user)) {
            found.push(format!("{}: `{}`", place(said), path.join("::")));
        }
    }
    found
}

/// What starts processes, by its meaning.
fn starts_processes(path: &[String]) -> bool {
    // What remains is about ends, and about this process.
    const HARMLESS: [&str; 6] = ["ExitCode", "ExitStatus", "Output", "Termination", "exit", "id"];
    let name = last(path);
    let of_c =
        ["fork", "vfork", "clone", "exec", "fexec", "posix_spawn", "system", "popen", "syscall", "daemon"];
    let forks = name == "*" || of_c.iter().any(|begin| name.starts_with(begin));
    match path.first().map(String::as_str) {
        Some("std") if is(path, &["std", "process"]) => {
            path.get(2).is_some_and(|name| !HARMLESS.contains(&name.as_str()))
        }
        Some("std") => {
            is(path, &["std", "os", "unix", "process"]) && path.len() > 4 && name != "ExitStatusExt"
        }
        Some("tokio") => is(path, &["tokio", "process"]),
        Some("nix") => {
            let of_nix = path.get(1).map_or("", String::as_str);
            ["spawn", "sched"].contains(&of_nix) || (["unistd", "libc", "pty"].contains(&of_nix) && forks)
        }
        Some("libc" | "rustix") => forks,
        _ => false,
    }
}

/// Processes are started in `process` only, in there by a few functions, each for a reason.
pub(crate) fn children_elsewhere(tree: &Tree, home: &str) -> Vec<String> {
    /// The guard; its child; the program that this one becomes; the user's editor, which has the terminal while this program waits; the
    /// user's browser; and, on macOS, what knows of connections.
    const STARTING: [(&str, &str); 6] = [
        ("process/mod.rs", "begin"),
        ("process/guard.rs", "start"),
        ("process/command.rs", "exec"),
        ("process/command.rs", "run_in_terminal"),
        ("process/browser.rs", "open_in_browser"),
        ("process/connections/macos.rs", "connections"),
    ];
    let mut found = outside(tree, home, starts_processes);
    // Even where processes are started, nobody gets the terminal.
    found.extend(outside(tree, "nowhere", |path| is(path, &["std", "process", "Stdio", "inherit"])));
    for (said, path) in paths(tree).filter(|(said, _)| is_in(said.module, home)) {
        let function = said.saying.function.as_deref().unwrap_or_default();
        let makes = (is(&path, &["std", "process", "Command"])
            || is(&path, &["tokio", "process", "Command"]))
            && path.len() == 4;
        if makes && !STARTING.contains(&(said.module.file.as_str(), function)) {
            found.push(format!("{}: `{}` in `{function}`", place(said), path.join("::")));
        }
        let forks = ["nix", "libc", "rustix"].contains(&path[0].as_str()) && starts_processes(&path);
        if forks {
            found.push(format!("{}: `{}`", place(said), path.join("::")));
        }
    }
    found
}

/// Each child has a guard that knows when this program ends, and is among those that are awaited at the end: all come from the one
/// spawner. Linux ends a child with the *thread* that has started it (PR_SET_PDEATHSIG), so a guard starts it from its main thread.
pub(crate) fn unguarded_children(tree: &Tree) -> Vec<String> {
    type Wanted = (&'static str, &'static str);
    // The function, and the only place that may name it, directly rather than in a closure that runs somewhere else.
    let only = |name: &[&str], by: Wanted| {
        let mut found = Vec::new();
        let mut seen = 0;
        for (said, _) in paths(tree).filter(|(_, path)| *path == name) {
            let function = said.saying.function.as_deref();
            // Bringing it into scope is no use, and where it is in scope there may be a variable of that name.
            let import = match &said.saying.what {
                What::Import(_) => true,
                What::Path(path) => path.len() == 1 && said.module.file == "process/mod.rs",
                _ => false,
            };
            let right =
                (said.module.file.as_str(), function.unwrap_or_default()) == by && said.saying.closures == 0;
            seen += usize::from(right);
            if !right && !import {
                found.push(format!("{}: `{}`", place(said), name.join("::")));
            }
        }
        if seen != 1 {
            found.push(format!(
                "`{}` is to be used in `{}` of {} once, not {seen} times",
                name.join("::"),
                by.1,
                by.0
            ));
        }
        found
    };
    let mut found = only(&["crate", "process", "Spawner", "of_this_program"], ("commands/mod.rs", "run"));
    found.extend(only(&["crate", "process", "guard", "guard"], ("main.rs", "main")));
    found.extend(only(&["crate", "process", "guard", "start"], ("process/guard.rs", "guard")));
    found.extend(methods(tree, "process", |said, name, _| {
        // The program that this one becomes is no child; it is started when all children have ended.
        name == "exec" && said.module.file != "commands/mod.rs"
    }));
    let with_end = |said: &Said<'_>| match &said.saying.what {
        What::Method(name, _) => name == "end" && said.saying.function.as_deref() == Some("run"),
        _ => false,
    };
    if !tree.said().filter(|said| said.module.file == "commands/mod.rs").any(|said| with_end(&said)) {
        found.push("`run` of commands/mod.rs is to await the ends of all children".to_owned());
    }
    found
}

/// Connections come by `descriptors::accept`, which goes on after errors. Some listeners do that by themselves.
pub(crate) fn own_accepting(tree: &Tree, patient: &[&str]) -> Vec<String> {
    let accepting = ["accept", "poll_accept", "try_accept", "incoming", "into_incoming"];
    let mut found = methods(tree, "nowhere", |said, name, arguments| {
        // One of the standard library's has no arguments, and many of others have.
        let accepts = accepting.contains(&name) && (!name.ends_with("incoming") || arguments.is_empty());
        accepts && !patient.contains(&said.module.file.as_str())
    });
    let calls = |path: &[String]| {
        accepting.contains(&last(path)) && path.iter().any(|segment| segment.ends_with("Listener"))
            || is(path, &["nix", "sys", "socket", "accept"])
            || is(path, &["nix", "sys", "socket", "accept4"])
    };
    found.extend(outside(tree, "nowhere", calls));
    for said in tree.said() {
        if let What::Call(path, arguments) = &said.saying.what
            && tree.meanings(said, path).iter().any(|path| is(path, &["axum", "serve"]))
            && !arguments.starts_with("Patient")
        {
            found.push(format!("{}: `axum::serve({arguments})`", place(said)));
        }
    }
    found
}

/// Where sockets begin to listen, it can be seen that it is on the loopback interface.
pub(crate) fn open_sockets(tree: &Tree) -> Vec<String> {
    let binds = |path: &[String]| {
        last(path) == "bind" && path.len() > 1 && !path.iter().any(|part| part.contains("Unix"))
    };
    let loopback = |arguments: &str| {
        // One address, written down where it is used.
        let first = arguments.trim_start_matches([' ', '(', '&']);
        ["std :: net :: Ipv4Addr :: LOCALHOST", "Ipv4Addr :: LOCALHOST", "\"127.0.0.1:"]
            .iter()
            .any(|begin| first.starts_with(begin))
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for said in tree.said() {
        match &said.saying.what {
            What::Call(path, arguments) if tree.meanings(said, path).iter().any(|path| binds(path)) => {
                seen.insert((&said.module.path, said.saying.line, path));
                if !loopback(arguments) {
                    found.push(format!("{}: `{}({arguments})`", place(said), path.join("::")));
                }
            }
            _ => {}
        }
    }
    // A function that is only named gets its address from elsewhere.
    for (said, path) in paths(tree).filter(|(said, path)| said.saying.function.is_some() && binds(path)) {
        let called =
            seen.iter().any(|(module, line, _)| **module == said.module.path && *line == said.saying.line);
        if !called {
            found.push(format!("{}: `{}`", place(said), path.join("::")));
        }
    }
    found.extend(methods(tree, "nowhere", |_, name, _| name == "bind" || name == "listen"));
    found.extend(texts(tree, "nowhere", |text| text.contains("0.0.0.0") || text.contains("[::]")));
    found.extend(outside(tree, "nowhere", |path| {
        last(path) == "UNSPECIFIED" || last(path).starts_with("in6addr_any")
    }));
    // It looks on all interfaces for a moment whether a port is free. Only the local cloud has to know its port before it listens.
    found.extend(outside(tree, "cloud", |path| path[0] == "portpicker"));
    found
}

/// Nobody but `ui` writes to standard output, standard error, or the terminal.
pub(crate) fn other_writers(tree: &Tree, home: &str) -> Vec<String> {
    const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
    const DRAWING: [&str; 7] =
        ["indicatif", "owo_colors", "anstream", "console", "crossterm", "termcolor", "supports_color"];
    const FILES: [&str; 6] = ["/dev/tty", "/dev/std", "/dev/fd", "/dev/pts", "/dev/console", "/proc/self/fd"];
    const OF_C: [&str; 12] = [
        "*",
        "write",
        "writev",
        "pwrite",
        "dprintf",
        "printf",
        "puts",
        "putchar",
        "perror",
        "STDOUT_FILENO",
        "STDERR_FILENO",
        "isatty",
    ];
    let mut found = outside(tree, home, |path| match path[0].as_str() {
        "std" | "tokio" if path.get(1).is_some_and(|second| second == "io") => {
            let name = path.get(2).map(|name| name.to_lowercase()).unwrap_or_default();
            name == "*" || name.starts_with("stdout") || name.starts_with("stderr")
        }
        "std" => {
            MACROS.contains(&last(path))
                || is(path, &["std", "process", "Stdio", "inherit"])
                || is(path, &["std", "os", "fd", "FromRawFd"])
                || is(path, &["std", "os", "unix", "io", "FromRawFd"])
        }
        "nix" | "libc" | "rustix" => OF_C.contains(&last(path)),
        // It prints and exits, if it likes.
        "clap" => last(path) == "parse" || last(path) == "parse_from",
        "crate" => {
            is(path, &["crate", "cli", "Cli", "parse"]) || is(path, &["crate", "cli", "Cli", "parse_from"])
        }
        other => DRAWING.contains(&other),
    });
    // A guard has none of our streams: its order comes by the first descriptor, the others are `/dev/null`.
    found.retain(|place| !(place.starts_with("src/process/guard.rs") && place.contains("FromRawFd")));
    for said in tree.said().filter(|said| !is_in(said.module, home)) {
        match &said.saying.what {
            What::Macro(path) if MACROS.contains(&last(path)) => {
                found.push(format!("{}: `{}!`", place(said), path.join("::")));
            }
            What::Path(path) if last(path) == "borrow_raw" => {
                found.push(format!("{}: `{}`", place(said), path.join("::")));
            }
            _ => {}
        }
    }
    found.extend(texts(tree, home, |text| FILES.iter().any(|file| text.starts_with(file))));
    // Those of clap's commands and errors.
    let printing = ["print", "print_help", "print_long_help", "exit", "get_matches", "get_matches_from"];
    found.extend(methods(tree, home, |_, name, _| printing.contains(&name)));
    found.extend(
        outside(tree, home, |path| {
            is(path, &["std", "panic", "set_hook"]) || is(path, &["std", "panic", "take_hook"])
        })
        .into_iter()
        .filter(|place| {
            // The hook sends to the `ui`. When that has ended, the language's own is put back.
            !place.starts_with("src/tasks.rs") && !place.starts_with("src/commands/mod.rs")
        }),
    );
    found.extend(careless_diagnostics(tree));
    found
}

/// Diagnostics would go to standard output by themselves.
fn careless_diagnostics(tree: &Tree) -> Vec<String> {
    let mut found = outside(tree, "main", |path| path[0] == "tracing_subscriber");
    let to_ui = |said: &Said<'_>| match &said.saying.what {
        What::Method(name, arguments) => name == "with_writer" && arguments.contains("diagnostics ()"),
        _ => false,
    };
    let begun = paths(tree).filter(|(_, path)| {
        path[0] == "tracing_subscriber"
            && ["fmt", "init", "registry", "layer", "builder"].contains(&last(path))
    });
    let (begun, directed) = (begun.count(), tree.said().filter(to_ui).count());
    if begun != directed {
        found.push(format!("diagnostics are begun {begun} times, and go to the `ui` {directed} times"));
    }
    found
}

/// Clients of AWS are made in `aws`, which gives them limits.
pub(crate) fn clients_without_limits(tree: &Tree, home: &str) -> Vec<String> {
    outside(tree, home, |path| match path[0].as_str() {
        "aws_config" | "aws_smithy_http_client" => true,
        service if service.starts_with("aws_sdk_") => {
            let has = |name: &str| path.iter().any(|segment| segment == name);
            let makes = ["new", "from_conf", "builder", "Builder", "*"].contains(&last(path));
            (path.len() > 2 && path[1] == "Client")
                || (has("config") || has("Config")) && makes
                || path.len() == 2 && last(path) == "*"
        }
        _ => false,
    })
}

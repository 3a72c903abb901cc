//! The invariants of `ARCHITECTURE.md` that can be read off the source. It is parsed, and names are followed to what they mean, so it
//! does not matter how something is written. Each invariant is in `rules`, with a test that breaks it.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

mod circles;
mod dependencies;
mod names;
mod rules;
mod source;
mod tests;

use std::{collections::BTreeSet, path::Path};

use names::Tree;

/// Fails with everything that a rule finds in the program.
fn holds(rule: impl Fn(&Tree) -> Vec<String>) {
    let found = rule(Tree::of_the_program());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Fails unless a rule, when it lets nobody do what it forbids, finds all that are there to do that, and nobody else. So it does look.
fn is_done_by(rule: impl Fn(&Tree) -> Vec<String>, places: &[&str]) {
    let found = rule(Tree::of_the_program());
    for place in places {
        let is_there = found.iter().any(|found| found.starts_with(&format!("src/{place}")));
        assert!(is_there, "{place} is found: {found:#?}");
    }
    let others = found.iter().filter(|found| {
        found.starts_with("src/") && !places.iter().any(|place| found.starts_with(&format!("src/{place}")))
    });
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn all_of_the_source_is_looked_at() {
    let tree = Tree::of_the_program();
    let seen: BTreeSet<String> = tree.modules.values().map(|module| module.file.clone()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut there = BTreeSet::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                there.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(there.len() > 100, "all of the source was found");
    assert_eq!(seen, there);
    assert!(names::paths(tree).count() > 5_000, "paths are understood");
    holds(rules::hidden_source);
}

#[test]
fn the_core_is_pure() {
    holds(rules::impure_core);
}

#[test]
fn languages_are_known_in_one_place() {
    holds(|tree| rules::runtimes_elsewhere(tree, "languages"));
    let all = |tree: &Tree| rules::runtimes_elsewhere(tree, "nowhere");
    is_done_by(all, &["languages/go"]);
}

#[test]
fn tasks_do_not_know_one_another() {
    holds(rules::tasks_that_know_others);
}

#[test]
fn children_are_started_in_one_place() {
    holds(|tree| rules::children_elsewhere(tree, "process"));
    holds(rules::unguarded_children);
    let all = |tree: &Tree| rules::children_elsewhere(tree, "nowhere");
    is_done_by(all, &["process/command", "process/guard", "process/mod", "process/"]);
}

#[test]
fn no_error_ends_a_listener() {
    // The listeners of the latter two are patient ones.
    let patient = ["descriptors.rs", "bridge/adapter/fixed.rs", "bridge/adapter/debuggee.rs"];
    holds(|tree| rules::own_accepting(tree, &patient));
}

#[test]
fn sockets_are_bound_to_loopback_only() {
    holds(rules::open_sockets);
}

#[test]
fn only_the_ui_writes_to_the_terminal() {
    holds(|tree| rules::other_writers(tree, "ui"));
    // `render` and `text` have the colours, `protocol` what a command speaks instead of them.
    let all = |tree: &Tree| rules::other_writers(tree, "nowhere");
    is_done_by(all, &["ui/arguments", "ui/printer", "ui/prompt", "ui/protocol", "ui/render", "ui/text"]);
}

#[test]
fn clients_of_aws_are_made_in_one_place() {
    holds(|tree| rules::clients_without_limits(tree, "aws"));
    let all = |tree: &Tree| rules::clients_without_limits(tree, "nowhere");
    is_done_by(all, &["aws"]);
}

#[test]
fn modules_of_a_room_do_not_use_one_another_in_circles() {
    holds(circles::circles);
}

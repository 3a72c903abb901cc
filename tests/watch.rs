//! Watches real directories.

use std::{collections::BTreeMap, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use sst::{core::event::Event, ui::Ui, watch};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

/// A watched project.
struct Watched {
    root: Utf8PathBuf,
    events: mpsc::UnboundedReceiver<Event>,
    watch: watch::Watch,
    _directory: tempfile::TempDir,
}

impl Watched {
    fn new(directories: &[&str]) -> Self {
        Self::with_others(directories, &[])
    }

    fn with_others(directories: &[&str], others: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let base =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("a path")).expect("UTF-8");
        let root = base.join("project");
        for path in directories.iter().chain(others).chain(&["."]) {
            fs_err::create_dir_all(root.join(path)).expect("a directory");
        }
        for path in directories {
            fs_err::write(root.join(path).join("old.ts"), "old").expect("a file");
        }
        let (sender, events) = mpsc::unbounded_channel();
        let (ui, _) = Ui::channel();
        let others = others.iter().map(|other| root.join(other)).collect();
        let watch = watch::start(root.clone(), others, sender, ui).expect("it is watched");
        Self { root, events, watch, _directory: directory }
    }

    fn write(&self, path: &str, text: &str) {
        fs_err::write(self.root.join(path), text).expect("a file");
    }

    /// Waits until `path` is reported; whether that was structural, and everything reported up to then.
    async fn reported(&mut self, path: &str) -> (bool, BTreeMap<Utf8PathBuf, bool>) {
        let wanted = self.root.join(path);
        let mut all: BTreeMap<Utf8PathBuf, bool> = BTreeMap::new();
        loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("`{path}` was not reported, only {all:?}"));
            let Some(Event::FilesChanged(changes)) = event else { panic!("unexpected: {event:?}") };
            assert!(!changes.is_empty());
            for change in changes {
                *all.entry(change.path).or_default() |= change.structural;
            }
            if let Some(structural) = all.get(&wanted) {
                return (*structural, all.clone());
            }
        }
    }
}

fn rename(root: &Utf8Path, from: &str, to: &str) {
    fs_err::rename(root.join(from), root.join(to)).expect("renamed");
}

#[tokio::test]
async fn a_write_is_a_change_of_content() {
    let mut watched = Watched::new(&["src/deep"]);
    watched.write("src/deep/old.ts", "new");
    assert!(!watched.reported("src/deep/old.ts").await.0);
}

#[tokio::test]
async fn a_new_file_is_structural_and_complete() {
    let mut watched = Watched::new(&["src"]);
    let text = "x".repeat(3_000_000);
    watched.write("src/new.ts", &text);
    assert!(watched.reported("src/new.ts").await.0);
    let size = fs_err::metadata(watched.root.join("src/new.ts")).expect("it exists").len();
    assert_eq!(size, text.len() as u64);
}

#[tokio::test]
async fn files_in_new_directories_are_seen() {
    let mut watched = Watched::new(&["src"]);
    fs_err::create_dir_all(watched.root.join("src/a/b/c")).expect("a directory");
    watched.write("src/a/b/c/first.ts", "1");
    assert!(watched.reported("src/a/b/c/first.ts").await.0);
    watched.write("src/a/b/c/second.ts", "2");
    assert!(watched.reported("src/a/b/c/second.ts").await.0);
    watched.write("src/a/b/c/marker.ts", "");
    watched.reported("src/a/b/c/marker.ts").await;
    watched.write("src/a/b/c/first.ts", "3");
    watched.reported("src/a/b/c/first.ts").await;
}

#[tokio::test]
async fn an_editor_that_saves_by_rename_is_seen_each_time() {
    let mut watched = Watched::new(&["src"]);
    for number in 0..3 {
        watched.write("src/.old.ts.swp", &number.to_string());
        rename(&watched.root, "src/.old.ts.swp", "src/old.ts");
        assert!(watched.reported("src/old.ts").await.0);
        // What else was reported of this save must not count for the next one.
        watched.write("src/marker", "");
        watched.reported("src/marker").await;
    }
}

#[tokio::test]
async fn renamed_and_deleted_files_are_structural() {
    let mut watched = Watched::new(&["src"]);
    rename(&watched.root, "src/old.ts", "src/new.ts");
    assert!(watched.reported("src/new.ts").await.1[&watched.root.join("src/old.ts")], "the old name, too");
    fs_err::remove_file(watched.root.join("src/new.ts")).expect("removed");
    watched.write("src/marker", "");
    assert!(watched.reported("src/marker").await.1[&watched.root.join("src/new.ts")]);
}

#[tokio::test]
async fn a_renamed_directory_is_watched_under_its_new_name() {
    let mut watched = Watched::new(&["src/one/deep"]);
    rename(&watched.root, "src/one", "src/two");
    assert!(watched.reported("src/two/deep/old.ts").await.0);
    watched.write("src/marker", "");
    watched.reported("src/marker").await;
    watched.write("src/two/deep/old.ts", "new");
    watched.reported("src/two/deep/old.ts").await;
}

#[tokio::test]
async fn a_directory_that_is_made_anew_is_watched_again() {
    let mut watched = Watched::new(&["src/one"]);
    for round in 0..3 {
        fs_err::remove_dir_all(watched.root.join("src/one")).expect("removed");
        fs_err::create_dir(watched.root.join("src/one")).expect("created");
        let name = format!("src/one/{round}.ts");
        watched.write(&name, "");
        watched.reported(&name).await;
        let name = format!("src/one/later{round}.ts");
        watched.write(&name, "");
        watched.reported(&name).await;
    }
}

#[tokio::test]
async fn installed_packages_and_products_are_not_watched() {
    let ignored = ["node_modules/a", "src/node_modules/a", ".git", ".sst/artifacts", "cdk.out", "target"];
    let mut watched = Watched::new(&ignored);
    fs_err::create_dir_all(watched.root.join("later/node_modules/b")).expect("a directory");
    for directory in ignored.iter().chain(&["later/node_modules/b"]) {
        watched.write(&format!("{directory}/noise.js"), "noise");
    }
    watched.write("marker.ts", "");
    let (_, all) = watched.reported("marker.ts").await;
    assert!(!all.keys().any(|path| path.as_str().contains("noise")), "{all:?}");
}

#[tokio::test]
async fn directories_outside_of_the_project_can_be_watched() {
    let mut watched = Watched::with_others(&["src"], &["../outside/target/code"]);
    let file = "../outside/target/code/a.ts";
    watched.write(file, "");
    assert!(watched.reported(file).await.0);
}

#[tokio::test]
async fn many_changes_at_once_are_all_seen() {
    let mut watched = Watched::new(&["src"]);
    for number in 0..500 {
        watched.write(&format!("src/{number}.ts"), "text");
    }
    let mut missing: std::collections::BTreeSet<_> =
        (0..500).map(|number| watched.root.join(format!("src/{number}.ts"))).collect();
    while !missing.is_empty() {
        let event = tokio::time::timeout(PATIENCE, watched.events.recv()).await;
        let Ok(Some(Event::FilesChanged(changes))) = event else { panic!("missing: {missing:?}") };
        for change in changes {
            missing.remove(&change.path);
        }
    }
}

#[tokio::test]
async fn a_watch_that_is_dropped_ends() {
    let Watched { mut events, watch, _directory, .. } = Watched::new(&["src"]);
    drop(watch);
    let end = tokio::time::timeout(PATIENCE, async { while events.recv().await.is_some() {} }).await;
    end.expect("the thread is gone, and its sender with it");
}

/// What only happens where each directory is watched by itself.
#[cfg(target_os = "linux")]
mod linux {
    use sst::ui::UiEvent;

    use super::*;

    /// What the kernel says when a user has as many watches as the administrator allows, said after twelve of them. Lowering the real
    /// limit takes privileges that not every machine gives.
    const FEW_WATCHES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>

int inotify_add_watch(int fd, const char *path, uint32_t mask) {
    static _Atomic int count;
    if (++count > 12) {
        errno = ENOSPC;
        return -1;
    }
    int (*real)(int, const char *, uint32_t) = dlsym(RTLD_NEXT, "inotify_add_watch");
    return real(fd, path, mask);
}
"#;

    /// Runs in a process of its own, which gets few watches.
    #[tokio::test]
    async fn too_many_directories_are_a_warning() {
        const INSIDE: &str = "SST_TEST_WATCH_LIMIT";
        if std::env::var_os(INSIDE).is_none() {
            let directory = tempfile::tempdir().expect("a directory");
            let (source, library) = (directory.path().join("few.c"), directory.path().join("few.so"));
            fs_err::write(&source, FEW_WATCHES).expect("a file");
            let mut compiler = std::process::Command::new("cc");
            let status =
                compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
            assert!(status.expect("`cc` is there, or nothing could be linked").success());
            let program = std::env::current_exe().expect("this test");
            let mut alone = std::process::Command::new(program);
            let alone = alone.args(["--exact", "linux::too_many_directories_are_a_warning"]);
            let output = alone.env(INSIDE, "1").env("LD_PRELOAD", &library).output().expect("this test runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let root =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("a path")).expect("UTF-8");
        for number in 0..40 {
            fs_err::create_dir(root.join(number.to_string())).expect("a directory");
        }
        let (sender, mut events) = mpsc::unbounded_channel();
        let (ui, mut shown) = Ui::channel();
        let _watch = watch::start(root.clone(), Vec::new(), sender, ui).expect("the rest is watched");
        let warning = tokio::time::timeout(PATIENCE, shown.recv()).await.expect("a warning");
        let UiEvent::Warning(text) = warning else { panic!("{warning:?}") };
        assert!(text.contains("sysctl fs.inotify.max_user_watches="), "{text}");
        fs_err::write(root.join("here.ts"), "").expect("a file");
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("it is noticed");
        assert!(matches!(event, Some(Event::FilesChanged(_))));
        assert!(shown.try_recv().is_err(), "one warning is enough");
    }
}

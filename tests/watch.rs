//! Watches real directories.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use sst::{
    core::event::Event,
    ui::Ui,
    watch::{self, Reader},
};
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
        let watch = watch::start(root.clone(), sender, ui).expect("it is watched");
        let watched = Self { root, events, watch, _directory: directory };
        if !others.is_empty() {
            watched.read("other", others);
        }
        watched
    }

    /// A build that begins now reads these paths.
    fn read(&self, function: &str, paths: &[&str]) {
        self.read_since(function, paths, SystemTime::now());
    }

    fn read_since(&self, function: &str, paths: &[&str], since: SystemTime) {
        let paths = paths.iter().map(|path| normalized(&self.root.join(path))).collect();
        self.watch.readings().read(Reader::Function(function.into()), paths, since);
    }

    /// Waits until what was read before is watched: messages are taken in order.
    async fn settled(&mut self, name: &str) {
        self.write(name, "");
        self.reported(name).await;
    }

    fn write(&self, path: &str, text: &str) {
        fs_err::write(self.root.join(path), text).expect("a file");
    }

    /// Waits until `path` is reported; whether that was structural, and everything reported up to then.
    async fn reported(&mut self, path: &str) -> (bool, BTreeMap<Utf8PathBuf, bool>) {
        let wanted = normalized(&self.root.join(path));
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

/// The path without `..`, as builds name it.
fn normalized(path: &Utf8Path) -> Utf8PathBuf {
    let mut clean = Utf8PathBuf::new();
    for part in path.components() {
        match part.as_str() {
            ".." => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
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
    let ignored =
        ["node_modules/a", "src/node_modules/a", ".git", ".sst/artifacts", "cdk.out", "rust/target"];
    let mut watched = Watched::new(&["rust"]);
    watched.write("rust/Cargo.toml", "");
    for directory in ignored {
        fs_err::create_dir_all(watched.root.join(directory)).expect("a directory");
    }
    fs_err::create_dir_all(watched.root.join("later/node_modules/b")).expect("a directory");
    for directory in ignored.iter().chain(&["later/node_modules/b"]) {
        watched.write(&format!("{directory}/noise.js"), "noise");
    }
    watched.write("marker.ts", "");
    let (_, all) = watched.reported("marker.ts").await;
    assert!(!all.keys().any(|path| path.as_str().contains("noise")), "{all:?}");
}

#[tokio::test]
async fn what_a_repository_ignores_is_watched_only_where_it_was_read() {
    let watched = Watched::new(&["src", "made/code"]);
    watched.write(".gitignore", "made/\nlater/\n");
    let mut watched = {
        // As it was at the start.
        let Watched { root, _directory, .. } = watched;
        let (sender, events) = mpsc::unbounded_channel();
        let watch = watch::start(root.clone(), sender, Ui::channel().0).expect("it is watched");
        Watched { root, events, watch, _directory }
    };
    fs_err::create_dir(watched.root.join("later")).expect("a directory");
    watched.write("later/noise.ts", "");
    watched.write("made/code/old.ts", "noise");
    watched.write("made/code/read.ts", "");
    watched.write("marker.ts", "");
    let (_, all) = watched.reported("marker.ts").await;
    assert!(
        !all.keys().any(|path| path.extension() == Some("ts") && path.file_name() != Some("marker.ts")),
        "{all:?}"
    );

    watched.read("a", &["made/code/read.ts"]);
    watched.settled("src/1").await;
    watched.write("made/code/old.ts", "noise");
    watched.write("made/code/read.ts", "new");
    let (_, all) = watched.reported("made/code/read.ts").await;
    assert!(!all.keys().any(|path| path.ends_with("old.ts")), "{all:?}");
    // What generates code makes all of it anew.
    fs_err::remove_dir_all(watched.root.join("made")).expect("removed");
    watched.reported("made").await;
    fs_err::create_dir_all(watched.root.join("made/code")).expect("a directory");
    watched.write("made/code/read.ts", "newer");
    assert!(watched.reported("made/code/read.ts").await.0);
}

#[tokio::test]
async fn what_was_read_is_watched_wherever_it_is_and_no_longer_than_that() {
    let mut watched = Watched::new(&["src"]);
    for directory in ["../shared/src", "node_modules/p", "cdk.out/code"] {
        fs_err::create_dir_all(watched.root.join(directory)).expect("a directory");
    }
    let files = ["../shared/src/a.ts", "node_modules/p/package.json", "cdk.out/code/a.ts"];
    for file in files {
        watched.write(file, "old");
    }
    watched.read("a", &files);
    watched.settled("src/1").await;
    for file in files {
        watched.write(file, "new");
        watched.reported(file).await;
        watched.write(&format!("{file}.beside"), "newer");
        rename(&watched.root, &format!("{file}.beside"), file);
        let (structural, all) = watched.reported(file).await;
        assert!(structural && !all.keys().any(|path| path.as_str().ends_with(".beside")), "{all:?}");
    }
    // Others read it as well, and one of them does so no more.
    watched.read("b", &files);
    watched.read("a", &[]);
    watched.settled("src/2").await;
    watched.write(files[0], "newest");
    watched.reported(files[0]).await;
    watched.read("b", &["src/old.ts"]);
    watched.settled("src/3").await;
    watched.write(files[0], "last");
    watched.write("src/marker", "");
    let (_, all) = watched.reported("src/marker").await;
    assert_eq!(all.len(), 1, "{all:?}");
}

#[tokio::test]
async fn a_package_that_is_installed_anew_is_noticed() {
    let mut watched = Watched::new(&["src"]);
    fs_err::create_dir_all(watched.root.join("node_modules/p")).expect("a directory");
    watched.write("node_modules/p/package.json", "1");
    watched.read("a", &["node_modules/p/package.json"]);
    watched.settled("src/1").await;
    for round in ["2", "3"] {
        // As npm does it: the former one is moved away first.
        rename(&watched.root, "node_modules/p", &format!("node_modules/.p-{round}"));
        fs_err::create_dir_all(watched.root.join("node_modules/p")).expect("a directory");
        watched.write("node_modules/p/package.json", round);
        watched.reported("node_modules/p/package.json").await;
        watched.settled(&format!("src/{round}")).await;
        watched.write("node_modules/p/package.json", "by hand");
        watched.reported("node_modules/p/package.json").await;
    }
}

#[tokio::test]
async fn what_was_looked_for_is_noticed_when_it_comes() {
    let mut watched = Watched::new(&["src"]);
    watched.read("a", &["../lib/deep/a.ts", "src/node_modules", "made/*.go"]);
    watched.settled("src/1").await;
    fs_err::create_dir_all(watched.root.join("../lib/deep")).expect("a directory");
    watched.write("../lib/deep/a.ts", "");
    assert!(watched.reported("../lib/deep/a.ts").await.0);
    fs_err::create_dir(watched.root.join("src/node_modules")).expect("a directory");
    assert!(watched.reported("src/node_modules").await.0);
    fs_err::create_dir(watched.root.join("made")).expect("a directory");
    watched.write("made/new.go", "");
    assert!(watched.reported("made/new.go").await.0);
}

#[tokio::test]
async fn files_behind_links_are_reported_as_the_build_knows_them() {
    let mut watched = Watched::new(&["src"]);
    for directory in ["../one/deep", "../two/deep"] {
        fs_err::create_dir_all(watched.root.join(directory)).expect("a directory");
        watched.write(&format!("{directory}/a.py"), "old");
    }
    let link = |to: &str, at: &str| {
        fs_err::os::unix::fs::symlink(to, watched.root.join(at)).expect("a link");
    };
    link("../../one", "src/link");
    watched.read("a", &["src/link/deep/a.py"]);
    watched.read("b", &["src/link"]);
    watched.settled("src/1").await;
    watched.write("../one/deep/a.py", "new");
    watched.reported("src/link/deep/a.py").await;
    watched.write("../one/deep/new.py", "new");
    assert!(watched.reported("src/link/deep/new.py").await.0);
    // Another target, as when a package manager links another version.
    fs_err::os::unix::fs::symlink("../../two", watched.root.join("src/beside")).expect("a link");
    rename(&watched.root, "src/beside", "src/link");
    assert!(watched.reported("src/link").await.0);
    watched.read("a", &["src/link/deep/a.py"]);
    watched.settled("src/2").await;
    watched.write("../two/deep/a.py", "new");
    watched.reported("src/link/deep/a.py").await;
}

#[tokio::test]
async fn what_changed_before_it_was_watched_is_reported() {
    let mut watched = Watched::new(&["src"]);
    fs_err::create_dir_all(watched.root.join("../shared")).expect("a directory");
    for file in ["same.ts", "saved.ts", "gone.ts"] {
        watched.write(&format!("../shared/{file}"), "old");
    }
    let since = SystemTime::now() + Duration::from_millis(200);
    // The time of files goes by ticks.
    while SystemTime::now() < since + Duration::from_millis(50) {
        tokio::task::yield_now().await;
    }
    // With the time of a file that was written long before, as a copy or a checkout may have it.
    watched.write("../shared/beside", "new");
    let file = fs_err::File::open(watched.root.join("../shared/beside")).expect("a file");
    file.file().set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    rename(&watched.root, "../shared/beside", "../shared/saved.ts");
    fs_err::remove_file(watched.root.join("../shared/gone.ts")).expect("removed");
    watched.read_since("a", &["../shared/same.ts", "../shared/saved.ts", "../shared/gone.ts"], since);
    let (_, mut all) = watched.reported("../shared/saved.ts").await;
    if !all.keys().any(|path| path.ends_with("gone.ts")) {
        all.extend(watched.reported("../shared/gone.ts").await.1);
    }
    assert!(!all.keys().any(|path| path.ends_with("same.ts")), "{all:?}");
}

#[tokio::test]
async fn what_editors_write_beside_a_file_is_not_reported() {
    let mut watched = Watched::new(&["src"]);
    watched.read("a", &["src"]);
    for name in ["4913", ".old.ts.swp", "old.ts~", "old.ts___jb_tmp___", ".#old.ts"] {
        watched.write(&format!("src/{name}"), "");
        fs_err::remove_file(watched.root.join("src").join(name)).expect("removed");
    }
    watched.write("src/old.ts___jb_tmp___", "new");
    rename(&watched.root, "src/old.ts___jb_tmp___", "src/old.ts");
    let (_, all) = watched.reported("src/old.ts").await;
    assert_eq!(all.len(), 1, "{all:?}");
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
        let _watch = watch::start(root.clone(), sender, ui).expect("the rest is watched");
        let warning = tokio::time::timeout(PATIENCE, shown.recv()).await.expect("a warning");
        let UiEvent::Warning(text) = warning else { panic!("{warning:?}") };
        assert!(text.contains("sysctl fs.inotify.max_user_watches="), "{text}");
        fs_err::write(root.join("here.ts"), "").expect("a file");
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("it is noticed");
        assert!(matches!(event, Some(Event::FilesChanged(_))));
        assert!(shown.try_recv().is_err(), "one warning is enough");
    }
}

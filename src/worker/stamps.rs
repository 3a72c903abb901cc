//! Whether what a process has read is still what is there.

use std::{
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use camino::Utf8PathBuf;

/// By how much the time that a file system notes may lag behind the clock.
const COARSE: Duration = Duration::from_millis(50);

/// Files and directories as they were, also those that there were not.
#[derive(Debug)]
pub(super) struct Stamps(Vec<(Utf8PathBuf, [Option<Stamp>; 2])>);

/// What differs when a file is another one. Its time of modification need not: installers set it, and npm gives every file of every
/// package the same one. Nobody can set the time of the last change of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    node: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamps {
    /// As they are now; none when one of them may have changed after `since`, so that it is not known what was read.
    pub(super) fn of(paths: Vec<Utf8PathBuf>, since: SystemTime) -> Option<Self> {
        let since = since.checked_sub(COARSE)?.duration_since(UNIX_EPOCH).ok()?;
        let since = (i64::try_from(since.as_secs()).ok()?, i64::from(since.subsec_nanos()));
        let stamped: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let stamps = stamps(&path);
                (path, stamps)
            })
            .collect();
        let known = stamped.iter().flat_map(|(_, stamps)| stamps).flatten();
        known.map(|stamp| stamp.changed).all(|changed| changed < since).then_some(Self(stamped))
    }

    /// Whether they are what they were.
    pub(super) fn still_hold(&self) -> bool {
        self.0.iter().all(|(path, before)| stamps(path) == *before)
    }
}

/// Of what has this path, and of what it leads to.
fn stamps(path: &Utf8PathBuf) -> [Option<Stamp>; 2] {
    let stamp = |metadata: io::Result<std::fs::Metadata>| {
        metadata.ok().map(|metadata| Stamp {
            device: metadata.dev(),
            node: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    };
    [stamp(path.as_std_path().symlink_metadata()), stamp(path.as_std_path().metadata())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be done to `package/index.js`, which is a file of four bytes beside a directory, each as a shell does it.
    const CHANGES: [(&str, &str); 9] = [
        (
            "other text of the same size and the same times",
            "cp -p index.js t; printf 'new\n' > index.js; touch -r t index.js; rm t",
        ),
        ("renamed over, with the same times", "printf 'new\n' > t; touch -r index.js t; mv t index.js"),
        ("deleted", "rm index.js"),
        ("the package replaced", "cd ..; cp -rp package p; mv package o; mv p package; rm -r o"),
        ("another package in its place, by a link", "cd ..; mv package o; ln -s o package"),
        ("the link leads elsewhere", "cd ..; ln -sfn b link"),
        ("something that was not there", "mkdir absent"),
        ("something in a directory", "touch directory/new"),
        ("other rights", "chmod 600 index.js"),
    ];

    #[test]
    fn whatever_was_changed_is_noticed() {
        for (what, script) in CHANGES {
            let directory = tempfile::tempdir().unwrap();
            let base = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
            let shell = |script: &str| {
                let mut command = std::process::Command::new("sh");
                assert!(
                    command.args(["-ec", script]).current_dir(&base).status().unwrap().success(),
                    "{what}"
                );
            };
            shell("mkdir -p package/directory a b; ln -s a link; printf 'old\n' > package/index.js");
            let names = ["package", "package/index.js", "package/absent", "package/directory", "link"];
            let paths: Vec<_> = names.map(|name| base.join(name)).to_vec();
            assert!(Stamps::of(paths.clone(), SystemTime::now()).is_none(), "it may have been read before");
            let stamps = Stamps::of(paths, SystemTime::now() + 2 * COARSE).expect("nothing is that young");
            assert!(stamps.still_hold());
            // The time that the file system notes comes in steps of milliseconds.
            let before = std::fs::metadata(base.join("package/index.js")).unwrap();
            let moved = || {
                shell("touch tick");
                std::fs::metadata(base.join("tick")).unwrap().ctime_nsec() != before.ctime_nsec()
            };
            while !moved() {}
            shell(&format!("cd package; {script}"));
            assert!(!stamps.still_hold(), "{what}");
        }
    }
}

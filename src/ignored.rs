//! What nobody edits and nobody waits for, by one list: what was installed, what programs write for themselves, and what editors write
//! for a moment. It is only for what nothing has read: whatever a build has read is watched wherever it is.

use camino::Utf8Path;

/// Directories with these names.
const DIRECTORIES: [&str; 8] =
    ["node_modules", ".git", ".hg", ".svn", ".sst", "cdk.out", ".venv", "__pycache__"];

/// A directory with one of these files says of itself what it is: a cache (<https://bford.info/cachedir/>; Cargo, pytest and others
/// write that), or a virtual environment.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// `target` is what these make beside them. Elsewhere it is a name as any other.
const MAKE_TARGET: [&str; 3] = ["pom.xml", "Cargo.toml", "build.sbt"];

/// Whether a directory holds nothing that anybody edits.
#[must_use]
pub(crate) fn is_ignored(directory: &Utf8Path) -> bool {
    let Some(name) = directory.file_name() else { return false };
    let beside = |file: &str| directory.with_file_name(file).is_file();
    DIRECTORIES.contains(&name)
        || (name == "target" && MAKE_TARGET.into_iter().any(beside))
        || MARKS.iter().any(|mark| directory.join(mark).is_file())
}

/// Whether a file has a name that editors and systems give to what they write for themselves, beside what somebody saves.
#[must_use]
pub(crate) fn is_passing(path: &Utf8Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    // Vim tries with `4913` whether it can write to a directory.
    matches!(name, "4913" | ".DS_Store")
        || name.ends_with('~')
        || (name.starts_with('.') && [".swp", ".swo", ".swx"].iter().any(|end| name.ends_with(end)))
        || name.starts_with(".#")
        || (name.starts_with('#') && name.ends_with('#'))
        || name.starts_with(".goutputstream-")
        || name.ends_with("___jb_tmp___")
        || name.ends_with("___jb_old___")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_may_use_is_ignored_only_where_it_means_something() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for path in ["a/target", "b/target", "c/node_modules", "d/venv", "e/venv", "f/cache"] {
            fs_err::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["b/Cargo.toml", "d/venv/pyvenv.cfg", "f/cache/CACHEDIR.TAG"] {
            fs_err::write(root.join(path), "").unwrap();
        }
        let ignored = ["a/target", "b/target", "c/node_modules", "d/venv", "e/venv", "f/cache"]
            .map(|path| is_ignored(&root.join(path)));
        assert_eq!(ignored, [false, true, true, true, false, true]);
    }

    #[test]
    fn what_editors_write_for_a_moment_is_passing() {
        let passing =
            ["4913", ".a.ts.swp", "a.ts~", ".#a.ts", "#a.ts#", "a.ts___jb_tmp___", ".goutputstream-X1"];
        assert!(passing.iter().all(|name| is_passing(&Utf8Path::new("/p").join(name))));
        assert!(
            ["a.ts", ".env", "a.swp.ts", "#a"]
                .iter()
                .all(|name| !is_passing(&Utf8Path::new("/p").join(name)))
        );
    }
}

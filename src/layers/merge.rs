//! Directories laid over one another by links, so that nothing is copied and every file stays where it is edited.

use std::{collections::BTreeMap, io};

use camino::{Utf8Path, Utf8PathBuf};

/// No layer is deeper; one that seems to be has links in a circle.
pub(super) const DEEPEST: usize = 64;

/// Makes `target` the directories `layers`, of which later ones win. What only one of them has is one link.
pub(super) fn merge(layers: &[Utf8PathBuf], target: &Utf8Path) -> io::Result<()> {
    level(layers, target, 0)
}

fn level(layers: &[Utf8PathBuf], target: &Utf8Path, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other(format!("`{target}` is nested without end")));
    }
    fs_err::create_dir_all(target)?;
    let mut names: BTreeMap<String, Vec<Utf8PathBuf>> = BTreeMap::new();
    for layer in layers {
        for entry in layer.read_dir_utf8()? {
            let entry = entry?;
            names.entry(entry.file_name().to_owned()).or_default().push(entry.into_path());
        }
    }
    for (name, places) in names {
        let target = target.join(name);
        // A file hides what was there before, also a directory; only directories are laid over one another.
        let visible = places
            .iter()
            .rposition(|place| !place.is_dir())
            .map_or(0, |hiding| if hiding + 1 == places.len() { hiding } else { hiding + 1 });
        match &places[visible..] {
            [only] => fs_err::os::unix::fs::symlink(only, &target)?,
            several => level(several, &target, depth + 1)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_directories_are_laid_over_one_another() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        for (path, text) in [
            ("1/bin/tool", "first"),
            ("1/nodejs/node_modules/a/index.js", "a of 1"),
            ("1/nodejs/node_modules/b/index.js", "b of 1"),
            ("1/both", "a file"),
            ("1/hidden/file", "under a file"),
            ("2/bin/tool", "second"),
            ("2/nodejs/node_modules/b/more.js", "more of 2"),
            ("2/both/inside", "a directory"),
            ("2/hidden", "a file again"),
        ] {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let target = root.join("opt");
        merge(&[root.join("1"), root.join("2")], &target).unwrap();
        for (path, text) in [
            ("bin/tool", "second"),
            ("nodejs/node_modules/a/index.js", "a of 1"),
            ("nodejs/node_modules/b/index.js", "b of 1"),
            ("nodejs/node_modules/b/more.js", "more of 2"),
            ("both/inside", "a directory"),
            ("hidden", "a file again"),
        ] {
            assert_eq!(fs_err::read_to_string(target.join(path)).unwrap(), text, "{path}");
        }
        let link = fs_err::read_link(target.join("nodejs/node_modules/a")).unwrap();
        assert_eq!(link, root.join("1/nodejs/node_modules/a").as_std_path(), "what one has is one link");
        fs_err::write(root.join("1/nodejs/node_modules/a/index.js"), "saved").unwrap();
        assert_eq!(fs_err::read_to_string(target.join("nodejs/node_modules/a/index.js")).unwrap(), "saved");
    }
}

//! Where on the disk the paths are that somebody has read: links followed, and with all directories that have to be watched for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use camino::{Utf8Path, Utf8PathBuf};

/// The places of one reader. Everything in here has its real name, which is how events name it.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The paths, and the links on the way to them.
    wanted: BTreeSet<Utf8PathBuf>,
    /// How the reader names what lies behind links.
    names: BTreeMap<Utf8PathBuf, BTreeSet<Utf8PathBuf>>,
    /// Directories of which new files with one of these endings are wanted.
    endings: BTreeMap<Utf8PathBuf, Vec<String>>,
    /// What has to be watched, each by itself: the directories of the paths, and those above, because a directory that is replaced
    /// is another one.
    pub directories: BTreeSet<Utf8PathBuf>,
    /// The directories of which everything below is wanted.
    pub trees: BTreeSet<Utf8PathBuf>,
}

impl Places {
    /// Follows paths, as inputs of builds are written ([`crate::core::event::Artifact::inputs`]).
    pub(super) fn of(paths: &[Utf8PathBuf], project: &Utf8Path) -> Self {
        let mut walk = Walk { project, known: HashMap::new(), places: Self::default() };
        for path in paths {
            walk.to(path);
        }
        walk.places
    }

    /// Whether a path is wanted, or something is that is below it.
    pub(super) fn want(&self, path: &Utf8Path) -> bool {
        self.below(path).next().is_some() || self.want_new(path)
    }

    /// What is wanted of a directory and below it.
    pub(super) fn below<'a>(&'a self, directory: &'a Utf8Path) -> impl Iterator<Item = &'a Utf8PathBuf> {
        self.wanted.range(directory.to_owned()..).take_while(move |path| path.starts_with(directory))
    }

    /// What is wanted of exactly this directory.
    pub(super) fn directly_in<'a>(
        &'a self,
        directory: &'a Utf8Path,
    ) -> impl Iterator<Item = &'a Utf8PathBuf> {
        self.below(directory).filter(move |path| path.parent() == Some(directory))
    }

    /// Adds what the reader calls a path, if that is something else.
    pub(super) fn names_of(&self, path: &Utf8Path, names: &mut BTreeSet<Utf8PathBuf>) {
        for above in path.ancestors() {
            for name in self.names.get(above).into_iter().flatten() {
                names.insert(if above == path { name.clone() } else { name.join(relative(path, above)) });
            }
        }
    }

    fn want_new(&self, path: &Utf8Path) -> bool {
        let endings = path.parent().and_then(|directory| self.endings.get(directory));
        endings.is_some_and(|endings| endings.iter().any(|ending| path.as_str().ends_with(ending)))
    }
}

fn relative<'a>(path: &'a Utf8Path, above: &Utf8Path) -> &'a Utf8Path {
    path.strip_prefix(above).unwrap_or(path)
}

struct Walk<'a> {
    project: &'a Utf8Path,
    /// The real names of directories: most paths share theirs with others.
    known: HashMap<Utf8PathBuf, Utf8PathBuf>,
    places: Places,
}

impl Walk<'_> {
    fn to(&mut self, path: &Utf8Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let parent = self.directory(parent);
        self.watch(&parent);
        if let Some(ending) = name.strip_prefix('*') {
            self.places.endings.entry(parent).or_default().push(ending.to_owned());
            return;
        }
        let real = self.follow(parent.join(name), path);
        if real.is_dir() {
            self.watch(&real);
            self.places.trees.insert(real.clone());
        }
        self.places.wanted.insert(real);
    }

    /// The real name of a directory, which need not be there.
    fn directory(&mut self, directory: &Utf8Path) -> Utf8PathBuf {
        if let Some(known) = self.known.get(directory) {
            return known.clone();
        }
        let real = match (directory.parent(), directory.file_name()) {
            (Some(parent), Some(name)) => {
                let parent = self.directory(parent);
                self.follow(parent.join(name), directory)
            }
            _ => directory.to_owned(),
        };
        self.known.insert(directory.to_owned(), real.clone());
        real
    }

    /// Where a path leads, whose directory is already a real one.
    fn follow(&mut self, path: Utf8PathBuf, named: &Utf8Path) -> Utf8PathBuf {
        if !path.is_symlink() {
            return path;
        }
        let target = path.canonicalize_utf8();
        self.places.wanted.insert(path.clone());
        path.parent().into_iter().for_each(|parent| self.watch(parent));
        let Ok(target) = target else { return path };
        target.parent().into_iter().for_each(|parent| self.watch(parent));
        self.places.names.entry(target.clone()).or_default().insert(named.to_owned());
        target
    }

    /// Has a directory watched, and those above it up to the first that the project is in as well: who replaces that one replaces the
    /// project.
    fn watch(&mut self, directory: &Utf8Path) {
        for directory in directory.ancestors() {
            if !self.places.directories.insert(directory.to_owned()) || self.project.starts_with(directory) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_both_of_its_names_and_so_is_the_link_between() {
        let directory = tempfile::tempdir().unwrap();
        let base = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        let project = base.join("mono/app");
        fs_err::create_dir_all(&project).unwrap();
        fs_err::create_dir_all(base.join("mono/shared/src")).unwrap();
        fs_err::write(base.join("mono/shared/src/a.ts"), "").unwrap();
        fs_err::os::unix::fs::symlink("../shared", project.join("link")).unwrap();
        let places = Places::of(&[project.join("link/src/a.ts"), base.join("mono/go/*.go")], &project);
        let real = base.join("mono/shared/src/a.ts");
        let mut names = BTreeSet::new();
        places.names_of(&real, &mut names);
        assert_eq!(names, BTreeSet::from([project.join("link/src/a.ts")]));
        let wanted = [real, project.join("link"), base.join("mono/shared"), base.join("mono/go/new.go")];
        assert!(wanted.iter().all(|path| places.want(path)));
        let others = ["mono/shared/src/b.ts", "mono/go/new.txt", "mono/go/deep/new.go", "mono/app/other"];
        assert!(others.iter().all(|path| !places.want(&base.join(path))));
        let watched =
            ["mono", "mono/app", "mono/go", "mono/shared", "mono/shared/src"].map(|path| base.join(path));
        assert_eq!(places.directories, BTreeSet::from(watched));
    }
}

//! Which builds have to be made again when files have changed.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use camino::{Utf8Path, Utf8PathBuf};

use super::event::FileChange;

/// Up to so many changes are looked at one by one, which is quicker than looking them up.
const FEW: usize = 8;

/// The changes of a moment: one save, or all that the checkout of another branch brings.
#[derive(Debug)]
pub(super) struct Changes {
    all: BTreeSet<Utf8PathBuf>,
    /// Those that came or went.
    structural: BTreeSet<Utf8PathBuf>,
}

impl Changes {
    pub(super) fn of(changes: Vec<FileChange>) -> Self {
        let structural =
            changes.iter().filter(|change| change.structural).map(|change| change.path.clone()).collect();
        Self { all: changes.into_iter().map(|change| change.path).collect(), structural }
    }

    /// Whether a build that depends on these paths may turn out differently now. What is not among them concerns no build: a file that
    /// comes can only change how imports resolve where its path was tried, and whoever builds names what was tried and is not there.
    pub(super) fn concern(&self, inputs: &[Utf8PathBuf]) -> bool {
        inputs.iter().any(|input| self.concerns(input))
    }

    fn concerns(&self, input: &Utf8Path) -> bool {
        self.is_in(input) || self.has_replaced(input) || self.has_added(input)
    }

    /// The input itself has changed, or something in it.
    fn is_in(&self, input: &Utf8Path) -> bool {
        from(&self.all, input).next().is_some_and(|change| change.starts_with(input))
    }

    /// A directory that it is in came or went.
    fn has_replaced(&self, input: &Utf8Path) -> bool {
        match self.structural.len() {
            0 => false,
            1..=FEW => self.structural.iter().any(|change| input.starts_with(change)),
            _ => input.ancestors().any(|above| self.structural.contains(above)),
        }
    }

    /// `directory/*.ending`: such a file came or went.
    fn has_added(&self, input: &Utf8Path) -> bool {
        let (Some(directory), Some(name)) = (input.parent(), input.file_name()) else { return false };
        let Some(ending) = name.strip_prefix('*') else { return false };
        let below = from(&self.structural, directory);
        let mut below = below.take_while(|change| change.starts_with(directory));
        below.any(|change| change.parent() == Some(directory) && change.as_str().ends_with(ending))
    }
}

/// Which paths changes concern, each of them looked up once: the functions of an app have most of theirs in common.
#[derive(Debug)]
pub(super) struct LookedUp<'a> {
    changes: &'a Changes,
    known: HashMap<&'a str, bool>,
}

impl<'a> LookedUp<'a> {
    pub(super) fn new(changes: &'a Changes) -> Self {
        Self { changes, known: HashMap::new() }
    }

    /// As [`Changes::concern`].
    pub(super) fn concern(&mut self, inputs: &'a [Utf8PathBuf]) -> bool {
        let mut known = |input: &'a Utf8Path| {
            *self.known.entry(input.as_str()).or_insert_with(|| self.changes.concerns(input))
        };
        inputs.iter().any(|input| known(input))
    }
}

/// Paths are in the order of their parts, so what is in a directory comes right after it.
fn from<'a>(paths: &'a BTreeSet<Utf8PathBuf>, path: &Utf8Path) -> impl Iterator<Item = &'a Utf8PathBuf> {
    paths.range::<Utf8Path, _>((Bound::Included(path), Bound::Unbounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What concerns a build with these inputs, alone and among many other changes.
    #[test]
    fn only_what_a_build_has_read_or_looked_for_concerns_it() {
        let inputs =
            ["/p/src/a.ts", "/p/src/b.tsx", "/p/as-it-is", "/p/go/*.go"].map(Utf8PathBuf::from).to_vec();
        for (path, structural, expected) in [
            ("/p/src/a.ts", false, true),
            ("/p/src/a.ts", true, true),
            ("/p/src/a.ts.bak", true, false),
            ("/p/src/a.t", true, false),
            ("/p/src/new.ts", true, false),
            ("/p/src", true, true),
            ("/p/src", false, false),
            ("/p", true, true),
            ("/", true, true),
            ("/p/src/b.tsx", true, true),
            ("/p/as-it-is/deep/file.txt", false, true),
            ("/p/as-it-is-not/file.txt", true, false),
            ("/p/go/new.go", true, true),
            ("/p/go/new.go", false, false),
            ("/p/go/new.txt", true, false),
            ("/p/go/deep/new.go", true, false),
            ("/other/new.ts", true, false),
        ] {
            let change = FileChange { path: path.into(), structural };
            let alone = Changes::of(vec![change.clone()]);
            assert_eq!(alone.concern(&inputs), expected, "{path} {structural}");
            let mut looked_up = LookedUp::new(&alone);
            for _ in 0..2 {
                assert_eq!(looked_up.concern(&inputs), expected, "{path} {structural}, looked up");
            }
            let others = (0..50).map(|n| FileChange { path: format!("/q/{n}.ts").into(), structural: true });
            let all = others.chain([change]).collect();
            assert_eq!(Changes::of(all).concern(&inputs), expected, "{path} {structural}, among others");
        }
    }
}

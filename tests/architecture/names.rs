//! What the names in the source mean: each path is followed through imports, other names, `*`, `self` and `super` to where a thing is
//! defined, or to the package that has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::OnceLock,
};

use crate::source::{self, Module, Saying, What};

/// Longer chains of imports are circles of `*`.
const MOST_STEPS: usize = 12;

/// All modules of a crate, by their paths. What is `main.rs` beside a `lib.rs` is one of them.
pub(crate) struct Tree {
    pub modules: BTreeMap<Vec<String>, Module>,
    /// The names that mean other crates.
    crates: BTreeSet<String>,
    /// The name of this one, by which `main.rs` knows it.
    own: String,
}

/// Something that is said, with what its path means: the first segment is `crate` or another crate's name. One name may mean several
/// things, of which each is a saying. What is local, or of the language itself, means nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub module: &'a Module,
    pub saying: &'a Saying,
}

impl Tree {
    /// Reads the files of a crate, beginning at its root, as the compiler does.
    pub(crate) fn read(
        roots: &[&str],
        own: &str,
        crates: &[&str],
        text: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let crates =
            crates.iter().map(|name| (*name).to_owned()).chain(STANDARD.map(str::to_owned)).collect();
        let mut tree = Self { modules: BTreeMap::new(), crates, own: own.to_owned() };
        for root in roots {
            // Beside a library the program itself is one more module.
            let path =
                if roots.len() > 1 && *root == "main.rs" { vec!["main".to_owned()] } else { Vec::new() };
            let found = text(root).unwrap_or_else(|| panic!("there is no `{root}`"));
            tree.add(&path, root, &found, false, text);
        }
        tree
    }

    fn add(
        &mut self,
        path: &[String],
        file: &str,
        found: &str,
        test: bool,
        text: &dyn Fn(&str) -> Option<String>,
    ) {
        let (modules, elsewhere) = source::read(path, file, found, test);
        for module in modules {
            assert!(self.modules.insert(module.path.clone(), module).is_none(), "{file} is read twice");
        }
        for module in elsewhere {
            let place = module.path.join("/");
            assert!(!module.moved, "{place}: `#[path]` is not followed");
            let candidates = [format!("{place}.rs"), format!("{place}/mod.rs")];
            let found = candidates.iter().find_map(|file| Some((file, text(file)?)));
            let (file, found) = found.unwrap_or_else(|| panic!("{place} has no file"));
            self.add(&module.path, file, &found, module.test, text);
        }
    }

    /// The program's own, from the disk.
    pub(crate) fn of_the_program() -> &'static Self {
        static READ: OnceLock<Tree> = OnceLock::new();
        READ.get_or_init(Self::read_the_program)
    }

    fn read_the_program() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let crates = dependencies();
        let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
        Self::read(&["lib.rs", "main.rs"], "sst", &crates, &|file| {
            std::fs::read_to_string(source.join(file)).ok()
        })
    }

    /// A small one, for tests of the tests.
    pub(crate) fn small(files: &[(&str, &str)]) -> Self {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let roots: Vec<&str> =
            ["lib.rs", "main.rs"].into_iter().filter(|root| files.contains_key(root)).collect();
        let crates = dependencies();
        let mut crates: Vec<&str> = crates.iter().map(String::as_str).collect();
        crates.extend(["indicatif", "portpicker"]);
        Self::read(&roots, "sst", &crates, &|file| files.get(file).map(|text| (*text).to_owned()))
    }

    /// Everything that is said outside of tests.
    pub(crate) fn said(&self) -> impl Iterator<Item = Said<'_>> {
        let modules = self.modules.values().filter(|module| !module.test);
        modules.flat_map(|module| module.sayings.iter().map(move |saying| Said { module, saying }))
    }

    /// What a path means.
    pub(crate) fn meanings(&self, said: Said<'_>, path: &[String]) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        for begun in self.begin(said.module, path, 0, None) {
            self.follow(&begun, 0, &mut found);
        }
        // A name alone is a value or a type. If only a module or a crate is called that, it is something local.
        if path.len() == 1 && !matches!(said.saying.what, What::Import(_)) {
            found.retain(|meaning| !self.modules.contains_key(&meaning[1..]));
        }
        found
    }

    /// A path from the root of its crate, as far as can be told from the module in which it is written.
    fn begin(&self, module: &Module, path: &[String], steps: usize, of: Option<&str>) -> Vec<Vec<String>> {
        let Some(first) = path.first().filter(|_| steps < MOST_STEPS) else { return Vec::new() };
        let below = |base: &[String], rest: &[String]| {
            vec![["crate".to_owned()].iter().chain(base).chain(rest).cloned().collect::<Vec<_>>()]
        };
        match first.as_str() {
            "" => return vec![path[1..].to_vec()],
            "crate" => return below(&[], &path[1..]),
            "self" => return below(&module.path, &path[1..]),
            "super" => {
                let count = path.iter().take_while(|segment| *segment == "super").count();
                let base = &module.path[..module.path.len().saturating_sub(count)];
                return below(base, &path[count..]);
            }
            "Self" => return Vec::new(),
            _ => {}
        }
        let mut found = Vec::new();
        for import in module.imports.get(first).into_iter().flatten() {
            // `use tokio;` does not mean itself.
            if import.first().is_some_and(|import| of == Some(import.as_str())) && import.len() == 1 {
                continue;
            }
            for base in self.begin(module, import, steps + 1, Some(first)) {
                found.push([&base, &path[1..]].concat());
            }
        }
        if module.items.contains(first) {
            found.extend(below(&module.path, path));
        }
        if found.is_empty() {
            for glob in &module.globs {
                for base in self.begin(module, glob, steps + 1, None) {
                    let Some(other) = self.module(&base) else { continue };
                    if self.knows(other, first, steps + 1) {
                        found.extend(self.begin(other, path, steps + 1, None));
                    }
                }
            }
        }
        // What a longer path begins with is no function, so one of the same name does not count.
        let within = [&*module.path, std::slice::from_ref(first)].concat();
        if found.is_empty()
            || (path.len() > 1 && module.items.contains(first) && !self.modules.contains_key(&within))
        {
            if *first == self.own {
                found.extend(below(&[], &path[1..]));
            } else if self.crates.contains(first) {
                found.push(path.to_vec());
            }
        }
        found
    }

    /// Whether a module has something of a name to give to those that import all of it.
    fn knows(&self, module: &Module, name: &str, steps: usize) -> bool {
        if module.items.contains(name) || module.imports.contains_key(name) {
            return true;
        }
        steps < MOST_STEPS
            && module.globs.iter().any(|glob| {
                self.begin(module, glob, steps + 1, None)
                    .iter()
                    .filter_map(|base| self.module(base))
                    .any(|other| other.path != module.path && self.knows(other, name, steps + 1))
            })
    }

    fn module(&self, path: &[String]) -> Option<&Module> {
        let (first, rest) = path.split_first()?;
        self.modules.get(rest).filter(|_| first == "crate")
    }

    /// Goes on where a segment is a name for something else. What is on the way is meant as well.
    fn follow(&self, path: &[String], steps: usize, found: &mut BTreeSet<Vec<String>>) {
        if !found.insert(path.to_vec()) || path[0] != "crate" || steps > MOST_STEPS {
            return;
        }
        let mut module = &self.modules[&Vec::new()];
        for (at, segment) in path.iter().enumerate().skip(1) {
            let child = [&*module.path, std::slice::from_ref(segment)].concat();
            let child = self.modules.get(&child);
            // A module and a function may have the same name, and one be brought into scope where the other is.
            if module.imports.contains_key(segment) || (child.is_none() && !module.items.contains(segment)) {
                let elsewhere = self.begin(module, &path[at..], steps + 1, None);
                elsewhere.iter().for_each(|other| self.follow(other, steps + 1, found));
            }
            let Some(child) = child else { return };
            module = child;
        }
    }
}

/// The paths that are said, whatever for, with their meanings.
pub(crate) fn paths(tree: &Tree) -> impl Iterator<Item = (Said<'_>, Vec<String>)> {
    tree.said().flat_map(move |said| {
        let path = match &said.saying.what {
            What::Path(path) | What::Import(path) | What::Macro(path) => path.as_slice(),
            What::Call(..) | What::Method(..) | What::Text(_) => &[],
        };
        tree.meanings(said, path).into_iter().map(move |meaning| (said, meaning))
    })
}

const STANDARD: [&str; 4] = ["std", "core", "alloc", "proc_macro"];

/// The crates that the program may use, by the names that code has for them.
fn dependencies() -> Vec<String> {
    let manifest = include_str!("../../Cargo.toml");
    let mut within = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| within) {
            names.push(name.trim().trim_end_matches(".workspace").replace('-', "_"));
        }
    }
    names
}

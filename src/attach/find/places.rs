//! Where in a project code may be: its root, the packages of its workspace, and any directory that somebody edits.

use std::{
    collections::{BTreeSet, HashSet},
    sync::OnceLock,
};

use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use serde_json::Value;

use crate::{
    ignored::is_ignored,
    languages::{self, Language, NamedProgram},
    yaml,
};

/// Directories of deployment tools, with copies of what the project has elsewhere. Those that nobody edits in any project are in `ignored`.
const OF_TOOLS: [&str; 5] = [".aws-sam", ".serverless", ".terraform", ".build", ".esbuild"];

/// How many directories are looked at, and how deep: a project that has more is searched as far as that.
const MOST: usize = 5000;
const DEEPEST: usize = 8;

/// A project's directories. The search is made once, when it is needed first.
#[derive(Debug)]
pub(super) struct Places {
    /// The project's directory.
    pub root: Utf8PathBuf,
    searched: OnceLock<Searched>,
    packages: OnceLock<Vec<Utf8PathBuf>>,
    programs: OnceLock<Vec<Program>>,
}

/// What the search has found.
#[derive(Debug, Default)]
struct Searched {
    directories: Vec<Utf8PathBuf>,
    files: HashSet<Utf8PathBuf>,
}

/// A program of the project, and what it is written in.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub language: &'static dyn Language,
    pub named: NamedProgram,
}

impl Places {
    pub(super) fn of(root: &Utf8Path) -> Self {
        Self {
            root: root.to_owned(),
            searched: OnceLock::new(),
            packages: OnceLock::new(),
            programs: OnceLock::new(),
        }
    }

    /// The directories of the project's packages, as npm, Yarn, Bun (`workspaces` of `package.json`) and pnpm (`pnpm-workspace.yaml`) have
    /// them.
    pub(super) fn packages(&self) -> &[Utf8PathBuf] {
        self.packages.get_or_init(|| {
            let patterns = workspaces(&self.root);
            if patterns.is_empty() {
                return Vec::new();
            }
            let is_package = |directory: &Utf8Path| {
                let path = directory.strip_prefix(&self.root).unwrap_or(directory);
                let matches = |pattern: &str| glob(pattern).is_some_and(|glob| glob.is_match(path));
                let (out, of): (Vec<_>, Vec<_>) =
                    patterns.iter().partition(|pattern| pattern.starts_with('!'));
                of.iter().any(|pattern| matches(pattern)) && !out.iter().any(|pattern| matches(&pattern[1..]))
            };
            self.all().iter().filter(|directory| is_package(directory)).cloned().collect()
        })
    }

    /// All directories that somebody may edit, those that are nearest to the root first.
    pub(super) fn all(&self) -> &[Utf8PathBuf] {
        &self.searched().directories
    }

    /// Whether one of these directories has a file.
    pub(super) fn has(&self, file: &Utf8Path) -> bool {
        self.searched().files.contains(file)
    }

    /// The programs in all languages that have a name.
    pub(super) fn programs(&self) -> &[Program] {
        self.programs.get_or_init(|| {
            let of = |language: &'static dyn Language| {
                let named = self.all().iter().flat_map(|directory| language.programs(directory));
                named.map(move |named| Program { language, named })
            };
            languages::all().flat_map(of).collect()
        })
    }

    fn searched(&self) -> &Searched {
        self.searched.get_or_init(|| {
            let mut found = Searched::default();
            let mut level = BTreeSet::from([self.root.clone()]);
            for _ in 0..=DEEPEST {
                let mut next = BTreeSet::new();
                for directory in level {
                    if found.directories.len() == MOST {
                        return found;
                    }
                    found.look_into(&directory, &mut next);
                    found.directories.push(directory);
                }
                level = next;
            }
            found
        })
    }

    /// A path as it is shown: relative to the project, if it is in it.
    pub(super) fn shown<'a>(&self, path: &'a Utf8Path) -> &'a str {
        path.strip_prefix(&self.root).unwrap_or(path).as_str()
    }
}

impl Searched {
    /// Notes the files of a directory, and which directories are in it. What is behind links is not looked at.
    fn look_into(&mut self, directory: &Utf8Path, next: &mut BTreeSet<Utf8PathBuf>) {
        for entry in directory.read_dir_utf8().into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_edited(path) => drop(next.insert(path.to_owned())),
                Ok(kind) if kind.is_file() => drop(self.files.insert(path.to_owned())),
                _ => {}
            }
        }
    }
}

fn is_edited(directory: &Utf8Path) -> bool {
    let is_of_tool = directory.file_name().is_some_and(|name| OF_TOOLS.contains(&name));
    !is_of_tool && !is_ignored(directory)
}

/// The patterns of a project's packages.
fn workspaces(root: &Utf8Path) -> Vec<String> {
    let read = |name: &str| fs_err::read_to_string(root.join(name)).ok();
    let package: Option<Value> = read("package.json").and_then(|text| serde_json::from_str(&text).ok());
    let of_pnpm = read("pnpm-workspace.yaml").and_then(|text| yaml::parse(&text).ok());
    let of_package = package.as_ref().and_then(|package| package.get("workspaces"));
    // Yarn also takes an object with the list in it.
    let lists = [
        of_package,
        of_package.and_then(|workspaces| workspaces.get("packages")),
        of_pnpm.as_ref().and_then(|workspace| workspace.get("packages")),
    ];
    let patterns = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
    patterns.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn glob(pattern: &str) -> Option<globset::GlobMatcher> {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    GlobBuilder::new(pattern).literal_separator(true).build().ok().map(|glob| glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        for (file, text) in files {
            fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs_err::write(root.join(file), text).unwrap();
        }
        let places = Places::of(&root);
        (directory, places)
    }

    fn shown(places: &Places, directories: &[Utf8PathBuf]) -> Vec<String> {
        directories.iter().map(|directory| places.shown(directory).to_owned()).collect()
    }

    #[test]
    fn what_nobody_edits_is_not_searched() {
        let (_directory, places) = project(&[
            ("src/a.ts", ""),
            ("node_modules/b/index.js", ""),
            (".aws-sam/build/A/app.js", ""),
            (".venv/lib/c.py", ""),
            (".serverless/d.js", ""),
            ("cdk.out/asset.1/e.js", ""),
            ("src/deep/f.ts", ""),
        ]);
        assert_eq!(shown(&places, places.all()), ["", "src", "src/deep"]);
    }

    #[test]
    fn the_search_has_a_bottom() {
        let deep = format!("{}a.ts", "d/".repeat(DEEPEST + 3));
        let (_directory, places) = project(&[(&deep, "")]);
        assert_eq!(places.all().len(), DEEPEST + 1);
    }

    #[test]
    fn packages_are_those_of_the_workspace() {
        let all = [
            ("packages/a/package.json", "{}"),
            ("packages/b/src/b.ts", ""),
            ("tools/c/c.ts", ""),
            ("other/d.ts", ""),
        ];
        for (file, text) in [
            ("package.json", r#"{ "workspaces": ["./packages/*/", "tools/c"] }"#),
            ("package.json", r#"{ "workspaces": { "packages": ["packages/*", "tools/*"] } }"#),
            ("pnpm-workspace.yaml", "packages:\n  - 'packages/*'\n  - tools/**\n  - '!tools/d'\n"),
        ] {
            let (_directory, places) = project(&[all.as_slice(), &[(file, text)]].concat());
            assert_eq!(shown(&places, places.packages()), ["packages/a", "packages/b", "tools/c"], "{text}");
        }
        let (_directory, places) = project(&all);
        assert_eq!(places.packages(), [""; 0]);
    }
}

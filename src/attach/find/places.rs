//! Where in a project code may be: its root, the packages of its workspace, and any directory that somebody edits.

use std::{collections::BTreeSet, sync::OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use serde_json::Value;

use crate::{ignored::is_ignored, yaml};

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
    all: OnceLock<Vec<Utf8PathBuf>>,
    packages: OnceLock<Vec<Utf8PathBuf>>,
}

impl Places {
    pub(super) fn of(root: &Utf8Path) -> Self {
        Self { root: root.to_owned(), all: OnceLock::new(), packages: OnceLock::new() }
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
        self.all.get_or_init(|| {
            let mut found = vec![self.root.clone()];
            let mut level = vec![self.root.clone()];
            for _ in 0..DEEPEST {
                level = level.iter().flat_map(|directory| children(directory)).collect();
                found.extend(level.iter().take(MOST.saturating_sub(found.len())).cloned());
            }
            found
        })
    }

    /// A path as it is shown: relative to the project, if it is in it.
    pub(super) fn shown<'a>(&self, path: &'a Utf8Path) -> &'a str {
        path.strip_prefix(&self.root).unwrap_or(path).as_str()
    }
}

/// The directories in a directory, in the order of their names. What is behind links is not looked at.
fn children(directory: &Utf8Path) -> BTreeSet<Utf8PathBuf> {
    let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
    let is_edited = |path: &Utf8Path| {
        let is_of_tool = path.file_name().is_some_and(|name| OF_TOOLS.contains(&name));
        !is_of_tool && !is_ignored(path)
    };
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_edited(entry.path()))
        .map(|entry| entry.path().to_owned())
        .collect()
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

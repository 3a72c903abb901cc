//! What runs a project's tests in JavaScript and TypeScript.

use camino::Utf8Path;
use serde_json::Value;

/// A test runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestRunner {
    /// Jest.
    Jest,
    /// Vitest.
    Vitest,
    /// Node's own.
    Node,
}

/// The runner that the project depends on, if it is installed; else Node's own.
#[must_use]
pub fn test_runner(root: &Utf8Path) -> TestRunner {
    let text = fs_err::read(root.join("package.json")).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
    let declared = |name: &str| {
        ["devDependencies", "dependencies"].iter().any(|list| manifest[list].get(name).is_some())
    };
    let installed = |name: &str| root.join("node_modules/.bin").join(name).exists();
    let known = [(TestRunner::Jest, "jest"), (TestRunner::Vitest, "vitest")];
    let found = known.iter().find(|(_, name)| declared(name) && installed(name));
    // A workspace may declare it elsewhere.
    let found = found.or_else(|| known.iter().find(|(_, name)| installed(name)));
    found.map_or(TestRunner::Node, |(runner, _)| *runner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_the_one_that_is_declared_and_installed() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        assert_eq!(test_runner(root), TestRunner::Node);
        fs_err::create_dir_all(root.join("node_modules/.bin")).unwrap();
        fs_err::write(root.join("node_modules/.bin/vitest"), "").unwrap();
        assert_eq!(test_runner(root), TestRunner::Vitest);
        fs_err::write(root.join("node_modules/.bin/jest"), "").unwrap();
        fs_err::write(root.join("package.json"), r#"{"devDependencies":{"vitest":"*"}}"#).unwrap();
        assert_eq!(test_runner(root), TestRunner::Vitest);
        fs_err::write(root.join("package.json"), r#"{"devDependencies":{"jest":"*"}}"#).unwrap();
        assert_eq!(test_runner(root), TestRunner::Jest);
    }
}

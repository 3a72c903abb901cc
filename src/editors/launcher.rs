//! Where a project has the npm package of `sst`, as far as a launch configuration has to name it.

use camino::Utf8Path;

/// What is to be done about a project without `node_modules`.
const PLUG_AND_PLAY: &str = "the project uses Yarn Plug'n'Play, so there is no `node_modules/.bin/sst` that an editor could start: put \
    `nodeLinker: node-modules` into `.yarnrc.yml` and run `yarn install`, or start `sst` yourself and use a configuration that attaches";

/// The launcher of the npm package, as seen from where that is installed.
pub(super) const SCRIPT: &str = concat!("node_modules/", env!("SST_NPM_PACKAGE"), "/bin/sst.mjs");

/// The package's place, as seen from the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launcher {
    /// The launcher, which Node runs. `node_modules/.bin/sst` is a shell script where pnpm has written it.
    pub script: String,
    /// The command, which the shell runs.
    pub command: String,
}

impl Launcher {
    /// Where package managers put it: in the project, or, in a workspace of several, in a directory above it.
    pub(super) fn find(root: &Utf8Path) -> Self {
        let nearest = |path: &str| {
            let depth = root.ancestors().position(|above| above.join(path).is_file());
            format!("{}{path}", "../".repeat(depth.unwrap_or_default()))
        };
        Self { script: nearest(SCRIPT), command: nearest("node_modules/.bin/sst") }
    }
}

/// Whether a package manager has put the command into the project, or above it.
#[must_use]
pub(crate) fn has_program(root: &Utf8Path) -> bool {
    root.ancestors().any(|above| above.join("node_modules/.bin/sst").exists())
}

/// Why an editor cannot start `sst` in this project, and what to do about it.
#[must_use]
pub(crate) fn obstacle(root: &Utf8Path) -> Option<&'static str> {
    let has = |path: &str| root.ancestors().any(|above| above.join(path).is_file());
    (has(".pnp.cjs") && !has(SCRIPT)).then_some(PLUG_AND_PLAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let file = directory.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        directory
    }

    #[test]
    fn the_nearest_package_is_named() {
        let (script, command) = (SCRIPT, "node_modules/.bin/sst");
        let own = format!("packages/app/{script}");
        for (files, expected) in [
            (vec![], [script.to_owned(), command.to_owned()]),
            // npm puts what all packages of a workspace need at its top.
            (vec![script, command], [format!("../../{script}"), format!("../../{command}")]),
            (
                vec![own.as_str(), "packages/app/node_modules/.bin/sst", script],
                [script.to_owned(), command.to_owned()],
            ),
        ] {
            let directory = with(&files);
            let root = Utf8Path::from_path(directory.path()).unwrap().join("packages/app");
            fs_err::create_dir_all(&root).unwrap();
            let found = Launcher::find(&root);
            assert_eq!([found.script, found.command], expected, "{files:?}");
        }
    }

    #[test]
    fn plug_and_play_has_nothing_to_start() {
        for (files, has) in
            [(vec![".pnp.cjs"], true), (vec![".pnp.cjs", SCRIPT], false), (vec!["package.json"], false)]
        {
            let directory = with(&files);
            let root = Utf8Path::from_path(directory.path()).unwrap().join("packages/app");
            assert_eq!(obstacle(&root).is_some(), has, "{files:?}");
        }
    }
}

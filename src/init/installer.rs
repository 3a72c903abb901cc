//! The package manager of a project: which it is, how it installs what `package.json` names, and how it runs what it has installed.

use camino::Utf8Path;
use serde_json::Value;

use crate::process::Command;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Installer {
    /// Its program.
    pub program: &'static str,
    /// What it leaves beside `package.json`.
    locks: &'static [&'static str],
    /// What it is given to install.
    install: &'static [&'static str],
    /// How it runs a program of a package.
    run: &'static str,
}

const NPM: Installer = Installer {
    program: "npm",
    locks: &["package-lock.json", "npm-shrinkwrap.json"],
    install: &["install", "--no-audit", "--no-fund", "--loglevel", "error"],
    run: "npx",
};

/// Where several could be meant, the first one is taken.
const ALL: [Installer; 4] = [
    Installer {
        program: "pnpm",
        locks: &["pnpm-lock.yaml", "pnpm-workspace.yaml"],
        // With the variable `CI` it would change no lock file.
        install: &["install", "--no-frozen-lockfile"],
        run: "pnpm exec",
    },
    Installer { program: "yarn", locks: &["yarn.lock"], install: &["install"], run: "yarn" },
    Installer { program: "bun", locks: &["bun.lock", "bun.lockb"], install: &["install"], run: "bunx" },
    NPM,
];

impl Installer {
    /// That of the project at `root`, which may be a part of a repository: what `packageManager` names, or what has left its lock file.
    /// Else the one that has started this program, if one has.
    #[must_use]
    pub(crate) fn of(root: &Utf8Path) -> Self {
        let agent = std::env::var("npm_config_user_agent").unwrap_or_default();
        // Above a repository's top is what belongs to others.
        let above: Vec<_> = root.ancestors().collect();
        let top = above.iter().position(|directory| directory.join(".git").exists()).unwrap_or(0);
        let found = above.into_iter().take(top + 1).find_map(Self::named_in);
        found.or_else(|| Self::named(agent.split('/').next().unwrap_or_default())).unwrap_or(NPM)
    }

    /// What installs the packages of the project at `root`.
    #[must_use]
    pub(crate) fn install(self, root: &Utf8Path) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.install).current_dir(root).trust_own_certificates();
        // The same for Yarn as the option of pnpm.
        command.env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
        command
    }

    /// What a user types for the same.
    #[must_use]
    pub(crate) fn install_line(self) -> String {
        format!("{} install", self.program)
    }

    /// What a user types to run a program of a package.
    #[must_use]
    pub(crate) fn run_line(self, program: &str) -> String {
        format!("{} {program}", self.run)
    }

    fn named_in(directory: &Utf8Path) -> Option<Self> {
        let package = fs_err::read(directory.join(super::PACKAGE)).unwrap_or_default();
        let package: Value = serde_json::from_slice(&package).unwrap_or_default();
        let field = package["packageManager"].as_str().and_then(|field| field.split('@').next());
        let has_left = |one: &Self| one.locks.iter().any(|lock| directory.join(lock).exists());
        field.and_then(Self::named).or_else(|| ALL.into_iter().find(has_left))
    }

    fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|one| one.program == name)
    }
}

//! Interpreters of other versions than the one that the `PATH` begins with: where version managers and package managers put them.

use std::{env, ffi::OsString};

use camino::{Utf8Path, Utf8PathBuf};

/// Where an interpreter may be.
#[derive(Debug)]
pub(super) struct Interpreter {
    /// What it is called in the `PATH`; `{}` is the version.
    names: &'static [&'static str],
    /// What puts it elsewhere.
    managers: &'static [Manager],
}

/// A program that keeps each version of an interpreter in a directory of its own.
#[derive(Debug)]
struct Manager {
    /// The variable with its root.
    variable: &'static str,
    /// Its roots when that is not set; relative ones are below the home directory.
    roots: &'static [&'static str],
    /// From there to the directory with the versions.
    versions: &'static str,
    /// From a version to the interpreter.
    program: &'static str,
}

const fn manager(
    variable: &'static str,
    roots: &'static [&'static str],
    versions: &'static str,
    program: &'static str,
) -> Manager {
    Manager { variable, roots, versions, program }
}

const NVM: &[&str] = &[".nvm", ".config/nvm"];
const FNM: &[&str] = &[".local/share/fnm", ".fnm", "Library/Application Support/fnm"];
const MISE: &[&str] = &[".local/share/mise"];
const HOMEBREW: &[&str] = &["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"];

pub(super) static NODE: Interpreter = Interpreter {
    names: &["node{}", "nodejs{}", "node-{}", "node"],
    managers: &[
        manager("NVM_DIR", NVM, "versions/node", "bin/node"),
        manager("FNM_DIR", FNM, "node-versions", "installation/bin/node"),
        manager("VOLTA_HOME", &[".volta"], "tools/image/node", "bin/node"),
        manager("MISE_DATA_DIR", MISE, "installs/node", "bin/node"),
        manager("ASDF_DATA_DIR", &[".asdf"], "installs/nodejs", "bin/node"),
        manager("NODENV_ROOT", &[".nodenv"], "versions", "bin/node"),
        manager("N_PREFIX", &["/usr/local"], "n/versions/node", "bin/node"),
        manager("HOMEBREW_PREFIX", HOMEBREW, "opt", "bin/node"),
    ],
};

pub(super) static PYTHON: Interpreter = Interpreter {
    names: &["python{}"],
    managers: &[
        manager("PYENV_ROOT", &[".pyenv"], "versions", "bin/python"),
        manager("MISE_DATA_DIR", MISE, "installs/python", "bin/python"),
        manager("ASDF_DATA_DIR", &[".asdf"], "installs/python", "bin/python"),
        manager("HOMEBREW_PREFIX", HOMEBREW, "opt", "libexec/bin/python"),
    ],
};

impl Interpreter {
    /// The paths where a version may be, e.g. `22` or `3.12`, the newest of each manager first. What is there has to be asked what it is.
    pub(super) fn candidates(&self, version: &str) -> Vec<Utf8PathBuf> {
        self.candidates_in(version, &|name| env::var_os(name))
    }

    fn candidates_in(&self, version: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Utf8PathBuf> {
        let names = self.names.iter().map(|name| name.replace("{}", version));
        let in_path =
            names.filter_map(|name| which::which_in_all(name, variable("PATH"), "/").ok()).flatten();
        let mut found: Vec<_> = in_path.filter_map(|path| Utf8PathBuf::from_path_buf(path).ok()).collect();
        found.extend(self.managers.iter().flat_map(|manager| manager.candidates(version, variable)));
        found
    }
}

impl Manager {
    fn candidates(&self, version: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Utf8PathBuf> {
        let text = |name| variable(name)?.into_string().ok().filter(|value| !value.is_empty());
        let mut roots: Vec<Utf8PathBuf> = text(self.variable).map(Utf8PathBuf::from).into_iter().collect();
        for root in self.roots {
            roots.extend(text("HOME").map(|home| Utf8Path::new(&home).join(root)));
            let in_data = root.strip_prefix(".local/share/").zip(text("XDG_DATA_HOME"));
            roots.extend(in_data.map(|(name, data)| Utf8Path::new(&data).join(name)));
        }
        let mut found: Vec<(Vec<u32>, Utf8PathBuf)> = Vec::new();
        for root in roots {
            let Ok(entries) = root.join(self.versions).read_dir_utf8() else { continue };
            for entry in entries.flatten() {
                // `v22.1.0`, `22.1.0`, and Homebrew's `node@22`.
                let name = entry.file_name();
                let number = name.rsplit('@').next().unwrap_or(name).trim_start_matches('v');
                if number == version || number.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'))
                {
                    let numbers = number.split('.').filter_map(|part| part.parse().ok()).collect();
                    found.push((numbers, entry.path().join(self.program)));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().map(|(_, path)| path).filter(|path| path.is_file()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Where an interpreter is below a home directory, with what else has to be set; the version is 22, or 3.12.
    const PLACES: [(&str, &str, &str); 20] = [
        ("", "", ".nvm/versions/node/v22.1.0/bin/node"),
        ("NVM_DIR", "own", "own/versions/node/v22.1.0/bin/node"),
        ("", "", ".local/share/fnm/node-versions/v22.1.0/installation/bin/node"),
        ("XDG_DATA_HOME", "data", "data/fnm/node-versions/v22.1.0/installation/bin/node"),
        ("", "", "Library/Application Support/fnm/node-versions/v22.1.0/installation/bin/node"),
        ("", "", ".volta/tools/image/node/22.1.0/bin/node"),
        ("", "", ".local/share/mise/installs/node/22.1.0/bin/node"),
        ("", "", ".local/share/mise/installs/node/22/bin/node"),
        ("", "", ".asdf/installs/nodejs/22.1.0/bin/node"),
        ("", "", ".nodenv/versions/22.1.0/bin/node"),
        ("N_PREFIX", "n", "n/n/versions/node/22.1.0/bin/node"),
        ("HOMEBREW_PREFIX", "brew", "brew/opt/node@22/bin/node"),
        ("PATH", "bin", "bin/node22"),
        ("PATH", "bin", "bin/nodejs22"),
        ("PATH", "bin", "bin/node"),
        ("PATH", "bin", "bin/python3.12"),
        ("", "", ".pyenv/versions/3.12.4/bin/python"),
        ("MISE_DATA_DIR", "mise", "mise/installs/python/3.12.4/bin/python"),
        ("ASDF_DATA_DIR", "asdf", "asdf/installs/python/3.12.4/bin/python"),
        ("HOMEBREW_PREFIX", "brew", "brew/opt/python@3.12/libexec/bin/python"),
    ];

    fn place(home: &Utf8Path, file: &str) {
        let file = home.join(file);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(&file, "").unwrap();
        fs_err::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn found(home: &Utf8Path, file: &str, name: &str, directory: &str) -> Vec<Utf8PathBuf> {
        let (interpreter, version) = if file.contains("python") { (&PYTHON, "3.12") } else { (&NODE, "22") };
        let variable = |wanted: &str| match wanted {
            "HOME" => Some(home.as_os_str().to_owned()),
            _ if wanted == name => Some(home.join(directory).as_os_str().to_owned()),
            _ => None,
        };
        interpreter.candidates_in(version, &variable)
    }

    #[test]
    fn each_place_is_looked_at() {
        for (name, directory, file) in PLACES {
            let home = tempfile::tempdir().unwrap();
            let home = Utf8Path::from_path(home.path()).unwrap();
            // What has another version is left alone.
            place(home, &file.replace("22", "220").replace("3.12", "3.1").replace("bin/node", "bin/nodes"));
            assert_eq!(found(home, file, name, directory), [""; 0], "{file}");
            place(home, file);
            assert_eq!(found(home, file, name, directory), [home.join(file)], "{name}={directory} {file}");
        }
    }

    #[test]
    fn the_newest_comes_first() {
        let home = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(home.path()).unwrap();
        for version in ["v22.9.0", "v22.10.1", "v20.11.0", "v22.10.0"] {
            place(home, &format!(".nvm/versions/node/{version}/bin/node"));
        }
        let versions: Vec<_> = found(home, "node", "", "")
            .iter()
            .filter_map(|path| path.components().rev().nth(2).map(|part| part.to_string()))
            .collect();
        assert_eq!(versions, ["v22.10.1", "v22.10.0", "v22.9.0"]);
    }
}

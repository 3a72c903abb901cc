//! The Java that functions run on, and what of Amazon's client is made for one kind of machine only.

use std::env;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    languages::program::{TO_ANSWER, run},
    process::{Command, Spawner},
    project::manifest::FunctionSpec,
};

/// The developer's Java.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Java {
    pub executable: Utf8PathBuf,
    /// Its major version, e.g. 17; 8 for what calls itself 1.8.
    pub version: u32,
}

impl Java {
    /// The one that `JAVA_HOME` names, else the one in the `PATH`.
    pub(super) async fn find(spawner: &Spawner) -> Result<Self, String> {
        let home = env::var("JAVA_HOME").ok().filter(|home| !home.is_empty());
        let executable = match home {
            Some(home) => Utf8PathBuf::from(home).join("bin/java"),
            None => which::which("java")
                .ok()
                .and_then(|path| Utf8PathBuf::from_path_buf(path).ok())
                .ok_or("there is no Java: `JAVA_HOME` is not set, and `java` is not in the PATH")?,
        };
        let version = match released(&executable) {
            Some(version) => Some(version),
            None => {
                let mut command = Command::new(&executable);
                command.arg("-version");
                let said = run(spawner, command, TO_ANSWER).await;
                let said = said.map_err(|error| format!("`{executable}` cannot be run: {error}"))?;
                said.stderr.split('"').nth(1).and_then(major)
            }
        };
        let version = version.ok_or_else(|| format!("`{executable}` does not say which Java it is"))?;
        Ok(Self { executable, version })
    }

    /// What is to be said when a function's runtime on Lambda is newer.
    pub(super) fn too_old_for(&self, spec: &FunctionSpec) -> Option<String> {
        let digits = spec.runtime.trim_start_matches("java").split('.').next()?;
        let wanted: u32 = digits.parse().ok()?;
        (self.version < wanted).then(|| {
            format!(
                "`{}` is declared as `{}` and runs here on Java {} (`{}`), which is older",
                spec.id, spec.runtime, self.version, self.executable
            )
        })
    }
}

/// What a JDK says of itself in a file, which takes less time than running it.
fn released(executable: &Utf8Path) -> Option<u32> {
    let executable = executable.canonicalize_utf8().ok()?;
    let text = fs_err::read_to_string(executable.parent()?.parent()?.join("release")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    major(line.trim_matches('"'))
}

/// `17.0.15` as 17, `1.8.0_412` as 8.
fn major(version: &str) -> Option<u32> {
    let mut parts = version.split(|character: char| !character.is_ascii_digit());
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        major => Some(major),
    }
}

/// The native part of Amazon's client for this machine, taken out of its archive once.
pub(super) fn native(libraries: &Utf8Path) -> Result<Utf8PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err(
            "functions in Java run on Linux only: Amazon's client of the Runtime API has a native part, \
                    and none for this system"
                .to_owned(),
        );
    }
    let file = libraries.join("libaws-lambda-jni.so");
    if file.is_file() {
        return Ok(file);
    }
    let failed = |error: String| format!("cannot take the native part out of Amazon's client: {error}");
    let entries = libraries.read_dir_utf8().map_err(|error| failed(error.to_string()))?;
    let archive = entries
        .flatten()
        .find(|entry| entry.file_name().starts_with("aws-lambda-java-runtime-interface-client"))
        .ok_or_else(|| failed(format!("it is not in `{libraries}`")))?;
    let archive = fs_err::File::open(archive.path()).map_err(|error| failed(error.to_string()))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(|error| failed(error.to_string()))?;
    let architecture = if cfg!(target_arch = "aarch64") { "aarch_64" } else { "x86_64" };
    let name =
        format!("jni/libaws-lambda-jni.linux{}-{architecture}.so", if has_musl() { "_musl" } else { "" });
    let mut entry = archive.by_name(&name).map_err(|error| failed(error.to_string()))?;
    let io = |error: std::io::Error| failed(error.to_string());
    // Whole or not at all: another process may look for it at the same time.
    let mut part = tempfile::NamedTempFile::new_in(libraries).map_err(io)?;
    std::io::copy(&mut entry, &mut part).map_err(io)?;
    part.persist(&file).map_err(|error| failed(error.to_string()))?;
    Ok(file)
}

/// Whether this is one of the distributions that have no other C library.
fn has_musl() -> bool {
    Utf8Path::new("/etc/alpine-release").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_by_their_major_part() {
        assert_eq!(
            ["17.0.15", "25", "1.8.0_412", "24-ea"].map(major),
            [Some(17), Some(25), Some(8), Some(24)]
        );
        assert_eq!(major("unknown"), None);
    }
}

//! The project's own Serverless Framework, and what it prints of the service: its fields without variables.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::Asked;
use crate::process::{Command, Stdio};

/// How long it may take: it loads all plugins, and may look things up in the account.
const PATIENCE: Duration = Duration::from_secs(60);

/// From this version on it asks for a login, unless one of `KEYS` is there.
const FIRST_WITH_LOGIN: u64 = 4;

/// The variables by which it needs no login.
const KEYS: [&str; 2] = ["SERVERLESS_ACCESS_KEY", "SERVERLESS_LICENSE_KEY"];

/// The packages that bring a framework, each with its program.
const PACKAGES: [&str; 2] = ["osls", "serverless"];

/// An installed framework.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framework {
    program: Utf8PathBuf,
    /// The first number of its version.
    pub(super) major: Option<u64>,
    needs_login: bool,
}

impl Framework {
    /// That of the nearest `node_modules`.
    pub(super) fn find(root: &Utf8Path) -> Option<Self> {
        root.ancestors().find_map(|directory| {
            let modules = directory.join("node_modules");
            PACKAGES.iter().find_map(|package| {
                let manifest = fs_err::read(modules.join(package).join("package.json")).ok()?;
                let manifest: Value = serde_json::from_slice(&manifest).ok()?;
                let program = Some(modules.join(".bin").join(package)).filter(|program| program.is_file())?;
                let major =
                    manifest["version"].as_str().and_then(|version| version.split('.').next()?.parse().ok());
                let is_fork = *package == "osls";
                let needs_login = !is_fork && major.is_none_or(|major| major >= FIRST_WITH_LOGIN);
                Some(Self { program, major: major.filter(|_| !is_fork), needs_login })
            })
        })
    }

    /// The service's fields. None where it cannot be asked, and why in `notices`.
    pub(super) async fn ask(
        &self,
        asked: &Asked<'_>,
        file: &str,
        notices: &mut Vec<String>,
    ) -> Option<Value> {
        let has_key = KEYS.iter().any(|name| std::env::var_os(name).is_some_and(|key| !key.is_empty()));
        if self.needs_login && !has_key {
            notices.push(format!(
                "the Serverless Framework was not asked, because its version 4 wants a login: `{file}` was read without it; set \
                 `{}` to have it asked",
                KEYS[0]
            ));
            return None;
        }
        match self.printed(asked).await {
            Ok(fields) => Some(fields),
            Err(reason) => {
                let notice =
                    format!("`{} print` failed ({reason}): `{file}` was read without it", self.name());
                notices.push(notice);
                None
            }
        }
    }

    fn name(&self) -> &str {
        self.program.file_name().unwrap_or_default()
    }

    async fn printed(&self, asked: &Asked<'_>) -> Result<Value, String> {
        let child = asked.spawner.spawn(self.command(asked)).await.map_err(|error| error.to_string())?;
        let Ok(ended) = tokio::time::timeout(PATIENCE, child.wait_with_output()).await else {
            return Err(format!("it took longer than {} s", PATIENCE.as_secs()));
        };
        let output = ended.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(reason(&String::from_utf8_lossy(&output.stderr)));
        }
        fields(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| "it printed no JSON".to_owned())
    }

    /// It reads nothing, so whatever it would ask is answered by the end of the file.
    fn command(&self, asked: &Asked<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["print", "--format", "json"])
            .current_dir(asked.root)
            .env("CI", "1")
            .env("SLS_INTERACTIVE_SETUP_ENABLE", "0")
            .env("SLS_NOTIFICATIONS_MODE", "off")
            .env("SLS_TELEMETRY_DISABLED", "1")
            .env("NO_COLOR", "1")
            .env_remove("FORCE_COLOR")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (option, value) in [("--stage", asked.stage), ("--region", asked.region)] {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        command.trust_own_certificates();
        command
    }
}

/// The object in what it printed, where plugins may have written as well.
fn fields(printed: &str) -> Option<Value> {
    let starts = printed.match_indices('{').filter(|(at, _)| *at == 0 || printed[..*at].ends_with('\n'));
    let mut objects = starts.filter_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(&printed[at..]).into_iter::<Value>();
        values.next()?.ok()
    });
    objects.find(|object| object.get("provider").is_some())
}

/// Its first sentence after `Error:`, or whatever it wrote first.
fn reason(errors: &str) -> String {
    let lines: Vec<&str> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let error = lines.iter().position(|line| line.starts_with("Error:"));
    let from = error.and_then(|at| lines.get(at)).map(|line| line.trim_start_matches("Error:").trim());
    let next = error.and_then(|at| lines.get(at + 1)).copied();
    let said = from.filter(|text| !text.is_empty()).or(next).or(lines.first().copied());
    said.unwrap_or("it says nothing of why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(directory: &Utf8Path, package: &str, version: &str) {
        let modules = directory.join("node_modules");
        fs_err::create_dir_all(modules.join(package)).unwrap();
        fs_err::create_dir_all(modules.join(".bin")).unwrap();
        let manifest = format!(r#"{{ "version": "{version}" }}"#);
        fs_err::write(modules.join(package).join("package.json"), manifest).unwrap();
        fs_err::write(modules.join(".bin").join(package), "").unwrap();
    }

    #[test]
    fn the_nearest_framework_is_found_and_only_version_4_wants_a_login() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let service = root.join("services/orders");
        fs_err::create_dir_all(&service).unwrap();
        assert_eq!(Framework::find(&service), None);
        for (package, version, major, needs_login) in [
            ("serverless", "3.40.0", Some(3), false),
            ("serverless", "4.2.0", Some(4), true),
            ("osls", "4.3.1", None, false),
        ] {
            install(root, package, version);
            let program = root.join("node_modules/.bin").join(package);
            assert_eq!(Framework::find(&service), Some(Framework { program, major, needs_login }));
        }
        install(&service, "serverless", "2.0.0");
        assert_eq!(Framework::find(&service).unwrap().major, Some(2), "a nearer one is taken");
    }

    #[test]
    fn the_object_is_found_among_what_plugins_write() {
        let printed =
            "a plugin says {}\n{ \"level\": 1 }\n{\n  \"service\": \"a\",\n  \"provider\": {}\n}\nbye";
        assert_eq!(fields(printed).unwrap()["service"], "a");
        assert_eq!(fields("nothing"), None);
    }

    #[test]
    fn a_failure_is_told_in_its_own_words() {
        // As `osls` 4.3.1 writes it.
        let errors = "Error:\nCannot resolve serverless.yml: \"provider.stage\" property is not accessible\n\nEnvironment: linux";
        assert!(reason(errors).starts_with("Cannot resolve"), "{}", reason(errors));
        assert_eq!(reason("Error: at once\nmore"), "at once");
        assert_eq!(reason("env: node: No such file"), "env: node: No such file");
        assert_eq!(reason(""), "it says nothing of why");
    }
}

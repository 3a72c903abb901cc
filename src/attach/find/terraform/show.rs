//! The installed tool, and what it shows of the state.

use std::{process::Output, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use super::{Asked, state::State, workspace::Workspace};
use crate::{
    error::{Error, Kind, Result},
    process::{Command, Stdio},
};

/// How long one command may take: it may fetch the state from a backend.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which providers a directory was initialised with.
const LOCK: &str = ".terraform.lock.hcl";

/// Where OpenTofu has its providers from.
const REGISTRY_OF_OPENTOFU: &str = "registry.opentofu.org";

/// The tool, or the one that is like it.
#[derive(Debug)]
pub(super) struct Program {
    path: Utf8PathBuf,
}

impl Program {
    /// The one that the directory was initialised with, if it is installed, or else the other one.
    pub(super) fn find(root: &Utf8Path) -> Option<Self> {
        let lock = fs_err::read_to_string(root.join(LOCK)).unwrap_or_default();
        let names = match lock.contains(REGISTRY_OF_OPENTOFU) {
            true => ["tofu", "terraform"],
            false => ["terraform", "tofu"],
        };
        let path = names.iter().find_map(|name| which::which(name).ok())?;
        Utf8PathBuf::from_path_buf(path).ok().map(|path| Self { path })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.path.file_name().unwrap_or_default()
    }

    /// The state of a workspace, or why it does not show it.
    ///
    /// # Errors
    /// [`Kind::Usage`] when there is no such workspace.
    pub(super) async fn show(
        &self,
        asked: &Asked<'_>,
        workspace: &Workspace,
    ) -> Result<Result<State, String>> {
        if workspace.is_asked_for {
            match self.workspaces(asked).await {
                Ok(names) if names.contains(&workspace.name) => {}
                Ok(names) => {
                    return Err(Error::new(
                        Kind::Usage,
                        format!("there is no workspace `{}`", workspace.name),
                    )
                    .hint(format!("there are: {}", names.join(", "))));
                }
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let output = match self.run(asked, &["show", "-json", "-no-color"], workspace.asked_for()).await {
            Ok(output) => output,
            Err(reason) => return Ok(Err(reason)),
        };
        let printed = serde_json::from_slice(&output.stdout);
        let state = printed.map_err(|error| format!("it printed no JSON: {error}"));
        Ok(state.and_then(|state| State::of_show(&state).ok_or_else(|| "there is no state".to_owned())))
    }

    /// The names of all workspaces. One that there is not would be made by naming it.
    async fn workspaces(&self, asked: &Asked<'_>) -> Result<Vec<String>, String> {
        let output = self.run(asked, &["workspace", "list"], None).await?;
        Ok(names(&String::from_utf8_lossy(&output.stdout)))
    }

    async fn run(
        &self,
        asked: &Asked<'_>,
        arguments: &[&str],
        workspace: Option<&str>,
    ) -> Result<Output, String> {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(asked.root)
            .env("TF_INPUT", "0")
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match workspace {
            Some(workspace) => command.env("TF_WORKSPACE", workspace),
            None => command.env_remove("TF_WORKSPACE"),
        };
        let child = asked.spawner.spawn(command).await.map_err(|error| error.to_string())?;
        let Ok(ended) = tokio::time::timeout(PATIENCE, child.wait_with_output()).await else {
            return Err(format!("it took longer than {} s", PATIENCE.as_secs()));
        };
        let output = ended.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(output),
            false => Err(reason(&String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// The names in a list in which the selected one has a star.
fn names(list: &str) -> Vec<String> {
    let names = list.lines().map(|line| line.trim_start_matches('*').trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Its first sentence after `Error:`, without the frame around it.
fn reason(errors: &str) -> String {
    let mut lines = errors.lines().map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim());
    let error = lines.clone().find_map(|line| line.strip_prefix("Error:"));
    let said = error.map(str::trim).or_else(|| lines.find(|line| !line.is_empty()));
    said.unwrap_or("it says nothing of why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terraform_writes_is_understood() {
        // As Terraform 1.11.4 writes them.
        assert_eq!(names("* default\n  dev\n\n"), ["default", "dev"]);
        let errors = "\nWarning: something\n╷\n│ Error: Backend initialization required, please run \"terraform init\"\n│ \n│ Reason: …\n╵\n";
        assert_eq!(reason(errors), "Backend initialization required, please run \"terraform init\"");
        assert_eq!(reason(" \n"), "it says nothing of why");
        assert_eq!(reason("no such file"), "no such file");
    }

    #[test]
    fn the_tool_that_has_initialised_a_directory_is_preferred() {
        // Whichever are installed here, one that is not is not found.
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let is_installed = |name: &str| which::which(name).is_ok();
        let found = || Program::find(root).map(|program| program.name().to_owned());
        for (lock, order) in [
            ("provider \"registry.terraform.io/hashicorp/aws\" {}", ["terraform", "tofu"]),
            ("provider \"registry.opentofu.org/hashicorp/aws\" {}", ["tofu", "terraform"]),
        ] {
            fs_err::write(root.join(LOCK), lock).unwrap();
            let expected = order.into_iter().find(|name| is_installed(name)).map(str::to_owned);
            assert_eq!(found(), expected);
        }
    }
}

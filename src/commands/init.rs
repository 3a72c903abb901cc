//! `sst init`: makes a small app to begin with, and says how it is started.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    cli,
    editors::{self, Editor, Ports, Usage},
    error::{Error, Kind, Result},
    init::{self, Installer, Own, Plan},
    process::{Spawner, Stdio},
    project::StateDir,
    tools,
    ui::{Ui, UiEvent, prompt},
};

/// How long the packages may take.
const PATIENCE: Duration = Duration::from_secs(1800);

const PROGRESS: &str = "packages";

/// The program's name, also in `node_modules/.bin`.
const PROGRAM: &str = "sst";

/// Writes the app, installs its packages, and writes the launch configurations. The last line is the command that starts it.
///
/// # Errors
/// [`Kind::Usage`] when there is an app, or something in its place; [`Kind::Environment`] when a file cannot be written or the packages
/// cannot be installed.
pub(super) async fn run(
    arguments: cli::Init,
    project: Option<Utf8PathBuf>,
    spawner: &Spawner,
    ui: &Ui,
) -> Result<()> {
    let wanted = arguments.directory.or(project).unwrap_or_else(|| ".".into());
    // What is wrong in any case is said before there is a directory.
    arguments.name.as_deref().map(|name| init::app_name(&wanted, Some(name))).transpose()?;
    let root = created(&wanted)?;
    let name = init::app_name(&root, arguments.name.as_deref())?;
    let language = language(arguments.language).await?;
    // What runs from somewhere else, as from a checkout, is started by whoever has it.
    let own = tools::is_installed_package().then(Own::published).flatten();
    let plan = Plan::new(&root, &language, &name, own.as_ref())?;
    let (kept, depends_on_us) = (plan.kept.clone(), plan.depends_on_us);
    let written = plan.write()?;
    let list =
        |files: &[Utf8PathBuf]| files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ");
    if !written.is_empty() {
        ui.info(format!("wrote {}", list(&written)));
    }
    if !kept.is_empty() {
        ui.info(format!("left as it was: {}", list(&kept)));
    }

    let installer = Installer::of(&root);
    let line = Line { directory: &wanted, installer, depends_on_us };
    let installed = if arguments.no_install { Ok(()) } else { install(installer, &root, spawner, ui).await };
    // After the packages, because they name where these are.
    launch_configurations(&root, ui);
    installed.map_err(|error| {
        error.hint(format!("everything is written; later: {}", line.install_and_start(&root)))
    })?;
    let start = if arguments.no_install { line.install_and_start(&root) } else { line.start(&root) };
    ui.info("Start the app:");
    ui.info(format!("  {start}"));
    Ok(())
}

/// The directory, which is there from now on.
fn created(directory: &Utf8Path) -> Result<Utf8PathBuf> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Usage, format!("cannot make an app in `{directory}`"))
            .detail(error)
            .hint("name a directory, or one that is to be")
    };
    fs_err::create_dir_all(directory).map_err(failed)?;
    directory.canonicalize_utf8().map_err(failed)
}

/// What was asked for, or else the answer to a question, which waits on a thread of its own.
async fn language(wanted: Option<String>) -> Result<String> {
    if let Some(language) = wanted {
        return Ok(language);
    }
    if !prompt::is_interactive() {
        return Ok(init::DEFAULT_LANGUAGE.to_owned());
    }
    let asked = tokio::task::spawn_blocking(|| {
        let languages = init::languages();
        let default = init::DEFAULT_LANGUAGE;
        let question = format!("Language ({}), or ENTER for `{default}`:", languages.join(", "));
        loop {
            let answer = prompt::ask(&question)
                .map_err(|error| Error::new(Kind::Usage, "no language was given").detail(error))?;
            match answer.to_lowercase().as_str() {
                "" => return Ok(default.to_owned()),
                answer if languages.contains(&answer) => return Ok(answer.to_owned()),
                _ => prompt::say(&format!("There is nothing for `{answer}`.")),
            }
        }
    });
    asked.await.map_err(|error| Error::new(Kind::Other, "the question failed").detail(error))?
}

/// Installs what `package.json` names.
async fn install(installer: Installer, root: &Utf8Path, spawner: &Spawner, ui: &Ui) -> Result<()> {
    let shown = installer.install_line();
    let failed = |detail: String| {
        Error::new(Kind::Environment, format!("the packages are not installed: `{shown}` failed"))
            .detail(detail)
    };
    ui.send(UiEvent::ProgressBegan {
        key: PROGRESS,
        message: format!("Installing the packages (`{shown}`)"),
    });
    let work = async {
        let mut command = installer.install(root);
        command.own_temporary_files()?.stdout(Stdio::piped()).stderr(Stdio::piped());
        spawner.spawn(command).await?.wait_with_output().await
    };
    let still = || format!("Still installing the packages (`{shown}`)");
    let result = match ui.remind(still, tokio::time::timeout(PATIENCE, work)).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let text = [output.stdout, output.stderr].concat();
            Err(failed(String::from_utf8_lossy(&text).trim().to_owned()))
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(failed(format!("`{}` is not in the PATH", installer.program)))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("it did not end within {} s", PATIENCE.as_secs()))),
    };
    match result {
        Ok(()) => {
            ui.send(UiEvent::ProgressEnded {
                key: PROGRESS,
                message: "The packages are installed".to_owned(),
            });
        }
        Err(_) => ui.send(UiEvent::ProgressFailed { key: PROGRESS }),
    }
    result
}

/// Writes those of VS Code, which start the app in the local cloud. The app works without them.
fn launch_configurations(root: &Utf8Path, ui: &Ui) {
    let default = crate::bridge::DEFAULT_PORT;
    let ports = Ports { inspector: default, flat: default + 1, adapter: default + 2 };
    let written = StateDir::open(root)
        .and_then(|state_dir| super::ide::remember_start(&state_dir, true))
        .and_then(|()| editors::write(root, Editor::Vscode, Usage { ports, local: true }, &[]));
    match written {
        Ok(written) => {
            for file in written.into_iter().filter(|file| file.changed) {
                ui.info(format!("wrote `{}`, with which F5 starts it", file.path));
            }
        }
        Err(error) => {
            let reason = error.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            ui.warning(format!("no launch configurations were written: {}{reason}", error.message));
        }
    }
}

/// What a user types next.
struct Line<'a> {
    /// The directory of the app, as it was named.
    directory: &'a Utf8Path,
    installer: Installer,
    depends_on_us: bool,
}

impl Line<'_> {
    fn start(&self, root: &Utf8Path) -> String {
        let program = if self.depends_on_us || editors::has_program(root) {
            self.installer.run_line(PROGRAM)
        } else {
            this_program()
        };
        format!("{}{program} start --local", self.there())
    }

    fn install_and_start(&self, root: &Utf8Path) -> String {
        let there = self.there();
        format!("{there}{} && {}", self.installer.install_line(), self.start(root).trim_start_matches(&there))
    }

    fn there(&self) -> String {
        if self.directory == "." {
            String::new()
        } else {
            format!("cd {} && ", quoted(self.directory.as_str()))
        }
    }
}

/// How this program is started where no package brings it: by its name, if that means this program.
fn this_program() -> String {
    let this = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let named = which::which(PROGRAM).ok().and_then(|path| path.canonicalize().ok());
    match this {
        Some(this) if named.as_ref() != Some(&this) => quoted(&this.to_string_lossy()),
        _ => PROGRAM.to_owned(),
    }
}

/// A word as the shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_the_shell_would_read_them() {
        for (word, expected) in [
            ("my-app", "my-app"),
            ("../a/b", "../a/b"),
            ("my app", "'my app'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}

//! One file per subcommand.

mod ide;
mod invoke;
mod session;
mod start;
mod test;

use std::process::ExitCode;

use tokio::sync::mpsc;

use crate::{
    cli::{Cli, Command},
    error::{Kind, Result},
    live::Interrupt,
    process::{Spawner, family},
    project::Project,
    settings,
    ui::{Ui, UiEvent, printer},
};

/// Runs what the command line says. Nothing that was started is left running when it returns.
pub async fn run(cli: Cli) -> ExitCode {
    let (ui, receiver) = Ui::channel();
    let options = printer::Options::detect(cli.no_color);
    let printing = tokio::spawn(printer::print(receiver, options));
    let no_color = cli.no_color;
    let result = dispatch(cli, &ui).await;
    sweep();
    ui.send(UiEvent::End);
    // What was said before the end is shown before the end.
    let _ = printing.await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind != Kind::Interrupted {
                printer::error(&error, no_color);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

async fn dispatch(cli: Cli, ui: &Ui) -> Result<()> {
    let spawner = Spawner::start().map_err(|error| {
        crate::error::Error::new(Kind::Environment, "cannot start a thread").detail(error)
    })?;
    let interrupts = interrupts();
    match cli.command {
        Command::Start(arguments) => {
            let settings = settings::Start::resolve(arguments, cli.project)?;
            start::run(settings, &spawner, ui, interrupts).await
        }
        Command::Invoke(arguments) => {
            let project = find_project(cli.project)?;
            let mut interrupts = interrupts;
            tokio::select! {
                result = invoke::run(arguments, &project, ui) => result,
                _ = interrupts.recv() => Err(crate::error::Error::new(Kind::Interrupted, "interrupted")),
            }
        }
        Command::Test(arguments) => test::run(&arguments, &find_project(cli.project)?),
        Command::Ide(arguments) => ide::run(&arguments, &find_project(cli.project)?, ui),
    }
}

fn find_project(directory: Option<camino::Utf8PathBuf>) -> Result<Project> {
    Project::find(&directory.unwrap_or_else(|| camino::Utf8PathBuf::from(".")))
}

/// Ctrl-C and its relatives. The first asks for an orderly end, further ones for an end.
fn interrupts() -> mpsc::UnboundedReceiver<Interrupt> {
    use tokio::signal::unix::{SignalKind, signal};

    let (sender, receiver) = mpsc::unbounded_channel();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut interrupt = Interrupt::Gently;
            while signals.recv().await.is_some() && sender.send(interrupt).is_ok() {
                interrupt = Interrupt::Now;
            }
        });
    }
    receiver
}

/// Kills what is left of the processes that were started. In the ordinary course of things there is nothing.
fn sweep() {
    for process in family(std::process::id().cast_signed()) {
        tracing::debug!(pid = process.pid(), "left over");
        process.kill();
    }
}

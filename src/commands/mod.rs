//! One file per subcommand.

mod claims;
mod cloud_packages;
mod doctor;
mod ide;
mod invoke;
mod own_code;
mod session;
mod stage;
mod start;
mod test;
mod test_as;

use std::{
    os::unix::process::CommandExt,
    process::{Command as Program, ExitCode},
};

use clap::CommandFactory;
use tokio::sync::mpsc;

use crate::{
    cli::{Cli, Command},
    descriptors,
    error::{Error, Kind, Result},
    live::Interrupt,
    process::{Spawner, family},
    project::Project,
    settings, tasks,
    ui::{Ui, UiEvent, printer},
};

/// Runs what the command line says. Nothing that was started is left running when it returns.
pub async fn run(cli: Cli) -> ExitCode {
    let (ui, receiver) = Ui::channel();
    let options = printer::Options::detect(cli.no_color);
    tasks::tell_panics(&ui);
    let printing = tokio::spawn(printer::print(receiver, options));
    let no_color = cli.no_color;
    // Even then nothing that was started is left running.
    let result = tasks::caught(dispatch(cli, &ui)).await.unwrap_or_else(|reason| Err(tasks::fault(reason)));
    sweep();
    ui.send(UiEvent::End);
    // What was said before the end is shown before the end.
    let _ = printing.await;
    let _ = std::panic::take_hook();
    let result = match result {
        // Only now, so that nothing of this process is in the way.
        Ok(Some(mut program)) => {
            descriptors::restore();
            let error = program.exec();
            let message = format!("cannot run `{}`", program.get_program().display());
            Err(Error::new(Kind::Environment, message)
                .detail(error)
                .hint("install Node.js and the project's packages"))
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
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

/// Runs a command. Returns the program as which this process goes on, if there is one.
async fn dispatch(cli: Cli, ui: &Ui) -> Result<Option<Program>> {
    let spawner = Spawner::start()
        .map_err(|error| Error::new(Kind::Environment, "cannot start a thread").detail(error))?;
    let interrupts = interrupts();
    let directory = cli.project;
    let target = |arguments, directory| settings::Target::resolve(arguments, directory);
    match cli.command {
        Command::Start(arguments) => {
            let settings = settings::Start::resolve(arguments, directory)?;
            start::run(settings, &spawner, ui, interrupts).await?;
        }
        Command::Invoke(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupts, invoke::run(arguments, &project, ui)).await?;
        }
        Command::Test(mut arguments) => {
            let target = target(std::mem::take(&mut arguments.target), directory)?;
            return until_interrupted(interrupts, test::run(&arguments, &target)).await.map(Some);
        }
        Command::Ide(arguments) => ide::run(&arguments, &find_project(directory)?, ui)?,
        Command::Deploy(mut arguments) => {
            let target = target(std::mem::take(&mut arguments.target), directory)?;
            let target =
                target.told(&arguments.synthesis)?.deployed_by(arguments.deployment.role_arn.clone());
            until_interrupted(interrupts, own_code::deploy(&arguments, &target, &spawner, ui)).await?;
        }
        Command::Remove(mut arguments) => {
            let target = target(std::mem::take(&mut arguments.target), directory)?;
            let target = target.told(&arguments.synthesis)?.deployed_by(arguments.role_arn.clone());
            until_interrupted(interrupts, own_code::remove(&arguments, &target, &spawner, ui)).await?;
        }
        Command::Build(arguments) => {
            let target = target(arguments.target, directory)?.told(&arguments.synthesis)?;
            until_interrupted(interrupts, own_code::build(&target, &spawner, ui)).await?;
        }
        Command::Diff(mut arguments) => {
            let target =
                target(std::mem::take(&mut arguments.target), directory)?.told(&arguments.synthesis)?;
            let arguments = own_code::diff(arguments);
            let cdk = own_code::cdk(&arguments, &target, &spawner, ui);
            return until_interrupted(interrupts, cdk).await.map(Some);
        }
        Command::Cdk(arguments) => {
            let target = target(arguments.target, directory)?.told(&arguments.synthesis)?;
            let cdk = own_code::cdk(&arguments.arguments, &target, &spawner, ui);
            return until_interrupted(interrupts, cdk).await.map(Some);
        }
        Command::Doctor(arguments) => {
            let target = target(arguments.target, directory)?;
            until_interrupted(interrupts, doctor::run(&target, &spawner, ui)).await?;
        }
        Command::Completions(arguments) => {
            clap_complete::generate(arguments.shell, &mut Cli::command(), "sst", &mut std::io::stdout());
        }
    }
    Ok(None)
}

/// Gives a command up when the user does. What it has started ends when it is dropped.
async fn until_interrupted<T>(
    mut interrupts: mpsc::UnboundedReceiver<Interrupt>,
    command: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        result = command => result,
        _ = interrupts.recv() => Err(Error::new(Kind::Interrupted, "interrupted")),
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

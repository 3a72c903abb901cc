//! One file per subcommand.

mod account;
mod attach;
mod claims;
mod cloud_packages;
mod console;
mod doctor;
mod edit;
mod events;
mod history;
mod ide;
mod init;
mod interrupts;
mod invoke;
mod logs;
mod mcp;
mod outputs;
mod own_code;
mod report;
mod restore;
mod sample;
mod serving;
mod session;
mod stage;
mod start;
mod status;
mod test;
mod test_as;
mod test_case;

use std::{process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

use self::interrupts::Interrupts;
use crate::{
    aws::{self, Aws},
    cli::{Cli, Command},
    completions, descriptors,
    error::{Error, Kind, Result},
    platform,
    process::{Command as Program, Spawner, remove_abandoned_directories},
    project::Project,
    settings, tasks,
    ui::{
        Ui, UiEvent,
        printer::{self, Format, Printing},
    },
};

/// What to do about a clock that is wrong.
const CLOCK_FIX: &str =
    "set it; `sst` goes by AWS's time, but AWS may refuse what your functions and other programs sign";

/// How long what is said at a second Ctrl-C may take to be written. Whoever reads has read it long before.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What standard output is for with a command.
#[must_use]
pub fn format(command: &Command) -> Format {
    match command {
        Command::Start(start) if start.running.json => Format::Json,
        Command::Attach(attach) if attach.running.json => Format::Json,
        Command::Logs(logs) if logs.json => Format::Json,
        Command::Mcp(_) => Format::Apart,
        _ => Format::Text,
    }
}

/// Runs what the command line says. Nothing that was started is left running when it returns.
pub async fn run(cli: Cli, options: printer::Options, ui: &Ui, printing: Printing) -> ExitCode {
    tasks::tell_panics(ui);
    platform::return_large_blocks();
    let interrupts = match Interrupts::listen() {
        Ok(interrupts) => interrupts,
        Err(error) => {
            let error = Error::new(Kind::Environment, "cannot listen for Ctrl-C").detail(error);
            return end(Err(error), ui, printing, &Interrupts::default()).await;
        }
    };
    let spawner = Spawner::of_this_program();
    let result = tokio::select! {
        // Whatever it says: nothing that was started is left running.
        result = tasks::caught(dispatch(cli, &spawner, ui, &interrupts.gently)) => {
            result.unwrap_or_else(|reason| Err(tasks::fault(reason)))
        }
        () = interrupts.now.cancelled() => Err(Error::new(Kind::Interrupted, "interrupted")),
    };
    spawner.end().await;
    match result {
        Ok(Some(program)) => {
            let code = end(Ok(()), ui, printing, &interrupts).await;
            if interrupts.gently.is_cancelled() {
                return code;
            }
            // Only now, so that nothing of this process is in the way.
            descriptors::restore();
            let message = format!("cannot run `{}`", program.program().display());
            let error = program.exec();
            let error = Error::new(Kind::Environment, message)
                .detail(error)
                .hint("install Node.js and the project's packages");
            // The other one has ended.
            match printer::start(options) {
                Ok((ui, printing)) => end(Err(error), &ui, printing, &interrupts).await,
                Err(_) => ExitCode::from(error.exit_code()),
            }
        }
        Ok(None) => end(Ok(()), ui, printing, &interrupts).await,
        Err(error) => end(Err(error), ui, printing, &interrupts).await,
    }
}

/// Shows everything that was said before the end, and what the end is. What nobody reads is waited for, as other programs do, but not
/// by a user who wants this one to end.
async fn end(result: Result<()>, ui: &Ui, printing: Printing, interrupts: &Interrupts) -> ExitCode {
    let mut code = 0;
    if let Err(error) = result {
        code = error.exit_code();
        if error.kind != Kind::Interrupted {
            ui.fatal(error);
        }
    }
    ui.send(UiEvent::End);
    let _ = std::panic::take_hook();
    let Interrupts { gently, now } = interrupts;
    let before = gently.is_cancelled();
    tokio::select! {
        () = printing.finish(gently) => {}
        () = hurried(now) => {}
    }
    let interrupted = now.is_cancelled() || (!before && gently.is_cancelled());
    ExitCode::from(if interrupted { Error::new(Kind::Interrupted, "interrupted").exit_code() } else { code })
}

/// Until the user has told a second time that this is to end, and the last words, which may say what is left undone, had a moment.
async fn hurried(now: &CancellationToken) {
    now.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Runs a command. Returns the program as which this process goes on, if there is one.
async fn dispatch(
    cli: Cli,
    spawner: &Spawner,
    ui: &Ui,
    interrupted: &CancellationToken,
) -> Result<Option<Program>> {
    let directory = cli.project;
    let target = |arguments, directory| settings::App::resolve(arguments, directory);
    let place = |arguments, directory| settings::App::at(arguments, directory);
    match cli.command {
        Command::Start(arguments) => {
            tokio::task::spawn_blocking(remove_abandoned_directories);
            let settings = settings::Start::resolve(arguments, directory)?;
            start::run(settings, spawner, ui, interrupted).await?;
        }
        Command::Attach(arguments) => {
            tokio::task::spawn_blocking(remove_abandoned_directories);
            let settings = settings::Attach::resolve(arguments, directory)?;
            attach::run(settings, spawner, ui, interrupted).await?;
        }
        Command::Init(arguments) => {
            until_interrupted(interrupted, init::run(arguments, directory, spawner, ui)).await?;
        }
        Command::Outputs(arguments) => outputs::run(&arguments, &find_project(directory)?, ui)?,
        Command::Invoke(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, invoke::run(arguments, &project, ui)).await?;
        }
        Command::History(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, history::list(arguments, &project, ui)).await?;
        }
        Command::Logs(arguments) => {
            logs::run(arguments, &find_project(directory)?, ui, interrupted).await?;
        }
        Command::Mcp(arguments) => mcp::run(&arguments, &find_project(directory)?, interrupted).await?,
        Command::Show(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, history::show(&arguments, &project, ui)).await?;
        }
        Command::Replay(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, history::replay(&arguments, &project, ui)).await?;
        }
        Command::Save(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, history::save(&arguments, &project, ui)).await?;
        }
        Command::TestCase(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, test_case::run(&arguments, &project, ui)).await?;
        }
        Command::Sample(arguments) => {
            let sample = sample::run(&arguments, || find_project(directory), ui);
            until_interrupted(interrupted, sample).await?;
        }
        Command::Console(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, console::run(&arguments, &project, ui)).await?;
        }
        Command::Status(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, status::run(&arguments, &project, ui)).await?;
        }
        Command::Test(mut arguments) => {
            let target = target(std::mem::take(&mut arguments.target), directory)?;
            return until_interrupted(interrupted, test::run(&arguments, &target)).await.map(Some);
        }
        Command::Ide(arguments) => {
            let project = find_project(directory)?;
            until_interrupted(interrupted, ide::run(&arguments, &project, spawner, ui)).await?;
        }
        Command::Deploy(mut arguments) => {
            let target = place(std::mem::take(&mut arguments.place), directory)?;
            let target =
                target.with_context(&arguments.synthesis)?.deployed_by(arguments.deployment.role_arn.clone());
            until_interrupted(interrupted, own_code::deploy(&arguments, &target, spawner, ui)).await?;
        }
        Command::Restore(mut arguments) => {
            let target = place(std::mem::take(&mut arguments.place), directory)?;
            let target =
                target.with_context(&arguments.synthesis)?.deployed_by(arguments.deployment.role_arn.clone());
            until_interrupted(interrupted, restore::run(&arguments, &target, spawner, ui)).await?;
        }
        Command::Remove(mut arguments) => {
            let target = place(std::mem::take(&mut arguments.place), directory)?;
            let target = target.with_context(&arguments.synthesis)?.deployed_by(arguments.role_arn.clone());
            until_interrupted(interrupted, own_code::remove(&arguments, &target, spawner, ui)).await?;
        }
        Command::Build(arguments) => {
            let target = place(arguments.place, directory)?.with_context(&arguments.synthesis)?;
            until_interrupted(interrupted, own_code::build(&target, spawner, ui)).await?;
        }
        Command::Diff(mut arguments) => {
            let target =
                place(std::mem::take(&mut arguments.place), directory)?.with_context(&arguments.synthesis)?;
            let arguments = own_code::diff(arguments);
            let cdk = own_code::cdk(&arguments, &target, spawner, ui);
            return until_interrupted(interrupted, cdk).await.map(Some);
        }
        Command::Cdk(arguments) => {
            let target = place(arguments.place, directory)?.with_context(&arguments.synthesis)?;
            let cdk = own_code::cdk(&arguments.arguments, &target, spawner, ui);
            return until_interrupted(interrupted, cdk).await.map(Some);
        }
        Command::Doctor(arguments) => {
            let target = settings::App::anywhere(arguments.target, directory)?;
            match (arguments.account, arguments.report) {
                (true, _) => account::run(&target, ui, interrupted).await?,
                (_, true) => until_interrupted(interrupted, report::run(&target, spawner, ui)).await?,
                _ => until_interrupted(interrupted, doctor::run(&target, spawner, ui)).await?,
            }
        }
        Command::Completions(arguments) => {
            let unwritten = |error: std::io::Error| Error::new(Kind::Other, "no script").detail(error);
            ui.send(UiEvent::Result(completions::script(arguments.shell).map_err(unwritten)?));
        }
    }
    Ok(None)
}

/// Gives a command up when the user does. What it has started ends when it is dropped.
async fn until_interrupted<T>(
    interrupted: &CancellationToken,
    command: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        result = command => result,
        () = interrupted.cancelled() => Err(Error::new(Kind::Interrupted, "interrupted")),
    }
}

fn find_project(directory: Option<camino::Utf8PathBuf>) -> Result<Project> {
    Project::find_served(&directory.unwrap_or_else(|| camino::Utf8PathBuf::from(".")))
}

/// Connects to AWS. A clock that is wrong is told: what this program signs is right all the same, what others sign may not be.
async fn connect(options: aws::Options, ui: &Ui) -> Result<Aws> {
    let aws = Aws::connect(options).await?;
    if let Some(fault) = aws.clock.fault() {
        ui.warning(format!("this machine's clock is {fault}: {CLOCK_FIX}"));
    }
    Ok(aws)
}

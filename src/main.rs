//! The program `sst`.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use sst::{
    commands, completions,
    error::{Error, Kind},
    process, trace,
    ui::{UiEvent, arguments, printer},
};
use tracing_subscriber::EnvFilter;

/// How long tasks may take to give back what they hold. A thread that waits for a key press never ends.
const LAST_MOMENT: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::GUARD) {
        return process::guard();
    }
    if completions::answer() {
        return ExitCode::SUCCESS;
    }
    let cli = match sst::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return arguments::explain(&said),
    };
    let options = printer::Options::detect(cli.no_color, commands::format(&cli.command));
    // Without a thread that prints nobody can be told.
    let Ok((ui, printing)) = printer::start(options) else { return ExitCode::FAILURE };
    let default = if cli.verbose { "sst=debug" } else { "off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let traced = trace::directives(&std::env::var(trace::VARIABLE).unwrap_or_default());
    let filter = traced.split(',').filter_map(|one| one.parse().ok()).fold(filter, EnvFilter::add_directive);
    sst::descriptors::raise();
    let diagnostics = ui.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(options.error_colour)
        .with_timer(tracing_subscriber::fmt::time::uptime())
        .with_writer(move || diagnostics.diagnostics())
        .init();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(commands::run(cli, options, &ui, printing));
            runtime.shutdown_timeout(LAST_MOMENT);
            code
        }
        Err(error) => {
            let error = Error::new(Kind::Environment, "cannot start threads").detail(error);
            let code = ExitCode::from(error.exit_code());
            ui.fatal(error);
            ui.send(UiEvent::End);
            printing.wait();
            code
        }
    }
}

//! The program `sst`.

use std::process::ExitCode;

use clap::Parser;
use sst::process;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::GUARD) {
        return process::guard();
    }
    let cli = sst::cli::Cli::parse();
    let default = if cli.verbose { "sst=debug" } else { "off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(sst::commands::run(cli));
            // A thread that waits for a key press cannot be ended otherwise.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            tracing::error!(%error, "no async runtime");
            ExitCode::FAILURE
        }
    }
}

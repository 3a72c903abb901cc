//! The stub: deployed in place of a function's code, it carries every event to the developer's machine and the
//! outcome back. It contains no business logic.

mod ahead;
mod attempt;
mod clock;
mod cloud;
mod conversation;
mod failed;
mod http;
mod invocation;
mod problem;
mod response;
mod runtime_api;
mod settings;
mod signing;
mod socket;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use crate::{cloud::Cloud, http::Client, invocation::Stub, runtime_api::RuntimeApi, settings::Settings};

/// How often the Runtime API may fail in a row. Lambda starts a new environment when the process ends.
const MAX_FAILURES: u32 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let Some(address) = environment.get("AWS_LAMBDA_RUNTIME_API").cloned() else {
        log(
            "`AWS_LAMBDA_RUNTIME_API` is not set: this program runs only as the `bootstrap` of a Lambda function",
        );
        return ExitCode::FAILURE;
    };
    let http = match client(environment.get("AWS_CA_BUNDLE").map(String::as_str)) {
        Ok(http) => http,
        Err(error) => {
            log(&format!("the TLS client could not be set up: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let runtime_api = RuntimeApi::new(&address);
    let settings = match Settings::read(environment) {
        Ok(settings) => settings,
        Err((error_type, text)) => {
            log(&text);
            if let Err(error) = runtime_api.init_error(&http, error_type, &text).await {
                log(&error.to_string());
            }
            return ExitCode::FAILURE;
        }
    };
    let mut stub = Stub::new(Cloud::new(http, settings), runtime_api);
    stub.initialise().await;
    let mut failures = 0;
    loop {
        match stub.turn().await {
            Ok(()) => failures = 0,
            Err(error) => {
                log(&error.to_string());
                failures += 1;
                if failures >= MAX_FAILURES {
                    return ExitCode::FAILURE;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The HTTP client. A bundle that cannot be used is left out: it is often a path of the developer's machine that
/// the function's own code never needed.
fn client(ca_bundle: Option<&str>) -> Result<Client, String> {
    if let Some(path) = ca_bundle.filter(|path| !path.is_empty()) {
        let client =
            std::fs::read(path).map_err(|error| error.to_string()).and_then(|pem| Client::new(Some(&pem)));
        match client {
            Ok(client) => return Ok(client),
            Err(error) => {
                log(&format!("the certificates of `AWS_CA_BUNDLE` (`{path}`) are left out: {error}"))
            }
        }
    }
    Client::new(None)
}

/// Writes a line to the function's log.
#[expect(clippy::print_stderr, reason = "Lambda takes a function's log from here")]
pub(crate) fn log(text: &str) {
    eprintln!("sst: {text}");
}

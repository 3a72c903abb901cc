//! What the commands look like that have to do with calls: with a session that runs, or with what it has left.

use camino::Utf8PathBuf;
use clap::Args;
use clap_complete::ArgValueCandidates;

use crate::completions;

/// Arguments of `sst invoke`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_INVOKE)]
pub struct Invoke {
    /// The function: its id as `sst start` prints it, or the end of it.
    #[arg(add = ArgValueCandidates::new(completions::functions))]
    pub function: String,

    /// A file with the event in JSON, the name of one that `sst save` has saved, or `-` for standard input [default: {}].
    #[arg(long, short, value_name = "FILE|NAME")]
    pub event: Option<String>,

    /// Edit the event before the function is called.
    #[arg(long)]
    pub edit: bool,
}

/// Arguments of `sst history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_HISTORY)]
pub struct History {
    /// Only calls of this function: its id, or the end of it.
    #[arg(long, value_name = "FUNCTION", add = ArgValueCandidates::new(completions::functions))]
    pub function: Option<String>,

    /// Only calls that have failed.
    #[arg(long)]
    pub failed: bool,

    /// How many, the last ones.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,

    /// Print one JSON object for each call.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sst logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_LOGS)]
pub struct Logs {
    /// Go on as lines come, until the session ends or Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,

    /// Only what this function writes: its id, or the end of it.
    #[arg(long, value_name = "FUNCTION", add = ArgValueCandidates::new(completions::functions))]
    pub function: Option<String>,

    /// How many of the lines that there are, the last ones.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 200)]
    pub limit: u16,

    /// Print one JSON object for each line, as `sst start --json` does.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sst mcp`.
#[derive(Debug, Args)]
pub struct Mcp {
    /// Let the assistant deploy changes of the infrastructure, as ENTER in the terminal of `sst start` does.
    #[arg(long)]
    pub allow_deploy: bool,
}

/// Arguments of `sst show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The call: its request id, the beginning of it, or `last`.
    pub id: String,

    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sst replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The call: its request id, the beginning of it, or `last`.
    pub id: String,

    /// A file with another event in JSON, the name of one that `sst save` has saved, or `-` for standard input.
    #[arg(long, short, value_name = "FILE|NAME")]
    pub event: Option<String>,

    /// Edit the event before the function is called: in `$VISUAL` or `$EDITOR`, with its secrets as they were.
    #[arg(long)]
    pub edit: bool,

    /// Have the debugger that is attached stop at the handler's first line, once. For functions on Node.js and Python.
    #[arg(long = "break")]
    pub stop: bool,
}

/// Arguments of `sst save`.
#[derive(Debug, Args)]
pub struct Save {
    /// The call: its request id, the beginning of it, or `last`.
    pub id: String,

    /// What the event is to be called: it is written to `events/NAME.json`.
    pub name: String,

    /// Write it as it was, with what looks like a secret.
    #[arg(long)]
    pub unmasked: bool,
}

/// Arguments of `sst test-case`.
#[derive(Debug, Args)]
pub struct TestCase {
    /// The call: its request id, the beginning of it, or `last`.
    pub id: String,

    /// What is to run the test [default: Jest or Vitest if they are installed, else Node's own runner; pytest for Python].
    #[arg(long, value_enum)]
    pub framework: Option<crate::test_case::Framework>,

    /// Where to write it [default: into `test`, with the names of the function and the call].
    #[arg(long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
}

/// Arguments of `sst sample`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_SAMPLE)]
pub struct Sample {
    /// The kind of event, or what calls the function as `sst status` shows it [default: list all kinds; with `--for`, the function's first
    /// trigger].
    #[arg(add = ArgValueCandidates::new(completions::samples))]
    pub kind: Option<String>,

    /// With the routes, names and ARNs of what calls this function: its id, or the end of it.
    #[arg(long = "for", value_name = "FUNCTION", add = ArgValueCandidates::new(completions::functions))]
    pub function: Option<String>,
}

/// Arguments of `sst console`.
#[derive(Debug, Args)]
pub struct Console {
    /// Open it in the browser as well.
    #[arg(long)]
    pub open: bool,
}

/// Arguments of `sst status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES_OF_INVOKE: &str = "Examples:
  sst invoke List --event event.json
  echo '{\"id\":1}' | sst invoke api/Get --event -";

const EXAMPLES_OF_HISTORY: &str = "Examples:
  sst history --failed
  sst show last
  sst replay 9f5a0ec1
  sst save 9f5a0ec1 one-note
  sst invoke api/Get --event one-note";

const EXAMPLES_OF_SAMPLE: &str = "Examples:
  sst sample
  sst sample sqs > event.json
  sst sample --for api/Get | sst invoke api/Get --event -
  sst sample 'POST /notes' --for api/Notes";

const EXAMPLES_OF_LOGS: &str = "Examples:
  sst logs
  sst logs --follow --function api/List";

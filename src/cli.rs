//! What the command line looks like, and nothing of what it means: `settings.rs` resolves it.

mod calls;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use clap_complete::ArgValueCandidates;

pub use self::calls::{Console, History, Invoke, Logs, Mcp, Replay, Sample, Save, Show, Status, TestCase};
use crate::{completions, version::VERSION};

/// Events in the cloud run the code on your disk.
#[derive(Debug, Parser)]
#[command(name = "sst", version = VERSION, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// The project's directory, or one below it.
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIRECTORY")]
    pub project: Option<Utf8PathBuf>,

    /// Do not use colours (as does the variable NO_COLOR).
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_color: bool,

    /// Say more: what the program does, on standard error. RUST_LOG selects further.
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub verbose: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a small app in a directory: one function behind an HTTP API.
    Init(Init),
    /// Deploy the app with stubs in place of its functions, and run the functions here.
    Start(Start),
    /// Run functions here that are deployed already, by whatever tool, until this ends.
    Attach(Attach),
    /// Call a function through the running `sst start`, without the cloud.
    Invoke(Invoke),
    /// List the calls of this session and of the last seven days.
    History(History),
    /// Print what functions write.
    Logs(Logs),
    /// Show a call: its event, what it has written, and what came of it.
    Show(Show),
    /// Call a function once more with the event of an earlier call.
    Replay(Replay),
    /// Save the event of a call in the project, for `sst invoke --event` and for your team.
    Save(Save),
    /// Print an event to call a function with, as AWS documents it, with the names of your stack.
    Sample(Sample),
    /// Write a test that calls a handler with the event of a call, and expects what came of it.
    TestCase(TestCase),
    /// Print the address of the page that shows the calls of the running `sst start`.
    Console(Console),
    /// Show what runs: stage, functions, outputs, and where debuggers attach.
    Status(Status),
    /// Print the outputs of the stacks of the running `sst start`.
    Outputs(Outputs),
    /// Run the project's tests: with Jest or Vitest if they are installed, else with Node's own runner.
    Test(Test),
    /// Serve a coding assistant: a server of the Model Context Protocol on standard input and output.
    Mcp(Mcp),
    /// Write the launch configurations of an editor into the project.
    Ide(Ide),
    /// Deploy the app with its functions' own code.
    Deploy(Deploy),
    /// Give functions that are stubs still their own code back.
    Restore(Restore),
    /// Remove the app of a stage, and its debug stack.
    Remove(Remove),
    /// Show what `sst deploy` would change.
    Diff(Diff),
    /// Synthesise the app and build its functions, and deploy nothing.
    Build(Build),
    /// Run a command of the CDK CLI on the app.
    Cdk(Cdk),
    /// Look at everything that the other commands need.
    Doctor(Doctor),
    /// Print completions for a shell.
    Completions(Completions),
}

/// Which copy of the app, and in which cloud.
#[derive(Debug, Default, Args)]
pub struct Target {
    /// The stage: which copy of the app to work on.
    #[arg(long, add = ArgValueCandidates::new(completions::stages))]
    pub stage: Option<String>,

    /// The AWS region.
    #[arg(long)]
    pub region: Option<String>,

    /// The profile of the AWS configuration to use.
    #[arg(long)]
    pub profile: Option<String>,

    /// Use the cloud at this endpoint, e.g. a local cloud that is running already.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

/// Where an app is that is there, or is to be.
#[derive(Debug, Default, Args)]
pub struct Place {
    #[command(flatten)]
    pub target: Target,

    /// Use the local cloud of the `sst start --local` that runs in this project, and its stage. No account is needed.
    #[arg(long, conflicts_with_all = ["endpoint_url", "profile"])]
    pub local: bool,
}

/// What the app is told when it is synthesised.
#[derive(Debug, Default, Args)]
pub struct Synthesis {
    /// A context value for the CDK app; it wins over those of `cdk.json`. Repeatable.
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub context: Vec<String>,
}

/// As whom CloudFormation deploys, and what it does when that fails.
#[derive(Debug, Default, Args)]
pub struct Deployment {
    /// The role with which CloudFormation changes the stacks.
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,

    /// Whether a stack whose deployment fails goes back to what it was.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set,
        default_value_t = true, default_missing_value = "true", hide_possible_values = true
    )]
    pub rollback: bool,

    /// The same as `--rollback=false`.
    #[arg(long, conflicts_with = "rollback")]
    pub no_rollback: bool,
}

/// Arguments of `sst deploy`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_DEPLOY)]
pub struct Deploy {
    /// The stacks, by their names [default: all].
    #[arg(value_name = "STACK", add = ArgValueCandidates::new(completions::stacks))]
    pub stacks: Vec<String>,

    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,

    #[command(flatten)]
    pub deployment: Deployment,

    /// Write the outputs of the stacks to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub outputs_file: Option<Utf8PathBuf>,

    /// Do not ask: bootstrap the account for the CDK if that is needed, and replace the stubs of a running `sst start`.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `sst restore`.
#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,

    #[command(flatten)]
    pub deployment: Deployment,

    /// Do not ask: bootstrap the account for the CDK if that is needed, and replace the stubs of a running `sst start`.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `sst remove`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_REMOVE)]
pub struct Remove {
    /// The stacks, by their names [default: all, and the debug stack].
    #[arg(value_name = "STACK", add = ArgValueCandidates::new(completions::stacks))]
    pub stacks: Vec<String>,

    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,

    /// The role with which CloudFormation changes the stacks.
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,

    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `sst diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The stacks, as the CDK CLI selects them [default: all].
    #[arg(value_name = "STACK", add = ArgValueCandidates::new(completions::stacks))]
    pub stacks: Vec<String>,

    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,
}

/// Arguments of `sst build`.
#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,
}

/// Arguments of `sst cdk`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_CDK)]
pub struct Cdk {
    #[command(flatten)]
    pub place: Place,

    #[command(flatten)]
    pub synthesis: Synthesis,

    /// What the CDK CLI is given, e.g. `list`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// Arguments of `sst doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub target: Target,

    /// Make a stack in the account, try in it what a session needs of AWS, and remove it again.
    #[arg(long)]
    pub account: bool,

    /// Print what a report of a mistake should have: versions, and no names, paths or accounts.
    #[arg(long, conflicts_with = "account")]
    pub report: bool,
}

/// Arguments of `sst init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_INIT)]
pub struct Init {
    /// Where: an empty directory, one that is not there yet, or one with a package of yours [default: the current one].
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<Utf8PathBuf>,

    /// What the function is written in [default: it is asked for in a terminal, else typescript].
    #[arg(long, short, value_parser = clap::builder::PossibleValuesParser::new(crate::init::languages()))]
    pub language: Option<String>,

    /// The app's name, a part of the names of its stacks [default: what the package or the directory is called].
    #[arg(long)]
    pub name: Option<String>,

    /// Install no packages.
    #[arg(long)]
    pub no_install: bool,
}

/// Arguments of `sst outputs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_OUTPUTS)]
pub struct Outputs {
    /// Print the value of this output and nothing else: `NAME`, or `STACK/NAME` where several stacks have one of that name.
    pub name: Option<String>,

    /// Print all of them as JSON: stack → name → value.
    #[arg(long, conflicts_with = "name")]
    pub json: bool,
}

/// Arguments of `sst completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `sst test`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_TEST)]
pub struct Test {
    /// Run the tests with the environment variables and the role of this function: its id, or the end of it.
    #[arg(long = "as", value_name = "FUNCTION", add = ArgValueCandidates::new(completions::functions))]
    pub as_function: Option<String>,

    #[command(flatten)]
    pub target: Target,

    /// What the test runner is given, e.g. `--runInBand`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// Arguments of `sst ide`.
#[derive(Debug, Args)]
pub struct Ide {
    /// The editor.
    #[arg(value_enum)]
    pub editor: crate::editors::Editor,
}

/// Arguments of `sst start`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_START)]
pub struct Start {
    #[command(flatten)]
    pub target: Target,

    /// Use a local cloud on this machine instead of AWS. No account is needed.
    #[arg(long, conflicts_with = "endpoint_url")]
    pub local: bool,

    /// Let the local cloud check IAM policies.
    #[arg(long, requires = "local")]
    pub enforce_iam: bool,

    #[command(flatten)]
    pub synthesis: Synthesis,

    #[command(flatten)]
    pub deployment: Deployment,

    /// Run only these functions here: ids or their ends, with `*` as in shells. Repeatable.
    #[arg(long = "function", value_name = "PATTERN", add = ArgValueCandidates::new(completions::functions))]
    pub functions: Vec<String>,

    /// Do not run these functions here: they keep their own code. Repeatable.
    #[arg(long, value_name = "PATTERN", add = ArgValueCandidates::new(completions::functions))]
    pub except: Vec<String>,

    /// Write the outputs of the stacks to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub outputs_file: Option<Utf8PathBuf>,

    #[command(flatten)]
    pub running: Running,

    /// At the end, give the functions their own code back.
    #[arg(long)]
    pub restore_on_exit: bool,

    /// Bootstrap the account for the CDK without asking, if that is needed.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `sst attach`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES_OF_ATTACH)]
pub struct Attach {
    #[command(flatten)]
    pub target: Target,

    /// The functions of this CloudFormation stack, and of those nested in it. Repeatable.
    #[arg(long = "stack", value_name = "NAME")]
    pub stacks: Vec<String>,

    /// Only these functions: names, ARNs, or what the project calls them, with `*` as in shells. Repeatable.
    #[arg(long = "function", value_name = "NAME")]
    pub functions: Vec<String>,

    #[command(flatten)]
    pub running: Running,

    /// Begin without asking.
    #[arg(long, short)]
    pub yes: bool,

    /// Attach functions even if their stage is named like one for production.
    #[arg(long)]
    pub yes_production: bool,

    /// Give functions their own code back that were left attached, and attach none.
    #[arg(long, conflicts_with_all = ["stacks", "yes_production"])]
    pub restore: bool,
}

/// How functions run here.
#[derive(Debug, Default, Args)]
pub struct Running {
    /// Give each function 900 seconds, to have time at a breakpoint.
    #[arg(long)]
    pub increase_timeout: bool,

    /// Give each function the memory that it declares, and no more.
    #[arg(long)]
    pub enforce_memory: bool,

    /// The most worker processes at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_workers: u16,

    /// The port of the inspector endpoint [default: 9229, or the next one that is free].
    #[arg(long, value_name = "PORT")]
    pub inspect_port: Option<u16>,

    /// Print one JSON object for each thing that happens, for programs.
    #[arg(long)]
    pub json: bool,

    /// Write no calls to `.sst/history`; the last ones are in memory all the same.
    #[arg(long)]
    pub no_history: bool,
}

/// Over the options that every command has.
const EVERYWHERE: &str = "Options of every command";

const EXAMPLES: &str = "Examples:
  sst init my-app            make an app to begin with
  sst start --local          try it on this machine, without an account
  sst start --stage dev      connect the functions of stage `dev` to your code
  sst ide vscode             then press F5
  sst deploy --stage prod    deploy without stubs";

const EXAMPLES_OF_ATTACH: &str = "Examples:
  sst attach                         what this project has deployed
  sst attach --stack orders-dev      the functions of a CloudFormation stack
  sst attach --function orders-list  one of them
  sst attach --restore               give back what was left attached";

const EXAMPLES_OF_INIT: &str = "Examples:
  sst init my-app
  sst init --language python             here, beside what is there";

const EXAMPLES_OF_OUTPUTS: &str = "Examples:
  sst outputs
  sst outputs ApiEndpoint    e.g. curl \"$(sst outputs ApiEndpoint)/hello/you\"";

const EXAMPLES_OF_START: &str = "Examples:
  sst start --local
  sst start --increase-timeout    to have time at a breakpoint
  sst start --function 'api/*' --except Nightly
  sst start --restore-on-exit     leaves no stubs behind";

const EXAMPLES_OF_DEPLOY: &str = "Examples:
  sst deploy --stage prod
  sst deploy api    only the stack `api`, and those that it needs
  sst deploy --stage prod --yes --outputs-file outputs.json";

const EXAMPLES_OF_REMOVE: &str = "Examples:
  sst remove --stage alice    the whole stage, its debug stack too
  sst remove api              only the stack `api`, and those that need it";

const EXAMPLES_OF_TEST: &str = "Examples:
  sst test
  sst test --runInBand    what is not known here goes to the test runner
  sst test --as api/List test/list.test.js";

const EXAMPLES_OF_CDK: &str = "Examples:
  sst cdk list
  sst cdk --stage prod synth '**' --quiet";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

//! `sst mcp`: a server of the Model Context Protocol on standard input and output, by which a coding assistant uses the running session.
//!
//! It has nothing of its own: each tool asks the API of the `sst start` that runs in the project at that moment. So it can be started
//! before that, and outlives it.

mod asking;
mod changes;
mod session;
mod shortened;

use rmcp::{
    ServerHandler, ServiceExt,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{CallToolResult, Implementation, ServerCapabilities, ServerConfig},
    schemars::{self, JsonSchema, Schema, SchemaGenerator, json_schema},
    tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use self::session::Session;
use crate::{
    cli,
    error::{Error, Kind, Result},
    history::Query,
    project::Project,
    ui::protocol,
    version::VERSION,
};

/// What a model is told of all of it.
const INSTRUCTIONS: &str = "\
`sst start` runs the AWS Lambda functions of this project on this machine: events that reach the deployed functions run the code on disk. \
After you have changed a function, call `wait_for_build`, which returns compile errors with a code frame; then `invoke` it, or `replay` an \
earlier call with its real event. The answer has the result or the error with its stack, and what the function has written. `history`, `show` \
and `tail` tell what was called, with what, and what came of it. Values that look like secrets are shown as ***. If a tool says that no session \
runs, ask the user to start `npx sst start --local`, or `npx sst start` for an AWS account, in a terminal.";

/// Serves until standard input ends or the user presses Ctrl-C.
///
/// # Errors
/// [`Kind::Usage`] when what is at the other end does not speak the protocol.
pub(super) async fn run(
    arguments: &cli::Mcp,
    project: &Project,
    interrupted: &CancellationToken,
) -> Result<()> {
    let server = Server::new(Session::of(project.state_dir()?), arguments.allow_deploy);
    let serving = async {
        let service = server.serve(protocol::stdio()).await.map_err(|error| {
            Error::new(Kind::Usage, "what is at the other end does not speak the Model Context Protocol")
                .detail(error)
                .hint("`sst mcp` is started by a coding assistant: `docs/mcp.md` says how")
        })?;
        service.waiting().await.map_err(|error| Error::new(Kind::Other, "the server failed").detail(error))
    };
    tokio::select! {
        served = serving => served.map(drop),
        () = interrupted.cancelled() => Ok(()),
    }
}

/// What answers.
#[derive(Debug, Clone)]
struct Server {
    session: Session,
    tool_router: ToolRouter<Self>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = without_null)]
struct Invoke {
    /// The function: its id as `functions` lists it, e.g. `my-api/List`, or the end of it, e.g. `List`.
    function: String,
    /// The event, any JSON. `{}` if it is left out.
    #[serde(default)]
    #[schemars(schema_with = "any")]
    event: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = without_null)]
struct History {
    /// Only calls of this function: its id, or the end of it.
    #[serde(default)]
    function: Option<String>,
    /// Only calls that have failed.
    #[serde(default)]
    failed: bool,
    /// How many calls at most, the last ones: 20 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u16>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Show {
    /// The call: its id, the beginning of it, or `last`.
    id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = without_null)]
struct Replay {
    /// The call: its id, the beginning of it, or `last`.
    id: String,
    /// Another event in place of the call's own, any JSON.
    #[serde(default)]
    #[schemars(schema_with = "any")]
    event: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = without_null)]
struct WaitForBuild {
    /// Only this function: its id, or the end of it. All functions if it is left out.
    #[serde(default)]
    function: Option<String>,
    /// How many seconds to wait at most: 30 if it is left out, and no more than 55.
    #[serde(default)]
    #[schemars(range(min = 1, max = 55))]
    timeout_s: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = without_null)]
struct Tail {
    /// Only lines of this function: its id, or the end of it.
    #[serde(default)]
    function: Option<String>,
    /// Only lines behind this number: the `change` of an earlier answer. Without it the last 100 lines are returned.
    #[serde(default)]
    after: Option<u64>,
    /// How many seconds to wait for a line if there is none yet, 55 at most. Without it there is no waiting.
    #[serde(default)]
    #[schemars(range(min = 0, max = 55))]
    wait_s: Option<u64>,
}

/// What is optional is left out, and is never `null`: with one type alone, clients make a number of the text that somebody types.
fn without_null(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        property.retain(|name, value| name != "default" || !value.is_null());
        if let Some(Value::Array(types)) = property.get("type")
            && let [kind, Value::String(null)] = types.as_slice()
            && null == "null"
        {
            let kind = kind.clone();
            property.insert("type".to_owned(), kind);
        }
    }
}

/// The schema of any JSON.
fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({})
}

#[tool_router]
impl Server {
    fn new(session: Session, allows_deployments: bool) -> Self {
        let mut tool_router = Self::tool_router();
        if !allows_deployments {
            tool_router.remove_route("deploy");
        }
        Self { session, tool_router }
    }

    #[tool(
        description = "What runs in this project: the stage and region, the outputs of the stacks (such as the URL of the API), where \
                       debuggers attach, and whether something waits to be deployed.",
        annotations(title = "Show what runs", read_only_hint = true, open_world_hint = false)
    )]
    async fn status(&self) -> CallToolResult {
        answer(self.session.status().await)
    }

    #[tool(
        description = "The functions that run on this machine: id, language, handler, source file, timeout, memory, and the state of \
                       their builds. Other tools take these ids.",
        annotations(title = "List functions", read_only_hint = true, open_world_hint = false)
    )]
    async fn functions(&self) -> CallToolResult {
        answer(self.session.functions().await)
    }

    #[tool(
        description = "Calls a function with an event, with the code on disk and the function's own environment and permissions. Returns \
                       the call: `status` (`returned` or `failed`), `result` or `error` with its stack, `logs` with what it has written, \
                       `tookMs`. It does what the function does, such as writing to databases. It takes as long as the function.",
        annotations(
            title = "Call a function",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn invoke(&self, Parameters(Invoke { function, event }): Parameters<Invoke>) -> CallToolResult {
        answer(self.session.invoke(&function, event.unwrap_or_else(|| json!({}))).await)
    }

    #[tool(
        description = "The last calls, the newest first: id, function, source of the event, status, duration, type of the error. Those of \
                       the last seven days are known, also of earlier sessions.",
        annotations(title = "List calls", read_only_hint = true, open_world_hint = false)
    )]
    async fn history(
        &self,
        Parameters(History { function, failed, limit }): Parameters<History>,
    ) -> CallToolResult {
        let limit = limit.map_or(Query::default().limit, |limit| usize::from(limit.max(1)));
        answer(self.session.history(&Query { function, failed, limit }).await)
    }

    #[tool(
        description = "All of one call: its event, its result or its error with the stack, and what it has written.",
        annotations(title = "Show a call", read_only_hint = true, open_world_hint = false)
    )]
    async fn show(&self, Parameters(Show { id }): Parameters<Show>) -> CallToolResult {
        answer(self.session.show(&id).await)
    }

    #[tool(
        description = "Calls a function once more with the event of an earlier call, byte for byte, or with another one: to see whether a \
                       change of the code mends a call that has failed. Returns the new call, as `invoke` does. Whoever has called the first \
                       time hears nothing of it.",
        annotations(
            title = "Call once more",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn replay(&self, Parameters(Replay { id, event }): Parameters<Replay>) -> CallToolResult {
        answer(self.session.replay(&id, event).await)
    }

    #[tool(
        description = "Waits until the code on disk is built, after you have changed it. Returns `state`, which is `built`, or `failed` with \
                       the `error` of the function in `functions`: file, line and code frame. `none` means that the function was not called in \
                       this session. One that was not called lately is built when it is called next. While its code does not build, calls of a function fail or run the code \
                       before.",
        annotations(title = "Wait for builds", read_only_hint = true, open_world_hint = false)
    )]
    async fn wait_for_build(
        &self,
        Parameters(WaitForBuild { function, timeout_s }): Parameters<WaitForBuild>,
    ) -> CallToolResult {
        answer(self.session.wait_for_build(function.as_deref(), timeout_s.unwrap_or(30)).await)
    }

    #[tool(
        description = "Deploys the changes of the infrastructure that `infrastructure` of `status` lists as `changed`, as the user does with \
                       ENTER in the terminal of `sst start`. It changes resources in the cloud, and may replace or remove them. The code of \
                       functions needs no deployment.",
        annotations(
            title = "Deploy changes",
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = false,
            open_world_hint = true
        )
    )]
    async fn deploy(&self) -> CallToolResult {
        answer(self.session.deploy().await)
    }

    #[tool(
        description = "Lines that functions have written. To read on, pass the `change` of the answer as `after`.",
        annotations(title = "Read output", read_only_hint = true, open_world_hint = false)
    )]
    async fn tail(&self, Parameters(Tail { function, after, wait_s }): Parameters<Tail>) -> CallToolResult {
        answer(self.session.tail(function.as_deref(), after, wait_s.unwrap_or(0)).await)
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("sst", VERSION))
            .with_instructions(INSTRUCTIONS)
    }
}

/// What a tool has found, or why it has found nothing and what to do about it.
fn answer(found: Result<Value>) -> CallToolResult {
    match found {
        Ok(mut value) => {
            shortened::shorten(&mut value);
            CallToolResult::structured(value)
        }
        Err(Error { message, detail, hint, .. }) => {
            let mut error = json!({ "error": message });
            for (name, text) in [("detail", detail), ("hint", hint)] {
                if let Some(text) = text {
                    error[name] = text.into();
                }
            }
            CallToolResult::structured_error(error)
        }
    }
}

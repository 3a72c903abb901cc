//! `/json/protocol`: what may be asked of a worker. Clients that make their commands of it, such as chrome-remote-interface, ask for
//! it before they connect.
//!
//! It is that of the very Node that runs the workers, which tells it as any inspector does. One that is started for that alone tells
//! it also while there is no worker, and none has to have room for such requests.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use camino::Utf8PathBuf;
use tokio::sync::OnceCell;

use crate::process::{Command, Spawner, Stdio};

/// How long Node may take to tell it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the inspector of its own process, which answers in a thread of its own, and prints what that says.
const PROGRAM: &str = r#"
const inspector = require("node:inspector");
inspector.open(0, "127.0.0.1");
const { hostname, port } = new URL(inspector.url());
require("node:http").get({ hostname, port, path: "/json/protocol", agent: false }, (page) => {
  page.pipe(process.stdout).on("finish", () => process.exit());
  page.on("end", () => inspector.close());
});
"#;

/// The protocol, once it was asked for.
#[derive(Debug)]
pub(in crate::bridge) struct Protocol {
    spawner: Spawner,
    node: Utf8PathBuf,
    told: OnceCell<Bytes>,
}

impl Protocol {
    pub(in crate::bridge) fn new(spawner: Spawner, node: Utf8PathBuf) -> Self {
        Self { spawner, node, told: OnceCell::new() }
    }

    /// The page, for both endpoints.
    pub(super) fn router<S: Clone + Send + Sync + 'static>(self: Arc<Self>) -> Router<S> {
        Router::new().route("/json/protocol", get(move || self.clone().page()))
    }

    async fn page(self: Arc<Self>) -> Response {
        match self.told.get_or_try_init(|| self.ask()).await {
            Ok(text) => {
                ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text.clone()).into_response()
            }
            Err(error) => {
                let text = format!("`{}` does not tell the protocol of its inspector: {error}\n", self.node);
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }

    async fn ask(&self) -> Result<Bytes, String> {
        let mut command = Command::new(&self.node);
        command
            .args(["-e", PROGRAM])
            .env_remove("NODE_OPTIONS")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let asking = async { self.spawner.spawn(command).await?.wait_with_output().await };
        let output = tokio::time::timeout(PATIENCE, asking)
            .await
            .map_err(|_| format!("nothing within {} s", PATIENCE.as_secs()))?
            .map_err(|error| error.to_string())?;
        // Whatever else it may have printed is for nobody.
        serde_json::from_slice::<&serde_json::value::RawValue>(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned())?;
        Ok(output.stdout.into())
    }
}

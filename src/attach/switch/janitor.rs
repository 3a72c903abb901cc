//! The debug stack of all functions that are attached: the usual one, and the janitor, which gives functions back when nobody else does.

use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;

use super::Switching;
use crate::{
    attach::{APP, STAGE},
    aws::explain,
    debug_stack::{self, TEMPLATE},
};

/// What the janitor adds to the debug stack's resources.
const RESOURCES: &str = include_str!("../../../infra/attach-janitor.yaml");

/// Its code.
const CODE: &str = include_str!("../../../infra/attach-janitor.py");

/// Where the code is in its resources.
const PLACE: &str = "          # attach-janitor.py\n";

/// How long it may take to begin watching: it is a cold start.
const PATIENCE: Duration = Duration::from_secs(20);

impl Switching {
    /// Has the janitor look from now on. Why it does not, if it does not.
    pub(super) async fn watch(&self) -> std::result::Result<(), String> {
        let name = format!("{}-janitor", debug_stack::name(STAGE, APP));
        let request = self.aws.invoker(PATIENCE).invoke().function_name(name);
        let answer = request.payload(Blob::new(r#"{"watch":true}"#)).send().await;
        let answer = answer.map_err(|error| explain(&error))?;
        match answer.function_error() {
            None => Ok(()),
            Some(_) => {
                let said = answer.payload().map(|said| String::from_utf8_lossy(said.as_ref()).into_owned());
                Err(format!("its janitor has failed: {}", said.unwrap_or_default()))
            }
        }
    }
}

/// The debug stack of all functions of an account and a region that are attached: the usual template with the janitor in it.
#[must_use]
pub fn template() -> String {
    let code: String = CODE
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("          {line}\n") })
        .collect();
    let resources = RESOURCES.replace(PLACE, &code);
    TEMPLATE.replacen("\nOutputs:\n", &format!("\n{resources}\nOutputs:\n"), 1)
}

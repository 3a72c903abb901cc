//! What `package` and `deploy` leave behind in `.serverless`: the service as it was deployed from this directory, without variables.

use camino::Utf8Path;
use serde_json::Value;

/// The file in which it is.
const STATE: &str = ".serverless/serverless-state.json";

/// What was packaged last.
#[derive(Debug, Clone, Default)]
pub(super) struct Package(Value);

impl Package {
    /// Reads it. None where there is none, or it is not what it should be.
    pub(super) fn read(root: &Utf8Path) -> Option<Self> {
        let state: Value = serde_json::from_slice(&fs_err::read(root.join(STATE)).ok()?).ok()?;
        state["service"]["functions"].is_object().then_some(Self(state))
    }

    /// The service's fields.
    pub(super) fn service(&self) -> &Value {
        &self.0["service"]
    }

    /// The stage. `provider.stage` is what the file says, also where the command line said another.
    pub(super) fn stage(&self) -> Option<&str> {
        let directory = self.0["package"]["artifactDirectoryName"].as_str();
        let of_directory = directory.and_then(|directory| directory.rsplit('/').nth(1));
        of_directory.or_else(|| self.service()["provider"]["stage"].as_str())
    }

    /// The region.
    pub(super) fn region(&self) -> Option<String> {
        self.service()["provider"]["region"].as_str().map(str::to_owned)
    }

    /// The name on Lambda of a function.
    pub(super) fn name(&self, function: &str) -> Option<&str> {
        self.service()["functions"][function]["name"].as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_stage_is_that_of_the_command_line() {
        let mut state = json!({
            "service": { "provider": { "stage": "dev" }, "functions": { "a": { "name": "s-prod-a" } } },
            "package": { "artifactDirectoryName": "serverless/s/prod/1796133692819-2026-12-01T14:01:32.819Z" },
        });
        assert_eq!(Package(state.clone()).stage(), Some("prod"));
        assert_eq!(Package(state.clone()).name("a"), Some("s-prod-a"));
        state["package"] = Value::Null;
        assert_eq!(Package(state).stage(), Some("dev"));
    }
}

//! Which functions are left alone, and why: those that could not be given back exactly, those that calls would not reach, and those that
//! somebody wants to be left alone.

use serde_json::Value;

use super::{
    Wanted,
    configuration::{Settings, settings, text},
    lambda::Function,
    policies::{Role, role_name},
    refused::{Refused, patiently},
    snapshot::architecture,
};
use crate::{
    app::{ENVIRONMENT_LIMIT, no_room},
    attach::PROTECTED,
    error::Result,
    languages::{Fate, fate},
    stub_package::{Architecture, Stubs},
};

/// What stages are called that people depend on.
const PRODUCTION: [&str; 4] = ["prod", "production", "live", "prd"];

/// The tags that tell a stage, in small letters.
const STAGE_TAGS: [&str; 4] = ["stage", "env", "environment", "sst:stage"];

/// Where the originals of Lambda@Edge are; elsewhere there are only their replicas.
const EDGE_REGION: &str = "us-east-1";

/// What is known of a function before anything of it is changed.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// All that `GetFunction` tells.
    pub look: Value,
    /// Its aliases: name, version, and whether it shares its traffic between versions.
    pub aliases: Vec<(String, String, bool)>,
    /// What has provisioned concurrency.
    pub provisioned: Vec<String>,
    /// When its runtime is updated: `Auto`, `FunctionUpdate`, `Manual`.
    pub runtime_updates: Option<String>,
    /// Its code signing configuration.
    pub signing: Option<String>,
    /// How its asynchronous events are handled.
    pub event_invoke_config: Option<Value>,
    /// Whether its role is for Lambda@Edge.
    pub is_for_edge: bool,
    /// Its layers that cannot be had again, and why.
    pub lost_layers: Vec<String>,
}

/// By what is decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The code of stubs.
    pub stubs: &'a Stubs,
    /// Whether stages that people depend on are meant.
    pub yes_production: bool,
    /// The day, for runtimes that AWS takes no functions on any more.
    pub today: jiff::civil::Date,
}

impl Facts {
    /// Asks for all of them. None when there is no such function.
    ///
    /// # Errors
    /// When some of it may not be asked: what may not, and how to be allowed to.
    pub(super) async fn gather(function: &Function<'_>, role_policy: &str) -> Result<Option<Self>> {
        let name = function.name;
        let unknown = |what: &str| {
            let message = format!("cannot read {what} of `{name}`");
            move |refused: Refused| refused.because(message)
        };
        let Some(look) = function.look().await.map_err(unknown("the configuration"))? else {
            return Ok(None);
        };
        let configuration = look.get("Configuration").cloned().unwrap_or_default();
        let (aliases, provisioned, updates, signing, event_invoke_config) = tokio::join!(
            aliases(function),
            provisioned(function),
            runtime_updates(function),
            signing(function),
            function.event_invoke_config(),
        );
        let role =
            Role { aws: function.aws(), name: role_name(text(&configuration, "Role")), policy: role_policy };
        let may_be_edge = function.aws().region == EDGE_REGION;
        Ok(Some(Self {
            aliases: aliases.map_err(unknown("the aliases"))?,
            provisioned: provisioned.map_err(unknown("the provisioned concurrency"))?,
            runtime_updates: updates.map_err(unknown("the runtime management"))?,
            signing: signing.map_err(unknown("the code signing configuration"))?,
            event_invoke_config: event_invoke_config.map_err(unknown("the handling of events"))?,
            is_for_edge: may_be_edge && role.is_for_edge().await == Some(true),
            lost_layers: lost_layers(function, &configuration).await,
            look,
        }))
    }

    /// Its configuration.
    pub(super) fn configuration(&self) -> &Value {
        self.look.get("Configuration").unwrap_or(&Value::Null)
    }

    /// Why the function is left alone, if it is.
    pub(super) fn refusal(&self, wanted: &Wanted, rules: Rules<'_>) -> Option<String> {
        self.wish(wanted, rules.yes_production)
            .or_else(|| self.kind())
            .or_else(|| self.calls())
            .or_else(|| self.not_to_be_given_back(rules))
            .or_else(|| self.state())
    }

    /// What the user should know of a function that is attached, one fragment each.
    pub(super) fn notices(&self) -> Vec<String> {
        let name = text(self.configuration(), "FunctionName");
        let mut notices: Vec<String> = (self.aliases.iter())
            .filter(|(_, version, _)| version != "$LATEST")
            .map(|(alias, version, _)| {
                format!(
                    "the alias `{alias}` of `{name}` stands for version {version}, so what is called by it does not come here"
                )
            })
            .collect();
        let reserved = self.look.pointer("/Concurrency/ReservedConcurrentExecutions").and_then(Value::as_u64);
        match reserved {
            Some(0) => notices.push(format!("`{name}` has a reserved concurrency of 0, so it is never called")),
            Some(1) => notices.push(format!(
                "`{name}` has a reserved concurrency of 1: while a call is paused at a breakpoint, others have to wait"
            )),
            _ => {}
        }
        let own = settings(self.configuration());
        if own["VpcConfig"] != settings(&Value::Null)["VpcConfig"] {
            let mounted = own["FileSystemConfigs"].as_array().is_some_and(|all| !all.is_empty());
            let files = if mounted { ", and its file system is not mounted" } else { "" };
            notices.push(format!(
                "the stub of `{name}` runs outside of its VPC{files}: the function itself runs on this machine"
            ));
        }
        notices
    }

    /// Somebody wants it to be left alone.
    fn wish(&self, wanted: &Wanted, yes_production: bool) -> Option<String> {
        let tags = self.look.get("Tags").and_then(Value::as_object);
        let mut tags = tags.into_iter().flatten();
        if tags.clone().any(|(name, _)| name == PROTECTED) {
            return Some(format!("it has the tag `{PROTECTED}`"));
        }
        if self.look.get("TagsError").is_some_and(|error| !error.is_null()) {
            return Some(
                "its tags cannot be read, which may say so; `lambda:ListTags` is what that takes".to_owned(),
            );
        }
        if yes_production {
            return None;
        }
        let name = text(self.configuration(), "FunctionName");
        let named =
            [("stage", wanted.stage.as_deref()), ("stack", wanted.stack.as_deref()), ("name", Some(name))];
        let by_name = named.into_iter().find_map(|(what, name)| {
            let name = name.filter(|name| is_production(name))?;
            Some(format!("its {what} is `{name}`"))
        });
        let by_tag = || {
            tags.find_map(|(name, value)| {
                let value = value.as_str()?;
                let tells = STAGE_TAGS.contains(&name.to_lowercase().as_str());
                (tells && is_production(value)).then(|| format!("its tag `{name}` is `{value}`"))
            })
        };
        let reason = by_name.or_else(by_tag)?;
        Some(format!("{reason}, which people may depend on; `--yes-production` says that it is meant"))
    }

    /// It is of a kind that no stub can stand for.
    fn kind(&self) -> Option<String> {
        let known = self.configuration();
        let has = |name: &str| known.get(name).is_some_and(|value| !value.is_null());
        let reason = if text(known, "PackageType") == "Image" {
            "it is a container image, whose code a stub cannot take the place of"
        } else if has("MasterArn") || self.is_for_edge {
            "it is a function of Lambda@Edge, which runs in CloudFront's own places"
        } else if self.signing.is_some() || has("SigningProfileVersionArn") {
            "its code is signed, and Lambda may take none that is not"
        } else if has("DurableConfig") {
            "it is a durable function, whose executions go on across calls"
        } else if has("CapacityProviderConfig") {
            "it runs on managed instances (a capacity provider)"
        } else if has("TenancyConfig") {
            "it isolates its tenants, each in environments of its own"
        } else if has("RuntimeConfig") {
            "it has a runtime that its owner manages"
        } else if has("AcceleratorConfig") {
            "it runs on accelerators"
        } else {
            return None;
        };
        Some(reason.to_owned())
    }

    /// Calls would not come here.
    fn calls(&self) -> Option<String> {
        if let Some((alias, ..)) = self.aliases.iter().find(|(.., shifts)| *shifts) {
            return Some(format!(
                "its alias `{alias}` shares the calls out between versions, which would not come here"
            ));
        }
        let of = self.provisioned.first()?;
        Some(format!("it has provisioned concurrency (`{of}`), so its calls go to a published version"))
    }

    /// It could not be given back exactly as it is.
    fn not_to_be_given_back(&self, rules: Rules<'_>) -> Option<String> {
        let known = self.configuration();
        if self.runtime_updates.as_deref() == Some("Manual") {
            return Some(
                "its runtime version is pinned, so Lambda lets nobody change the runtime".to_owned(),
            );
        }
        let runtime = text(known, "Runtime");
        if fate(runtime, rules.today) != Fate::Created {
            return Some(format!(
                "AWS may not put it back on its runtime `{runtime}`, which is going out of use"
            ));
        }
        if let Some(layer) = self.lost_layers.first() {
            return Some(format!("it could not be given back its layer {layer}"));
        }
        let code = self.look.get("Code").unwrap_or(&Value::Null);
        if code.get("ResolvedS3Object").is_some_and(|object| !object.is_null()) {
            return Some("its code stays in a bucket of its owner, to which Lambda only refers".to_owned());
        }
        let name = architecture(known);
        let served = Architecture::named(name).map(|named| rules.stubs.of(named).architecture == named);
        if served != Some(true) {
            return Some(format!("there is no stub for its architecture, {name}"));
        }
        if known.pointer("/Environment/Error").is_some_and(|error| !error.is_null()) {
            let why = known.pointer("/Environment/Error/Message").and_then(Value::as_str).unwrap_or_default();
            return Some(format!("its environment variables cannot be read: {why}"));
        }
        None
    }

    /// It is not in order, or is a stub already.
    fn state(&self) -> Option<String> {
        let known = self.configuration();
        let variables = known.pointer("/Environment/Variables");
        if variables.and_then(|variables| variables.get(sst_wire::CONFIG_VARIABLE)).is_some() {
            return Some("it is a stub of `sst start` already, or one that nothing is known of".to_owned());
        }
        let (state, update) = (text(known, "State"), text(known, "LastUpdateStatus"));
        if !["", "Active", "Pending"].contains(&state) {
            let why = text(known, "StateReason");
            return Some(format!("its state is {state}: {why}").trim_end_matches([':', ' ']).to_owned());
        }
        if update == "Failed" {
            let why = text(known, "LastUpdateStatusReason");
            return Some(
                format!("its last update has failed: {why}").trim_end_matches([':', ' ']).to_owned(),
            );
        }
        None
    }
}

/// Whether the variables of a stub have room; why not.
pub(super) fn room(own: &Settings, stub: &Settings) -> Option<String> {
    let size = |settings: &Settings| settings["Environment"].to_string().len();
    let (own, all) = (size(own), size(stub));
    (all > ENVIRONMENT_LIMIT).then(|| no_room(own, all.saturating_sub(own)))
}

/// Whether a part of a name says that people depend on it.
fn is_production(name: &str) -> bool {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for character in name.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(last) = parts.last_mut()
        {
            last.extend(character.to_lowercase());
        }
        before = character;
    }
    parts.iter().any(|part| PRODUCTION.contains(&part.as_str()))
}

async fn aliases(function: &Function<'_>) -> Result<Vec<(String, String, bool)>, Refused> {
    let client = function.client();
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let list = || client.list_aliases().function_name(function.name).set_marker(from.clone()).send();
        let page = patiently("lambda:ListAliases", list).await?;
        found.extend(page.aliases().iter().map(|alias| {
            let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
            let shifts = weights.is_some_and(|weights| !weights.is_empty());
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(alias.name()), text(alias.function_version()), shifts)
        }));
        from = page.next_marker;
        if from.is_none() {
            return Ok(found);
        }
    }
}

async fn provisioned(function: &Function<'_>) -> Result<Vec<String>, Refused> {
    let client = function.client();
    let list = || client.list_provisioned_concurrency_configs().function_name(function.name).send();
    let page = optional(patiently("lambda:ListProvisionedConcurrencyConfigs", list).await)?;
    let qualifier = |arn: &str| arn.rsplit(':').next().unwrap_or(arn).to_owned();
    let all = page.as_ref().map(|page| page.provisioned_concurrency_configs()).unwrap_or_default();
    Ok(all.iter().filter_map(|one| one.function_arn().map(qualifier)).collect())
}

async fn runtime_updates(function: &Function<'_>) -> Result<Option<String>, Refused> {
    let client = function.client();
    let get = || client.get_runtime_management_config().function_name(function.name).send();
    let found = optional(patiently("lambda:GetRuntimeManagementConfig", get).await)?;
    Ok(found.and_then(|found| Some(found.update_runtime_on()?.as_str().to_owned())))
}

async fn signing(function: &Function<'_>) -> Result<Option<String>, Refused> {
    let client = function.client();
    let get = || client.get_function_code_signing_config().function_name(function.name).send();
    let found = optional(patiently("lambda:GetFunctionCodeSigningConfig", get).await)?;
    Ok(found.map(|found| found.code_signing_config_arn).filter(|arn| !arn.is_empty()))
}

/// An answer, or none where there is no such thing.
fn optional<T>(asked: Result<T, Refused>) -> Result<Option<T>, Refused> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(refused) if refused.is_missing() => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// The layers that Lambda would not put back: their versions have been deleted, or are no business of the caller's. What is deleted stays
/// with the functions that have it, but comes to none again.
async fn lost_layers(function: &Function<'_>, configuration: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    for layer in configuration.get("Layers").and_then(Value::as_array).into_iter().flatten() {
        let (client, arn) = (function.client(), text(layer, "Arn"));
        let get = || client.get_layer_version_by_arn().arn(arn).send();
        if let Err(refused) = patiently("lambda:GetLayerVersion", get).await {
            lost.push(format!("`{arn}`: {}", refused.text));
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_a_word_of_a_name() {
        for name in ["prod", "orders-prod", "ordersProd", "Production", "orders_live_eu", "prd", "PROD"] {
            assert!(is_production(name), "{name}");
        }
        for name in ["products", "dev", "delivery", "orders-prodlike", "preprod", "alive", ""] {
            assert!(!is_production(name), "{name}");
        }
    }
}

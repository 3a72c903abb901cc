//! What stacks need of what `cdk bootstrap` makes: an app may have a bootstrap of its own, by a qualifier, and stacks in several places.

use std::collections::BTreeMap;

use serde_json::Value;

/// The qualifier of who has chosen none.
pub(in crate::app) const DEFAULT_QUALIFIER: &str = "hnb659fds";

/// The bootstrap that a stack is deployed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// What is in the names of its roles and its bucket. None for one that is not of the CDK's own template.
    pub qualifier: Option<String>,
    /// The SSM parameter in which it says its version. None for versions of the CDK that do not name it: then its stack says so.
    pub parameter: Option<String>,
    /// The oldest version that will do.
    pub version: u64,
    /// The roles by which others get in, the one that deploys first.
    pub roles: Vec<Role>,
}

/// A role of a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ARN, with the CDK's placeholders such as `${AWS::Partition}`.
    pub arn: String,
    /// What it wants to be told by whoever assumes it.
    pub external_id: Option<String>,
}

/// A place that stacks are deployed to, and the bootstrap that they need there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The number of the account.
    pub account: String,
    /// The region.
    pub region: String,
    /// What has to be there.
    pub bootstrap: Bootstrap,
    /// The stacks that need it.
    pub stacks: Vec<String>,
}

impl Bootstrap {
    /// What a stack's artifact, that of its assets, and the list of its assets say. None where no bootstrap is needed.
    pub(super) fn of(artifact: &Value, assets: Option<&Value>, list: &Value) -> Option<Self> {
        let both = || [Some(artifact), assets].into_iter().flatten();
        let properties = || both().filter_map(|artifact| artifact.get("properties"));
        let version = |of: &Value| of.get("requiresBootstrapStackVersion").and_then(Value::as_u64);
        let version = properties().filter_map(version).max()?;
        let named = |of: &Value| Some(of.get("bootstrapStackVersionSsmParameter")?.as_str()?.to_owned());
        let parameter = properties().find_map(named);
        let own = artifact.get("properties").unwrap_or(&Value::Null);
        let looking = own.get("lookupRole").unwrap_or(&Value::Null);
        let roles = [Role::of(own, "assumeRoleArn"), Role::of(looking, "arn")];
        let roles: Vec<Role> = roles.into_iter().flatten().collect();
        let qualifier = match &parameter {
            Some(parameter) => of_parameter(parameter).map(str::to_owned),
            None => Some(of_names(&roles, list).unwrap_or(DEFAULT_QUALIFIER.to_owned())),
        };
        Some(Self { qualifier, parameter, version, roles })
    }
}

impl Environment {
    /// A place before anything is known of the stacks.
    #[must_use]
    pub fn usual(account: &str, region: &str, qualifier: Option<&str>) -> Self {
        let qualifier = qualifier.unwrap_or(DEFAULT_QUALIFIER).to_owned();
        let parameter = Some(format!("/cdk-bootstrap/{qualifier}/version"));
        let bootstrap = Bootstrap { qualifier: Some(qualifier), parameter, version: 0, roles: Vec::new() };
        Self { account: account.to_owned(), region: region.to_owned(), bootstrap, stacks: Vec::new() }
    }
}

impl Role {
    fn of(value: &Value, field: &str) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(Self { arn: text(field)?, external_id: text("assumeRoleExternalId") })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }
}

/// The qualifier in the name of a parameter, if it is one of the CDK's own template.
fn of_parameter(parameter: &str) -> Option<&str> {
    let qualifier = parameter.strip_prefix("/cdk-bootstrap/")?.strip_suffix("/version")?;
    (!qualifier.is_empty() && !qualifier.contains('/')).then_some(qualifier)
}

/// The qualifier in the names of roles and buckets, those that assets are published by among them.
fn of_names(roles: &[Role], list: &Value) -> Option<String> {
    let kinds = ["files", "dockerImages"].into_iter().filter_map(|kind| list.get(kind)?.as_object());
    let destinations = kinds
        .flatten()
        .filter_map(|(_, asset)| asset.get("destinations")?.as_object())
        .flatten()
        .map(|(_, destination)| destination);
    let published = destinations.flat_map(|destination| {
        let role = Role::of(destination, "assumeRoleArn").map(|role| role.name().to_owned());
        let bucket = destination.get("bucketName").and_then(Value::as_str).map(str::to_owned);
        [role, bucket].into_iter().flatten()
    });
    let names = roles.iter().map(|role| role.name().to_owned()).chain(published);
    names.filter_map(|name| of_name(&name).map(str::to_owned)).next()
}

fn of_name(name: &str) -> Option<&str> {
    const KINDS: [&str; 5] =
        ["-deploy-role-", "-lookup-role-", "-file-publishing-role-", "-image-publishing-role-", "-assets-"];
    let rest = name.strip_prefix("cdk-")?;
    KINDS.iter().find_map(|kind| Some(rest.split_once(kind)?.0)).filter(|qualifier| !qualifier.is_empty())
}

/// The places that need a bootstrap, of stacks with the account, the region, the name, and the bootstrap of each.
#[must_use]
pub fn environments_of<'a>(
    stacks: impl IntoIterator<Item = (&'a str, &'a str, &'a str, Option<&'a Bootstrap>)>,
) -> Vec<Environment> {
    let mut found: BTreeMap<_, Environment> = BTreeMap::new();
    for (account, region, name, bootstrap) in stacks {
        let Some(bootstrap) = bootstrap else { continue };
        let key = (account, region, bootstrap.qualifier.as_deref(), bootstrap.parameter.as_deref());
        let environment = found.entry(key).or_insert_with(|| Environment {
            account: account.to_owned(),
            region: region.to_owned(),
            bootstrap: bootstrap.clone(),
            stacks: Vec::new(),
        });
        environment.stacks.push(name.to_owned());
        let known = &mut environment.bootstrap;
        known.version = known.version.max(bootstrap.version);
        for role in &bootstrap.roles {
            if !known.roles.contains(role) {
                known.roles.push(role.clone());
            }
        }
    }
    found.into_values().collect()
}

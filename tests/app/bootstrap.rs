//! Which bootstrap stacks need, by what the CDK's synthesizers write of it.

use camino::Utf8Path;
use serde_json::{Value, json};
use sst::app::{Assembly, Environment};

use crate::support::{ACCOUNT, REGION};

/// An assembly with these stacks: name, environment, properties of the stack, and of its assets if it has any.
fn assembly(stacks: &[(&str, &str, Value, Option<Value>)], destinations: &Value) -> Assembly {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    let mut artifacts = serde_json::Map::new();
    for (name, environment, properties, assets) in stacks {
        let mut properties = properties.clone();
        properties["templateFile"] = json!("template.json");
        let stack = json!({ "type": "aws:cloudformation:stack", "environment": environment, "properties": properties });
        artifacts.insert((*name).to_owned(), stack);
        if let Some(assets) = assets {
            let mut properties = assets.clone();
            properties["file"] = json!(format!("{name}.assets.json"));
            artifacts.insert(
                format!("{name}.assets"),
                json!({ "type": "cdk:asset-manifest", "properties": properties }),
            );
            let list =
                json!({ "files": { "a": { "source": { "path": "a" }, "destinations": destinations } } });
            fs_err::write(root.join(format!("{name}.assets.json")), list.to_string()).unwrap();
        }
    }
    fs_err::write(root.join("template.json"), r#"{"Resources":{}}"#).unwrap();
    let manifest = json!({ "version": "36.0.0", "artifacts": artifacts });
    fs_err::write(root.join("manifest.json"), manifest.to_string()).unwrap();
    Assembly::read(root, &root.join("sources"), "dev", ACCOUNT, REGION).unwrap()
}

/// What the default synthesizer writes.
fn usual(qualifier: &str, account: &str, region: &str) -> (Value, Option<Value>) {
    let role = |kind: &str| {
        format!("arn:${{AWS::Partition}}:iam::{account}:role/cdk-{qualifier}-{kind}-role-{account}-{region}")
    };
    let parameter = format!("/cdk-bootstrap/{qualifier}/version");
    let stack = json!({
        "assumeRoleArn": role("deploy"),
        "cloudFormationExecutionRoleArn": role("cfn-exec"),
        "requiresBootstrapStackVersion": 6,
        "bootstrapStackVersionSsmParameter": parameter,
        "lookupRole": { "arn": role("lookup"), "requiresBootstrapStackVersion": 8, "bootstrapStackVersionSsmParameter": parameter },
    });
    (
        stack,
        Some(json!({ "requiresBootstrapStackVersion": 6, "bootstrapStackVersionSsmParameter": parameter })),
    )
}

/// A stack by its name and its environment, with what the manifest says of it and of its assets.
type Stack<'a> = (&'a str, &'a str, (Value, Option<Value>));

fn of(stacks: &[Stack<'_>]) -> Vec<Environment> {
    let stacks: Vec<_> = stacks
        .iter()
        .map(|(name, environment, (stack, assets))| (*name, *environment, stack.clone(), assets.clone()))
        .collect();
    assembly(&stacks, &json!({})).environments(|_| true)
}

/// Account, region, qualifier, parameter, version, names of roles, and stacks.
fn shown(environments: &[Environment]) -> Vec<String> {
    let shown = environments.iter().map(|environment| {
        let Environment { account, region, bootstrap, stacks } = environment;
        let roles: Vec<_> = bootstrap.roles.iter().map(|role| role.name()).collect();
        let name = |name: &Option<String>| name.clone().unwrap_or("-".to_owned());
        format!(
            "{account} {region} {} {} {} [{}] [{}]",
            name(&bootstrap.qualifier),
            name(&bootstrap.parameter),
            bootstrap.version,
            roles.join(" "),
            stacks.join(" ")
        )
    });
    shown.collect()
}

#[test]
fn stacks_need_the_bootstrap_of_their_qualifier_in_their_own_place() {
    const HERE: &str = "aws://unknown-account/unknown-region";
    let table: [(&[Stack<'_>], &[&str]); 8] = [
        (
            &[("a", HERE, usual("hnb659fds", "${AWS::AccountId}", "${AWS::Region}"))],
            &["123456789012 eu-west-1 hnb659fds /cdk-bootstrap/hnb659fds/version 6 \
               [cdk-hnb659fds-deploy-role-${AWS::AccountId}-${AWS::Region} cdk-hnb659fds-lookup-role-${AWS::AccountId}-${AWS::Region}] [a]"],
        ),
        // Several places, and two qualifiers in one of them.
        (
            &[
                ("a", "aws://111111111111/eu-west-1", usual("acme", "111111111111", "eu-west-1")),
                ("b", "aws://111111111111/us-east-1", usual("acme", "111111111111", "us-east-1")),
                ("c", "aws://222222222222/eu-west-1", usual("acme", "222222222222", "eu-west-1")),
                ("d", "aws://111111111111/eu-west-1", usual("other", "111111111111", "eu-west-1")),
                ("e", "aws://111111111111/eu-west-1", usual("acme", "111111111111", "eu-west-1")),
            ],
            &[
                "111111111111 eu-west-1 acme /cdk-bootstrap/acme/version 6 \
                 [cdk-acme-deploy-role-111111111111-eu-west-1 cdk-acme-lookup-role-111111111111-eu-west-1] [a e]",
                "111111111111 eu-west-1 other /cdk-bootstrap/other/version 6 \
                 [cdk-other-deploy-role-111111111111-eu-west-1 cdk-other-lookup-role-111111111111-eu-west-1] [d]",
                "111111111111 us-east-1 acme /cdk-bootstrap/acme/version 6 \
                 [cdk-acme-deploy-role-111111111111-us-east-1 cdk-acme-lookup-role-111111111111-us-east-1] [b]",
                "222222222222 eu-west-1 acme /cdk-bootstrap/acme/version 6 \
                 [cdk-acme-deploy-role-222222222222-eu-west-1 cdk-acme-lookup-role-222222222222-eu-west-1] [c]",
            ],
        ),
        // The legacy synthesizer, the one by the caller's credentials, and the one without a bootstrap.
        (&[("a", HERE, (json!({}), None)), ("b", HERE, (json!({}), Some(json!({}))))], &[]),
        (&[("a", HERE, (json!({ "assumeRoleArn": "arn:aws:iam::1:role/mine" }), Some(json!({}))))], &[]),
        // Only the assets need one, and one that is newer.
        (
            &[
                ("a", HERE, (json!({}), usual("acme", "1", "x").1)),
                (
                    "b",
                    HERE,
                    (
                        json!({ "requiresBootstrapStackVersion": 21, "bootstrapStackVersionSsmParameter": "/cdk-bootstrap/acme/version" }),
                        None,
                    ),
                ),
            ],
            &["123456789012 eu-west-1 acme /cdk-bootstrap/acme/version 21 [] [a b]"],
        ),
        // One of another template than the CDK's.
        (
            &[(
                "a",
                HERE,
                (
                    json!({ "requiresBootstrapStackVersion": 6, "bootstrapStackVersionSsmParameter": "/company/cdk" }),
                    None,
                ),
            )],
            &["123456789012 eu-west-1 - /company/cdk 6 [] [a]"],
        ),
        // Older versions name no parameter: roles have the qualifier in their names.
        (
            &[(
                "a",
                HERE,
                (
                    json!({ "requiresBootstrapStackVersion": 3, "assumeRoleArn": "arn:aws:iam::1:role/cdk-ac-me-deploy-role-1-x" }),
                    None,
                ),
            )],
            &["123456789012 eu-west-1 ac-me - 3 [cdk-ac-me-deploy-role-1-x] [a]"],
        ),
        (
            &[("a", HERE, (json!({ "requiresBootstrapStackVersion": 3 }), None))],
            &["123456789012 eu-west-1 hnb659fds - 3 [] [a]"],
        ),
    ];
    for (stacks, expected) in table {
        assert_eq!(shown(&of(stacks)), expected, "{stacks:?}");
    }
}

#[test]
fn the_roles_and_buckets_of_assets_tell_the_qualifier_as_well() {
    let table = [
        (
            json!({ "x": { "assumeRoleArn": "arn:aws:iam::1:role/cdk-acme-file-publishing-role-1-x", "bucketName": "mine" } }),
            "acme",
        ),
        (json!({ "x": { "bucketName": "cdk-acme-assets-${AWS::AccountId}-${AWS::Region}" } }), "acme"),
        (json!({ "x": { "bucketName": "mine" } }), "hnb659fds"),
    ];
    for (destinations, expected) in table {
        let stack = ("a", "", json!({ "requiresBootstrapStackVersion": 3 }), Some(json!({})));
        let found = assembly(&[stack], &destinations).environments(|_| true);
        assert_eq!(found[0].bootstrap.qualifier.as_deref(), Some(expected), "{destinations}");
    }
}

//! The functions of a CloudFormation stack and of those that it nests, whatever has deployed it, and what its templates say of their code.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::{Client, error::ProvideErrorMetadata};
use camino::Utf8PathBuf;
use serde_json::Value;

use crate::{
    aws::{Aws, explain},
    error::{Error, Kind, Result},
    yaml,
};

/// Stacks nest no deeper than this here; deeper ones would be in a circle.
const DEEPEST: usize = 10;

/// A function in a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StackFunction {
    /// The name of the stack that it is in, which may be a nested one.
    pub stack: String,
    /// Its logical id in that stack's template.
    pub logical_id: String,
    /// The logical ids of the nested stacks on the way to it, and its own, with slashes between them.
    pub path: String,
    /// Its name on Lambda.
    pub name: String,
    /// What the template says of it.
    pub hints: Hints,
}

/// What a deployed template says of where the code of a function comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// What the CDK calls it.
    pub label: Option<String>,
    /// The directory that was deployed, absolute.
    pub asset: Option<Utf8PathBuf>,
    /// The files in which it begins, relative to a directory that is not known.
    pub entry_points: Vec<String>,
    /// Whether its code is in the template itself.
    pub is_inline: bool,
}

/// The functions of a stack, in the order of CloudFormation. `with_hints` reads the templates as well.
///
/// # Errors
/// [`Kind::Usage`] when there is no such stack; [`Kind::Cloud`] when CloudFormation does not tell.
pub(super) async fn functions(aws: &Aws, stack: &str, with_hints: bool) -> Result<Vec<StackFunction>> {
    let client = aws.cloudformation();
    let mut found = Vec::new();
    // The stack by its name or its ARN, and the way to it.
    let mut open = vec![(stack.to_owned(), String::new())];
    while let Some((id, path)) = open.pop() {
        let resources = resources(aws, &client, &id).await?;
        let has_functions = resources.iter().any(|one| one.kind == "AWS::Lambda::Function");
        let mut hints = match with_hints && has_functions {
            true => template(&client, &id).await.map(|template| hints(&template)).unwrap_or_default(),
            false => BTreeMap::new(),
        };
        for Resource { logical_id, physical_id, kind } in resources {
            let inner = format!("{path}{logical_id}");
            match kind.as_str() {
                "AWS::CloudFormation::Stack" if inner.split('/').count() < DEEPEST => {
                    open.push((physical_id, format!("{inner}/")));
                }
                "AWS::Lambda::Function" => found.push(StackFunction {
                    stack: name_of(&id).to_owned(),
                    hints: hints.remove(&logical_id).unwrap_or_default(),
                    logical_id,
                    path: inner,
                    name: physical_id,
                }),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A resource that exists.
struct Resource {
    logical_id: String,
    physical_id: String,
    kind: String,
}

async fn resources(aws: &Aws, client: &Client, stack: &str) -> Result<Vec<Resource>> {
    let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            let is_missing = error.code() == Some("ValidationError")
                && error.message().is_some_and(|message| message.contains("does not exist"));
            match is_missing {
                true => Error::new(
                    Kind::Usage,
                    format!("there is no stack `{stack}` in aws://{}/{}", aws.account, aws.region),
                )
                .hint("deploy it first, or name the stack that is meant: `--stack NAME`, and `--region` or `--profile` where it is"),
                false => Error::new(Kind::Cloud, format!("the resources of the stack `{stack}` are not known"))
                    .detail(explain(&error)),
            }
        })?;
        for one in page.stack_resource_summaries() {
            // One that has been deleted, or was never made, has no physical id, or is still listed with its old one.
            let is_there = one.resource_status().is_none_or(|status| status.as_str() != "DELETE_COMPLETE");
            if let (Some(logical_id), Some(physical_id), Some(kind), true) = (
                one.logical_resource_id(),
                one.physical_resource_id().filter(|id| !id.is_empty()),
                one.resource_type(),
                is_there,
            ) {
                let [logical_id, physical_id, kind] = [logical_id, physical_id, kind].map(str::to_owned);
                found.push(Resource { logical_id, physical_id, kind });
            }
        }
    }
    Ok(found)
}

/// The name in a stack's ARN, `arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>`; a name itself is one.
fn name_of(id: &str) -> &str {
    let name = id.split(":stack/").nth(1).and_then(|rest| rest.split('/').next());
    name.unwrap_or(id)
}

/// A template, as it was after its macros; none when that is not told. It only makes the search shorter.
async fn template(client: &Client, stack: &str) -> Option<Value> {
    let answer = client.get_template().stack_name(stack).send().await;
    let answer =
        answer.inspect_err(|error| tracing::debug!(stack, error = explain(error), "no template")).ok()?;
    let text = answer.template_body()?;
    serde_json::from_str(text).ok().or_else(|| yaml::parse(text).ok())
}

/// The hints of a template, by logical id.
fn hints(template: &Value) -> BTreeMap<String, Hints> {
    let resources = template.get("Resources").and_then(Value::as_object).into_iter().flatten();
    let of = |resource: &Value| Hints {
        is_inline: resource.pointer("/Properties/Code/ZipFile").is_some(),
        ..of_metadata(resource.get("Metadata").unwrap_or(&Value::Null))
    };
    resources.map(|(id, resource)| (id.clone(), of(resource))).collect()
}

/// What the CDK (`aws:…`) and SAM write beside a function: <https://docs.aws.amazon.com/cdk/v2/guide/assets.html#assets-cfn>.
fn of_metadata(metadata: &Value) -> Hints {
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    // The construct of the function itself is the one around the resource.
    let of_cdk = text("aws:cdk:path").map(|path| path.strip_suffix("/Resource").unwrap_or(path));
    let is_bundled = metadata.get("aws:asset:is-bundled") == Some(&Value::Bool(true));
    // A relative path leads to a copy in the assembly.
    let asset =
        text("aws:asset:path").map(Utf8PathBuf::from).filter(|path| path.is_absolute() && !is_bundled);
    let entry_points = metadata.get("BuildProperties").and_then(|build| build.get("EntryPoints")?.as_array());
    Hints {
        label: of_cdk.map(str::to_owned),
        asset,
        entry_points: entry_points
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.as_str().map(str::to_owned))
            .collect(),
        is_inline: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_of_the_cdk_and_of_sam_says_what_a_function_is_called_and_made_of() {
        let template = json!({ "Resources": {
            "CreateB9C2": { "Type": "AWS::Lambda::Function", "Metadata": {
                "aws:cdk:path": "Orders/Create/Resource", "aws:asset:path": "/projects/orders/create", "aws:asset:is-bundled": false,
            } },
            "ListA1": { "Metadata": { "aws:cdk:path": "Orders/List/Resource", "aws:asset:path": "asset.0123", "aws:asset:is-bundled": true } },
            "Report": { "Metadata": { "SamResourceId": "Report", "BuildMethod": "esbuild", "BuildProperties": { "EntryPoints": ["src/report.ts"] } } },
            "Ping": { "Properties": { "Code": { "ZipFile": "exports.handler = 1" } } },
        } });
        let hints = hints(&template);
        let expected = [
            ("CreateB9C2", Some("Orders/Create"), Some("/projects/orders/create"), &[][..], false),
            ("ListA1", Some("Orders/List"), None, &[], false),
            ("Report", None, None, &["src/report.ts"], false),
            ("Ping", None, None, &[], true),
        ];
        assert_eq!(hints.len(), expected.len());
        for (id, label, asset, entry_points, is_inline) in expected {
            let expected = Hints {
                label: label.map(str::to_owned),
                asset: asset.map(Utf8PathBuf::from),
                entry_points: entry_points.iter().map(ToString::to_string).collect(),
                is_inline,
            };
            assert_eq!(hints[id], expected, "{id}");
        }
    }

    #[test]
    fn a_stack_is_known_by_its_name_and_by_its_arn() {
        assert_eq!(
            name_of("arn:aws:cloudformation:eu-west-1:123456789012:stack/orders-Nested-1A/0b1c"),
            "orders-Nested-1A"
        );
        assert_eq!(name_of("orders"), "orders");
    }
}

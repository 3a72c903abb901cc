//! The stubs of somebody else: functions that do not run here, but for which another `sst start` answers now. They are deployed as they
//! are, whoever deploys.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use serde_json::{Map, Value};

use crate::{
    app::assembly::{Assembly, environments, type_of},
    aws::{Aws, explain, stack_is_missing},
    ids::FunctionId,
    project::{SERVES_DEPLOYMENT, manifest::Manifest},
};

/// Functions for which somebody else answers.
pub type Kept = BTreeMap<FunctionId, KeptStub>;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptStub {
    /// Who answers for it, e.g. `alice@laptop`.
    pub owner: String,
    /// Where it is deployed.
    pub place: DeployedPlace,
    /// The resource, if it is deployed as a stub; it may be about to be.
    pub deployed: Option<Map<String, Value>>,
}

/// A resource of a deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedPlace {
    /// The stack's name.
    pub stack: String,
    /// The logical ids of the nested stacks that lead to it, each with a slash behind.
    pub path: String,
    /// Its own.
    pub logical_id: String,
}

/// Finds those that somebody else answers for, as `served` says, among the functions that do not run here. What is deployed of them is
/// not known yet.
#[must_use]
pub fn kept(assembly: &Assembly, manifest: &Manifest, served: &BTreeMap<FunctionId, String>) -> Kept {
    let mut kept = Kept::new();
    for (index, template) in assembly.templates.iter().enumerate() {
        for (logical_id, resource) in template.resources() {
            let id = FunctionId::from(assembly.function_id(index, logical_id));
            // During a deployment nobody would answer.
            let elsewhere = |id: &FunctionId| {
                let mut left_alone = manifest.left_alone.iter();
                left_alone.any(|function| function.id == *id && function.reason != SERVES_DEPLOYMENT)
            };
            if type_of(resource) == "AWS::Lambda::Function"
                && let Some(owner) = served.get(&id)
                && elsewhere(&id)
            {
                let place = DeployedPlace {
                    stack: assembly.stacks[template.stack].name.clone(),
                    path: assembly.path_of(index),
                    logical_id: logical_id.clone(),
                };
                kept.insert(id, KeptStub { owner: owner.clone(), place, deployed: None });
            }
        }
    }
    kept
}

/// Reads what is deployed of them.
///
/// # Errors
/// A fragment that says why that is not known.
pub async fn read_deployed(aws: &Aws, kept: &mut Kept) -> Result<(), String> {
    let client = aws.cloudformation();
    let mut templates: BTreeMap<(String, String), Value> = BTreeMap::new();
    for stub in kept.values_mut() {
        let DeployedPlace { stack, path, logical_id } = &stub.place;
        let key = (stack.clone(), path.clone());
        let template = match templates.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(template(&client, stack, path).await?.unwrap_or_default())
            }
        };
        let resource = template.get("Resources").and_then(|resources| resources.get(logical_id));
        stub.deployed = resource.filter(|resource| is_stub(resource)).and_then(Value::as_object).cloned();
    }
    Ok(())
}

/// Whether a function is deployed as a stub.
#[must_use]
pub(in crate::app) fn is_stub(resource: &Value) -> bool {
    environments(resource)
        .is_some_and(|all| all.iter().any(|one| one.contains_key(sst_wire::CONFIG_VARIABLE)))
}

/// A deployed template; none when there is no such stack, or it was not written in JSON, as the CDK does.
async fn template(client: &Client, stack: &str, path: &str) -> Result<Option<Value>, String> {
    let mut stack = stack.to_owned();
    for nested in path.split_terminator('/') {
        match nested_stack(client, &stack, nested).await? {
            Some(found) => stack = found,
            None => return Ok(None),
        }
    }
    match client.get_template().stack_name(&stack).send().await {
        Ok(found) => Ok(serde_json::from_str(found.template_body().unwrap_or_default()).ok()),
        Err(error) if stack_is_missing(&error) => Ok(None),
        Err(error) => Err(format!("the template of `{stack}` is not known: {}", explain(&error))),
    }
}

/// The id of a stack that another one nests.
async fn nested_stack(client: &Client, stack: &str, logical_id: &str) -> Result<Option<String>, String> {
    let mut pages = client.list_stack_resources().stack_name(stack).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) if stack_is_missing(&error) => return Ok(None),
            Err(error) => {
                return Err(format!("the resources of `{stack}` are not known: {}", explain(&error)));
            }
        };
        let found = page
            .stack_resource_summaries()
            .iter()
            .find(|resource| resource.logical_resource_id() == Some(logical_id));
        if let Some(found) = found {
            return Ok(found.physical_resource_id().map(str::to_owned));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::{Router, http::StatusCode, routing::post};

    use super::*;
    use crate::aws;

    /// CloudFormation with a stack `app`, in which `Inner` nests `inner-1`. Each has a stub and another function.
    async fn answer(form: String) -> (StatusCode, String) {
        let known = ["app", "inner-1"];
        let form: HashMap<&str, &str> = form.split('&').filter_map(|field| field.split_once('=')).collect();
        let (stack, action) = (form.get("StackName").copied().unwrap_or_default(), form["Action"]);
        let body = match action {
            "GetCallerIdentity" => {
                "<Arn>arn:aws:iam::000000000000:user/a</Arn><Account>000000000000</Account>".to_owned()
            }
            _ if !known.contains(&stack) => {
                let message = format!("Stack with id {stack} does not exist");
                let error =
                    format!("<Error><Code>ValidationError</Code><Message>{message}</Message></Error>");
                let answer = format!("<ErrorResponse>{error}</ErrorResponse>");
                return (StatusCode::BAD_REQUEST, answer);
            }
            "ListStackResources" => {
                "<StackResourceSummaries><member><LogicalResourceId>Inner</LogicalResourceId>\
                <PhysicalResourceId>inner-1</PhysicalResourceId></member></StackResourceSummaries>"
                    .to_owned()
            }
            "GetTemplate" => {
                let stub = serde_json::json!({ "Properties": { "Environment": { "Variables": { "SST_STUB": stack } } } });
                let other = serde_json::json!({ "Properties": { "Environment": { "Variables": {} } } });
                let template = serde_json::json!({ "Resources": { "Stub": stub, "Own": other } });
                format!("<TemplateBody>{template}</TemplateBody>")
            }
            other => panic!("{other}"),
        };
        let answer = format!("<{action}Response><{action}Result>{body}</{action}Result></{action}Response>");
        (StatusCode::OK, answer)
    }

    #[tokio::test]
    async fn what_is_deployed_is_found_in_nested_stacks_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
        let options = aws::Options { endpoint, local: true, ..aws::Options::default() };
        let aws = Aws::connect(options).await.unwrap();
        let mut kept = Kept::new();
        let places = [
            ("app", "", "Stub", Some("app")),
            ("app", "", "Own", None),
            ("app", "", "Gone", None),
            ("app", "Inner/", "Stub", Some("inner-1")),
            ("app", "Other/", "Stub", None),
            ("none", "", "Stub", None),
            ("none", "Inner/", "Stub", None),
        ];
        for (stack, path, logical_id, _) in places {
            let [stack, path, logical_id] = [stack, path, logical_id].map(str::to_owned);
            let id = FunctionId::from(format!("{stack}/{path}{logical_id}"));
            let place = DeployedPlace { stack, path, logical_id };
            kept.insert(id, KeptStub { owner: "alice@laptop".into(), place, deployed: None });
        }
        read_deployed(&aws, &mut kept).await.unwrap();
        for (stack, path, logical_id, expected) in places {
            let stub = &kept[&FunctionId::from(format!("{stack}/{path}{logical_id}"))];
            let config = stub.deployed.as_ref().map(|deployed| {
                deployed["Properties"]["Environment"]["Variables"]["SST_STUB"].as_str().unwrap()
            });
            assert_eq!(config, expected, "{stack}/{path}{logical_id}");
        }
    }
}

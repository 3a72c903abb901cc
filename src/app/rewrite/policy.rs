//! What the role of a stub has to be allowed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::debug_stack::DebugStack;

use super::super::discover::owned_role;
use super::Rewriting;

/// The policy of a stub, for a role that the app does not own. `account` is a number or `${AWS::AccountId}`.
#[must_use]
pub fn stub_policy(debug_stack: &DebugStack, region: &str, account: &str) -> Value {
    let partition = debug_stack.table_arn.split(':').nth(1).filter(|partition| !partition.is_empty());
    document(debug_stack, partition.unwrap_or("aws"), region, account, Value::from)
}

/// The same within a template.
fn stub_policy_in_template(debug_stack: &DebugStack, region: &str) -> Value {
    document(debug_stack, "${AWS::Partition}", region, "${AWS::AccountId}", |text| json!({ "Fn::Sub": text }))
}

/// The region is that of the debug stack, which is not always the function's.
fn document(
    debug: &DebugStack,
    partition: &str,
    region: &str,
    account: &str,
    resource: impl Fn(String) -> Value,
) -> Value {
    let api = format!("arn:{partition}:execute-api:{region}:{account}:{}/{}", debug.api_id, debug.api_stage);
    let statement = |actions: Value, resources: Vec<String>| {
        let resources: Vec<Value> = resources.into_iter().map(&resource).collect();
        json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [
            statement(json!(["execute-api:Invoke"]), vec![format!("{api}/$connect")]),
            // What is checked ends in the id of the connection.
            statement(json!(["execute-api:ManageConnections"]), vec![format!("{api}/POST/@connections/*")]),
            statement(
                json!(["dynamodb:GetItem"]),
                vec![format!("arn:{partition}:dynamodb:{region}:{account}:table/{}", debug.table)],
            ),
            statement(
                json!(["s3:GetObject", "s3:PutObject"]),
                vec![format!("arn:{partition}:s3:::{}/payloads/*", debug.bucket)],
            ),
        ],
    })
}

impl Rewriting<'_> {
    /// Adds one policy per template with the roles of its stubs; more where roles exist under different conditions.
    pub(super) fn policies(&mut self) {
        let mut roles: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
        for place in self.live.keys() {
            let Some(function) = self.assembly.at(place) else { continue };
            let Some(role) = owned_role(self.assembly, place.0, function) else { continue };
            let condition = self.assembly.at(&role).and_then(|role| role.get("Condition")?.as_str());
            let group = roles.entry((role.0, condition.unwrap_or_default().to_owned())).or_default();
            if !group.contains(&role.1) {
                group.push(role.1);
            }
        }
        for ((template, condition), roles) in roles {
            let references: Vec<Value> = roles.iter().map(|role| json!({ "Ref": role })).collect();
            let mut resource = json!({
                "Type": "AWS::IAM::Policy",
                "Properties": {
                    "PolicyName": "sst-stub",
                    "PolicyDocument": stub_policy_in_template(self.options.debug_stack, self.options.region),
                    "Roles": references,
                },
            });
            if !condition.is_empty() {
                resource["Condition"] = json!(condition);
            }
            self.add_resource(template, &format!("SstStubPolicy{condition}"), resource);
        }
    }
}

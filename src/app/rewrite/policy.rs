//! What the role of a stub has to be allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Place, Rewriting, ids::logical_id};
use crate::{
    app::assembly::{branches, change_branches, json_size, names_in, owned_role},
    debug_stack::DebugStack,
};

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

/// The most bytes of all inline policies of a role.
const INLINE_POLICIES: usize = 10_240;

/// How many managed policies a role can have, unless its account has asked for more.
const MANAGED_POLICIES: usize = 10;

/// The roles of one template that get the stub's permissions by a policy of their own.
#[derive(Default)]
struct Roles {
    /// By logical id.
    ids: BTreeSet<String>,
    /// What must not be deployed before they have them, by logical id: stubs, and nested stacks with stubs in them.
    users: BTreeMap<String, BTreeSet<String>>,
}

impl Rewriting<'_> {
    /// Gives the roles of stubs the policy of the debug stack. It comes with the role, and so before the stubs, and everything that refers to
    /// them and sends them events, which is everything that does.
    ///
    /// Roles that cannot have it share a policy in their template; there are more where roles exist under different conditions. Stubs are made
    /// to depend on it.
    ///
    /// A role that needs a stub itself, e.g. to be allowed to call it, gets a policy of its own: together with the role of that stub it
    /// would close a circle. By itself it cannot, because its own functions refer to it anyway.
    pub(super) fn policies(&mut self) {
        let mut templates: BTreeMap<usize, Roles> = BTreeMap::new();
        let mut managed = BTreeSet::new();
        for place in self.live.keys() {
            let Some(function) = self.assembly.at(place) else { continue };
            let Some((template, role)) = owned_role(self.assembly, place.0, function) else { continue };
            if self.can_have_managed(&(template, role.clone())) {
                managed.insert((template, role));
                continue;
            }
            let roles = templates.entry(template).or_default();
            if let Some(user) = self.within(place, template) {
                roles.users.entry(role.clone()).or_default().insert(user);
            }
            roles.ids.insert(role);
        }
        for role in managed {
            self.attach_managed(&role);
        }
        for (template, roles) in templates {
            self.policies_of(template, &roles);
        }
    }

    /// Whether a role can be given the policy of the debug stack: there is one, and the role has room, in whichever way its template chooses
    /// those that it has.
    fn can_have_managed(&self, role: &Place) -> bool {
        let Some(arn) = &self.options.debug_stack.stub_policy else { return false };
        let attached_elsewhere =
            self.resources_of_type("AWS::IAM::ManagedPolicy").into_iter().filter(|policy| {
                let roles = self.original(policy, "Roles").and_then(Value::as_array).into_iter().flatten();
                roles.into_iter().any(|one| self.assembly.resolve(policy.0, one).as_ref() == Some(role))
            });
        let room = MANAGED_POLICIES.saturating_sub(attached_elsewhere.count());
        let Some(listed) = self.original(role, "ManagedPolicyArns") else { return room > 0 };
        let fits = |listed: &Value| match listed {
            Value::Null => room > 0,
            Value::Array(listed) => listed.len() < room || listed.iter().any(|one| one == arn),
            _ => false,
        };
        branches(listed).is_some_and(|all| all.into_iter().all(fits))
    }

    /// Whether the role of a function has room for what its stub may do, in one way or the other; why not.
    pub(super) fn room_in_role(&self, template: usize, function: &Value) -> Result<(), String> {
        let Some(role) = owned_role(self.assembly, template, function) else { return Ok(()) };
        if self.can_have_managed(&role) {
            return Ok(());
        }
        let document = |index: usize, policy: &Value| {
            policy.get("PolicyDocument").map_or(0, |document| json_size(self.assembly, index, document))
        };
        let listed = self.original(&role, "Policies").and_then(Value::as_array).into_iter().flatten();
        let mut own: usize = listed.map(|policy| document(role.0, policy)).sum();
        for policy in self.resources_of_type("AWS::IAM::Policy") {
            let roles = self.original(&policy, "Roles").and_then(Value::as_array).into_iter().flatten();
            let is_its = |one: &Value| self.assembly.resolve(policy.0, one).as_ref() == Some(&role);
            if roles.into_iter().any(is_its) {
                let properties = self.assembly.at(&policy).and_then(|policy| policy.get("Properties"));
                own += properties.map_or(0, |properties| document(policy.0, properties));
            }
        }
        let stub = stub_policy(self.options.debug_stack, self.options.region, &self.assembly.account);
        let stub = stub.to_string().len();
        if own + stub <= INLINE_POLICIES {
            return Ok(());
        }
        Err(format!(
            "its role has no room for what its stub needs: it has {MANAGED_POLICIES} managed policies, or a list of them that only the \
             deployment knows, and its inline policies take about {own} of the {INLINE_POLICIES} bytes that IAM allows, of which the \
             stub needs {stub}"
        ))
    }

    fn attach_managed(&mut self, role: &Place) {
        let Some(arn) = self.options.debug_stack.stub_policy.clone() else { return };
        let Some(properties) = self.properties_mut(role) else { return };
        let listed = properties.entry("ManagedPolicyArns").or_insert(Value::Null);
        change_branches(listed, &mut |listed| match listed {
            Value::Array(listed) if listed.iter().any(|one| *one == arn) => {}
            Value::Array(listed) => listed.push(Value::from(arn.as_str())),
            other => *other = json!([arn]),
        });
    }

    fn policies_of(&mut self, template: usize, roles: &Roles) {
        let users: BTreeSet<&str> = roles.users.values().flatten().map(String::as_str).collect();
        let needs = needs(&self.bodies[template]);
        let (own, shared): (Vec<&String>, Vec<&String>) =
            roles.ids.iter().partition(|id| reaches(&needs, id, &users));
        let mut together: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for id in shared {
            together.entry(self.condition(template, id).to_owned()).or_default().push(id);
        }
        // By their own names, because what is taken from a shared policy is taken by its name, after the new one has been added.
        let own = own.into_iter().map(|id| (id.clone(), "sst-stub-own", vec![id]));
        let together = together.into_iter().map(|(condition, ids)| (condition, "sst-stub", ids));
        for (suffix, name, ids) in own.chain(together) {
            let policy = self.policy(name, self.condition(template, ids[0]), &ids);
            let policy = self.add_resource(template, &logical_id("SstStubPolicy", &suffix), policy);
            for user in ids.iter().filter_map(|id| roles.users.get(*id)).flatten() {
                if let Some(resource) = self.resource_mut(&(template, user.clone())) {
                    depend(resource, &policy);
                }
            }
        }
    }

    /// That of a role; empty when it has none.
    fn condition(&self, template: usize, role: &str) -> &'_ str {
        let role = self.assembly.templates[template].resource(role);
        role.and_then(|role| role.get("Condition")?.as_str()).unwrap_or_default()
    }

    fn policy(&self, name: &str, condition: &str, roles: &[&String]) -> Value {
        let references: Vec<Value> = roles.iter().map(|role| json!({ "Ref": role })).collect();
        let mut resource = json!({
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": name,
                "PolicyDocument": stub_policy_in_template(self.options.debug_stack, self.options.region),
                "Roles": references,
            },
        });
        if !condition.is_empty() {
            resource["Condition"] = json!(condition);
        }
        resource
    }

    /// What stands for a resource in a template: itself, or the nested stack that it is in. None in a template that is not around it; what
    /// such a one has comes to it by an output or an export, and so before it.
    fn within(&self, (index, id): &Place, template: usize) -> Option<String> {
        if *index == template {
            return Some(id.clone());
        }
        let (parent, nesting) = self.assembly.templates[*index].parent.as_ref()?;
        self.within(&(*parent, nesting.clone()), template)
    }
}

/// Adds to what a resource depends on, which may be one name or several.
fn depend(resource: &mut Map<String, Value>, on: &str) {
    let names = resource.entry("DependsOn").or_insert_with(|| json!([]));
    if names.is_string() {
        *names = json!([names]);
    }
    match names {
        Value::Array(names) if names.iter().any(|name| name == on) => {}
        Value::Array(names) => names.push(Value::from(on)),
        other => *other = json!([on]),
    }
}

/// What each resource of a template needs to be there before it.
fn needs(body: &Value) -> BTreeMap<&str, BTreeSet<String>> {
    let resources = body.get("Resources").and_then(Value::as_object).into_iter().flatten();
    resources
        .map(|(id, resource)| {
            let mut names = BTreeSet::new();
            for (key, value) in resource.as_object().into_iter().flatten() {
                match (key.as_str(), value) {
                    ("Metadata", _) => {}
                    ("DependsOn", Value::String(name)) => names.extend([name.clone()]),
                    ("DependsOn", Value::Array(all)) => {
                        names.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => names_in(value, &mut |name| names.extend([name.to_owned()])),
                }
            }
            (id.as_str(), names)
        })
        .collect()
}

/// Whether a resource needs any of `wanted`, directly or through others.
fn reaches(needs: &BTreeMap<&str, BTreeSet<String>>, from: &str, wanted: &BTreeSet<&str>) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(id) = open.pop() {
        for need in needs.get(id).into_iter().flatten() {
            if wanted.contains(need.as_str()) {
                return true;
            }
            if seen.insert(need.as_str()) {
                open.push(need);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_resource_depends_on_already_stays() {
        for (before, after) in [
            (json!({}), json!(["P"])),
            (json!({ "DependsOn": "A" }), json!(["A", "P"])),
            (json!({ "DependsOn": ["A", "B"] }), json!(["A", "B", "P"])),
            (json!({ "DependsOn": ["P", "B"] }), json!(["P", "B"])),
            (json!({ "DependsOn": "P" }), json!(["P"])),
            (json!({ "DependsOn": null }), json!(["P"])),
        ] {
            let mut resource = before.as_object().cloned().unwrap_or_default();
            depend(&mut resource, "P");
            assert_eq!(resource["DependsOn"], after, "{before}");
        }
    }

    #[test]
    fn a_need_is_found_however_it_is_written() {
        let function = json!({ "Type": "AWS::Lambda::Function" });
        for (role, expected) in [
            (json!({ "Properties": { "A": [{ "Ref": "F" }] } }), true),
            (json!({ "Properties": { "A": { "Fn::If": ["C", { "Fn::GetAtt": ["F", "Arn"] }, ""] } } }), true),
            (json!({ "Properties": { "A": { "Fn::GetAtt": "F.Arn" } } }), true),
            (json!({ "Properties": { "A": { "Fn::Sub": "${F.Arn}:*" } } }), true),
            (json!({ "DependsOn": "F" }), true),
            (json!({ "DependsOn": ["A", "F"] }), true),
            (json!({ "DependsOn": ["Between"] }), true),
            (json!({ "Metadata": { "Ref": "F" }, "Properties": { "F": "F" } }), false),
            (json!({ "DependsOn": ["Circle"] }), false),
        ] {
            let between = json!({ "DependsOn": "F" });
            let circle = json!({ "DependsOn": ["R"] });
            let body =
                json!({ "Resources": { "F": function, "R": role, "Between": between, "Circle": circle } });
            assert_eq!(reaches(&needs(&body), "R", &["F"].into()), expected, "{role}");
        }
    }

    #[test]
    fn what_a_template_says_comes_to_the_same_policy() {
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            let stack = DebugStack {
                endpoint: String::new(),
                management: String::new(),
                api_id: "api".into(),
                api_stage: "live".into(),
                table: "table".into(),
                table_arn: format!("arn:{partition}:dynamodb:eu-west-1:1234:table/table"),
                bucket: "bucket".into(),
                stub_policy: None,
                answers: crate::debug_stack::Answers::Mock,
            };
            let mut within = stub_policy_in_template(&stack, "eu-west-1");
            for statement in within["Statement"].as_array_mut().unwrap() {
                for resource in statement["Resource"].as_array_mut().unwrap() {
                    let text = resource["Fn::Sub"].as_str().unwrap();
                    let text =
                        text.replace("${AWS::Partition}", partition).replace("${AWS::AccountId}", "1234");
                    *resource = Value::from(text);
                }
            }
            assert_eq!(within, stub_policy(&stack, "eu-west-1", "1234"));
        }
    }
}

//! Versions and aliases, which would go on serving the code that was published before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sst_wire::sha256_hex;

use super::{Place, Rewriting, ids::logical_id};
use crate::app::assembly::{names_in, rename, type_of};

/// Properties of a function that its versions do not have. With nothing else changed Lambda refuses to publish another one. They are those
/// that the CDK leaves out of its own hash.
const UNVERSIONED: [&str; 4] =
    ["CodeSigningConfigArn", "ReservedConcurrentExecutions", "Tags", "TenancyConfig"];

impl Rewriting<'_> {
    /// Has every version of a live function published anew, from the stub, and leads all traffic of its aliases there.
    ///
    /// CloudFormation publishes a version when its resource is new, so the resource gets another logical id: one that
    /// changes with the stub's properties and not, as CDK's does, with the code on disk.
    pub(super) fn versions(&mut self) {
        self.aliases();
        self.scaling();
        let mut renamed: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for version in self.resources_of_type("AWS::Lambda::Version") {
            let Some(function) = self.live_function_of(&version, "FunctionName") else {
                continue;
            };
            let mut properties = self.properties_mut(&function).cloned().unwrap_or_default();
            properties.retain(|name, _| !UNVERSIONED.contains(&name.as_str()));
            let hash = sha256_hex(Value::from(properties).to_string().as_bytes());
            let id = logical_id(&function.1, &format!("SstVersion{}", &hash[..8]));
            renamed.entry(version.0).or_default().insert(version.1.clone(), id);
            if let Some(properties) = self.properties_mut(&version) {
                for name in ["ProvisionedConcurrencyConfig", "CodeSha256", "RuntimePolicy"] {
                    properties.shift_remove(name);
                }
            }
        }
        for (template, renamed) in renamed {
            self.rename_in(template, &renamed);
        }
    }

    /// Renames resources and all references to them. Of several that get the same name the first stays: Lambda refuses to
    /// publish the same code twice.
    fn rename_in(&mut self, template: usize, renamed: &BTreeMap<String, String>) {
        rename(&mut self.bodies[template], renamed);
        if let Some(resources) = self.bodies[template].get_mut("Resources").and_then(Value::as_object_mut) {
            for (id, resource) in std::mem::take(resources) {
                let id = renamed.get(&id).cloned().unwrap_or(id);
                resources.entry(id).or_insert(resource);
            }
        }
    }

    fn aliases(&mut self) {
        for alias in self.resources_of_type("AWS::Lambda::Alias") {
            let Some(function) = self.live_function_of(&alias, "FunctionName") else {
                continue;
            };
            let published = (self.original(&alias, "FunctionVersion"))
                .and_then(|version| self.assembly.resolve(alias.0, version))
                .is_some_and(|version| {
                    self.assembly
                        .at(&version)
                        .is_some_and(|version| type_of(version) == "AWS::Lambda::Version")
                });
            let Some(properties) = self.properties_mut(&alias) else {
                continue;
            };
            properties.shift_remove("ProvisionedConcurrencyConfig");
            let split = properties.shift_remove("RoutingConfig").is_some();
            // A version that the app names by its number was published from the function's own code.
            if !published {
                properties.insert("FunctionVersion".into(), json!("$LATEST"));
            }
            if split && self.kept(&function).is_none() {
                self.notices.push(format!(
                    "an alias of `{}` sends all its traffic to the stub",
                    self.name_of(&function)
                ));
            }
            let Some(resource) = self.resource_mut(&alias) else { continue };
            let policy = resource.get_mut("UpdatePolicy").and_then(Value::as_object_mut);
            // Each start would wait for the traffic to be shifted, which takes minutes.
            let empty = policy.is_some_and(|policy| {
                policy.shift_remove("CodeDeployLambdaAliasUpdate");
                policy.is_empty()
            });
            if empty {
                resource.shift_remove("UpdatePolicy");
            }
        }
    }

    /// Removes automatic scaling of provisioned concurrency, since nothing is provisioned.
    fn scaling(&mut self) {
        let mut removed: BTreeSet<Place> = self
            .resources_of_type("AWS::ApplicationAutoScaling::ScalableTarget")
            .into_iter()
            .filter(|target| {
                let dimension = self.original(target, "ScalableDimension");
                dimension.and_then(Value::as_str) == Some("lambda:function:ProvisionedConcurrency")
            })
            .filter(|target| {
                let mut of_live = false;
                names_in(self.original(target, "ResourceId").unwrap_or(&Value::Null), &mut |name| {
                    let function = self.assembly.function_behind(target.0, &json!({ "Ref": name }));
                    of_live |= function.is_some_and(|function| self.live.contains_key(&function));
                });
                of_live
            })
            .collect();
        for policy in self.resources_of_type("AWS::ApplicationAutoScaling::ScalingPolicy") {
            let target = self
                .original(&policy, "ScalingTargetId")
                .and_then(|target| self.assembly.resolve(policy.0, target));
            if target.is_some_and(|target| removed.contains(&target)) {
                removed.insert(policy);
            }
        }
        for place in &removed {
            self.remove(place);
        }
    }

    /// Removes a resource, what depends on it only by `DependsOn`, and outputs that name it.
    fn remove(&mut self, (template, id): &Place) {
        let body = &mut self.bodies[*template];
        if let Some(resources) = body.get_mut("Resources").and_then(Value::as_object_mut) {
            resources.shift_remove(id);
            for resource in resources.values_mut() {
                if let Some(Value::Array(names)) = resource.get_mut("DependsOn") {
                    names.retain(|name| name.as_str() != Some(id.as_str()));
                } else if resource.get("DependsOn").and_then(Value::as_str) == Some(id.as_str())
                    && let Some(resource) = resource.as_object_mut()
                {
                    resource.shift_remove("DependsOn");
                }
            }
        }
        if let Some(outputs) = body.get_mut("Outputs").and_then(Value::as_object_mut) {
            outputs.retain(|_, output| {
                let mut named = false;
                names_in(output, &mut |name| named |= name == id);
                !named
            });
        }
    }
}

//! Putting stubs in the place of functions: a copy of the cloud assembly in which every live function is a stub, and nothing
//! else differs.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use sst_wire::StubConfig;

use crate::{
    debug_stack::DebugStack,
    error::Result,
    ids::FunctionId,
    project::manifest::{FunctionSpec, LeftAlone, Manifest},
    stub_package::Stubs,
};

use super::assembly::{
    Assembly, Bootstrap, ENVIRONMENT_LIMIT, LONGEST_TIMEOUT_S, Place, StackOptions, environment_size,
    environments, no_room, owned_role, property, type_of,
};

mod events;
mod files;
mod function;
mod ids;
mod kept;
mod limits;
mod policy;
mod runtimes;
mod versions;

pub(crate) use self::function::{stub_variables, text_logging};
pub(super) use self::kept::is_stub;
pub use self::{
    kept::{DeployedPlace, Kept, KeptStub, kept, read_deployed},
    policy::stub_policy,
};

/// How to rewrite.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Where the stubs connect to.
    pub debug_stack: &'a DebugStack,
    /// The region of the debug stack.
    pub region: &'a str,
    /// Gives every function 900 s, and the queues in front of them as long a visibility timeout.
    pub increase_timeout: bool,
    /// Their code; the paths are absolute.
    pub stubs: &'a Stubs,
    /// The stubs that stay as they are.
    pub kept: &'a Kept,
    /// The day on which AWS creates functions on some runtimes, and on others no more.
    pub today: jiff::civil::Date,
}

/// A rewritten assembly.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The directory that it was written to.
    pub directory: Utf8PathBuf,
    /// Its stacks.
    pub stacks: Vec<DeployedStack>,
    /// Their templates.
    pub templates: Vec<DeployedTemplate>,
    /// The manifest, less the functions that turned out to have no room for what their stubs need.
    pub manifest: Manifest,
    /// What the user should know, one fragment each.
    pub notices: Vec<String>,
    /// The functions whose own code must be deployed but was not built: the synthesis has to be repeated with them.
    pub unbuilt: Vec<String>,
    /// The bootstrap buckets that its assets are published to: `(account, region, bucket)`.
    pub asset_buckets: BTreeSet<(String, String, String)>,
}

/// A template of a rewritten assembly.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployedTemplate {
    /// The name of the stack that it belongs to.
    pub stack: String,
    /// The logical ids of the nested stacks that lead to it, each with a slash behind; empty for the stack's own.
    pub path: String,
    /// The template.
    pub body: Value,
}

/// A stack of a rewritten assembly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedStack {
    /// The CloudFormation stack's name.
    pub name: String,
    /// Where it is deployed.
    pub account: String,
    /// See `account`.
    pub region: String,
    /// The bootstrap that it needs there; none where it needs none.
    pub bootstrap: Option<Bootstrap>,
    /// The file of its template.
    pub template: Utf8PathBuf,
    /// What it is deployed with.
    pub options: StackOptions,
}

/// Writes a copy of `assembly` to `directory`, which is emptied first, with stubs in the place of the manifest's functions.
///
/// # Errors
/// [`crate::error::Kind::Synthesis`] when the assembly is damaged, [`crate::error::Kind::Deployment`] when a template is larger than
/// CloudFormation takes, [`crate::error::Kind::Environment`] when the copy cannot be written.
pub fn rewrite(
    assembly: &Assembly,
    manifest: &Manifest,
    options: &Options<'_>,
    directory: &Utf8Path,
) -> Result<Rewritten> {
    let mut rewriting = Rewriting::new(assembly, manifest, options);
    rewriting.functions();
    rewriting.queues_and_streams();
    rewriting.retries();
    rewriting.versions();
    rewriting.policies();
    rewriting.notice_imported_roles();
    rewriting.refused_runtimes();
    limits::check(&rewriting)?;
    if !assembly.missing.is_empty() {
        rewriting.notices.push(format!(
            "the app is deployed with dummies for what it could not look up in its account: {}",
            assembly.missing.join(", ")
        ));
    }
    let asset_buckets = files::write(&rewriting, directory)?;
    let templates = (rewriting.bodies.iter().enumerate())
        .map(|(index, body)| DeployedTemplate {
            stack: assembly.stacks[assembly.templates[index].stack].name.clone(),
            path: assembly.path_of(index),
            body: body.clone(),
        })
        .collect();
    let stacks = (assembly.stacks.iter().enumerate())
        .map(|(index, stack)| DeployedStack {
            name: stack.name.clone(),
            account: assembly.account_of(index).to_owned(),
            region: assembly.region_of(index).to_owned(),
            bootstrap: stack.bootstrap.clone(),
            template: directory.join(&stack.directory).join(assembly.own_template(index)),
            options: stack.options.clone(),
        })
        .collect();
    Ok(Rewritten {
        directory: directory.to_owned(),
        stacks,
        templates,
        unbuilt: rewriting.unbuilt(),
        manifest: rewriting.manifest,
        notices: rewriting.notices,
        asset_buckets,
    })
}

/// A rewriting in progress. `assembly` stays what the app wrote, so that expressions can be followed in it; `bodies` become
/// what is deployed.
struct Rewriting<'a> {
    assembly: &'a Assembly,
    options: &'a Options<'a>,
    manifest: Manifest,
    /// The new templates, by the indices of the old ones.
    bodies: Vec<Value>,
    /// The functions that become stubs, or stay stubs, by their ids.
    live: BTreeMap<Place, FunctionId>,
    /// The functions that read from queues, and the longest timeout that these allow as the app has them. None for those whose own
    /// timeout must stay.
    longest_timeouts: BTreeMap<Place, Option<u64>>,
    notices: Vec<String>,
}

impl<'a> Rewriting<'a> {
    fn new(assembly: &'a Assembly, manifest: &Manifest, options: &'a Options<'a>) -> Self {
        let mut rewriting = Self {
            assembly,
            options,
            manifest: Manifest { functions: Vec::new(), ..manifest.clone() },
            bodies: assembly.templates.iter().map(|template| template.body.clone()).collect(),
            live: BTreeMap::new(),
            longest_timeouts: BTreeMap::new(),
            notices: Vec::new(),
        };
        let wanted: BTreeMap<&str, &FunctionSpec> =
            manifest.functions.iter().map(|function| (function.id.as_str(), function)).collect();
        for (index, template) in assembly.templates.iter().enumerate() {
            for (logical_id, resource) in template.resources() {
                if type_of(resource) != "AWS::Lambda::Function" {
                    continue;
                }
                let id = FunctionId::from(assembly.function_id(index, logical_id));
                if let Some(function) = wanted.get(id.as_str()) {
                    match rewriting
                        .room(index, resource, &id)
                        .and_then(|()| rewriting.room_in_role(index, resource))
                    {
                        Ok(()) => {
                            rewriting.manifest.functions.push((*function).clone());
                            rewriting.live.insert((index, logical_id.clone()), id);
                        }
                        Err(reason) => {
                            rewriting.manifest.left_alone.push(LeftAlone { id, reason });
                        }
                    }
                } else if options.kept.contains_key(&id)
                    && rewriting.room(index, resource, &id).is_ok()
                    && rewriting.room_in_role(index, resource).is_ok()
                {
                    rewriting.live.insert((index, logical_id.clone()), id);
                }
            }
        }
        rewriting.find_longest_timeouts();
        rewriting
    }

    /// Whether a function's variables leave room for the settings of its stub; why not.
    fn room(&self, template: usize, resource: &Value, id: &FunctionId) -> Result<(), String> {
        let environments = environments(resource).unwrap_or_default();
        let own = environment_size(self.assembly, template, &environments);
        let mut with_stub = environments;
        for variables in &mut with_stub {
            let config = self.stub_config(id.as_str(), Some(LONGEST_TIMEOUT_S));
            variables.insert(sst_wire::CONFIG_VARIABLE.to_owned(), Value::from(config));
        }
        let all = environment_size(self.assembly, template, &with_stub);
        if all > ENVIRONMENT_LIMIT {
            return Err(no_room(own, all - own));
        }
        Ok(())
    }

    /// The settings of a function's stub, as the text of its environment variable. `timeout_s` is the function's own, where the stub has
    /// a longer one.
    fn stub_config(&self, function: &str, timeout_s: Option<u64>) -> String {
        let debug = self.options.debug_stack;
        let config = StubConfig {
            v: sst_wire::VERSION,
            function: function.to_owned(),
            stage: self.assembly.stage.clone(),
            endpoint: debug.endpoint.clone(),
            management: debug.management.clone(),
            table: debug.table.clone(),
            bucket: debug.bucket.clone(),
            region: self.options.region.to_owned(),
            timeout_s,
            attached: false,
        };
        serde_json::to_string(&config).unwrap_or_default()
    }

    /// The new form of a resource.
    fn resource_mut(&mut self, place: &Place) -> Option<&mut Map<String, Value>> {
        self.bodies.get_mut(place.0)?.get_mut("Resources")?.get_mut(&place.1)?.as_object_mut()
    }

    /// The properties of the new form of a resource, created where it has none.
    fn properties_mut(&mut self, place: &Place) -> Option<&mut Map<String, Value>> {
        self.resource_mut(place)?
            .entry("Properties")
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut()
    }

    /// Adds a resource under a logical id that is not taken, which is returned.
    fn add_resource(&mut self, template: usize, wanted_id: &str, resource: Value) -> String {
        let mut id = wanted_id.to_owned();
        if let Some(resources) = self.bodies[template].get_mut("Resources").and_then(Value::as_object_mut) {
            while resources.contains_key(&id) {
                id.push('X');
            }
            resources.insert(id.clone(), resource);
        }
        id
    }

    /// The places of all resources of a type, as the app wrote them.
    fn resources_of_type(&self, wanted: &str) -> Vec<Place> {
        let mut places = Vec::new();
        for (index, template) in self.assembly.templates.iter().enumerate() {
            for (id, resource) in template.resources() {
                if type_of(resource) == wanted {
                    places.push((index, id.clone()));
                }
            }
        }
        places
    }

    /// A property of a resource as the app wrote it.
    fn original(&self, place: &Place, name: &str) -> Option<&'a Value> {
        property(self.assembly.at(place)?, name)
    }

    /// The live function that a property of a resource names, directly or by a version or an alias.
    fn live_function_of(&self, place: &Place, name: &str) -> Option<Place> {
        let function = self.assembly.function_behind(place.0, self.original(place, name)?)?;
        self.live.contains_key(&function).then_some(function)
    }

    fn name_of<'b>(&'b self, function: &'b Place) -> &'b str {
        self.live.get(function).map_or(function.1.as_str(), FunctionId::as_str)
    }

    /// What is known of a stub that stays as it is, because somebody else answers for it.
    fn kept(&self, function: &Place) -> Option<&'a KeptStub> {
        self.options.kept.get(self.live.get(function)?)
    }

    /// Functions that are deployed with their own code, of which synthesis has left a placeholder.
    fn unbuilt(&self) -> Vec<String> {
        let mut unbuilt: Vec<String> = self
            .resources_of_type("AWS::Lambda::Function")
            .into_iter()
            .filter(|place| !self.live.contains_key(place))
            .map(|place| self.assembly.function_id(place.0, &place.1))
            .filter(|id| self.assembly.sources.get(id).is_some_and(|record| record.placeholder))
            .collect();
        unbuilt.sort();
        unbuilt
    }

    /// What to attach to roles that the app only refers to.
    fn notice_imported_roles(&mut self) {
        let owned = |place: &Place| {
            self.assembly
                .at(place)
                .and_then(|function| owned_role(self.assembly, place.0, function))
                .is_some()
        };
        let imported = self.live.keys().filter(|place| !owned(place) && self.kept(place).is_none());
        let of_live = imported.map(|place| self.name_of(place).to_owned());
        let of_others = (self.manifest.left_alone.iter())
            .filter(|function| function.reason.contains("policyAttached"))
            .map(|function| function.id.to_string());
        let functions: Vec<String> = of_live.chain(of_others).collect();
        if !functions.is_empty() {
            let document = stub_policy(self.options.debug_stack, self.options.region, &self.assembly.account);
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            self.notices.push(format!(
                "the roles of {} are not part of the app; their stubs need this policy: {text}",
                functions.join(", ")
            ));
        }
    }
}

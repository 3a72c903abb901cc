//! A cloud assembly, as a CDK app writes it: `manifest.json`, one template per stack, the templates of nested stacks, and
//! what the construct hook recorded about the functions.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bootstrap::{Bootstrap, Environment, environments_of};
use crate::{
    error::{Error, Kind, Result},
    project::{
        manifest::{BuildOptions, Bundling, Making, Synthesis, UnheededOption},
        read_json,
    },
};

/// A synthesised app, in memory.
#[derive(Debug, Clone)]
pub struct Assembly {
    /// The absolute directory that the app was written to.
    pub directory: Utf8PathBuf,
    /// The stage that it was synthesised for.
    pub stage: String,
    /// The account and the region that stacks without an environment of their own are deployed to.
    pub account: String,
    /// See `account`.
    pub region: String,
    /// What the app wanted to look up in its account and was given dummies for.
    pub missing: Vec<String>,
    /// Every stack of every stage.
    pub stacks: Vec<Stack>,
    /// Every template: those of the stacks, each followed by the ones nested in it.
    pub templates: Vec<Template>,
    /// What the construct hook recorded, by construct path.
    pub sources: BTreeMap<String, SourceRecord>,
    /// The files whose change calls for another synthesis. Absolute.
    pub inputs: Vec<Utf8PathBuf>,
    /// What the app says about the debug stack.
    pub debug_stack: DebugStackExport,
    /// How the app was run.
    pub synthesis: Synthesis,
}

/// What an app says about the debug stack by exporting `debugStack`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DebugStackExport {
    /// The template that it wants.
    pub template: Option<String>,
    /// The tags of the stack.
    pub tags: BTreeMap<String, String>,
    /// What the user should know.
    pub notice: Option<String>,
}

/// One stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The name of its artifact in the manifest of its assembly.
    pub artifact: String,
    /// The CloudFormation stack's name.
    pub name: String,
    /// By which the CDK CLI selects it, e.g. `Prod/Api`.
    pub selector: String,
    /// The directory of its manifest, relative to the whole assembly's; empty for the latter itself.
    pub directory: Utf8PathBuf,
    /// The account of its environment, when the app names one.
    pub account: Option<String>,
    /// The region of its environment, when the app names one.
    pub region: Option<String>,
    /// Its asset manifest; none with the legacy synthesizer.
    pub assets: Option<String>,
    /// The bootstrap that it needs in its environment; none where it needs none.
    pub bootstrap: Option<Bootstrap>,
    /// What it is deployed with.
    pub options: StackOptions,
}

/// What a stack is deployed with beside its template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackOptions {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it cannot be deleted.
    pub termination_protection: bool,
    /// The topics that are told of what happens to it.
    pub notification_arns: Vec<String>,
    /// Whether there is more: values of parameters, alarms that have it roll back, assets by parameters.
    pub others: bool,
}

/// One template.
#[derive(Debug, Clone)]
pub struct Template {
    /// The index of the stack that it belongs to, nested or not.
    pub stack: usize,
    /// The file's name in the directory of that stack.
    pub file: String,
    /// The resource that nests it: the index of its template, and the logical id. None for a stack's own template.
    pub parent: Option<(usize, String)>,
    /// What the file holds.
    pub body: Value,
}

/// What the construct hook recorded about one function construct.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRecord {
    /// The construct path.
    pub path: String,
    /// The construct, e.g. `Function` or `NodejsFunction`.
    pub kind: Option<String>,
    /// Lambda's name of the runtime.
    pub runtime: Option<String>,
    /// The declared handler.
    pub handler: Option<String>,
    /// The file that is bundled.
    pub entry: Option<Utf8PathBuf>,
    /// The export of that file.
    pub export: Option<String>,
    /// Where the file's packages are looked up from.
    pub root: Option<Utf8PathBuf>,
    /// The asset's directory or file, before it was copied.
    pub asset_path: Option<Utf8PathBuf>,
    /// The code is in the template.
    pub inline: bool,
    /// The code is a container image.
    pub image: bool,
    /// The code was not built; an empty asset stands in its place. It must not be deployed.
    pub placeholder: bool,
    /// Whether its framework would run it on this machine. It says so of some; none is as `true`.
    pub live: Option<bool>,
    /// esbuild options.
    pub bundling: Option<Bundling>,
    /// How a compiled program is compiled.
    #[serde(default)]
    pub build: Option<BuildOptions>,
    /// What of the construct's options has no effect here.
    #[serde(default)]
    pub unheeded: Vec<UnheededOption>,
    /// How the code is made of the asset.
    #[serde(default)]
    pub making: Option<Making>,
}

impl Template {
    /// The resources, by logical id.
    pub fn resources(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.body.get("Resources").and_then(Value::as_object).into_iter().flatten()
    }

    /// One resource.
    #[must_use]
    pub fn resource(&self, logical_id: &str) -> Option<&Value> {
        self.body.get("Resources")?.get(logical_id)
    }
}

/// The type of a resource; empty for something that is none.
pub(in crate::app) fn type_of(resource: &Value) -> &str {
    resource.get("Type").and_then(Value::as_str).unwrap_or_default()
}

/// A property of a resource.
pub(in crate::app) fn property<'a>(resource: &'a Value, name: &str) -> Option<&'a Value> {
    resource.get("Properties")?.get(name)
}

/// The construct path of a resource, without the name that CDK gives to the resource inside of its construct.
pub(in crate::app) fn construct_path(resource: &Value) -> Option<&str> {
    let path = resource.get("Metadata")?.get("aws:cdk:path")?.as_str()?;
    Some(path.strip_suffix("/Resource").unwrap_or(path))
}

impl Assembly {
    /// Reads the assembly in `directory`, and the hook's records where there are any.
    ///
    /// # Errors
    /// [`Kind::Synthesis`] when the directory holds no assembly, or one that is damaged.
    pub fn read(
        directory: &Utf8Path,
        sources: &Utf8Path,
        stage: &str,
        account: &str,
        region: &str,
    ) -> Result<Self> {
        let mut assembly = Self {
            directory: directory.to_owned(),
            stage: stage.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            missing: Vec::new(),
            stacks: Vec::new(),
            templates: Vec::new(),
            sources: read_sources(sources)?,
            inputs: read_beside(sources, ".inputs.json"),
            debug_stack: read_beside(sources, ".debug-stack.json"),
            synthesis: Synthesis::default(),
        };
        assembly.read_level(Utf8Path::new(""), 0)?;
        Ok(assembly)
    }

    /// The id under which a function is known: its construct path, or `<stack>/<logical id>`.
    #[must_use]
    pub fn function_id(&self, template: usize, logical_id: &str) -> String {
        let template = &self.templates[template];
        template
            .resource(logical_id)
            .and_then(construct_path)
            .map_or_else(|| format!("{}/{logical_id}", self.stacks[template.stack].name), str::to_owned)
    }

    /// How something is made of an asset, with what it takes to ask the app's own function for it.
    pub(super) fn with_app(&self, making: Making) -> Making {
        let by_app = making.try_bundle.is_some().then(|| self.synthesis.clone());
        Making { by_app, ..making }
    }

    /// The logical ids of the nested stacks that lead to a template, each with a slash behind.
    pub(in crate::app) fn path_of(&self, template: usize) -> String {
        match &self.templates[template].parent {
            Some((parent, id)) => format!("{}{id}/", self.path_of(*parent)),
            None => String::new(),
        }
    }

    /// The file of a stack's own template, in the stack's directory.
    pub(in crate::app) fn own_template(&self, stack: usize) -> &str {
        let own = self.templates.iter().find(|template| template.stack == stack && template.parent.is_none());
        own.map_or("", |template| &template.file)
    }

    /// The account that a stack is deployed to.
    #[must_use]
    pub fn account_of(&self, stack: usize) -> &str {
        self.stacks[stack].account.as_deref().unwrap_or(&self.account)
    }

    /// The places that need a bootstrap for stacks whose index is `wanted`.
    #[must_use]
    pub fn environments(&self, wanted: impl Fn(usize) -> bool) -> Vec<Environment> {
        let stacks = self.stacks.iter().enumerate().filter(|(index, _)| wanted(*index));
        environments_of(stacks.map(|(index, stack)| {
            (self.account_of(index), self.region_of(index), stack.name.as_str(), stack.bootstrap.as_ref())
        }))
    }

    /// The region that a stack is deployed to.
    #[must_use]
    pub fn region_of(&self, stack: usize) -> &str {
        self.stacks[stack].region.as_deref().unwrap_or(&self.region)
    }

    fn read_level(&mut self, directory: &Utf8Path, depth: usize) -> Result<()> {
        const DEEPEST: usize = 20;
        if depth > DEEPEST {
            return Err(Error::new(Kind::Synthesis, "the stages of the app are nested without end"));
        }
        let path = self.directory.join(directory).join("manifest.json");
        let manifest = damaged(&path, read_json(&path))?;
        if depth == 0 {
            // It lists what is missing in the stages below as well.
            let missing = manifest.get("missing").and_then(Value::as_array).into_iter().flatten();
            self.missing = missing.filter_map(|one| one.get("key")?.as_str()).map(str::to_owned).collect();
        }
        let none = Map::new();
        let artifacts = manifest.get("artifacts").and_then(Value::as_object).unwrap_or(&none);
        for (id, artifact) in artifacts {
            let properties = artifact.get("properties").unwrap_or(&Value::Null);
            match type_of_artifact(artifact) {
                "aws:cloudformation:stack" => self.read_stack(directory, id, artifact, artifacts)?,
                "cdk:cloud-assembly" => {
                    let name = properties.get("directoryName").and_then(Value::as_str).unwrap_or(id);
                    self.read_level(&directory.join(name), depth + 1)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_stack(
        &mut self,
        directory: &Utf8Path,
        id: &str,
        artifact: &Value,
        artifacts: &Map<String, Value>,
    ) -> Result<()> {
        let text = |name: &str| artifact.get("properties")?.get(name)?.as_str();
        let (account, region) = environment_of(artifact);
        let main = text("templateFile").unwrap_or_default().to_owned();
        let assets = artifacts
            .values()
            .filter(|other| type_of_artifact(other) == "cdk:asset-manifest")
            .filter_map(|other| Some((other, other.get("properties")?.get("file")?.as_str()?)))
            .find(|(_, file)| *file == format!("{id}.assets.json"));
        let list = assets.and_then(|(_, file)| read_json(&self.directory.join(directory).join(file)).ok());
        let bootstrap = Bootstrap::of(artifact, assets.map(|(other, _)| other), &list.unwrap_or_default());
        let stack = self.stacks.len();
        let options = stack_options(artifact, assets.is_none());
        self.stacks.push(Stack {
            artifact: id.to_owned(),
            name: text("stackName").unwrap_or(id).to_owned(),
            selector: artifact
                .get("displayName")
                .and_then(Value::as_str)
                .and_then(|name| name.split(" (").next())
                .unwrap_or(id)
                .to_owned(),
            directory: directory.to_owned(),
            account,
            region,
            assets: assets.map(|(_, file)| file.to_owned()),
            bootstrap,
            options,
        });
        self.read_template(stack, main, None)
    }

    /// Reads a template and the ones nested in it, which its resources name by the file of their asset.
    fn read_template(&mut self, stack: usize, file: String, parent: Option<(usize, String)>) -> Result<()> {
        let directory = self.directory.join(&self.stacks[stack].directory);
        let path = directory.join(&file);
        let body = damaged(&path, read_json(&path))?;
        let index = self.templates.len();
        self.templates.push(Template { stack, file, parent, body });
        let nested: Vec<(String, String)> = self.templates[index]
            .resources()
            .filter(|(_, resource)| type_of(resource) == "AWS::CloudFormation::Stack")
            .filter_map(|(id, resource)| {
                let file = resource.get("Metadata")?.get("aws:asset:path")?.as_str()?;
                Some((id.clone(), file.to_owned()))
            })
            .collect();
        for (id, file) in nested {
            let known = |template: &Template| template.stack == stack && template.file == file;
            if directory.join(&file).is_file() && !self.templates.iter().any(known) {
                self.read_template(stack, file, Some((index, id)))?;
            }
        }
        Ok(())
    }
}

/// The directories that are uploaded with the assembly in `directory`, those of its stages included.
#[must_use]
pub fn asset_directories(directory: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in directory.read_dir_utf8().into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.starts_with("assembly-") {
            found.extend(asset_directories(entry.path()));
        }
        if !name.ends_with(".assets.json") {
            continue;
        }
        let manifest = read_json(entry.path()).unwrap_or_default();
        let files = manifest.get("files").and_then(Value::as_object).into_iter().flatten();
        let paths = files.filter_map(|(_, file)| file.get("source")?.get("path")?.as_str());
        found.extend(paths.map(|path| directory.join(path)).filter(|path| path.is_dir()));
    }
    found
}

fn type_of_artifact(artifact: &Value) -> &str {
    artifact.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// What a stack's artifact says of how it is deployed. The legacy synthesizer names assets by parameters.
fn stack_options(artifact: &Value, legacy: bool) -> StackOptions {
    let property = |name: &str| artifact.get("properties").and_then(|properties| properties.get(name));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let tags = match property("tags").and_then(Value::as_object) {
        Some(tags) => tags.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect(),
        None => tags_of_metadata(artifact),
    };
    let is_there = |value: &Value| value.as_object().is_none_or(|fields| !fields.is_empty());
    let topics = property("notificationArns").and_then(Value::as_array).into_iter().flatten();
    StackOptions {
        tags,
        termination_protection: property("terminationProtection")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        notification_arns: topics.filter_map(text).collect(),
        others: legacy
            || ["parameters", "rollbackConfiguration"].into_iter().filter_map(property).any(is_there),
    }
}

/// Where older versions of the CDK put a stack's tags.
fn tags_of_metadata(artifact: &Value) -> BTreeMap<String, String> {
    let entries = artifact.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let entries = entries.filter_map(|(_, entries)| entries.as_array()).flatten();
    let tags = entries.filter(|entry| entry["type"] == "aws:cdk:stack-tags");
    tags.filter_map(|entry| entry["data"].as_array())
        .flatten()
        .filter_map(|tag| {
            let field = |upper: &str, lower: &str| tag.get(upper).or_else(|| tag.get(lower))?.as_str();
            Some((field("Key", "key")?.to_owned(), field("Value", "value")?.to_owned()))
        })
        .collect()
}

/// The account and region of `aws://<account>/<region>`, less what is not known yet.
fn environment_of(artifact: &Value) -> (Option<String>, Option<String>) {
    let environment = artifact.get("environment").and_then(Value::as_str).unwrap_or_default();
    let mut parts = environment.strip_prefix("aws://").unwrap_or_default().split('/');
    let mut known = || {
        let part = parts.next()?;
        (!part.is_empty() && !part.starts_with("unknown-")).then(|| part.to_owned())
    };
    (known(), known())
}

/// The hook's records. A path that is recorded twice keeps the later one, which saw the finished construct.
fn read_sources(path: &Utf8Path) -> Result<BTreeMap<String, SourceRecord>> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(Error::new(Kind::Synthesis, format!("cannot read `{path}`")).detail(error));
        }
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let record: SourceRecord = serde_json::from_str(line).map_err(|error| {
                Error::new(Kind::Synthesis, format!("`{path}` has a line that does not describe a function"))
                    .detail(error)
            })?;
            Ok((record.path.clone(), record))
        })
        .collect()
}

/// What the hook, or the host, writes beside its records, if it has anything to write: the list of files, and its word on the debug
/// stack.
fn read_beside<T: Default + for<'de> Deserialize<'de>>(sources: &Utf8Path, suffix: &str) -> T {
    read_json(Utf8Path::new(&format!("{sources}{suffix}")))
        .ok()
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default()
}

/// A file of the assembly that cannot be read is a fault of the synthesis, not of the user's typing.
fn damaged<T>(path: &Utf8Path, read: Result<T>) -> Result<T> {
    read.map_err(|error| Error {
        message: format!("the app's cloud assembly is damaged: cannot read `{path}`"),
        detail: Some(error.detail.unwrap_or(error.message)),
        hint: None,
        kind: Kind::Synthesis,
    })
}

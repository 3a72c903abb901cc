//! Finding the app's functions and where their code is.

use std::collections::BTreeSet;

use camino::Utf8Path;
use serde_json::{Map, Value};
use sst_wire::{CONFIG_VARIABLE, StubConfig};

use crate::{
    error::Result,
    ids::FunctionId,
    project::{
        HandMapping, HandSource, Project, SERVES_DEPLOYMENT,
        manifest::{BuildOptions, FunctionSpec, LeftAlone, Manifest, Source},
    },
};

use super::{
    environment, inline,
    owners::{custom_resource_providers, edge_functions},
    read::{Assembly, SourceRecord, property, type_of},
    resolve::Place,
};

/// Lambda's own defaults.
const DEFAULT_TIMEOUT_S: u64 = 3;
const DEFAULT_MEMORY_MB: u64 = 128;

/// Lists every function of every template: those that will run on this machine, and those that keep their deployed code.
///
/// A mapping by hand in `sst.json` wins over what synthesis found out.
///
/// Code that is in a template is written to a file in `.sst`.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when `sst.json` maps a function that the app does not have.
pub fn discover(assembly: &Assembly, project: &Project) -> Result<Manifest> {
    let finder = Finder {
        assembly,
        project,
        providers: custom_resource_providers(assembly),
        edge: edge_functions(assembly),
    };
    let mut manifest = Manifest::default();
    let mut mapped: BTreeSet<&str> = project.functions.keys().map(String::as_str).collect();
    for (index, template) in assembly.templates.iter().enumerate() {
        for (logical_id, resource) in template.resources() {
            if type_of(resource) != "AWS::Lambda::Function" {
                continue;
            }
            let id = assembly.function_id(index, logical_id);
            mapped.remove(id.as_str());
            match finder.function(index, logical_id, &id, resource) {
                Ok(function) => manifest.functions.push(function),
                Err(reason) => manifest.left_alone.push(LeftAlone { id: FunctionId::from(id), reason }),
            }
        }
    }
    if let Some(unknown) = mapped.first() {
        let known: Vec<&str> = manifest.functions.iter().map(|function| function.id.as_str()).collect();
        let message = format!("`sst.json` maps the function `{unknown}`, which the app does not have");
        return Err(crate::error::Error::new(crate::error::Kind::Usage, message)
            .hint(format!("the app's functions are: {}", known.join(", "))));
    }
    Ok(manifest)
}

/// The roles of functions: whether the app owns one, so that the stub's permissions can be added to it.
pub(in crate::app) fn owned_role(assembly: &Assembly, template: usize, function: &Value) -> Option<Place> {
    let role = assembly.resolve(template, property(function, "Role")?)?;
    (type_of(assembly.at(&role)?) == "AWS::IAM::Role").then_some(role)
}

/// The variables that a function's template sets.
pub(in crate::app) fn variables(function: &Value) -> Option<&Map<String, Value>> {
    property(function, "Environment")?.get("Variables")?.as_object()
}

/// A whole number of a template, which may be written as text.
pub(in crate::app) fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// How a function is made to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Node,
    Python,
    /// A program of its own, on a runtime that Lambda provides only the system for.
    Native,
}

impl Language {
    fn of(runtime: &str) -> Result<Self, String> {
        let prefixes = [
            ("nodejs", Self::Node),
            ("python", Self::Python),
            ("provided", Self::Native),
            ("go1.x", Self::Native),
        ];
        if let Some((_, language)) = prefixes.iter().find(|(prefix, _)| runtime.starts_with(prefix)) {
            return Ok(*language);
        }
        let others = [("java", "Java"), ("dotnet", ".NET"), ("ruby", "Ruby")];
        Err(match others.iter().find(|(prefix, _)| runtime.starts_with(prefix)) {
            Some((_, name)) => format!("functions in {name} (`{runtime}`) do not run on this machine yet"),
            None => format!("the runtime `{runtime}` does not run on this machine yet"),
        })
    }
}

/// What is known of where a function's code is.
struct CodePlace<'a> {
    id: &'a str,
    language: Language,
    resource: &'a Value,
    record: Option<&'a SourceRecord>,
    by_hand: Option<&'a HandMapping>,
    declared: Option<&'a str>,
}

struct Finder<'a> {
    assembly: &'a Assembly,
    project: &'a Project,
    providers: BTreeSet<Place>,
    edge: BTreeSet<Place>,
}

impl Finder<'_> {
    /// The function's entry in the manifest, or why it is left alone.
    fn function(
        &self,
        template: usize,
        logical_id: &str,
        id: &str,
        resource: &Value,
    ) -> Result<FunctionSpec, String> {
        let assembly = self.assembly;
        let stack = assembly.templates[template].stack;
        let record = assembly.sources.get(id);
        let by_hand = self.project.functions.get(id);
        self.check_kind(&(template, logical_id.to_owned()), resource)?;
        self.check_stack(stack)?;
        if by_hand.is_none() && record.is_some_and(|record| record.live == Some(false)) {
            return Err(
                "the app or its framework deploys it with its own code (`enableLiveDev: false`)".into()
            );
        }

        let runtime = self.runtime(template, resource, record)?;
        let language = Language::of(&runtime)?;
        let declared = property(resource, "Handler").and_then(Value::as_str);
        let place = CodePlace { id, language, resource, record, by_hand, declared };
        let (source, handler) = self.source(&place)?;
        if owned_role(assembly, template, resource).is_none()
            && !by_hand.is_some_and(|hand| hand.policy_attached)
        {
            return Err(format!(
                "its role is not part of the app, so the stub's permissions cannot be added to it; attach the policy \
                 that is shown to the role, then set \"functions\": {{ \"{id}\": {{ \"policyAttached\": true }} }} in \
                 `sst.json`"
            ));
        }
        let none = Map::new();
        let variables = variables(resource).unwrap_or(&none);
        self.check_room(template, id, variables)?;
        Ok(FunctionSpec {
            id: FunctionId::from(id),
            stack: assembly.stacks[stack].name.clone(),
            logical_id: logical_id.to_owned(),
            runtime,
            handler,
            source,
            timeout_s: number(property(resource, "Timeout")).unwrap_or(DEFAULT_TIMEOUT_S),
            memory_mb: number(property(resource, "MemorySize")).unwrap_or(DEFAULT_MEMORY_MB),
            environment: variables.keys().cloned().collect(),
        })
    }

    /// Functions of kinds that a stub cannot stand in for.
    fn check_kind(&self, place: &Place, resource: &Value) -> Result<(), String> {
        if self.providers.contains(place) {
            return Err(SERVES_DEPLOYMENT.into());
        }
        if self.edge.contains(place) {
            return Err("it runs at CloudFront's edges (Lambda@Edge)".into());
        }
        let code = property(resource, "Code");
        let has = |name: &str| code.and_then(|code| code.get(name)).is_some();
        if has("ImageUri") || property(resource, "PackageType").and_then(Value::as_str) == Some("Image") {
            return Err("it is a container image, which cannot become a stub in place".into());
        }
        for (name, what) in [
            ("CapacityProviderConfig", "runs on managed instances"),
            ("DurableConfig", "is a durable function"),
            ("TenancyConfig", "isolates tenants"),
            ("FunctionScalingConfig", "has a scaling configuration of its own"),
            ("PublishToLatestPublished", "publishes itself to `$LATEST.PUBLISHED`"),
        ] {
            if property(resource, name).is_some() {
                return Err(format!("it {what} (`{name}`), which a stub cannot do"));
            }
        }
        Ok(())
    }

    /// Stacks whose functions cannot reach the debug stack, or cannot be given another asset.
    fn check_stack(&self, stack: usize) -> Result<(), String> {
        let account = self.assembly.account_of(stack);
        if account != self.assembly.account {
            return Err(format!(
                "its stack is deployed to the account {account}, but the debug stack is in {}",
                self.assembly.account
            ));
        }
        if self.assembly.stacks[stack].assets.is_none() {
            return Err("its stack has no asset manifest; use the default stack synthesizer of CDK v2".into());
        }
        Ok(())
    }

    /// The runtime's name. Libraries write the newest one as a table from regions to names.
    fn runtime(
        &self,
        template: usize,
        resource: &Value,
        record: Option<&SourceRecord>,
    ) -> Result<String, String> {
        let body = &self.assembly.templates[template].body;
        let from_table = |keys: &Value| {
            let [Value::String(table), region, Value::String(column)] = keys.as_array()?.as_slice() else {
                return None;
            };
            let region = region
                .as_str()
                .unwrap_or_else(|| self.assembly.region_of(self.assembly.templates[template].stack));
            body.get("Mappings")?.get(table)?.get(region)?.get(column)?.as_str()
        };
        match property(resource, "Runtime") {
            Some(Value::String(runtime)) => Some(runtime.as_str()),
            Some(Value::Object(expression)) => expression.get("Fn::FindInMap").and_then(from_table),
            _ => None,
        }
        .or_else(|| record?.runtime.as_deref())
        .map(str::to_owned)
        .ok_or_else(|| "its runtime is not known before the deployment".into())
    }

    /// Where the code is, and the handler that goes with it.
    fn source(&self, place: &CodePlace<'_>) -> Result<(Source, String), String> {
        let &CodePlace { id, language, resource, record, by_hand, declared } = place;
        let handler = |given: Option<&str>| {
            given
                .or(declared)
                .map(str::to_owned)
                .ok_or_else(|| "its handler is not known before the deployment".to_owned())
        };
        let build = || Box::new(record.and_then(|record| record.build.clone()).unwrap_or_default());
        if let Some(hand) = by_hand {
            let given = hand.handler.as_deref();
            match &hand.source {
                HandSource::Entry(path) if language == Language::Node => {
                    let declared = handler(None)?;
                    let export = given.unwrap_or_else(|| last_part(&declared)).to_owned();
                    let source = Source::Entry {
                        root: parent(path),
                        path: path.clone(),
                        export,
                        bundling: record
                            .and_then(|record| record.bundling.clone())
                            .unwrap_or_default()
                            .into(),
                    };
                    return Ok((source, declared));
                }
                HandSource::Entry(path) if language == Language::Python => {
                    let declared = handler(None)?;
                    let export = given.unwrap_or_else(|| last_part(&declared));
                    let handler = format!("{}.{export}", path.file_stem().unwrap_or_default());
                    return Ok((Source::Directory { path: parent(path) }, handler));
                }
                HandSource::Entry(path) | HandSource::Directory(path) if language == Language::Native => {
                    let source = compiled(path, build()).ok_or_else(|| {
                        format!("`{path}` is neither a Go program nor has it a `Cargo.toml`; name a `command` that serves it")
                    })?;
                    return Ok((source, handler(given)?));
                }
                HandSource::Directory(path) => {
                    return Ok((Source::Directory { path: path.clone() }, handler(given)?));
                }
                HandSource::Command(command, directory) => {
                    let source = Source::Command { command: command.clone(), directory: directory.clone() };
                    return Ok((source, handler(given)?));
                }
                HandSource::Entry(_) | HandSource::Found => {}
            }
        }
        if let Some(record) = record
            && let Some(entry) = &record.entry
        {
            let declared = handler(None)?;
            if language == Language::Native {
                let source = compiled(entry, build())
                    .ok_or_else(|| format!("`{entry}` is neither a Go program nor a `Cargo.toml`"))?;
                return Ok((source, declared));
            }
            let source = Source::Entry {
                path: entry.clone(),
                export: record.export.clone().unwrap_or_else(|| last_part(&declared).to_owned()),
                root: record.root.clone().unwrap_or_else(|| parent(entry)),
                bundling: record.bundling.clone().unwrap_or_default().into(),
            };
            return Ok((source, declared));
        }
        if let Some(code) = property(resource, "Code").and_then(|code| code.get("ZipFile")) {
            let code = code.as_str().ok_or("its code is inline, and not known before the deployment")?;
            let source = inline::source(self.project, &id.into(), language == Language::Python, code);
            return Ok((source.map_err(|error| error.to_string())?, handler(None)?));
        }
        let recorded = record.and_then(|record| record.asset_path.as_deref());
        // Without the copies that CDK makes of assets, the template names the directory itself.
        let metadata = resource.get("Metadata");
        let in_template = metadata
            .and_then(|metadata| metadata.get("aws:asset:path"))
            .and_then(Value::as_str)
            .map(Utf8Path::new)
            .filter(|path| path.is_absolute() && !path.starts_with(&self.assembly.directory));
        let bundled =
            metadata.and_then(|metadata| metadata.get("aws:asset:is-bundled")) == Some(&Value::Bool(true));
        let path = recorded.or(in_template.filter(|_| !bundled)).ok_or_else(|| {
            format!(
                "its source is not known; name it in `sst.json`: \"functions\": {{ \"{id}\": {{ \"entry\": \"…\" }} }}"
            )
        })?;
        if !path.is_dir() {
            return Err(format!("its code is `{path}`, which is not a directory"));
        }
        let handler = handler(None)?;
        if language == Language::Native {
            let source = compiled(path, build()).ok_or_else(|| {
                format!(
                    "`{path}` holds a built program and not its source; name that in `sst.json`, or a command to run: \
                     \"functions\": {{ \"{id}\": {{ \"entry\": \"…\" }} }}"
                )
            })?;
            return Ok((source, handler));
        }
        if record.is_some_and(|record| record.placeholder) && !has_handler(language, path, &handler) {
            return Err(format!(
                "its code is made from `{path}` by bundling commands of the app; name its source in `sst.json`"
            ));
        }
        Ok((Source::Directory { path: path.to_owned() }, handler))
    }

    /// Lambda takes 4 KB of environment variables, and the stub needs one more.
    fn check_room(&self, template: usize, id: &str, variables: &Map<String, Value>) -> Result<(), String> {
        let own = environment::size(self.assembly, template, variables);
        // A comma, the name, its quotes and the colon, and the settings as text within text.
        let stub = CONFIG_VARIABLE.len() + 6 + Value::from(self.largest_config(id)).to_string().len();
        if own + stub <= environment::LIMIT {
            return Ok(());
        }
        Err(no_room(own, stub))
    }

    /// The settings of a stub, each as long as it can get: the debug stack may not exist yet.
    fn largest_config(&self, id: &str) -> String {
        let Assembly { stage, region, .. } = self.assembly;
        let api = format!("wss://{}.execute-api.{region}.amazonaws.com.cn/{stage}", "x".repeat(10));
        let table = format!("{stage}-{}-debug-stack-Connections-{}", self.project.name, "X".repeat(13));
        let config = StubConfig {
            v: sst_wire::VERSION,
            function: id.to_owned(),
            stage: stage.clone(),
            endpoint: api.clone(),
            management: api,
            table,
            bucket: "x".repeat(63),
            region: region.clone(),
        };
        serde_json::to_string(&config).unwrap_or_default()
    }
}

/// Why a function with many variables is left alone.
pub(in crate::app) fn no_room(own: usize, stub: usize) -> String {
    format!(
        "its environment variables take about {own} of the {} bytes that Lambda allows, and the stub needs {stub}",
        environment::LIMIT
    )
}

/// Whether the runtime would find the handler's file in a directory.
fn has_handler(language: Language, directory: &Utf8Path, handler: &str) -> bool {
    let stem = handler.rsplit_once('.').map_or(handler, |(stem, _)| stem);
    match language {
        Language::Python => {
            let module = directory.join(stem.replace('.', "/"));
            module.with_extension("py").is_file() || module.join("__init__.py").is_file()
        }
        Language::Node | Language::Native => ["js", "mjs", "cjs"]
            .iter()
            .any(|extension| directory.join(format!("{stem}.{extension}")).is_file()),
    }
}

/// The program whose source `path` is: a Go file, a `Cargo.toml`, or a directory with one of them.
fn compiled(path: &Utf8Path, build: Box<BuildOptions>) -> Option<Source> {
    let manifest = match path.file_name() {
        Some("Cargo.toml") => path.to_owned(),
        _ => path.join("Cargo.toml"),
    };
    if manifest.is_file() {
        return Some(Source::Rust { manifest, build });
    }
    let is_go = |path: &Utf8Path| path.extension() == Some("go");
    let has_go = || {
        path.read_dir_utf8()
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| is_go(entry.path()))))
    };
    (is_go(path) || has_go()).then(|| Source::Go { path: path.to_owned(), build })
}

fn last_part(handler: &str) -> &str {
    handler.rsplit('.').next().unwrap_or(handler)
}

fn parent(path: &Utf8Path) -> camino::Utf8PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

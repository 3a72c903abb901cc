//! Finding the app's functions and where their code is.

use std::collections::BTreeSet;

use camino::Utf8Path;
use serde_json::{Map, Value};
use sst_wire::{CONFIG_VARIABLE, StubConfig};

use crate::{
    error::Result,
    ids::{FunctionId, LanguageId},
    languages::{self, Construct, Language, Named},
    project::{
        HandMapping, HandSource, Project, SERVES_DEPLOYMENT,
        manifest::{FunctionSpec, LeftAlone, Manifest, Source, Unheeded, UnheededOption},
    },
};

use super::{
    environment, inline,
    known::{branches, environments, is_expression, number_of, text},
    layers,
    owners::{custom_resource_providers, edge_functions},
    read::{Assembly, SourceRecord, property, type_of},
    resolve::{Place, names_in},
};

/// The longest that Lambda runs a function, in seconds.
pub(crate) const LONGEST_TIMEOUT_S: u64 = 900;

/// Lambda's own defaults.
pub(in crate::app) const DEFAULT_TIMEOUT_S: u64 = 3;
const DEFAULT_MEMORY_MB: u64 = 128;
const DEFAULT_LOG_LEVEL: &str = "INFO";

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
            let is_function = type_of(resource) == "AWS::Lambda::Function";
            let made = if is_function { None } else { made_by_macro(logical_id, resource) };
            if !is_function && made.is_none() {
                continue;
            }
            let id = assembly.function_id(index, logical_id);
            mapped.remove(id.as_str());
            let function = made.map_or_else(|| finder.function(index, logical_id, &id, resource), Err);
            match function {
                Ok(function) => {
                    manifest.unheeded.extend(finder.unheeded(&function));
                    manifest.functions.push(function);
                }
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

/// Why something of a template that is no function yet, but of which a macro makes one, is left alone. None for all else.
fn made_by_macro(logical_id: &str, resource: &Value) -> Option<String> {
    if type_of(resource) == "AWS::Serverless::Function" {
        return Some(
            "it is an `AWS::Serverless::Function` (SAM), of which CloudFormation makes a function only when it is deployed; use `Function` \
             of `aws-cdk-lib/aws-lambda`"
                .into(),
        );
    }
    let has_functions = || {
        let text = resource.to_string();
        text.contains("\"AWS::Lambda::Function\"") || text.contains("\"AWS::Serverless::Function\"")
    };
    (logical_id.starts_with("Fn::ForEach::") && has_functions()).then(|| {
        "it is a loop (`Fn::ForEach`), of which CloudFormation makes functions only when it is deployed"
            .into()
    })
}

/// A whole number of a template, which may be written as text.
pub(in crate::app) fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The level of a function's log, if that is to be JSON; why that is not known.
fn json_log(assembly: &Assembly, template: usize, function: &Value) -> Result<Option<String>, String> {
    let unknown = || "the format of its log (`LoggingConfig`) is not known before the deployment".to_owned();
    let Some(logging) = property(function, "LoggingConfig") else { return Ok(None) };
    let mut found = BTreeSet::new();
    for logging in branches(logging).ok_or_else(unknown)? {
        let known = |name: &str, default: &str| {
            let value = logging.get(name).unwrap_or(&Value::Null);
            let mut all = BTreeSet::new();
            for branch in branches(value).or_else(|| Some(vec![value]))? {
                all.insert(match branch {
                    Value::Null => default.to_owned(),
                    other => text(assembly, template, other)?,
                });
            }
            all.pop_first().filter(|_| all.is_empty())
        };
        let format = known("LogFormat", "Text").ok_or_else(unknown)?;
        let level = || known("ApplicationLogLevel", DEFAULT_LOG_LEVEL).ok_or_else(unknown);
        found.insert(if format == "JSON" { Some(level()?) } else { None });
    }
    let log = found.pop_first().flatten();
    if found.is_empty() { Ok(log) } else { Err(unknown()) }
}

/// What is known of where a function's code is.
struct CodePlace<'a> {
    id: &'a str,
    /// What its runtime can mean.
    languages: &'a [&'static dyn Language],
    resource: &'a Value,
    record: Option<&'a SourceRecord>,
    by_hand: Option<&'a HandMapping>,
    declared: Option<&'a str>,
}

impl CodePlace<'_> {
    /// The handler that the template declares.
    fn handler(&self) -> Result<&str, String> {
        self.declared.ok_or_else(|| "its handler is not known before the deployment".to_owned())
    }

    /// The source that a path means in one of the languages.
    fn means(
        &self,
        path: &Utf8Path,
        named: Named,
        by_hand: Option<&str>,
    ) -> Result<Option<(LanguageId, Source, String)>, String> {
        // What the construct says of its own path is not true of another one.
        let own = self.by_hand.is_none_or(|hand| hand.source == HandSource::Found);
        let construct = self.record.map(|record| Construct {
            export: record.export.as_deref().filter(|_| own),
            root: record.root.as_deref().filter(|_| own),
            bundling: record.bundling.as_ref(),
            build: record.build.as_ref(),
            is_made: record.placeholder && own,
            can_be_made: record.making.is_some() && own,
        });
        // Where the developer has named the handler, the template need not.
        let declared = match by_hand {
            Some(_) => self.declared.unwrap_or_default(),
            None => self.handler()?,
        };
        let asked = languages::Place { path, named, declared, by_hand, construct };
        Ok(self.languages.iter().find_map(|language| {
            let (source, handler) = language.source(&asked)?;
            Some((LanguageId::from(language.id()), source, handler))
        }))
    }
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
        let languages = languages::of_runtime(&runtime)?;
        let declared = property(resource, "Handler").and_then(|handler| text(assembly, template, handler));
        let place =
            CodePlace { id, languages: &languages, resource, record, by_hand, declared: declared.as_deref() };
        let (language, source, handler) = self.source(template, &place)?;
        if owned_role(assembly, template, resource).is_none()
            && !by_hand.is_some_and(|hand| hand.policy_attached)
        {
            return Err(format!(
                "{}, so the stub's permissions cannot be added to it; attach the policy \
                 that is shown to the role, then set \"functions\": {{ \"{id}\": {{ \"policyAttached\": true }} }} in \
                 `sst.json`",
                self.why_not_owned(template, resource)
            ));
        }
        let environments = environments(resource).ok_or(
            "its environment variables (`Environment`) are not known before the deployment, so the stub's settings cannot be added",
        )?;
        self.check_room(template, id, &environments)?;
        let declared = |name: &str, default: u64| match property(resource, name) {
            None => Some(default),
            Some(value) => number_of(assembly, template, value),
        };
        let mut names = Vec::new();
        for name in environments.iter().flat_map(Map::keys) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(FunctionSpec {
            id: FunctionId::from(id),
            stack: assembly.stacks[stack].name.clone(),
            logical_id: logical_id.to_owned(),
            language,
            runtime,
            handler,
            source,
            timeout_s: declared("Timeout", DEFAULT_TIMEOUT_S),
            memory_mb: declared("MemorySize", DEFAULT_MEMORY_MB),
            environment: names,
            json_log: json_log(assembly, template, resource)?,
            layers: layers::of(assembly, template, resource),
        })
    }

    /// What has no effect here of that which the app wants of a function's build.
    fn unheeded(&self, function: &FunctionSpec) -> Vec<Unheeded> {
        let id = &function.id;
        // What the construct wants of its own path is not about another one.
        let own = self.project.functions.get(id.as_str()).is_none_or(|hand| hand.source == HandSource::Found);
        let record = self.assembly.sources.get(id.as_str()).filter(|_| own);
        let mut of_construct = record.map(|record| record.unheeded.clone()).unwrap_or_default();
        let is_made = matches!(function.source, Source::Made { .. });
        if !is_made && record.is_some_and(|record| record.making.is_some()) {
            let reason = format!("it runs from its source, `{}`", function.source.directory());
            of_construct.push(UnheededOption { option: "bundling".to_owned(), reason });
        }
        let of_language = languages::get(&function.language).unheeded(&function.source);
        let all = of_construct.into_iter().chain(of_language);
        all.map(|option| Unheeded { id: id.clone(), option }).collect()
    }

    /// Functions of kinds that a stub cannot stand in for.
    fn check_kind(&self, place: &Place, resource: &Value) -> Result<(), String> {
        if self.providers.contains(place) {
            return Err(SERVES_DEPLOYMENT.into());
        }
        if self.edge.contains(place) {
            return Err("it runs at CloudFront's edges (Lambda@Edge)".into());
        }
        let is_made = |value: &Value| value.as_object().is_some_and(is_expression);
        if resource.get("Properties").is_some_and(is_made) {
            return Err("its properties are made by a macro, and not known before the deployment".into());
        }
        let code = property(resource, "Code");
        let has = |name: &str| code.and_then(|code| code.get(name)).is_some();
        let package = property(resource, "PackageType");
        if has("ImageUri") || package.and_then(Value::as_str) == Some("Image") {
            return Err("it is a container image, which cannot become a stub in place".into());
        }
        if package.is_some_and(|package| package != "Zip") {
            return Err(
                "whether it is a container image (`PackageType`) is not known before the deployment".into()
            );
        }
        let by_hand = self.project.functions.get(&self.assembly.function_id(place.0, &place.1));
        let is_known = |code: &Value| code.is_object() && !is_made(code);
        if !code.is_none_or(is_known) && by_hand.is_none_or(|hand| hand.source == HandSource::Found) {
            return Err("its code (`Code`) is an expression, and not known before the deployment".into());
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

    /// Why the app's stacks do not say which role of theirs a function has.
    fn why_not_owned(&self, template: usize, function: &Value) -> &'static str {
        let mut names_own = false;
        names_in(property(function, "Role").unwrap_or(&Value::Null), &mut |name| {
            let role = self.assembly.templates[template].resource(name);
            names_own |= role.is_some_and(|role| type_of(role) == "AWS::IAM::Role");
        });
        if names_own {
            "which role it has is only known when the app is deployed"
        } else {
            "its role is not part of the app"
        }
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
        property(resource, "Runtime")
            .and_then(|runtime| text(self.assembly, template, runtime))
            .or_else(|| record?.runtime.clone().filter(|_| property(resource, "Runtime").is_none()))
            .ok_or_else(|| "its runtime is not known before the deployment".into())
    }

    /// What the code is written in and where it is, and the handler that goes with it.
    fn source(&self, template: usize, place: &CodePlace<'_>) -> Result<(LanguageId, Source, String), String> {
        let &CodePlace { id, languages, resource, record, by_hand, .. } = place;
        if let Some(hand) = by_hand {
            let given = hand.handler.as_deref();
            match &hand.source {
                HandSource::Entry(path) | HandSource::Directory(path) => {
                    let is_entry = matches!(hand.source, HandSource::Entry(_));
                    let named = if is_entry { Named::Entry } else { Named::Directory };
                    return place.means(path, named, given)?.ok_or_else(|| {
                        format!(
                            "`{path}` is not a source in {}; name a `command` that serves it",
                            names_of(languages)
                        )
                    });
                }
                HandSource::Command(command, directory) => {
                    let source = Source::Command { command: command.clone(), directory: directory.clone() };
                    let handler = given
                        .map_or_else(|| place.handler().map(str::to_owned), |given| Ok(given.to_owned()));
                    return Ok((LanguageId::from(languages::COMMAND), source, handler?));
                }
                HandSource::Found => {}
            }
        }
        if let Some(entry) = record.and_then(|record| record.entry.as_ref()) {
            let found = place.means(entry, Named::Entry, None)?;
            return found.ok_or_else(|| format!("`{entry}` is not a source in {}", names_of(languages)));
        }
        if let Some(code) = property(resource, "Code").and_then(|code| code.get("ZipFile")) {
            let code = text(self.assembly, template, code)
                .ok_or("its code is inline, and not known before the deployment")?;
            let (language, files) = languages
                .iter()
                .find_map(|language| Some((language.id(), language.inline()?)))
                .ok_or_else(|| format!("code in {} cannot be inline", names_of(languages)))?;
            let source = inline::source(self.project, &id.into(), files, &code);
            let source = source.map_err(|error| error.to_string())?;
            return Ok((language.into(), source, place.handler()?.to_owned()));
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
        let is_archive = || path.is_file() && languages.iter().any(|language| language.takes_archives());
        if !path.is_dir() && !is_archive() {
            return Err(format!("its code is `{path}`, which is not a directory"));
        }
        if let Some(found) = place.means(path, Named::Asset, None)? {
            return Ok(found);
        }
        if let Some(making) = record.and_then(|record| record.making.clone()) {
            let making = Box::new(self.assembly.with_app(making));
            // Of several languages, what has been made is a program that says nothing of its own.
            let language = match languages {
                [one] => one.id(),
                _ => languages::COMMAND,
            };
            let source = Source::Made { path: path.to_owned(), making };
            return Ok((language.into(), source, place.handler()?.to_owned()));
        }
        if languages.iter().all(|language| language.runner().is_none()) {
            return Err(format!(
                "`{path}` holds a built program and not its source; name that in `sst.json`, or a command to run: \
                 \"functions\": {{ \"{id}\": {{ \"entry\": \"…\" }} }}"
            ));
        }
        Err(format!(
            "its code is made from `{path}` by bundling commands of the app; name its source in `sst.json`"
        ))
    }

    /// Lambda takes 4 KB of environment variables, and the stub needs one more.
    fn check_room(&self, template: usize, id: &str, all: &[Map<String, Value>]) -> Result<(), String> {
        let own = environment::largest(self.assembly, template, all);
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
            timeout_s: Some(LONGEST_TIMEOUT_S),
            attached: false,
        };
        serde_json::to_string(&config).unwrap_or_default()
    }
}

/// Why a function with many variables is left alone.
pub(crate) fn no_room(own: usize, stub: usize) -> String {
    format!(
        "its environment variables take about {own} of the {} bytes that Lambda allows, and the stub needs {stub}",
        environment::LIMIT
    )
}

/// What languages are called.
fn names_of(languages: &[&'static dyn Language]) -> String {
    languages.iter().map(|language| language.name()).collect::<Vec<_>>().join(" or ")
}

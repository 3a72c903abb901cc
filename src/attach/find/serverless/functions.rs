//! The functions of a service: their names on Lambda, and where their code is.

use camino::Utf8PathBuf;
use serde_json::Value;

use super::{
    super::{Code, Declared, Which, programs},
    bundler::Bundler,
    packaged::Package,
    plugins,
    variables::{Configuration, Unknown},
};
use crate::paths::normalized;

/// A service, as far as all of its functions have it in common.
pub(super) struct Service<'a> {
    configuration: &'a Configuration,
    package: Option<&'a Package>,
    plugins: Vec<String>,
    bundler: Bundler,
    name: Result<String, Unknown>,
    stage: Result<String, Unknown>,
}

impl<'a> Service<'a> {
    /// Reads what they have in common. `package` is of the same stage. What is not heeded is told in `notices`.
    pub(super) fn new(
        configuration: &'a Configuration,
        package: Option<&'a Package>,
        major: Option<u64>,
        notices: &mut Vec<String>,
    ) -> Self {
        let plugins = names_of_plugins(configuration, notices);
        let bundler = Bundler::of(configuration, &plugins, major, notices);
        let stage = configuration.stage();
        if let Err(unknown) = &stage {
            notices.push(unknown.of("provider.stage"));
        }
        Self { configuration, package, plugins, bundler, name: name(configuration), stage }
    }

    /// Its functions, but for those whose names nobody knows, which are told in `notices`.
    pub(super) fn functions(&self, notices: &mut Vec<String>) -> Vec<Declared> {
        let functions = self.configuration.entries(&["functions"]).unwrap_or_else(|unknown| {
            notices.push(unknown.of("functions"));
            serde_json::Map::new()
        });
        let mut all = Vec::new();
        for (key, function) in &functions {
            match self.which(key, function) {
                Ok(which) => {
                    let code = self.code(key, function, notices);
                    all.push(Declared { label: key.clone(), which, code });
                }
                Err(unknown) => {
                    notices.push(format!(
                        "{}, so the function is not looked for",
                        unknown.of(&format!("functions.{key}.name"))
                    ));
                }
            }
        }
        all
    }

    /// By the name that the file gives it, or that it had when it was packaged; else CloudFormation knows it.
    fn which(&self, key: &str, function: &Value) -> Result<Which, Unknown> {
        let unknown = match self.name_of(key, function) {
            Ok(name) => return Ok(Which::Name(name)),
            Err(unknown) => unknown,
        };
        if let Some(name) = self.package.and_then(|package| package.name(key)) {
            return Ok(Which::Name(name.to_owned()));
        }
        let stack = self.stack().map_err(|_| unknown)?;
        Ok(Which::Resource { stack, logical_id: logical_id(key) })
    }

    fn name_of(&self, key: &str, function: &Value) -> Result<String, Unknown> {
        if let Some(name) = self.configuration.text_in(function, &["name"])? {
            return Ok(name);
        }
        let (service, stage) = (self.name.as_ref(), self.stage.as_ref());
        Ok(format!("{}-{}-{key}", service.map_err(Unknown::clone)?, stage.map_err(Unknown::clone)?))
    }

    fn stack(&self) -> Result<String, Unknown> {
        if let Some(stack) = self.configuration.text(&["provider", "stackName"])? {
            return Ok(stack);
        }
        let (service, stage) = (self.name.as_ref(), self.stage.as_ref());
        Ok(format!("{}-{}", service.map_err(Unknown::clone)?, stage.map_err(Unknown::clone)?))
    }

    fn code(&self, key: &str, function: &Value, notices: &mut Vec<String>) -> Code {
        let configuration = self.configuration;
        let mut text = |name: &str| {
            configuration.text_in(function, &[name]).unwrap_or_else(|unknown| {
                notices.push(unknown.of(&format!("functions.{key}.{name}")));
                None
            })
        };
        let handler = text("handler");
        let own_entry = text("esbuildEntrypoint");
        let runtime = text("runtime").or_else(|| configuration.text(&["provider", "runtime"]).ok().flatten());
        let is_image = configuration.get_in(function, &["image"]).is_ok_and(|image| !image.is_null());
        if is_image {
            let unable = Some("it is a container image".to_owned());
            return Code { runtime, unable, ..Code::default() };
        }
        let Some(handler) = handler else {
            return Code { path: Some(configuration.directory.clone()), runtime, ..Code::default() };
        };
        if let Some(program) = self.program(function, runtime.as_deref(), &handler) {
            return Code {
                path: Some(program.path),
                is_entry: true,
                build: Some(program.build),
                ..Code::default()
            };
        }
        if runtime.as_deref().is_some_and(programs::is_for_programs) {
            return Code { handler: Some(handler), runtime, ..Code::default() };
        }
        let entry = self.bundler.entry(&configuration.directory, own_entry.as_deref().unwrap_or(&handler));
        match entry.filter(|entry| plugins::is_bundled(entry, runtime.as_deref(), &handler)) {
            Some(entry) => Code {
                path: Some(entry),
                is_entry: true,
                root: Some(configuration.directory.clone()),
                bundling: Some(self.bundler.bundling.clone()),
                handler: Some(handler),
                runtime,
                ..Code::default()
            },
            None => {
                let path = Some(self.packed(function));
                Code { path, handler: Some(handler), runtime, ..Code::default() }
            }
        }
    }

    fn program(&self, function: &Value, runtime: Option<&str>, handler: &str) -> Option<programs::Program> {
        let configuration = self.configuration;
        let of_plugin = plugins::of_plugin(configuration, &self.plugins, function, runtime, handler);
        of_plugin.or_else(|| {
            let own = configuration.text_in(function, &["package", "artifact"]).ok().flatten();
            let archive = own.or_else(|| configuration.text(&["package", "artifact"]).ok().flatten())?;
            programs::around(&configuration.directory, archive.as_ref(), runtime?, handler)
        })
    }

    /// The directory that is packed: the service's, or the one that is alone in the package of a function in Python.
    fn packed(&self, function: &Value) -> Utf8PathBuf {
        let configuration = self.configuration;
        let directory = configuration.directory.clone();
        let is_alone = [
            configuration.get_in(function, &["package", "individually"]),
            configuration.get(&["package", "individually"]),
        ];
        let has_plugin = self.plugins.iter().any(|plugin| plugin == "serverless-python-requirements");
        if !has_plugin || !is_alone.contains(&Ok(Value::Bool(true))) {
            return directory;
        }
        let module = configuration.text_in(function, &["module"]).ok().flatten();
        module.map_or_else(|| directory.clone(), |module| normalized(&directory.join(module)))
    }
}

/// The service's name, which older versions had in an object.
fn name(configuration: &Configuration) -> Result<String, Unknown> {
    match configuration.text(&["service"])? {
        Some(name) => Ok(name),
        None => Ok(configuration.text(&["service", "name"])?.unwrap_or_default()),
    }
}

/// The names of its plugins, in a list or in `modules`.
fn names_of_plugins(configuration: &Configuration, notices: &mut Vec<String>) -> Vec<String> {
    let declared = configuration.get(&["plugins"]).unwrap_or_else(|unknown| {
        notices.push(unknown.of("plugins"));
        Value::Null
    });
    let names = declared.as_array().or_else(|| declared["modules"].as_array());
    names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The logical id that the framework gives a function.
pub(super) fn logical_id(key: &str) -> String {
    let key = key.replace('-', "Dash").replace('_', "Underscore");
    let mut letters = key.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}LambdaFunction", letters.as_str())
}

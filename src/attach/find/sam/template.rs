//! The functions of a template, with those of the applications that it nests
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>).

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use super::{
    super::{Code, Declared, Which},
    esbuild,
    values::Values,
};
use crate::{
    error::{Error, Kind, Result},
    paths::normalized,
    project::manifest::BuildOptions,
    yaml,
};

/// The macro by which CloudFormation knows a template of SAM.
const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

/// Applications that nest themselves would have no end.
const DEEPEST: usize = 5;

/// Why a function in an image is left alone.
const IMAGE: &str = "it is a container image, which cannot become a stub in place";

/// Where a template is, and what it becomes.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The file, absolute.
    pub path: Utf8PathBuf,
    /// The directory that paths of code are relative to, if it is not the template's.
    pub base: Option<Utf8PathBuf>,
    /// The name of the stack, or nothing.
    pub stack: String,
}

/// Reads a template. None when it is none of SAM, which it is in any case where there is a configuration of SAM.
///
/// # Errors
/// [`Kind::Usage`] for one that cannot be read.
pub(super) fn read(path: &Utf8Path, is_of_sam: bool) -> Result<Option<Value>> {
    let wrong = |detail: String| Error::new(Kind::Usage, format!("cannot read `{path}`")).detail(detail);
    let text = fs_err::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if !is_of_sam && !text.contains(TRANSFORM) {
        return Ok(None);
    }
    parse(path, &text).map(Some).map_err(wrong)
}

fn parse(path: &Utf8Path, text: &str) -> Result<Value, String> {
    match path.extension() {
        Some("json") => serde_json::from_str(text).map_err(|error| error.to_string()),
        _ => yaml::parse(text),
    }
}

/// The functions that a template declares, given the values of its parameters. What of it cannot be heeded is told of.
pub(super) fn functions(
    context: &Context,
    template: &Value,
    parameters: BTreeMap<String, String>,
    notices: &mut Vec<String>,
) -> Vec<Declared> {
    let mut reader = Reader { stack: &context.stack, functions: Vec::new(), notices };
    reader.add(context, template, parameters, "");
    reader.functions
}

struct Reader<'a> {
    stack: &'a str,
    functions: Vec<Declared>,
    notices: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// Adds the functions of a template that is nested behind `way`, the logical ids of the stacks around it.
    fn add(&mut self, context: &Context, template: &Value, given: BTreeMap<String, String>, way: &str) {
        let values = Values::new(template, given);
        let resources = template.get("Resources").and_then(Value::as_object);
        for (id, resource) in resources.into_iter().flatten() {
            let path = format!("{way}{id}");
            let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
            let properties =
                resource.get("Properties").and_then(Value::as_object).cloned().unwrap_or_default();
            let code = match kind {
                "AWS::Serverless::Function" => {
                    let all = with_globals(template, properties);
                    Some(Function { context, values: &values, resource, properties: &all }.of_sam())
                }
                "AWS::Lambda::Function" => {
                    Some(Function { context, values: &values, resource, properties: &properties }.of_lambda())
                }
                "AWS::Serverless::Application" => {
                    self.nested(context, properties.get("Location"), &values, &properties, &path);
                    None
                }
                "AWS::CloudFormation::Stack" => {
                    self.nested(context, properties.get("TemplateURL"), &values, &properties, &path);
                    None
                }
                _ if id.starts_with("Fn::ForEach::") => {
                    self.notices.push(format!("the functions of the loop `{id}` are only known to CloudFormation; name them by `--function`"));
                    None
                }
                _ => None,
            };
            if let Some(code) = code {
                let which = Which::Resource { stack: self.stack.to_owned(), logical_id: path.clone() };
                self.functions.push(Declared { label: path, which, code });
            }
        }
    }

    /// What an application declares whose template is a file here. Others are in the repository of applications, or in a bucket.
    fn nested(
        &mut self,
        outer: &Context,
        location: Option<&Value>,
        values: &Values,
        properties: &Map<String, Value>,
        path: &str,
    ) {
        let Some(file) = location.and_then(|location| values.text(location)) else { return };
        let file = normalized(&outer.directory().join(file));
        if path.split('/').count() > DEEPEST || !file.is_file() {
            return;
        }
        let template = fs_err::read_to_string(&file).map_err(|error| error.to_string());
        let template = match template.and_then(|text| parse(&file, &text)) {
            Ok(template) => template,
            Err(error) => {
                self.notices.push(format!("the template of `{path}` cannot be read: `{file}`: {error}"));
                return;
            }
        };
        let parameters = properties.get("Parameters").and_then(Value::as_object).into_iter().flatten();
        let parameters = parameters.filter_map(|(name, value)| Some((name.clone(), values.text(value)?)));
        let context = Context { path: file, ..outer.clone() };
        self.add(&context, &template, parameters.collect(), &format!("{path}/"));
    }
}

impl Context {
    fn directory(&self) -> &Utf8Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

/// A function's properties with those of `Globals`. Only such are read of which one of the function's own replaces the other.
fn with_globals(template: &Value, own: Map<String, Value>) -> Map<String, Value> {
    let globals = template.get("Globals").and_then(|globals| globals.get("Function")?.as_object());
    let mut all = globals.cloned().unwrap_or_default();
    all.extend(own);
    all
}

struct Function<'a> {
    context: &'a Context,
    values: &'a Values,
    resource: &'a Value,
    properties: &'a Map<String, Value>,
}

impl Function<'_> {
    fn of_sam(&self) -> Code {
        if self.properties.contains_key("ImageUri") || self.is_image() {
            return unable(IMAGE);
        }
        if self.properties.contains_key("InlineCode") {
            return unable("its code is in the template (`InlineCode`), and in no file that could run here");
        }
        // What is not a path is in a bucket. Without any it is the directory itself.
        let here = Value::from(".");
        self.code(self.properties.get("CodeUri").unwrap_or(&here))
    }

    fn of_lambda(&self) -> Code {
        let code = self.properties.get("Code").unwrap_or(&Value::Null);
        if code.get("ImageUri").is_some() || self.is_image() {
            return unable(IMAGE);
        }
        if code.get("ZipFile").is_some() {
            return unable("its code is in the template (`ZipFile`), and in no file that could run here");
        }
        self.code(code)
    }

    fn is_image(&self) -> bool {
        self.text("PackageType").as_deref() == Some("Image")
    }

    fn code(&self, path: &Value) -> Code {
        let base = self.context.base.as_deref().unwrap_or(self.context.directory());
        let path = self.values.text(path).filter(|path| !path.contains("://"));
        let path = path.map(|path| normalized(&base.join(path)));
        let metadata = self.resource.get("Metadata").unwrap_or(&Value::Null);
        let method = metadata.get("BuildMethod").and_then(|method| self.values.text(method));
        let build = metadata.get("BuildProperties").and_then(Value::as_object).cloned().unwrap_or_default();
        let code =
            Code { path, handler: self.text("Handler"), runtime: self.text("Runtime"), ..Code::default() };
        match (method.as_deref(), &code.path) {
            (Some("esbuild"), Some(directory)) => {
                let handler = code.handler.as_deref().unwrap_or_default();
                let bundling = Some(esbuild::bundling(&build, directory));
                let entry = esbuild::entry(&build, directory, handler);
                let root = Some(directory.clone());
                Code {
                    is_entry: entry.is_some(),
                    path: entry.or_else(|| code.path.clone()),
                    root,
                    bundling,
                    ..code
                }
            }
            (Some(_), Some(_)) => {
                let binary = build.get("Binary").and_then(|binary| self.values.text(binary));
                let build =
                    binary.map(|binary| BuildOptions { binary: Some(binary), ..BuildOptions::default() });
                Code { build, ..code }
            }
            _ => code,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.values.text(self.properties.get(name)?)
    }
}

fn unable(reason: &str) -> Code {
    Code { unable: Some(reason.to_owned()), ..Code::default() }
}

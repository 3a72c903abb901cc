//! `samconfig.toml`, or the same in YAML: options of the SAM CLI's commands, by environment
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html>).

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Value as TomlValue};

use super::BUILT;
use crate::{
    error::{Error, Kind, Result},
    yaml,
};

const FILES: [&str; 3] = ["samconfig.toml", "samconfig.yaml", "samconfig.yml"];

/// The environment that counts when none is named.
const DEFAULT: &str = "default";

/// The options of one environment.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// The name of the file.
    pub file: String,
    /// Of `sam deploy`.
    deploy: Map<String, Value>,
    /// Of `sam build`.
    build: Map<String, Value>,
}

impl Config {
    /// Reads the file that is there, as the SAM CLI looks for it. None when there is none.
    ///
    /// # Errors
    /// [`Kind::Usage`] for one that cannot be read, or has no such environment.
    pub(super) fn read(root: &Utf8Path, environment: Option<&str>) -> Result<Option<Self>> {
        let Some(file) = FILES.into_iter().find(|file| root.join(file).is_file()) else { return Ok(None) };
        let path = root.join(file);
        let wrong = |detail: String| Error::new(Kind::Usage, format!("cannot read `{path}`")).detail(detail);
        let text = fs_err::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let document = match path.extension() {
            Some("toml") => of_toml(&text),
            _ => yaml::parse(&text),
        };
        Self::of(file, &document.map_err(wrong)?, environment).map(Some)
    }

    fn of(file: &str, document: &Value, environment: Option<&str>) -> Result<Self> {
        let name = environment.unwrap_or(DEFAULT);
        let Some(options) = document.get(name).and_then(Value::as_object) else {
            let has: Vec<_> = document
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| value.is_object())
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            // SAM's own commands take an environment without options for one.
            if environment.is_none() && has.is_empty() {
                return Ok(Self { file: file.to_owned(), ..Self::default() });
            }
            let error = Error::new(Kind::Usage, format!("`{file}` has no environment `{name}`"));
            return Err(error.hint(format!("give one that it has as `--stage`: {}", has.join(", "))));
        };
        let of = |command: &str| {
            let parameters = options.get(command).and_then(|command| command.get("parameters"));
            parameters.and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let of_command = |command: &str| {
            let mut all = of("global");
            all.extend(of(command));
            all
        };
        Ok(Self { file: file.to_owned(), deploy: of_command("deploy"), build: of_command("build") })
    }

    /// The template that somebody has written. What is deployed may be a copy of it that `sam build` has made.
    pub(super) fn template(&self) -> Option<Utf8PathBuf> {
        let of = |options: &Map<String, Value>| {
            ["template_file", "template"].into_iter().find_map(|name| text(options, name))
        };
        [of(&self.build), of(&self.deploy)]
            .into_iter()
            .flatten()
            .map(Utf8PathBuf::from)
            .find(|path| !path.iter().any(|part| part == BUILT))
    }

    /// The directory that paths of code are relative to, if it is not the template's.
    pub(super) fn base(&self) -> Option<String> {
        text(&self.build, "base_dir")
    }

    /// The name of the stack.
    pub(super) fn stack(&self) -> Option<String> {
        text(&self.deploy, "stack_name")
    }

    /// The region.
    pub(super) fn region(&self) -> Option<String> {
        text(&self.deploy, "region")
    }

    /// The profile of the AWS configuration.
    pub(super) fn profile(&self) -> Option<String> {
        text(&self.deploy, "profile")
    }

    /// The values of the template's parameters, as far as they are here.
    pub(super) fn overrides(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for options in [&self.build, &self.deploy] {
            if let Some(value) = options.get("parameter_overrides") {
                add_overrides(value, &mut found);
            }
        }
        found
    }
}

/// A text of one or more `Name=value` or `ParameterKey=Name,ParameterValue=value`, a list of these, or an object.
fn add_overrides(value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            for word in words(text) {
                let long =
                    word.strip_prefix("ParameterKey=").and_then(|rest| rest.split_once(",ParameterValue="));
                if let Some((name, value)) = long.or_else(|| word.split_once('=')) {
                    found.insert(unquoted(name), unquoted(value));
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| add_overrides(one, found)),
        Value::Object(all) => {
            for (name, value) in all {
                match value {
                    Value::Object(_) => {}
                    Value::Array(list) => {
                        let list: Vec<_> = list.iter().map(plain).collect();
                        found.insert(name.clone(), list.join(","));
                    }
                    other => drop(found.insert(name.clone(), plain(other))),
                }
            }
        }
        _ => {}
    }
}

/// The words of a text, with spaces within quotes, and behind backslashes, in them.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ') => {
                words.push(String::new());
                continue;
            }
            (_, '\\') => {
                if let (Some(word), Some(next)) = (words.last_mut(), characters.next()) {
                    word.extend((!matches!(next, ' ' | '"' | '\'')).then_some('\\'));
                    word.push(next);
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn unquoted(text: &str) -> String {
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    inner.unwrap_or(text).to_owned()
}

fn text(options: &Map<String, Value>, name: &str) -> Option<String> {
    options.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A value as CloudFormation takes parameters: as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn of_toml(text: &str) -> Result<Value, String> {
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    Ok(of_item(document.as_item()))
}

fn of_item(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => of_value(value),
        Item::Table(table) => {
            table.iter().map(|(key, item)| (key.to_owned(), of_item(item))).collect::<Map<_, _>>().into()
        }
        Item::ArrayOfTables(tables) => {
            tables.iter().map(|table| of_item(&Item::Table(table.clone()))).collect::<Vec<_>>().into()
        }
    }
}

fn of_value(value: &TomlValue) -> Value {
    match value {
        TomlValue::String(text) => Value::from(text.value().as_str()),
        TomlValue::Integer(number) => Value::from(*number.value()),
        TomlValue::Float(number) => Value::from(*number.value()),
        TomlValue::Boolean(value) => Value::from(*value.value()),
        TomlValue::Datetime(time) => Value::from(time.value().to_string()),
        TomlValue::Array(all) => all.iter().map(of_value).collect::<Vec<_>>().into(),
        TomlValue::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_owned(), of_value(value))).collect::<Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
version = 0.1
[default.global.parameters]
stack_name = "orders"
region = "eu-west-1"
[default.build.parameters]
template_file = "infra/app.yaml"
base_dir = "."
parameter_overrides = "Runtime=a Log=b"
[default.deploy.parameters]
stack_name = "orders-dev"
template_file = ".aws-sam/build/template.yaml"
parameter_overrides = ["Log=c", "ParameterKey=Text,ParameterValue='two words'"]
[prod.deploy.parameters]
stack_name = "orders-prod"
profile = "prod"
"#;

    fn read(file: &str, text: &str, environment: Option<&str>) -> Result<Option<Config>> {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::write(root.join(file), text).unwrap();
        Config::read(root, environment)
    }

    #[test]
    fn options_of_a_command_win_over_global_ones() {
        let config = read("samconfig.toml", TOML, None).unwrap().unwrap();
        assert_eq!(config.stack().as_deref(), Some("orders-dev"));
        assert_eq!(config.region().as_deref(), Some("eu-west-1"));
        assert_eq!(config.template().unwrap(), "infra/app.yaml");
        assert_eq!(config.base().as_deref(), Some("."));
        let overrides: Vec<_> = config.overrides().into_iter().collect();
        let expected = [("Log", "c"), ("Runtime", "a"), ("Text", "two words")];
        assert_eq!(overrides, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_environment_is_chosen_by_the_stage() {
        let config = read("samconfig.toml", TOML, Some("prod")).unwrap().unwrap();
        assert_eq!(
            (config.stack().as_deref(), config.profile().as_deref()),
            (Some("orders-prod"), Some("prod"))
        );
        let error = read("samconfig.toml", TOML, Some("test")).unwrap_err();
        assert_eq!(error.message, "`samconfig.toml` has no environment `test`");
        assert_eq!(error.hint.unwrap(), "give one that it has as `--stage`: `default`, `prod`");
    }

    #[test]
    fn the_same_may_be_in_yaml() {
        let text = "version: 0.1\ndefault:\n  deploy:\n    parameters:\n      stack_name: orders\n      \
                    parameter_overrides:\n        Stage: dev\n        Zones: [a, b]\n        Count: 2\n";
        let config = read("samconfig.yaml", text, None).unwrap().unwrap();
        assert_eq!(config.stack().as_deref(), Some("orders"));
        let expected = [("Count", "2"), ("Stage", "dev"), ("Zones", "a,b")];
        let overrides: Vec<_> = config.overrides().into_iter().collect();
        assert_eq!(overrides, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_file_that_is_none_is_told() {
        let error = read("samconfig.toml", "[default", None).unwrap_err();
        assert!(error.message.contains("samconfig.toml") && error.detail.is_some(), "{error:?}");
        assert!(Config::read("/nowhere".into(), None).unwrap().is_none());
    }

    /// What `CfnParameterOverridesType` of the SAM CLI 1.170 makes of the same texts.
    #[test]
    fn overrides_are_read_as_the_sam_cli_reads_them() {
        for (text, expected) in [
            ("A=1 B=2", &[("A", "1"), ("B", "2")][..]),
            ("A=\"x y\" B='z'", &[("A", "x y"), ("B", "z")]),
            (r"A=x\ y B=2", &[("A", "x y"), ("B", "2")]),
            (
                "ParameterKey=A,ParameterValue=1 ParameterKey=B,ParameterValue=\"2 3\"",
                &[("A", "1"), ("B", "2 3")],
            ),
            ("\"A\"=\"1\" B=a=b", &[("A", "1"), ("B", "a=b")]),
        ] {
            let mut found = BTreeMap::new();
            add_overrides(&Value::from(text), &mut found);
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}

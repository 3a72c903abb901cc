//! What the fields of `serverless.yml` say when the variables in them have been looked up: those that need neither the project's own tool
//! nor an account.

mod syntax;

use std::{borrow::Cow, collections::BTreeMap};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use self::syntax::{Part, Parts, Source, Variable};
use crate::yaml;

/// The stage where nothing names one.
const DEFAULT_STAGE: &str = "dev";

/// How deep variables may be in one another. Those that are in themselves would never end.
const DEEPEST: usize = 40;

/// A service's configuration, whose fields are looked up one by one: many have variables that nobody needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Configuration {
    /// The service's directory.
    pub(super) directory: Utf8PathBuf,
    /// What its file says.
    pub(super) fields: Value,
    /// Whether the project's own tool has put values in the place of variables already.
    pub(super) is_resolved: bool,
    /// Options of the command line, by their names.
    pub(super) options: BTreeMap<&'static str, String>,
    /// The variables of the environment.
    pub(super) environment: BTreeMap<String, String>,
}

/// A variable whose value is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown {
    /// As it is written.
    variable: String,
    /// Why, as a fragment that fits after "which".
    reason: String,
}

impl Unknown {
    /// A sentence that says of which field it is the value.
    pub(super) fn of(&self, field: &str) -> String {
        format!("`{field}` has `{}`, which {}", self.variable, self.reason)
    }
}

type Found = Result<Value, Unknown>;

impl Configuration {
    /// What a field says, with all that is in it. Null when it is not there.
    pub(super) fn get(&self, path: &[&str]) -> Found {
        self.get_in(&self.fields, path)
    }

    /// What a field of `within` says, as [`Configuration::get`].
    pub(super) fn get_in(&self, within: &Value, path: &[&str]) -> Found {
        self.whole(self.follow(within, path, 0)?)
    }

    /// What a field says that should be a text. None when it is not there, or something else.
    pub(super) fn text(&self, path: &[&str]) -> Result<Option<String>, Unknown> {
        self.text_in(&self.fields, path)
    }

    /// What a field of `within` says, as [`Configuration::text`].
    pub(super) fn text_in(&self, within: &Value, path: &[&str]) -> Result<Option<String>, Unknown> {
        Ok(self.follow(within, path, 0)?.as_str().map(str::to_owned))
    }

    /// The fields of a field, where they may be given as a list of objects as well; their values may have variables.
    pub(super) fn entries(&self, path: &[&str]) -> Result<Map<String, Value>, Unknown> {
        let mut entries = Map::new();
        let parts = match self.follow(&self.fields, path, 0)? {
            Value::Array(parts) => parts,
            one => vec![one],
        };
        for part in parts {
            if let Value::Object(fields) = self.shallow(&part, 0)? {
                entries.extend(fields);
            }
        }
        Ok(entries)
    }

    /// The stage: that of the command line, or of the file.
    pub(super) fn stage(&self) -> Result<String, Unknown> {
        self.stage_at(0)
    }

    /// The first number of the framework's version that the file asks for.
    pub(super) fn major(&self) -> Option<u64> {
        let wanted = self.text(&["frameworkVersion"]).ok()??;
        let number = wanted.trim_start_matches(|one: char| !one.is_ascii_digit());
        number.split(|one: char| !one.is_ascii_digit()).next()?.parse().ok()
    }

    /// With the variables of `.env.<stage>`, or `.env`, where the file asks for these. Those that are there win.
    pub(super) fn with_env_files(mut self) -> Self {
        let is_asked_for = self.get(&["useDotenv"]) == Ok(Value::Bool(true)) || self.major() >= Some(4);
        let Some(stage) = self.stage().ok().filter(|_| is_asked_for) else { return self };
        let names = [format!(".env.{stage}"), ".env".to_owned()];
        let text = names.iter().find_map(|name| fs_err::read_to_string(self.directory.join(name)).ok());
        let text = text.unwrap_or_default().lines().map(quoted).collect::<Vec<_>>().join("\n");
        for (name, value) in dotenvy::from_read_iter(text.as_bytes()).filter_map(Result::ok) {
            self.environment.entry(name).or_insert(value);
        }
        self
    }

    fn stage_at(&self, depth: usize) -> Result<String, Unknown> {
        if let Some(stage) = self.options.get("stage") {
            return Ok(stage.clone());
        }
        let declared = self.follow(&self.fields, &["provider", "stage"], depth)?;
        Ok(declared.as_str().unwrap_or(DEFAULT_STAGE).to_owned())
    }

    /// Goes along a path on which any value may be a variable.
    fn follow(&self, from: &Value, path: &[&str], depth: usize) -> Found {
        let mut value = self.shallow(from, depth)?;
        for key in path {
            let next = match &value {
                Value::Object(fields) => fields.get(*key),
                Value::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
                _ => None,
            };
            value = next.map_or(Ok(Value::Null), |next| self.shallow(next, depth))?;
        }
        Ok(value)
    }

    /// A value without the variables that are in its fields.
    fn whole(&self, value: Value) -> Found {
        let whole = |value| self.whole(self.shallow(&value, 0)?);
        Ok(match value {
            Value::Array(items) => Value::Array(items.into_iter().map(whole).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, field)| Ok((name, whole(field)?)));
                Value::Object(fields.collect::<Result<_, _>>()?)
            }
            other => other,
        })
    }

    /// The value that a text with variables stands for; any other as it is.
    fn shallow(&self, value: &Value, depth: usize) -> Found {
        match value {
            Value::String(text) if !self.is_resolved => self.filled(&syntax::parse(text), depth),
            other => Ok(other.clone()),
        }
    }

    fn filled(&self, parts: &Parts, depth: usize) -> Found {
        if let [Part::Variable(variable)] = parts.as_slice() {
            return self.value(variable, depth + 1);
        }
        let mut filled = String::new();
        for part in parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Variable(variable) => match self.value(variable, depth + 1)? {
                    Value::String(text) => filled.push_str(&text),
                    value @ (Value::Number(_) | Value::Bool(_)) => filled.push_str(&value.to_string()),
                    _ => return Err(unknown(variable, "is no text")),
                },
            }
        }
        Ok(Value::String(filled))
    }

    fn value(&self, variable: &Variable, depth: usize) -> Found {
        if depth > DEEPEST {
            return Err(unknown(variable, "refers to itself"));
        }
        for source in &variable.sources {
            let found = match source {
                // A text in quotation marks may have variables as well.
                Source::Literal(value) => return self.shallow(value, depth),
                Source::Typed { kind, params, address } => {
                    let texts = |parts: &Parts| {
                        let value = self.filled(parts, depth)?;
                        let text = value.as_str().map(str::to_owned);
                        Ok(text.unwrap_or_else(|| value.to_string()))
                    };
                    let params: Vec<String> = params.iter().map(texts).collect::<Result<_, _>>()?;
                    let address = address.as_ref().map(texts).transpose()?.unwrap_or_default();
                    self.looked_up(variable, kind, &params, &address, depth)?
                }
            };
            if !found.is_null() {
                return Ok(found);
            }
        }
        Err(unknown(variable, "has no value"))
    }

    fn looked_up(
        &self,
        variable: &Variable,
        kind: &str,
        params: &[String],
        address: &str,
        depth: usize,
    ) -> Found {
        let path: Vec<&str> = address.split('.').filter(|key| !key.is_empty()).collect();
        let text = |text: Option<&String>| Ok(text.map_or(Value::Null, |text| Value::from(text.as_str())));
        match (kind, params) {
            ("self", _) => self.follow(&self.fields, &path, depth),
            ("opt", _) => text(self.options.get(address)),
            ("env", _) => text(self.environment.get(address)),
            ("sls", _) if address == "stage" => self.stage_at(depth).map(Value::from),
            ("aws", _) if address == "region" => self.region(depth),
            ("param", _) => self.param(address, depth),
            ("strToBool", [text]) => match text.trim().to_lowercase().as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(unknown(variable, "is neither true nor false")),
            },
            ("file", [path_of_file, ..]) => {
                let file = self.directory.join(path_of_file);
                self.follow(&read(variable, &file)?, &path, depth)
            }
            _ => Err(unknown(variable, "only the Serverless Framework can look up")),
        }
    }

    fn region(&self, depth: usize) -> Found {
        match self.options.get("region") {
            Some(region) => Ok(Value::from(region.as_str())),
            None => self.follow(&self.fields, &["provider", "region"], depth),
        }
    }

    /// A parameter of the stage, or one of all stages.
    fn param(&self, name: &str, depth: usize) -> Found {
        let stage = self.stage_at(depth)?;
        for stage in [stage.as_str(), "default"] {
            for path in [vec!["params", stage, name], vec!["stages", stage, "params", name]] {
                let found = self.follow(&self.fields, &path, depth)?;
                if !found.is_null() {
                    return Ok(found);
                }
            }
        }
        Ok(Value::Null)
    }
}

/// A line of an `.env` file, where the framework's own reader takes several words without quotation marks as well.
fn quoted(line: &str) -> Cow<'_, str> {
    let Some((name, value)) = line.split_once('=') else { return line.into() };
    let value = value.split(" #").next().unwrap_or_default().trim();
    match value.contains(' ') && !value.contains(['\'', '"']) {
        true => format!("{name}='{value}'").into(),
        false => line.into(),
    }
}

/// What is in a file. Null when there is none.
fn read(variable: &Variable, file: &Utf8Path) -> Found {
    let kind = file.extension().unwrap_or_default();
    if matches!(kind, "js" | "cjs" | "mjs" | "ts" | "mts" | "cts") {
        return Err(unknown(variable, "is a program that only the Serverless Framework runs"));
    }
    let Ok(text) = fs_err::read_to_string(file) else { return Ok(Value::Null) };
    let parsed = match kind {
        "yml" | "yaml" => yaml::parse(&text),
        "json" | "tfstate" => serde_json::from_str(&text).map_err(|error| error.to_string()),
        _ => Ok(Value::String(text)),
    };
    parsed.map_err(|error| unknown(variable, &format!("cannot be read: {error}")))
}

fn unknown(variable: &Variable, reason: &str) -> Unknown {
    Unknown { variable: variable.written.clone(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;

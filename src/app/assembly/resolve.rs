//! What the expressions of templates point at, across nested stacks and stacks that import one another's exports.

use serde_json::Value;

use super::read::{Assembly, property, type_of};

/// Expressions pass through parameters, outputs, and exports; longer chains than this are no chains but circles.
const LONGEST_CHAIN: usize = 20;

/// A resource: the index of its template, and its logical id.
pub(in crate::app) type Place = (usize, String);

impl Assembly {
    /// The resource that `expression`, written in template `template`, stands for: a `Ref`, `Fn::GetAtt`, `Fn::Sub` of nothing else, or
    /// `Fn::ImportValue`, followed through the parameters and outputs of nested stacks.
    pub(in crate::app) fn resolve(&self, template: usize, expression: &Value) -> Option<Place> {
        self.follow(template, expression, 0)
    }

    /// The function behind an expression: itself, or that of the version or alias that it stands for.
    pub(in crate::app) fn function_behind(&self, template: usize, expression: &Value) -> Option<Place> {
        let mut place = self.resolve(template, expression)?;
        for _ in 0..LONGEST_CHAIN {
            let resource = self.at(&place)?;
            match type_of(resource) {
                "AWS::Lambda::Function" => return Some(place),
                "AWS::Lambda::Version" | "AWS::Lambda::Alias" => {
                    place = self.resolve(place.0, property(resource, "FunctionName")?)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// The resource at a place.
    pub(in crate::app) fn at(&self, place: &Place) -> Option<&Value> {
        self.templates.get(place.0)?.resource(&place.1)
    }

    fn follow(&self, template: usize, expression: &Value, steps: usize) -> Option<Place> {
        if steps > LONGEST_CHAIN {
            return None;
        }
        let expression = expression.as_object().filter(|object| object.len() == 1)?;
        let (function, argument) = expression.iter().next()?;
        match function.as_str() {
            "Ref" => self.follow_name(template, argument.as_str()?, None, steps),
            "Fn::GetAtt" => {
                let (name, attribute) = match argument {
                    Value::String(both) => both.split_once('.')?,
                    Value::Array(both) => (both.first()?.as_str()?, both.get(1)?.as_str()?),
                    _ => return None,
                };
                self.follow_name(template, name, Some(attribute), steps)
            }
            // The whole text is one name; within others it is only a part of what the text becomes.
            "Fn::Sub" => {
                let name = argument.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
                let (name, attribute) =
                    name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
                self.follow_name(template, name, attribute, steps)
            }
            "Fn::ImportValue" => {
                let (exporter, value) = self.exported(argument)?;
                self.follow(exporter, value, steps + 1)
            }
            _ => None,
        }
    }

    fn follow_name(
        &self,
        template: usize,
        name: &str,
        attribute: Option<&str>,
        steps: usize,
    ) -> Option<Place> {
        let here = &self.templates[template];
        if let Some(resource) = here.resource(name) {
            let nested_output = attribute.and_then(|attribute| attribute.strip_prefix("Outputs."));
            if type_of(resource) == "AWS::CloudFormation::Stack"
                && let Some(output) = nested_output
            {
                let child = self.templates.iter().position(|child| {
                    child.parent.as_ref().is_some_and(|(parent, id)| *parent == template && id == name)
                })?;
                let value = self.templates[child].body.get("Outputs")?.get(output)?.get("Value")?;
                return self.follow(child, value, steps + 1);
            }
            return Some((template, name.to_owned()));
        }
        let (parent, nesting) = here.parent.as_ref()?;
        let argument = property(self.templates[*parent].resource(nesting)?, "Parameters")?.get(name)?;
        self.follow(*parent, argument, steps + 1)
    }

    fn exported(&self, name: &Value) -> Option<(usize, &Value)> {
        self.templates.iter().enumerate().find_map(|(index, template)| {
            let outputs = template.body.get("Outputs")?.as_object()?;
            let output = outputs
                .values()
                .find(|output| output.get("Export").and_then(|export| export.get("Name")) == Some(name))?;
            Some((index, output.get("Value")?))
        })
    }
}

/// Calls `visit` with every name that an expression refers to by `Ref`, `Fn::GetAtt`, or `Fn::Sub`.
pub(in crate::app) fn names_in(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_in(item, visit)),
        Value::Object(object) => {
            for (key, inner) in object {
                match (key.as_str(), inner) {
                    ("Ref", Value::String(name)) => visit(name),
                    ("Fn::GetAtt", Value::String(both)) => visit(both.split('.').next().unwrap_or(both)),
                    ("Fn::GetAtt", Value::Array(both)) => {
                        if let Some(name) = both.first().and_then(Value::as_str) {
                            visit(name);
                        }
                    }
                    ("Fn::Sub", Value::String(text)) => substitutions(text).for_each(&mut *visit),
                    ("Fn::Sub", Value::Array(both)) => {
                        if let Some(text) = both.first().and_then(Value::as_str) {
                            substitutions(text).for_each(&mut *visit);
                        }
                        both.iter().skip(1).for_each(|item| names_in(item, visit));
                    }
                    _ => names_in(inner, visit),
                }
            }
        }
        _ => {}
    }
}

/// The names in the `${…}` of a `Fn::Sub` text, without attributes.
fn substitutions(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.split('.').next().unwrap_or(name))
}

/// Renames resources wherever an expression, or a `DependsOn`, refers to them.
pub(in crate::app) fn rename(value: &mut Value, renamed: &std::collections::BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, renamed)),
        Value::Object(object) => {
            for (key, inner) in object.iter_mut() {
                match (key.as_str(), &mut *inner) {
                    ("Ref" | "DependsOn", Value::String(name)) => replace(name, renamed),
                    ("DependsOn", Value::Array(names)) => {
                        for name in names {
                            if let Value::String(name) = name {
                                replace(name, renamed);
                            }
                        }
                    }
                    ("Fn::GetAtt", Value::String(both)) => {
                        if let Some((name, attribute)) = both.split_once('.')
                            && let Some(new) = renamed.get(name)
                        {
                            *both = format!("{new}.{attribute}");
                        }
                    }
                    ("Fn::GetAtt", Value::Array(both)) => {
                        if let Some(Value::String(name)) = both.first_mut() {
                            replace(name, renamed);
                        }
                        both.iter_mut().skip(1).for_each(|item| rename(item, renamed));
                    }
                    ("Fn::Sub", Value::String(text)) => rename_substitutions(text, renamed),
                    ("Fn::Sub", Value::Array(both)) => {
                        if let Some(Value::String(text)) = both.first_mut() {
                            rename_substitutions(text, renamed);
                        }
                        both.iter_mut().skip(1).for_each(|item| rename(item, renamed));
                    }
                    _ => rename(inner, renamed),
                }
            }
        }
        _ => {}
    }
}

fn replace(name: &mut String, renamed: &std::collections::BTreeMap<String, String>) {
    if let Some(new) = renamed.get(name) {
        name.clone_from(new);
    }
}

fn rename_substitutions(text: &mut String, renamed: &std::collections::BTreeMap<String, String>) {
    for (old, new) in renamed {
        *text = text
            .replace(&format!("${{{old}}}"), &format!("${{{new}}}"))
            .replace(&format!("${{{old}."), &format!("${{{new}."));
    }
}

//! What calls each function, as the templates say it: routes of APIs, queues, streams, topics, buckets, schedules, and what else sends
//! events. Nothing is asked of AWS; what only CloudFormation knows, such as the name that a queue gets, is not here.

mod http;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::assembly::{Assembly, Place, construct_path, names_in, property, text, type_of};
use crate::{
    ids::FunctionId,
    project::manifest::{FunctionSpec, Trigger},
};

/// The triggers of these functions, in the order of the templates. Functions that nothing calls are left out.
#[must_use]
pub fn triggers(assembly: &Assembly, functions: &[FunctionSpec]) -> BTreeMap<FunctionId, Vec<Trigger>> {
    let mut finder = Finder::default();
    for (template, body) in assembly.templates.iter().enumerate() {
        for (id, resource) in body.resources() {
            let resource = Resource { assembly, place: (template, id.clone()), body: resource };
            finder.http(&resource);
            finder.sources(&resource);
        }
    }
    let mut found: BTreeMap<FunctionId, Vec<Trigger>> = BTreeMap::new();
    for ((template, logical_id), triggers) in finder.found {
        let id = FunctionId::from(assembly.function_id(template, &logical_id));
        if functions.iter().any(|function| function.id == id) {
            found.entry(id).or_default().extend(triggers);
        }
    }
    found
}

#[derive(Default)]
struct Finder {
    found: BTreeMap<Place, Vec<Trigger>>,
}

/// A resource of a template, with what its expressions are read in.
#[derive(Clone)]
struct Resource<'a> {
    assembly: &'a Assembly,
    place: Place,
    body: &'a Value,
}

impl Finder {
    /// Notes a trigger for each function in an expression.
    fn add(&mut self, at: &Resource<'_>, expression: Option<&Value>, trigger: &Trigger) {
        for function in expression.map(|expression| at.functions_in(expression)).unwrap_or_default() {
            let triggers = self.found.entry(function).or_default();
            if !triggers.contains(trigger) {
                triggers.push(trigger.clone());
            }
        }
    }
}

impl<'a> Resource<'a> {
    /// The resource that an expression of this one stands for.
    fn behind(&self, expression: &Value) -> Option<Resource<'a>> {
        let place = self.assembly.resolve(self.place.0, expression)?;
        Some(Self { assembly: self.assembly, body: self.assembly.at(&place)?, place })
    }

    /// The first resource of a type that an expression names.
    fn named_in(&self, expression: &Value, wanted: &str) -> Option<Resource<'a>> {
        let mut names = Vec::new();
        names_in(expression, &mut |name| names.push(name.to_owned()));
        let found = names.into_iter().filter_map(|name| self.behind(&json!({ "Ref": name })));
        found.into_iter().find(|resource| resource.is(wanted))
    }

    /// The resources of a type in the same template, one of whose properties stands for this one.
    fn referring(&self, wanted: &'a str, name: &'a str) -> impl Iterator<Item = Resource<'a>> {
        let (assembly, place) = (self.assembly, self.place.clone());
        let all = assembly.templates.iter().enumerate();
        let all = all.flat_map(|(template, body)| body.resources().map(move |one| (template, one)));
        let of_type = all.filter(move |(_, (_, body))| type_of(body) == wanted);
        of_type.filter_map(move |(template, (id, body))| {
            let target = assembly.resolve(template, property(body, name)?)?;
            (target == place).then(|| Resource { assembly, place: (template, id.clone()), body })
        })
    }

    fn is(&self, wanted: &str) -> bool {
        type_of(self.body) == wanted
    }

    fn property(&self, name: &str) -> Option<&'a Value> {
        property(self.body, name)
    }

    /// What a property becomes, if that is known.
    fn text(&self, name: &str) -> Option<String> {
        self.text_of(self.property(name)?)
    }

    fn text_of(&self, expression: &Value) -> Option<String> {
        text(self.assembly, self.place.0, expression)
    }

    /// The functions that an expression names, wherever they are in it: in an address of an integration, or in the definition of a state
    /// machine.
    fn functions_in(&self, expression: &Value) -> BTreeSet<Place> {
        let behind = |expression: &Value| self.assembly.function_behind(self.place.0, expression);
        if let Some(function) = behind(expression) {
            return [function].into();
        }
        match expression {
            Value::Array(items) => items.iter().flat_map(|item| self.functions_in(item)).collect(),
            Value::Object(object) if object.contains_key("Fn::Sub") => {
                let mut found = BTreeSet::new();
                names_in(expression, &mut |name| found.extend(behind(&json!({ "Ref": name }))));
                found
            }
            Value::Object(object) => object.values().flat_map(|value| self.functions_in(value)).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// What people call it: its path among the constructs of its stack, else its logical id.
    fn label(&self) -> String {
        let stack = &self.assembly.stacks[self.assembly.templates[self.place.0].stack];
        let below = |path: &'a str| path.strip_prefix(stack.selector.as_str())?.strip_prefix('/');
        construct_path(self.body).and_then(below).unwrap_or(&self.place.1).to_owned()
    }

    /// A trigger whose events come from this resource.
    fn trigger(&self, kind: &str, text: impl Into<String>) -> Trigger {
        let stack = self.assembly.templates[self.place.0].stack;
        Trigger {
            kind: kind.to_owned(),
            text: text.into(),
            method: None,
            path: None,
            logical_id: Some(self.place.1.clone()),
            name: None,
            stack: self.assembly.stacks[stack].name.clone(),
            account: self.assembly.account_of(stack).to_owned(),
            region: self.assembly.region_of(stack).to_owned(),
            more: Map::new(),
        }
    }

    /// The same, with the name that the template gives the resource, if it does.
    fn named_trigger(&self, kind: &str, text: impl Into<String>, name: &str) -> Trigger {
        Trigger { name: self.text(name), ..self.trigger(kind, text) }
    }
}

impl Trigger {
    /// Adds a field that triggers of its kind have, if its value is known.
    fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.more.insert(name.to_owned(), value.into());
        }
        self
    }
}

//! What a new synthesis would change in what is deployed, and which files call for one.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{app::DeployedTemplate, core::event::FileChange, project::manifest::FunctionSpec};

/// What a deployment would change in one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackChange {
    /// The stack's name.
    pub stack: String,
    /// The resources that would change, those of nested stacks included.
    pub resources: Vec<ResourceChange>,
    /// Whether anything but resources would change, e.g. outputs.
    pub other: bool,
}

/// What a deployment would do with a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChange {
    /// The name of its stack.
    pub stack: String,
    /// The logical id in the template.
    pub logical_id: String,
    /// E.g. `AWS::DynamoDB::Table`.
    pub r#type: String,
    /// What it would do.
    pub action: Action,
}

/// What is done with a resource, in CloudFormation's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is created.
    Add,
    /// It is updated, or replaced by another one.
    Modify,
    /// It is removed.
    Remove,
}

impl StackChange {
    fn note(&mut self, logical_id: &str, resource: &Value, action: Action) {
        let r#type = resource.get("Type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (stack, logical_id) = (self.stack.clone(), logical_id.to_owned());
        self.resources.push(ResourceChange { stack, logical_id, r#type, action });
    }
}

impl std::fmt::Display for StackChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count =
            |action: Action| self.resources.iter().filter(|resource| resource.action == action).count();
        let counts = [(Action::Add, "to add"), (Action::Modify, "to change"), (Action::Remove, "to remove")];
        let counts = counts.map(|(action, what)| (count(action), what));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0).enumerate();
        let mut parts: Vec<String> = counts
            .map(|(index, (count, what))| match (index, count) {
                (0, 1) => format!("1 resource {what}"),
                (0, _) => format!("{count} resources {what}"),
                _ => format!("{count} {what}"),
            })
            .collect();
        if self.other {
            parts.push("outputs or parameters".to_owned());
        }
        write!(formatter, "{}: {}", self.stack, parts.join(", "))
    }
}

/// What the deployment of `new` would change where `old` is deployed, by stack. What only looks different is left out: metadata, the
/// order of keys, and the names of nested templates. Stacks that are missing in `new` are as well: a deployment leaves them alone.
#[must_use]
pub fn changes(old: &[DeployedTemplate], new: &[DeployedTemplate]) -> Vec<StackChange> {
    let index = |templates| -> BTreeMap<(String, String), Template> {
        let all: std::slice::Iter<'_, DeployedTemplate> = templates;
        all.map(|template| ((template.stack.clone(), template.path.clone()), Template::read(&template.body)))
            .collect()
    };
    let (old, new) = (index(old.iter()), index(new.iter()));
    let names: BTreeSet<&String> = new.keys().map(|(stack, _)| stack).collect();
    let mut all = Vec::new();
    for stack in names {
        let mut change = StackChange { stack: stack.clone(), resources: Vec::new(), other: false };
        let of_stack = |(name, _): &&(String, String)| name == stack;
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).filter(of_stack).collect();
        let nothing = Template::default();
        for key in keys {
            let (before, after) = (old.get(key).unwrap_or(&nothing), new.get(key).unwrap_or(&nothing));
            for (id, resource) in &after.resources {
                match before.resources.get(id) {
                    None => change.note(id, resource, Action::Add),
                    Some(former) if former != resource => change.note(id, resource, Action::Modify),
                    Some(_) => {}
                }
            }
            for (id, resource) in before.resources.iter().filter(|(id, _)| !after.resources.contains_key(*id))
            {
                change.note(id, resource, Action::Remove);
            }
            change.other |= before.rest != after.rest && new.contains_key(key) && old.contains_key(key);
        }
        if !change.resources.is_empty() || change.other {
            all.push(change);
        }
    }
    all
}

/// The stacks of `old` that are not in `new`.
#[must_use]
pub fn abandoned(old: &[DeployedTemplate], new: &[DeployedTemplate]) -> Vec<String> {
    let kept: BTreeSet<&str> = new.iter().map(|template| template.stack.as_str()).collect();
    let gone: BTreeSet<&str> =
        old.iter().map(|template| template.stack.as_str()).filter(|stack| !kept.contains(stack)).collect();
    gone.into_iter().map(str::to_owned).collect()
}

/// What CloudFormation makes of a template.
#[derive(Default)]
struct Template {
    resources: Map<String, Value>,
    rest: Map<String, Value>,
}

impl Template {
    fn read(body: &Value) -> Self {
        let mut rest = body.as_object().cloned().unwrap_or_default();
        rest.remove("Metadata");
        let mut resources = match rest.remove("Resources") {
            Some(Value::Object(resources)) => resources,
            _ => Map::new(),
        };
        for resource in resources.values_mut().filter_map(Value::as_object_mut) {
            resource.remove("Metadata");
            // The name of a nested template is a hash of its content, which is compared by itself.
            if resource.get("Type").and_then(Value::as_str) == Some("AWS::CloudFormation::Stack")
                && let Some(properties) = resource.get_mut("Properties").and_then(Value::as_object_mut)
            {
                properties.remove("TemplateURL");
            }
        }
        Self { resources, rest }
    }
}

/// The files of which an app's stacks are made.
#[derive(Debug, Clone)]
pub struct StackSources {
    root: Utf8PathBuf,
    files: BTreeSet<Utf8PathBuf>,
    /// Where the code of functions is.
    functions: Vec<Utf8PathBuf>,
}

impl StackSources {
    /// The files that an assembly says it was made of, and where the code of functions is.
    #[must_use]
    pub fn new(root: &Utf8Path, inputs: &[Utf8PathBuf], functions: &[FunctionSpec]) -> Self {
        // An app in Python runs the CDK itself in Node, which loads a file of its own and none of the project.
        let known = inputs.iter().any(|input| input.starts_with(root));
        Self {
            root: root.to_owned(),
            files: if known { inputs.iter().cloned().collect() } else { BTreeSet::new() },
            functions: functions.iter().map(|function| function.source.directory().to_owned()).collect(),
        }
    }

    /// Whether any of the changes calls for another synthesis.
    #[must_use]
    pub fn concerned_by(&self, changes: &[FileChange]) -> bool {
        changes.iter().any(|change| {
            let path = &change.path;
            // A root stands for everything below it, when events were lost.
            *path == self.root
                || self.files.contains(path)
                || (path.parent() == Some(&self.root) && is_setting(path.file_name().unwrap_or_default()))
                || (self.files.is_empty() && self.could_be_a_stack(path))
        })
    }

    /// For apps that are not written in JavaScript, which do not say what they are made of: any source file that is not in a function.
    fn could_be_a_stack(&self, path: &Utf8Path) -> bool {
        const LANGUAGES: [&str; 7] = ["py", "java", "kt", "cs", "fs", "go", "rs"];
        path.extension().is_some_and(|extension| LANGUAGES.contains(&extension))
            && !self.functions.iter().any(|function| path.starts_with(function))
    }
}

/// Whether a file of the project's directory has something to say about the app.
fn is_setting(name: &str) -> bool {
    matches!(name, "cdk.json" | "cdk.context.json" | "sst.json")
        || name == ".env"
        || name.starts_with(".env.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(stack: &str, path: &str, resources: &Value, outputs: &Value) -> DeployedTemplate {
        let body = json!({ "Resources": resources, "Outputs": outputs, "Metadata": { "at": path } });
        DeployedTemplate { stack: stack.to_owned(), path: path.to_owned(), body }
    }

    #[test]
    fn what_only_looks_different_is_no_change() {
        let nested =
            |url: &str| json!({ "Type": "AWS::CloudFormation::Stack", "Properties": { "TemplateURL": url } });
        let old = [template(
            "a",
            "",
            &json!({
                "T": { "Type": "AWS::SNS::Topic", "Properties": { "A": 1, "B": [1, 2] }, "Metadata": { "p": 1 } },
                "N": nested("one"),
            }),
            &json!({}),
        )];
        let mut new = old.clone();
        new[0].body = serde_json::from_str(
            r#"{"Outputs":{},"Metadata":7,"Resources":{"N":{"Properties":{"TemplateURL":"two"},"Type":"AWS::CloudFormation::Stack"},
                "T":{"Properties":{"B":[1,2],"A":1},"Type":"AWS::SNS::Topic"}}}"#,
        )
        .expect("JSON");
        assert_eq!(changes(&old, &new), []);
    }

    #[test]
    fn changes_are_counted_by_stack_with_those_of_nested_stacks() {
        let topic = |name: &str| json!({ "Type": "AWS::SNS::Topic", "Properties": { "Name": name } });
        let none = json!({});
        let old = [
            template("a", "", &json!({ "Gone": topic("x"), "Kept": topic("y"), "Other": topic("z") }), &none),
            template("a", "Nested", &json!({ "Inner": topic("i") }), &none),
            template("same", "", &json!({ "T": topic("t") }), &none),
            template("out", "", &json!({}), &none),
            template("left", "", &json!({ "T": topic("t") }), &none),
        ];
        let new = [
            template(
                "a",
                "",
                &json!({ "Kept": topic("y"), "Other": topic("changed"), "New": topic("n") }),
                &none,
            ),
            template("a", "Nested", &json!({ "Inner": topic("i"), "Second": topic("s") }), &none),
            template("same", "", &json!({ "T": topic("t") }), &none),
            template("out", "", &json!({}), &json!({ "Url": { "Value": 1 } })),
            template("fresh", "", &json!({ "T": topic("t") }), &none),
        ];
        let text: Vec<String> = changes(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "a: 2 resources to add, 1 to change, 1 to remove",
                "fresh: 1 resource to add",
                "out: outputs or parameters",
            ]
        );
        assert_eq!(abandoned(&old, &new), ["left"]);
        let resources = changes(&old, &new).remove(0).resources;
        let named: Vec<_> = resources.iter().map(|one| (one.logical_id.as_str(), one.action)).collect();
        let expected = [
            ("Other", Action::Modify),
            ("New", Action::Add),
            ("Gone", Action::Remove),
            ("Second", Action::Add),
        ];
        assert_eq!(named, expected);
        assert!(resources.iter().all(|one| one.stack == "a" && one.r#type == "AWS::SNS::Topic"));
    }

    #[test]
    fn a_change_calls_for_a_synthesis_only_in_what_stacks_are_made_of() {
        let change = |path: &str| vec![FileChange { path: path.into(), structural: false }];
        let known = StackSources::new("/p".into(), &["/p/stacks/a.ts".into()], &[]);
        for (path, expected) in [
            ("/p/stacks/a.ts", true),
            ("/p/stacks/b.ts", false),
            ("/p/sst.json", true),
            ("/p/.env.dev", true),
            ("/p/src/sst.json", false),
            ("/p/app.py", false),
            ("/p", true),
        ] {
            assert_eq!(known.concerned_by(&change(path)), expected, "{path}");
        }
        let mut unknown = StackSources::new("/p".into(), &["/tmp/program.js".into()], &[]);
        unknown.functions.push("/p/functions".into());
        for (path, expected) in [("/p/app.py", true), ("/p/functions/a.py", false), ("/p/readme.md", false)] {
            assert_eq!(unknown.concerned_by(&change(path)), expected, "{path}");
        }
    }
}

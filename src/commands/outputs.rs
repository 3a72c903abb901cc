//! `sst outputs`: what the stacks of the running `sst start` say, so that a line of the shell can use it.

use std::collections::BTreeMap;

use crate::{
    cli,
    error::{Error, Kind, Result},
    project::Project,
    ui::{Ui, UiEvent},
};

/// Stack → name → value.
type Outputs = BTreeMap<String, BTreeMap<String, String>>;

/// Prints one output, or all of them.
///
/// # Errors
/// [`Kind::Usage`] when nothing runs, and when there is no such output or more than one.
pub(super) fn run(arguments: &cli::Outputs, project: &Project, ui: &Ui) -> Result<()> {
    let outputs = super::session::running(&project.state_dir()?)?.outputs;
    let text = match &arguments.name {
        Some(name) => one(&outputs, name)?.to_owned(),
        // Only texts are in it.
        None if arguments.json => serde_json::to_string_pretty(&outputs).unwrap_or_default(),
        None => all(&outputs),
    };
    ui.send(UiEvent::Result(text.into_bytes()));
    Ok(())
}

/// The value of an output, by its name with or without its stack.
fn one<'a>(outputs: &'a Outputs, wanted: &str) -> Result<&'a str> {
    let (stack, name) = wanted.rsplit_once('/').map_or((None, wanted), |(stack, name)| (Some(stack), name));
    // As for `sst deploy`, a stack's name is known by its end.
    let is_meant = |found: &str| {
        stack.is_none_or(|stack| {
            found == stack || found.strip_suffix(stack).is_some_and(|before| before.ends_with('-'))
        })
    };
    let found: Vec<_> = outputs
        .iter()
        .filter(|(stack, _)| is_meant(stack))
        .filter_map(|(stack, values)| Some((stack, values.get(name)?)))
        .collect();
    match found.as_slice() {
        [(_, value)] => Ok(value),
        [] => {
            let error = Error::new(Kind::Usage, format!("no stack has an output `{wanted}`"));
            let names: Vec<_> =
                outputs.values().flat_map(BTreeMap::keys).map(|name| format!("`{name}`")).collect();
            Err(if names.is_empty() {
                error.hint("an output is made by `new CfnOutput(…)` in a stack")
            } else {
                error.hint(format!("there are {}", names.join(", ")))
            })
        }
        several => {
            let names: Vec<_> = several.iter().map(|(stack, _)| format!("`{stack}/{name}`")).collect();
            Err(Error::new(Kind::Usage, format!("several stacks have an output `{wanted}`"))
                .hint(format!("say which one: {}", names.join(", "))))
        }
    }
}

fn all(outputs: &Outputs) -> String {
    let mut lines = Vec::new();
    for (stack, values) in outputs.iter().filter(|(_, values)| !values.is_empty()) {
        lines.push(stack.clone());
        lines.extend(values.iter().map(|(name, value)| format!("  {name}: {value}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs() -> Outputs {
        let stack = |values: &[(&str, &str)]| {
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        [
            ("dev-app-api".to_owned(), stack(&[("Endpoint", "http://a"), ("Table", "notes")])),
            ("dev-app-admin-api".to_owned(), stack(&[("Endpoint", "http://b")])),
            ("dev-app-empty".to_owned(), stack(&[])),
        ]
        .into()
    }

    #[test]
    fn an_output_is_known_by_its_name_or_with_its_stack() {
        let outputs = outputs();
        assert_eq!(one(&outputs, "Table").unwrap(), "notes");
        assert_eq!(one(&outputs, "dev-app-api/Endpoint").unwrap(), "http://a");
        assert_eq!(one(&outputs, "admin-api/Endpoint").unwrap(), "http://b");
        assert_eq!(
            all(&outputs),
            "dev-app-admin-api\n  Endpoint: http://b\ndev-app-api\n  Endpoint: http://a\n  Table: notes"
        );
    }

    #[test]
    fn what_is_not_there_or_there_twice_is_said() {
        let outputs = outputs();
        for (wanted, hint) in [
            ("Endpoint", "`dev-app-api/Endpoint`"),
            ("api/Endpoint", "`dev-app-admin-api/Endpoint`"),
            ("Nothing", "`Table`"),
            ("pi/Table", "`Table`"),
        ] {
            let error = one(&outputs, wanted).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{wanted}");
            assert!(error.hint.as_ref().is_some_and(|text| text.contains(hint)), "{error:?}");
        }
        assert!(one(&Outputs::new(), "Any").unwrap_err().hint.unwrap().contains("CfnOutput"));
    }
}

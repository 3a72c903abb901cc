//! What the user says of where a function's code is, kept in `sst.json` for the next time and for the team.

use camino::Utf8Path;
use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstRootNode},
};

use super::super::stage::answer_to;
use crate::{
    attach::find::Sourced,
    error::{Error, Kind, Result},
    project::manifest::Source,
};

/// Asks which one of several it is; none when the user leaves the function alone.
pub(super) async fn ask(label: &str, places: &[&str]) -> Option<usize> {
    let numbered: Vec<String> =
        places.iter().enumerate().map(|(index, place)| format!("{}. {place}", index + 1)).collect();
    let question =
        format!("Where is the code of `{label}`? {}, or ENTER to leave it alone:", numbered.join("   "));
    loop {
        let answer = answer_to(question.clone()).await?;
        if answer.is_empty() {
            return None;
        }
        match answer.parse::<usize>() {
            Ok(number) if (1..=places.len()).contains(&number) => return Some(number - 1),
            _ => {}
        }
    }
}

/// Writes to `sst.json` where the code of a function is. What else is in there stays as it is written.
///
/// # Errors
/// [`Kind::Usage`] when the file is not JSON, [`Kind::Environment`] when it cannot be written.
pub(super) fn keep(root: &Utf8Path, label: &str, place: &Sourced) -> Result<()> {
    let path = root.join("sst.json");
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}\n".to_owned(),
        Err(error) => return Err(Error::new(Kind::Usage, format!("cannot read `{path}`")).detail(error)),
    };
    let changed = with_mapping(&text, label, &mapping_of(root, place))
        .map_err(|reason| Error::new(Kind::Usage, format!("`{path}` cannot be changed")).detail(reason))?;
    fs_err::write(&path, changed)
        .map_err(|error| Error::new(Kind::Environment, format!("`{path}` cannot be written")).detail(error))
}

/// The fields of a mapping that mean this place.
fn mapping_of(root: &Utf8Path, place: &Sourced) -> Vec<(&'static str, String)> {
    let within = |path: &Utf8Path| path.strip_prefix(root).unwrap_or(path).to_string();
    match &place.spec.source {
        Source::Entry { path, export, .. } => vec![("entry", within(path)), ("handler", export.clone())],
        Source::Program { path, .. } => vec![("entry", within(path))],
        other => vec![("directory", within(other.directory())), ("handler", place.spec.handler.clone())],
    }
}

fn with_mapping(
    text: &str,
    label: &str,
    fields: &[(&'static str, String)],
) -> std::result::Result<String, String> {
    let root = CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
    let object = root.object_value_or_create().ok_or("it holds no JSON object")?;
    let functions = object.object_value_or_create("functions").ok_or("`functions` is not an object")?;
    let fields =
        fields.iter().map(|(name, value)| ((*name).to_owned(), CstInputValue::String(value.clone())));
    let value = CstInputValue::Object(fields.collect());
    match functions.get(label) {
        Some(existing) => existing.set_value(value),
        None => {
            functions.append(label, value);
        }
    }
    Ok(root.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_added_beside_what_is_there() {
        let fields = [("entry", "src/list.ts".to_owned()), ("handler", "main".to_owned())];
        let from_nothing = with_mapping("{}\n", "List", &fields).unwrap();
        let value: serde_json::Value = serde_json::from_str(&from_nothing).unwrap();
        let expected =
            serde_json::json!({ "functions": { "List": { "entry": "src/list.ts", "handler": "main" } } });
        assert_eq!(value, expected);
        let text = "{\n  // ours\n  \"name\": \"orders\",\n  \"functions\": { \"A\": { \"directory\": \"a\" } }\n}\n";
        let changed = with_mapping(text, "List", &fields).unwrap();
        assert!(changed.contains("// ours") && changed.contains("\"A\""), "{changed}");
        let again = with_mapping(&changed, "List", &[("directory", "x".to_owned())]).unwrap();
        assert!(again.contains("\"directory\": \"x\"") && !again.contains("src/list.ts"), "{again}");
        assert!(with_mapping("[1]", "List", &fields).is_err());
    }
}

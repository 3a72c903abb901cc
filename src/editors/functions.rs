//! `.run/Attach to ….run.xml`: run configurations of JetBrains IDEs that attach to one function, in a language other than JavaScript.

use camino::Utf8Path;

use super::{Attachable, Written, jetbrains::with_port, update};
use crate::{
    error::Result,
    languages::{self, RunConfiguration},
};

/// The attribute with the program of which a debugger reads the symbols. It is empty as long as that is not known.
const PROGRAM: &str = " symbolFile=\"";

/// Writes the files of an editor for those of `functions` in whose languages it is given some.
pub(super) fn write(root: &Utf8Path, editor: &str, functions: &[Attachable]) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for function in functions {
        for configuration in configurations(function, editor) {
            if let RunConfiguration::File { text, before_port, .. } = configuration {
                written.push(write_one(root, text, before_port, function)?);
            }
        }
    }
    Ok(written)
}

/// What has to be entered by hand for an editor, line by line.
pub(super) fn by_hand(root: &Utf8Path, editor: &str, functions: &[Attachable]) -> Vec<String> {
    let mut lines = Vec::new();
    for function in functions {
        for configuration in configurations(function, editor) {
            if let RunConfiguration::ByHand { place, .. } = configuration {
                if lines.is_empty() {
                    lines.push((*place).to_owned());
                }
                lines.push(format!("  `{}`: remote address 127.0.0.1:{}", function.id, function.port));
            }
        }
    }
    if !lines.is_empty() {
        lines.push(format!("  remote project path: {root}"));
    }
    lines
}

fn configurations<'a>(
    function: &Attachable,
    editor: &'a str,
) -> impl Iterator<Item = &'static RunConfiguration> + use<'a> {
    languages::get(&function.language).run_configurations().iter().filter(move |one| one.is_for(editor))
}

fn write_one(root: &Utf8Path, text: &str, before_port: &str, function: &Attachable) -> Result<Written> {
    let name = function.id.as_str().replace('/', " ");
    update(root, format!(".run/Attach to {name}.run.xml").into(), |present| {
        let filled = filled(root, text, function, &name);
        // A file that is there may have been changed in the IDE. Its port has to be true, and what was not known before.
        let text = present.map_or_else(
            || filled.clone(),
            |present| match attribute(&filled, PROGRAM) {
                Some(program) => present.replace(&format!("{PROGRAM}\""), &format!("{PROGRAM}{program}\"")),
                None => present.to_owned(),
            },
        );
        Ok(with_port(&text, before_port, function.port))
    })
}

fn filled(root: &Utf8Path, text: &str, function: &Attachable, name: &str) -> String {
    let program = function.program.as_ref().map(|program| match program.strip_prefix(root) {
        Ok(path) => format!("$PROJECT_DIR$/{path}"),
        Err(_) => program.to_string(),
    });
    text.replace("{function}", &escaped(name))
        .replace("{port}", &function.port.to_string())
        .replace("{program}", &escaped(&program.unwrap_or_default()))
}

/// The value of an attribute that begins with `before`.
fn attribute<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once('"').map(|(value, _)| value)
}

/// Text as it stands in an XML attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::FunctionId;

    fn function(language: &str, port: u16, program: Option<&Utf8Path>) -> Attachable {
        Attachable {
            id: FunctionId::from("app/A & B"),
            language: language.into(),
            port,
            program: program.map(Utf8Path::to_owned),
        }
    }

    #[test]
    fn each_function_gets_the_file_of_its_language_with_its_port() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let program = root.join("target/debug/one");
        let functions = |port| {
            [
                function("python", 9240, None),
                function("go", port, None),
                function("rust", port, Some(&program)),
            ]
        };
        for (editor, expected) in [
            ("goland", "host=\"127.0.0.1\" port=\"9241\""),
            ("rustrover", "remoteCommand=\"127.0.0.1:9241\" symbolFile=\"$PROJECT_DIR$/target/debug/one\""),
        ] {
            let file = root.join(".run/Attach to app A & B.run.xml");
            let written = write(root, editor, &functions(9241)).unwrap();
            assert_eq!(written.len(), 1);
            let text = fs_err::read_to_string(&file).unwrap();
            assert!(text.contains(expected) && text.contains("name=\"Attach to app A &amp; B\""), "{text}");
            roxmltree::Document::parse(&text).unwrap();
            assert!(!text.contains('{'), "{text}");
            assert!(!write(root, editor, &functions(9241)).unwrap()[0].changed);

            let mine = text.replace("<method", "<!-- mine --><method");
            fs_err::write(&file, &mine).unwrap();
            assert!(write(root, editor, &functions(9300)).unwrap()[0].changed);
            assert_eq!(fs_err::read_to_string(&file).unwrap(), mine.replace("9241", "9300"));
            fs_err::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_program_that_was_not_known_is_filled_in_and_a_chosen_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let file = root.join(".run/Attach to app A & B.run.xml");
        for (program, expected) in [(None, ""), (Some("one"), "one"), (Some("two"), "one")] {
            let program = program.map(Utf8Path::new);
            write(root, "clion", &[function("rust", 9240, program)]).unwrap();
            let text = fs_err::read_to_string(&file).unwrap();
            assert_eq!(attribute(&text, PROGRAM), Some(expected));
        }
    }
}

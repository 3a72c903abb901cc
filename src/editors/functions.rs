//! `.run/Attach to ….run.xml`: run configurations of JetBrains IDEs that attach to one function, in a language other than JavaScript.

use camino::Utf8Path;

use super::{Attachable, Language, Written, update};
use crate::error::Result;

/// What an IDE gets for each function in a language.
pub(super) struct Template {
    language: Language,
    text: &'static str,
    /// What stands before the port in it.
    before_port: &'static str,
}

pub(super) const GOLAND: Template = Template {
    language: Language::Go,
    text: include_str!("../../launch-configs/goland/Attach to {function}.run.xml"),
    before_port: " port=\"",
};

pub(super) const RUSTROVER: Template = Template {
    language: Language::Native,
    text: include_str!("../../launch-configs/rustrover/Attach to {function}.run.xml"),
    before_port: " remoteCommand=\"127.0.0.1:",
};

pub(super) const CLION: Template =
    Template { text: include_str!("../../launch-configs/clion/Attach to {function}.run.xml"), ..RUSTROVER };

pub(super) fn write(root: &Utf8Path, template: &Template, functions: &[Attachable]) -> Result<Vec<Written>> {
    let fitting = functions.iter().filter(|function| function.language == template.language);
    fitting.map(|function| write_one(root, template, function)).collect()
}

fn write_one(root: &Utf8Path, template: &Template, function: &Attachable) -> Result<Written> {
    let name = function.id.as_str().replace('/', " ");
    update(root, format!(".run/Attach to {name}.run.xml").into(), |present| {
        // A file that is there may have been changed in the IDE; only its port has to be true.
        let text = present.map_or_else(|| filled(root, template.text, function, &name), str::to_owned);
        Ok(with_port(&text, template.before_port, function.port))
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

fn with_port(text: &str, before: &str, port: u16) -> String {
    let split = || {
        let (head, rest) = text.split_once(before)?;
        let (present, tail) = rest.split_once('"')?;
        present.parse::<u16>().ok()?;
        Some(format!("{head}{before}{port}\"{tail}"))
    };
    split().unwrap_or_else(|| text.to_owned())
}

/// Text as it stands in an XML attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::FunctionId;

    fn function(language: Language, port: u16, program: Option<&Utf8Path>) -> Attachable {
        Attachable {
            id: FunctionId::from("app/A & B"),
            language,
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
                function(Language::Python, 9240, None),
                function(Language::Go, port, None),
                function(Language::Native, port, Some(&program)),
            ]
        };
        for (template, expected) in [
            (GOLAND, "host=\"127.0.0.1\" port=\"9241\""),
            (RUSTROVER, "remoteCommand=\"127.0.0.1:9241\" symbolFile=\"$PROJECT_DIR$/target/debug/one\""),
        ] {
            let file = root.join(".run/Attach to app A & B.run.xml");
            let written = write(root, &template, &functions(9241)).unwrap();
            assert_eq!(written.len(), 1);
            let text = fs_err::read_to_string(&file).unwrap();
            assert!(text.contains(expected) && text.contains("name=\"Attach to app A &amp; B\""), "{text}");
            assert!(!text.contains('{'), "{text}");
            assert!(!write(root, &template, &functions(9241)).unwrap()[0].changed);

            let mine = text.replace("<method", "<!-- mine --><method");
            fs_err::write(&file, &mine).unwrap();
            assert!(write(root, &template, &functions(9300)).unwrap()[0].changed);
            assert_eq!(fs_err::read_to_string(&file).unwrap(), mine.replace("9241", "9300"));
            fs_err::remove_file(file).unwrap();
        }
    }
}

//! A test of a handler that is made of a call: it calls the handler with the call's event, and expects what came of it.

mod javascript;
mod place;
mod python;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use self::place::Code;
use crate::{
    error::{Error, Kind, Result},
    history::{Record, Status},
    languages::{self, Tests},
    project::{TestRunner, manifest::FunctionSpec, test_runner},
};

/// What runs a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Framework {
    /// Node's own test runner.
    Node,
    /// Jest.
    Jest,
    /// Vitest.
    Vitest,
    /// pytest.
    Pytest,
}

/// Types of errors that begin so are of what runs a function, not of its handler.
const NOT_OF_HANDLERS: [&str; 5] = ["Runtime.", "Sandbox.", "Sst.", "Function.", "Extension."];

/// How much of a call's id is in the names of files.
const LENGTH_OF_ID: usize = 8;

/// A test that can be written.
#[derive(Debug)]
pub(crate) struct TestCase {
    /// Where it belongs, absolute. Paths in it are relative to that.
    pub file: Utf8PathBuf,
    /// What it says.
    pub text: String,
    /// How many values in it are masked.
    pub masked: usize,
    /// What runs it.
    pub framework: Framework,
}

/// What a test is made of.
struct Call<'a> {
    record: &'a Record,
    /// What people call the function.
    name: &'a str,
    event: &'a str,
    outcome: Outcome<'a>,
}

enum Outcome<'a> {
    /// JSON.
    Returned(&'a str),
    /// The type of the error, and its message.
    Failed(String, String),
}

/// Makes a test of a call of a function of the project in `root`: for the framework that the project has, unless one is named, and in the
/// usual place for it unless that is named.
///
/// # Errors
/// [`Kind::Usage`] when no test can be made of it; why, and what to do.
pub(crate) fn test_case(
    record: &Record,
    function: &FunctionSpec,
    root: &Utf8Path,
    framework: Option<Framework>,
    file: Option<&Utf8Path>,
) -> Result<TestCase> {
    let framework = suitable(function, root, framework)?;
    let id = function.id.as_str();
    let name = id.rsplit('/').next().unwrap_or(id);
    let call = Call { record, name, event: event_of(record)?, outcome: outcome_of(record)? };
    let usual = || root.join("test").join(usual_name(name, &record.summary.id, framework));
    let file = file.map_or_else(usual, Utf8Path::to_owned);
    let code = Code::of(function, root).map_err(|reason| {
        Error::new(Kind::Usage, format!("no test can be written of `{id}`: {reason}")).hint(SAVE)
    })?;
    let text = match framework {
        Framework::Pytest => python::text(&call, &code, &file),
        _ => javascript::text(&call, &code, &file, framework),
    };
    let masked = record.event.masked + record.result.as_ref().map_or(0, |result| result.masked);
    Ok(TestCase { file, text, masked, framework })
}

const SAVE: &str = "`sst save` saves the event, which a test of your own can read";

fn suitable(function: &FunctionSpec, root: &Utf8Path, wanted: Option<Framework>) -> Result<Framework> {
    let id = &function.id;
    let usual = match languages::get(&function.language).tests() {
        Some(Tests::JavaScript) => match test_runner(root) {
            TestRunner::Node => Framework::Node,
            TestRunner::Jest => Framework::Jest,
            TestRunner::Vitest => Framework::Vitest,
        },
        Some(Tests::Python) => Framework::Pytest,
        None => {
            let message = format!("no test can be written of `{id}`: there is none for its language");
            return Err(Error::new(Kind::Usage, message).hint(SAVE));
        }
    };
    match wanted {
        Some(wanted) if (wanted == Framework::Pytest) != (usual == Framework::Pytest) => {
            let what = if wanted == Framework::Pytest { "pytest runs" } else { "only pytest runs" };
            Err(Error::new(Kind::Usage, format!("{what} tests in Python, and of those is `{id}`"))
                .hint("leave `--framework` out: the function's language says what runs its test"))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(usual),
    }
}

fn event_of(record: &Record) -> Result<&str> {
    let is_json = |text: &&String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    record.event.text.as_ref().filter(is_json).map(String::as_str).ok_or_else(|| {
        Error::new(Kind::Usage, format!("the event of `{}` is not known any more", record.summary.id))
            .hint("call the function again: `sst history` lists the calls")
    })
}

fn outcome_of(record: &Record) -> Result<Outcome<'_>> {
    let id = &record.summary.id;
    let text = record.result.as_ref().and_then(|result| result.text.as_deref());
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let unknown = || {
        Error::new(Kind::Usage, format!("the result of `{id}` is not JSON, or is not kept as a whole"))
            .hint(SAVE)
    };
    match record.summary.status {
        Status::Running | Status::Paused => {
            Err(Error::new(Kind::Usage, format!("`{id}` has no outcome yet"))
                .hint("let it go on, and write the test then"))
        }
        Status::Returned => Ok(Outcome::Returned(text.filter(|_| parsed.is_some()).ok_or_else(unknown)?)),
        Status::Failed => {
            let body = parsed.ok_or_else(unknown)?;
            let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let kind = field("errorType");
            let kind =
                if kind.is_empty() { record.summary.error_type.clone().unwrap_or_default() } else { kind };
            if NOT_OF_HANDLERS.iter().any(|begin| kind.starts_with(begin)) {
                let message = format!("`{id}` failed with `{kind}`, which no test of its handler can expect");
                return Err(Error::new(Kind::Usage, message).hint(SAVE));
            }
            Ok(Outcome::Failed(kind, field("errorMessage")))
        }
    }
}

/// A file's name by which the framework finds it.
fn usual_name(function: &str, id: &str, framework: Framework) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let plain: String = function.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(LENGTH_OF_ID).collect();
    match framework {
        Framework::Node => format!("{plain}-{id}.test.mjs"),
        Framework::Jest | Framework::Vitest => format!("{plain}-{id}.test.js"),
        Framework::Pytest => format!("test_{}_{id}.py", plain.replace('-', "_").to_lowercase()),
    }
}

/// One path as seen from a directory, both absolute.
fn relative(from: &Utf8Path, to: &Utf8Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common).map(|part| part.to_string());
    let path = up.chain(down).collect::<Vec<_>>().join("/");
    if path.starts_with("..") { path } else { format!("./{path}") }
}

/// A text as JavaScript and Python write it, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;

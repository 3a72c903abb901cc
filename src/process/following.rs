//! How a debugger that started this program follows its children, and which of them it is to follow: the workers and nothing else.

use std::{collections::BTreeMap, env};

use serde_json::{Map, Value, json};

/// Where vscode-js-debug puts what its bootloader has to know. The format is its own (the same in 1.100 and 1.117).
const JS_DEBUG: &str = "VSCODE_INSPECTOR_OPTIONS";

/// With the bootloader in it. The developer's own value may be there as well.
pub(super) const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// The prefix of the variables with which the debugger of the JetBrains IDEs does the same.
const JETBRAINS: &str = "JB_";

/// What debuggers have loaded into processes that they are to follow.
const DEBUGGERS: [&str; 2] = ["bootloader.js", "debugConnector.js"];

/// What js-debug adds besides.
const PUBLISH: &str = "--inspect-publish-uid=http";

/// The variables that a worker needs in order to be followed. None without a debugger.
#[must_use]
pub fn variables() -> BTreeMap<String, String> {
    // Other variables may hold anything.
    let text = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut found: BTreeMap<String, String> =
        text.filter(|(name, _)| name == JS_DEBUG || name.starts_with(JETBRAINS)).collect();
    if let Some(options) = found.get_mut(JS_DEBUG)
        && let Some((without, _)) = split_callback(options)
    {
        *options = without;
    }
    // The developer's own NODE_OPTIONS stay out; those that a debugger injected come with a variable of its own.
    if !found.is_empty()
        && let Ok(options) = env::var(NODE_OPTIONS)
    {
        found.insert(NODE_OPTIONS.to_owned(), options);
    }
    found
}

/// Says that this process is the one that is debugged. js-debug takes the first Node process for that, and ends the whole session
/// with it; that would be a worker, which ends with the next save. Does nothing when another process, such as the npm package's
/// launcher, has said so before.
pub fn claim(node_version: &str) {
    let Some((_, file)) = env::var(JS_DEBUG).ok().and_then(|options| split_callback(&options)) else {
        return;
    };
    let architecture = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let telemetry = json!({
        "cwd": env::current_dir().unwrap_or_default(),
        "processId": std::process::id(),
        "nodeVersion": node_version,
        "architecture": architecture,
    });
    if let Err(error) = fs_err::write(file, telemetry.to_string()) {
        tracing::debug!(%error, "the debugger cannot be told which process it debugs");
    }
}

/// What js-debug wants loaded into a process that it is to follow, and `options` (a value of `NODE_OPTIONS`) without that.
///
/// Its breakpoints are in place when it comes to a process in which the function is loaded; those in a script that is loaded later
/// come too late for a call that follows at once, because the script's source map is read meanwhile.
///
/// It also has Node say nowhere but over HTTP where its inspector listens. A worker has to say it, so that is left out of the options.
#[must_use]
pub fn split_bootloader(options: &str) -> Option<(String, String)> {
    let start = options.find("--require ")?;
    let path = options[start + "--require ".len()..].trim_start();
    let (file, rest) = match path.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => path.split_once(' ').unwrap_or((path, "")),
    };
    let others = format!("{}{rest}", &options[..start]);
    let others: Vec<&str> = others.split(' ').filter(|word| !word.is_empty() && *word != PUBLISH).collect();
    file.ends_with("bootloader.js").then(|| (file.to_owned(), others.join(" ")))
}

/// What js-debug is to take for the name of a process's script, after which its row in the call stack is called. It shows what follows
/// the last slash; all of a function's id is shown with a division slash, which looks the same.
#[must_use]
pub fn script_name(function: &str) -> String {
    function.replace('/', "\u{2215}")
}

/// The developer's own `NODE_OPTIONS`, without what a debugger has put into them.
#[must_use]
pub fn own_node_options() -> Option<String> {
    let options = env::var(NODE_OPTIONS).ok()?;
    let own = if variables().is_empty() { options } else { without_debuggers(&options) };
    (!own.is_empty()).then_some(own)
}

/// A value of `NODE_OPTIONS` without what the debuggers of VS Code and JetBrains put into it.
fn without_debuggers(options: &str) -> String {
    let mut own = Vec::new();
    let mut rest = options.trim_start();
    while !rest.is_empty() {
        let (word, after) = first_word(rest);
        let (argument, after_it) = first_word(after);
        let file = argument.trim_matches('"');
        if word == "--require" && DEBUGGERS.iter().any(|name| file.ends_with(name)) {
            rest = after_it;
        } else {
            if word != PUBLISH {
                own.push(word);
            }
            rest = after;
        }
    }
    own.join(" ")
}

/// Splits off a word, which may have spaces between quotes.
fn first_word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let is_end = |character: char| {
        quoted ^= character == '"';
        character == ' ' && !quoted
    };
    let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// js-debug's options without the file in which the debugged process is named, and that file.
fn split_callback(options: &str) -> Option<(String, String)> {
    let start = options.rfind(":::").map_or(0, |at| at + 3);
    let mut fields: Map<String, Value> = serde_json::from_str(&options[start..]).ok()?;
    let file = fields.remove("fileCallback")?.as_str()?.to_owned();
    Some((format!("{}{}", &options[..start], Value::Object(fields)), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callback_is_taken_out_of_what_workers_get() {
        let options =
            r#":::{"inspectorIpc":"/tmp/a.sock","fileCallback":"/tmp/callback","autoAttachMode":"always"}"#;
        let (without, file) = split_callback(options).unwrap();
        assert_eq!(file, "/tmp/callback");
        let fields: Value = serde_json::from_str(without.strip_prefix(":::").unwrap()).unwrap();
        assert_eq!(fields, json!({ "inspectorIpc": "/tmp/a.sock", "autoAttachMode": "always" }));
        for other in [":::{}", "", "nonsense", r#"{"fileCallback":1}"#] {
            assert_eq!(split_callback(other), None, "{other}");
        }
    }

    #[test]
    fn the_bootloader_is_taken_out_of_the_options() {
        let table = [
            (" --require /ext/bootloader.js  --inspect-publish-uid=http", "/ext/bootloader.js", ""),
            (r#"--no-warnings --require "/my ext/bootloader.js""#, "/my ext/bootloader.js", "--no-warnings"),
        ];
        for (options, file, rest) in table {
            assert_eq!(split_bootloader(options), Some((file.to_owned(), rest.to_owned())), "{options}");
        }
        let table = [
            (" --require /ext/bootloader.js  --inspect-publish-uid=http", ""),
            (
                r#"--no-warnings --require "/my ext/bootloader.js" --require ./own.js"#,
                "--no-warnings --require ./own.js",
            ),
            (
                r#"--require "./my own.js" --require /jb/debugConnector.js --import tsx"#,
                r#"--require "./my own.js" --import tsx"#,
            ),
            ("--require", "--require"),
        ];
        for (options, own) in table {
            assert_eq!(without_debuggers(options), own, "{options}");
        }
        for options in ["", "--require /ext/debugConnector.js", "--require", "--no-warnings"] {
            assert_eq!(split_bootloader(options), None, "{options}");
        }
    }
}

//! How a debugger that started this program follows its children, and which of them it is to follow: the workers and nothing else.

use std::{collections::BTreeMap, env};

use serde_json::{Map, Value, json};

/// Where vscode-js-debug puts what its bootloader has to know. The format is its own (the same in 1.100 and 1.117).
const JS_DEBUG: &str = "VSCODE_INSPECTOR_OPTIONS";

/// With the bootloader in it. The developer's own value may be there as well.
const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// The prefix of the variables with which the debugger of the JetBrains IDEs does the same.
const JETBRAINS: &str = "JB_";

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
#[must_use]
pub fn split_bootloader(options: &str) -> Option<(String, String)> {
    let start = options.find("--require ")?;
    let path = options[start + "--require ".len()..].trim_start();
    let (file, rest) = match path.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => path.split_once(' ').unwrap_or((path, "")),
    };
    file.ends_with("bootloader.js")
        .then(|| (file.to_owned(), format!("{}{rest}", &options[..start]).trim().to_owned()))
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
            (
                " --require /ext/bootloader.js  --inspect-publish-uid=http",
                "/ext/bootloader.js",
                "--inspect-publish-uid=http",
            ),
            (r#"--no-warnings --require "/my ext/bootloader.js""#, "/my ext/bootloader.js", "--no-warnings"),
        ];
        for (options, file, rest) in table {
            assert_eq!(split_bootloader(options), Some((file.to_owned(), rest.to_owned())), "{options}");
        }
        for options in ["", "--require /ext/debugConnector.js", "--require", "--no-warnings"] {
            assert_eq!(split_bootloader(options), None, "{options}");
        }
    }
}

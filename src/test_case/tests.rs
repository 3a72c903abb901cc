use serde_json::json;

use super::*;

fn record(changes: &Value) -> Record {
    let mut value = json!({
        "id": "9f5a0ec1-0000", "function": "app/Get", "source": "API GET /notes", "at": 0, "status": "returned",
        "event": { "text": "{\"n\":1e400}" }, "result": { "text": "{\"ok\":true}" },
    });
    let (Some(all), Some(changes)) = (value.as_object_mut(), changes.as_object()) else { unreachable!() };
    all.extend(changes.clone());
    serde_json::from_value(value).unwrap()
}

fn function(language: &str, handler: &str, source: &Value) -> FunctionSpec {
    serde_json::from_value(json!({
        "id": "app/Get", "stack": "app", "logicalId": "Get", "language": language, "runtime": "any", "handler": handler,
        "source": source, "environment": [],
    }))
    .unwrap()
}

struct Project {
    _directory: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn project(files: &[(&str, &str)]) -> Project {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    for (file, text) in files {
        let path = root.join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    Project { _directory: directory, root }
}

#[test]
fn each_framework_has_a_handler_in_its_own_way() {
    let Project { root, .. } =
        &project(&[("src/index.js", ""), ("lib/a/list.mjs", ""), ("py/app/notes.py", "")]);
    let at = |path: &str| json!({ "kind": "directory", "path": root.join(path) });
    for (language, handler, source, framework, file, expected) in [
        (
            "node",
            "index.handler",
            at("src"),
            None,
            "test/Get-9f5a0ec1.test.mjs",
            "import { handler } from \"../src/index.js\";",
        ),
        (
            "node",
            "index.a.b",
            at("src"),
            None,
            "test/Get-9f5a0ec1.test.mjs",
            "import { a } from \"../src/index.js\";\n\nconst handler = a.b;",
        ),
        (
            "node",
            "index.get",
            at("src"),
            Some(Framework::Jest),
            "test/Get-9f5a0ec1.test.js",
            "const handler = require(\"../src/index.js\").get;",
        ),
        (
            "node",
            "a/list.get",
            at("lib"),
            Some(Framework::Jest),
            "test/Get-9f5a0ec1.test.js",
            "import { get as handler } from \"../lib/a/list.mjs\";",
        ),
        (
            "node",
            "a/list.get",
            at("lib"),
            Some(Framework::Vitest),
            "test/Get-9f5a0ec1.test.js",
            "import { expect, test } from \"vitest\";",
        ),
        ("python", "app/notes.get", at("py"), None, "test/test_get_9f5a0ec1.py", "MODULE = \"app.notes\""),
    ] {
        let test =
            test_case(&record(&json!({})), &function(language, handler, &source), root, framework, None)
                .unwrap();
        assert_eq!(test.file, root.join(file), "{handler}");
        assert!(test.text.contains(expected), "{}", test.text);
        assert!(test.text.contains("1e400"), "{}", test.text);
    }
    let out = root.join("lib/own.test.mjs");
    let one = function("node", "index.handler", &at("src"));
    let test = test_case(&record(&json!({})), &one, root, None, Some(&out)).unwrap();
    assert!(test.text.contains("from \"../src/index.js\""), "{}", test.text);
}

#[test]
fn what_no_test_can_be_made_of_is_said_with_what_to_do() {
    let Project { root, .. } = &project(&[("src/index.js", "")]);
    let source = json!({ "kind": "directory", "path": root.join("src") });
    let usual = function("node", "index.handler", &source);
    let inline = json!({ "kind": "inline", "path": root.join("src"), "sha256": "" });
    let failed = |kind: &str| json!({ "status": "failed", "result": { "text": json!({ "errorType": kind }).to_string() } });
    for (changes, function, framework, message) in [
        (json!({ "status": "running" }), &usual, None, "has no outcome yet"),
        (
            json!({ "event": { "length": 7 } }),
            &usual,
            None,
            "the event of `9f5a0ec1-0000` is not known any more",
        ),
        (json!({ "result": { "text": "streamed" } }), &usual, None, "is not JSON"),
        (failed("Sandbox.Timedout"), &usual, None, "which no test of its handler can expect"),
        (json!({}), &usual, Some(Framework::Pytest), "pytest runs tests in Python"),
        (json!({}), &self::function("go", "bootstrap", &source), None, "there is none for its language"),
        (json!({}), &self::function("node", "other.handler", &source), None, "there is no `other` in"),
        (json!({}), &self::function("node", "index.handler", &inline), None, "its code is in the template"),
    ] {
        let error = test_case(&record(&changes), function, root, framework, None).unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
        assert!(error.hint.is_some() && error.kind == Kind::Usage, "{error:?}");
    }
    let error = test_case(&record(&failed("TypeError")), &usual, root, None, None).unwrap();
    assert!(error.text.contains("{ name: \"TypeError\", message: \"\" }"), "{}", error.text);
}

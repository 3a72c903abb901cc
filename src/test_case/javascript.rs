//! Tests for Node's own runner, Jest and Vitest.

use camino::Utf8Path;

use super::{Call, Framework, Outcome, place::Code, quoted, relative};
use crate::json_text::{Words, indented};

pub(super) fn text(call: &Call<'_>, code: &Code, file: &Utf8Path, framework: Framework) -> String {
    let directory = file.parent().unwrap_or(file);
    let Call { record, name, event, outcome } = call;
    let summary = &record.summary;
    let title = quoted(&format!("{name}: {}", summary.source));
    let json = |text: &str, indent: usize| {
        indented(text.as_bytes(), Words::Json, 2, indent).unwrap_or_else(|| text.to_owned())
    };
    let expected = match (outcome, framework) {
        (Outcome::Returned(result), Framework::Node) => format!(
            "  const result = await handler(event, context);\n  assert.deepEqual(asJson(result), {});",
            json(result, 2)
        ),
        (Outcome::Returned(result), _) => format!(
            "  const result = await handler(event, context);\n  expect(asJson(result)).toEqual({});",
            json(result, 2)
        ),
        (Outcome::Failed(kind, message), Framework::Node) => format!(
            "  const error = {{ name: {}, message: {} }};\n  await assert.rejects(async () => handler(event, context), error);",
            quoted(kind),
            quoted(message)
        ),
        (Outcome::Failed(kind, message), _) => format!(
            "  const error = {{ name: {}, message: {} }};\n  await expect((async () => handler(event, context))()).rejects.toMatchObject(error);",
            quoted(kind),
            quoted(message)
        ),
    };
    let as_json = match outcome {
        Outcome::Returned(_) => {
            "\n/** A result as Lambda hands it on. */\nconst asJson = (result) => JSON.parse(JSON.stringify(result ?? null));\n"
        }
        Outcome::Failed(..) => "",
    };
    format!(
        "// Made by `sst test-case` of the call {id} of {function}.\n\n{imports}\nconst event = {event};\n\
         const context = {{ awsRequestId: {request}, functionName: {named}, getRemainingTimeInMillis: () => 3_000 }};\n\
         {as_json}\ntest({title}, async () => {{\n{expected}\n}});\n",
        id = summary.id,
        function = summary.function,
        imports = imports(code, name, directory, framework, file.extension() == Some("mjs")),
        event = json(event, 0),
        request = quoted(&summary.id),
        named = quoted(name),
    )
}

/// What comes first: the framework, and `handler`.
fn imports(
    code: &Code,
    function: &str,
    directory: &Utf8Path,
    framework: Framework,
    is_module: bool,
) -> String {
    let file = relative(directory, &code.file);
    let (first, rest) = code.export.split_once('.').unwrap_or((&code.export, ""));
    let binding = |name: &str| match (name, rest) {
        ("handler", "") => "handler".to_owned(),
        (name, "") => format!("{name} as handler"),
        (name, _) => name.to_owned(),
    };
    let nested = if rest.is_empty() { String::new() } else { format!("\nconst handler = {first}.{rest};\n") };
    let imported = format!("import {{ {} }} from {};\n{nested}", binding(first), quoted(&file));
    match framework {
        Framework::Node if code.is_bundled && code.has_esbuild => {
            let wanted = if rest.is_empty() { first.to_owned() } else { format!("{first}.{rest}") };
            let bundle = code.project.join(".sst/bundles").join(format!("{function}.mjs"));
            format!(
                "import assert from \"node:assert/strict\";\nimport {{ test }} from \"node:test\";\n\
                 import {{ fileURLToPath }} from \"node:url\";\n\nimport {{ build }} from \"esbuild\";\n\n\
                 // Bundled as it is for Lambda, since Node runs neither every TypeScript nor every mixture of modules as it is.\n\
                 const entry = new URL({entry}, import.meta.url);\nconst bundle = new URL({bundle}, import.meta.url);\n\
                 await build({{\n  entryPoints: [fileURLToPath(entry)],\n  outfile: fileURLToPath(bundle),\n  bundle: true,\n  \
                 packages: \"external\",\n  platform: \"node\",\n  format: \"esm\",\n  logLevel: \"error\",\n}});\n\
                 const handler = (await import(bundle)).{wanted};\n",
                entry = quoted(&file),
                bundle = quoted(&relative(directory, &bundle)),
            )
        }
        Framework::Jest if !code.is_module && !is_module => {
            let value = if rest.is_empty() { first.to_owned() } else { format!("{first}.{rest}") };
            let required = file.trim_end_matches(".ts");
            format!("const handler = require({}).{value};\n", quoted(required))
        }
        Framework::Jest => format!("import {{ expect, test }} from \"@jest/globals\";\n\n{imported}"),
        Framework::Vitest => format!("import {{ expect, test }} from \"vitest\";\n\n{imported}"),
        Framework::Node | Framework::Pytest => format!(
            "import assert from \"node:assert/strict\";\nimport {{ test }} from \"node:test\";\n\n{imported}"
        ),
    }
}

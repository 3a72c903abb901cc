//! What the app's code has printed before it failed, less what helps nobody: lines of libraries that Node shows of where an error was
//! thrown, which may be a whole file of the CDK; frames of Node, of the CDK, and of the program that runs the app; and what is said once
//! more of a bundle that has failed, with the whole command line.

/// Longer lines of source are not written by people.
const LONGEST_LINE: usize = 300;

/// With what esbuild begins what it says of an error.
const OF_BUNDLER: &str = "✘ [ERROR] ";

/// The text for the user, and what to do, if that is known.
pub(super) fn of_the_app(output: &str, tool: &str) -> (String, Option<String>) {
    let lines: Vec<&str> = output.lines().collect();
    let lines = without_repetitions(&lines);
    let has_own = lines.iter().any(|line| is_frame(line) && !is_foreign(line, tool) && !is_of_library(line));
    let is_useless = |line: &str| {
        (is_frame(line) && (is_foreign(line, tool) || (has_own && is_of_library(line))))
            || is_version_of_node(line)
            || line.trim() == "...node internals..."
    };
    let mut kept: Vec<String> = Vec::new();
    let mut rest = lines;
    while let [line, more @ ..] = rest {
        rest = more;
        if let [source, mark, after @ ..] = more
            && is_place(line)
            && is_mark(mark)
            && (is_foreign(line, tool) || is_of_library(line) || source.len() > LONGEST_LINE)
        {
            rest = after;
        } else if is_frame(line)
            && let Some(frame) = line.strip_suffix(" {")
            && let Some(end) = more.iter().position(|line| *line == "}")
        {
            // What Node knows of an error besides is nothing that its message does not say.
            kept.extend(Some(frame.to_owned()).filter(|frame| !is_useless(frame)));
            rest = &more[end + 1..];
        } else if line.trim_start().starts_with("You can mark the path ") {
            // esbuild's advice to do without the package, with the rest of that paragraph.
            let end = more.iter().position(|line| line.trim().is_empty()).unwrap_or(more.len());
            rest = &more[end..];
        } else if !is_useless(line) {
            kept.push(advised(line));
        }
    }
    kept.dedup_by(|line, before| line.trim().is_empty() && before.trim().is_empty());
    let text = kept.join("\n").trim().to_owned();
    let hint = text.lines().find_map(missing_package).map(|package| {
        format!("`{package}` is not installed: run `npm install`, and `npm install {package}` if the project does not depend on it yet")
    });
    (text, hint)
}

/// The lines of a bundle that has failed, if its bundler has said why. Whoever has started that says it again.
fn without_repetitions<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    let failed = lines.iter().any(|line| line.contains("Failed to bundle asset "));
    let said = lines.iter().position(|line| line.starts_with(OF_BUNDLER)).filter(|_| failed);
    let count = |line: &&str| {
        line.split_once(' ').is_some_and(|(count, noun)| {
            count.parse::<u32>().is_ok() && (noun.starts_with("error") || noun.starts_with("warning"))
        })
    };
    let Some(said) = said else { return lines };
    // Others were bundled before.
    let begin = lines[..said].iter().rposition(|line| line.starts_with("Bundling asset ")).unwrap_or(0);
    let end = lines[said..].iter().position(count).map_or(lines.len(), |count| said + count);
    &lines[begin..end]
}

/// A line with what to do about it, if that is known.
fn advised(line: &str) -> String {
    let path = line
        .strip_prefix(OF_BUNDLER)
        .and_then(|said| said.strip_prefix("Could not resolve \"")?.strip_suffix('"'));
    match path.and_then(package) {
        Some(package) => format!("{line}: run `npm install {package}`"),
        None => line.to_owned(),
    }
}

/// The package that Node has not found, if that is what a line says.
fn missing_package(line: &str) -> Option<String> {
    let (_, path) =
        line.split_once("Cannot find module '").or_else(|| line.split_once("Cannot find package '"))?;
    package(path.split('\'').next()?)
}

/// The name of the package in what an `import` names; none for a file.
fn package(path: &str) -> Option<String> {
    let parts = if path.starts_with('@') { 2 } else { 1 };
    let is_file = path.starts_with(['.', '/']) || path.contains(':');
    (!path.is_empty() && !is_file).then(|| path.split('/').take(parts).collect::<Vec<_>>().join("/"))
}

/// `/app/index.js:12`, or the same as a URL, or in Node itself.
fn is_place(line: &str) -> bool {
    let path = line.strip_prefix("file://").unwrap_or(line);
    let number = path.rsplit_once(':').map(|(_, number)| number);
    (path.starts_with('/') || path.starts_with("node:"))
        && number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The carets below the place in a line. Node cuts what it writes there after a thousand columns, and so leaves blanks of a long line.
fn is_mark(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|character| character == '^' || character.is_whitespace())
}

fn is_frame(line: &str) -> bool {
    line.trim_start().starts_with("at ") || (line.trim_start().starts_with("...") && line.ends_with("..."))
}

/// Whether a place or a frame is in Node itself, or in the program that runs the app.
fn is_foreign(line: &str, tool: &str) -> bool {
    line.contains(tool) || line.starts_with("node:") || line.contains(" node:") || line.contains("(node:")
}

/// Whether a place or a frame is in a library that the app is described with.
fn is_of_library(line: &str) -> bool {
    line.contains("/node_modules/") || line.trim_start().starts_with("...")
}

/// With which Node ends what it says of an error that nobody has caught.
fn is_version_of_node(line: &str) -> bool {
    line.strip_prefix("Node.js v").is_some_and(|version| version.split('.').count() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str = "/app/.sst/tool/";

    #[test]
    fn only_the_users_own_lines_are_shown() {
        let minified = "x".repeat(20_000);
        let mark = " ".repeat(1_020);
        let output = format!(
            "before\n/app/node_modules/aws-cdk-lib/core/lib/stack.js:1\n{minified}\n{mark}\n\n\
             Error: 'a' depends on 'b'\n    at Stack.add (/app/node_modules/aws-cdk-lib/core/lib/stack.js:1:2)\n\
             \x20   at main (/app/stacks/index.js:3:4)\n    at load (/app/.sst/tool/synth/host.mjs:1:1)\n\
             \x20   at node:internal/main/run_main_module:28:49\n\nNode.js v22.4.1\n"
        );
        let own = "before\n\nError: 'a' depends on 'b'\n    at main (/app/stacks/index.js:3:4)";
        assert_eq!(of_the_app(&output, TOOL), (own.to_owned(), None));
        let own = "file:///app/stacks/index.mjs:2\nthrow new Error(1)\n      ^\n\nError: 1";
        assert_eq!(of_the_app(own, TOOL), (own.to_owned(), None));
        let bundled = format!("/app/dist/index.js:2\n{minified}\n      ^\n\nError: 1");
        assert_eq!(of_the_app(&bundled, TOOL), ("Error: 1".to_owned(), None));
        let library = "Error: 1\n    at f (/app/node_modules/a/index.js:1:2)";
        assert_eq!(of_the_app(library, TOOL), (library.to_owned(), None), "better than nothing");
    }

    #[test]
    fn a_package_that_is_missing_has_no_trace_of_node_and_a_hint() {
        let output = "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\nError: Cannot find module 'aws-cdk-lib/core'\n\
             Require stack:\n- /app/index.js\n    at Function._load (node:internal/modules/cjs/loader:1043:27)\n\
             \x20   at Object.<anonymous> (/app/index.js:1:17)\n    at node:internal/main/run_main_module:28:49 {\n\
             \x20 code: 'MODULE_NOT_FOUND',\n  requireStack: [ '/app/index.js' ]\n}\n\nNode.js v20.20.2\n";
        let (text, hint) = of_the_app(output, TOOL);
        assert_eq!(
            text,
            "Error: Cannot find module 'aws-cdk-lib/core'\nRequire stack:\n- /app/index.js\n    at Object.<anonymous> (/app/index.js:1:17)"
        );
        let hint = hint.unwrap();
        assert!(hint.starts_with("`aws-cdk-lib` is not installed: run `npm install`"), "{hint}");
        assert_eq!(of_the_app("Error: Cannot find module './stack'", TOOL).1, None);
    }

    #[test]
    fn a_bundle_that_fails_is_told_once() {
        let output = "Bundling asset s/E/Code/Stage...\n⚡ Done in 6ms\nBundling asset s/F/Code/Stage...\n✘ [ERROR] Could not resolve \"@a/b/c\"\n\n    f/a.ts:1:14:\n      1 │ import\n\
             \x20       ╵ ~~~\n\n  You can mark the path \"@a/b/c\" as external to exclude it,\n  which will remove this error.\n\n\
             ✘ [ERROR] Unexpected \"}\"\n\n    f/a.ts:2:2:\n\n2 errors\nnode:child_process:930\n    throw err;\n    ^\n\n\
             Error: Command failed: esbuild --bundle\n    at checkExecSyncError (node:child_process:891:11)\n  status: 1\n}\n\n\
             «FailedToBundleAsset» Failed to bundle asset s/F/Code/Stage, bundle output is located at /x\n";
        assert_eq!(
            of_the_app(output, TOOL).0,
            "Bundling asset s/F/Code/Stage...\n✘ [ERROR] Could not resolve \"@a/b/c\": run `npm install @a/b`\n\n    f/a.ts:1:14:\n\
             \x20     1 │ import\n        ╵ ~~~\n\n✘ [ERROR] Unexpected \"}\"\n\n    f/a.ts:2:2:"
        );
        let of_a_command = "Error: Failed to bundle asset s/F: docker exited with status 1";
        assert_eq!(of_the_app(of_a_command, TOOL).0, of_a_command, "nobody else has said why");
    }
}

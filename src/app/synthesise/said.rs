//! What the app's code has printed before it failed, less what helps nobody: lines of libraries that Node shows of where an error was
//! thrown, which may be a whole file of the CDK, and frames of Node and of the program that runs the app.

/// Longer lines of source are not written by people.
const LONGEST_LINE: usize = 300;

/// The text for the user.
pub(super) fn of_the_app(output: &str, tool: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut rest = lines.as_slice();
    while let [line, more @ ..] = rest {
        rest = more;
        if let [source, mark, after @ ..] = more
            && is_place(line)
            && is_mark(mark)
            && (line.contains("/node_modules/") || line.contains(tool) || source.len() > LONGEST_LINE)
        {
            rest = after;
        } else if !is_foreign_frame(line, tool) && !is_version_of_node(line) {
            kept.push(line);
        }
    }
    kept.join("\n").trim().to_owned()
}

/// `/app/index.js:12`, or the same as a URL.
fn is_place(line: &str) -> bool {
    let path = line.strip_prefix("file://").unwrap_or(line);
    let number = path.rsplit_once(':').map(|(_, number)| number);
    path.starts_with('/') && number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The carets below the place in a line. Node cuts what it writes there after a thousand columns, and so leaves blanks of a long line.
fn is_mark(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|character| character == '^' || character.is_whitespace())
}

fn is_foreign_frame(line: &str, tool: &str) -> bool {
    line.trim_start().starts_with("at ") && (line.contains("node:internal/") || line.contains(tool))
}

/// With which Node ends what it says of an error that nobody has caught.
fn is_version_of_node(line: &str) -> bool {
    line.strip_prefix("Node.js v").is_some_and(|version| version.split('.').count() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            of_the_app(&output, "/app/.sst/tool/"),
            "before\n\nError: 'a' depends on 'b'\n    at Stack.add (/app/node_modules/aws-cdk-lib/core/lib/stack.js:1:2)\n\
             \x20   at main (/app/stacks/index.js:3:4)"
        );
        let own = "file:///app/stacks/index.mjs:2\nthrow new Error(1)\n      ^\n\nError: 1";
        assert_eq!(of_the_app(own, "/app/.sst/tool/"), own);
        let bundled = format!("/app/dist/index.js:2\n{minified}\n      ^\n\nError: 1");
        assert_eq!(of_the_app(&bundled, "/app/.sst/tool/"), "Error: 1");
    }
}

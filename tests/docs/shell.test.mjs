// Every block of shell lines in what people read says where it is run, and tests/e2e/shell.test.mjs runs it there. Those that are not run are
// few, listed here, and made of what there is.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { SURROUNDINGS, blocksIn, documents, repository } from "./shell.mjs";

/** The lines that nobody runs. Each has its reason in the document. */
const NOT_RUN = [
  "README.md: make test",
  "README.md: make package",
  ...["demo", "test", "check", "faults", "bench", "package", "test-packages"].map((target) => `CONTRIBUTING.md: make ${target}`),
  "CONTRIBUTING.md: cargo test --lib core",
  "CONTRIBUTING.md: cargo test --test app",
  "CONTRIBUTING.md: cargo test --test architecture",
  "CONTRIBUTING.md: node --test tests/e2e/events.test.mjs",
  "CONTRIBUTING.md: node --test tests/e2e/counterpart/functions.test.mjs",
  "docs/coming-from-sst-v1.md: npm uninstall @serverless-stack/cli",
  "docs/coming-from-sst-v1.md: npm install --save-dev @live-lambda/sst",
  "docs/coming-from-sst-v1.md: aws cloudformation delete-stack --stack-name alice-my-app-debug-stack",
  "docs/getting-started.md: make package",
];

/** Of what another account or another network is needed for; `tests/infra/test_vpn.py` knows each of these commands. */
const ELSEWHERE = "docs/vpc.md";

const blocks = documents().flatMap((file) => blocksIn(file));
const withoutComment = (line) => line.replace(/\s+#.*/, "");

test("every block says where it is run, or why it is not", () => {
  const silent = blocks.filter(({ run, reason }) => !(run in SURROUNDINGS) && !reason);
  assert.deepEqual(silent.map(({ file, line }) => `${file}:${line}`), [], `<!-- run: ${Object.keys(SURROUNDINGS).join(" | ")} --> or <!-- not run: why -->`);
});

test("few are not run", (t) => {
  const notRun = blocks.filter(({ file, reason }) => reason && file !== ELSEWHERE);
  for (const { file, line, reason } of notRun) t.diagnostic(`${file}:${line} is not run: ${reason}`);
  assert.deepEqual(notRun.flatMap(({ file, lines }) => lines.map((line) => `${file}: ${withoutComment(line)}`)), NOT_RUN);
});

test("what is not run is there", () => {
  const makefile = fs.readFileSync(path.join(repository, "Makefile"), "utf8");
  const notRun = blocks.filter(({ file, reason }) => reason && file !== ELSEWHERE);
  for (const line of notRun.flatMap(({ lines }) => lines.map(withoutComment))) {
    const [program, first, ...rest] = line.split(" ");
    if (program === "make") assert.match(makefile, new RegExp(`^${first}:`, "m"), line);
    else if (program === "node") assert.ok(fs.existsSync(path.join(repository, rest[0])), line);
    else if (program === "npm" || program === "aws") continue;
    else if (rest[0] === "--lib") assert.ok(fs.existsSync(path.join(repository, "src", rest[1])), line);
    else assert.ok([`tests/${rest[1]}.rs`, `tests/${rest[1]}/main.rs`].some((file) => fs.existsSync(path.join(repository, file))), line);
  }
});

test("no line has a place to fill in, or a variable that nothing sets", () => {
  const problems = [];
  for (const { file, line, lines } of blocks) {
    const text = lines.map(withoutComment).join("\n");
    if (/(?<!")<[a-z][^>]*>/.test(text)) problems.push(`${file}:${line}: something to fill in`);
    // What one block of a document sets, those after it have.
    const before = blocks.filter((block) => block.file === file && block.line <= line).flatMap((block) => block.lines);
    for (const [, name] of text.matchAll(/\$\{?([A-Za-z_]\w*)/g)) {
      if (!before.some((one) => new RegExp(`(^|\\s)${name}=`).test(one))) problems.push(`${file}:${line}: \`$${name}\` is set by nothing`);
    }
  }
  assert.equal(problems.join("\n"), "");
});

test("blocks are found as they stand", () => {
  const text = "a\n<!-- run: session -->\n```sh\none   # why\ntwo\n```\n- b\n  ```bash\n  three\n  ```\n<!-- not run: it is long -->\n```sh\nfour\n```\n```json\n{}\n```\n";
  assert.deepEqual(blocksIn("x.md", text), [
    { file: "x.md", line: 3, lines: ["one   # why", "two"], run: "session" },
    { file: "x.md", line: 8, lines: ["three"] },
    { file: "x.md", line: 12, lines: ["four"], reason: "it is long" },
  ]);
});

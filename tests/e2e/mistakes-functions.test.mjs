// Mistakes in functions, word for word, as their callers hear of them and as the terminal shows them: see `mistakes.test.mjs`. One session
// serves all of them, with the memory that they declare.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";

import { plain } from "./support/mistakes.mjs";
import { Sst, call, copyApp, until } from "./support/sst.mjs";

const NO_PACKAGE = 'Could not resolve "no-such-package-at-all": run `npm install no-such-package-at-all`';
const NOT_FOUND = "is undefined or not exported";
const LARGE = "Response payload size exceeded maximum allowed payload size (6291556 bytes).";
const NO_MODULE = 'to Node it is no ES module; name it `.mjs`, or set `"type": "module"` in its `package.json`';
const PIP = "`PYTHON` does not have it: install it there, e.g. by `PYTHON -m pip install no_such_package_at_all`";
const GO = "HERE/functions/go/main.go:5:1: syntax error: unexpected }, expected expression";

/** What a caller gets, and what is shown below the line of the error when that is not the same. */
const table = {
  // The handler is in the file, by another name.
  Typo: ["Runtime.HandlerNotFound", `index.hanlder ${NOT_FOUND}: \`functions/typo.ts\` has no export \`hanlder\`; it exports: \`handler\``],
  Nothing: ["Runtime.HandlerNotFound", `index.handler ${NOT_FOUND}: \`functions/nothing.ts\` exports nothing`],
  Package: ["Runtime.ImportModuleError", `functions/package.ts:1:21: ${NO_PACKAGE}`],
  // Both name the same column.
  Syntax: ["Runtime.UserCodeSyntaxError", 'functions/syntax.ts:2:23: Unexpected "}"'],
  // Its own frames, and none of what loads it.
  LoadFails: [
    "TypeError",
    "TABLE_NAME is not set",
    "    at configure (HERE/functions/load-fails.ts:2:9)\n    at Object.<anonymous> (HERE/functions/load-fails.ts:5:15)",
  ],
  Throws: ["TypeError", "Cannot read properties of undefined (reading 'name')", "    at Object.handler (HERE/functions/throws.ts:3:45)"],
  Absent: [
    "Runtime.ImportModuleError",
    "Error: Cannot find module 'absent'\nLooked for:\n" +
      ["", ".js", ".mjs", ".cjs"].map((extension) => `  HERE/functions/asset/absent${extension}`).join("\n"),
  ],
  Text: ["string", "only a text"],
  Rejects: ["Runtime.UnhandledPromiseRejection", "RangeError: nobody handles this", "    at exports.rejects [as run] (HERE/functions/asset/outcomes.js:5:18)"],
  Exits: ["Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: exit status 3"],
  Large: ["Function.ResponseSizeTooLarge", LARGE],
  Circular: ["Error", "Unable to stringify response body"],
  Named: [
    "Runtime.UserCodeSyntaxError",
    "SyntaxError: The requested module './common.js' does not provide an export named 'second'",
    "    at file://HERE/functions/asset/named.mjs:1",
  ],
  PythonModule: ["Runtime.ImportModuleError", `Unable to import module 'module': No module named 'no_such_package_at_all' (${PIP})`],
  PythonAbsent: ["Runtime.ImportModuleError", "Unable to import module 'absent': No module named 'absent' (the function's code has no `absent.py`)"],
  PythonTypo: ["Runtime.HandlerNotFound", "Handler 'hanlder' missing on module 'fine' (`fine.py` has: `handler`; did you mean `handler`?)"],
  PythonSyntax: [
    "Runtime.UserCodeSyntaxError",
    "Syntax error in module 'broken': expected ':' (broken.py, line 1)",
    '  File "HERE/functions/python/broken.py" Line 1\n    def handler(event, context)',
  ],
  GoSyntax: ["Sst.BuildFailed", GO],
};

describe("a mistake in a function", () => {
  let directory;
  let sst;
  before(async () => {
    directory = copyApp("tests/fixtures/apps/mistakes");
    sst = await Sst.start(directory, ["--enforce-memory"]);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  /** What the caller gets, and what the terminal shows of the call. */
  async function outcome(name) {
    const from = sst.output.length;
    const { errorType, body } = await call(sst.session(), `mistakes/${name}`, {});
    // All of the error is printed at once, and what comes next is none of it.
    await sst.waitFor(/^ERROR .*\n[^]*\n$/m, from);
    const { errorMessage, stackTrace, trace } = JSON.parse(Buffer.from(body, "base64"));
    const ids = (text) => plain(text, directory).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "ID").replaceAll(/[^\s`]+\/bin\/python[\d.]*/g, "PYTHON");
    return { errorType, message: ids(errorMessage), trace: trace ?? stackTrace, shown: ids(sst.output.slice(from)) };
  }
  const below = (text) => text.replaceAll(/^(?=.)/gm, " ".repeat(9));

  for (const [name, [type, message, frames]] of Object.entries(table)) {
    test(`is told: ${name}`, async () => {
      const { errorType, message: told, shown } = await outcome(name);
      assert.deepEqual({ errorType, told }, { errorType: type, told: message });
      const error = `${type}: ${message}${frames ? `\n${frames}` : ""}`;
      const [, after] = shown.split(/^ERROR +\S+ mistakes\/\w+ \([\d.]+ ms\)\n/m);
      assert.equal(after, below(error));
    });
  }

  test("is told: code that does not build, with the place and the line", async () => {
    // They were built for the calls above, and are broken still.
    for (const [name, line] of [["Syntax", "functions/syntax.ts:2:23:"], ["Package", "functions/package.ts:1:21:"]]) {
      assert.match(sst.output, new RegExp(`BROKEN +mistakes/${name} does not build\\n +✘ \\[ERROR\\] [^\\n]*\\n\\n +${line}\\n +\\d │ [^\\n]*\\n +╵ +[~^]`));
    }
    assert.match(plain(sst.output, directory), new RegExp(`BROKEN +mistakes/GoSyntax does not build\n +${GO}`));
  });

  test("is told: a failure while a module of Python is loaded, without the frames of the import", async () => {
    const { errorType, message, shown } = await outcome("PythonLoadFails");
    assert.deepEqual([errorType, message], ["KeyError", "'TABLE_NAME'"]);
    const [, after] = shown.split(/^ERROR [^\n]*\n/m);
    assert.match(after, /^ +KeyError: 'TABLE_NAME'\n +File "HERE\/functions\/python\/load_fails\.py", line 3, in <module>\n +TABLE = os\.environ\["TABLE_NAME"\]\n/);
    assert.doesNotMatch(after, /importlib|frozen/);
  });

  test("is told: a function that takes too long, and once how it gets more time", async () => {
    const { errorType, message, shown } = await outcome("Slow");
    assert.deepEqual([errorType, message], ["Sandbox.Timedout", "RequestId: ID Error: Task timed out after 1.00 seconds"]);
    await sst.waitFor(/`sst start --increase-timeout` gives each function 900 s, to have time at a breakpoint/);
    assert.match(shown, /^REQUEST[^\n]*\nERROR[^\n]*\n +Sandbox\.Timedout: [^\n]*/);
    await outcome("Slow");
    assert.equal(sst.output.match(/--increase-timeout/g).length, 1);
  });

  test("is told: too little memory, in one line with what was declared and what was used", async () => {
    const { errorType, message, shown } = await outcome("Memory");
    assert.deepEqual([errorType, message], ["Runtime.ExitError", "RequestId: ID Error: Runtime exited with error: signal: aborted"]);
    const lines = shown.split("\n");
    assert.equal(lines.length, 4, shown);
    const [, peak] = /^ +\w{8} out of memory: (\d+) MB were in use at most; the function declares 128 MB$/.exec(lines[1]);
    assert.ok(Number(peak) >= 100 && Number(peak) < 200, shown);
  });

  test("is told: an ES module that is taken for CommonJS, as on Lambda", async () => {
    const { errorType, message } = await outcome("Module");
    assert.deepEqual([errorType, message], ["Runtime.UserCodeSyntaxError", `SyntaxError: Unexpected token 'export': ${NO_MODULE}`]);
  });

  test("is told: an ES module that only a newer Node loads, with the versions", { skip: Number(process.versions.node.split(".")[0]) >= 24 }, async () => {
    const { errorType, message } = await outcome("Newer");
    const { version } = process;
    assert.equal(errorType, "Runtime.UserCodeSyntaxError");
    assert.equal(
      message,
      `SyntaxError: Unexpected token 'export': \`nodejs24.x\` may take it for an ES module, but this is Node.js ${version.slice(1)}; install Node.js 24`,
    );
  });

  test("is told: a runtime that is newer than this machine's Node, once", { skip: Number(process.versions.node.split(".")[0]) >= 22 }, async () => {
    const warnings = () => sst.output.match(/warning: functions of `nodejs22\.x` run here on Node\.js [\d.]+: there is no Node\.js 22 on this machine; get it, /g);
    await until("the warning", () => warnings()?.length === 1);
    await outcome("Module");
    assert.equal(warnings().length, 1);
  });

  test("is told with every frame, Node's own included, where more is asked for", async () => {
    await sst.stop();
    sst = await Sst.start(directory, ["--verbose"], { MISTAKE: "LoadFails" });
    const { shown } = await outcome("LoadFails");
    assert.match(shown, /at configure [^\n]*\n[^]*at [^\n]*node:internal\//);
  });
});

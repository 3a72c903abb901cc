// Tests that are made of calls: each is run by the framework that it is for, passes, and fails when the handler is another one.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, api, call, copyApp, repository, runIn, writeInto } from "./support/sst.mjs";

const STACK = `const { App, Stack } = require("aws-cdk-lib");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");

const stack = new Stack(new App(), "cases");
const make = (id, runtime, handler, directory) => new Function(stack, id, { runtime, handler, code: Code.fromAsset(directory) });
make("Plain", Runtime.NODEJS_20_X, "index.handler", "src");
make("Python", Runtime.PYTHON_3_12, "app/index.handler", "py");
make("Other", Runtime.PYTHON_3_12, "app/index.handler", "other");
new NodejsFunction(stack, "Typed", { entry: "functions/typed.ts", runtime: Runtime.NODEJS_20_X });
`;
const FILES = {
  "app.cjs": STACK,
  "cdk.json": JSON.stringify({ app: "node app.cjs" }),
  "sst.json": JSON.stringify({ name: "cases" }),
  "package.json": JSON.stringify({ private: true }),
  "src/index.js": `exports.handler = async (event, context) => {
  if (event.fail) throw new TypeError("as " + event.fail);
  return { sum: event.one + event.two, at: new Date(0), nothing: undefined, named: typeof context.awsRequestId };
};
`,
  "functions/typed.ts": `enum Word { Hello = "hello" }
export const handler = async (event: { name: string }): Promise<string> => \`\${Word.Hello} \${event.name}\`;
`,
  "py/app/__init__.py": "",
  "py/app/index.py": `from .words import WORD


def handler(event, context):
    if event.get("fail"):
        raise KeyError("as " + event["fail"])
    return {"word": WORD, "flag": True, "none": None, "given": event["given"]}
`,
  "py/app/words.py": 'WORD = "hello"\n',
  "other/app/__init__.py": "",
  "other/app/index.py": 'def handler(event, context):\n    return "other"\n',
};

describe("tests that are made of calls", () => {
  let directory;
  let sst;

  const write = (file, text) => writeInto(directory, file, text);
  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    for (const [file, text] of Object.entries(FILES)) write(file, text);
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = (...args) => runIn(directory, args);
  const node = ["--framework", "node"];
  /** Calls a function, and writes a test of that; where that is. */
  const written = async (name, event, ...args) => {
    const { id } = await call(sst.session(), name, event);
    const { code, said } = await run("test-case", id, ...args);
    assert.equal(code, 0, said);
    return { id, said, file: /^Wrote (\S+): /m.exec(said)[1] };
  };
  const by = (program, ...args) => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: directory, encoding: "utf8", env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
    return { status, said: stdout + stderr };
  };
  /** A test passes, and fails when its handler is another one. */
  const provesItself = (file, command, source, [from, to]) => {
    const passed = by(...command);
    assert.equal(passed.status, 0, `${fs.readFileSync(path.join(directory, file), "utf8")}\n${passed.said}`);
    const text = fs.readFileSync(path.join(directory, source), "utf8");
    assert.ok(text.includes(from), from);
    write(source, text.replace(from, to));
    const failed = by(...command);
    write(source, text);
    assert.equal(failed.status, 1, failed.said);
  };

  test("Node's own runner: a result, and an error", async () => {
    const returned = await written("Plain", { one: 1, two: 2, big: 1e21 }, ...node);
    assert.match(returned.file, /^test\/Plain-[0-9a-f]{8}\.test\.mjs$/);
    assert.match(returned.said, /: sst test --as cases\/Plain test\/Plain-/);
    provesItself(returned.file, [process.execPath, "--test", returned.file], "src/index.js", ["event.one + event.two", "event.one - event.two"]);
    const failed = await written("Plain", { fail: "asked" }, ...node);
    provesItself(failed.file, [process.execPath, "--test", failed.file], "src/index.js", ["TypeError", "RangeError"]);
    const again = await run("test-case", failed.id, ...node);
    assert.deepEqual([again.code, /is there already/.test(again.said)], [2, true]);
    const asked = await api(sst.session(), `invocations/${failed.id}/test?framework=node`);
    assert.match(asked.headers.get("content-type"), /^text\/plain/);
    assert.equal(await asked.text(), fs.readFileSync(path.join(directory, failed.file), "utf8"));
  });

  test("TypeScript by Node's own runner, bundled as it is deployed", async () => {
    const { file } = await written("Typed", { name: "you" }, ...node, "--out", "deep/er/typed.test.mjs");
    assert.equal(file, "deep/er/typed.test.mjs");
    provesItself(file, [process.execPath, "--test", file], "functions/typed.ts", ['"hello"', '"bye"']);
  });

  test("pytest: a result, an error, and two functions with modules of one name", async () => {
    const python = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "python/bin/python");
    const command = (...files) => [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", ...files];
    const returned = await written("Python", { given: [1.5, "a\\u00e9\"\n"] });
    assert.match(returned.file, /^test\/test_python_[0-9a-f]{8}\.py$/);
    provesItself(returned.file, command(returned.file), "py/app/words.py", ["hello", "bye"]);
    const failed = await written("Python", { fail: "asked" });
    provesItself(failed.file, command(failed.file), "py/app/index.py", ["KeyError", "ValueError"]);
    const other = await written("Other", {});
    const all = by(...command(returned.file, other.file, failed.file));
    assert.equal(all.status, 0, all.said);
  });

  for (const name of ["jest", "vitest"]) {
    test(name, async () => {
      const installed = path.join(repository, "tests/fixtures/frameworks/node_modules");
      const program = path.join(installed, ".bin", name);
      fs.mkdirSync(path.join(directory, name));
      fs.symlinkSync(installed, path.join(directory, name, "node_modules"));
      const command = (file) => (name === "jest" ? [program, "--rootDir", directory, file] : [program, "run", file]);
      const returned = await written("Plain", { one: 3, two: 2 }, "--framework", name, "--out", `${name}/returned.test.js`);
      provesItself(returned.file, command(returned.file), "src/index.js", ["event.one + event.two", "event.one - event.two"]);
      const failed = await written("Plain", { fail: "wanted" }, "--framework", name, "--out", `${name}/failed.test.js`);
      provesItself(failed.file, command(failed.file), "src/index.js", ["TypeError", "RangeError"]);
    });
  }

  test("what is masked is said, and what no test can be made of is refused", async () => {
    const { said, file } = await written("Plain", { one: 1, two: 5, password: "hunter22" });
    assert.match(said, /1 value that looks like a secret is masked in it/);
    assert.doesNotMatch(fs.readFileSync(path.join(directory, file), "utf8"), /hunter22/);
    const { id } = await call(sst.session(), "Plain", { one: 1 });
    const pytest = await run("test-case", id, "--framework", "pytest");
    assert.equal(pytest.code, 2);
    assert.match(pytest.said, /pytest runs tests in Python/);
    const unknown = await api(sst.session(), `invocations/${id}/test?framework=mocha`);
    assert.equal(unknown.status, 400);
  });
});

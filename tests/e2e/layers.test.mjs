// What functions see of their layers: files, packages, programs, a wrapper around the runtime, extensions beside it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { compile } from "./support/compiled.mjs";
import { Sst, canMount, clientOptions, copyApp, gone, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** An archive as layers are published in: with an executable in it, and a link. */
const ARCHIVE = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    def add(name, text, mode):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, text)
    add("bin/archived-tool", "#!/bin/sh\\necho archived", 0o100755)
    add("bin/linked-tool", "archived-tool", 0o120777)
    add("bin/compiled-of-archive", open(sys.argv[2], "rb").read(), 0o100755)
    add("from-archive.txt", "in the archive", 0o100644)
`;

/** Copies the app. Packages in it have another name there, since those of projects are not kept. */
function copyLayers() {
  const directory = copyApp("tests/fixtures/apps/layers");
  for (const place of ["first/nodejs", "first/nodejs/node22", "second/nodejs"]) {
    fs.renameSync(path.join(directory, place, "packages"), path.join(directory, place, "node_modules"));
  }
  compile(path.join(directory, "first/bin/compiled-tool"));
  execFileSync("python3", ["-c", ARCHIVE, path.join(directory, "archive.zip"), path.join(directory, "first/bin/compiled-tool")]);
  return directory;
}

describe("layers", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyLayers();
    sst = await Sst.start(directory);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (id, event = {}) => {
    const input = { FunctionName: sst.stackOutput(`Function${id}`), Payload: JSON.stringify(event) };
    const answer = await lambda.send(new InvokeCommand(input));
    return { error: answer.FunctionError, body: JSON.parse(Buffer.from(answer.Payload)) };
  };
  const value = async (id, event) => {
    const { error, body } = await invoke(id, event);
    assert.equal(error, undefined, JSON.stringify(body));
    return body;
  };

  test("Node finds packages of all layers, and the later layer's before the earlier one's", async () => {
    const modules = await value("Node", { modules: ["greeting", "versioned", "other", "nowhere"] });
    assert.deepEqual(modules, [{ from: "second", version: "versioned" }, "versioned", "other with second", "MODULE_NOT_FOUND"]);
    assert.deepEqual(await value("Single", { modules: ["greeting", "other"] }), [{ from: "first" }, "MODULE_NOT_FOUND"]);
  });

  test("Python finds modules of all layers", async () => {
    const modules = await value("Python", { modules: ["shared", "packaged", "nowhere"] });
    assert.deepEqual(modules, ["shared of first", "packaged of second", "ModuleNotFoundError"]);
  });

  test("programs of layers are in the path, also those of an archive", async () => {
    const run = ["layers-tool", "archived-tool", "linked-tool", "no-such-tool"];
    assert.deepEqual(await value("Node", { run }), ["the tool of first", "archived", "archived", "ENOENT"]);
    assert.deepEqual(await value("Python", { run: ["layers-tool"] }), ["the tool of first"]);
  });

  test("so are compiled programs, which find files of layers by their paths on Lambda", async () => {
    const commands = [["compiled-tool", "a", "b"], ["compiled-of-archive", "c"]];
    const data = canMount() ? "data of first" : "NotFound";
    assert.deepEqual(await value("Node", { commands }), [`compiled: a b, ${data}`, `compiled: c, ${data}`]);
    assert.deepEqual(await value("Python", { run: ["compiled-tool"] }), [`compiled: , ${data}`]);
  });

  test("layers that the app makes by bundling are made here, without a container, and anew after a save", async () => {
    const run = ["made-tool"];
    const files = canMount() ? ["/opt/of-command.txt", "/opt/of-app.txt"] : [];
    const texts = (text) => files.map(() => text);
    assert.deepEqual([await value("Made", { run }), await value("MadeOnce", { run })], [["made"], ["made"]]);
    assert.deepEqual(await value("Made", { files }), texts("data to be bundled"));
    const from = sst.output.length;
    fs.writeFileSync(path.join(directory, "bundled/data.txt"), "saved");
    fs.writeFileSync(path.join(directory, "bundled/tool.sh"), "#!/bin/sh\necho saved\n");
    await Promise.all(["Made", "MadeOnce"].map((id) => sst.waitFor(new RegExp(`BUILT +layers/${id}\\b`), from)));
    assert.deepEqual([await value("Made", { run }), await value("MadeOnce", { run })], [["saved"], ["saved"]]);
    assert.deepEqual(await value("Made", { files }), texts("saved"));
    assert.doesNotMatch(sst.output, /without the layer/);
  });

  test("where functions cannot see `/opt`, that is said", () => {
    assert.equal(/functions do not see `\/opt` and `\/var\/task` here/.test(sst.output), !canMount(), sst.output);
  });

  test("absolute paths are those of Lambda, and the function's own directory keeps its name", async () => {
    const { cwd, root } = await value("Node");
    assert.deepEqual([cwd, root], [path.join(directory, "node"), path.join(directory, "node")]);
    const files = ["/opt/data.txt", "/opt/from-archive.txt", "/opt/nowhere.txt"];
    if (!canMount()) {
      assert.deepEqual(await value("Node", { files }), ["ENOENT", "ENOENT", "ENOENT"], "which was said");
      return;
    }
    assert.deepEqual(await value("Node", { files }), ["data of first", "in the archive", "ENOENT"]);
    assert.deepEqual(await value("Python", { files: ["/opt/data.txt", "/etc/hostname-that-is-not"] }), ["data of first", "FileNotFoundError"]);
    assert.deepEqual(await value("Node", { exist: ["/var/task/index.js", "/usr/bin", "/var/lib", directory] }), [true, true, true, true]);
    assert.deepEqual(await value("Node", { run: ["layers-absolute", "/opt/bin/layers-tool"] }), ["data of first", "the tool of first"]);
  });

  test("a wrapper starts the runtime", async () => {
    assert.equal((await value("Wrapped")).wrapped, "yes, around node");
    assert.match((await value("WrappedPython")).wrapped, /^yes, around python/);
    assert.equal((await value("Node")).wrapped, undefined);
    const { error, body } = await invoke("BadlyWrapped");
    assert.equal(error, "Unhandled");
    assert.match(body.errorMessage, /\/opt\/nowhere: does not exist; `AWS_LAMBDA_EXEC_WRAPPER` names it/);
  });

  for (const [what, id, file, event, text] of [
    ["a package", "Single", "first/nodejs/node_modules/greeting/index.js", { modules: ["greeting"] }, 'exports.from = "saved";'],
    ["a module of Python", "Python", "second/python/lib/python3.11/site-packages/packaged.py", { modules: ["packaged"] }, 'NAME = "saved"'],
    ["a program", "Node", "first/bin/layers-tool", { run: ["layers-tool"] }, "#!/bin/sh\necho saved"],
  ]) {
    test(`${what} of a layer that is saved is what the next call sees`, async () => {
      const before = JSON.stringify(await value(id, event));
      const source = path.join(directory, file);
      const original = fs.readFileSync(source, "utf8");
      for (const written of [text, original]) {
        const from = sst.output.length;
        fs.writeFileSync(source, written);
        await sst.waitFor(new RegExp(`Rebuilt|built.*layers/${id}`, "i"), from);
        const now = JSON.stringify(await value(id, event));
        if (written === original) assert.equal(now, before);
        else assert.match(now, /saved/);
      }
    });
  }

  test("an external extension is told of calls, and of what becomes of them", async () => {
    let from = sst.output.length;
    await value("Extended", { log: "a line of the function" });
    await sst.waitFor(/\[recorder\] registered \{"functionName":"layers-Extended[^]*"handler":"index.handler"\}/, from);
    await sst.waitFor(/\[recorder\] subscribed 200 "OK"/, from);
    const [, event] = await sst.waitFor(/\[recorder\] event (\{"eventType":"INVOKE".*\})/, from);
    const { requestId, deadlineMs, invokedFunctionArn } = JSON.parse(event);
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.ok(deadlineMs > Date.now() - 60_000, `${deadlineMs}`);
    assert.match(invokedFunctionArn, /^arn:aws:lambda:/);
    for (const type of ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]) {
      await sst.waitFor(new RegExp(`\\[recorder\\] telemetry platform.${type} `), from);
    }
    await sst.waitFor(/\[recorder\] telemetry function "a line of the function\\n"/, from);
    await sst.waitFor(new RegExp(`telemetry platform.runtimeDone \\{"requestId":"${requestId}","status":"success"`), from);

    // It is the same environment, so what is told is only the call.
    from = sst.output.length;
    await value("Extended");
    await sst.waitFor(/\[recorder\] telemetry platform.report /, from);
    assert.doesNotMatch(sst.output.slice(from), /registered|initStart/);
  });

  test("an external extension is told of the end, and has its time", async () => {
    const from = sst.output.length;
    const source = path.join(directory, "node/index.js");
    fs.appendFileSync(source, "// saved\n");
    await sst.waitFor(/\[recorder\] event \{"eventType":"SHUTDOWN","shutdownReason":"SPINDOWN","deadlineMs":\d+\}/, from);
    await sst.waitFor(/\[recorder\] good bye/, from);
  });

  test("a call that takes too long is told to the extension as such", async () => {
    await value("Extended");
    const from = sst.output.length;
    const { error, body } = await invoke("Extended", { slow: 60_000 });
    assert.equal(error, "Unhandled");
    assert.match(body.errorMessage, /Task timed out after 10.00 seconds/);
    await sst.waitFor(/\[recorder\] event \{"eventType":"SHUTDOWN","shutdownReason":"TIMEOUT"/, from);
    await sst.waitFor(/\[recorder\] telemetry platform.runtimeDone .*"status":"timeout"/, from);
    await value("Extended");
  });

  test("an extension that crashes fails the call, and the next one gets another environment", async () => {
    // It was told of the first call, and ends when it is told of the second.
    const { pid } = await value("Crashing");
    const second = await invoke("Crashing", { slow: 5_000 });
    assert.equal(second.error, "Unhandled");
    assert.equal(second.body.errorType, "Extension.Crash");
    assert.match(second.body.errorMessage, /^RequestId: [0-9a-f-]{36} Error: exit status 3 \(extension `crasher`\)$/);
    assert.notEqual((await value("Crashing")).pid, pid);
  });

  test("nothing of an environment is left when it ends", async () => {
    await value("Extended");
    await sst.stop();
    await gone(directory);
    sst = undefined;
  });
});

// Debuggers of functions that have layers, and so a file system of their own: files are known by the names that they have for everybody.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Hub } from "./support/dap.mjs";
import { JsDebug } from "./support/js-debug.mjs";
import { Sst, clientOptions, copyApp, gone, ownPorts, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const debuggers = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "debuggers");
execFileSync(path.join(repository, "tests/debuggers/install.sh"), [debuggers], { stdio: ["ignore", "inherit", "inherit"] });
const environment = { PATH: `${debuggers}/bin:${process.env.PATH}`, VIRTUAL_ENV: `${debuggers}/python` };

describe("debuggers of functions with layers", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/layers");
    fs.renameSync(path.join(directory, "first/nodejs/packages"), path.join(directory, "first/nodejs/node_modules"));
    await ownPorts(directory);
    sst = await Sst.start(directory, ["--increase-timeout"], environment);
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const value = async (id, event) => {
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${id}`), Payload: JSON.stringify(event) }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
  const lineOf = (file, text) => {
    const line = fs.readFileSync(path.join(directory, file), "utf8").split("\n").findIndex((one) => one.includes(text)) + 1;
    assert.ok(line > 0, `${text} in ${file}`);
    return line;
  };

  test("Node: js-debug stops in the function, and in a package of its layer", async () => {
    const own = { file: "node/index.js", text: "if (event.modules)" };
    const layers = { file: "first/nodejs/node_modules/greeting/index.js", text: "exports.from" };
    const wanted = Object.fromEntries([own, layers].map(({ file, text }) => [file, [lineOf(file, text)]]));
    const debug = new JsDebug(directory, wanted);
    const launch = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
    const attach = launch.configurations.find(({ name }) => name === "Attach to SST");
    await debug.start({ ...attach, port: Number(sst.session().inspector.split(":")[1]) });
    await sst.waitFor(/A debugger is attached/);
    try {
      const call = value("Single", { modules: ["greeting"] });
      for (const { file } of [own, layers]) {
        const stop = await debug.stopped();
        assert.equal(stop.place, `${file}:${wanted[file]}`);
        await stop.resume();
      }
      assert.deepEqual(await call, [{ from: "first" }]);
    } finally {
      await debug.stop();
    }
  });

  test("Python: debugpy stops in the function, and in a module of its layer", async () => {
    const own = { file: "python/main.py", text: 'if "modules" in event' };
    const layers = { file: "first/python/shared.py", text: "NAME" };
    const wanted = [own, layers].map(({ file, text }) => [path.join(directory, file), [lineOf(file, text)]]);
    const hub = await Hub.attach(Number(sst.session().debugAdapter.split(":")[1]), new Map(wanted));
    try {
      const call = value("Python", { modules: ["shared"] });
      for (const [file, [line]] of wanted) {
        const { session, stop } = await hub.stopped("layers/Python [");
        // Where several layers are laid over one another, a module of theirs is a link for Python.
        assert.equal(`${fs.realpathSync(stop.frame.source.path)}:${stop.frame.line}`, `${file}:${line}`);
        assert.ok(session.verified[file].every(Boolean), "the breakpoint is verified");
        await stop.resume();
      }
      assert.deepEqual(await call, ["shared of first"]);
    } finally {
      hub.dap.vanish();
    }
  });
});

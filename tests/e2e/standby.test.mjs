// A function sees the same in whatever process it runs: the first one, one after a save, a second one at the same time. And it runs on
// the version of Node that its runtime names, when a version manager has that, with a debugger as well.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";

import { otherNode } from "../node-runner/support.mjs";
import { JsDebug } from "./support/js-debug.mjs";
import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("standbys", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/standby", null);
    install("1.0.0");
    for (const name of ["aws-cdk-lib", "constructs"]) {
      fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules", name), path.join(directory, "node_modules", name));
    }
    const nvm = path.join(directory, "nvm");
    const bin = path.join(nvm, "versions/node/v22.23.3/bin");
    fs.mkdirSync(bin, { recursive: true });
    fs.symlinkSync(otherNode(), path.join(bin, "node"));
    fs.writeFileSync(path.join(bin, "tool"), "#!/usr/bin/env node\nconsole.log(process.version);\n", { mode: 0o755 });
    sst = await Sst.start(directory, [], { NVM_DIR: nvm, SST_TRACE: "save" });
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Installs a version of the package as npm does: in the place of the former one, with files that all are of one time. */
  function install(version, before = "") {
    const place = path.join(directory, "node_modules/noting");
    fs.rmSync(place, { recursive: true, force: true });
    fs.mkdirSync(place, { recursive: true });
    const code = `
      const fs = require("node:fs");
      fs.appendFileSync(${JSON.stringify(loads())}, process.pid + "\\n");
      ${before}
      const { DEBUG, STAGE, AWS_REGION, AWS_LAMBDA_FUNCTION_NAME, LAMBDA_TASK_ROOT, AWS_LAMBDA_RUNTIME_API } = process.env;
      const seen = { DEBUG, STAGE, AWS_REGION, AWS_LAMBDA_FUNCTION_NAME, LAMBDA_TASK_ROOT, directory: process.cwd() };
      const all = Object.keys(process.env).sort();
      exports.noted = { seen, all, version: "${version}", hasApi: AWS_LAMBDA_RUNTIME_API };
      console.log("noting is loaded");`;
    for (const [name, text] of [["package.json", JSON.stringify({ name: "noting", version })], ["index.js", code]]) {
      fs.writeFileSync(path.join(place, name), text);
      fs.utimesSync(path.join(place, name), 499162500, 499162500);
    }
  }
  const loads = () => path.join(directory, "loads.log");
  const loaded = () => (fs.existsSync(loads()) ? fs.readFileSync(loads(), "utf8").split("\n").filter(Boolean).map(Number) : []);
  /**
   * Waits until the next standby of the function is there; returns its id. It has loaded the package last: one that has read what was
   * written just before is made once more.
   */
  const standby = async (from) => {
    await sst.waitFor(/standby has loaded the packages function=standby\/Noting is_ready=true/, from);
    return loaded().at(-1);
  };
  const invoke = async (event = {}, name = "Noting") => {
    const FunctionName = sst.stackOutput(`Function${name}`);
    const { Payload, FunctionError } = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    const answer = JSON.parse(Buffer.from(Payload));
    if (FunctionError) throw new Error(JSON.stringify(answer));
    return answer;
  };
  const save = async (text) => {
    const from = sst.output.length;
    const file = path.join(directory, "src/noting.js");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/const text = ".*"/, `const text = "${text}"`));
    await sst.waitFor(/BUILT +standby\/Noting/, from);
  };
  const seenBy = ({ seen, all }) => ({ seen, all });

  let first;
  test("packages see the function's environment, in its first process", async () => {
    first = await invoke();
    assert.equal(first.seen.DEBUG, "app:*");
    assert.equal(first.seen.STAGE, "dev");
    assert.equal(first.seen.AWS_LAMBDA_FUNCTION_NAME, sst.stackOutput("FunctionNoting"));
    assert.equal(first.seen.directory, first.seen.LAMBDA_TASK_ROOT);
    assert.ok(first.hasApi);
  });

  test("it runs on the Node of its runtime, and so does what it starts", async () => {
    for (let count = 0; count < 2; count += 1) assert.equal(await invoke({}, "Newer"), process.version);
    assert.equal(first.node, "v22.23.3");
    assert.equal(first.child, "v22.23.3");
    assert.match(sst.output, /functions of `nodejs98.x` run here on Node.js [\d.]+: there is no Node.js 98 on this machine; get it/);
    assert.equal(sst.output.match(/there is no Node.js 98/g).length, 1);
    assert.doesNotMatch(sst.output, /functions of `nodejs22.x`|ExperimentalWarning/);
  });

  let second;
  test("a process that was there before the save shows the same", async () => {
    await standby(0);
    const between = sst.output.length;
    await save("between");
    await invoke();
    const waiting = await standby(between);
    const from = sst.output.length;
    await save("second");
    second = await invoke();
    assert.equal(second.text, "second");
    assert.equal(second.pid, waiting, `it was loaded ahead, with ${JSON.stringify(loaded())}`);
    assert.deepEqual(seenBy(second), seenBy(first));
    // What it has written ahead is shown.
    await sst.waitFor(/noting is loaded/, from);
  });

  test("so does a second one at the same time", async () => {
    const both = await Promise.all([invoke({ wait: 3_000 }), invoke({ wait: 3_000 })]);
    assert.notEqual(both[0].pid, both[1].pid);
    for (const one of both) assert.deepEqual(seenBy(one), seenBy(first));
  });

  test("a package that is installed anew is not served from a process that has loaded the old one", async () => {
    const from = sst.output.length;
    await save("third");
    const third = await invoke();
    assert.equal(third.version, "1.0.0");
    const waiting = await standby(from);
    install("2.0.0");
    await save("fourth");
    const fourth = await invoke();
    assert.equal(fourth.text, "fourth");
    assert.equal(fourth.version, "2.0.0");
    assert.notEqual(fourth.pid, waiting);
  });

  test("a standby that is still loading packages is waited for, not passed by", async () => {
    const hold = path.join(directory, "hold");
    install("2.5.0", `while (fs.existsSync(${JSON.stringify(hold)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);`);
    let from = sst.output.length;
    await save("held");
    const call = invoke({ wait: 1_000 });
    await sst.waitFor(/noting is loaded/, from);
    fs.writeFileSync(hold, "");
    // It is started after the answer.
    const before = await call;
    assert.equal(before.version, "2.5.0");
    from = sst.output.length;
    await save("waiting");
    const next = invoke();
    await sst.waitFor(/a worker starts .*is_starting=true packages=true/, from);
    fs.rmSync(hold);
    const { text, pid, version } = await next;
    assert.deepEqual({ text, version }, { text: "waiting", version: "2.5.0" });
    await sst.waitFor(/standby has loaded the packages function=standby\/Noting is_ready=true/, from);
    assert.equal(loaded()[loaded().lastIndexOf(before.pid) + 1], pid, "it was the next to load the package");
  });

  test("a package that fails is loaded by the function itself, and its standby leaves no trace", async () => {
    const switchedOff = path.join(directory, "off");
    install("3.0.0", `console.log("about to fail in " + process.pid); if (!fs.existsSync(${JSON.stringify(switchedOff)})) throw new Error("switched on");`);
    await save("fifth");
    await assert.rejects(invoke(), /switched on/);
    const others = loaded();
    await assert.rejects(invoke(), /switched on/);
    fs.writeFileSync(switchedOff, "");
    const mended = await invoke();
    assert.equal(mended.version, "3.0.0");
    const shown = new Set([...sst.output.matchAll(/about to fail in (\d+)/g)].map((match) => Number(match[1])));
    assert.ok(shown.has(mended.pid));
    for (const pid of shown) assert.ok(loaded().includes(pid));
    assert.ok(others.length > 0);
  });

  test("a debugger stops in it on the Node of its runtime, in the next process as well", async () => {
    const lineOf = () => {
      const lines = fs.readFileSync(path.join(directory, "src/noting.js"), "utf8").split("\n");
      return lines.findIndex((line) => line.includes("return")) + 1;
    };
    const debug = new JsDebug(directory, { "src/noting.js": [lineOf()] });
    const port = Number(sst.session().inspector.split(":")[1]);
    await debug.start({ type: "node", request: "attach", name: "attach", port, restart: true, continueOnAttach: true, autoAttachChildProcesses: false });
    try {
      await sst.waitFor(/A debugger is attached/);
      for (const text of ["sixth", "seventh"]) {
        await save(text);
        const call = invoke();
        const stop = await debug.stopped();
        assert.equal(stop.place, `src/noting.js:${lineOf()}`);
        assert.deepEqual([await stop.evaluate("text"), await stop.evaluate("process.version")], [`'${text}'`, "'v22.23.3'"]);
        await stop.resume();
        assert.equal((await call).text, text);
      }
    } finally {
      await debug.stop();
    }
  });
});

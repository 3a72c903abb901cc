// Breakpoints, with the real js-debug.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Hub } from "./support/dap.mjs";
import { JsDebug } from "./support/js-debug.mjs";
import { clockStandsStill } from "./support/pauses.mjs";
import { App, Sst, binary, clientOptions, copyApp, extraArguments, gone, ownPorts, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const configuration = (name) => {
  const file = path.join(repository, "launch-configs/vscode/launch.json");
  return JSON.parse(fs.readFileSync(file, "utf8")).configurations.find((one) => one.name === name);
};
const invoker = (sst) => {
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  return async (name, event = {}) => {
    const FunctionName = sst.stackOutput(`Function${name}`);
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
};

describe("attach", () => {
  let directory;
  let sst;
  let invoke;
  let debug;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    await ownPorts(directory);
    sst = await Sst.start(directory, ["--increase-timeout"]);
    invoke = invoker(sst);
    debug = new JsDebug(directory, { "functions/explicit.ts": [7], "functions/asset/index.js": [2] });
    const [, port] = sst.session().inspector.split(":");
    await debug.start({ ...configuration("Attach to SST"), port: Number(port) });
    await sst.waitFor(/A debugger is attached/);
  });
  after(async () => {
    await debug?.stop();
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("a breakpoint that was set before the first call stops the first call", async () => {
    const call = invoke("Explicit");
    const stop = await debug.stopped();
    assert.equal(stop.place, "functions/explicit.ts:7");
    await stop.resume();
    assert.deepEqual(await call, { text: "explicit 42" });
  });

  test("two functions at once, in JavaScript and TypeScript", async () => {
    const calls = [invoke("Explicit"), invoke("Asset")];
    const stops = [await debug.stopped(), await debug.stopped()];
    assert.deepEqual(stops.map((stop) => stop.place).sort(), ["functions/asset/index.js:2", "functions/explicit.ts:7"]);
    for (const stop of stops) await stop.resume();
    assert.deepEqual(await Promise.all(calls), [{ text: "explicit 42" }, "asset 42"]);
  });

  test("the clock stands still while paused", async () => {
    const from = sst.output.length;
    await debug.moveBreakpoints({ "functions/explicit.ts": [6, 7], "functions/asset/index.js": [2] });
    const call = invoke("Explicit");
    const stop = await debug.stopped();
    const places = ["plain/Explicit at functions/explicit.ts:6", "plain/Explicit at functions/explicit.ts:7"];
    await clockStandsStill(sst, places, { from, seconds: 2, resume: stop.resume });
    await (await debug.stopped()).resume();
    assert.deepEqual(await call, { text: "explicit 42" });
  });

  test("after a save the next call stops in the new process, at the moved line", async () => {
    const file = path.join(directory, "functions/explicit.ts");
    const text = fs.readFileSync(file, "utf8");
    const from = sst.output.length;
    fs.writeFileSync(file, `// One more line.\n${text.replace("explicit", "edited")}`);
    await debug.moveBreakpoints({ "functions/explicit.ts": [8] });
    await sst.waitFor(/BUILT +plain\/Explicit/, from);
    const call = invoke("Explicit");
    const stop = await debug.stopped();
    assert.equal(stop.place, "functions/explicit.ts:8");
    await stop.resume();
    assert.deepEqual(await call, { text: "edited 42" });
  });

  test("a call from this machine stops as well", async () => {
    const child = spawn(binary(), ["invoke", "Explicit"], { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await Promise.all([
      createInterface({ input: child.stdout })[Symbol.asyncIterator]().next(),
      debug.stopped().then((stop) => {
        assert.equal(stop.place, "functions/explicit.ts:8");
        return stop.resume();
      }),
    ]);
    assert.equal(line.value, '{"text":"edited 42"}');
  });

  test("after a restart of `sst` the debugger is there again without being asked", async () => {
    const before = sst.session();
    await sst.stop();
    sst = await Sst.start(directory, ["--increase-timeout"]);
    assert.equal(sst.session().inspector, before.inspector, "the port is kept");
    invoke = invoker(sst);
    await sst.waitFor(/A debugger is attached/);
    const call = invoke("Explicit");
    const stop = await debug.stopped();
    assert.equal(stop.place, "functions/explicit.ts:8");
    await stop.resume();
    assert.deepEqual(await call, { text: "edited 42" });
  });

  test("a debugger that vanishes while paused leaves the call running", async () => {
    // As long as another one is there, the function stays paused for that one.
    await debug.stop();
    const [, port] = sst.session().inspector.split(":");
    const attach = JSON.stringify({ ...configuration("Attach to SST"), port: Number(port) });
    const breakpoints = JSON.stringify({ "lib/plain-stack.discovered.ts": [4] });
    const script = path.join(repository, "tests/e2e/support/attached.mjs");
    const from = sst.output.length;
    const other = spawn(process.execPath, [script, directory, attach, breakpoints], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, "attached");
    await sst.waitFor(/A debugger is attached/, from);
    const call = invoke("Discovered");
    assert.equal((await lines.next()).value, "lib/plain-stack.discovered.ts:4");
    other.kill("SIGKILL");
    assert.equal(await call, "discovered 42");
  });
});

describe("one attach for all languages", () => {
  test("the first call waits for the part for Node, which the editor has to start first", async () => {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    const file = path.join(directory, "functions/asset/index.js");
    fs.writeFileSync(file, `${fs.readFileSync(file, "utf8")}console.log("loaded");\n`);
    const sst = await Sst.start(directory, ["--increase-timeout"]);
    const debug = new JsDebug(directory, { "functions/asset/index.js": [2] });
    let hub;
    try {
      hub = await Hub.attach(Number(sst.session().debugAdapter.split(":")[1]), new Map(), { node: true });
      const call = invoker(sst)("Asset");
      await sst.waitFor(/loaded/);
      const { configuration: node } = await hub.node;
      await debug.start({ ...configuration("Attach to SST"), ...node });
      hub.nodeStarted();
      const stop = await debug.stopped();
      assert.equal(stop.place, "functions/asset/index.js:2");
      await stop.resume();
      assert.equal(await call, "asset 42");
    } finally {
      hub?.dap.vanish();
      await debug.stop();
      await sst.stop();
      fs.rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("F5", () => {
  let directory;
  let debug;
  let invoke;
  let program;

  beforeEach(() => {
    directory = copyApp("tests/fixtures/apps/cdk-plain", null);
    // As `npm install` leaves it: `.bin/sst` is the launcher.
    fs.mkdirSync(path.join(directory, "node_modules/.bin"), { recursive: true });
    const modules = path.join(repository, "tests/fixtures/node_modules");
    for (const name of fs.readdirSync(modules)) {
      if (!name.startsWith(".")) fs.symlinkSync(path.join(modules, name), path.join(directory, "node_modules", name));
    }
    fs.symlinkSync(path.join(repository, "npm/bin/sst.mjs"), path.join(directory, "node_modules/.bin/sst"));
  });
  afterEach(async () => {
    await debug.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  for (const [way, runtimeExecutable] of [
    ["by the launcher", undefined],
    ["as the native program", binary()],
  ]) {
    test(`starts \`sst\` ${way}, stops in three processes, and ends everything`, async () => {
      const file = path.join(directory, "functions/explicit.ts");
      const launch = configuration("Debug SST Start");
      const runtimeArgs = [...launch.runtimeArgs, "--local", ...extraArguments()];
      const env = { SST_NPM_ROOT: path.join(repository, "npm"), SST_BINARY: binary(), NO_COLOR: "1" };
      debug = new JsDebug(directory, { "functions/explicit.ts": [6, 7] });
      await debug.start({ ...launch, runtimeArgs, env, ...(runtimeExecutable && { runtimeExecutable }) });
      await debug.waitFor(/Listening for requests/);
      invoke = invoker(new App(directory));

      for (const line of [7, 8, 9]) {
        let from = debug.output.length;
        const call = invoke("Explicit");
        if (line === 7) {
          const stop = await debug.stopped();
          assert.equal(stop.place, "functions/explicit.ts:6");
          const places = [6, 7].map((number) => `plain/Explicit at functions/explicit.ts:${number}`);
          // Longer than it takes to notice that a debugger is gone.
          await clockStandsStill(debug, places, { from, seconds: 3, resume: stop.resume });
        }
        const stop = await debug.stopped();
        assert.equal(stop.place, `functions/explicit.ts:${line}`);
        // Its row in the editor's call stack. js-debug shows what follows the last slash only, so it is another one that looks the same.
        assert.match(stop.session.name, /^plain\u2215Explicit \[\d+\]$/);
        await stop.resume();
        assert.deepEqual(await call, { text: "explicit 42" });
        from = debug.output.length;
        await debug.moveBreakpoints({ "functions/explicit.ts": [line + 1] });
        fs.writeFileSync(file, `// One more line.\n${fs.readFileSync(file, "utf8")}`);
        await debug.waitFor(/BUILT +plain\/Explicit/, from);
      }
      assert.equal(debug.rootEnded, false, "the session outlives its workers");
      await debug.stop();
      await debug.programs[0].exited;
      await gone(directory);
    });
  }
});

describe("Debug SST Tests", () => {
  test("stops in a test, and the exit code is that of the runner", async () => {
    const directory = copyApp("tests/fixtures/apps/cdk-plain", null);
    fs.mkdirSync(path.join(directory, "node_modules/.bin"), { recursive: true });
    fs.symlinkSync(path.join(repository, "npm/bin/sst.mjs"), path.join(directory, "node_modules/.bin/sst"));
    fs.mkdirSync(path.join(directory, "test"));
    fs.writeFileSync(path.join(directory, ".env.test"), 'ANSWER="of the tests"\n');
    fs.writeFileSync(
      path.join(directory, "test/answer.test.js"),
      'const { test } = require("node:test");\n\ntest("answer", () => {\n  const answer = process.env.ANSWER;\n  if (answer !== "another") throw new Error(answer);\n});\n',
    );
    const debug = new JsDebug(directory, { "test/answer.test.js": [5] });
    const tests = configuration("Debug SST Tests");
    const env = { ...tests.env, SST_NPM_ROOT: path.join(repository, "npm"), SST_BINARY: binary() };
    await debug.start({ ...tests, env });
    const stop = await debug.stopped();
    assert.equal(stop.place, "test/answer.test.js:5");
    await stop.resume();
    assert.equal(await debug.programs[0].exited, 1);
    assert.match(debug.output, /of the tests/);
    fs.rmSync(directory, { recursive: true, force: true });
  });
});

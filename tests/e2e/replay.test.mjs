// Calls once more: with an event that was edited, and with a debugger that stops at the first line of the handler.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Hub } from "./support/dap.mjs";
import { JsDebug } from "./support/js-debug.mjs";
import { Sst, api, call, copyApp, ownPorts, repository, until, writeInto } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const CDP = require("chrome-remote-interface");

const debuggers = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "debuggers");
execFileSync(path.join(repository, "tests/debuggers/install.sh"), [debuggers], { stdio: ["ignore", "inherit", "inherit"] });

const STACK = `const { App, Stack } = require("aws-cdk-lib");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "replay");
const code = Code.fromAsset("src");
new Function(stack, "Handler", { runtime: Runtime.NODEJS_20_X, handler: "index.handler", code });
new Function(stack, "Bound", { runtime: Runtime.NODEJS_20_X, handler: "index.bound", code });
new Function(stack, "Python", { runtime: Runtime.PYTHON_3_12, handler: "index.handler", code });
new Function(stack, "Own", { runtime: Runtime.PROVIDED_AL2023, handler: "bootstrap", code: Code.fromAsset("own") });
`;
const HANDLER = `exports.handler = async (event, again) => {
  const answer = { got: event };
  if (event.again && again !== false) await exports.handler(event, false);
  return answer;
};
exports.bound = function (event) {
  return Promise.resolve({ bound: event });
}.bind(null);
`;

const PYTHON = `import functools


def wrapped(function):
    @functools.wraps(function)
    def wrapper(event, context):
        return function(event, context)

    return wrapper


@wrapped
def handler(event, context, again=True):
    """Calls itself."""
    answer = {"got": event}
    if event.get("again") and again:
        handler.__wrapped__(event, context, False)
    return answer
`;
/** The smallest client of the Runtime API. */
const BOOTSTRAP = `#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  id=$(curl -sS -o /dev/null -D - "$api/next" | tr -d '\\r' | sed -n 's/^lambda-runtime-aws-request-id: //Ip')
  curl -sS -X POST -d '"done"' "$api/$id/response" > /dev/null
done
`;

/** An editor: does with the file what the variable of that name says, and notes what was in it, and who can read it. */
const EDITOR = `const fs = require("node:fs");
const file = process.argv.at(-1);
fs.appendFileSync(process.env.SEEN, JSON.stringify({ file, text: fs.readFileSync(file, "utf8"), mode: fs.statSync(file).mode & 0o777 }) + "\\n");
const steps = JSON.parse(fs.readFileSync(process.env.STEPS, "utf8"));
const step = steps.shift();
fs.writeFileSync(process.env.STEPS, JSON.stringify(steps));
if (step !== "leave") fs.writeFileSync(file, step === "empty" ? " \\n" : step);
`;

describe("replays", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    const write = (file, text) => writeInto(directory, file, text);
    write("app.cjs", STACK);
    write("src/index.js", HANDLER);
    write("src/index.py", PYTHON);
    write("own/bootstrap", BOOTSTRAP);
    fs.chmodSync(path.join(directory, "own/bootstrap"), 0o755);
    write("editor.cjs", EDITOR);
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "replay", functions: { "replay/Own": { command: ["./bootstrap"], directory: "own" } } }));
    await ownPorts(directory);
    sst = await Sst.start(directory, [], { VIRTUAL_ENV: `${debuggers}/python` });
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const seen = () => {
    const text = fs.readFileSync(path.join(directory, "seen"), "utf8");
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };
  /** A command whose editor does these steps, one each time. */
  const edited = (steps, args, options = {}) => {
    fs.writeFileSync(path.join(directory, "steps"), JSON.stringify(steps));
    fs.writeFileSync(path.join(directory, "seen"), "");
    const env = { VISUAL: undefined, EDITOR: "node editor.cjs", SEEN: path.join(directory, "seen"), STEPS: path.join(directory, "steps") };
    return new Sst(directory, args, env, options);
  };
  const ended = async (command) => {
    const { code } = await command.exited;
    await command.closed;
    return { code, said: command.output };
  };
  const calls = async () => (await (await api(sst.session(), "invocations")).json()).invocations;
  const leftovers = () => fs.readdirSync(path.join(directory, ".sst")).filter((name) => name.startsWith("edit-"));

  test("an event is edited with its secrets as they were, in a file that only the user can read, and that goes", async () => {
    const { id } = await call(sst.session(), "Handler", { password: "hunter22", number: 1e21, digits: "1" });
    const changed = await ended(edited(['{"digits":"2"}'], ["replay", id.slice(0, 8), "--edit"]));
    assert.deepEqual([changed.code, JSON.parse(changed.said)], [0, { got: { digits: "2" } }], changed.said);
    const [{ file, text, mode }] = seen();
    assert.match(path.relative(directory, file), /^\.sst\/edit-[^/]+\/event\.json$/);
    assert.deepEqual([text, mode], ['{\n  "password": "hunter22",\n  "number": 1e+21,\n  "digits": "1"\n}\n', 0o600]);
    assert.deepEqual(leftovers(), []);
    assert.equal((await calls())[0].replayOf, id);

    const left = await ended(edited(["leave"], ["replay", id, "--edit"]));
    assert.equal(JSON.parse(left.said).got.password, "hunter22");
    const event = await api(sst.session(), `invocations/${(await calls())[0].id}/event`);
    assert.equal(await event.text(), '{"password":"hunter22","number":1e+21,"digits":"1"}', "byte for byte");
  });

  test("an event that is emptied calls nothing", async () => {
    const before = await calls();
    const { code, said } = await ended(edited(["empty"], ["replay", "last", "--edit"]));
    assert.deepEqual([code, said.trim()], [0, "Nothing was called: the event was emptied"]);
    assert.deepEqual((await calls()).map((one) => one.id), before.map((one) => one.id));
  });

  test("a broken event is pointed at, and edited again by who says so", async () => {
    const broken = '{\n  "digits": 2,,\n}';
    const alone = await ended(edited([broken], ["replay", "last", "--edit"]));
    assert.equal(alone.code, 2);
    assert.match(alone.said, /the event is not JSON[^]*2: {3}"digits": 2,,\n +\^/);
    assert.deepEqual(leftovers(), []);

    const asked = edited([broken, '{"digits":3}'], ["replay", "last", "--edit"], { terminal: [100, 30] });
    await asked.waitFor(/2: {3}"digits": 2,,[^]*Edit it again\? \[Y\/n\]/);
    asked.type("\r");
    assert.equal((await asked.exited).code, 0, asked.output);
    assert.match(asked.output, /\{"got":\{"digits":3\}\}/);
    assert.equal(seen()[1].text, broken, "what was written is there still");

    const refused = edited([broken], ["replay", "last", "--edit"], { terminal: [100, 30] });
    await refused.waitFor(/Edit it again\?/);
    refused.type("n\r");
    assert.equal((await refused.exited).code, 2);
  });

  test("`sst invoke` has its event edited as well, and a missing editor is named", async () => {
    const { said } = await ended(edited(['{"by":"invoke"}'], ["invoke", "Handler", "--edit"]));
    assert.deepEqual(JSON.parse(said), { got: { by: "invoke" } });
    assert.equal(seen()[0].text, "{}\n");
    const missing = new Sst(directory, ["invoke", "Handler", "--edit"], { VISUAL: "no-such-editor --wait" });
    const { code, said: reason } = await ended(missing);
    assert.equal(code, 3);
    assert.match(reason, /the editor `no-such-editor --wait` has failed[^]*`VISUAL` or `EDITOR` says which editor is run/);
  });

  test("without a debugger, and in languages that cannot, nothing is stopped, and it is said", async () => {
    const { id } = await call(sst.session(), "Handler", {});
    const nobody = await ended(new Sst(directory, ["replay", id, "--break"]));
    assert.equal(nobody.code, 2);
    assert.match(nobody.said, /no debugger is attached that could stop[^]*attach one first/);
    const own = await call(sst.session(), "Own", {});
    assert.equal(own.outcome, "returned", `${JSON.stringify(own)}\n${sst.output}`);
    const refused = await ended(new Sst(directory, ["replay", own.id, "--break"]));
    assert.equal(refused.code, 2);
    assert.match(refused.said, /no debugger can be made to stop at the first line of `replay\/Own`[^]*set a breakpoint in the handler/);
    const odd = await api(sst.session(), `invocations/${id}/replay?break=maybe`, { method: "POST" });
    assert.equal(odd.status, 400);
  });

  test("a debugger stops at the first line of the handler, once", async () => {
    const ids = {};
    for (const name of ["Handler", "Bound"]) ids[name] = (await call(sst.session(), name, { again: true })).id;
    const [host, port] = sst.session().inspector.split(":");
    const [target] = await CDP.List({ host, port: Number(port) });
    const from = sst.output.length;
    const client = await CDP({ target: target.webSocketDebuggerUrl });
    const pauses = [];
    const sessions = [];
    client.on("Target.attachedToTarget", async ({ sessionId }) => {
      sessions.push(sessionId);
      for (const method of ["Runtime.enable", "Debugger.enable", "Runtime.runIfWaitingForDebugger"]) await client.send(method, {}, sessionId);
    });
    client.on("Debugger.paused", ({ callFrames: [{ functionName, location }] }, sessionId) => pauses.push({ functionName, line: location.lineNumber + 1, sessionId }));
    await client.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: true });
    await sst.waitFor(/A debugger is attached/, from);
    await until("both workers", () => sessions.length === 2);
    try {
      for (const [name, line] of [["Handler", 2], ["Bound", 7]]) {
        const replay = async (query) => (await api(sst.session(), `invocations/${ids[name]}/replay${query}`, { method: "POST" })).json();
        const answer = replay("?break=true");
        await until("the pause", () => pauses.length === 1);
        assert.equal(pauses[0].line, line, name);
        const paused = await until("the call to be shown", async () => (await calls()).find((one) => one.status === "paused"));
        assert.equal(paused.place, `src/index.js:${line}`);
        await client.send("Debugger.resume", {}, pauses[0].sessionId);
        const { outcome, body } = await answer;
        const result = JSON.parse(Buffer.from(body, "base64"));
        assert.deepEqual([outcome, result], ["returned", name === "Handler" ? { got: { again: true } } : { bound: { again: true } }]);
        // Neither the handler that calls itself stops again, nor the next call.
        assert.equal((await replay("")).outcome, "returned");
        assert.equal((await call(sst.session(), name, {})).outcome, "returned");
        assert.equal(pauses.length, 1);
        pauses.length = 0;
      }
    } finally {
      await client.close();
    }
  });

  test("debugpy stops in the function that a decorator has wrapped, once", async () => {
    const port = Number(sst.session().debugAdapter.split(":")[1]);
    const hub = await Hub.attach(port, new Map());
    try {
      const from = sst.output.length;
      const { id } = await call(sst.session(), "Python", { again: true });
      const replay = async (query) => (await api(sst.session(), `invocations/${id}/replay${query}`, { method: "POST" })).json();
      const answer = replay("?break=true");
      const { stop } = await hub.stopped("replay/Python [");
      assert.equal(stop.place, "index.py:15", sst.output.slice(from));
      assert.match(await stop.evaluate("event"), /again/);
      await stop.resume();
      assert.equal((await answer).outcome, "returned");
      assert.equal((await replay("")).outcome, "returned");
      const stops = hub.children.flatMap((child) => child.dap.events).filter(({ event }) => event === "stopped");
      assert.equal(stops.length, 0, "it stops no second time");
    } finally {
      hub.dap.vanish();
    }
  });

  test("VS Code's debugger stops there as well", async () => {
    const { id } = await call(sst.session(), "Handler", {});
    const file = path.join(repository, "launch-configs/vscode/launch.json");
    const attach = JSON.parse(fs.readFileSync(file, "utf8")).configurations.find(({ name }) => name === "Attach to SST");
    const from = sst.output.length;
    const debug = new JsDebug(directory, { "src/index.js": [] });
    try {
      await debug.start({ ...attach, port: Number(sst.session().inspector.split(":")[1]) });
      await sst.waitFor(/A debugger is attached/, from);
      await until("the function's session", () => debug.sessions.some(({ name }) => name?.includes("Handler")));
      const replay = async (query) => (await api(sst.session(), `invocations/${id}/replay${query}`, { method: "POST" })).json();
      const answer = replay("?break=true");
      const stop = await debug.stopped();
      assert.equal(stop.place, "src/index.js:2");
      await stop.resume();
      assert.equal((await answer).outcome, "returned");
      assert.equal((await replay("")).outcome, "returned");
    } finally {
      await debug.stop();
    }
  });
});

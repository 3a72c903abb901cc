// A terminal that nobody reads, what functions and events say to one, and how Ctrl-C ends what is told to end.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";

import { Sst, binary, copyApp, extraArguments, gone, processesOf } from "./support/sst.mjs";

/** One function, which does what it is told. */
const APP = `
const { App, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "noisy");
const timeout = Duration.seconds(120);
new LambdaFunction(stack, "Noisy", { runtime: Runtime.NODEJS_22_X, handler: "index.handler", timeout, code: Code.fromAsset("functions/asset") });
`;
const FUNCTION = `
const fs = require("node:fs");

exports.handler = async ({ lines = 0, say, fail, begun }) => {
  const text = "x".repeat(1000);
  for (let number = 0; number < lines; number++) console.log(number + text);
  if (say) console.log(say);
  if (fail) throw new Error(fail);
  if (begun) {
    fs.writeFileSync(begun, "");
    await new Promise(() => setInterval(() => {}, 1000));
  }
  return "done";
};
`;

/** No test waits longer, whatever fails. */
const LIMIT = { timeout: 120_000 };

/** What a command line starts with to run on one of the processors that this process may use. */
function onOneCore() {
  const allowed = /^Cpus_allowed_list:\s*(\d+)/m.exec(fs.readFileSync("/proc/self/status", "utf8"));
  return ["taskset", "-c", allowed[1]];
}

/** The memory that a process has at present, and the most that it has had, in MB. */
function memory(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  return ["VmRSS", "VmHWM"].map((name) => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(status)[1]) / 1024);
}

/** Waits until something is there, and returns it. */
async function until(what, find) {
  for (const end = Date.now() + 120_000; ; ) {
    const found = await find();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** How long something takes, in seconds. */
async function seconds(promise) {
  const begin = performance.now();
  await promise;
  return (performance.now() - begin) / 1000;
}

describe("a terminal", { skip: process.platform !== "linux" }, () => {
  let directory;
  let sst;
  beforeEach(() => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    fs.mkdirSync(path.join(directory, "tmp"));
    fs.writeFileSync(path.join(directory, "bin/app.js"), APP);
    fs.writeFileSync(path.join(directory, "functions/asset/index.js"), FUNCTION);
  });
  afterEach(async () => {
    if (sst?.child.exitCode === null) {
      sst.child.kill("SIGCONT");
      await sst.stop("SIGKILL");
    }
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Calls the function through the running program. */
  async function call(event) {
    const child = spawn(binary(), ["invoke", "noisy/Noisy", "--event", "-"], { cwd: directory, env: { ...process.env, NO_COLOR: "1" } });
    const result = { output: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (result.output += text));
    child.stdin.end(JSON.stringify(event));
    [result.code] = await once(child, "close");
    return result;
  }
  const done = { output: '"done"\n', code: 0 };
  const start = (options) => new Sst(directory, ["start", "--local", ...extraArguments()], { TMPDIR: path.join(directory, "tmp") }, options);
  const nothingStays = async () => {
    await gone(directory);
    assert.ok(!fs.existsSync(path.join(directory, ".sst/session.json")));
    assert.deepEqual(fs.readdirSync(path.join(directory, "tmp")).filter((name) => name.startsWith("sst-")), []);
  };
  const session = () => until("session", () => fs.existsSync(path.join(directory, ".sst/session.json")));

  test("that nobody reads holds up no call and takes no memory, on one core", LIMIT, async () => {
    sst = start({ prefix: onOneCore(), unread: true });
    await session();
    assert.deepEqual(await call({}), done);
    const { pid } = sst.session();
    const [before] = memory(pid);
    // 50 MB, of which a pipe holds 64 kB.
    assert.deepEqual(await call({ lines: 50_000 }), done);
    const calls = 20;
    for (let number = 0; number < calls; number++) assert.deepEqual(await call({}), done);
    const [, most] = memory(pid);
    assert.ok(most - before < 48, `${before} MB before, ${most} MB at most`);

    // What is said of the calls is still there, and what is not is told.
    sst.read();
    await sst.waitFor(/warning: \d+ lines of output dropped here, because nobody has read them/);
    await until("answers", () => sst.output.match(/^RESPONSE/gm)?.length >= calls + 2);

    // Of output only the oldest lines are dropped, so the last one comes, and nothing of that call after it.
    await sst.waitFor(/ 49999x/);

    // Nothing that an event or a function says is obeyed.
    const from = sst.output.length;
    const hostile = "\x1b[2J\x1b]52;c;bHM=\x07\u009b2J\u202e\r\nRESPONSE 00000000 forged 200 (1 ms)";
    const event = { httpMethod: "GET", path: `/${hostile}`, requestContext: {}, say: `\x1b[31mred ${hostile}`, fail: hostile };
    const answer = await call(event);
    assert.equal(answer.code, 1);
    await sst.waitFor(/ERROR [^]*forged[^]*\n/, from);
    await call({});
    await sst.waitFor(/RESPONSE \S+ noisy/, from);
    const shown = sst.output.slice(from) + answer.output;
    assert.doesNotMatch(shown, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
    assert.doesNotMatch(shown, /^RESPONSE 00000000/m);
    assert.match(shown, /^REQUEST {2}\S+ noisy\/Noisy API GET \/\\u\{1b\}\[2J\\u\{1b\}\]52;c;bHM=\\u\{7\}\\u\{9b\}2J\\u\{202e\}\\r\\nRESPONSE 0/m);
    assert.match(shown, /^ {9}\S+ red \\u\{1b\}\[2J/m);

    // One Ctrl-C is enough, although the last words are not read.
    sst.child.stdout.pause();
    assert.deepEqual(await call({ lines: 20_000 }), done);
    sst.child.kill("SIGINT");
    let exit;
    assert.ok((await seconds(sst.exited.then((how) => (exit = how)))) < 15);
    assert.deepEqual(exit, { code: 0, signal: null });
    await nothingStays();
  });

  test("that was stopped: the second Ctrl-C ends the program at once, also while it takes leave of a cloud that does not answer", LIMIT, async () => {
    sst = start({ terminal: [100, 30] });
    await sst.waitFor(/Listening for requests/);
    const { pid, endpoint } = sst.session();
    sst.child.kill("SIGSTOP");
    assert.deepEqual(await call({ lines: 1000 }), done);
    const begun = path.join(directory, "begun");
    const open = call({ begun });
    await until("call", () => fs.existsSync(begun));
    const all = processesOf(directory);
    const port = new URL(endpoint).port;
    const cloud = all.find((other) => fs.readFileSync(`/proc/${other}/environ`, "utf8").includes(`GATEWAY_PORT=${port}\0`));
    process.kill(cloud, "SIGSTOP");
    process.kill(pid, "SIGINT");
    assert.match((await open).output, /stopped before the function answered/);
    process.kill(pid, "SIGINT");
    // It is a zombie as long as its parent, the terminal, stands still.
    const ended = () => / Z /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"));
    assert.ok((await seconds(until("end", ended))) < 2);
    sst.child.kill("SIGCONT");
    assert.equal((await sst.exited).code, 130);
    await nothingStays();
  });

  test("two Ctrl-C during the preparations end them at once", LIMIT, async () => {
    sst = start();
    await sst.waitFor(/The local cloud is at/);
    sst.child.kill("SIGINT");
    await sst.waitFor(/stopping/);
    sst.child.kill("SIGINT");
    let exit;
    assert.ok((await seconds(sst.exited.then((how) => (exit = how)))) < 2);
    assert.deepEqual(exit, { code: 130, signal: null });
    await nothingStays();
  });
});

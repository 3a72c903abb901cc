// Functions of the counterpart: AWS's own emulator, used as Lambda uses its execution environments, with a runtime that does what it is told.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { startCounterpart, stub, stubConfig } from "../../counterpart/counterpart.mjs";
import { repository, until } from "../support/sst.mjs";

const runs = (pid) => fs.existsSync(`/proc/${pid}`) && !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"));

describe("functions of the counterpart", () => {
  let counterpart;
  let bootstrap;

  before(async () => {
    counterpart = await startCounterpart();
    bootstrap = path.join(counterpart.directory, "bootstrap");
    const script = path.join(repository, "tests/counterpart/runtime.mjs");
    fs.writeFileSync(bootstrap, `#!/bin/sh\nexec '${process.execPath}' '${script}'\n`, { mode: 0o755 });
  });
  after(() => counterpart?.close());

  const create = (name, rest = {}) => counterpart.registerFunction(name, { bootstrap, handler: "own.handler", timeout: 20, ...rest });

  test("a call has what Lambda gives it", async () => {
    await create("facts");
    const { value, requestId } = await counterpart.invoke("facts", {});
    const { region, account } = counterpart;
    assert.deepEqual([value.id, value._HANDLER, value.AWS_LAMBDA_FUNCTION_NAME], [requestId, "own.handler", "facts"]);
    assert.equal(value.arn, `arn:aws:lambda:${region}:${account}:function:facts`);
    assert.ok(value.left > 15_000 && value.left <= 20_000, String(value.left));
  });

  test("an error is the runtime's own, and the environment stays", async () => {
    await create("fails");
    const failed = await counterpart.invoke("fails", { fail: "why" });
    assert.deepEqual([failed.error, failed.value], ["Unhandled", { errorType: "Own", errorMessage: "why" }]);
    await counterpart.invoke("fails", {});
    assert.equal(counterpart.recorded({ kind: "environment", function: "fails" }).length, 1);
  });

  test("a time-out and an exit are told as Lambda tells them, and the next call has a new environment", async () => {
    await create("ends", { timeout: 1 });
    const late = await counterpart.invoke("ends", { hang: true });
    const message = `RequestId: ${late.requestId} Error: Task timed out after 1.00 seconds`;
    assert.deepEqual([late.error, late.value], ["Unhandled", { errorType: "Sandbox.Timedout", errorMessage: message }]);
    const exited = await counterpart.invoke("ends", { exit: 3 });
    assert.equal(exited.value.errorType, "Runtime.ExitError");
    assert.match(exited.value.errorMessage, /Runtime exited with error: exit status 3/);
    assert.equal((await counterpart.invoke("ends", {})).error, undefined);
    await counterpart.settled();
    assert.equal(counterpart.recorded({ kind: "environment", function: "ends" }).length, 3);
  });

  test("events and results have Lambda's limits", async () => {
    await create("limits");
    const event = (length) => Buffer.from(JSON.stringify({ text: "x".repeat(length - 11) }));
    assert.equal((await counterpart.invoke("limits", event(6 * 1024 * 1024))).error, undefined);
    await assert.rejects(counterpart.invoke("limits", event(6 * 1024 * 1024 + 1)), { name: "RequestTooLargeException" });
    await assert.rejects(counterpart.invoke("limits", event(1024 * 1024 + 1), { InvocationType: "Event" }), { name: "RequestTooLargeException" });
    await assert.rejects(counterpart.invoke("limits", Buffer.from("{")), { name: "InvalidRequestContentException" });
    assert.equal((await counterpart.invoke("limits", { respond: 6 * 1024 * 1024 })).bytes.length, 6 * 1024 * 1024);
    const large = await counterpart.invoke("limits", { respond: 6 * 1024 * 1024 + 1000 });
    assert.deepEqual([large.error, large.value.errorType], ["Unhandled", "Function.ResponseSizeTooLarge"]);
  });

  test("more calls than there may be environments are refused, asynchronous ones wait", async () => {
    await create("busy", { timeout: 2 });
    await counterpart.settings({ functions: { concurrency: 2 } });
    const from = counterpart.records.length;
    const long = [1, 2].map(() => counterpart.invoke("busy", { hang: true }));
    await counterpart.until({ kind: "called", function: "busy" }, { count: 2, from });
    await assert.rejects(counterpart.invoke("busy", {}), { name: "TooManyRequestsException" });
    const { requestId } = await counterpart.invoke("busy", {}, { InvocationType: "Event" });
    await Promise.all(long);
    const [{ error }] = await counterpart.until({ kind: "asynchronous", request: requestId });
    assert.equal(error, false);
    await counterpart.settings({ functions: { concurrency: 10 } });
  });

  test("an asynchronous event that fails is sent twice more, when its time has come", async () => {
    await create("again");
    const { requestId } = await counterpart.invoke("again", { fail: "always" }, { InvocationType: "Event" });
    for (let count = 1; count <= 3; count++) {
      const entries = await counterpart.until({ kind: "asynchronous", request: requestId }, { count });
      assert.equal(entries.length, count);
      await counterpart.advance(120_000);
    }
  });

  test("an environment keeps its credentials, and another one has others", async () => {
    await create("keys");
    const key = async () => (await counterpart.invoke("keys", {})).value.AWS_ACCESS_KEY_ID;
    const first = await key();
    assert.equal(await key(), first);
    await counterpart.ask("recycle", { name: "keys" });
    assert.notEqual(await key(), first);
  });

  test("the real stub answers for itself when there is nobody, and signs as botocore does", async () => {
    const stack = await counterpart.debugStack();
    const { endpoint, management, table, bucket } = stack;
    const config = stubConfig({ f: "nobody/Bücher & Ümläute 中", s: "dev", e: endpoint, m: management, t: table, b: bucket, r: counterpart.region });
    await counterpart.registerFunction("nobody", { config, bootstrap: stub });
    const from = counterpart.records.length;
    const answer = await counterpart.invoke("nobody", { a: 1 });
    assert.equal(answer.error, "Unhandled");
    assert.match(answer.value.errorMessage, /sst start.* is not running/);
    const counts = await counterpart.checkSignatures(from);
    assert.ok(counts["dynamodb headers"] >= 1, JSON.stringify(counts));
  });

  test("nothing outlives a counterpart that is killed, frozen or not", async () => {
    const other = await startCounterpart();
    await other.registerFunction("idle", { bootstrap });
    await other.registerFunction("busy", { bootstrap });
    const idle = (await other.invoke("idle", {})).value.pid;
    other.invoke("busy", { hang: true }).catch(() => {});
    await other.until({ kind: "called", function: "busy" });
    const emulators = other.recorded({ kind: "environment" }).map(({ pid }) => pid);
    assert.ok([idle, ...emulators].every(runs));
    other.child.kill("SIGKILL");
    await until("the end of all processes", () => ![idle, ...emulators].some(runs));
    fs.rmSync(other.directory, { recursive: true, force: true });
  });
});

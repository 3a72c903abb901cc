// A session that goes on for days: what it needs does not grow with what it has served, and it sleeps when there is nothing to do.
// `SST_FAULTS=full` serves twenty thousand calls instead of a few hundred.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const MB = 1024 * 1024;
const full = process.env.SST_FAULTS === "full";
const WARM_UP = full ? 1_000 : 150;
const CALLS = full ? 19_000 : 300;
const AT_ONCE = 4;
const IDLE_SECONDS = full ? 30 : 6;

describe("memory", { skip: process.platform === "linux" ? false : "it is read from /proc" }, () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    // A package may come into any directory above, so what happens there is noticed. Other tests use that for temporary files.
    directory = copyApp("tests/fixtures/apps/events", undefined, "/var/tmp");
    sst = await Sst.start(directory);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (name, event) => {
    const FunctionName = sst.stackOutput(`Function${name}`);
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    const body = Buffer.from(answer.Payload);
    assert.equal(answer.FunctionError, undefined, body.subarray(0, 500).toString());
    return body;
  };

  const callMany = async (count) => {
    let left = count;
    const caller = async () => {
      while (left-- > 0) assert.deepEqual(JSON.parse(await invoke("echo", { a: 1 })), { a: 1 });
    };
    await Promise.all(Array.from({ length: AT_ONCE }, caller));
  };

  test("answered calls leave nothing behind", { timeout: full ? 3_600_000 : 120_000 }, async () => {
    await callMany(WARM_UP);
    const first = usage(sst.child.pid);
    const began = Date.now();
    await callMany(CALLS);
    const last = usage(sst.child.pid);
    console.log(
      `RSS and descriptors after ${WARM_UP} calls: ${mb(first.bytes)} MB and ${first.descriptors}; ` +
        `after ${CALLS} more, ${Math.round((CALLS * 1000) / (Date.now() - began))} a second: ${mb(last.bytes)} MB and ${last.descriptors}`,
    );
    assert.ok(last.bytes - first.bytes < (full ? 12 : 3) * MB, `${mb(first.bytes)} MB became ${mb(last.bytes)} MB`);
    // Each process has its socket, its pipes and its connections, and how many there are is not what this is about.
    const more = Math.max(0, last.processes - first.processes);
    assert.ok(last.descriptors - first.descriptors <= 16 + 10 * more, `${first.descriptors} descriptors became ${last.descriptors}, with ${more} processes more`);
  });

  test("a long streamed response is not kept", { timeout: 120_000 }, async () => {
    const pieces = full ? 3_000 : 384;
    await invoke("streams", { pieces: 1 });
    const before = usage(sst.child.pid).bytes;
    let most = before;
    const looking = setInterval(() => (most = Math.max(most, usage(sst.child.pid).bytes)), 20);
    const began = Date.now();
    const body = await invoke("streams", { pieces }).finally(() => clearInterval(looking));
    const seconds = (Date.now() - began) / 1000;
    console.log(`RSS while ${mb(body.length)} MB were streamed in ${seconds} s: ${mb(before)} MB, at most ${mb(most)} MB`);
    // The local cloud makes a JSON text of it.
    assert.equal(JSON.parse(body).length, pieces * 65_536);
    assert.ok(most - before < 14 * MB, `${mb(before)} MB became ${mb(most)} MB`);
  });

  test("who has nothing to do sleeps", { timeout: 120_000 }, async () => {
    const sum = (wakeUps) => wakeUps.reduce((sum, { count }) => sum + count, 0);
    // The registrations are renewed now and then, and on a busy machine the connection has to prove that it lives. What polls does always.
    // Somebody else reads the app's files all the time, as compilers and editors do. That is nobody's business.
    const reading = setInterval(() => readAll(directory), 50);
    let wakeUps = await idleWakeUps(sst.child.pid);
    for (let more = 0; more < 5 && sum(wakeUps) / IDLE_SECONDS > 1.5; more++) wakeUps = await idleWakeUps(sst.child.pid);
    clearInterval(reading);
    const total = sum(wakeUps);
    console.log(`idle wake-ups: ${(total / IDLE_SECONDS).toFixed(2)} a second (${JSON.stringify(wakeUps)})`);
    // The connection is looked at every five seconds.
    assert.ok(total / IDLE_SECONDS <= 1.5, JSON.stringify(wakeUps));
  });
});

function readAll(directory) {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) if (entry.isFile()) fs.readFileSync(path.join(directory, entry.name));
}

function usage(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  const bytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024;
  const descriptors = fs.readdirSync(`/proc/${pid}/fd`).map((one) => nameOf(`/proc/${pid}/fd/${one}`));
  return { bytes, descriptors: descriptors.length, processes: descriptors.filter((name) => name === "anon_inode:[pidfd]").length };
}

function nameOf(descriptor) {
  try {
    return fs.readlinkSync(descriptor);
  } catch {
    return "closed meanwhile";
  }
}

/** How often each thread woke up within a while in which nothing happens. What is left of the last call is over within the first. */
async function idleWakeUps(pid) {
  const look = () => {
    const tasks = `/proc/${pid}/task`;
    return new Map(
      fs.readdirSync(tasks).map((task) => {
        const status = fs.readFileSync(`${tasks}/${task}/status`, "utf8");
        const [name, count] = [/^Name:\s+(.*)$/m, /^voluntary_ctxt_switches:\s+(\d+)$/m].map((line) => line.exec(status)[1]);
        return [task, { name, count: Number(count) }];
      }),
    );
  };
  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  await pause(2);
  const first = look();
  await pause(IDLE_SECONDS);
  const woken = [...look()].map(([task, { name, count }]) => ({ name, count: count - (first.get(task)?.count ?? 0) }));
  return woken.filter(({ count }) => count > 0);
}

function mb(bytes) {
  return (bytes / MB).toFixed(1);
}

// Many calls while everything goes wrong: connections are cut each second on either side, messages are doubled and overtake one another, and
// `sst start` is killed and started again. Each call is run at most once, and whoever calls hears what is true.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

const full = process.env.SST_FAULTS === "full";
const CALLS = full ? 5_000 : 150;
const AT_A_TIME = 12;

/** How long a stub waits for somebody to take a call. */
const PATIENCE_MS = 25_000;

/** Text that compresses badly, of about so many bytes. Most are small; some are longer than a message. */
function text(number) {
  const length = number % 37 === 0 ? 150_000 : number % 5 === 0 ? 20_000 : 50;
  return crypto.randomBytes(length / 2).toString("hex");
}

/** When each request was begun, by its id. */
function begun(deployed) {
  const file = path.join(deployed.where, "executions");
  const times = new Map();
  for (const line of fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : []) {
    const [id, , time] = line.split(" ");
    times.set(id, [...(times.get(id) ?? []), Number(time)]);
  }
  return times;
}

/** Makes all calls, and returns how each has ended. */
async function calls(deployed, from, count) {
  const outcomes = [];
  let next = from;
  const caller = async () => {
    while (next < from + count) {
      const number = next++;
      const sent = text(number);
      const began = Date.now();
      try {
        const answer = await deployed.call("count", { number, text: sent, ms: number % 11 === 0 ? 700 : 0 });
        outcomes.push({ number, sent, began, ended: Date.now(), ...answer, value: answer.value });
      } catch (error) {
        outcomes.push({ number, began, ended: Date.now(), thrown: String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, caller));
  return outcomes;
}

/** What no fault excuses. Returns the failures. */
function check(deployed, outcomes) {
  const times = begun(deployed);
  const twice = [...times].filter(([, begun]) => begun.length > 1);
  assert.deepEqual(twice, [], "a request that was run twice");
  const failures = [];
  for (const { number, sent, requestId, error, value, thrown, began, ended } of outcomes) {
    assert.equal(thrown, undefined);
    if (error) {
      const late = (times.get(requestId) ?? []).filter((time) => time > ended);
      assert.deepEqual(late, [], `request ${requestId} was begun after its caller was told: ${JSON.stringify(value)}`);
      failures.push({ ...value, began, ended });
      continue;
    }
    assert.equal(times.get(requestId)?.length, 1, `request ${requestId} has an answer`);
    const expected = crypto.createHash("sha256").update(sent).digest("hex");
    assert.deepEqual([value.number, value.requestId, value.sha256], [number, requestId, expected]);
    assert.equal(value.text, sent);
  }
  return failures;
}

describe("under faults", () => {
  let deployed;
  before(async () => {
    deployed = await Deployed.start();
    await deployed.counterpart.settings({ functions: { concurrency: AT_A_TIME + 4 } });
    const messages = { duplicate: 0.05, reorder: 0.05, seed: 7 };
    await deployed.counterpart.settings({ gateway: { toClient: messages, toStub: messages } });
    await deployed.counterpart.network.client.set({ cutEveryMs: 1000 });
    await deployed.counterpart.network.functions.set({ cutEveryMs: 1100 });
  });
  after(() => deployed?.close());

  test(`of ${CALLS} calls over connections that are cut each second, all are answered`, async () => {
    const outcomes = await calls(deployed, 0, CALLS);
    const failures = check(deployed, outcomes);
    assert.deepEqual(failures, []);
    const durations = outcomes.map(({ began, ended }) => ended - began).sort((a, b) => a - b);
    console.log(`median ${durations[durations.length >> 1]} ms, longest ${durations.at(-1)} ms`);
  });

  test(`of ${CALLS} calls while sst start is killed again and again, none is run twice, and each failure is true`, async () => {
    let over = false;
    let kills = 0;
    const absences = [];
    const killing = (async () => {
      while (!over) {
        deployed.sst.child.kill("SIGKILL");
        await deployed.sst.exited;
        kills += 1;
        const began = Date.now();
        deployed.sst = await deployed.serve();
        absences.push({ began, ended: Date.now() });
        // Some calls are answered by each.
        const done = begun(deployed).size;
        while (!over && begun(deployed).size < done + 40) await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const outcomes = await calls(deployed, CALLS, CALLS);
    over = true;
    await killing;
    const failures = check(deployed, outcomes);
    // On a busy machine the next one may not be there in time, which is what is told then.
    const wasAway = (call) => absences.some(({ began, ended }) => Math.min(ended, call.ended) - Math.max(began, call.began) >= PATIENCE_MS - 5_000);
    const untrue = failures.filter((call) => call.errorType !== "Sst.Ended" && !(call.errorType === "Sst.NotRunning" && wasAway(call)));
    assert.deepEqual(untrue, []);
    const longest = Math.max(...absences.map(({ began, ended }) => ended - began));
    console.log(`the longest absence was ${longest} ms`);
    console.log(`${kills} kills, ${failures.length} of ${CALLS} calls whose client was killed`);
    assert.ok(failures.length <= kills * AT_A_TIME);
  });
});

// A laptop that is closed while calls come: whoever was told that a call failed must not have it run when the laptop is opened again.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";
import { stopAll } from "../support/sleep.mjs";

/** How long it sleeps, in seconds. A registration lasts for 90 s. */
const SLEEPS = process.env.SST_FAULTS === "full" ? [30, 90, 150, 20 * 60] : [30, 100];

/** How long a stub waits for a client that is registered, and when nobody is. */
const PATIENCE_MS = 25_000;
const NOBODY_MS = 5_000;

/** How long a call may take after the machine has woken up. */
const AWAKE_MS = 10_000;

/** How many calls may be open at the same time. */
const CONCURRENCY = 60;

/** A call, how long it took until its caller knew, and when that was. */
async function timed(call) {
  const sent = Date.now();
  const answer = await call;
  return { ...answer, sent, told: Date.now(), took: Date.now() - sent };
}

describe("a machine that sleeps", () => {
  let deployed;
  before(async () => {
    deployed = await Deployed.start();
    await deployed.counterpart.settings({ functions: { concurrency: CONCURRENCY } });
    await deployed.call("count", { number: "first" });
  });
  after(() => deployed?.close());

  for (const seconds of SLEEPS) {
    test(`for ${seconds} s runs no call whose caller was told that it failed`, async () => {
      const running = await deployed.asleep(`running-${seconds}`);
      const from = deployed.sst.output.length;
      const slept = Date.now();
      const wake = stopAll(deployed.sst.child.pid);
      const calls = [];
      try {
        for (let second = 0; second < seconds; second += 2) {
          // A call is sent every two seconds, until it wakes up.
          await pause(Math.max(0, slept + second * 1000 - Date.now()));
          calls.push(timed(deployed.call("count", { number: second })));
        }
        await pause(Math.max(0, slept + seconds * 1000 - Date.now()));
      } finally {
        wake();
      }
      const awake = Date.now();
      const next = await timed(deployed.call("count", { number: "awake" }));
      assert.equal(next.error, undefined, JSON.stringify(next.value));
      assert.ok(next.took <= AWAKE_MS, `a call after the wake took ${next.took} ms`);
      running.wake();
      const ran = await running.answer;
      const done = await Promise.all(calls);
      const executions = deployed.executions();
      const counts = { answered: 0, failed: 0, expired: 0 };
      for (const { value, error, requestId, sent, told, took } of done) {
        const age = sent - slept;
        if (error === undefined) {
          counts.answered++;
          assert.equal(executions.get(requestId), 1);
          assert.ok(told >= awake && told <= awake + AWAKE_MS, `answered ${told - awake} ms after the wake`);
          assert.ok(age > seconds * 1000 - PATIENCE_MS - 1000);
          continue;
        }
        counts.failed++;
        assert.equal(executions.get(requestId), undefined, `its caller was told ${told - awake} ms after the wake, ${took} ms after it was sent`);
        assert.equal(value.errorType, "Sst.NotRunning");
        // Its registration was renewed between 60 s and 90 s before it counts no more.
        if (age > 91_000) {
          counts.expired++;
          assert.match(value.errorMessage, /has not been heard of for a while/);
          assert.ok(took <= NOBODY_MS, `${took} ms with nobody registered`);
        } else if (age < 60_000) {
          assert.ok(took <= PATIENCE_MS + 2_000, `${took} ms with a client that is registered`);
          assert.ok(told - slept > 60_000 || took >= PATIENCE_MS - 1_000, `${took} ms is too soon`);
        }
      }
      console.log(`${seconds} s: ${JSON.stringify(counts)}, the first call took ${next.took} ms, running: ${JSON.stringify(ran.value)}`);
      assert.ok(counts.failed > 0);
      if (seconds > 91) assert.ok(counts.expired > 0);
      if (seconds <= 60) assert.ok(counts.answered > 0);
      // The one that ran is answered if its time is not over.
      if (seconds < 55) assert.deepEqual(ran.value, { slept: `running-${seconds}` });
      else assert.ok(ran.error);
      await deployed.sst.waitFor(/\d+ calls? came too late; (they were|it was) not run/, from);
      const said = deployed.sst.output.slice(from);
      assert.match(said, seconds < 120 ? new RegExp(`this machine was asleep for (${seconds}|${seconds + 1}) s`) : /this machine was asleep for \d+ min/);
      assert.match(said, /calls are answered here again/);
      assert.doesNotMatch(said, /it has not answered for 0/);
    });
  }
});

// More requests than the account may make: posts are refused with 429 until there is room again, and no call fails because of that while it
// has time.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { bursts, shown } from "../../counterpart/bursts.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";

const full = process.env.SST_FAULTS === "full";
const CALLS = full ? 400 : 60;
const AT_ONCE = 30;
const USUAL = { rate: 10_000, burst: 5_000, retryAfterSeconds: 1 };

describe("bursts", () => {
  let deployed;
  let counterpart;

  before(async () => {
    deployed = await Deployed.start();
    ({ counterpart } = deployed);
    await counterpart.settings({ functions: { concurrency: AT_ONCE } });
    await bursts(deployed, { calls: AT_ONCE, atOnce: AT_ONCE });
  });
  after(() => deployed?.close());

  for (const quota of [{ rate: 50, burst: 20 }, { rate: 20, burst: 5, retryAfterSeconds: 2 }]) {
    test(`${CALLS} calls, ${AT_ONCE} at once, with ${quota.rate} posts a second`, async () => {
      const free = await bursts(deployed, { calls: CALLS, atOnce: AT_ONCE });
      await counterpart.settings({ gateway: { ...USUAL, ...quota } });
      const throttled = await bursts(deployed, { calls: CALLS, atOnce: AT_ONCE });
      await counterpart.settings({ gateway: USUAL });
      console.log(shown(throttled, free));
      assert.deepEqual([free.failures, throttled.failures], [[], []]);
      assert.ok(free.throttled === 0 && throttled.throttled > 0);
      deployed.onlyOnce([...free.ids, ...throttled.ids]);
      // As long as all the posts take that there have to be, three times over.
      const least = ((free.posts - quota.burst) / quota.rate) * 1000;
      assert.ok(throttled.took < 3 * least + 5_000, `${throttled.took} ms, ${least} ms for the posts alone`);
    });
  }

  for (const who of ["function/*", "developer"]) {
    test(`${who === "developer" ? "sst" : "the stub"} comes again when it may, and not before`, async () => {
      for (const seconds of [1, 3]) {
        await counterpart.settled();
        const from = counterpart.records.length;
        const headers = { "retry-after": String(seconds) };
        // An answer may have an acknowledgement before it. Both are refused then, and else the answer twice.
        const times = who === "developer" ? 2 : 1;
        await counterpart.fault({ match: { service: "execute-api", who }, times, status: 429, error: "LimitExceededException", headers });
        const began = Date.now();
        const { error, bytes } = await deployed.call("count", { number: 0 });
        const took = Date.now() - began;
        assert.equal(error, undefined, bytes.toString());
        await counterpart.settled();
        const [{ time }] = counterpart.recorded({ kind: "fault" }, from);
        const mine = who === "developer" ? "developer" : `function/${deployed.names.count}`;
        const next = counterpart.recorded({ kind: "post", sender: mine }, from).find((post) => post.time > time);
        const waited = next.time - time;
        console.log(`after ${Math.round(waited)} ms, answered after ${took} ms`);
        assert.ok(waited >= seconds * 1_000 && took >= waited && took < times * seconds * 2_000 + 5_000, `${waited} ms, ${took} ms`);
        await counterpart.clearFaults();
      }
    });
  }

  test("a call whose time is over because of it is told so", async () => {
    await counterpart.fault({ match: { service: "execute-api", who: "function/*" }, status: 429, error: "LimitExceededException" });
    const { error, value } = await deployed.call("hasty", {});
    await counterpart.clearFaults();
    assert.deepEqual([error, value.errorType], ["Unhandled", "Sst.Throttled"]);
    assert.match(value.errorMessage, /more requests than the account's quota of API Gateway allows/);
    assert.equal((await deployed.call("hasty", {})).error, undefined);
  });

  test("it waits for as long as a function has time, unless an API waits for it", { skip: full ? false : "it takes half a minute" }, async () => {
    const waits = async (event) => {
      const rule = await counterpart.fault({ match: { service: "execute-api", who: "function/*" }, status: 429, error: "LimitExceededException" });
      const answer = deployed.call("count", event);
      const timer = setTimeout(() => counterpart.ask("clearFaults", { id: rule }), 32_000);
      const { error, bytes } = await answer;
      clearTimeout(timer);
      await counterpart.clearFaults();
      return [error, JSON.parse(bytes.toString())];
    };
    assert.equal((await waits({ number: 1 }))[0], undefined);
    const [, response] = await waits({ number: 2, requestContext: { http: { method: "GET" } } });
    assert.equal(response.statusCode, 503);
    assert.match(response.body, /more requests than the account's quota/);
  });
});

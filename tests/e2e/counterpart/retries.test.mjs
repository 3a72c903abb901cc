// Lambda sends an asynchronous event that failed twice more, under the same request id. The function runs once all the same: what has failed
// under somebody's eyes is not wanted again, nor is what nobody could serve, when somebody is there at last.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

describe("an asynchronous event", () => {
  let deployed;
  let counterpart;
  before(async () => {
    deployed = await Deployed.start({ proxies: false });
    ({ counterpart } = deployed);
  });
  after(() => deployed?.close());

  const event = (number) => deployed.call("count", { number, fails: true }, { InvocationType: "Event" });
  /** Waits for attempts. After all but the last of the three, as long as Lambda waits passes. */
  const attempts = async (request, ...numbers) => {
    for (const count of numbers) {
      const all = await counterpart.until({ kind: "asynchronous", request }, { count });
      assert.deepEqual(all.map(({ error }) => error), Array(count).fill(true));
      if (count < 3) await counterpart.advance(120_000);
    }
    const all = counterpart.recorded({ kind: "asynchronous", request });
    return all.map(({ body }) => JSON.parse(body).errorType);
  };

  test("that fails runs once, and ends each time as it did then", async () => {
    const { requestId } = await event("same environment");
    assert.deepEqual(await attempts(requestId, 1, 2, 3), ["RangeError", "RangeError", "RangeError"]);
    deployed.onlyOnce([requestId]);
  });

  test("that fails runs once, wherever it is sent again", async () => {
    const { requestId } = await event("other environments");
    await counterpart.until({ kind: "asynchronous", request: requestId });
    await counterpart.ask("recycle", { name: deployed.names.count });
    assert.deepEqual(await attempts(requestId, 1, 2, 3), ["RangeError", "RangeError", "RangeError"]);
    deployed.onlyOnce([requestId]);
  });

  test("that fails runs once, whoever answers when it is sent again", async () => {
    const { requestId } = await event("another start");
    await counterpart.until({ kind: "asynchronous", request: requestId });
    await deployed.sst.stop();
    deployed.sst = await deployed.serve();
    assert.deepEqual(await attempts(requestId, 1, 2, 3), ["RangeError", "RangeError", "RangeError"]);
    deployed.onlyOnce([requestId]);
  });

  test("that nobody served is not run when somebody is there", async () => {
    await deployed.sst.stop();
    const { requestId } = await event("nobody");
    await counterpart.until({ kind: "asynchronous", request: requestId });
    deployed.sst = await deployed.serve();
    assert.deepEqual(await attempts(requestId, 1, 2, 3), ["Sst.NotRunning", "Sst.NotRunning", "Sst.NotRunning"]);
    assert.equal(deployed.executions().get(requestId), undefined);
    const { value } = await deployed.call("count", { number: "another" });
    assert.equal(value.number, "another");
  });
});

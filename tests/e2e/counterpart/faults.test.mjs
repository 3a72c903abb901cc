// What networks and AWS do to messages and requests on bad days: each call is answered, and each is executed once.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

const CALLS = 40;
const AT_A_TIME = 8;

describe("faults", () => {
  let deployed;
  let counterpart;
  let number = 0;

  before(async () => {
    deployed = await Deployed.start();
    counterpart = deployed.counterpart;
  });
  after(() => deployed?.close());

  /** Calls the function that notes its executions, several at a time, and looks at answers and notes. */
  const serves = async () => {
    const numbers = Array.from({ length: CALLS }, () => number++);
    const left = [...numbers];
    const caller = async () => {
      for (let mine; (mine = left.shift()) !== undefined; ) {
        const { value, error, bytes } = await deployed.call("count", { number: mine });
        assert.deepEqual([error, value.number], [undefined, mine], bytes.toString());
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, caller));
    const executed = fs.readFileSync(path.join(deployed.where, "executions"), "utf8").trim().split("\n").map((line) => Number(line.split(" ")[1]));
    assert.deepEqual(executed.filter((one) => numbers.includes(one)).sort((a, b) => a - b), numbers);
  };

  const messages = {
    "come twice": { duplicate: 0.5 },
    "overtake one another": { reorder: 0.3 },
    "come late": { delay: 0.5, delayMs: [50, 800] },
    "are lost": { loss: 0.05 },
    "do all of it": { duplicate: 0.2, reorder: 0.2, delay: 0.2, loss: 0.03, delayMs: [50, 500] },
  };
  for (const [what, faults] of Object.entries(messages)) {
    test(`messages ${what}`, async () => {
      await counterpart.settings({ gateway: { toStub: { seed: 1, ...faults }, toClient: { seed: 2, ...faults } } });
      await serves();
      await counterpart.settings({ gateway: { toStub: {}, toClient: {} } });
    });
  }

  const requests = {
    "posts fail": { match: { service: "execute-api" }, status: 500, error: "InternalServerErrorException" },
    "posts are not answered": { match: { service: "execute-api" }, cut: "after" },
    "posts do not arrive": { match: { service: "execute-api" }, cut: "before" },
    "the table is throttled": { match: { service: "dynamodb" }, error: "ThrottlingException" },
  };
  for (const [what, fault] of Object.entries(requests)) {
    test(`${what}, now and then`, async () => {
      await counterpart.fault({ probability: 0.2, seed: 3, ...fault });
      await serves();
      await counterpart.clearFaults();
    });
  }

  test("the account's requests are throttled", async () => {
    await counterpart.settings({ gateway: { rate: 40, burst: 20 } });
    await serves();
    await counterpart.settings({ gateway: { rate: 10_000, burst: 5_000 } });
    assert.ok(counterpart.recorded({ kind: "throttled" }).length > 0);
  });

  for (const side of ["client", "functions"]) {
    test(`connections of the ${side} are cut, or silent for ever`, async () => {
      await counterpart.network[side].set({ cut: true });
      await serves();
      await counterpart.network[side].set({ silence: "both" });
      await serves();
    });
  }

  test("all of it was signed as botocore signs it, and within the limits", async () => {
    await counterpart.checkSignatures();
    assert.deepEqual(counterpart.recorded({ kind: "limit" }), []);
  });
});

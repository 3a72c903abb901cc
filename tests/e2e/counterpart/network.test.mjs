// A laptop that changes its network: connections that exist fall silent for ever, new ones work.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

/** How often the network changes, in each version of HTTP. */
const CHANGES = process.env.SST_FAULTS === "full" ? 10 : 2;

/** How long it may take until calls are answered again, and until one that was under way is. */
const RECOVERED_WITHIN_MS = 10_000;

for (const tls of ["h2", "http/1.1"]) {
  describe(`after a change of the network, over TLS and ${tls}`, () => {
    let deployed;
    before(async () => (deployed = await Deployed.start({ tls })));
    after(() => deployed?.close());

    for (const service of ["execute-api", "s3"]) {
      test(`a request to ${service} that is never answered costs no result`, async () => {
        const { counterpart } = deployed;
        await counterpart.fault({ match: { service, who: "developer", method: service === "s3" ? "PUT" : "POST" }, times: 1, delayMs: 600_000 });
        const from = counterpart.records.length;
        const began = Date.now();
        const text = service === "s3" ? crypto.randomBytes(150_000).toString("hex") : "";
        const { value } = await deployed.call("count", { number: 1, text });
        assert.ok(value.text === text, JSON.stringify(value).slice(0, 300));
        assert.ok(Date.now() - began <= RECOVERED_WITHIN_MS, `${Date.now() - began} ms`);
        assert.equal(counterpart.recorded({ kind: "fault" }, from).length, 1);
        await counterpart.clearFaults();
      });
    }

    for (let change = 1; change <= CHANGES; change++) {
      test(`calls are answered again, and none that was under way is lost (${change})`, async () => {
        // One whose function runs, and one whose answer is about to be sent on a connection that is dead.
        const running = await deployed.asleep(`running-${change}`);
        const answering = await deployed.asleep(`answering-${change}`);
        const printed = deployed.sst.output.length;
        await deployed.counterpart.network.client.set({ silence: "both" });
        const changed = Date.now();
        answering.wake();
        const calls = await Promise.all(Array.from({ length: 5 }, (_, number) => deployed.call("count", { number })));
        const again = Date.now() - changed;
        assert.deepEqual(calls.map(({ value }) => value.number), [0, 1, 2, 3, 4]);
        deployed.onlyOnce(calls.map(({ requestId }) => requestId));
        assert.deepEqual((await answering.answer).value, { slept: `answering-${change}` });
        const answered = Date.now() - changed;
        running.wake();
        assert.deepEqual((await running.answer).value, { slept: `running-${change}` });
        const said = deployed.sst.output.slice(printed);
        // That it is lost again and again is told once.
        if (change <= 2) {
          assert.match(said, /the connection to the cloud was lost \(it has not answered for [\d.]+ s\); connecting again/);
          assert.match(said, /connected again after/);
        }
        assert.doesNotMatch(said, /error/);
        console.log(`calls were answered after ${again} ms, the one under way after ${answered} ms`);
        assert.ok(Math.max(again, answered) <= RECOVERED_WITHIN_MS, `${again} ms, ${answered} ms`);
      });
    }
  });
}

// Streamed responses while messages get lost and connections end: whoever calls gets all of the bytes, or hears that something is missing.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

const { noise } = createRequire(import.meta.url)("../../fixtures/apps/counterpart/functions/payload.js");

const full = process.env.SST_FAULTS === "full";
const MB = 1024 * 1024;
const TIMES = full ? 20 : 3;
/** How soon a part that has got lost is there, with what is missing noticed after a second. */
const MADE_UP_WITHIN_MS = 4_000;

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const whole = ({ parts, size }) => Buffer.concat(Array.from({ length: parts }, (_, part) => noise(`part ${part}`, size)));

/** A number in KB of `/proc/<pid>/status`, in bytes. */
const status = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

describe("streamed responses", () => {
  let deployed;
  let counterpart;
  let number = 0;

  before(async () => {
    deployed = await Deployed.start();
    ({ counterpart } = deployed);
    await streams({ parts: 1, size: 1 });
  });
  after(() => deployed?.close());

  /** Streams bytes that do not compress, and looks whether they are all there. Returns what has come, with how long it took. */
  const streams = async (event, part) => {
    const began = Date.now();
    const answer = await counterpart.invokeStreamed(deployed.names.stream, { noise: true, ...event }, part);
    const took = Date.now() - began;
    assert.equal(answer.error, undefined, answer.details);
    const expected = whole(event);
    assert.deepEqual([answer.bytes.length, sha256(answer.bytes)], [expected.length, sha256(expected)]);
    return { ...answer, took };
  };

  const touch = (name) => fs.writeFileSync(path.join(deployed.where, name), "");

  test("an error in the middle arrives behind what was there before it, as Lambda tells it", async () => {
    for (const fails of [0, 1, 5]) {
      const answer = await counterpart.invokeStreamed(deployed.names.stream, { parts: 6, size: 70_000, noise: true, fails });
      assert.equal(answer.error, "RangeError");
      const { errorType, errorMessage } = JSON.parse(answer.details);
      assert.deepEqual([errorType, errorMessage], ["RangeError", `thrown after ${fails} parts`]);
      assert.equal(sha256(answer.bytes), sha256(whole({ parts: fails, size: 70_000 })));
    }
  });

  for (const side of ["client", "functions"]) {
    test(`the connection of the ${side} is cut in the middle`, async () => {
      for (let time = 0; time < TIMES; time++) {
        const gate = `cut-${number++}`;
        const answer = streams({ parts: 8, size: 300_000, until: gate });
        await until("a stream in its middle", () => fs.existsSync(path.join(deployed.where, `${gate}.asleep`)));
        await counterpart.network[side].set({ cut: true });
        touch(gate);
        const { took } = await answer;
        console.log(`after ${took} ms`);
      }
    });
  }

  const messages = {
    "are doubled": { duplicate: 0.5 },
    "overtake one another": { reorder: 0.3 },
    "are lost": { loss: 0.1 },
    "do all of it": { loss: 0.1, duplicate: 0.2, reorder: 0.2, delay: 0.2, delayMs: [10, 300] },
  };
  for (const [what, faults] of Object.entries(messages)) {
    test(`parts ${what}`, async () => {
      for (let seed = 1; seed <= TIMES; seed++) {
        await counterpart.settings({ gateway: { toStub: { seed, ...faults } } });
        const { took } = await streams({ parts: 30, size: 100_000 });
        console.log(`after ${took} ms`);
      }
      await counterpart.settings({ gateway: { toStub: {} } });
    });
  }

  for (const [what, parts] of Object.entries({ "while others come": 200, "and nothing comes after it but the end": 3 })) {
    test(`a part that has got lost is asked for soon, ${what}`, async () => {
      await counterpart.settled();
      const from = counterpart.records.length;
      const gates = { 1: `first-${number++}`, 2: `second-${number++}` };
      let come = 0;
      let lost;
      let made;
      const answer = streams({ parts, size: 1_000, gates, pauseMs: 30 }, (bytes) => {
        come += bytes.length;
        if (lost !== undefined && come > 1_000) made ??= Date.now();
      });
      const asleep = (gate) => until("a stream that waits", () => fs.existsSync(path.join(deployed.where, `${gate}.asleep`)));
      await asleep(gates[1]);
      await counterpart.settings({ gateway: { toStub: { loss: 1 } } });
      touch(gates[1]);
      await counterpart.until({ kind: "lost" }, { from });
      await asleep(gates[2]);
      await counterpart.settings({ gateway: { toStub: {} } });
      lost = Date.now();
      touch(gates[2]);
      await answer;
      console.log(`after ${made - lost} ms`);
      assert.ok(made - lost <= MADE_UP_WITHIN_MS, `${made - lost} ms`);
    });
  }

  test("a long one takes no more room than a short one", { timeout: 300_000 }, async () => {
    const size = (full ? 60 : 20) * MB;
    const pid = deployed.sst.child.pid;
    await streams({ parts: 40, size: 100_000 });
    fs.writeFileSync(`/proc/${pid}/clear_refs`, "5");
    const before = status(pid, "VmRSS");
    const { took } = await streams({ parts: size / 65_536, size: 65_536 });
    const [peak, after] = [status(pid, "VmHWM"), status(pid, "VmRSS")];
    console.log(`${size / MB} MB in ${took} ms: RSS ${before / MB} MB before, at most ${peak / MB} MB, ${after / MB} MB after`);
    assert.ok(peak - before < 24 * MB && after - before < 12 * MB, `${before} ${peak} ${after}`);
  });

  test("all of it was signed as botocore signs it, and within the limits", async () => {
    await counterpart.checkSignatures();
    assert.deepEqual(counterpart.recorded({ kind: "limit" }), []);
  });
});

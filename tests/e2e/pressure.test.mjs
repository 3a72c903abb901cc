// More calls than workers: every call is served, once. `make faults` has many more calls, functions, and limits. That the order of arrival
// holds per function is shown where time can be stopped: `src/core/tests/pressure.rs`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, describe, test } from "node:test";

import { appWith, serveAll } from "./support/pressure.mjs";
import { Sst } from "./support/sst.mjs";

const full = process.env.SST_FAULTS === "full";

/** How many workers of an app run right now. */
function workers(directory) {
  const lines = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).split("\n");
  return lines.filter((line) => line.includes(path.join(directory, ".sst/tool")) && line.includes("runner.mjs")).length;
}

describe("more calls than workers", () => {
  let directory;
  let sst;
  const start = async (functions, limit) => {
    directory = appWith(functions);
    sst = await Sst.start(directory, ["--max-workers", String(limit)]);
  };
  const stop = async () => {
    await sst?.stop();
    sst = undefined;
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  };
  after(stop);

  test("two workers serve eight calls of three functions, and the same again", async () => {
    await start(3, 2);
    const calls = ["F0", "F0", "F0", "F0", "F0", "F1", "F1", "F1"];
    for (let round = 0; round < 2; round++) {
      const { workers: used } = await serveAll(sst, calls, 200);
      // Two places change hands once or twice, not once a call.
      assert.ok(used <= 5, `${used} workers for eight calls:\n${sst.output}`);
      // One more stands by.
      assert.ok(workers(directory) <= 3, "more workers than allowed");
    }
    await serveAll(sst, ["F0", "F1", "F2", "F0", "F1", "F2"], 20);
    await stop();
  });

  for (const functions of full ? [1, 3, 100] : []) {
    for (const limit of [1, 2, 10, 100]) {
      test(`${limit} workers, 200 calls of ${functions} functions`, async () => {
        await start(functions, limit);
        const calls = Array.from({ length: 200 }, (_, number) => `F${number % functions}`);
        const { workers: used, took } = await serveAll(sst, calls, 20);
        console.log(`limit ${limit}, ${functions} functions: 200 calls served by ${used} workers in ${took} ms`);
        await stop();
      });
    }
  }
});

// More calls than workers: every call is served, in order of arrival per function, and no more workers run than allowed. `make faults`
// has many more calls, functions, and limits.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, describe, test } from "node:test";

import { Sst, call, copyApp } from "./support/sst.mjs";

const full = process.env.SST_FAULTS === "full";

/** An app with so many functions, each of which notes when it begins and sleeps as long as its event says. */
function appWith(functions) {
  const directory = copyApp("tests/fixtures/apps/events");
  fs.writeFileSync(
    path.join(directory, "src/plain/sleeps.js"),
    `exports.handler = async ({ number, sleep, log }) => {
      require("node:fs").appendFileSync(log, \`\${process.env.NAME} \${number} \${process.pid}\\n\`);
      await new Promise((resolve) => setTimeout(resolve, sleep));
      return number;
    };\n`,
  );
  fs.writeFileSync(
    path.join(directory, "stacks/index.js"),
    `import { Duration, Stack } from "aws-cdk-lib";
    import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
    import path from "node:path";
    export default function main(app) {
      const stack = new Stack(app, "pressure");
      for (let number = 0; number < ${functions}; number++) {
        new Function(stack, "F" + number, {
          runtime: Runtime.NODEJS_22_X,
          handler: "sleeps.handler",
          code: Code.fromAsset(path.resolve("src/plain")),
          timeout: Duration.seconds(300),
          environment: { NAME: "F" + number },
        });
      }
    }\n`,
  );
  return directory;
}

/** Makes all `calls` at once and shows that each is served. Returns how many workers that took, and how long. */
async function serveAll(sst, calls, sleep) {
  const log = path.join(sst.directory, "calls.log");
  fs.writeFileSync(log, "");
  const began = Date.now();
  const answers = await Promise.all(calls.map((name, number) => call(sst.session(), name, { number, sleep, log })));
  const took = Date.now() - began;
  answers.forEach((answer, number) => {
    assert.equal(answer.outcome, "returned", JSON.stringify(answer));
    assert.equal(Buffer.from(answer.body, "base64").toString(), String(number));
  });
  const ran = fs.readFileSync(log, "utf8").trim().split("\n");
  assert.equal(ran.length, calls.length, "each call runs once");
  return { workers: new Set(ran.map((line) => line.split(" ")[2])).size, took };
}

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

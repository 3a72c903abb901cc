// An app of functions that take a while, and many calls of them at once.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

import { call, copyApp } from "./sst.mjs";

/** An app with so many functions, each of which notes when it begins and sleeps as long as its event says. */
export function appWith(functions) {
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
export async function serveAll(sst, calls, sleep) {
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

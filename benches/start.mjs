// From `sst start` to "Listening": `make bench`. With nothing to deploy against the counterpart for AWS, where an earlier start has deployed
// everything, and with all to deploy in a local cloud, which begins empty at each start. Beside each whole start is what of it the app's own
// code took to be synthesised, as `SST_TRACE=start` tells; what counts is the rest. `ROUNDS` says how often; one start before does not count.

import fs from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";

import { Deployed } from "../tests/counterpart/deployed.mjs";
import { Sst, copyApp } from "../tests/e2e/support/sst.mjs";
import { Figures } from "./support/figures.mjs";

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const MANY = 100;

const figures = new Figures("start");

const few = copyApp("tests/fixtures/apps/counterpart");
const many = withMany(copyApp("tests/fixtures/apps/cdk-plain"));
try {
  for (const [name, app] of Object.entries({ "7 functions": few, [`${MANY} functions`]: many })) {
    await nothingToDeploy(name, app);
    await locally(name, app);
  }
} finally {
  for (const app of [few, many]) fs.rmSync(app, { recursive: true, force: true });
}
figures.save();

async function nothingToDeploy(name, app) {
  const deployed = await Deployed.prepare({ proxies: false });
  try {
    const env = { ...deployed.environment, SST_TRACE: "start" };
    const start = () => new Sst(app, ["start", "--stage", "dev", "--yes"], env);
    // The first one deploys it.
    await timed(start());
    await rounds(`${name}, nothing to deploy`, async () => {
      const { output, ...times } = await timed(start());
      if (!/Nothing to deploy/.test(output)) throw new Error(output);
      return times;
    });
  } finally {
    await deployed.close();
  }
}

async function locally(name, app) {
  await rounds(`${name}, all of it into an empty local cloud`, () => timed(new Sst(app, ["start", "--local", "--stage", "dev"], { SST_TRACE: "start" })));
}

/** How long a start takes, and the app's own code of it, in milliseconds. */
async function timed(sst) {
  const began = performance.now();
  await sst.waitFor(/Listening for requests/);
  const whole = performance.now() - began;
  await sst.stop();
  const at = (step) => 1000 * Number(new RegExp(`([\\d.]+)s TRACE start: ${step}`).exec(sst.output)[1]);
  return { whole, synthesis: at("the app's code has run") - at("the app's code is run"), output: sst.output };
}

async function rounds(what, run) {
  const rest = [];
  const synthesis = [];
  // The first one makes what later ones are quick by.
  for (let round = -1; round < ROUNDS; round++) {
    const times = await run();
    if (round < 0) continue;
    rest.push(times.whole - times.synthesis);
    synthesis.push(times.synthesis);
  }
  figures.times(`start → listening, ${what}`, { "ours, less the app's own synthesis": rest, "that synthesis": synthesis });
}

/** Has an app many functions. */
function withMany(app) {
  fs.mkdirSync(path.join(app, "many"));
  fs.writeFileSync(path.join(app, "many/index.js"), "exports.handler = async (event) => event;\n");
  fs.writeFileSync(
    path.join(app, "app.js"),
    `const { App, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");
const stack = new Stack(new App(), "many");
for (let number = 0; number < ${MANY}; number += 1) {
  new LambdaFunction(stack, "m" + number, { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code: Code.fromAsset("many") });
}
`,
  );
  fs.writeFileSync(path.join(app, "cdk.json"), '{ "app": "node app.js" }');
  return app;
}

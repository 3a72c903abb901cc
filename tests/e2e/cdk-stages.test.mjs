// A CDK app with stages: stacks of the same names twice, one of which depends on the other, and a nested stack.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("a CDK app with stages", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-stages");
    sst = await Sst.start(directory);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (stage, name, event = {}) => {
    const FunctionName = sst.session().outputs[`${stage}-Service`][name];
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    return JSON.parse(Buffer.from(answer.Payload));
  };

  test("all stacks of all stages are deployed, and all functions are live", () => {
    assert.deepEqual(Object.keys(sst.session().outputs).sort(), ["Beta-Data", "Beta-Service", "Prod-Data", "Prod-Service"]);
    assert.match(sst.output, /The app is synthesised \(4 stacks\)/);
    assert.match(sst.output, /Listening for requests \(stage dev, 4 functions\)/);
    assert.doesNotMatch(sst.output, /is not live/);
  });

  test("each function works in its own stage, with what other stacks have made", async () => {
    const from = sst.output.length;
    assert.deepEqual(await invoke("Beta", "store", { id: "a" }), { stored: "a", stage: "Beta" });
    assert.deepEqual(await invoke("Beta", "store", { id: "b" }), { stored: "b", stage: "Beta" });
    assert.deepEqual(await invoke("Beta", "count"), { count: 2, stage: "Beta" });
    assert.deepEqual(await invoke("Prod", "count"), { count: 0, stage: "Prod" });
    await sst.waitFor(/RESPONSE \S+ Beta\/Service\/Store[^]*RESPONSE \S+ Beta\/Service\/Reports\/Count[^]*RESPONSE \S+ Prod\/Service\/Reports\/Count/, from);
  });

  test("sst deploy gives all of them their own code, in nested stacks as well", async () => {
    const { region, endpoint } = sst.session();
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
    const deploy = new Sst(directory, ["deploy", "--yes"], keys);
    assert.equal((await deploy.exited).code, 0, deploy.output);
    const from = sst.output.length;
    assert.deepEqual(await invoke("Beta", "count"), { count: 2, stage: "Beta" });
    assert.deepEqual(await invoke("Prod", "store", { id: "a" }), { stored: "a", stage: "Prod" });
    assert.doesNotMatch(sst.output.slice(from), /REQUEST/);
  });
});

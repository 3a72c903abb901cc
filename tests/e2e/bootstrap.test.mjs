// A local cloud has the bootstrap that the app names, in every place that its stacks are deployed to.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("an app with a bootstrap of its own", () => {
  const directories = [];
  after(() => directories.forEach((directory) => fs.rmSync(directory, { recursive: true, force: true })));

  /** Starts a copy of the app with another `cdk.json`, and calls one of its functions. Returns the output. */
  const serve = async (settings, edit = (text) => text, place = {}) => {
    const directory = copyApp("tests/fixtures/apps/counterpart");
    directories.push(directory);
    fs.writeFileSync(path.join(directory, "cdk.json"), JSON.stringify({ app: "node app.js", ...settings }));
    const file = path.join(directory, "app.js");
    fs.writeFileSync(file, edit(fs.readFileSync(file, "utf8")));
    const sst = await Sst.start(directory);
    try {
      const lambda = new LambdaClient({ ...clientOptions(sst), ...place, maxAttempts: 1 });
      const { Payload } = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("Functionecho"), Payload: '{"here":true}' }));
      assert.deepEqual(JSON.parse(Buffer.from(Payload)).event, { here: true });
    } finally {
      await sst.stop();
    }
    return sst.output;
  };

  test("is deployed with it, which is made with the local cloud", async () => {
    const context = { "@aws-cdk/core:bootstrapQualifier": "acme" };
    assert.doesNotMatch(await serve({ context, toolkitStackName: "AcmeToolkit" }), /Bootstrapping/);
  });

  test("by its code alone is deployed with it as well", async () => {
    const synthesizer = 'new (require("aws-cdk-lib").DefaultStackSynthesizer)({ qualifier: "acme" })';
    const output = await serve({}, (text) => text.replace('"counterpart")', `"counterpart", { synthesizer: ${synthesizer} })`));
    assert.match(output, /Bootstrapping aws:\/\/000000000000\/us-east-1 for the CDK, once/);
  });

  test("in another region is made there", async () => {
    const env = '{ env: { account: "000000000000", region: "eu-west-1" } }';
    const output = await serve({}, (text) => text.replace('"counterpart")', `"counterpart", ${env})`), { region: "eu-west-1" });
    assert.match(output, /Bootstrapping aws:\/\/000000000000\/eu-west-1 for the CDK, once/);
  });
});

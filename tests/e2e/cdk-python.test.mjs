// An app of the CDK for Python. There is no Node program to hook into but the one that jsii runs, and no `package.json`.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** The virtual environment of the app, which `make test-e2e` makes. */
const environment = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "cdk-python");

describe("an app of the CDK for Python", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-python", null);
    sst = await Sst.start(directory, [], { PATH: `${environment}/bin:${process.env.PATH}` });
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (name) => {
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: '{"value":1}' }));
    return JSON.parse(Buffer.from(answer.Payload));
  };

  for (const [name, file, old] of [
    ["Python", "functions/python/app.py", '"python"'],
    ["Node", "functions/node/index.js", '"node"'],
  ]) {
    test(`a function in ${name} is live, and a saved file is in the next call`, async () => {
      const from = sst.output.length;
      assert.deepEqual(await invoke(name), { language: name.toLowerCase(), colour: "blue", value: 1 });
      await sst.waitFor(new RegExp(`RESPONSE \\S+ functions/${name}`), from);
      const source = path.join(directory, file);
      fs.writeFileSync(source, fs.readFileSync(source, "utf8").replace(old, '"new"'));
      await sst.waitFor(new RegExp(`BUILT +functions/${name}`), from);
      assert.equal((await invoke(name)).language, "new");
    });
  }

  test("a change of the stacks is noticed, and without a terminal not asked about", async () => {
    const from = sst.output.length;
    const file = path.join(directory, "app.py");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"COLOUR":', '"COLOR": "red", "COLOUR":'));
    await sst.waitFor(/functions: 2 resources to change\nDeploy it in the console, or restart `sst start`/, from);
  });
});

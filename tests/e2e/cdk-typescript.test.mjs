// An app of the CDK in TypeScript, as `cdk init --language typescript` lays it out: run by ts-node, with nothing compiled before.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("a CDK app in TypeScript", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-typescript");
    sst = await Sst.start(directory, [], {}, { terminal: [100, 30] });
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async () => {
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("Hello"), Payload: '{"name":"Ada"}' }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
  const edit = (file, from, to) => {
    const name = path.join(directory, file);
    fs.writeFileSync(name, fs.readFileSync(name, "utf8").replace(from, to));
  };

  test("its function is found beside the stack, and a save is enough", async () => {
    assert.equal(await invoke(), "Hello, Ada");
    const from = sst.output.length;
    edit("lib/typed-stack.hello.ts", "}, ${name}`", "} again, ${name}`");
    await sst.waitFor(/BUILT +typed\/hello/, from);
    assert.equal(await invoke(), "Hello again, Ada");
    assert.doesNotMatch(sst.output.slice(from), /Synthesising/);
  });

  test("a change of the app is deployed on ENTER", async () => {
    let from = sst.output.length;
    edit("bin/app.ts", '"Hello"', '"Good day"');
    await sst.waitFor(/typed: 1 resource to change[^]*Press ENTER to deploy/, from);
    assert.equal(await invoke(), "Hello again, Ada");
    from = sst.output.length;
    sst.type("\r");
    await sst.waitFor(/1 function live/, from);
    assert.equal(await invoke(), "Good day again, Ada");
  });

  test("a mistake of types is shown with its place", async () => {
    const from = sst.output.length;
    edit("bin/app.ts", '{ greeting: "Good day" }', "{ greeting: 7 }");
    await sst.waitFor(/the app does not synthesise[^]*bin\/app\.ts[^]*Type 'number' is not assignable to type 'string'[^]*What is deployed keeps running/, from);
    assert.equal(await invoke(), "Good day again, Ada");
  });
});

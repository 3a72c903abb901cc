// A plain CDK app, as `cdk init` makes them: it has a `cdk.json` and knows nothing of sst.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { GetFunctionCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("a CDK app", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, ["--increase-timeout"]);
    lambda = new LambdaClient(clientOptions(sst));
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (name, event = {}) => {
    const FunctionName = sst.stackOutput(`Function${name}`);
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    return JSON.parse(Buffer.from(answer.Payload));
  };
  const configuration = async (name) => {
    const answer = await lambda.send(new GetFunctionCommand({ FunctionName: sst.stackOutput(`Function${name}`) }));
    return answer.Configuration;
  };

  test("each way of naming the code", async () => {
    const from = sst.output.length;
    assert.equal(await invoke("Asset"), "asset 42");
    assert.deepEqual(await invoke("Explicit"), { text: "explicit 42" });
    assert.equal(await invoke("Discovered"), "discovered 42");
    assert.deepEqual(await invoke("Nested"), { text: "explicit undefined" });
    await sst.waitFor(/RESPONSE \S+ plain\/Asset[^]*RESPONSE \S+ plain\/Explicit[^]*RESPONSE \S+ plain\/discovered[^]*RESPONSE \S+ plain\/Inner\/Function/, from);
  });

  test("a stack trace names the TypeScript file", async () => {
    const { errorMessage, trace } = await invoke("Explicit", { fail: true });
    assert.equal(errorMessage, "failed in TypeScript");
    assert.match(trace[1], /functions\/explicit\.ts:6:/);
  });

  test("code that is in the template runs from a file, and changes with the stack", async () => {
    const from = sst.output.length;
    assert.equal(await invoke("Inline"), "inline");
    await sst.waitFor(/RESPONSE \S+ plain\/Inline/, from);
    const file = path.join(sst.directory, ".sst/inline/plain+Inline/index.js");
    assert.equal(fs.readFileSync(file, "utf8"), "exports.handler = async () => 'inline'");
    const stack = path.join(sst.directory, "lib/plain-stack.js");
    fs.writeFileSync(stack, fs.readFileSync(stack, "utf8").replace("=> 'inline'", "=> 'other'"));
    await sst.waitFor(/The functions have changed; there is nothing to deploy/, from);
    assert.equal(await invoke("Inline"), "other");
  });

  test("--increase-timeout gives the stubs 900 seconds", async () => {
    const { Runtime, Timeout } = await configuration("Asset");
    assert.deepEqual({ Runtime, Timeout }, { Runtime: "provided.al2023", Timeout: 900 });
  });
});

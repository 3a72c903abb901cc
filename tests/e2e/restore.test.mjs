// `sst restore` in the local cloud, where functions run their own code afterwards, those of nested stacks too.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const NAMES = ["Asset", "Discovered", "Nested", "Inline", "Explicit"];

describe("own code in the local cloud", () => {
  let directory;
  let sst;
  let lambda;
  let variables;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, ["--restore-on-exit"]);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const { endpoint, region } = sst.session();
    variables = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const restore = async (...args) => {
    const program = new Sst(directory, ["restore", ...args], variables);
    const { code } = await program.exited;
    await program.closed;
    return { code, output: program.output };
  };
  const call = async (name) => {
    const from = sst.output.length;
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: "{}" }));
    return { answer: JSON.parse(Buffer.from(answer.Payload)), isLive: sst.output.slice(from).includes("REQUEST") };
  };

  test("functions answer as before, without this machine, and the session that served them says so", async () => {
    const live = {};
    for (const name of NAMES) {
      live[name] = await call(name);
      assert.ok(live[name].isLive, name);
    }
    const { code, output } = await restore("--yes");
    assert.equal(code, 0, output);
    assert.match(output, /Of stage dev, 5 functions are stubs\. Deploying \S+ as on this disk/);
    assert.match(output, /Of stage dev, 5 functions have their own code again\./);
    await sst.waitFor(/the stubs of this stage are gone by `sst restore`, [^]*with their own code in the cloud now: /);
    for (const name of NAMES) {
      assert.deepEqual(await call(name), { answer: live[name].answer, isLive: false }, name);
    }
    assert.match((await restore("--yes")).output, /No function of stage dev is a stub: there is nothing to do/);
  });

  test("there is nothing to restore at the end of a local cloud, which is said at the beginning", async () => {
    assert.match(sst.output, /warning: `--restore-on-exit` has no effect with `--local`: the local cloud ends with this command, and its functions with it/);
    const from = sst.output.length;
    assert.deepEqual(await sst.stop(), { code: 0, signal: null });
    assert.doesNotMatch(sst.output.slice(from), /stubs still|Deploying|\[Y\/n\]/);
  });
});

// Whatever proxy the environment names: what is on this machine is reached without it.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("beside a proxy", () => {
  const asked = [];
  let proxy;
  let directory;
  let sst;

  before(async () => {
    proxy = net.createServer((socket) => socket.once("data", (data) => (asked.push(data.toString().split("\r\n")[0]), socket.destroy())).on("error", () => {}));
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${proxy.address().port}`;
    directory = copyApp("tests/fixtures/apps/counterpart");
    const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    const variables = Object.fromEntries(names.flatMap((name) => [[name, url], [name.toLowerCase(), url]]));
    sst = await Sst.start(directory, [], { ...variables, NO_PROXY: "other.example" });
  });
  after(async () => {
    await sst?.stop();
    proxy?.close();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  test("the local cloud is deployed to and served, and the proxy is asked for nothing", async () => {
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("Functionecho"), Payload: '{"here":true}' }));
    assert.deepEqual(JSON.parse(Buffer.from(Payload)).event, { here: true });
    assert.deepEqual(asked, []);
  });
});

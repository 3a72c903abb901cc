// `sst logs`: what functions write, in another terminal, while the session runs and after it; and the API behind it.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { after, before, describe, test } from "node:test";

import { Sst, api, call, copyApp, runIn, writeInto } from "./support/sst.mjs";

const HANDLER = `exports.handler = async ({ text = "hello", lines = 1 }) => {
  const line = text + " with " + process.env.API_KEY + "\\n";
  for (let left = lines; left > 0; left -= 100) {
    await new Promise((resolve) => process.stdout.write(line.repeat(Math.min(left, 100)), resolve));
  }
};
`;
const STACK = `const { App, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "logs");
const environment = { API_KEY: "sk-12345678" };
const timeout = Duration.minutes(2);
for (const id of ["List", "GetOne"]) {
  new Function(stack, id, { runtime: Runtime.NODEJS_20_X, handler: "index.handler", code: Code.fromAsset("src"), environment, timeout });
}
`;
const TIME = String.raw`\d\d:\d\d:\d\d`;

describe("what functions write", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    const write = (file, text) => writeInto(directory, file, text);
    write("app.cjs", STACK);
    write("src/index.js", HANDLER);
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "logs" }));
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = (...args) => runIn(directory, ["logs", ...args]);

  test("is followed in another terminal as it comes, and that ends with Ctrl-C", async () => {
    await call(sst.session(), "List", { text: "first" });
    const all = new Sst(directory, ["logs", "--follow"]);
    const one = new Sst(directory, ["logs", "-f", "--function", "GetOne"]);
    const objects = new Sst(directory, ["logs", "--follow", "--json"]);
    await Promise.all([all.waitFor(/first/), objects.waitFor(/first/)]);
    await call(sst.session(), "GetOne", { text: "\u001b[31msecond" });
    const line = new RegExp(String.raw`^${TIME} List    first with \*\*\*\n${TIME} GetOne  second with \*\*\*\n$`);
    assert.match((await all.waitFor(/second.*\n/)).input, line);
    assert.match((await one.waitFor(/second.*\n/)).input, new RegExp(String.raw`^${TIME} GetOne  second with \*\*\*\n$`));
    await objects.waitFor(/second.*\n/);
    const { v, type, at, id, function: name, text } = JSON.parse(objects.output.trim().split("\n").at(-1));
    assert.deepEqual([v, type, name, text], [1, "log", "logs/GetOne", "\u001b[31msecond with ***"]);
    assert.ok(Math.abs(Date.now() - at) < 60_000 && id.length > 8);
    for (const reader of [all, one, objects]) assert.equal((await reader.stop()).code, 0);
  });

  test("is printed as far as it is there", async () => {
    const { code, said } = await run();
    assert.equal(code, 0);
    assert.match(said, /^.* List {4}first with \*\*\*\n.* GetOne {2}second with \*\*\*\n$/);
    assert.match((await run("-n", "1")).said, /^.* GetOne {2}second with \*\*\*\n$/);
    assert.match((await run("--function", "logs/List")).said, /^.* List {4}first with \*\*\*\n$/);
    assert.deepEqual(await run("--function", "Other"), { code: 0, said: "" });
    const wrong = await api(sst.session(), "logs?after=x");
    assert.deepEqual([wrong.status, await wrong.json()], [400, { error: "`after=x` is not understood" }]);
  });

  test("holds nobody up who does not read it, and tells them how much they have missed", async () => {
    const { control, token } = sst.session();
    const response = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` };
      http.get(`http://${control}/api/v1/logs`, { headers }, resolve).once("error", reject);
    });
    assert.equal(response.headers["content-type"], "application/x-ndjson");
    const lines = 60_000;
    const { outcome } = await call(sst.session(), "List", { text: "x".repeat(1_000), lines });
    assert.equal(outcome, "returned");
    // The history takes them in behind the call.
    await call(sst.session(), "GetOne", { text: "the last" });
    let [read, missed, rest] = [0, 0, ""];
    reading: for await (const chunk of response.setEncoding("utf8")) {
      const complete = (rest + chunk).split("\n");
      rest = complete.pop();
      for (const said of complete.map((text) => JSON.parse(text))) {
        missed += said.missed ?? 0;
        if (said.text?.startsWith("xxx")) read += 1;
        if (said.text?.startsWith("the last")) break reading;
      }
    }
    response.destroy();
    assert.ok(missed > 0, `${read} read, ${missed} missed`);
    // Two lines were there before.
    const before = missed + read - lines;
    assert.ok(before >= 0 && before <= 2, `${read} read and ${missed} missed of ${lines}`);
  });

  test("is followed until the session ends, and known when nothing runs any more", async () => {
    const follower = new Sst(directory, ["logs", "--follow", "--function", "GetOne"]);
    await follower.waitFor(/the last/);
    await sst.stop();
    assert.equal((await follower.exited).code, 0);
    await follower.closed;
    assert.match(follower.output, /\nThe session has ended\n$/);
    const { said } = await run("--function", "GetOne");
    assert.match(said, new RegExp(String.raw`^${TIME} GetOne  second with \*\*\*\n${TIME} GetOne  the last with \*\*\*\n$`));
    const refused = await run("--follow");
    assert.deepEqual([refused.code, refused.said.split("\n")[0]], [2, "error: `sst start` does not run in this project"]);
  });
});

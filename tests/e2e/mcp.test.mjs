// `sst mcp`: what a coding assistant can do with a session, by the reference client of the protocol.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, binary, call, copyApp, repository, until, writeInto } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const handler = (result) => `exports.handler = async (event) => {
  console.log("with " + process.env.API_KEY);
  if (event.fail) throw new TypeError("as asked");
  return { is: ${result}, password: "p", event };
};
`;
const STACK = `const { App, CfnOutput, Duration, Stack } = require("aws-cdk-lib");
const { Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");

const stack = new Stack(new App(), "assisted");
const environment = { API_KEY: "sk-12345678" };
const timeout = Duration.seconds(20);
const props = { runtime: Runtime.NODEJS_20_X, entry: "src/index.js", environment, timeout };
const one = new NodejsFunction(stack, "Handler", props);
new NodejsFunction(stack, "Other", props);
new CfnOutput(stack, "Name", { value: one.functionName });
`;
const READING = ["status", "functions", "history", "show", "tail", "wait_for_build"];
const CALLING = ["invoke", "replay"];

/** A client of a server of its own. */
async function connect(directory, ...args) {
  const client = new Client({ name: "test", version: "1" });
  client.wrong = [];
  client.onerror = (error) => client.wrong.push(error);
  await client.connect(new StdioClientTransport({ command: binary(), args: ["mcp", ...args], cwd: directory, env: process.env, stderr: "inherit" }));
  return client;
}

describe("a coding assistant", () => {
  let directory;
  let sst;
  let client;
  const write = (file, text) => writeInto(directory, file, text);
  /** What a tool answers: its structured content, which is its text as well. */
  const use = async (name, args = {}) => {
    const { structuredContent, content, isError } = await client.callTool({ name, arguments: args });
    assert.deepEqual(JSON.parse(content[0].text), structuredContent);
    return isError ? { refused: structuredContent } : structuredContent;
  };

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    write("app.cjs", STACK);
    write("src/index.js", handler(1));
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "assisted" }));
    client = await connect(directory);
  });
  after(async () => {
    await client?.close();
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  test("is told what there is, and what each tool does", async () => {
    assert.equal(client.getServerVersion().name, "sst");
    assert.match(client.getInstructions(), /npx sst start --local/);
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map(({ name }) => name).sort(), [...READING, ...CALLING].sort());
    for (const { name, description, inputSchema, annotations } of tools) {
      assert.ok(description.length > 40 && annotations.title, name);
      assert.equal(inputSchema.type, "object", name);
      assert.ok(Object.values(inputSchema.properties ?? {}).every((property) => property.description), name);
      // Clients read a number that somebody types as one only if nothing else may stand there.
      assert.doesNotMatch(JSON.stringify(inputSchema), /null/, name);
      assert.equal(annotations.readOnlyHint, READING.includes(name), name);
      assert.equal(annotations.destructiveHint ?? false, CALLING.includes(name), name);
    }
    assert.deepEqual(tools.find(({ name }) => name === "invoke").inputSchema.required, ["function"]);
  });

  test("is told what to start when nothing runs", async () => {
    const { refused } = await use("status");
    assert.equal(refused.error, "`sst start` does not run in this project");
    assert.match(refused.hint, /npx sst start --local/);
    assert.deepEqual(await use("history"), { invocations: [] });
  });

  test("sees what runs, as soon as it runs", async () => {
    sst = await Sst.start(directory);
    const { stage, region, outputs, functionCount, token } = await use("status");
    assert.deepEqual([stage, region, functionCount, token], ["dev", "us-east-1", 2, undefined]);
    assert.equal(outputs.assisted.Name, sst.stackOutput("Name"));
    const { functions } = await use("functions");
    assert.deepEqual(functions.map(({ id }) => id), ["assisted/Handler", "assisted/Other"]);
  });

  test("calls functions, and sees what they return, write and throw, without secrets", async () => {
    const called = await use("invoke", { function: "Handler", event: { n: 7 } });
    assert.equal(called.status, "returned");
    assert.deepEqual(JSON.parse(called.result.text), { is: 1, password: "***", event: { n: 7 } });
    assert.deepEqual(called.logs.map(({ text }) => text), ["with ***"]);
    const failed = await use("invoke", { function: "assisted/Other", event: { fail: true } });
    assert.deepEqual([failed.status, failed.errorType], ["failed", "TypeError"]);
    assert.match(failed.error, /^TypeError: as asked\n +at .*src\/index\.js:3:/);
    const unknown = await use("invoke", { function: "Nobody" });
    assert.match(unknown.refused.error, /Nobody/);
    const wrong = await client.callTool({ name: "invoke", arguments: {} });
    assert.equal(wrong.isError, true);
    assert.match(wrong.content[0].text, /function/);
  });

  test("finds calls, and repeats them with their own event or another one", async () => {
    const { invocations } = await use("history", { failed: true });
    assert.deepEqual(invocations.map((one) => one.function), ["assisted/Other"]);
    assert.equal((await use("history", { function: "Handler", limit: 1 })).invocations.length, 1);
    const shown = await use("show", { id: invocations[0].id.slice(0, 13) });
    assert.deepEqual(JSON.parse(shown.event.text), { fail: true });
    const again = await use("replay", { id: shown.id });
    assert.deepEqual([again.status, again.replayOf], ["failed", shown.id]);
    const mended = await use("replay", { id: shown.id, event: { n: 8 } });
    assert.deepEqual(JSON.parse(mended.result.text).event, { n: 8 });
    assert.match((await use("show", { id: "nothing" })).refused.error, /no call `nothing`/);
  });

  test("reads what functions write, and waits for it", async () => {
    const all = await use("tail");
    assert.ok(all.lines.length === 4 && all.lines.every(({ text }) => text === "with ***"), JSON.stringify(all));
    assert.deepEqual(await use("tail", { after: all.change }), { lines: [], change: all.change });
    assert.equal((await use("tail", { function: "Other" })).lines.length, 3);
    const waiting = use("tail", { after: all.change, wait_s: 50 });
    const { id } = await call(sst.session(), "Handler", {});
    const { lines, change } = await waiting;
    assert.deepEqual([lines.map((line) => line.id), change], [[id], all.change + 1]);
  });

  test("waits for the code on disk to be built, and sees why it is not", async () => {
    write("src/index.js", handler("}"));
    const failed = await use("wait_for_build", { function: "Handler" });
    assert.deepEqual([failed.state, failed.functions.map(({ id }) => id)], ["failed", ["assisted/Handler"]]);
    assert.match(failed.functions[0].error, /src\/index\.js:4:\d+:\n +4 │ +return \{ is: \}/);
    write("src/index.js", handler(2));
    const built = await use("wait_for_build");
    assert.equal(built.state, "built", JSON.stringify(built));
    assert.equal(JSON.parse((await use("invoke", { function: "Handler" })).result.text).is, 2);
    assert.equal((await use("wait_for_build", { timeout_s: 1 })).state, "built");
    assert.match((await use("wait_for_build", { function: "Nobody" })).refused.hint, /`functions`/);
  });

  test("deploys only if it may, and only what waits", async () => {
    await assert.rejects(client.callTool({ name: "deploy", arguments: {} }), /deploy|not found/);
    const other = await connect(directory, "--allow-deploy");
    try {
      const { tools } = await other.listTools();
      const { annotations } = tools.find(({ name }) => name === "deploy");
      assert.deepEqual([annotations.readOnlyHint, annotations.destructiveHint], [false, true]);
      const deploy = async () => (await other.callTool({ name: "deploy", arguments: {} })).structuredContent;
      assert.match((await deploy()).error, /nothing waits/);
      write("app.cjs", STACK + 'new CfnOutput(stack, "More", { value: "yes" });');
      await until("the change", async () => (await use("status")).infrastructure.state === "changed");
      assert.deepEqual(await deploy(), { state: "deployed" });
      assert.equal((await use("status")).outputs.assisted.More, "yes");
    } finally {
      await other.close();
    }
  });

  test("hears nothing but the protocol, and the server ends when it goes", async () => {
    assert.deepEqual(client.wrong, []);
    for (const end of [(server) => server.child.stdin.end(), (server) => server.child.kill("SIGINT")]) {
      const server = new Sst(directory, ["mcp"], {}, { typed: true });
      server.type(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "t", version: "1" } } })}\n`);
      await server.waitFor(/"serverInfo".*\n/);
      end(server);
      assert.equal((await server.exited).code, 0);
      await server.closed;
      assert.ok(server.output.split("\n").filter(Boolean).every((line) => JSON.parse(line).jsonrpc === "2.0"), server.output);
    }
    const { code, said } = await (async () => {
      const lost = new Sst(path.dirname(directory), ["mcp"]);
      const { code } = await lost.exited;
      await lost.closed;
      return { code, said: lost.output };
    })();
    assert.equal(code, 2);
    assert.match(said, /^error: /);
  });
});

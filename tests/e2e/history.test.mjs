// What was called, with what, and what came of it: on the command line while the session runs and after it, and through its API.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, api, copyApp, runIn, until, writeInto } from "./support/sst.mjs";

const HANDLER = `exports.handler = async (event) => {
  console.log("with " + process.env.API_KEY);
  if (event.wait) await new Promise((resolve) => setTimeout(resolve, 2_500));
  if (event.queryStringParameters?.fail) throw new TypeError("as asked");
  return { statusCode: 200, body: JSON.stringify({ password: "p", number: event.queryStringParameters?.number }) };
};
`;
const STACK = `const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { HttpApi } = require("aws-cdk-lib/aws-apigatewayv2");
const { HttpLambdaIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "history");
const environment = { API_KEY: "sk-12345678" };
const handler = new Function(stack, "Handler", { runtime: Runtime.NODEJS_20_X, handler: "index.handler", code: Code.fromAsset("src"), environment });
const routes = new HttpApi(stack, "Api", { defaultIntegration: new HttpLambdaIntegration("Integration", handler) });
new CfnOutput(stack, "Endpoint", { value: routes.apiEndpoint });
`;

describe("the history of calls", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    const write = (file, text) => writeInto(directory, file, text);
    write("app.cjs", STACK);
    write("src/index.js", HANDLER);
    write("wait.json", '{"wait":true}');
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "history", history: { mask: ["number"] } }));
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = (...args) => runIn(directory, args);
  const get = (query, headers) => fetch(`${sst.stackOutput("Endpoint")}/orders?${query}`, { headers });
  /** The last calls, as `sst history` lists them. */
  const listed = async (...args) => {
    const { said } = await run("history", "--json", ...args);
    return said.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  };

  test("calls are listed and shown, without secrets", async () => {
    assert.equal((await get("number=7", { authorization: "Bearer abc", "x-own": "sk-12345678" })).status, 200);
    assert.ok((await get("fail=yes")).status >= 500);
    const [first, second] = await until("both to be there", async () => {
      const calls = await listed();
      return calls.length === 2 && calls.every(({ status }) => status !== "running") && calls;
    });
    assert.deepEqual(
      [first, second].map(({ status, function: name, source, summary, errorType }) => [status, name, source, summary, errorType]),
      [
        ["returned", "history/Handler", "API GET /orders", "200", undefined],
        ["failed", "history/Handler", "API GET /orders", undefined, "TypeError"],
      ],
    );
    assert.ok(first.tookMs > 0 && first.waitedMs >= 0);
    const table = await run("history");
    assert.match(table.said, /^TIME +ID +FUNCTION +OUTCOME +TOOK +EVENT\n\d\d:\d\d:\d\d +[\da-f]{8} +history\/Handler +200 +\d+(\.\d)? ms +API GET \/orders\n.* TypeError /);
    assert.equal((await listed("--failed")).length, 1);
    assert.equal((await listed("--function", "Handler", "-n", "1")).length, 1);
    assert.equal((await listed("--function", "Other")).length, 0);

    const shown = (await run("show", first.id.slice(0, 13))).said;
    assert.ok(shown.startsWith(`${first.id}  history/Handler  API GET /orders\n`), shown);
    assert.match(shown, /\nEVENT\n {2}\{\n[^]*"authorization": "\*\*\*"[^]*"x-own": "\*\*\*"[^]*\nOUTPUT\n {2}with \*\*\*\n[^]*\nRESULT\n/);
    assert.match(shown, /"body": "\{\\"password\\":\\"\*\*\*\\",\\"number\\":\\"\*\*\*\\"\}"/);
    assert.ok(!shown.includes("sk-12345678") && !shown.includes("Bearer abc"), shown);
    assert.match((await run("show", "last")).said, /failed: TypeError[^]*\nERROR\n {2}TypeError: as asked\n {6}at .*src\/index\.js:4:/);
    const missing = await run("show", "nope");
    assert.deepEqual([missing.code, missing.said], [2, "error: no call `nope`: `sst history` lists those that are known\n"]);
  });

  test("a replay is a call of its own, with the event as it was", async () => {
    const [first] = await listed();
    const replayed = await run("replay", first.id);
    assert.equal(replayed.code, 0, replayed.said);
    assert.deepEqual(JSON.parse(replayed.said), { statusCode: 200, body: '{"password":"p","number":"7"}' });
    const again = await until("the replay", async () => (await listed()).find(({ replayOf }) => replayOf === first.id));
    assert.deepEqual([again.local, again.source], [true, "API GET /orders"]);
    assert.notEqual(again.id, first.id);
    const [event, other] = await Promise.all([first.id, again.id].map(async (id) => (await api(sst.session(), `invocations/${id}/event`)).text()));
    assert.equal(event, other);
    assert.ok(event.includes("Bearer abc"), event);
    fs.writeFileSync(path.join(directory, "other.json"), '{"queryStringParameters":{"number":"8"}}');
    assert.match((await run("replay", first.id, "--event", "other.json")).said, /\\"number\\":\\"8\\"/);
  });

  test("an event is saved for others, and called by its name", async () => {
    const [first] = await listed();
    const saved = await run("save", first.id, "order");
    assert.deepEqual([saved.code, saved.said.split("\n")[0]], [0, "Saved as events/order.json: sst invoke history/Handler --event order"]);
    assert.match(saved.said, /warning: \d+ values that look like secrets are masked in it/);
    const event = JSON.parse(fs.readFileSync(path.join(directory, "events/order.json"), "utf8"));
    assert.equal(event.headers.authorization, "***");
    assert.match((await run("invoke", "Handler", "--event", "order")).said, /"statusCode":200/);
    assert.match((await run("save", first.id, "order")).said, /^error: `.*events\/order\.json` is there already\n/);
    assert.match((await run("save", first.id, "../order")).said, /^error: an event cannot be called `\.\.\/order`\n/);
    assert.equal((await run("save", first.id, "whole", "--unmasked")).code, 0);
    assert.match(fs.readFileSync(path.join(directory, "events/whole.json"), "utf8"), /Bearer abc/);
  });

  test("the API tells what changes, in order, and from where a reader left off", async () => {
    const abort = new AbortController();
    const response = await api(sst.session(), "stream", { signal: abort.signal });
    assert.equal(response.headers.get("content-type"), "application/x-ndjson");
    const lines = linesOf(response);
    const { change, invocations } = (await lines.next()).value;
    assert.equal(invocations.length, (await listed()).length);
    const answer = api(sst.session(), "functions/Handler/invoke", { method: "POST", body: "{}" }).then((response) => response.json());
    const { id, outcome } = await answer;
    assert.equal(outcome, "returned");
    const seen = [];
    for await (const line of lines) {
      seen.push(...line.invocations.filter((call) => call.id === id).map(({ status }) => status));
      if (seen.includes("returned")) break;
    }
    assert.equal(seen.at(-1), "returned");
    abort.abort();
    const later = await api(sst.session(), `stream?after=${change}`, { signal: AbortSignal.timeout(20_000) });
    assert.deepEqual((await linesOf(later).next()).value.invocations.map((call) => call.id), [id]);
    const status = await run("status");
    assert.match(status.said, /^stage +dev \(us-east-1, http:\/\/127\.0\.0\.1:\d+\)\nprocess +\d+\n[^]*\nfunctions +history\/Handler  \$default\noutputs +Endpoint: http/);
    const { functions, triggers, token } = JSON.parse((await run("status", "--json")).said);
    assert.deepEqual([functions.map((one) => one.id), token], [["history/Handler"], undefined]);
    assert.deepEqual(triggers["history/Handler"].map(({ kind, text }) => [kind, text]), [["apigw2", "$default"]]);
    const stranger = await fetch(`http://${sst.session().control}/api/v1/invocations`);
    assert.equal(stranger.status, 401);
  });

  test("what was called is known when nothing runs any more", async () => {
    const before = await listed("-n", "100");
    // One is open when the session ends.
    const from = sst.output.length;
    const open = run("invoke", "Handler", "--event", "wait.json");
    await sst.waitFor(/REQUEST/, from);
    await sst.stop();
    await open;
    const after = await listed("-n", "100");
    assert.deepEqual(after.slice(0, -1), before);
    assert.deepEqual([after.at(-1).status, after.at(-1).errorType], ["failed", "Sst.Stopped"]);
    assert.match((await run("show", before[0].id)).said, /"authorization": "\*\*\*"/);
    const refused = await run("replay", before[0].id);
    assert.deepEqual([refused.code, refused.said.split("\n")[0]], [2, "error: `sst start` does not run in this project"]);
    for (const name of fs.readdirSync(path.join(directory, ".sst/history"))) {
      assert.ok(!fs.readFileSync(path.join(directory, ".sst/history", name), "utf8").includes("sk-12345678"), name);
    }
    // Without a history there is none of that session, but in memory.
    fs.rmSync(path.join(directory, ".sst/history"), { recursive: true });
    sst = await Sst.start(directory, ["--no-history"]);
    await get("number=1");
    await until("the call", async () => (await listed()).length === 1);
    await sst.stop();
    assert.deepEqual(await listed(), []);
  });
});

/** The lines of a response, as they come. */
async function* linesOf(response) {
  let rest = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

// What a session tells programs of this machine of itself, while a user saves files: builds, processes, and what waits to be deployed.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp, repository, writeInto } from "./support/sst.mjs";

const HANDLER = `exports.handler = async () => "first";\n`;
const stackWith = (timeout) => `const { App, Duration, Stack } = require("aws-cdk-lib");
const { Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");
const stack = new Stack(new App(), "api");
new NodejsFunction(stack, "Handler", { runtime: Runtime.NODEJS_20_X, entry: "src/index.js", timeout: Duration.seconds(${timeout}) });
`;

describe("the session's API", () => {
  let directory;
  let sst;
  let session;
  let stream;

  const write = (file, text) => writeInto(directory, file, text);
  const ask = (route, options = {}) =>
    fetch(`http://${session.control}/api/v1${route}`, { ...options, headers: { authorization: `Bearer ${session.token}` } });
  const state = async () => (await ask("/state")).json();

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    write("app.cjs", stackWith(3));
    write("src/index.js", HANDLER);
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "api" }));
    sst = await Sst.start(directory);
    session = JSON.parse(fs.readFileSync(path.join(directory, ".sst/session.json"), "utf8"));
    stream = await Stream.open(ask);
  });
  after(async () => {
    await stream?.close();
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  test("the first line is all that is known", async () => {
    const line = await stream.until((said) => said);
    assert.deepEqual([line.invocations, line.connection, line.infrastructure], [[], { state: "connected", history: [] }, { state: "deployed" }]);
    const { functions, connection, infrastructure, token } = await state();
    assert.deepEqual([functions[0].id, functions[0].runtime, connection.state, infrastructure.state, token], [
      "api/Handler",
      "nodejs20.x",
      "connected",
      "deployed",
      undefined,
    ]);
  });

  test("a call is there with its build and its process", async () => {
    const { outcome, id } = await (await ask("/functions/api%2FHandler/invoke", { method: "POST", body: "{}" })).json();
    assert.equal(outcome, "returned");
    await stream.until(({ invocations }) => invocations.some((call) => call.id === id && call.status === "returned"));
    await stream.untilFunction("api/Handler", ({ build, workers }) => build.state === "built" && workers.idle === 1);
    const [{ build, workers }] = (await state()).functions;
    assert.ok(build.state === "built" && build.tookMs >= 0 && workers.busy === 0, JSON.stringify([build, workers]));
  });

  test("a save that breaks the code is told with its place, and is over with the next one", async () => {
    write("src/index.js", "exports.handler = async () => {\n  return (;\n};\n");
    const broken = await stream.untilFunction("api/Handler", ({ build }) => build.state === "failed");
    assert.match(broken.build.error, /src\/index\.js:2:\d+/);
    write("src/index.js", HANDLER.replace("first", "second"));
    const mended = await stream.untilFunction("api/Handler", ({ build }) => build.state === "built");
    assert.equal(mended.build.error, undefined);
  });

  test("a change of the infrastructure waits until it is deployed from here", async () => {
    assert.equal((await ask("/deploy", { method: "POST" })).status, 409);
    write("app.cjs", stackWith(4));
    const { infrastructure } = await stream.until((said) => said.infrastructure?.state === "changed");
    assert.deepEqual(infrastructure.changes, ["api: 1 resource to change"]);
    const [{ logicalId, ...resource }] = infrastructure.resources;
    assert.match(logicalId, /^Handler/);
    assert.deepEqual(resource, { stack: "api", type: "AWS::Lambda::Function", action: "modify" });
    const answer = await ask("/deploy", { method: "POST" });
    assert.deepEqual([answer.status, await answer.json()], [200, { outcome: "begun" }]);
    await stream.until((said) => said.infrastructure?.state === "deploying");
    await stream.until((said) => said.infrastructure?.state === "deployed");
    assert.equal((await ask("/deploy", { method: "POST" })).status, 409);
  });

  test("one that cannot be synthesised is told, and mended", async () => {
    write("app.cjs", `${stackWith(4)}\nthrow new Error("as if");\n`);
    const { infrastructure } = await stream.until((said) => said.infrastructure?.state === "broken");
    assert.match(infrastructure.error, /as if/);
    write("app.cjs", stackWith(4));
    await stream.until((said) => said.infrastructure?.state === "deployed");
  });

  test("the documentation names each field of the answers, and no other", async () => {
    const { id } = await (await ask("/functions/Handler/invoke", { method: "POST", body: '{"password":"p"}' })).json();
    const again = await (await ask(`/invocations/${id}/replay`, { method: "POST" })).json();
    await stream.until(({ invocations }) => invocations.some((call) => call.id === again.id && call.status === "returned"));
    const { invocations } = await (await ask("/invocations")).json();
    const whole = await (await ask(`/invocations/${again.id}`)).json();
    // Those of calls that have been paused, have failed, have a result of HTTP, or came with a message.
    const rare = ["place", "leftMs", "errorType", "summary", "related"];
    const inCalls = ["event", "result", "logs", "trace"];
    const page = fs.readFileSync(path.join(repository, "docs/api.md"), "utf8");
    const seen = new Set(invocations.flatMap((call) => Object.keys(call)));
    const listed = fieldsOf(page.slice(page.indexOf("A call in a list:")).split("\n\n")[1]);
    assert.deepEqual([...seen].filter((field) => !listed.includes(field)), []);
    assert.deepEqual(listed.filter((field) => !seen.has(field) && !rare.includes(field)), []);
    const besides = words(page.slice(page.indexOf("All of it has besides:")).split("\n\n")[0]);
    for (const field of [...Object.keys(whole), ...Object.keys(whole.event), ...Object.keys(whole.result)]) {
      assert.ok(listed.includes(field) || besides.includes(field), field);
    }
    assert.deepEqual(inCalls.filter((field) => !besides.includes(field)), []);

    const session = words(fs.readFileSync(path.join(repository, "docs/session-file.md"), "utf8"));
    const own = words(page.slice(page.indexOf("## The session")));
    const answer = await state();
    for (const field of Object.keys(answer)) assert.ok(session.includes(field) || own.includes(field), field);
    const [{ build, workers }] = answer.functions;
    const parts = [build, workers, answer.connection, answer.infrastructure];
    for (const field of parts.flatMap((part) => Object.keys(part))) assert.ok(own.includes(field), field);
  });

  test("whoever comes later learns what was before", async () => {
    const later = await Stream.open(ask);
    const line = await later.until((said) => said);
    await later.close();
    assert.deepEqual([line.invocations.length, line.functions.length, line.infrastructure.state], [3, 1, "deployed"]);
    // From the number on that it has read there is nothing but what is new.
    const after = await Stream.open(ask, line.change);
    const { invocations, functions, connection } = await after.until((said) => said);
    await after.close();
    assert.deepEqual([invocations, functions, connection], [[], undefined, undefined]);
  });
});

/** What a text has in backticks: names of fields, among other things. */
function words(text) {
  return [...text.matchAll(/`([\w.[\]]+)`/g)].map(([, word]) => word);
}

/** The fields that the first column of a table names. */
function fieldsOf(table) {
  return table.split("\n").flatMap((row) => words(row.replace(/^\|/, "").split("|")[0]));
}

/** The lines of the stream, as they come. */
class Stream {
  functions = new Map();
  #controller;
  #lines;

  static async open(ask, after = 0) {
    const stream = new Stream();
    stream.#controller = new AbortController();
    const { body } = await ask(`/stream?after=${after}`, { signal: stream.#controller.signal });
    stream.#lines = linesOf(body);
    return stream;
  }

  /** The next line for which something holds. */
  async until(holds) {
    for (;;) {
      const { value, done } = await this.#lines.next();
      assert.ok(!done, "the stream has ended");
      const said = JSON.parse(value);
      for (const one of said.functions ?? []) this.functions.set(one.id, one);
      if (holds(said)) return said;
    }
  }

  /** A function, as soon as something holds for it. */
  async untilFunction(id, holds) {
    while (!this.functions.has(id) || !holds(this.functions.get(id))) await this.until(() => true);
    return this.functions.get(id);
  }

  async close() {
    this.#controller.abort();
    await this.#lines.return().catch(() => {});
  }
}

async function* linesOf(body) {
  let rest = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

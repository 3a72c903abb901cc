// `sst start --json`: what happens, for programs.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, call, copyApp, repository, within, writeInto } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const Ajv = require("ajv/dist/2020.js");

const LINE = "\u001b[31mred\u001b[0m \u2028 \u0007 \ud83d\ude00 \\ \"";
const handler = (body) => `exports.handler = async (event) => {
  console.log(${JSON.stringify(LINE).replace("\u2028", "\\u2028")});
  if (event.fail) throw new TypeError("as asked");
  ${body}
};
`;
const stack = (more) => `const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");
const { Topic } = require("aws-cdk-lib/aws-sns");

const stack = new Stack(new App(), "machine");
const handler = new NodejsFunction(stack, "Handler", { runtime: Runtime.NODEJS_20_X, entry: "src/index.js" });
new CfnOutput(stack, "Name", { value: handler.functionName });
${more}
`;

/** What a program writes to its standard output, as objects that are as the schema says. */
class Objects {
  all = [];
  #rest = "";
  #waiting = new Set();

  constructor(sst) {
    this.sst = sst;
    this.errors = "";
    const schema = JSON.parse(fs.readFileSync(path.join(repository, "docs/json.schema.json"), "utf8"));
    const validate = new Ajv({ strict: true }).compile(schema);
    sst.child.stdout.on("data", (text) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop();
      for (const line of lines) {
        const object = JSON.parse(line);
        assert.ok(validate(object), `${line}: ${JSON.stringify(validate.errors, undefined, 2)}`);
        this.all.push(object);
      }
      for (const check of this.#waiting) check();
    });
    sst.child.stderr.on("data", (text) => (this.errors += text));
    sst.closed.then(() => this.#waiting.forEach((check) => check(true)));
  }

  /** The first object from a position on that is as wanted; waits for it. */
  next(wanted, from = 0) {
    const what = () => `${JSON.stringify(wanted)}:\n${this.sst.output}`;
    const found = new Promise((resolve, reject) => {
      const check = (ended) => {
        const found = this.all.slice(from).find((object) => Object.entries(wanted).every(([name, value]) => object[name] === value));
        if (found || ended) this.#waiting.delete(check);
        if (found) resolve(found);
        else if (ended) reject(new Error(`ended before ${what()}`));
      };
      this.#waiting.add(check);
      check(false);
    });
    return within(60_000, { toString: what }, found);
  }
}

describe("a session for programs", () => {
  let directory;
  let sst;
  let objects;
  const write = (file, text) => writeInto(directory, file, text);

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    write("app.cjs", stack(""));
    write("src/index.js", handler("return { n: 1 };"));
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "machine" }));
    sst = new Sst(directory, ["start", "--local", "--json"], {}, { typed: true });
    objects = new Objects(sst);
    await objects.next({ type: "listening" });
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  test("a start is told as it goes on", async () => {
    const progress = objects.all.filter(({ type }) => type === "progress");
    for (const { key } of progress.filter(({ state }) => state === "began")) {
      assert.ok(progress.some((one) => one.key === key && one.state === "ended"), key);
    }
    assert.ok(progress.length > 0);
    const { stack: name, value } = await objects.next({ type: "output", name: "Name" });
    assert.deepEqual([name, value], ["machine", sst.stackOutput("Name")]);
    assert.ok(objects.all.every(({ v, at }) => v === 1 && Math.abs(Date.now() - at) < 300_000));
  });

  test("a call is told with what it writes, as that was", async () => {
    const from = objects.all.length;
    const { id, outcome } = await call(sst.session(), "Handler", {});
    assert.equal(outcome, "returned");
    await objects.next({ type: "response", id }, from);
    const told = objects.all.slice(from).filter((object) => object.id === id);
    assert.deepEqual(told.map(({ type }) => type), ["request", "log", "response"]);
    assert.equal(told[1].text, LINE);
    assert.ok(told.every((object) => object.function === "machine/Handler"));
    assert.ok(told[2].tookMs > 0);
    const failed = await call(sst.session(), "Handler", { fail: true });
    const { detail } = await objects.next({ type: "failure", id: failed.id }, from);
    assert.match(detail, /^TypeError: as asked\n +at .*src\/index\.js:3:/);
  });

  test("a build that fails is told with its frame, and one that does not", async () => {
    const from = objects.all.length;
    write("src/index.js", handler("return {"));
    const { detail, stillServing } = await objects.next({ type: "buildFailed", function: "machine/Handler" }, from);
    assert.equal(stillServing, true);
    assert.match(detail, /src\/index\.js:6:1:\n/);
    write("src/index.js", handler("return { n: 2 };"));
    assert.ok((await objects.next({ type: "built", function: "machine/Handler" }, from)).tookMs > 0);
  });

  test("changes of the infrastructure are told, asked about, and deployed at a line of the standard input", async () => {
    const from = objects.all.length;
    write("app.cjs", stack('new Topic(stack, "Topic");\nnew CfnOutput(stack, "More", { value: "yes" });'));
    const { changes } = await objects.next({ type: "infrastructure" }, from);
    assert.deepEqual(changes.map((change) => change.split(":")[0]), ["machine"]);
    assert.equal((await objects.next({ type: "question" }, from)).text, "Press ENTER to deploy");
    sst.type("\n");
    assert.equal((await objects.next({ type: "info", text: "1 function live" }, from)).type, "info");
    assert.equal(sst.stackOutput("More"), "yes");
  });

  test("the end is told, and nothing else was ever written", async () => {
    assert.equal((await sst.stop()).code, 0);
    assert.equal(objects.all.at(-1).text, "Stopped");
    assert.equal(objects.errors, "");
    assert.ok(sst.output.endsWith("}\n"));
  });

  test("an error that ends the program is an object as well", async () => {
    write("app.cjs", 'throw new Error("no app");');
    const other = new Sst(directory, ["start", "--local", "--json"]);
    const said = new Objects(other);
    const { code } = await other.exited;
    await other.closed;
    assert.equal(code, 4);
    const { type, text, detail } = said.all.at(-1);
    assert.deepEqual([type, said.errors], ["fatal", ""]);
    assert.ok(text.length > 0);
    assert.match(detail, /no app/);
  });
});

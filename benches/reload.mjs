// Warm calls, saves, many functions, memory, start and end, beside SST v0.69.7 where that has the same: `make bench`. Both are measured in
// turns in one run; what counts are the ratios. Calls of ours come by the way of `sst invoke`, as the local cloud takes longer than
// everything else. After a save a function is called until the new code answers, which has to be within ten seconds.
//
// `ROUNDS` and `CALLS` say how often.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";

import { Sst, repository } from "../tests/e2e/support/sst.mjs";
import { Figures, ROUNDS, timed } from "./support/figures.mjs";
import { OldTool } from "./support/old-tool.mjs";
import { Caller, call, link, processesOf, proportional, resident, write } from "./support/running.mjs";

const CALLS = Number(process.env.CALLS ?? 500);
const MANY = 100;
/** Between a save and the next one, in milliseconds: somebody who types saves once a second at most. */
const TYPING = 1_000;

const figures = new Figures("reload");
const place = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "bench-"));
const [app, other] = ["app", "old"].map((name) => path.join(place, name));
const sources = {
  hello: (v) => `const v: number = ${v};\nexport async function main(event: any) {\n  return { v };\n}\n`,
  sdk: (v) => `import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import _ from "lodash";
import { z } from "zod";
const client = DynamoDBDocumentClient.from(new DynamoDBClient({}));
const shape = z.object({ size: z.number() });
export async function main(event: any) {
  return { v: ${v}, ...shape.parse({ size: _.size(event) }), client: !!client };
}
`,
  shared: (v) => `export const shared = ${v};\n`,
  python: (v) => `V = ${v}\n\n\ndef handler(event, context):\n    return {"v": V}\n`,
};

layOut();
let began = performance.now();
const sst = await Sst.start(app);
row("start of the local cloud and the deployment of 103 functions", [performance.now() - began]);
const old = new OldTool(other);
try {
  await measure();
} finally {
  old.end();
  began = performance.now();
  sst.child.kill("SIGINT");
  await once(sst.child, "exit");
  row("end after many calls", [performance.now() - began]);
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();

async function measure() {
  await call(app, "hello");
  await old.call("hello");
  const [ours, kept, theirs] = [[], [], []];
  const caller = new Caller(app);
  for (let round = 0; round < CALLS; round += 1) {
    ours.push(await timed(() => call(app, "hello")));
    kept.push(await timed(() => caller.call("hello")));
    theirs.push((await old.call("hello")).took);
  }
  caller.end();
  row("one warm call, on a new connection as `sst invoke` makes it", ours, theirs);
  row("one warm call, on a connection that is there", kept, theirs);
  await saves("ten lines of TypeScript", "hello", "src/hello.ts", sources.hello, "hello");
  await saves("with AWS SDK v3, lodash and zod", "sdk", "src/sdk.ts", sources.sdk, "sdk");
  await saves(`a shared file, 1 of ${MANY} functions warm`, "m0", "src/shared.ts", sources.shared);
  await saves("Python", "python", "py/app.py", sources.python);
  memory("one function of each kind");
  for (let number = 0; number < MANY; number += 1) await call(app, `m${number}`);
  await saves(`a shared file, ${MANY} of ${MANY} functions warm`, `m${MANY - 1}`, "src/shared.ts", sources.shared);
  await allFresh();
  memory(`${MANY} functions that were called`);
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  memory("and twelve seconds later");
  // The first time makes what later ones are quick by.
  for (const atOnce of [10, 1, 10, 100]) await throughput(atOnce);
}

/** From a save to the first answer of the new code, called again and again. */
async function saves(what, name, relative, text, theirName) {
  const [ours, theirs] = [[], []];
  await call(app, name);
  for (let round = -3; round < ROUNDS; round += 1) {
    const version = 1_000 + round;
    const began = performance.now();
    fs.writeFileSync(path.join(app, relative), text(version));
    for (;;) {
      const { v } = await call(app, name);
      if (v === version) break;
      assert.ok(performance.now() - began < 10_000, `${what}: old code answers 10 s after a save`);
    }
    const took = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, TYPING));
    const their = theirName && (await old.save(theirName, text(version)));
    if (their) assert.equal(their.result.v, version, JSON.stringify(their));
    // The first ones make what later ones are quick by.
    if (round < 0) continue;
    ours.push(took);
    if (their) theirs.push(their.took);
  }
  row(`save → answer: ${what}`, ours, theirs);
}

/** From a save of the shared file until all functions are built, ahead of their calls; one of them is called then. */
async function allFresh() {
  const times = [];
  for (let round = 0; round < 5; round += 1) {
    const from = sst.output.length;
    const began = performance.now();
    fs.writeFileSync(path.join(app, "src/shared.ts"), sources.shared(5_000 + round));
    const built = () => sst.output.slice(from).match(/BUILT +perf\/m\d+/g)?.length ?? 0;
    while (built() < MANY) await new Promise((resolve) => setTimeout(resolve, 5));
    times.push(performance.now() - began);
    assert.equal((await call(app, "m7")).v, 5_000 + round);
    await new Promise((resolve) => setTimeout(resolve, TYPING));
  }
  row(`save → all ${MANY} built`, times);
}

async function throughput(atOnce) {
  const calls = 3_000;
  let left = calls;
  const serve = async () => {
    const caller = new Caller(app);
    while (left-- > 0) await caller.call("hello");
    caller.end();
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: atOnce }, serve));
  const seconds = (performance.now() - began) / 1_000;
  figures.values("calls a second", `${atOnce} at once`, { ours: calls / seconds });
}

function memory(when) {
  const { own, children } = processesOf(sst);
  const sum = (of) => children.reduce((sum, pid) => sum + of(pid), 0);
  figures.values(`memory of the program, ${when}`, "MB", { ours: resident(own) });
  // What several processes share, as the program of Node, is resident in each of them, but is there only once.
  figures.values(`memory of ${children.length} processes besides it and the local cloud, ${when}`, "MB", {
    resident: sum(resident),
    "each shared part counted once": sum(proportional),
  });
}

function row(what, ours, theirs = []) {
  figures.times(what, { ours, ...(theirs.length && { "SST 0.69.7": theirs }) });
}

function layOut() {
  write(path.join(app, "package.json"), `{ "name": "perf", "private": true, "type": "module" }\n`);
  write(path.join(app, "package-lock.json"), "{}");
  write(path.join(app, "sst.json"), `{ "name": "perf", "main": "stacks/index.js" }\n`);
  write(
    path.join(app, "stacks/index.js"),
    `import { Stack, Duration } from "aws-cdk-lib";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
export default function main(app) {
  const stack = new Stack(app, "perf");
  const timeout = Duration.seconds(20);
  const node = (id, entry) => new NodejsFunction(stack, id, { entry, handler: "main", runtime: Runtime.NODEJS_20_X, timeout });
  node("hello", "src/hello.ts");
  node("sdk", "src/sdk.ts");
  for (let number = 0; number < ${MANY}; number += 1) node("m" + number, "src/many/h" + number + ".ts");
  new Function(stack, "python", { runtime: Runtime.PYTHON_3_12, handler: "app.handler", code: Code.fromAsset("py"), timeout });
}
`,
  );
  for (const directory of [app, other]) {
    for (const name of ["hello", "sdk"]) write(path.join(directory, `src/${name}.ts`), sources[name](0));
    // Packages of two lists in one place, as an installation has them.
    for (const from of ["tests/fixtures", "tests/oracle/packages"]) link(path.join(repository, from, "node_modules"), path.join(directory, "node_modules"));
  }
  write(path.join(other, "package.json"), `{ "name": "perf", "private": true }\n`);
  write(path.join(app, "src/shared.ts"), sources.shared(0));
  write(path.join(app, "py/app.py"), sources.python(0));
  for (let number = 0; number < MANY; number += 1) {
    const text = `import { shared } from "../shared";\nexport async function main() {\n  return { v: shared, number: ${number} };\n}\n`;
    write(path.join(app, `src/many/h${number}.ts`), text);
  }
}

// What an app with many functions costs beside one with a single function: memory, calls, and saves. Both run at the same time, and are
// measured in turns: `make bench`. The second part is functions of one file, which are built alike.
//
// `FUNCTIONS` says how many there are, `CALLS` how often each side is called.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";

import { Sst, repository } from "../tests/e2e/support/sst.mjs";
import { Figures, inTurns } from "./support/figures.mjs";
import { Caller, call, commandOf, computed, link, processesOf, proportional, resident, write } from "./support/running.mjs";

const MANY = Number(process.env.FUNCTIONS ?? 500);
const CALLS = Number(process.env.CALLS ?? 500);
/** Functions of one file. */
const ALIKE = 100;
/** A template has at most 500 resources, and a function is some of these. */
const IN_A_STACK = 100;
/** Between a save and the next one, in milliseconds. */
const TYPING = 1_000;

const figures = new Figures("many");
const place = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "bench-"));
const one = { name: "1 function", app: path.join(place, "one"), functions: 1, alike: 0 };
const many = { name: `${MANY} functions`, app: path.join(place, "many"), functions: MANY, alike: ALIKE };
// What is compared is ours with more functions: the first side is that with one.
const sides = [one, many];
const shared = (v) => `export const shared = ${v};\n`;
const alike = (v, text) => `import _ from "lodash"; import { z } from "zod";
const handler = async () => ({ v: ${v}, packages: [typeof _.get, typeof z.object] });
${text}`;

/** What was saved last. */
let version = 0;

sides.forEach(layOut);
const started = {};
try {
  for (const side of sides) {
    const began = performance.now();
    side.sst = await Sst.start(side.app);
    started[side.name] = [performance.now() - began];
  }
  figures.times("start of a local cloud and the first deployment", started);
  await measure();
} finally {
  for (const { sst } of sides) await sst?.stop();
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();

async function measure() {
  memory("before any call");
  for (const { app } of sides) await call(app, "m0");
  const callers = new Map(sides.map((side) => [side, new Caller(side.app)]));
  figures.times("one warm call", await inTurns(sidesBy((side) => callers.get(side).call("m0")), { rounds: CALLS }));
  callers.forEach((caller) => caller.end());
  await throughput();
  await saves("1 function warm");
  memory("1 function was called");
  for (let number = 1; number < MANY; number += 1) await call(many.app, `m${number}`);
  await saves(`all functions warm, a file that all read`);
  await allBuilt();
  memory("all were called");
  await builtAlike();
}

function sidesBy(work) {
  return Object.fromEntries(sides.map((side) => [side.name, (round) => work(side, round)]));
}

/** From a save of the shared file to the answer of the first function. */
async function saves(when) {
  const save = async ({ app }) => {
    version += 1;
    const began = performance.now();
    write(path.join(app, "src/shared.ts"), shared(version));
    await answers(app, "m0", version);
    const took = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, TYPING));
    return took;
  };
  figures.times(`save → answer, ${when}`, await inTurns(sidesBy(save), { before: 3 }));
}

async function answers(app, name, version) {
  const began = performance.now();
  for (;;) {
    const { v } = await call(app, name);
    if (v === version) return;
    assert.ok(performance.now() - began < 10_000, `${name}: old code answers 10 s after a save`);
  }
}

/** From a save of the file that all read until all are built, and what the program computes for each. */
async function allBuilt() {
  const [times, busy] = [[], []];
  for (let round = 0; round < 5; round += 1) {
    version += 1;
    const before = computed(many.sst.child.pid);
    times.push(await built(/BUILT +perf\d*\/m\d+/g, MANY, () => write(path.join(many.app, "src/shared.ts"), shared(version))));
    busy.push((computed(many.sst.child.pid) - before) / MANY);
    assert.equal((await call(many.app, "m7")).v, version);
    await new Promise((resolve) => setTimeout(resolve, TYPING));
  }
  figures.times(`save → all ${MANY} built`, { [many.name]: times });
  figures.times("of that, computed by the program for each function", { [many.name]: busy });
}

async function built(pattern, count, save) {
  const from = many.sst.output.length;
  const began = performance.now();
  save();
  const found = () => many.sst.output.slice(from).match(pattern)?.length ?? 0;
  while (found() < count) await new Promise((resolve) => setTimeout(resolve, 5));
  return performance.now() - began;
}

/** Functions of one file, with packages of which a vendor bundle is made. */
async function builtAlike() {
  const text = Array.from({ length: ALIKE }, (_, number) => `export const h${number} = handler;\n`).join("");
  const save = () => write(path.join(many.app, "src/alike.ts"), alike((version += 1), text));
  for (let number = 0; number < ALIKE; number += 1) await call(many.app, `alike${number}`);
  const times = [];
  for (let round = 0; round < 8; round += 1) {
    times.push(await built(/BUILT +perf\d*\/alike\d+/g, ALIKE, save));
    assert.equal((await call(many.app, `alike${round}`)).v, version);
    await new Promise((resolve) => setTimeout(resolve, TYPING));
  }
  // The first ones make what later ones are quick by.
  figures.times(`save → all ${ALIKE} functions of one file built`, { [many.name]: times.slice(3) });
  const builders = processesOf(many.sst).children.filter((pid) => /builder\/main\.mjs|esbuild/.test(commandOf(pid)) && !/guard/.test(commandOf(pid)));
  figures.values("memory of the build process and esbuild then", "MB", { [many.name]: builders.reduce((sum, pid) => sum + proportional(pid), 0) });
}

async function throughput() {
  const calls = 3_000;
  const rates = {};
  for (let round = 0; round < 2; round += 1) {
    for (const { name, app } of sides) {
      let left = calls;
      const serve = async () => {
        const caller = new Caller(app);
        while (left-- > 0) await caller.call("m0");
        caller.end();
      };
      const began = performance.now();
      await Promise.all(Array.from({ length: 10 }, serve));
      // The first round makes what the second is quick by.
      rates[name] = calls / ((performance.now() - began) / 1_000);
    }
  }
  figures.values("calls a second, 10 at once", "", rates);
}

function memory(when) {
  figures.values(`memory of the program, ${when}`, "MB", Object.fromEntries(sides.map(({ name, sst }) => [name, resident(sst.child.pid)])));
}

function layOut({ app, functions, alike: others }) {
  write(path.join(app, "package.json"), `{ "name": "perf", "private": true, "type": "module" }\n`);
  write(path.join(app, "package-lock.json"), "{}");
  write(path.join(app, "sst.json"), `{ "name": "perf", "main": "stacks/index.js" }\n`);
  write(
    path.join(app, "stacks/index.js"),
    `import { Stack, Duration } from "aws-cdk-lib";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import { Runtime } from "aws-cdk-lib/aws-lambda";
export default function main(app) {
  const stacks = [];
  const stackOf = (number) => (stacks[number] ??= new Stack(app, number ? "perf" + number : "perf"));
  const node = (stack, id, entry, handler) =>
    new NodejsFunction(stack, id, { entry, handler, runtime: Runtime.NODEJS_20_X, timeout: Duration.seconds(20) });
  for (let n = 0; n < ${functions}; n += 1) node(stackOf(Math.floor(n / ${IN_A_STACK})), "m" + n, "src/many/h" + n + ".ts", "main");
  const last = ${others} && stackOf(stacks.length);
  for (let n = 0; n < ${others}; n += 1) node(last, "alike" + n, "src/alike.ts", "h" + n);
}
`,
  );
  for (const from of ["tests/fixtures", "tests/oracle/packages"]) link(path.join(repository, from, "node_modules"), path.join(app, "node_modules"));
  write(path.join(app, "src/shared.ts"), shared(0));
  write(path.join(app, "src/alike.ts"), alike(0, Array.from({ length: others }, (_, number) => `export const h${number} = handler;\n`).join("")));
  for (let number = 0; number < functions; number += 1) {
    const text = `import { shared } from "../shared";\nexport async function main() {\n  return { v: shared, number: ${number} };\n}\n`;
    write(path.join(app, `src/many/h${number}.ts`), text);
  }
}

// Side-by-side measurements of the whole loop in the local cloud: `make bench`. What counts are the ratios: each pair is measured in
// turns in one run, so that both sides meet the same machine.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { performance } from "node:perf_hooks";

import { Sst, clientOptions, copyApp, repository } from "../tests/e2e/support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { CreateFunctionCommand, GetFunctionCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const esbuild = createRequire(path.join(repository, "npm/package.json"))("esbuild");

const ROUNDS = Number(process.env.ROUNDS ?? 30);

const directory = copyApp("tests/fixtures/apps/events");
const began = performance.now();
const sst = await Sst.start(directory);
console.log(`start to listening, the local cloud and its bootstrap included: ${((performance.now() - began) / 1000).toFixed(1)} s`);
try {
  const lambda = new LambdaClient(clientOptions(sst));
  const live = sst.stackOutput("Functionecho");
  const twin = await deployTwin(lambda, live);
  await roundTrip(lambda, live, twin);
  for (const parallel of [1, 10]) await throughput(lambda, live, twin, parallel);
  await reload();
} finally {
  await sst.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}

/** The same handler, run on this machine through stub and relay, and run by the local cloud itself. */
async function roundTrip(lambda, live, twin) {
  const [ours, direct] = await inTurns(() => invoke(lambda, live), () => invoke(lambda, twin));
  report("one warm call", "through stub, WebSocket API and relay", ours, "the local cloud's own runtime", direct);
}

async function throughput(lambda, live, twin, parallel) {
  const burst = (name) => () => Promise.all(Array.from({ length: parallel }, () => invoke(lambda, name)));
  const [ours, direct] = await inTurns(burst(live), burst(twin), Math.ceil(ROUNDS / 3));
  report(`${parallel} calls at once`, "through stub, WebSocket API and relay", ours, "the local cloud's own runtime", direct);
}

/** From saving a file to the new code being built and its worker started, against doing the same from nothing. */
async function reload() {
  const url = sst.stackOutput("ApiEndpoint");
  const file = path.join(directory, "src/greeting.js");
  await (await fetch(`${url}/warm`)).text();
  let version = 0;
  const save = async () => {
    const from = sst.output.length;
    fs.writeFileSync(file, `export const greeting = () => "version ${++version}";\n`);
    await sst.waitFor(/BUILT +events\/Api-GET/, from);
    const answer = await (await fetch(`${url}/x`)).json();
    if (answer.greeting !== `version ${version}`) throw new Error(`old code answered: ${JSON.stringify(answer)}`);
  };
  const fromNothing = async () => {
    const outfile = path.join(directory, ".sst/bench.mjs");
    const entryPoints = [path.join(directory, "src/api.js")];
    await esbuild.build({ entryPoints, outfile, bundle: true, platform: "node", format: "esm", sourcemap: true, logLevel: "silent" });
    const child = spawn(process.execPath, ["--inspect=127.0.0.1:0", outfile], { stdio: "ignore" });
    await once(child, "exit");
  };
  const [ours, cold] = await inTurns(save, fromNothing);
  report("a saved file", "saved, built, reloaded, and called through the cloud", ours, "bundle and load it in a new process, nothing else", cold);
}

async function invoke(lambda, FunctionName) {
  const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: '{"a":1}' }));
  if (answer.FunctionError) throw new Error(Buffer.from(answer.Payload).toString());
}

/** Runs both in turns, after one round that does not count. Returns the times in milliseconds. */
async function inTurns(first, second, rounds = ROUNDS) {
  const times = [[], []];
  for (let round = -1; round < rounds; round++) {
    for (const [index, run] of [first, second].entries()) {
      const start = performance.now();
      await run();
      if (round >= 0) times[index].push(performance.now() - start);
    }
  }
  return times;
}

function report(what, ours, our, theirs, their) {
  const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
  const [a, b] = [median(our), median(their)];
  console.log(`${what}: ${(a / b).toFixed(2)} times (${ours}: ${a.toFixed(1)} ms; ${theirs}: ${b.toFixed(1)} ms; medians of ${our.length})`);
}

async function deployTwin(lambda, live) {
  const zip = path.join(directory, "twin.zip");
  const code = path.join(directory, "src/plain");
  execFileSync("python3", ["-m", "zipfile", "-c", zip, ...fs.readdirSync(code).map((name) => path.join(code, name))]);
  const { Configuration } = await lambda.send(new GetFunctionCommand({ FunctionName: live }));
  const settings = { FunctionName: "twin", Role: Configuration.Role, Runtime: "nodejs22.x", Handler: "outcomes.echo", Timeout: 20 };
  await lambda.send(new CreateFunctionCommand({ ...settings, Code: { ZipFile: fs.readFileSync(zip) } }));
  return settings.FunctionName;
}

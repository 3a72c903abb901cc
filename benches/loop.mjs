// Side-by-side measurements of the whole loop in the local cloud: `make bench`. What counts are the ratios: each pair is measured in
// turns in one run, so that both sides meet the same machine.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { performance } from "node:perf_hooks";

import { Sst, clientOptions, copyApp, repository } from "../tests/e2e/support/sst.mjs";
import { Figures, ROUNDS, inTurns } from "./support/figures.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { CreateFunctionCommand, GetFunctionCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const esbuild = createRequire(path.join(repository, "npm/package.json"))("esbuild");

const figures = new Figures("loop");
const LIVE = "through stub, WebSocket API and relay";
const DIRECT = "the local cloud's own runtime";

const directory = copyApp("tests/fixtures/apps/events");
const began = performance.now();
const sst = await Sst.start(directory);
figures.times("start to listening, the local cloud and its bootstrap included", { ours: [performance.now() - began] });
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
figures.save();

/** The same handler, run on this machine through stub and relay, and run by the local cloud itself. */
async function roundTrip(lambda, live, twin) {
  figures.times("one warm call", await inTurns({ [LIVE]: () => invoke(lambda, live), [DIRECT]: () => invoke(lambda, twin) }));
}

async function throughput(lambda, live, twin, parallel) {
  const burst = (name) => () => Promise.all(Array.from({ length: parallel }, () => invoke(lambda, name)));
  figures.times(`${parallel} calls at once`, await inTurns({ [LIVE]: burst(live), [DIRECT]: burst(twin) }, { rounds: Math.ceil(ROUNDS / 3) }));
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
  const sides = { "saved, built, reloaded, and called through the cloud": save, "bundle and load it in a new process, nothing else": fromNothing };
  figures.times("a saved file", await inTurns(sides));
}

async function invoke(lambda, FunctionName) {
  const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: '{"a":1}' }));
  if (answer.FunctionError) throw new Error(Buffer.from(answer.Payload).toString());
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

// Builds and runs cases both ways: as the CDK bundles them and plain Node runs them, and as `sst start` does.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Builds } from "../../src/builder/sidecar/builds.mjs";
import { RuntimeApi, start } from "../node-runner/support.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const repository = path.resolve(here, "../..");
const fixtures = path.join(repository, "tests/fixtures");
export const npm = path.join(repository, "npm");
const require = createRequire(import.meta.url);
const settingsOf = require("../../infra/synth/nodejs.cjs");

/** Cases that are built and run at the same time. */
const AT_A_TIME = 2;

/** Whatever their size, packages are to be in a vendor bundle. */
export const ALWAYS = 0;

/** A directory for all, from which the popular packages are found. */
export function workplace(test) {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "oracle-"));
  test.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  fs.symlinkSync(path.join(here, "packages/node_modules"), path.join(directory, "node_modules"));
  return directory;
}

/** Lays out a case in a directory of its own. Returns what both ways need to know of it. */
export function layOut(place, id, format, { files, links = {}, entry = "index.ts", options = {}, beside = [], provided }) {
  const directory = path.join(place, id);
  const all = { "package.json": "{}", "package-lock.json": "{}", ...files };
  for (const [file, text] of Object.entries(all)) write(path.join(directory, file), text);
  for (const [from, to] of Object.entries(links)) {
    fs.mkdirSync(path.dirname(path.join(directory, from)), { recursive: true });
    fs.symlinkSync(to, path.join(directory, from));
  }
  return { id, directory, entry, beside, provided, bundling: { ...options, format } };
}

export function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/**
 * What each case answers as the CDK bundles it: id → { result } or { error: [name, message] }, and what it has { written } to stdout and
 * stderr; or { failed: esbuild's message }.
 */
export async function deployed(place, cases) {
  const halves = [cases.filter((_, index) => index % 2 === 0), cases.filter((_, index) => index % 2 === 1)];
  const answers = await Promise.all(halves.map((half, index) => bundledByCdk(path.join(place, `cdk-${index}`), half)));
  const { bundles, failed } = { bundles: Object.assign({}, ...answers.map((one) => one.bundles)), failed: Object.assign({}, ...answers.map((one) => one.failed)) };
  const all = await sideBySide(cases, async ({ id, directory, beside }) => {
    if (failed[id]) return [id, { failed: failed[id] }];
    const bundle = bundles[id];
    for (const installed of beside) {
      const name = installed.slice(installed.indexOf("node_modules"));
      fs.cpSync(path.join(directory, installed), path.join(bundle, name), { recursive: true });
    }
    const file = ["index.mjs", "index.js"].map((name) => path.join(bundle, name)).find((name) => fs.existsSync(name));
    const env = { PATH: process.env.PATH, LAMBDA_TASK_ROOT: bundle };
    const answer = path.join(place, `${id}.answer.json`);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [path.join(here, "plain.mjs"), file, answer], { cwd: bundle, env });
    return [id, { ...JSON.parse(fs.readFileSync(answer, "utf8")), written: written(bundle, { stdout, stderr }) }];
  });
  return new Map(all);
}

async function bundledByCdk(place, cases) {
  const commands = path.join(place, "bin");
  // The library starts esbuild by way of `npx`, which takes longer than esbuild.
  const esbuild = require.resolve(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`, { paths: [fixtures] });
  write(path.join(commands, "npx"), `#!/bin/sh\nshift 2\nexec "${esbuild}" "$@"\n`);
  fs.chmodSync(path.join(commands, "npx"), 0o755);
  const [list, answers] = [path.join(place, "cases.json"), path.join(place, "answers.json")];
  write(list, JSON.stringify(cases));
  const environment = { ...process.env, CDK_VALIDATION: "false", PATH: `${commands}${path.delimiter}${process.env.PATH}` };
  const child = spawn(process.execPath, [path.join(here, "app.mjs"), list, answers, path.join(place, "out"), fixtures], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the app of the CDK failed:\n${errors}`);
  const { bundles, failed } = JSON.parse(fs.readFileSync(answers, "utf8"));
  for (const part of errors.split("\n@case ").slice(1)) {
    const id = part.slice(0, part.indexOf("\n"));
    if (id in failed) failed[id] = /\[ERROR\] (.*)/.exec(part)?.[1] ?? failed[id];
  }
  return { bundles, failed };
}

/** What the cases answer here: id → [first worker, a standby after a save], each as in {@link deployed}; and whether it was split. */
export async function live(cases) {
  const all = await sideBySide(cases, async (one) => {
    const builds = new Builds(one.directory, npm, ALWAYS);
    const first = await liveOnce(builds, one);
    await builds.settled(one.id);
    const entry = path.join(one.directory, one.entry);
    fs.appendFileSync(entry, "\n// saved\n");
    const second = await liveOnce(builds, one, { standby: true });
    builds.cool(one.id);
    return [one.id, { first, second }];
  });
  return new Map(all);
}

/** Builds a case and runs what was built: { result } or { error } or { failed }, and { built, isSplit }. */
export async function liveOnce(builds, one, { standby = false } = {}) {
  const { built, failed } = await builds.build(requestOf(one));
  if (failed) return { failed: failed.summary, detail: failed.detail };
  const directory = directoryOf(one);
  const isSplit = fs.readFileSync(path.join(directory, built.file), "utf8").includes("./vendor-");
  const provided = one.provided && path.join(one.directory, one.provided);
  const answer = await run(directory, `${built.file.replace(/\.\w+$/, "")}.handler`, standby ? built.packages : undefined, provided);
  return { ...answer, built, isSplit };
}

const directoryOf = ({ directory, place = "function" }) => path.join(directory, ".sst/artifacts", place);

/** What the sidecar is asked, by way of what is read off the construct. */
export function requestOf(one) {
  const before = process.cwd();
  process.chdir(one.directory);
  const { entry, root, bundling } = settingsOf({
    entry: path.join(one.directory, one.entry),
    projectRoot: one.directory,
    runtime: { name: "nodejs22.x" },
    ...one.bundling,
  });
  process.chdir(before);
  return { function: one.id, entry, root, bundling, directory: directoryOf(one), provided: "v3" };
}

/**
 * Calls a handler once; in a standby that has loaded `packages`, if there are any. Answers as in {@link deployed}, or that the process has
 * { ended } with what it has written.
 */
async function run(directory, handler, packages, provided) {
  const api = await new RuntimeApi().listen();
  const worker = start(api, handler, { root: directory, standby: packages !== undefined, packages, provided });
  let answer;
  try {
    if (packages) {
      assert.ok(await worker.prepare(), "a standby loads the packages");
      worker.assign();
    }
    api.deliver({});
    const posted = await Promise.race([api.post(), worker.closed.then(() => undefined)]);
    if (!posted) return { ended: worker.output() };
    const body = JSON.parse(posted.body);
    answer = posted.where.endsWith("/response") ? { result: body } : { error: [body.errorType, body.errorMessage] };
    // Node writes warnings in the turn after that in which they are made.
    await Promise.race([api.polled(), worker.closed]);
  } finally {
    worker.child.kill("SIGKILL");
    await worker.closed;
    api.close();
  }
  // All of it is there when the process has gone.
  return { ...answer, written: written(directory, worker.streams) };
}

/** Node's own lines about its inspector, which nobody gets to see: src/worker/output.rs. */
const OF_THE_INSPECTOR = /^(Debugger listening on ws:|For help, see: https:\/\/nodejs\.org\/).*\n/gm;

/** What a bundle has written, without what is another in each process, and how the files of a bundle are called. */
function written(bundle, { stdout, stderr }) {
  const files = new RegExp(`${bundle}/(index|vendor-\\w+)\\.[cm]?js(:\\d+)*`, "g");
  const normalised = (text) => text.replace(OF_THE_INSPECTOR, "").replace(/\(node:\d+\)/g, "(node)").replace(files, "<bundle>");
  return { stdout: normalised(stdout), stderr: normalised(stderr) };
}

async function sideBySide(items, work) {
  const results = [];
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, lane));
  return results;
}

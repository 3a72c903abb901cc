// Whenever and however `sst start` ends, it leaves nothing: no process, no socket, no temporary file.
//
// The moments are random; SST_SEED repeats those of an earlier run. A few are tried by default, all kinds of them in each language with
// SST_FAULTS=full (SST_FAULTS_MOMENTS says how many).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";

import { Hub } from "./support/dap.mjs";
import { Machine, waitUntil } from "./support/machine.mjs";
import { Sst, clientOptions, copyApp, extraArguments, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const CDP = require("chrome-remote-interface");

const full = process.env.SST_FAULTS === "full";
const seed = Number(process.env.SST_SEED ?? Math.floor(Math.random() * 1e9));
const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");

/** Numbers from 0 to 1 that only depend on the seed (mulberry32). */
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
}
const pick = (list) => list[Math.floor(random() * list.length)];

const FILES = { node: "node/index.js", python: "python/index.py", go: "go/main.go", rust: "rust/src/main.rs" };

/** Each brings a running `sst` to a moment that it may be in, and says how many milliseconds it lasts at least. */
const MOMENTS = {
  /** Workers, standbys and the local cloud run, and somebody who got away from a call. */
  idle: async (run) => {
    await run.listens();
    await run.call();
    await run.daemon();
    return 300;
  },
  /** A handler waits for a child of its own. */
  call: async (run) => {
    fs.writeFileSync(path.join(run.app, "hang"), "");
    await run.listens();
    run.call().catch(() => {});
    await run.daemon();
    return 300;
  },
  /** A compiler runs, with its children; in the other languages something was just saved. */
  build: async (run) => {
    const compiler = { go: "compile", rust: "build-script-bu" }[run.language];
    if (compiler) {
      await waitUntil(() => run.machine.names().includes(compiler), `${compiler} runs`, () => run.sst.output);
      return 1500;
    }
    await run.listens();
    fs.appendFileSync(path.join(run.app, FILES[run.language]), "\n");
    return 300;
  },
  /** `npm` or `pip` runs. */
  install: async (run) => {
    await run.sst.waitFor(/Installing /);
    return 3000;
  },
  deployment: async (run) => {
    await run.sst.waitFor(/Deploying the app/);
    return 3000;
  },
  debugger: async (run) => {
    await run.listens();
    await run.call();
    const { inspector, debugAdapter } = run.sst.session();
    if (run.language === "node") {
      const client = await CDP({ host: "127.0.0.1", port: Number(inspector.split(":")[1]), local: true });
      run.clients.push(() => client.close());
      await client.Debugger.enable();
    } else {
      const file = path.join(run.app, FILES[run.language]);
      const hub = await Hub.attach(Number(debugAdapter.split(":")[1]), new Map([[file, [1]]]));
      run.clients.push(() => hub.dap.vanish());
    }
    return 1500;
  },
};

const ENDINGS = {
  SIGKILL: (run) => run.sst.child.kill("SIGKILL"),
  "Ctrl-C": (run) => run.sst.child.kill("SIGINT"),
  "Ctrl-C twice": async (run) => {
    run.sst.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, random() * 300));
    run.sst.child.kill("SIGINT");
  },
};

/** A run of `sst start` that gets to a moment and ends. */
class Run {
  clients = [];

  constructor(moment, language, ending) {
    Object.assign(this, { moment, language, ending });
    this.base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-orphans-"));
    this.app = path.join(this.base, "app");
    fs.renameSync(copyApp("tests/fixtures/apps/orphans"), this.app);
    const made = (name) => {
      const directory = path.join(this.base, name);
      fs.mkdirSync(directory);
      return directory;
    };
    this.temporary = made("tmp");
    // What an earlier run has left that was killed together with all who could have removed it.
    made("tmp/sst-cloud-abandoned");
    fs.writeFileSync(path.join(this.temporary, "sst-cloud-abandoned/in-use.lock"), "");
    this.environment = { TMPDIR: this.temporary, ORPHANS_LANGUAGE: language, CARGO_TARGET_DIR: made("target") };
    if (moment === "build" && language === "go") this.environment.GOCACHE = made("go");
    if (moment === "build" && language === "rust") fs.writeFileSync(path.join(this.app, "rust/slow"), "");
    if (moment === "install") this.#nothingIsInstalled(made("cache"));
    if (moment === "debugger") {
      this.environment.PATH = `${target}/debuggers/bin:${process.env.PATH}`;
      this.environment.VIRTUAL_ENV = `${target}/debuggers/python`;
    }
  }

  /** Functions in Node and Python need a package that Lambda brings along; for the others it is the local cloud that is missing. */
  #nothingIsInstalled(cache) {
    this.environment.XDG_CACHE_HOME = cache;
    const needs = {
      node: 'require("@aws-sdk/client-kinesis");\n',
      python: "import boto3\n",
    }[this.language];
    if (!needs) return;
    const file = path.join(this.app, FILES[this.language]);
    fs.writeFileSync(file, needs + fs.readFileSync(file, "utf8"));
    const installed = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache"), "sst");
    fs.mkdirSync(path.join(cache, "sst"));
    for (const name of fs.readdirSync(installed).filter((name) => name.startsWith("ministack"))) {
      fs.symlinkSync(path.join(installed, name), path.join(cache, "sst", name));
    }
  }

  listens() {
    return this.sst.waitFor(/Listening for requests/);
  }

  call() {
    const lambda = new LambdaClient({ ...clientOptions(this.sst), maxAttempts: 1 });
    return lambda.send(new InvokeCommand({ FunctionName: this.sst.stackOutput("Name") }));
  }

  /** The process that a call has started and that wants to get away. */
  async daemon() {
    const file = path.join(this.app, "daemon");
    await waitUntil(() => fs.existsSync(file) && fs.statSync(file).size > 0, "a call runs", () => this.sst.output);
    this.machine.remember(Number(fs.readFileSync(file, "utf8")));
  }

  async toTheEnd() {
    this.sst = new Sst(this.app, ["start", "--local", ...extraArguments()], this.environment);
    this.machine = new Machine(this.sst.child.pid, this.base);
    try {
      const lasts = await MOMENTS[this.moment](this);
      await new Promise((resolve) => setTimeout(resolve, random() * lasts));
      this.machine.look();
      assert.ok(this.machine.count() > 0, "it has not ended by itself");
      await ENDINGS[this.ending](this);
      await this.sst.exited;
      if (this.ending === "Ctrl-C") assert.deepEqual(this.machine.left(), [], "an orderly end waits for all");
      // Whoever was killed ends in their own time.
      await waitUntil(() => this.machine.left().length === 0, () => `processes stay: ${this.machine.left().join("\n")}`, () => this.sst.output);
      assert.deepEqual(this.machine.sockets(), [], "nobody listens any more");
      assert.deepEqual(fs.readdirSync(this.temporary), [], "no temporary files stay");
    } finally {
      this.sst.child.kill("SIGKILL");
      this.clients.forEach((close) => close());
      this.machine.end();
      fs.rmSync(this.base, { recursive: true, force: true });
    }
  }
}

/** What is tried: the moment, the language, the ending. */
function plan() {
  if (!full) {
    const endings = Object.keys(ENDINGS).sort(() => random() - 0.5);
    const moments = [["build", pick(["go", "rust"])], ["call", pick(["node", "python"])], [pick(["deployment", "idle"]), "node"]];
    return moments.map(([moment, language], index) => [moment, language, endings[index]]);
  }
  const count = Number(process.env.SST_FAULTS_MOMENTS ?? 50);
  const moments = Array.from({ length: count }, (_, index) => Object.keys(MOMENTS)[index % Object.keys(MOMENTS).length]);
  const languages = Object.keys(FILES);
  return moments.flatMap((moment) => languages.flatMap((language) => Object.keys(ENDINGS).map((ending) => [moment, language, ending])));
}

describe(`orphans (SST_SEED=${seed})`, { skip: process.platform !== "linux", concurrency: 2 }, () => {
  if (full) {
    execFileSync(path.join(repository, "tests/debuggers/install.sh"), [path.join(target, "debuggers")], { stdio: ["ignore", "inherit", "inherit"] });
  }
  let ended = 0;
  const plans = plan();
  for (const [moment, language, ending] of plans) {
    test(`${moment}, ${language}, ${ending}`, async () => {
      await new Run(moment, language, ending).toTheEnd();
      ended += 1;
    });
  }
  after(() => console.log(`orphans: ${ended} of ${plans.length} ends leave 0 processes, 0 sockets, 0 temporary files (SST_SEED=${seed})`));
});

// Every block of shell lines in README, `docs/` and the examples, run as it stands, in the surroundings that it names: tests/docs/shell.mjs
// says which there are.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { blocksIn, documents, repository } from "../docs/shell.mjs";
import { STUBS, pack } from "../../npm/pack.mjs";
import { asAws, documentedApp } from "./support/documented.mjs";
import { Sst, binary, cargoTarget, endsWithTests, until, within } from "./support/sst.mjs";

/** How long a block may take to end, or to listen. Only a failing test waits that long. */
const PATIENCE = 420_000;

/** The stub, where `make` has built it. */
const stub = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "x86_64-unknown-linux-musl/stub/sst-stub");

const scratches = [];
function scratch() {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-shell-"));
  scratches.push(directory);
  // An answer that is an error is one for `curl`, too.
  fs.writeFileSync(path.join(directory, ".curlrc"), "fail\nsilent\nshow-error\n");
  return directory;
}

const withoutOurs = (variables) => {
  const { SST_BINARY, SST_NPM_ROOT, SST_STUB_BINARY, ...others } = variables;
  return others;
};

/** A running `sst start` in an app, which is AWS for what has none. */
let cloud;
const directories = [];
function app() {
  const directory = documentedApp();
  directories.push(directory);
  return directory;
}

/** Directory and variables of each of the surroundings, for the blocks of one document. */
const PREPARE = {
  // What users have who have built it. The tests' own build will do, whichever packages it was made of.
  checkout: () => ({ cwd: repository, env: { ...withoutOurs(process.env), MAKEFLAGS: "PACKAGES=--workspace" } }),
  example: (file) => {
    const root = scratch();
    fs.cpSync(path.join(repository, "npm"), path.join(root, "npm"), { recursive: true, verbatimSymlinks: true });
    const cwd = path.join(root, path.dirname(file));
    const keep = (name) => !/\/(node_modules|\.sst)(\/|$)/.test(name);
    fs.cpSync(path.join(repository, path.dirname(file)), cwd, { recursive: true, filter: keep });
    // What functions in Rust depend on is compiled by `make`.
    const compiled = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "functions");
    const env = { ...withoutOurs(process.env), SST_BINARY: binary() };
    if (!fs.existsSync(path.join(cwd, "services/rust")) || !fs.existsSync(compiled)) return { cwd, env };
    fs.mkdirSync(cargoTarget(cwd), { recursive: true, mode: 0o700 });
    fs.cpSync(fs.realpathSync(compiled), cargoTarget(cwd), { recursive: true, preserveTimestamps: true });
    return { cwd, env: { ...env, CARGO_TARGET_DIR: cargoTarget(cwd) } };
  },
  beside: () => {
    const root = scratch();
    const [cwd, programs] = [path.join(root, "my-app"), path.join(root, "programs")];
    fs.mkdirSync(cwd);
    // As `make package` does it, but with the program that is tested in the place of that of a release.
    for (const part of ["stubs", "linux-x64"]) fs.mkdirSync(path.join(programs, part), { recursive: true });
    fs.writeFileSync(path.join(programs, "THIRD-PARTY-NOTICES.txt"), "");
    for (const name of STUBS) fs.copyFileSync(process.env.SST_STUB_BINARY ?? stub, path.join(programs, "stubs", name));
    fs.writeFileSync(path.join(programs, "linux-x64/sst"), `#!/bin/sh\nexec '${binary()}' "$@"\n`);
    pack(["main", "stubs", "linux-x64"], { programs, out: path.join(root, "sst/target/packages") });
    return { cwd, env: withoutOurs(process.env) };
  },
  project: () => ({ cwd: app(), env: asAws(cloud) }),
  session: () => ({ cwd: cloud.directory, env: asAws(cloud) }),
};

/** A block that runs. */
class Block {
  output = "";

  constructor({ lines }, { cwd, env }) {
    const variables = { ...env, NO_COLOR: "1", CURL_HOME: scratches[0], npm_config_user_agent: "" };
    // A group of its own, as a terminal makes one, so that Ctrl-C reaches all of it.
    this.child = spawn("bash", ["-e", "-c", lines.join("\n")], { cwd, env: variables, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    endsWithTests(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) stream.setEncoding("utf8").on("data", (text) => (this.output += text));
    this.closed = new Promise((resolve) => this.child.once("close", (code) => resolve((this.code = code))));
  }

  /** Whether it goes on, as something that listens does. */
  async goesOn() {
    const listens = () => this.code !== undefined || /Listening for requests \(/.test(this.output);
    await until(() => `the end of the block, or its listening:\n${this.output}`, listens, PATIENCE);
    if (this.code === undefined) return true;
    assert.equal(this.code, 0, this.output);
    return false;
  }

  /** What Ctrl-C does. */
  async stop() {
    if (this.code === undefined) process.kill(-this.child.pid, "SIGINT");
    await within(60_000, `the end:\n${this.output}`, this.closed);
  }
}

/** The blocks of each document with the same surroundings. What several documents have in common is run for the first of them. */
function groups() {
  const all = new Map();
  for (const file of documents()) {
    const ofFile = blocksIn(file).filter(({ run }) => run);
    for (const run of new Set(ofFile.map((block) => block.run))) {
      const blocks = ofFile.filter((block) => block.run === run);
      const place = run === "example" ? path.dirname(file) : "";
      const key = JSON.stringify([run, place, blocks.map(({ lines }) => lines)]);
      if (!all.has(key)) all.set(key, { run, file, blocks });
    }
  }
  return [...all.values()];
}

/** When the app of those documents that have one of their own is nobody's. */
let turn = Promise.resolve();

describe("lines of the documentation", { concurrency: 2 }, () => {
  before(async () => {
    scratch();
    const missing = ["jq", "aws"].filter((tool) => !process.env.PATH.split(":").some((directory) => fs.existsSync(path.join(directory, tool))));
    const packages = missing.map((tool) => (tool === "aws" ? "awscli" : tool));
    if (packages.length > 0) execFileSync(path.join(repository, "tests/apt-install.sh"), packages, { stdio: ["ignore", "inherit", "inherit"] });
    // On a stage of its own: no line asks whether to replace its stubs, or is refused.
    cloud = await Sst.start(app(), ["--stage", "docs"]);
  });
  after(async () => {
    await cloud?.stop();
    for (const one of [...scratches, ...directories]) fs.rmSync(one, { recursive: true, force: true });
  });

  test("there are some of each kind, and one group in the checkout, where one session can run", () => {
    const kinds = groups().map(({ run }) => run);
    assert.deepEqual([...new Set(kinds)].sort(), Object.keys(PREPARE).sort());
    assert.equal(kinds.filter((run) => run === "checkout").length, 1);
  });

  for (const { run, file, blocks } of groups()) {
    test(`${file}: ${run}`, async () => {
      // They are copies of one app, in one cloud, and mostly on one stage.
      const before = turn;
      let over;
      if (run === "project") turn = new Promise((resolve) => (over = resolve));
      if (run === "project") await before;
      const serving = [];
      try {
        const surroundings = PREPARE[run](file);
        for (const block of blocks) {
          // Each of those is an app's first start.
          const own = run === "project" ? PREPARE.project() : surroundings;
          const running = new Block(block, own);
          serving.push(running);
          await running.goesOn().catch((error) => assert.fail(`${block.file}:${block.line}: ${error.message}`));
          if (run === "project") await running.stop();
        }
      } finally {
        for (const one of serving.reverse()) await one.stop();
        over?.();
      }
      for (const one of serving) if (/Listening/.test(one.output)) assert.match(one.output, /Stopped/);
    });
  }
});

// A machine that has no debugger: a debugger that attaches all the same costs no call, and the terminal says what to install.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Hub } from "./support/dap.mjs";
import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** Links to all programs in the PATH but debuggers. */
function programsWithoutDebuggers(directory) {
  fs.mkdirSync(directory);
  for (const place of process.env.PATH.split(":").filter(Boolean)) {
    for (const name of fs.existsSync(place) ? fs.readdirSync(place) : []) {
      const link = path.join(directory, name);
      // The first in the PATH wins.
      if (!/^(dlv|lldb|gdb)/.test(name) && !fs.existsSync(link)) fs.symlinkSync(path.join(place, name), link);
    }
  }
  return directory;
}

describe("without debuggers", () => {
  let directory;
  let home;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/languages");
    home = fs.mkdtempSync(path.join(os.tmpdir(), "sst-home-"));
    // Compilers keep their caches; VS Code's extension for Python, which brings a debugger, is in a home.
    const go = (name) => execFileSync("go", ["env", name], { encoding: "utf8" }).trim();
    const variables = {
      HOME: home,
      XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache"),
      CARGO_HOME: process.env.CARGO_HOME ?? path.join(os.homedir(), ".cargo"),
      RUSTUP_HOME: process.env.RUSTUP_HOME ?? path.join(os.homedir(), ".rustup"),
      GOPATH: go("GOPATH"),
      GOCACHE: go("GOCACHE"),
      PATH: programsWithoutDebuggers(path.join(home, "bin")),
      VIRTUAL_ENV: path.join(home, "python"),
    };
    execFileSync("python3", ["-m", "venv", "--without-pip", variables.VIRTUAL_ENV]);
    sst = await Sst.start(directory, [], variables);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    for (const made of [directory, home]) fs.rmSync(made, { recursive: true, force: true });
  });

  for (const [id, warning] of [
    ["Python", /warning: `languages\/Python` cannot be debugged: its Python has no debugpy: `\S+ -m pip install debugpy`/],
    ["Go", /warning: `languages\/Go` cannot be debugged: `dlv` is not in the PATH: `go install \S+dlv@latest`/],
    ["Rust", /warning: `languages\/Rust` cannot be debugged: .*lldb-dap.*/],
  ]) {
    test(`${id} answers, and the terminal says what is missing`, async () => {
      const hub = await Hub.attach(Number(sst.session().debugAdapter.split(":")[1]), new Map());
      try {
        const Payload = JSON.stringify({ value: "x" });
        for (let round = 0; round < 2; round += 1) {
          const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${id}`), Payload }));
          assert.deepEqual(JSON.parse(Buffer.from(answer.Payload)), { value: "x", language: id.toLowerCase() });
        }
        await sst.waitFor(warning);
      } finally {
        hub.dap.vanish();
      }
    });
  }
});

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import test from "node:test";

const here = import.meta.dirname;
const launcher = path.join(here, "../bin/sst.mjs");
const native = path.join(here, "support/native.mjs");
const env = { ...process.env, SST_BINARY: native, SST_NPM_ROOT: "" };

function run(args, options = {}) {
  return spawnSync(process.execPath, [launcher, ...args], { encoding: "utf8", timeout: 20_000, env, ...options });
}

test("passes the arguments on, one by one", () => {
  const args = ["--stage", "my stage", "", 'a"b', "$HOME", "*"];
  const result = run(["arguments", ...args]);
  assert.deepEqual(JSON.parse(result.stdout), args);
  assert.equal(result.status, 0);
});

test("ends with the exit code of the native program", () => {
  assert.equal(run(["exit", "42"]).status, 42);
});

for (const signal of ["SIGTERM", "SIGINT", "SIGKILL", "SIGSEGV"]) {
  test(`ends with ${signal} when the native program did`, () => {
    assert.equal(run(["die", signal]).signal, signal);
  });
}

test("connects the native program's stdin and stdout", () => {
  const input = "line one\nline two\n";
  assert.equal(run(["echo"], { input }).stdout, input);
});

test("says from where esbuild resolves", () => {
  assert.equal(run(["tools"]).stdout.trim(), path.dirname(here));
});

for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"]) {
  test(`forwards ${signal}, and outlives it`, { timeout: 20_000 }, async () => {
    const child = spawn(process.execPath, [launcher, "signals"], { env, stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const lines = lineReader(child.stdout);
    assert.equal(await lines.next(), "ready");
    child.kill(signal);
    assert.equal(await lines.next(), `got ${signal} 1`);
    child.stdin.write("end\n");
    assert.deepEqual(await ended, [7, null]);
  });
}

test("does not repeat the Ctrl-C of a terminal", { timeout: 20_000 }, () => {
  const result = spawnSync("python3", [path.join(here, "support/terminal.py"), process.execPath, launcher, "signals"], {
    encoding: "utf8",
    env,
  });
  assert.ifError(result.error);
  assert.equal(result.status, 7, result.stderr);
  assert.match(result.stdout, /got SIGINT 1/);
  assert.doesNotMatch(result.stdout, /got SIGINT 2/);
});

test("runs in a checkout what was built there last", (t) => {
  const repository = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-checkout-"));
  t.after(() => fs.rmSync(repository, { recursive: true, force: true }));
  const npmRoot = path.dirname(path.dirname(launcher));
  for (const part of ["bin", "lib", "package.json"]) fs.cpSync(path.join(npmRoot, part), path.join(repository, "npm", part), { recursive: true });
  const options = { encoding: "utf8", env: { ...env, SST_BINARY: "", CARGO_TARGET_DIR: "" } };
  const start = () => spawnSync(process.execPath, [path.join(repository, "npm/bin/sst.mjs")], options);
  assert.match(start().stderr, /is a checkout without a program/);
  fs.writeFileSync(path.join(repository, "Cargo.toml"), "");
  for (const [profile, seconds] of [["debug", 1], ["release", 2]]) {
    const program = path.join(repository, "target", profile, "sst");
    fs.mkdirSync(path.dirname(program), { recursive: true });
    fs.writeFileSync(program, `#!/bin/sh\necho ${profile}\n`, { mode: 0o755 });
    fs.utimesSync(program, seconds, seconds);
    assert.equal(start().stdout, `${profile}\n`);
  }
});

test("says what to do when the native program is missing", () => {
  const result = run(["start"], { env: { ...env, SST_BINARY: "/nowhere/sst" } });
  assert.equal(result.status, 3);
  assert.match(result.stderr, /^error: `SST_BINARY` names `\/nowhere\/sst`, which does not exist/);
});

test("says what to do when the native program does not run here", () => {
  const result = run(["start"], { env: { ...env, SST_BINARY: path.join(here, "support/terminal.py") } });
  assert.equal(result.status, 3);
  assert.match(result.stderr, /cannot run `.*terminal\.py`.*EACCES[^]*hint: /);
});

/** Reads a stream line by line. */
function lineReader(stream) {
  const lines = stream.setEncoding("utf8");
  let rest = "";
  const iterator = lines[Symbol.asyncIterator]();
  return {
    async next() {
      while (!rest.includes("\n")) {
        const { value, done } = await iterator.next();
        if (done) throw new Error(`the output ended after ${JSON.stringify(rest)}`);
        rest += value;
      }
      const end = rest.indexOf("\n");
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      return line;
    },
  };
}

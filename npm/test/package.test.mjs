// Installs the package into a scratch project with npm itself. Dependencies come from npm's cache or its registry.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import test from "node:test";

const packageRoot = path.dirname(import.meta.dirname);

/** A copy of the package with a program in the place of the native one, as `make` would put it there. */
function packageWithNative(t) {
  const directory = scratch(t);
  for (const name of ["package.json", "package-lock.json", ".npmrc", "bin"]) {
    fs.cpSync(path.join(packageRoot, name), path.join(directory, name), { recursive: true });
  }
  fs.mkdirSync(path.join(directory, "native"));
  fs.copyFileSync(path.join(packageRoot, "test/support/native.mjs"), path.join(directory, "native/sst"));
  for (const stub of ["sst-stub", "sst-stub-arm64"]) fs.writeFileSync(path.join(directory, "native", stub), "");
  // The stand-in is a module without an extension.
  fs.writeFileSync(path.join(directory, "native/package.json"), '{ "type": "module" }');
  return directory;
}

function scratch(t) {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "sst-npm-")));
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function npm(directory, ...args) {
  const result = spawnSync("npm", [...args, "--no-audit", "--no-fund", "--ignore-scripts"], {
    cwd: directory,
    encoding: "utf8",
    timeout: 240_000,
  });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

function project(t) {
  const directory = scratch(t);
  fs.writeFileSync(path.join(directory, "package.json"), '{ "name": "scratch", "private": true }');
  return directory;
}

function runInstalled(directory, ...args) {
  const env = { ...process.env, SST_BINARY: "", SST_NPM_ROOT: "" };
  const command = path.join(directory, "node_modules/.bin/sst");
  return spawnSync(command, args, { cwd: directory, encoding: "utf8", env, timeout: 20_000 });
}

test("the packed tarball installs a working `sst`", { timeout: 300_000 }, (t) => {
  const source = packageWithNative(t);
  const [{ filename, files }] = JSON.parse(npm(source, "pack", "--json"));
  const names = files.map((file) => file.path);
  for (const name of ["bin/sst.mjs", "native/sst", "native/sst-stub", "native/sst-stub-arm64"]) assert.ok(names.includes(name), name);

  const directory = project(t);
  npm(directory, "install", path.join(source, filename));
  assert.deepEqual(JSON.parse(runInstalled(directory, "arguments", "a b").stdout), ["a b"]);
  const tools = runInstalled(directory, "tools").stdout.trim();
  assert.equal(tools, path.join(directory, "node_modules/sst"));
  assert.ok(fs.existsSync(path.join(directory, "node_modules/esbuild/package.json")));
  assert.ok(fs.existsSync(path.join(directory, "node_modules/aws-cdk/package.json")));
});

test("installing the directory links a working `sst`", { timeout: 300_000 }, (t) => {
  const source = packageWithNative(t);
  npm(source, "ci");
  const directory = project(t);
  npm(directory, "install", source);
  assert.equal(runInstalled(directory, "exit", "9").status, 9);
  assert.equal(runInstalled(directory, "tools").stdout.trim(), source);
});

test("without the native program it says what to do", { timeout: 300_000 }, (t) => {
  const source = packageWithNative(t);
  fs.rmSync(path.join(source, "native/sst"));
  const directory = project(t);
  npm(directory, "install", source);
  const result = runInstalled(directory, "start");
  assert.equal(result.status, 3);
  assert.match(result.stderr, /^error: the native program is missing: `[^`]*native\/sst`\nhint: /);
});

#!/usr/bin/env node
// Runs the native program that was installed with this package, as if it had been called itself: same terminal, same arguments, same
// signals, same exit code.

import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import process from "node:process";

import { nativeProgram, packageRoot, stubVariables } from "../lib/installed.mjs";

/** The exit code for a tool that is missing; the native program uses the same. */
const EXIT_ENVIRONMENT = 3;
/** In a terminal these reach every process of the foreground group, hence the native program without our help. */
const TERMINAL_SIGNALS = ["SIGINT", "SIGQUIT"];
const SIGNALS = [...TERMINAL_SIGNALS, "SIGTERM", "SIGHUP"];

const binary = findBinary();
const child = spawn(binary, process.argv.slice(2), {
  // The last one is a line on which nothing is ever said: its end tells the native program that this one is gone, also when it was killed.
  stdio: ["inherit", "inherit", "inherit", "pipe"],
  env: {
    // What is set already was set by somebody who works on `sst` itself.
    ...stubVariables(),
    ...process.env,
    SST_NPM_ROOT: process.env.SST_NPM_ROOT || findToolsRoot(),
    SST_LAUNCHER: `3:${process.pid}`,
  },
});
child.stdio[3]?.on("error", () => {}).unref();

for (const signal of SIGNALS) {
  // With a listener this process outlives the signal, and ends with the native program, which has to clean up.
  process.on(signal, () => {
    if (!(TERMINAL_SIGNALS.includes(signal) && inTerminal())) child.kill(signal);
  });
}

child.on("error", (error) => {
  if (error.code === "ENOEXEC" || error.code === "EACCES") {
    fail(`cannot run \`${binary}\` on ${process.platform} ${process.arch}: ${error.code}`, "build `sst` on this machine");
  }
  fail(`cannot run \`${binary}\`: ${error.message}`);
});

child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  // Whoever started this process is to see the same end. Some signals cannot be raised again; those become an exit code.
  for (const name of SIGNALS) process.removeAllListeners(name);
  process.kill(process.pid, signal);
  setTimeout(() => process.exit(128 + os.constants.signals[signal]), 1000);
});

function findBinary() {
  const chosen = process.env.SST_BINARY;
  if (chosen) {
    if (!fs.existsSync(chosen)) fail(`\`SST_BINARY\` names \`${chosen}\`, which does not exist`);
    return path.resolve(chosen);
  }
  const { program, missing } = nativeProgram();
  if (!missing) return program;
  const built = findBuilt();
  if (!built) fail(missing);
  return built;
}

/** In a checkout, what was built there last. */
function findBuilt() {
  const repository = path.dirname(packageRoot);
  if (!fs.existsSync(path.join(repository, "Cargo.toml"))) return undefined;
  const target = process.env.CARGO_TARGET_DIR || path.join(repository, "target");
  const built = ["release", "debug"].map((profile) => path.join(target, profile, "sst")).filter((file) => fs.existsSync(file));
  const age = (file) => -fs.statSync(file).mtimeMs;
  return built.sort((one, other) => age(one) - age(other))[0];
}

/** The directory from which esbuild resolves: this package, or the project it is linked into. */
function findToolsRoot() {
  const resolves = (directory) => {
    try {
      createRequire(path.join(directory, "package.json")).resolve("esbuild");
      return true;
    } catch {
      return false;
    }
  };
  return [packageRoot, process.cwd()].find(resolves) ?? packageRoot;
}

function inTerminal() {
  return process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
}

function fail(message, hint) {
  process.stderr.write(`error: ${message}\n${hint ? `hint: ${hint}\n` : ""}`);
  process.exit(EXIT_ENVIRONMENT);
}

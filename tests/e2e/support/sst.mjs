// Runs the real `sst start --local` on a copy of an app, as a user would, and reads what it prints.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const fixtures = path.join(repository, "tests/fixtures");

/** How long anything that a test waits for may take. Only a failing test waits that long. */
const PATIENCE_MS = 180_000;

/** The program under test: $SST_BINARY, or what `cargo build` made. */
export function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");
  return process.env.SST_BINARY ?? path.join(target, "debug/sst");
}

/** What functions in Rust depend on, compiled by `make`. */
const compiled = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "functions");

/** Where the functions in Rust of an app's copy are compiled: nobody else waits for it, or takes a program in it for its own. */
export const cargoTarget = (directory) => path.join(directory, ".sst/cargo");

/** Copies an app into a directory of its own, where the test may change files. */
export function copyApp(source, modules = path.join(fixtures, "node_modules"), parent = os.tmpdir()) {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(parent), "sst-e2e-"));
  const keep = (file) => !/\/(node_modules|\.sst|cdk\.out)(\/|$)/.test(file);
  fs.cpSync(path.resolve(repository, source), directory, { recursive: true, filter: keep });
  const isCargo = fs.readdirSync(directory, { recursive: true }).some((file) => path.basename(file) === "Cargo.toml");
  if (isCargo) {
    fs.mkdirSync(cargoTarget(directory), { recursive: true, mode: 0o700 });
    if (fs.existsSync(compiled)) fs.cpSync(compiled, cargoTarget(directory), { recursive: true, preserveTimestamps: true });
  }
  if (modules) fs.symlinkSync(modules, path.join(directory, "node_modules"));
  return directory;
}

/** Writes a file of an app. */
export function writeInto(directory, file, text) {
  fs.mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
  fs.writeFileSync(path.join(directory, file), text);
}

/** Runs a command in an app to its end: its exit code, and all that it says. */
export async function runIn(directory, args, env = {}) {
  const command = new Sst(directory, args, env);
  const { code } = await command.exited;
  await command.closed;
  return { code, said: command.output };
}

/** A cache directory of its own, in which only the local cloud is installed. */
export function onlyLocalCloud() {
  const cache = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-cache-"));
  fs.mkdirSync(path.join(cache, "sst"));
  for (const one of localClouds()) fs.symlinkSync(one, path.join(cache, "sst", path.basename(one)));
  return cache;
}

/** Where the local cloud is installed, in each release of it. */
export function localClouds() {
  const usual = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache"), "sst");
  const installed = fs.existsSync(usual) ? fs.readdirSync(usual) : [];
  const isComplete = (name) => name.startsWith("ministack") && fs.existsSync(path.join(usual, name, "complete"));
  return installed.filter(isComplete).map((name) => path.join(usual, name));
}

/** Whether the system lets programs have mounts of their own, as another program finds: then functions see `/opt`. */
export const canMount = () => spawnSync("unshare", ["-rm", "sh", "-c", "mount -t tmpfs none /tmp"]).status === 0;

const programs = new Set();
process.once("exit", () => programs.forEach((program) => program.kill("SIGKILL")));
// The test runner ends a file that takes too long.
process.once("SIGTERM", () => process.exit(143));

/** Has a program end with the file of tests, however that ends. */
export function endsWithTests(program) {
  programs.add(program);
  program.once("exit", () => programs.delete(program));
  return program;
}

/** An app that `sst` serves, whoever started it. */
export class App {
  constructor(directory) {
    this.directory = directory;
  }

  /** What `.sst/session.json` says. */
  session() {
    return JSON.parse(fs.readFileSync(path.join(this.directory, ".sst/session.json"), "utf8"));
  }

  /** One output of the app's only stack. */
  stackOutput(name) {
    const stacks = Object.values(this.session().outputs);
    const found = stacks.map((outputs) => outputs[name]).find((value) => value !== undefined);
    if (found === undefined) throw new Error(`no stack output ${name}: ${JSON.stringify(stacks)}`);
    return found;
  }
}

/** A program that runs, and everything it has printed. */
export class Sst extends App {
  output = "";
  #waiting = new Set();

  /**
   * `terminal` runs it in a pseudo-terminal of so many columns and rows, in which one can type. `prefix` is what its command line
   * begins with. With `unread` nobody reads what it prints, until `read` is called. With `typed` one can type where there is no terminal.
   */
  constructor(directory, args, env = {}, { terminal, prefix = [], unread = false, typed = false } = {}) {
    super(directory);
    const own = fs.existsSync(cargoTarget(directory)) ? { CARGO_TARGET_DIR: cargoTarget(directory) } : {};
    const variables = { ...process.env, SST_NPM_ROOT: path.join(repository, "npm"), NO_COLOR: "1", ...own, ...env };
    for (const name of Object.keys(variables)) if (variables[name] === undefined) delete variables[name];
    const command = [...prefix, binary(), ...args];
    if (terminal) command.unshift("python3", path.join(repository, "tests/e2e/support/terminal.py"), ...terminal.map(String));
    const stdio = [terminal || typed ? "pipe" : "ignore", "pipe", "pipe"];
    this.child = endsWithTests(spawn(command[0], command.slice(1), { cwd: directory, env: variables, stdio }));
    this.exited = once(this.child, "exit").then(([code, signal]) => ({ code, signal }));
    // The exit may be observed before the last of the output, the end of the pipes may not.
    this.closed = once(this.child, "close");
    if (!unread) this.read();
    this.closed.then(() => this.#waiting.forEach((check) => check(true)));
  }

  /** Reads what it prints. */
  read() {
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output += text;
        if (process.env.SST_E2E_SHOW) process.stderr.write(text);
        for (const check of this.#waiting) check();
      });
    }
  }

  /** Starts the app and waits until it listens. */
  static async start(directory, args = [], env = {}, options = {}) {
    const sst = new Sst(directory, ["start", "--local", ...extraArguments(), ...args], env, options);
    await sst.waitFor(/Listening for requests/);
    return sst;
  }

  /** Types into its terminal. */
  type(text) {
    this.child.stdin.write(text);
  }

  /** Waits until the output, from position `from` on, matches. */
  waitFor(pattern, from = 0) {
    return new Promise((resolve, reject) => {
      const finish = (action, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        action(value);
      };
      const check = (ended) => {
        const match = pattern.exec(this.output.slice(from));
        if (match) finish(resolve, match);
        else if (ended) finish(reject, new Error(`ended before ${pattern} was printed:\n${this.output}`));
      };
      const timer = setTimeout(() => finish(reject, new Error(`${pattern} was not printed:\n${this.output}`)), PATIENCE_MS);
      this.#waiting.add(check);
      check(false);
    });
  }

  /** Ends it as Ctrl-C does and waits until it is gone. */
  async stop(signal = "SIGINT") {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    let stuck = false;
    const timer = setTimeout(() => (stuck = this.child.kill("SIGKILL")), 60_000);
    const exit = await this.exited;
    clearTimeout(timer);
    await this.closed;
    if (stuck) throw new Error(`it did not end:\n${this.output}`);
    return exit;
  }
}

/** Arguments for the whole suite, e.g. `--enforce-iam`. */
export function extraArguments() {
  return (process.env.SST_E2E_ARGUMENTS ?? "").split(" ").filter(Boolean);
}

/** The options of an AWS SDK client for the local cloud of a running `sst`. */
export function clientOptions(sst) {
  const { endpoint, region } = sst.session();
  return { endpoint, region, credentials: { accessKeyId: "test", secretAccessKey: "test" } };
}

/** Calls a function as `sst invoke` does. */
export async function call({ control, token }, name, event) {
  const answer = await api({ control, token }, `functions/${encodeURIComponent(name)}/invoke`, { method: "POST", body: JSON.stringify(event) });
  return answer.json();
}

/** Asks a session's API. */
export function api({ control, token }, path, { headers, ...options } = {}) {
  return fetch(`http://${control}/api/v1/${path}`, { ...options, headers: { authorization: `Bearer ${token}`, ...headers } });
}

/** Has an app's debuggers attach at ports that no other program takes while it is restarted, as if it had run at these before. */
export async function ownPorts(directory) {
  const first = await until("three free ports", async () => {
    const port = 10_000 + Math.floor(Math.random() * 5_000);
    const free = await Promise.all([port, port + 1, port + 2].map(isFree));
    return free.every(Boolean) && port;
  });
  fs.mkdirSync(path.join(directory, ".sst"), { recursive: true, mode: 0o700 });
  fs.writeFileSync(path.join(directory, ".sst/inspector-dev"), [first, first + 1, first + 2].join(" "));
}

/** A port that no program listens at. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Waits until `holds` returns something true, and returns that. For what can only be looked at; `what` names it. */
export async function until(what, holds, patience = PATIENCE_MS) {
  for (const end = Date.now() + patience; ; ) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`after ${patience / 1000} s there was still not ${typeof what === "function" ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a promise gives, which must be within some time. */
export async function within(patience, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`after ${patience / 1000} s there was still not ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until no process of an app is left: one that was killed ends in its own time. */
export async function gone(directory) {
  let left = [];
  await until(() => `the end of ${left}`, () => (left = processesOf(directory)).length === 0, 20_000);
}

/** The processes whose environment or command line shows that they belong to an app's directory. Linux only. */
export function processesOf(directory) {
  const found = [];
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const text = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8") + fs.readFileSync(`/proc/${pid}/environ`, "utf8");
      const state = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop()[0];
      if (Number(pid) !== process.pid && state !== "Z" && text.includes(directory)) found.push(Number(pid));
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

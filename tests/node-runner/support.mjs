// A Runtime API as Lambda has it, and the real runner as its client.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
export const handlers = path.join(here, "handlers");
const usualRunner = path.resolve(here, "../../runners/node/runner.mjs");

/** Serves one event and collects what the runner posts. */
export class RuntimeApi {
  posts = [];
  polls = [];
  #waiting = [];
  #deliveries = [];

  async listen() {
    this.server = http.createServer((request, response) => this.#answer(request, response)).listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.address = `127.0.0.1:${this.server.address().port}`;
    return this;
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Gives the runner an event, once it asks. */
  deliver(event, headers = {}) {
    this.#deliveries.push({ event, headers });
    this.#hand();
  }

  /** The next thing that the runner posts. */
  async post() {
    while (this.posts.length === 0) await new Promise((resolve) => this.#waiting.push(resolve));
    return this.posts.shift();
  }

  /** Ends when the runner asks for an event that there is not. */
  async polled() {
    while (this.polls.length === 0) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  #changed() {
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #hand() {
    while (this.polls.length > 0 && this.#deliveries.length > 0) {
      const response = this.polls.shift();
      const { event, headers } = this.#deliveries.shift();
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "request-1",
        "Lambda-Runtime-Deadline-Ms": String(Date.now() + 30_000),
        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:f",
        ...headers,
      });
      response.end(JSON.stringify(event));
    }
  }

  #answer(request, response) {
    const where = request.url.replace("/2018-06-01/runtime/", "");
    if (where === "invocation/next") {
      this.runnerHeader = request.headers["sst-runner"];
      this.polls.push(response);
      this.#hand();
      return this.#changed();
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      response.writeHead(202, { "Content-Type": "application/json" }).end('{"status":"OK"}');
      const body = Buffer.concat(chunks).toString();
      this.posts.push({ where, headers: request.headers, trailers: request.trailers, body, output: this.output?.() });
      this.#changed();
    });
  }
}

/** The environment of a function. */
export const variables = (api, more) => ({
  PATH: process.env.PATH,
  AWS_LAMBDA_RUNTIME_API: api.address,
  AWS_LAMBDA_FUNCTION_NAME: "f",
  AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "256",
  AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/f",
  AWS_LAMBDA_LOG_STREAM_NAME: "stream",
  AWS_EXECUTION_ENV: "AWS_Lambda_nodejs22.x",
  LAMBDA_TASK_ROOT: handlers,
  ...more,
});

/**
 * Starts the runner for a handler; with `standby`, as a process that is told later.
 *
 * @param {object} [options]
 * @param {string} [options.root] the task root
 * @param {string} [options.provided] the directory with provided packages
 * @param {object} [options.more] more of the function's environment
 * @param {[string, string][]} [options.packages] what a standby of the function loads ahead; without them it is nobody's
 * @param {string} [options.node] another Node than that of the tests
 * @param {string} [options.runner] a copy of the runner
 */
export function start(api, handler, options = {}) {
  const { standby = false, root = handlers, provided, more, packages, node = process.execPath, runner = usualRunner } = options;
  const environment = variables(api, { LAMBDA_TASK_ROOT: root, ...more });
  const told = provided === undefined ? {} : { SST_PROVIDED: provided };
  const own = standby ? { SST_STANDBY: "3" } : { SST_HANDLER: handler, SST_LIFELINE: "3", ...told };
  const bare = standby && !packages;
  const env = bare ? { PATH: process.env.PATH, ...own } : { ...environment, ...own };
  const cwd = bare ? path.dirname(runner) : root;
  const child = spawn(node, ["--inspect=127.0.0.1:0", runner], { env, cwd, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let output = "";
  const streams = { stdout: "", stderr: "" };
  for (const name of Object.keys(streams)) {
    child[name].setEncoding("utf8").on("data", (text) => {
      output += text;
      streams[name] += text;
    });
  }
  api.output = () => output;
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const tell = (message) => child.stdio[3].write(`${JSON.stringify(message)}\n`);
  // What the standby says to have read; nothing when it has ended instead.
  const prepare = async () => {
    tell({ prepare: { taskRoot: root, handler, provided, packages } });
    const pipe = child.stdio[3].setEncoding("utf8");
    let said = "";
    while (!said.endsWith("\n")) {
      const [text] = await Promise.race([once(pipe, "data"), once(pipe, "close")]);
      if (typeof text !== "string") return undefined;
      said += text;
    }
    return JSON.parse(said).read;
  };
  const assign = () => {
    const assignment = { taskRoot: root, handler, runtimeApi: api.address, provided };
    tell({ assign: bare ? { environment, ...assignment } : assignment });
  };
  return { child, exited, prepare, assign, output: () => output, streams, closed: once(child, "close") };
}

/** Runs a handler once, as a test; returns what was posted. The options are those of {@link start}. */
export async function runOnce(test, handler, event, options) {
  const api = await new RuntimeApi().listen();
  const worker = start(api, handler, options);
  test.after(async () => {
    worker.child.kill("SIGKILL");
    await worker.exited;
    api.close();
  });
  if (options.packages) await worker.prepare();
  if (options.standby) worker.assign();
  api.deliver(event);
  const ended = worker.exited.then((exit) => assert.fail(`ended with ${JSON.stringify(exit)}: ${worker.output()}`));
  ended.catch(() => {});
  const { where, body } = await Promise.race([api.post(), ended]);
  return { where, body: JSON.parse(body) };
}

/** Files in a temporary directory, which is removed after the test; a file's content may be an object for JSON. */
export function tree(test, files) {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "node-runner-"));
  test.after(() => fs.rmSync(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  }
  return directory;
}

/** Another Node than that of the tests, of version 22. */
export function otherNode() {
  return path.join(realPackages(), `node-${process.platform}-${process.arch}`, "bin/node");
}

/** The directory `node_modules` with the real packages of packages/package.json, which are installed if need be. */
export function realPackages() {
  const directory = path.join(here, "packages");
  if (!fs.existsSync(path.join(directory, "node_modules", ".package-lock.json"))) {
    const options = ["--no-audit", "--no-fund", "--ignore-scripts"];
    execFileSync("npm", ["ci", ...options], { cwd: directory, stdio: "inherit" });
  }
  return path.join(directory, "node_modules");
}

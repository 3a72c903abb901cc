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
const runner = path.resolve(here, "../../runners/node/runner.mjs");

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
      return this.#hand();
    }
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      response.writeHead(202, { "Content-Type": "application/json" }).end('{"status":"OK"}');
      const body = Buffer.concat(chunks).toString();
      this.posts.push({ where, headers: request.headers, trailers: request.trailers, body, output: this.output?.() });
      this.#waiting.splice(0).forEach((resolve) => resolve());
    });
  }
}

const variables = (api, more) => ({
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
 * @param {object} [options.early] more of the environment that a standby is started with
 * @param {object} [options.preload] what a standby is told before the assignment
 */
export function start(api, handler, { standby = false, root = handlers, provided, more, early, preload } = {}) {
  const environment = variables(api, { LAMBDA_TASK_ROOT: root, ...more });
  const told = provided === undefined ? {} : { SST_PROVIDED: provided };
  const own = standby ? { SST_STANDBY: "3" } : { SST_HANDLER: handler, SST_LIFELINE: "3", ...told };
  const env = standby ? { PATH: process.env.PATH, ...early, ...own } : { ...environment, ...own };
  const child = spawn(process.execPath, ["--inspect=127.0.0.1:0", runner], { env, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  api.output = () => output;
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const assign = () => {
    const assignment = { environment, taskRoot: root, handler, runtimeApi: api.address, provided };
    child.stdio[3].write(`${JSON.stringify(preload ?? { preload: [["node:url", handlers]] })}\n`);
    child.stdio[3].write(`${JSON.stringify({ assign: assignment })}\n`);
  };
  return { child, exited, assign, output: () => output, closed: once(child, "close") };
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

/** The directory `node_modules` with the real packages of packages/package.json, which are installed if need be. */
export function realPackages() {
  const directory = path.join(here, "packages");
  if (!fs.existsSync(path.join(directory, "node_modules", ".package-lock.json"))) {
    const options = ["--no-audit", "--no-fund", "--ignore-scripts"];
    execFileSync("npm", ["ci", ...options], { cwd: directory, stdio: "inherit" });
  }
  return path.join(directory, "node_modules");
}

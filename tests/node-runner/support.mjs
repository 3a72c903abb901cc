// A Runtime API as Lambda has it, and the real runner as its client.

import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
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

/** Starts the runner for a handler; with `standby`, as a process that is told later. */
export function start(api, handler, { standby = false } = {}) {
  const own = standby ? { SST_STANDBY: "3" } : { SST_HANDLER: handler, SST_LIFELINE: "3" };
  const env = standby ? { PATH: process.env.PATH, ...own } : variables(api, own);
  const child = spawn(process.execPath, ["--inspect=127.0.0.1:0", runner], { env, stdio: ["ignore", "pipe", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  api.output = () => output;
  const exited = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const assign = () => {
    const assignment = { environment: variables(api), taskRoot: handlers, handler, runtimeApi: api.address };
    child.stdio[3].write(`${JSON.stringify({ preload: [["node:url", handlers]] })}\n`);
    child.stdio[3].write(`${JSON.stringify({ assign: assignment })}\n`);
  };
  return { child, exited, assign, output: () => output, closed: once(child, "close") };
}

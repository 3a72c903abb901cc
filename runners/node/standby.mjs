// A worker that is started before it is needed, so that a function is ready within milliseconds. The process that started it writes
// lines of JSON into a pipe:
//
//   {"prepare": {"taskRoot": "…", "handler": "…", "packages": [["package", "/directory/that/imports/it"], …], "provided": "…"}}
//       when it was started with exactly the environment and in the directory of the worker that it will become. It loads the
//       packages and answers {"read": ["/path", …]} with the paths that have decided what was loaded. Whatever fails meanwhile ends
//       the process: the function is then told by a worker that does the same by itself.
//   {"assign": {"taskRoot": "…", "handler": "…", "runtimeApi": "127.0.0.1:1234", "provided": "…", "environment": {…}}}
//       once. From then on this is an ordinary worker, and the pipe its lifeline. The environment is missing where it is there.
//
// `provided` is optional: the directory with what Lambda's runtime would bring along. The end of the pipe before an assignment ends the
// process.

import { createServer } from "node:net";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

// Loaded for the function, which most likely needs them.
import "node:crypto";
import "node:fs/promises";
import "node:https";
import "node:stream/promises";
import "node:util";
import "node:zlib";

import { loadHandler } from "./handler.mjs";
import { loadAhead } from "./load-ahead.mjs";
import { endWith, openPipe } from "./pipe.mjs";
import { RuntimeApi } from "./runtime-api.mjs";
import { handlerRunner, prepare, serve } from "./serve.mjs";

const DIRECTORY = fileURLToPath(new URL(".", import.meta.url));

/** Often enough for the JavaScript engine to have seen the common path. */
const WARM_UP_INVOCATIONS = 5;

/**
 * Waits for a function and serves it.
 *
 * @param {number} descriptor the file descriptor of the pipe's reading end
 */
export async function standBy(descriptor) {
  const pipe = openPipe(descriptor);
  const end = () => process.exit(0);
  pipe.once("close", end);

  // A standby that could not warm up is slower, not wrong.
  await warmUp().catch(() => {});

  let prepared;
  readLines(pipe, (line) => {
    const { prepare: preparation, assign } = JSON.parse(line);
    if (preparation) {
      prepared = prepare({ ...preparation, runtimeApi: process.env.AWS_LAMBDA_RUNTIME_API }, giveUp);
      if (prepared.error) {
        giveUp();
      }
      loadAhead(preparation).then((read) => pipe.write(`${JSON.stringify({ read })}\n`), giveUp);
    }
    if (assign) {
      pipe.removeListener("close", end);
      endWith(pipe);
      if (assign.environment) {
        replaceEnvironment(assign.environment);
      }
      serve(prepared ?? prepare(assign), assign);
    }
  });
}

/** Ends a process that nobody has seen yet, with whatever it has begun. */
function giveUp() {
  process.kill(process.pid, "SIGKILL");
}

/** Makes `process.env` equal to `environment`, in place, because code may hold on to the object. */
function replaceEnvironment(environment) {
  for (const name of Object.keys(process.env)) {
    if (!(name in environment)) {
      delete process.env[name];
    }
  }
  for (const [name, value] of Object.entries(environment)) {
    if (process.env[name] !== value) {
      process.env[name] = value;
    }
  }
}

/** Loads handlers and runs them against a Runtime API of its own, so that everything is compiled and optimised. */
async function warmUp() {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (request) => {
      const isNext = request.subarray(0, 3).toString() === "GET";
      const [status, body] = isNext ? ["200 OK", '{"warm":"up"}'] : ["202 Accepted", '{"status":"OK"}'];
      const head = isNext ? "Lambda-Runtime-Aws-Request-Id: warm-up\r\nLambda-Runtime-Deadline-Ms: 0\r\n" : "";
      socket.write(`HTTP/1.1 ${status}\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`);
    });
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const api = new RuntimeApi(`127.0.0.1:${server.address().port}`);
  const ways = [
    ["warm-up-common.handler", "classic"],
    ["warm-up-common.callback", "classic"],
    ["warm-up-module.handler", "classic"],
    ["warm-up-module.handler", "modern"],
  ];
  for (const [name, kind] of ways) {
    const run = handlerRunner(api, await loadHandler(DIRECTORY, name, kind), kind);
    for (let count = 0; count < WARM_UP_INVOCATIONS; count += 1) {
      const { headers, body } = await api.next();
      await run({ id: headers.get("lambda-runtime-aws-request-id"), headers, body });
    }
  }
  api.close();
  await new Promise((resolve) => server.close(resolve));

  // Node loads these when they are first touched.
  void globalThis.Response;
  void pathToFileURL(DIRECTORY);
  // Nothing of this is to be seen by the function.
  const { cache } = createRequire(import.meta.url);
  delete cache[path.join(DIRECTORY, "warm-up-common.cjs")];
}

function readLines(pipe, take) {
  let rest = "";
  pipe.setEncoding("utf8");
  pipe.on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    lines.filter(Boolean).forEach(take);
  });
}

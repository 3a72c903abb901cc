// A worker that is started before anyone knows which function it will serve, so that a function is ready within
// milliseconds. The process that started it writes lines of JSON into a pipe:
//
//   {"preload": [["package", "/directory/that/imports/it"], …], "environment": {…}, "provided": "…/node_modules"}
//       any number of times. The environment is optional: packages that read variables while they are loaded should find
//       those of the function they are loaded for. So is the directory with what Lambda's runtime would bring along: a
//       package that was loaded without something that it imports is not loaded once more for the function.
//   {"assign": {"environment": {…}, "taskRoot": "…", "handler": "…", "runtimeApi": "127.0.0.1:1234", "provided": "…"}}
//       once. From then on this is an ordinary worker, and the pipe its lifeline. The last member is optional, too.
//
// The end of the pipe before an assignment ends the process.

import { createServer } from "node:net";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";

// Loaded for the function, which most likely needs them.
import "node:crypto";
import "node:fs/promises";
import "node:https";
import "node:stream/promises";
import "node:util";
import "node:zlib";

import { useEndpoint } from "./endpoint.mjs";
import { loadHandler } from "./handler.mjs";
import { endWith, openPipe } from "./pipe.mjs";
import { provide } from "./provided.mjs";
import { RuntimeApi } from "./runtime-api.mjs";
import { handlerRunner, serve } from "./serve.mjs";

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

  // A package that fails in the background while nobody uses it yet: the function it was loaded for is told, as it would
  // have been had it loaded the package itself.
  let failure;
  const remember = (error) => (failure ??= error);
  process.on("uncaughtException", remember);
  process.on("unhandledRejection", remember);

  // A standby that could not warm up is slower, not wrong.
  await warmUp().catch(() => {});

  useEndpoint();
  const packages = [];
  let loading = false;
  const loadNext = () => {
    loading = packages.length > 0;
    if (loading) {
      preload(...packages.shift());
      // One at a time, so that an assignment need not wait for all of them.
      setImmediate(loadNext);
    }
  };

  readLines(pipe, (line) => {
    const message = JSON.parse(line);
    if (message.environment) {
      replaceEnvironment(message.environment);
      useEndpoint();
    }
    if (message.provided) {
      provide(message.provided);
    }
    if (message.preload) {
      packages.push(...message.preload);
      if (!loading) {
        loadNext();
      }
    }
    if (message.assign) {
      packages.length = 0;
      process.removeListener("uncaughtException", remember);
      process.removeListener("unhandledRejection", remember);
      pipe.removeListener("close", end);
      endWith(pipe);
      const { environment, ...assignment } = message.assign;
      replaceEnvironment(environment);
      serve(assignment, failure);
    }
  });
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

/** Loads a package as a module in `directory` would, by `require` and by `import`. Failures are the function's business. */
function preload(name, directory) {
  // The file need not exist: it says where from packages are resolved.
  const importer = path.join(directory, "preload.js");
  try {
    createRequire(importer)(name);
  } catch {
    // Not to be had by `require`.
  }
  const importModuleDynamically = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  if (importModuleDynamically !== undefined) {
    const importFrom = new vm.Script("(name) => import(name)", { filename: importer, importModuleDynamically });
    importFrom.runInThisContext()(name).catch(() => {});
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
  delete globalThis.awslambda;
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

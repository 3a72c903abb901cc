// Serves one function until the process ends.

import { createRequire } from "node:module";

import { applyToEnvironment } from "./context.mjs";
import { useEndpoint } from "./endpoint.mjs";
import { describe, errorBody, unhandledRejection } from "./errors.mjs";
import { defineGlobal, loadHandler, runtimeKind } from "./handler.mjs";
import { invokeClassic, invokeModern, invokeStreaming } from "./invocations.mjs";
import { belongTo, logError, setUpConsole } from "./logs.mjs";
import { provide } from "./provided.mjs";
import { RuntimeApi } from "./runtime-api.mjs";
import { ResponseStreams } from "./streaming.mjs";

/** How long an error may take to be posted before the process ends without that. In milliseconds. */
const LAST_WORDS = 5_000;

/**
 * How long vscode-js-debug is given for the breakpoints in files with source maps. It lets a process go on a few milliseconds before
 * it sets them, and says nothing when it has. In milliseconds, once per process and only under that debugger.
 */
const BREAKPOINTS_TAKE = 500;

// Lambda's exit codes for what ends the process.
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;

/**
 * Does what comes before anything of a function is loaded. The environment is that of the function.
 *
 * @param {{runtimeApi: string, taskRoot: string, handler: string, provided?: string | null}} assignment `runtimeApi` is
 *   `host:port`, `provided` a directory `node_modules` with what Lambda's runtime would bring along
 * @param {(error: unknown) => void} [onFatal] is told of what would end the process, rather than the Runtime API
 * @returns {object} for {@link serve}
 */
export function prepare({ runtimeApi, taskRoot, handler: name, provided }, onFatal) {
  if (!runtimeApi) {
    endWith("AWS_LAMBDA_RUNTIME_API is not set; it is the `host:port` of the Lambda Runtime API");
  }
  const api = new RuntimeApi(runtimeApi);
  const kind = runtimeKind();
  setUpConsole(kind);
  const life = { invocation: undefined, ending: false, onFatal };
  watchForFatalErrors(api, life, kind);
  const unfinished = () => {
    console.error(`\`${name}\` never finishes loading: an \`await\` at the top level of its module waits for ever`);
    process.exitCode = 13;
  };
  process.once("beforeExit", unfinished);
  // Whom a debugger follows from the beginning it follows until the end.
  const followed = process.env.SST_BOOTLOADER !== undefined;
  const prepared = { api, kind, life, unfinished, followed, letDebuggerIn: debuggerToFollow() };
  try {
    process.chdir(taskRoot);
    useEndpoint();
    if (provided) {
      provide(provided);
    }
    defineGlobal();
  } catch (error) {
    prepared.error = error;
  }
  return prepared;
}

/**
 * Loads the handler and runs it for every invocation.
 *
 * @param {object} prepared what {@link prepare} has returned
 * @param {{runtimeApi: string, taskRoot: string, handler: string}} assignment
 * @returns {Promise<never>}
 */
export async function serve(prepared, { runtimeApi, taskRoot, handler: name }) {
  const { api, kind, life, unfinished, followed, letDebuggerIn } = prepared;
  life.onFatal = undefined;
  // The connection is made while the function's code is being loaded.
  api.open();
  let handler;
  try {
    if (prepared.error !== undefined) {
      throw prepared.error;
    }
    handler = await loadHandler(taskRoot, name, kind);
    await letDebuggerIn();
  } catch (error) {
    await fatal(api, life, error, kind === "classic" ? EXIT_UNCAUGHT_EXCEPTION : 1);
    return;
  }
  process.removeListener("beforeExit", unfinished);

  const run = handlerRunner(api, handler, kind);
  try {
    await serveInvocations(api, life, run, followed);
  } catch (error) {
    if (!life.ending) {
      endWith(`the Runtime API at ${runtimeApi} failed: ${describe(error)}`);
    }
  }
}

/**
 * A debugger that follows child processes does so with a script that is loaded into them, which waits until the breakpoints are
 * set. They are set reliably when the function's scripts are there already.
 *
 * @returns {() => Promise<void>}
 */
function debuggerToFollow() {
  const { SST_BOOTLOADER: bootloader, SST_DEBUGGEE: name, NODE_OPTIONS: options = "" } = process.env;
  delete process.env.SST_DEBUGGEE;
  if (!bootloader) {
    return async () => {};
  }
  delete process.env.SST_BOOTLOADER;
  // For what the function itself starts.
  if (!options.includes(bootloader)) {
    process.env.NODE_OPTIONS = `--require "${bootloader}" --inspect-publish-uid=http ${options}`;
  }
  return async () => {
    // Editors call the process by its script's name, which is the same for all functions, so it gets another one for the moment.
    const [, script] = process.argv;
    process.argv[1] = name ?? script;
    try {
      // Returns when the debugger has said that the process may go on.
      createRequire(import.meta.url)(bootloader);
    } finally {
      process.argv[1] = script;
    }
    await new Promise((resolve) => setTimeout(resolve, BREAKPOINTS_TAKE));
  };
}

/**
 * How invocations of a handler are run.
 *
 * @returns {(invocation: import("./invocations.mjs").Invocation) => Promise<void>}
 */
export function handlerRunner(api, handler, kind) {
  if (handler.streaming) {
    const streams = new ResponseStreams(api.endpoint, handler.highWaterMark);
    return stoppable(handler, (invocation) => invokeStreaming(streams, handler, invocation, kind));
  }
  const invoke = kind === "classic" ? invokeClassic : invokeModern;
  return stoppable(handler, (invocation) => invoke(api, handler, invocation));
}

/** Has debuggers stop at the handler's first line in the invocations that want that. */
function stoppable(handler, run) {
  return async (invocation) => {
    if (!invocation.stops) {
      return run(invocation);
    }
    const { stopAtFirstLine } = await import("./first-line.mjs");
    const takeBack = stopAtFirstLine(handler.run);
    try {
      await run(invocation);
    } finally {
      takeBack();
    }
  };
}

async function serveInvocations(api, life, run, followed) {
  for (;;) {
    const { headers, body } = await api.next();
    const id = headers.get("lambda-runtime-aws-request-id");
    life.invocation = id;
    belongTo(headers);
    applyToEnvironment(headers);
    const [debugged, stops] = [followed || headers.has("sst-debugged"), headers.has("sst-stops")];
    await run({ id, headers, body, debugged, stops });
    if (life.ending) {
      return;
    }
  }
}

function watchForFatalErrors(api, life, kind) {
  // From `nodejs24.x` on, Lambda leaves both to Node, which prints the error and ends with code 1.
  if (kind === "classic") {
    process.on("uncaughtException", (error) => fatal(api, life, error, EXIT_UNCAUGHT_EXCEPTION));
    process.on("unhandledRejection", (reason, promise) =>
      fatal(api, life, unhandledRejection(reason, promise), EXIT_UNHANDLED_REJECTION),
    );
  }
}

/** Reports an error that ends the process, to the current invocation if there is one, and ends the process. */
async function fatal(api, life, error, code) {
  if (life.ending) {
    return;
  }
  if (life.onFatal) {
    life.onFatal(error);
    return;
  }
  life.ending = true;
  const isLogged = logError(error);
  const post = life.invocation === undefined ? api.failInit(error) : api.fail(life.invocation, error);
  const timeOut = new Promise((resolve) => setTimeout(resolve, LAST_WORDS));
  const status = await Promise.race([post.catch(() => undefined), timeOut]);
  if (status !== 202 && !isLogged) {
    // The invocation was answered before, so that nobody else would ever show this error.
    const { errorType, errorMessage, trace } = errorBody(error);
    console.error(trace?.length > 0 ? trace.join("\n") : `${errorType}: ${errorMessage}`);
  }
  process.exit(code);
}

function endWith(message) {
  console.error(`sst: ${message}`);
  process.exit(1);
}

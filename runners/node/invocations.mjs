// Runs a handler for one invocation and answers it.
//
// Lambda has two sets of rules. Up to `nodejs22.x` ("classic") a handler may return a promise, call a callback, or use
// `context.succeed`, and an answer given to the callback waits until the event loop is empty. From `nodejs24.x` on ("modern")
// a handler returns its result or a promise of it.

import { contextData } from "./context.mjs";
import { errorBody, neverSettled, runtimeError } from "./errors.mjs";
import { logError } from "./logs.mjs";
import { canRunOpenly, runOpenly } from "./uncaught.mjs";

/** A result of at most this many bytes is accepted by Lambda. */
const LARGEST_RESULT = 6 * 1024 * 1024 + 100;

let whenEventLoopIsEmpty;
process.on("beforeExit", () => whenEventLoopIsEmpty?.());

/**
 * @typedef {object} Invocation
 * @property {string} id the request id
 * @property {Map<string, string>} headers of `/invocation/next`
 * @property {string} body the event, as JSON
 * @property {boolean} [debugged] whether a debugger is there, which may want to stop at what the handler does not catch
 * @property {boolean} [stops] whether debuggers are to stop at the handler's first line
 */

/**
 * Runs a handler by the rules up to `nodejs22.x`.
 *
 * @param {import("./runtime-api.mjs").RuntimeApi} api
 * @param {{run: Function, isAsync: boolean}} handler
 * @param {Invocation} invocation
 * @returns {Promise<void>} settles when the next invocation may be asked for
 */
export function invokeClassic(api, handler, { id, headers, body, debugged }) {
  return new Promise((settled, apiFailed) => {
    let answered = false;
    const answer = (post) => {
      whenEventLoopIsEmpty = undefined;
      answered = true;
      post().then(settled, apiFailed);
    };
    const succeedNow = (result) => {
      const json = serialize(result, "classic");
      answer(() => postResult(api, id, json));
    };
    const fail = (error) => {
      logError(error);
      answer(() => api.fail(id, error));
    };

    let waitsForEmptyEventLoop = true;
    // Only the first report counts, unless it threw: then the handler still has to report something.
    let reported = false;
    const report = (action) => {
      if (answered) {
        console.error(`request ${id} was answered before; what its handler reports now is dropped`);
      } else if (!reported) {
        action();
        reported = true;
      }
    };
    const done = (error, result) => report(() => (isNothing(error) ? succeedNow(result) : fail(error)));
    const callback = (error, result) =>
      report(() => {
        if (!isNothing(error)) {
          fail(error);
        } else if (waitsForEmptyEventLoop) {
          whenEventLoopIsEmpty = () => {
            whenEventLoopIsEmpty = undefined;
            setImmediate(succeedNow, result);
          };
        } else {
          succeedNow(result);
        }
      });
    const succeed = (result) => done(null, result);
    const failWith = (error) => done(isNothing(error) ? "handled" : error);
    const context = {
      get callbackWaitsForEmptyEventLoop() {
        return waitsForEmptyEventLoop;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waitsForEmptyEventLoop = value;
      },
      succeed,
      fail: failWith,
      done,
    };

    // Nothing was reported and nothing is left that could report. A promise that cannot settle is a mistake; a plain
    // function that calls nothing back has done its work.
    whenEventLoopIsEmpty = () => (handler.isAsync ? fail(neverSettled()) : answer(() => api.respond(id, "null")));
    try {
      const event = JSON.parse(body);
      Object.assign(context, contextData(headers));
      if (debugged && canRunOpenly()) {
        const take = { threw: callback, returned() {}, resolved: succeed, rejected: failWith };
        const report = ([how, value]) => take[how](value);
        runOpenly(() => handler.run(event, context, callback)).then(report).catch(failWith);
        return;
      }
      const result = handler.run(event, context, callback);
      if (isPromise(result)) {
        result.then(succeed, failWith).catch(failWith);
      }
    } catch (error) {
      callback(error);
    }
  });
}

/**
 * Runs a handler by the rules from `nodejs24.x` on.
 *
 * @param {import("./runtime-api.mjs").RuntimeApi} api
 * @param {{run: Function}} handler
 * @param {Invocation} invocation
 * @returns {Promise<void>} settles when the next invocation may be asked for
 */
export async function invokeModern(api, handler, { id, headers, body, debugged }) {
  const fail = async (error) => {
    await turnOfEventLoop();
    logError(error);
    await api.fail(id, error);
  };
  let json;
  try {
    const [event, context] = [JSON.parse(body), modernContext(headers)];
    const run = () => handler.run(event, context);
    let result;
    if (debugged && canRunOpenly()) {
      const [how, value] = await runOpenly(run);
      if (how === "threw" || how === "rejected") {
        // Not thrown once more: a debugger would stop at that, too.
        return fail(value);
      }
      result = value;
    } else {
      result = await run();
    }
    json = serialize(result, "modern");
  } catch (error) {
    return fail(error);
  }
  // A rejection that nobody handles ends the process before the answer goes out, as it does on Lambda.
  await turnOfEventLoop();
  await postResult(api, id, json);
}

/**
 * Runs a handler that streams its response.
 *
 * @param {import("./streaming.mjs").ResponseStreams} streams
 * @param {{run: Function}} handler
 * @param {Invocation} invocation
 * @param {"classic" | "modern"} kind
 * @returns {Promise<void>} settles when the next invocation may be asked for
 */
export async function invokeStreaming(streams, handler, { id, headers, body, debugged }, kind) {
  const { stream, done, fail: endWith } = streams.begin(id);
  const fail = (error) => {
    logError(error);
    return endWith(error);
  };
  const eventLoop = kind === "classic" ? emptyEventLoop() : undefined;
  try {
    const context = kind === "classic" ? Object.assign(eventLoop.context, contextData(headers)) : modernContext(headers);
    const event = JSON.parse(body);
    const run = () => handler.run(event, stream, context);
    const notAsync = () => asError("Streaming does not support non-async handlers.", kind);
    let outcome;
    if (debugged && canRunOpenly()) {
      outcome = runOpenly(run);
    } else {
      const result = run();
      if (!isPromise(result)) {
        throw notAsync();
      }
      outcome = Promise.resolve(result).then((value) => ["resolved", value]);
    }
    let failure;
    const settled = outcome.then(async ([how, value]) => {
      if (how !== "resolved") {
        failure = { error: how === "returned" ? notAsync() : value };
        return;
      }
      if (value !== undefined) {
        console.warn("Streaming handlers ignore return values.");
      }
      await done;
    });
    // With the response out, a handler whose promise can never settle must not keep the next invocation waiting.
    await (eventLoop ? Promise.race([settled, eventLoop.empty]) : settled);
    if (failure !== undefined) {
      await fail(failure.error);
    } else if (!stream.writableFinished) {
      throw asError("Response stream is not finished.", kind);
    }
  } catch (error) {
    await fail(error);
  }
  await eventLoop?.wait();
}

/** What the older of the two clients throws is only text. */
function asError(message, kind) {
  return kind === "classic" ? message : new Error(message);
}

function emptyEventLoop() {
  let waits = true;
  const empty = new Promise((resolve) => {
    whenEventLoopIsEmpty = () => {
      whenEventLoopIsEmpty = undefined;
      setImmediate(resolve);
    };
  });
  return {
    empty,
    wait: () => (waits ? empty : undefined),
    context: {
      get callbackWaitsForEmptyEventLoop() {
        return waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        waits = value;
      },
    },
  };
}

function modernContext(headers) {
  return { ...contextData(headers), xRayTraceId: headers.get("lambda-runtime-trace-id") };
}

async function postResult(api, id, json) {
  const size = Buffer.byteLength(json);
  let status;
  try {
    status = await api.respond(id, json);
  } catch (error) {
    // A server that refuses a large body may close the connection before its answer is read.
    if (size <= LARGEST_RESULT || !["ECONNRESET", "EPIPE"].includes(error.code)) {
      throw error;
    }
    status = 413;
  }
  if (status === 413) {
    const limit = `exceeded maximum allowed payload size (${LARGEST_RESULT} bytes).`;
    const error = new Error(`Response payload size (${size} bytes) ${limit}`);
    error.name = "Function.ResponseSizeTooLarge";
    await api.fail(id, error, { ...errorBody(error), trace: [] });
  }
}

function serialize(result, kind) {
  let json;
  try {
    json = JSON.stringify(result === undefined ? null : result);
  } catch {
    const message = "Unable to stringify response body";
    const name = "Runtime.JSONStringifyError";
    throw kind === "classic" ? new Error(message) : Object.assign(runtimeError("JSONStringifyError", message), { name });
  }
  if (json === undefined) {
    // A function or a symbol. Lambda's client stumbles over it with just these words.
    throw new TypeError("Wrong arguments");
  }
  return json;
}

function isNothing(value) {
  return value === undefined || value === null;
}

function isPromise(value) {
  return Boolean(value) && typeof value.then === "function";
}

function turnOfEventLoop() {
  return new Promise((resolve) => setImmediate(resolve));
}

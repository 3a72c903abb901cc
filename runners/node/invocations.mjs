// Runs a handler for one invocation and answers it.
//
// Lambda has two sets of rules. Up to `nodejs22.x` ("classic") a handler may return a promise, call a callback, or use
// `context.succeed`, and an answer given to the callback waits until the event loop is empty. From `nodejs24.x` on ("modern")
// a handler returns its result or a promise of it.

import { contextData } from "./context.mjs";
import { errorBody, neverSettled, runtimeError } from "./errors.mjs";

/** A result of at most this many bytes is accepted by Lambda. */
const LARGEST_RESULT = 6 * 1024 * 1024 + 100;

let whenEventLoopIsEmpty;
process.on("beforeExit", () => whenEventLoopIsEmpty?.());

/**
 * @typedef {object} Invocation
 * @property {string} id the request id
 * @property {Map<string, string>} headers of `/invocation/next`
 * @property {string} body the event, as JSON
 */

/**
 * Runs a handler by the rules up to `nodejs22.x`.
 *
 * @param {import("./runtime-api.mjs").RuntimeApi} api
 * @param {{run: Function, isAsync: boolean}} handler
 * @param {Invocation} invocation
 * @returns {Promise<void>} settles when the next invocation may be asked for
 */
export function invokeClassic(api, handler, { id, headers, body }) {
  return new Promise((settled, apiFailed) => {
    let answered = false;
    const answer = (post) => {
      whenEventLoopIsEmpty = undefined;
      answered = true;
      post().then(settled, apiFailed);
    };
    const succeedNow = (result) => {
      const json = serialize(result, "Error");
      answer(() => postResult(api, id, json));
    };
    const fail = (error) => answer(() => api.fail(id, error));

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
    whenEventLoopIsEmpty = () => answer(() => (handler.isAsync ? api.fail(id, neverSettled()) : api.respond(id, "null")));
    try {
      const event = JSON.parse(body);
      const result = handler.run(event, Object.assign(context, contextData(headers)), callback);
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
export async function invokeModern(api, handler, { id, headers, body }) {
  let json;
  try {
    json = serialize(await handler.run(JSON.parse(body), modernContext(headers)), "Runtime.JSONStringifyError");
  } catch (error) {
    await turnOfEventLoop();
    await api.fail(id, error);
    return;
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
export async function invokeStreaming(streams, handler, { id, headers, body }, kind) {
  const { stream, done, fail } = streams.begin(id);
  const eventLoop = kind === "classic" ? emptyEventLoop() : undefined;
  try {
    const context = kind === "classic" ? Object.assign(eventLoop.context, contextData(headers)) : modernContext(headers);
    const result = handler.run(JSON.parse(body), stream, context);
    if (!isPromise(result)) {
      const message = "Streaming does not support non-async handlers.";
      throw kind === "classic" ? message : new Error(message);
    }
    const settled = Promise.resolve(result).then(async (value) => {
      if (value !== undefined) {
        console.warn("Streaming handlers ignore return values.");
      }
      await done;
    });
    // With the response out, a handler whose promise can never settle must not keep the next invocation waiting.
    await (eventLoop ? Promise.race([settled, eventLoop.empty]) : settled);
    if (!stream.writableFinished) {
      const message = "Response stream is not finished.";
      throw kind === "classic" ? message : new Error(message);
    }
  } catch (error) {
    await fail(error);
  }
  await eventLoop?.wait();
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

function serialize(result, errorName) {
  let json;
  try {
    json = JSON.stringify(result === undefined ? null : result);
  } catch {
    const error = new Error("Unable to stringify response body");
    error.name = errorName;
    throw error;
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

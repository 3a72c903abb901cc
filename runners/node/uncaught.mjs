// Calls a handler so that a debugger sees as uncaught what the handler does not catch itself.
//
// V8 decides at the `throw` whether to stop for "Uncaught Exceptions". It takes an exception for caught when a `catch` is below it
// on the stack, and a rejection when anything is attached to the promise that takes it, also if both are the runner's. So here a
// handler has nothing below it but Node's own event loop, and its promise nothing that takes a rejection. What nobody takes Node
// reports with the same events as for any program, and there it becomes the outcome of the call, before anyone else hears of it.

import process from "node:process";
import { types } from "node:util";

const { then } = Promise.prototype;

/** What is awaited: the throw of a handler that runs at this moment, and the rejection of this promise. */
let thrown;
let rejected;

/**
 * Whether what Node reports can be relied on: not where the function takes all exceptions itself, nor where each rejection that
 * nobody takes is to end the process.
 *
 * @returns {boolean}
 */
export function canRunOpenly() {
  const options = [...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" ");
  return !process.hasUncaughtExceptionCaptureCallback() && !/unhandled-rejections[= ]strict/.test(options);
}

/**
 * Runs a handler.
 *
 * @param {() => unknown} run
 * @returns {Promise<["threw" | "returned" | "resolved" | "rejected", unknown]>} how it ended, and with what; `returned` is
 *   anything but a promise
 */
export function runOpenly(run) {
  listen();
  return new Promise((resolve) => {
    const settle = (...outcome) => {
      thrown = rejected = undefined;
      resolve(outcome);
    };
    setImmediate(() => {
      let ended = false;
      thrown = (error) => settle("threw", error);
      try {
        const result = run();
        ended = true;
        thrown = undefined;
        follow(result, settle);
      } finally {
        if (!ended) {
          // Somebody else may have taken it after all, such as a domain. Nobody must wait for ever.
          setImmediate(() => thrown?.(new Error("the handler threw an error that it takes itself elsewhere")));
        }
      }
    });
  });
}

function follow(result, settle) {
  if (typeof result?.then !== "function") {
    settle("returned", result);
    return;
  }
  const resolved = (value) => settle("resolved", value);
  const failed = (reason) => settle("rejected", reason);
  if (!types.isPromise(result)) {
    result.then(resolved, failed);
    return;
  }
  const outcome = Reflect.apply(then, result, [resolved]);
  rejected = { promise: outcome, failed };
}

/** What the process did with what Node reports before {@link hear} did. */
let emit;

/** Hears what Node reports, for the rest of the life of the process. Who replaces this in turn calls what was there. */
function listen() {
  if (emit === undefined) {
    emit = process.emit;
    process.emit = hear;
  }
}

function hear(name, ...values) {
  if (thrown !== undefined && (name === "uncaughtException" || name === "uncaughtExceptionMonitor")) {
    if (name === "uncaughtException") {
      thrown(values[0]);
    }
    return true;
  }
  if (name === "unhandledRejection" && rejected !== undefined && values[1] === rejected.promise) {
    rejected.failed(values[0]);
    return true;
  }
  return Reflect.apply(emit, this, [name, ...values]);
}

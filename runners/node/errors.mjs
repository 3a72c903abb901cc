// Errors in the shapes that Lambda hands to callers.

import { fileURLToPath } from "node:url";
import { types } from "node:util";

const RUNNER_URL = new URL(".", import.meta.url).href;
const RUNNER_DIRECTORY = fileURLToPath(RUNNER_URL);

/**
 * The body of `/invocation/{id}/error` and `/init/error`.
 *
 * @param {unknown} error whatever was thrown
 * @returns {{errorType: string, errorMessage: string, trace?: string[]}}
 */
export function errorBody(error) {
  try {
    if (isError(error)) {
      return {
        errorType: escapeDelete(error.name),
        errorMessage: escapeDelete(userLines(error.message).join("\n")),
        trace: userLines(escapeDelete(error.stack)),
      };
    }
    return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
  } catch {
    // Callers of a deployed function get this very text when the error's own properties throw.
    return {
      errorType: "handled",
      errorMessage:
        "callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack",
    };
  }
}

/**
 * The value of the header `Lambda-Runtime-Function-XRay-Error-Cause`; empty when there is nothing to say.
 *
 * @param {unknown} error whatever was thrown
 * @returns {string}
 */
export function xrayCause(error) {
  try {
    const frames = isError(error) ? userLines(escapeDelete(error.stack)).map(stackFrame).filter(Boolean) : [];
    return JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: escapeDelete(error.name), message: escapeDelete(error.message), stack: frames }],
      paths: [...new Set(frames.map((frame) => frame.path))],
    });
  } catch {
    return "";
  }
}

/**
 * An error of the runtime itself, such as `Runtime.HandlerNotFound`.
 *
 * @param {string} kind what follows `Runtime.` in the error type
 * @param {string} message
 * @param {unknown} [cause] the error behind it; its stack frames become those of the new error, because they show the
 *   developer where to look
 * @returns {Error}
 */
export function runtimeError(kind, message, cause) {
  const error = new (classOf(kind))(message);
  error.stack = [`${error.name}: ${message}`, ...framesOf(cause)].join("\n");
  return error;
}

/** The class of the runtime's errors of a kind, which bears its name: logs tell it. */
function classOf(kind) {
  if (!classes.has(kind)) {
    const made = { [kind]: class extends Error {} }[kind];
    // Where the class of every error has it: what an error has itself goes into logs, too.
    Object.defineProperty(made.prototype, "name", { value: `Runtime.${kind}`, writable: true, configurable: true });
    classes.set(kind, made);
  }
  return classes.get(kind);
}

const classes = new Map();

/**
 * What is reported for a promise that was rejected while nobody listened.
 *
 * @param {unknown} reason
 * @param {Promise<unknown>} promise
 * @returns {Error}
 */
export function unhandledRejection(reason, promise) {
  return Object.assign(runtimeError("UnhandledPromiseRejection", describe(reason), reason), { reason, promise });
}

/**
 * The error of an `async` handler whose promise can never settle, because nothing is left that could settle it.
 *
 * @returns {Error}
 */
export function neverSettled() {
  return runtimeError(
    "NodeJsExit",
    "The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that " +
      "was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#exit-codes",
  );
}

/**
 * What a thrown value says about itself, whatever it is.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function describe(value) {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function isError(value) {
  // Errors of other realms and error-like objects count too.
  return (
    types.isNativeError(value) ||
    (value && [value.name, value.message, value.stack].every((part) => part && typeof part === "string"))
  );
}

/**
 * Leaves out the lines in which this runner appears: stack frames, and entries of Node's "Require stack". What of Node itself is
 * below the runner goes with it: it runs the runner, not the function.
 *
 * @param {string} text a stack, or a message
 * @returns {string[]} the other lines
 */
export function userLines(text) {
  let belowRunner = false;
  const lines = text.split("\n").filter((line) => {
    const frame = isFrame(line);
    const own = frame && (line.includes(RUNNER_URL) || line.includes(RUNNER_DIRECTORY));
    belowRunner = own || (belowRunner && frame && /\bnode:|\(<anonymous>\)$/.test(line));
    return !belowRunner;
  });
  // A heading with nothing below it would only puzzle.
  return lines.filter((line, index) => line !== "Require stack:" || lines[index + 1]?.startsWith("- "));
}

function isFrame(line) {
  return /^\s+at /.test(line) || line.startsWith("- ");
}

function framesOf(cause) {
  if (!isError(cause)) {
    return [];
  }
  const lines = cause.stack.split("\n");
  // For a syntax error Node puts the place on the first line, before the message.
  const place = /^(\/|file:|[A-Za-z]:\\).*:\d+$/.test(lines[0]) ? [`    at ${lines[0]}`] : [];
  return [...place, ...lines.filter((line) => /^\s+at /.test(line))];
}

function stackFrame(line) {
  const match = /^\s+at (?:(?<label>.+) \()?(?<path>.+?)(?::(?<line>\d+))?(?::\d+)?\)?$/.exec(line);
  return match && { path: match.groups.path, line: Number(match.groups.line ?? 0), label: match.groups.label ?? "anonymous" };
}

/** The DEL character is not allowed in HTTP headers, and Lambda replaces it in bodies as well. */
function escapeDelete(text) {
  return text?.replaceAll("\x7F", "%7F");
}

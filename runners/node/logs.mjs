// The function's console as Lambda's runtimes make it.
//
// A log in JSON is written as there, to the letter. In one of text, Lambda puts the time, the request and the level before each
// message; here it stays what the developer has written, because the terminal says all that in its own way.

import process from "node:process";
import { format } from "node:util";

import { userLines } from "./errors.mjs";

/** In the order of their weight, with the methods of `console` that write them. */
const LEVELS = [
  ["TRACE", ["trace"]],
  ["DEBUG", ["debug"]],
  ["INFO", ["info", "log"]],
  ["WARN", ["warn"]],
  ["ERROR", ["error"]],
  ["FATAL", ["fatal"]],
];

/** Where functions and libraries find the request, up to `nodejs22.x`. */
const REQUEST_ID = Symbol.for("aws.lambda.runtime.requestId");
const TENANT_ID = Symbol.for("aws.lambda.runtime.tenantId");

const current = { isJson: false, kind: "classic", requestId: undefined, tenantId: undefined };

/**
 * Makes `console` what the environment asks for.
 *
 * @param {"classic" | "modern"} kind of {@link runtimeKind}
 */
export function setUpConsole(kind) {
  // The one method that Lambda's console has and Node's has not.
  console.fatal ??= (...values) => console.error(...values);
  const { AWS_LAMBDA_LOG_FORMAT: wanted = "", AWS_LAMBDA_LOG_LEVEL: lowest = "" } = process.env;
  Object.assign(current, { isJson: wanted.toUpperCase() === "JSON", kind });
  const first = LEVELS.findIndex(([level]) => level === lowest.toUpperCase());
  for (const [index, [level, methods]] of LEVELS.entries()) {
    if (index < first && level !== "FATAL") {
      replace(methods, () => {});
    } else if (current.isJson) {
      replace(methods, (message, ...values) => write(level, message, values));
    }
  }
}

/**
 * Says to which invocation all messages belong from now on.
 *
 * @param {Map<string, string>} headers of `/invocation/next`, names in lower case
 */
export function belongTo(headers) {
  current.requestId = headers.get("lambda-runtime-aws-request-id");
  current.tenantId = headers.get("lambda-runtime-aws-tenant-id");
  if (current.kind === "classic") {
    globalThis[REQUEST_ID] = current.requestId;
    globalThis[TENANT_ID] = current.tenantId;
  }
}

/**
 * Writes an error that is about to be reported, into a log that is read by programs. A terminal shows what is reported.
 *
 * @param {unknown} error whatever was thrown
 * @returns {boolean} whether it was written
 */
export function logError(error) {
  if (current.isJson) {
    console.error(error instanceof Error ? error : new Error(error));
  }
  return current.isJson;
}

function replace(methods, method) {
  for (const name of methods) {
    console[name] = method;
  }
}

function write(level, message, values) {
  const isModern = current.kind === "modern";
  const line = {
    timestamp: new Date().toISOString(),
    level,
    requestId: current.requestId ?? (isModern ? "-" : undefined),
    // The newer client knows a place for the tenant and puts nothing into it.
    tenantId: isModern ? undefined : (current.tenantId ?? undefined),
  };
  process.stdout.write(`${values.length === 0 ? withOne(line, message) : withSeveral(line, message, values)}\n`);
}

function withOne(line, message) {
  try {
    return JSON.stringify({ ...line, message }, (_, value) => (value instanceof Error ? fieldsOf(value) : value));
  } catch {
    return JSON.stringify({ ...line, message: format(message) });
  }
}

function withSeveral(line, message, values) {
  // The older client looks at the first one as well.
  const error = (current.kind === "modern" ? values : [message, ...values]).find((value) => value instanceof Error);
  const { errorType, errorMessage, stackTrace } = error ? fieldsOf(error, []) : {};
  return JSON.stringify({ ...line, message: format(message, ...values), errorType, errorMessage, stackTrace });
}

function fieldsOf(error, without = error.stack) {
  return {
    errorType: error.constructor?.name ?? "UnknownError",
    errorMessage: error.message,
    stackTrace: typeof error.stack === "string" ? userLines(error.stack) : without,
    ...error,
  };
}

// Says why an app does not synthesise, in terms of the user's own files.

import path from "node:path";
import process from "node:process";
import { inspect } from "node:util";

/** An error that is not the fault of a line of code: it is shown without a stack trace. */
export class ExpectedError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** Writes an error to stderr: the message, then the frames of the stack that are the user's. */
export function report(error, project) {
  process.stderr.write(`${format(error, project)}\n`);
}

function format(error, project) {
  if (error instanceof ExpectedError) return error.hint ? `${error.message}\n${error.hint}` : error.message;
  if (!(error instanceof Error) && typeof error?.stack !== "string") return `thrown: ${inspect(error)}`;
  const [header, frames] = split(String(error.stack));
  const own = frames.filter((frame) => !isInternal(frame));
  // An error without any frame of the user's is still better shown than swallowed.
  const shown = own.length > 0 ? own : frames.filter((frame) => !frame.includes("node:internal"));
  const text = [header, ...shown.map((frame) => frame.replaceAll(`${project}${path.sep}`, ""))].join("\n");
  return error.cause === undefined ? text : `${text}\ncaused by: ${format(error.cause, project)}`;
}

/** Splits a stack trace into its message, which may have several lines, and its frames. */
function split(stack) {
  const lines = stack.split("\n");
  const isFrame = (line) => /^\s+at /.test(line);
  const first = lines.findIndex(isFrame);
  if (first < 0) return [stack, []];
  return [lines.slice(0, first).join("\n"), lines.slice(first).filter(isFrame)];
}

/** Frames of Node, of installed packages, and of these scripts. */
function isInternal(frame) {
  const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
  return /\(?node:|[\\/]node_modules[\\/]|<anonymous>\)?$/.test(frame) || frame.includes(`${here}${path.sep}`);
}

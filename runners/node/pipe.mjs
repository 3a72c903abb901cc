// Pipes inherited from the process that started this one.

import { Socket } from "node:net";

/**
 * Ends this process as soon as the pipe ends, and never keeps it alive.
 *
 * @param {number} descriptor the file descriptor of the pipe's reading end
 */
export function lifeline(descriptor) {
  const pipe = openPipe(descriptor);
  pipe.resume();
  endWith(pipe);
}

/**
 * Makes a pipe that is already being read a lifeline.
 *
 * @param {Socket} pipe
 */
export function endWith(pipe) {
  // A signal rather than `process.exit`, which would wait for an attached debugger and run the function's exit handlers
  // although nobody is left to care for either.
  pipe.once("close", () => process.kill(process.pid, "SIGKILL"));
  pipe.unref();
}

/**
 * @param {number} descriptor the file descriptor of the pipe's end
 * @returns {Socket}
 */
export function openPipe(descriptor) {
  const pipe = new Socket({ fd: descriptor, readable: true, writable: true });
  // A broken pipe is closed right after; `close` is what everyone waits for.
  pipe.on("error", () => {});
  return pipe;
}

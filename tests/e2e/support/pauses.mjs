// A function's clock, as the terminal tells of it when a debugger pauses the function.

import assert from "node:assert/strict";

import { until } from "./sst.mjs";

/**
 * Expects that a function is paused at the first of two places (`function at file:line`), lets that last for so many seconds, and expects
 * at the second place that the function has as much time left as if it had not been paused.
 *
 * @param {object} program what prints: `sst`, or a debugger that has launched it
 * @param {object} options
 * @param {number} options.from the position in its output from which on the first pause is looked for
 * @param {number} options.seconds at least 2, because the terminal tells whole seconds
 * @param {() => Promise<any>} options.resume lets the function run on to the second place
 */
export async function clockStandsStill(program, [first, second], { from, seconds, resume }) {
  const begun = await pause(program, first, from);
  const middle = program.output.length;
  const end = begun.at + 1_000 * seconds;
  await until(`the end of a pause of ${seconds} s`, () => performance.now() > end);
  await resume();
  const ended = await pause(program, second, middle);
  const others = (ended.at - end) / 1_000;
  const used = begun.left - ended.left;
  assert.ok(used <= others + 1, `${used} s are gone, of which ${others} s were not of the pause`);
}

/** Waits until it is printed that a function is paused: when that was, and how many seconds the function had left. */
async function pause(program, place, from) {
  const pattern = new RegExp(`PAUSED +\\S+ ${place.replaceAll(".", "\\.")}, with (1\\d):(\\d\\d) of 15:00 left`);
  const [, minutes, seconds] = await program.waitFor(pattern, from);
  return { at: performance.now(), left: 60 * Number(minutes) + Number(seconds) };
}

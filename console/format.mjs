// Numbers, times and texts as the page shows them.

/** A duration in milliseconds as a person says it. */
export function duration(ms) {
  if (ms === undefined || ms === null) return "";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min`;
}

/** What a debugger leaves of a function's time: whole seconds, as they are declared. */
function timeLeft(ms) {
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const two = (number) => String(number).padStart(2, "0");

/** The time of day; with the date if that is another one. */
export function clock(at, { millis = false } = {}) {
  const date = new Date(at);
  let text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (millis) text += `.${String(date.getMilliseconds()).padStart(3, "0")}`;
  if (date.toDateString() === new Date().toDateString()) return text;
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} ${text}`;
}

/** A size in bytes. */
export function size(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** The part of an id by which people know it. */
export const short = (id) => id.slice(0, 8);

// C0 and C1 controls but for tabs and line breaks, and what turns the direction of writing.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]/g;
const COLOUR = /\u001b\[[\d;:]*m/g;

/** A text from outside, in which everything can be seen: it could look like something else than it is. Colours are left out. */
export const visible = (text) =>
  String(text)
    .replace(COLOUR, "")
    .replace(/\r\n/g, "\n")
    .replace(INVISIBLE, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);

/** What became of a call: a mark, words, and how it is coloured. */
export function outcome({ status, summary, errorType, place, leftMs }) {
  if (status === "running") return { mark: "…", text: "running", kind: "running" };
  if (status === "paused") {
    const left = leftMs === undefined ? "" : ` (${timeLeft(leftMs)} left)`;
    return { mark: "⏸", text: `paused${place ? ` at ${place}` : ""}${left}`, kind: "paused" };
  }
  if (status === "failed") return { mark: "✗", text: errorType || "failed", kind: "failed" };
  return { mark: "✓", text: summary || "ok", kind: /^[45]\d\d\b/.test(summary ?? "") ? "refused" : "returned" };
}

// What is known of the session and of its calls. It changes as the session tells of it; whatever shows something of it is told by signals.

import { access, ask, get, lines, takeToken } from "./api.mjs";
import { signal } from "./html.mjs";

/** How many calls are kept in this page. */
const MOST_CALLS = 20_000;

/** How many calls of earlier sessions are asked for at first, and once more each time. */
const OLDER_AT_ONCE = 500;

/** How long until the session is asked again after it has not answered, in milliseconds. */
const AGAIN_MS = 1_000;

/** Summaries of calls, the last one first. */
export const calls = signal([]);
/** What `/api/v1/state` says; null until the app is deployed. */
export const session = signal(null);
/** `connecting`, `live`, or `lost`. */
export const link = signal("connecting");
/** Where the page is: the parts of the address behind `#/`. */
export const route = signal([]);
/** The last thing that was done, or what went wrong: `{ text, failed }`. */
export const notice = signal(null);
/** Whether there may be calls of earlier sessions that were not asked for. */
export const hasOlder = signal(true);

const known = new Map();
/** What the session has said of itself since it was asked for all of it: parts of it, and functions by their ids. */
const news = { parts: {}, functions: new Map() };
let change = 0;
let publishing = false;
let hasAskedForOlder = false;

/** Shows a sentence about what was just done. */
export function tell(text, failed = false) {
  notice.value = { text, failed };
}

/** Does something, and says why if it cannot be done. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    tell(error.message, true);
    return undefined;
  }
}

/** A call by its id. */
export const callOf = (id) => known.get(id);

/** Where a call, function, … is shown. */
export const addressOf = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** Follows the session for as long as the page is open. */
export async function follow() {
  followAddress();
  for (;;) {
    try {
      const response = await ask(`stream?after=${change}`);
      link.value = "live";
      refresh();
      for await (const line of lines(response)) take(line);
      // Whoever ends in order ends the answer in order, too.
      link.value = "lost";
    } catch (error) {
      // A token that is not known will never be. Everything else may come back.
      if (error.status !== 401) link.value = "lost";
    }
    const stopped = () => access.value === "missing" || access.value === "refused";
    if (stopped()) {
      await tokenComes();
      beginAnew();
    } else {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/** Reads what the session says of itself, until it does. */
async function refresh() {
  try {
    session.value = withNews(await get("state"));
    if (!hasAskedForOlder) await older(OLDER_AT_ONCE);
    hasAskedForOlder = true;
  } catch (error) {
    // The app is being deployed.
    if (error.status === 503) setTimeout(refresh, AGAIN_MS);
  }
}

/** Reads more of the calls of earlier sessions. */
export async function older(count = known.size + 4 * OLDER_AT_ONCE) {
  const { invocations } = await get(`invocations?limit=${count}`);
  hasOlder.value = invocations.length >= count;
  keep(invocations.filter(({ id }) => !known.has(id)));
}

function take(line) {
  const { invocations = [], functions = [], connection, infrastructure } = line;
  change = line.change;
  keep(invocations);
  for (const one of functions) news.functions.set(one.id, one);
  if (connection) news.parts.connection = connection;
  if (infrastructure) news.parts.infrastructure = infrastructure;
  const isNew = functions.length > 0 || connection || infrastructure;
  if (session.value && isNew) session.value = withNews(session.value);
  // What is deployed may have other functions and other outputs.
  if (session.value && infrastructure?.state === "deployed") refresh();
}

/** What is said line by line is later than what was asked for, or follows soon. */
const withNews = (state) => ({ ...state, ...news.parts, functions: state.functions.map((one) => ({ ...one, ...news.functions.get(one.id) })) });

/** Another session has other numbers, and may know otherwise of the calls of this one. */
function beginAnew() {
  change = 0;
  hasAskedForOlder = false;
  news.parts = {};
  news.functions.clear();
  known.clear();
  session.value = null;
  publish();
}

function keep(summaries) {
  for (const summary of summaries) known.set(summary.id, summary);
  if (summaries.length > 0 && !publishing) {
    publishing = true;
    // Many calls at once are shown at once. A tab that nobody sees has no frames.
    const next = document.hidden ? (work) => setTimeout(work, 100) : requestAnimationFrame;
    next(publish);
  }
}

function publish() {
  publishing = false;
  const all = [...known.values()].sort((one, other) => other.at - one.at);
  for (const { id } of all.splice(MOST_CALLS)) known.delete(id);
  calls.value = all;
}

function followAddress() {
  const read = () => {
    if (takeToken()) access.value = "unknown";
    const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
    route.value = parts.map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  };
  addEventListener("hashchange", read);
  read();
}

/** Until the address has another token. */
function tokenComes() {
  return new Promise((resolve) => {
    const stop = access.subscribe((value) => {
      if (value !== "unknown" && value !== "granted") return;
      queueMicrotask(() => stop());
      resolve();
    });
  });
}

// The session's API, and the token that it wants. The token came behind the `#` of the address, which browsers send to nobody. It is taken
// out of the address at once, and is kept for this tab only.

import { signal } from "./html.mjs";

const KEY = "sst-token";

/** Whether the session answers: `missing` and `refused` are said of the token. */
export const access = signal("unknown");

/** An answer that is no good one; its status is 0 if there was no answer at all. */
class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Takes the token out of the address, if it is in it. Whether it was. */
export function takeToken() {
  const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
  if (!given) return false;
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", `${location.pathname}#/`);
  return true;
}

/**
 * Asks the session. `path` is what comes after `/api/v1/`.
 *
 * @throws {Refusal} with a sentence for people
 */
export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  if (!token) {
    access.value = "missing";
    throw new Refusal("The page has no token.", 401);
  }
  let response;
  try {
    response = await fetch(`api/v1/${path}`, { ...options, headers: { authorization: `Bearer ${token}` } });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refusal("The session does not answer.", 0);
  }
  if (response.ok) {
    access.value = "granted";
    return response;
  }
  if (response.status === 401) access.value = "refused";
  const said = await response.text();
  throw new Refusal(sentence(said) || `The session answers with status ${response.status}.`, response.status);
}

export const get = async (path) => (await ask(path)).json();
export const text = async (path) => (await ask(path)).text();

function sentence(said) {
  try {
    const { error } = JSON.parse(said);
    return error && `${error[0].toUpperCase()}${error.slice(1)}.`;
  } catch {
    return "";
  }
}

/** The lines of JSON of an answer, as they come. */
export async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

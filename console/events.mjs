// The events that are files of the project, and how they differ from others.

import { get, text as textOf } from "./api.mjs";
import { comparable, diff } from "./diff.mjs";
import { Document, Plain } from "./document.mjs";
import { clock, outcome, size, visible } from "./format.mjs";
import { html, signal, useEffect, useState } from "./html.mjs";
import { Section } from "./parts.mjs";
import { addressOf, calls, route, tell } from "./store.mjs";

/** How many calls an event can be compared with. */
const MOST_CALLS = 50;

/** How many lines that are the same are shown around those that are not. */
const AROUND = 3;

/** The files; undefined where the session knows of none. */
export const files = signal(undefined);

/** Looks which files there are. */
export const look = () => get("events").then(({ events }) => (files.value = events), () => {});

export function Events() {
  useEffect(() => void look(), [route.value[1]]);
  const chosen = route.value[1];
  const all = files.value ?? [];
  return html`<div class=${chosen ? "split chosen" : "split"}>
    <nav class="list files" aria-label="Events">
      ${all.map(
        ({ name, bytes, at }) =>
          html`<a href=${addressOf("events", name)} aria-current=${name === chosen ? "true" : undefined}><span class="name">${visible(name)}</span> <span class="dim">${size(bytes)}, ${clock(at)}</span></a>`,
      )}
    </nav>
    <div class="detail">
      ${chosen && html`<a class="back" href=${addressOf("events")}>← All events</a>`}
      ${chosen
        ? html`<${Whole} key=${chosen} name=${chosen} all=${all} />`
        : html`<p class="none">${all.length > 0 ? "Choose an event." : "No event is saved yet. “Save as event” of a call makes a file of it, in `events/` of the project."}</p>`}
    </div>
  </div>`;
}

function Whole({ name, all }) {
  const [text, setText] = useState(undefined);
  const [other, setOther] = useState("");
  const [otherText, setOtherText] = useState(undefined);
  useEffect(() => {
    textOf(`events/${encodeURIComponent(name)}`).then(setText, (error) => tell(error.message, true));
  }, [name]);
  const choose = async (choice) => {
    setOther(choice);
    setOtherText(undefined);
    const id = choice.slice(choice.indexOf(":") + 1);
    if (choice === "") return;
    try {
      const masked = async () => (await get(`invocations/${encodeURIComponent(id)}`)).event.text ?? "";
      setOtherText(choice.startsWith("event:") ? await textOf(`events/${encodeURIComponent(id)}`) : await masked());
    } catch (error) {
      tell(error.message, true);
    }
  };
  if (text === undefined) return html`<article aria-busy="true"></article>`;
  const select = html`<select aria-label="Compare with" value=${other} onChange=${(event) => choose(event.target.value)}>
    <option value="">Compare with …</option>
    <optgroup label="Events">${all.filter((one) => one.name !== name).map((one) => html`<option value=${`event:${one.name}`}>${visible(one.name)}</option>`)}</optgroup>
    <optgroup label="Calls">${calls.value.slice(0, MOST_CALLS).map((call) => html`<option value=${`call:${call.id}`}>${visible(`${clock(call.at)} ${call.function} ${call.source} (${outcome(call).text})`)}</option>`)}</optgroup>
  </select>`;
  return html`<article aria-label=${visible(name)}>
    <header><h2>${visible(name)}</h2><p class="dim"><code>events/${visible(name)}.json</code></p></header>
    <${Section} title=${otherText === undefined ? "Event" : "What is different"} action=${select}>
      ${otherText === undefined ? html`<${Shown} text=${text} />` : html`<${Differences} before=${otherText} after=${text} />`}
    </>
  </article>`;
}

function Shown({ text }) {
  try {
    return html`<${Document} value=${JSON.parse(text)} label="the event" />`;
  } catch {
    return html`<${Plain} text=${text} label="the event" />`;
  }
}

function Differences({ before, after }) {
  const lines = diff(comparable(before), comparable(after));
  if (lines.every(({ kind }) => kind === "same")) return html`<p>They say the same.</p>`;
  const isNear = lines.map(() => false);
  lines.forEach(({ kind }, index) => {
    if (kind !== "same") for (let near = index - AROUND; near <= index + AROUND; near += 1) isNear[near] = true;
  });
  const shown = [];
  lines.forEach(({ kind, text }, index) => {
    if (isNear[index]) shown.push(html`<span class=${`line ${kind}`}>${{ same: "  ", removed: "− ", added: "+ " }[kind]}${visible(text)}${"\n"}</span>`);
    else if (index === 0 || isNear[index - 1]) shown.push(html`<span class="line dim">  …${"\n"}</span>`);
  });
  return html`<p class="dim">− the other one, + this one</p><pre class="text" tabindex="0" aria-label="Differences">${shown}</pre>`;
}

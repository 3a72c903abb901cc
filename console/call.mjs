// One call: with what, what it has written, and what came of it.

import { ask, get, text as textOf } from "./api.mjs";
import { decode } from "./decode.mjs";
import { clock, counted, duration, outcome, short, size, visible } from "./format.mjs";
import { asCurl, asInvoke } from "./copies.mjs";
import { Document, Linked, Plain } from "./document.mjs";
import { edited, invoke, pretty, saving } from "./editor.mjs";
import { html, signal, useEffect, useState } from "./html.mjs";
import { Choice, Facts, Menu, Section, Work, copy } from "./parts.mjs";
import { addressOf, attempt, callOf, calls, session } from "./store.mjs";

/** How soon a call that goes on is looked at again, in milliseconds. */
const AGAIN_MS = 250;

/** How many lines of output are shown at first. */
const MOST_LINES = 500;

/** The calls that were looked at last, by id. */
const records = signal(new Map());
const KEPT = 5;

/** Ways in which an event can be shown; the choice stays for the next one. */
const way = signal("pretty");

/** For which frameworks the session makes tests, by a function's language: in these languages it stops at a handler's first line as well. */
const FRAMEWORKS = { node: ["node", "jest", "vitest"], python: ["pytest"] };
const path = (id) => `invocations/${encodeURIComponent(id)}`;
const endpoints = () => Object.values(session.value?.outputs ?? {}).flatMap((outputs) => Object.values(outputs)).filter((value) => /^https?:/.test(value));

/** Sends the event of a call once more. */
export const replay = (id) => invoke(`${path(id)}/replay`);

/** Opens the event of a call to be changed. */
export async function edit({ id, function: name }) {
  await attempt(async () => (edited.value = { id, name, event: pretty(await textOf(`${path(id)}/event`)) }));
}

export function Call({ id }) {
  // Whatever is said of it changes makes it worth another look.
  const summary = calls.value && callOf(id);
  const [missing, setMissing] = useState("");
  useEffect(() => {
    let over = false;
    const read = async () => {
      try {
        const record = await get(path(id));
        if (over) return;
        const kept = [...records.value].filter(([known]) => known !== id).slice(1 - KEPT);
        records.value = new Map([...kept, [id, record]]);
        setMissing("");
      } catch (error) {
        if (!over && error.status === 404) setMissing(error.message);
      }
    };
    const isFirst = !records.value.has(id);
    const timer = setTimeout(read, isFirst ? 0 : AGAIN_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [id, summary]);
  const record = records.value.get(id);
  if (missing) return html`<div class="call none"><h2 tabindex="-1">Call ${visible(short(id))}</h2><p>${visible(missing)}</p></div>`;
  if (!record) return html`<div class="call" aria-busy="true"></div>`;
  return html`<${Whole} key=${id} record=${summary ? { ...record, ...summary } : record} />`;
}

function Whole({ record }) {
  const { id, source, at, event, result, error, replayOf } = record;
  const { mark, text, kind } = outcome(record);
  const name = record.function;
  return html`<article class="call" aria-label=${`Call ${short(id)}`}>
    <header>
      <h2><a href=${addressOf("functions", name)}>${visible(name)}</a> <span class="dim">${visible(source)}</span></h2>
      <p class=${`became ${kind}`}><span aria-hidden="true">${mark}</span> ${visible(text)}</p>
      <${Timing} of=${record} />
      <${Facts}
        of=${[
          ["At", clock(at, { millis: true })],
          ["Id", html`<code>${visible(id)}</code>`],
          ["Called from", record.local ? "this machine" : undefined],
          ["Replay of", replayOf && html`<a href=${addressOf("calls", replayOf)}>↻ ${visible(short(replayOf))}</a>`],
          ["Trace", record.trace && html`<code>${visible(record.trace)}</code>`],
        ]}
      />
      <${Actions} record=${record} />
    </header>
    ${error && html`<${Section} title="Error"><pre class="text error" tabindex="0" aria-label="Error"><${Linked} text=${error} /></pre></>`}
    ${record.logs?.length > 0 && html`<${Logs} logs=${record.logs} leftOut=${record.logsLeftOut} />`}
    ${result && !(error && record.status === "failed") && html`<${Stored} title="Result" stored=${result} path=${`${path(id)}/result`} />`}
    <${Stored} title="Event" stored=${event} path=${`${path(id)}/event`} />
    <${Environment} name=${name} />
    <${Related} call=${record} />
  </article>`;
}

function Actions({ record }) {
  const { id } = record;
  const name = record.function;
  const raw = () => textOf(`${path(id)}/event`);
  const copies = [
    ["as curl", () => copy("a line for the shell, with the event as it was", async () => asCurl(name, await raw(), { control: session.value.control, endpoints: endpoints() }))],
    ["as sst invoke", () => copy("a line for the shell, with the event as it was", async () => asInvoke(name, await raw()))],
    ["id", () => copy("the id", () => id)],
  ];
  const language = session.value?.functions?.find((one) => one.id === name)?.language;
  for (const framework of FRAMEWORKS[language] ?? []) {
    copies.push([`as test (${framework})`, () => copy("a test", () => textOf(`${path(id)}/test?framework=${framework}`))]);
  }
  const save = () => (saving.value = { of: name, event: record.event.text ?? "", masked: record.event.masked ?? 0, plain: raw });
  return html`<div class="actions">
    <${Work} class="main" title="r" onClick=${() => replay(id)}>↻ Replay</>
    ${FRAMEWORKS[language] && html`<${Work} title="The debugger that is attached stops at the handler's first line" onClick=${() => invoke(`${path(id)}/replay?break=true`)}>Replay & stop</>`}
    <button onClick=${() => edit(record)}>Edit & invoke</button>
    ${record.event.text !== undefined && html`<button onClick=${save}>Save as event</button>`}
    <${Menu} label="Copy" items=${copies} />
  </div>`;
}

/** How long it waited for a process, and how long it ran. */
function Timing({ of: { tookMs, waitedMs } }) {
  if (tookMs === undefined) return waitedMs === undefined ? null : html`<p class="timing dim">waited ${duration(waitedMs)} for a process</p>`;
  const waited = Math.min(waitedMs ?? 0, tookMs);
  const share = tookMs > 0 ? (100 * waited) / tookMs : 0;
  return html`<div class="timing">
    <div class="bar" aria-hidden="true"><span class="waiting" style=${{ width: `${share}%` }}></span><span class="ran" style=${{ width: `${100 - share}%` }}></span></div>
    <span>waited ${duration(waited)} for a process → ran ${duration(tookMs - waited)} → ${duration(tookMs)} in all</span>
  </div>`;
}

/** An event or a result. */
function Stored({ title, stored, path }) {
  const [plain, setPlain] = useState(undefined);
  const text = plain ?? stored.text;
  const load = async () => setPlain(await textOf(path));
  const download = async () => {
    const address = URL.createObjectURL(await (await ask(path)).blob());
    const link = Object.assign(document.createElement("a"), { href: address, download: `${title.toLowerCase()}.json` });
    link.click();
    URL.revokeObjectURL(address);
  };
  const isJson = parsed(text) !== undefined;
  const ways = [["pretty", "Pretty"], ["raw", "Raw"], ["decoded", "Decoded"]];
  const choice = text !== undefined && isJson && html`<${Choice} label=${`How the ${title.toLowerCase()} is shown`} options=${ways} value=${way.value} onChange=${(chosen) => (way.value = chosen)} />`;
  return html`<${Section} title=${title} action=${choice}>
    ${text !== undefined
      ? html`<${Shown} text=${text} label=${`the ${title.toLowerCase()}`} isJson=${isJson} />`
      : stored.base64 !== undefined
        ? html`<p class="dim">It is no text; in base64:</p><${Plain} text=${stored.base64} label=${`the ${title.toLowerCase()}`} />`
        : html`<p>It has ${size(stored.length ?? 0)}, too many to look for secrets in it. <${Work} onClick=${load}>Show it as it was</> <${Work} onClick=${download}>Download</></p>`}
    ${text !== undefined && plain === undefined && stored.masked > 0 && html`<p class="dim">${stored.masked === 1 ? "1 value is" : `${stored.masked} values are`} masked. <${Work} class="quiet" onClick=${load}>Show as it was</></p>`}
    ${text !== undefined && plain === undefined && stored.length !== undefined && html`<p class="dim">It has ${size(stored.length)} in all, of which the beginning is kept.</p>`}
  </>`;
}

function Shown({ text, label, isJson }) {
  if (!isJson || way.value === "raw") return html`<${Plain} key="raw" text=${text} label=${label} />`;
  const value = parsed(text).value;
  if (way.value === "pretty") return html`<${Document} key="pretty" value=${value} label=${label} />`;
  const decoded = decode(value);
  return html`${!decoded.found && html`<p class="dim">Nothing in it is encoded.</p>`}<${Document} key="decoded" value=${decoded.value} label=${label} />`;
}

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function Logs({ logs, leftOut }) {
  const [all, setAll] = useState(false);
  const lines = all ? logs : logs.slice(0, MOST_LINES);
  return html`<${Section} title="Output">
    <pre class="text logs" tabindex="0" aria-label="Output">${lines.map((line) => html`<span class="line" title=${clock(line.at, { millis: true })}><${Linked} text=${line.text} />${"\n"}</span>`)}</pre>
    ${lines.length < logs.length && html`<p class="more">${counted(logs.length - lines.length, "line")} more. <button onClick=${() => setAll(true)}>Show all of the output</button></p>`}
    ${leftOut > 0 && html`<p class="dim">${counted(leftOut, "further line")} not kept.</p>`}
  </>`;
}

/** The function's variables by name; their values are asked for only when somebody wants to see them. */
export function Environment({ name }) {
  const [values, setValues] = useState(undefined);
  const names = session.value?.functions?.find(({ id }) => id === name)?.environment ?? [];
  if (names.length === 0) return null;
  const show = async () => {
    const answer = await (await ask(`functions/${encodeURIComponent(name)}/environment`)).json();
    if (answer.outcome !== "environment") throw new Error([answer.message, answer.hint].filter(Boolean).join(": "));
    setValues(answer.variables);
  };
  const action = values ? html`<button class="quiet" onClick=${() => setValues(undefined)}>Hide values</button>` : html`<${Work} class="quiet" onClick=${show}>Show values</>`;
  return html`<${Section} title="Environment" action=${action}>
    <${Facts} of=${[...names].sort().map((one) => [visible(one), values ? html`<code>${visible(values[one] ?? "")}</code>` : html`<span aria-label="hidden">•••</span>`])} />
  </>`;
}

/** What has a trace or a message in common with it, or is its replay. */
function Related({ call }) {
  const keys = new Set(call.related ?? []);
  const isRelated = (other) =>
    other.id !== call.id && (other.replayOf === call.id || other.id === call.replayOf || (call.replayOf && other.replayOf === call.replayOf) || other.related?.some((key) => keys.has(key)));
  const found = calls.value.filter(isRelated).slice(0, 20);
  if (found.length === 0) return null;
  return html`<${Section} title="Related calls">
    <ul class="related">
      ${found.map((other) => {
        const { mark, text, kind } = outcome(other);
        return html`<li><a href=${addressOf("calls", other.id)}>${clock(other.at)} ${visible(other.function)}</a> <span class="dim">${other.replayOf ? "↻ " : ""}${visible(other.source)}</span> <span class=${kind}>${mark} ${visible(text)}</span></li>`;
      })}
    </ul>
  </>`;
}

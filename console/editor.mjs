// An event as somebody edits it, and what becomes of a call with it.

import { ask, get, text } from "./api.mjs";
import { outcome, visible } from "./format.mjs";
import { html, signal, useEffect, useMemo, useState } from "./html.mjs";
import { Dialog, Work } from "./parts.mjs";
import { addressOf, attempt, callOf, calls, tell } from "./store.mjs";

/** What is edited over the page: `{ id, name, event }` of a call. */
export const edited = signal(null);
/** What is saved: `{ name, event, masked, plain }`. */
export const saving = signal(null);

/** Why a text is no event, or an empty text. */
function faultOf(event) {
  if (event.trim() === "") return "";
  try {
    JSON.parse(event);
    return "";
  } catch (error) {
    return error.message;
  }
}

export const pretty = (event) => {
  try {
    return JSON.stringify(JSON.parse(event), null, 2);
  } catch {
    return event;
  }
};

/** Calls a function, and shows the call when it has its outcome, unless somebody has gone elsewhere meanwhile. */
export async function invoke(path, event) {
  const before = location.hash;
  const response = await ask(path, { method: "POST", body: event });
  const { id, outcome: became, message, hint } = await response.json();
  if (became === "refused") {
    tell([message, hint].filter(Boolean).join(": "), true);
    return undefined;
  }
  if (location.hash === before) location.hash = addressOf("calls", id);
  return id;
}

/** A text field for an event, with what is wrong with it. */
function EventField({ value, onInput, rows = 14, label = "Event" }) {
  const fault = faultOf(value);
  return html`<div class="field">
    <textarea
      aria-label=${label}
      aria-invalid=${String(fault !== "")}
      spellcheck=${false}
      rows=${rows}
      value=${value}
      onInput=${(event) => onInput(event.target.value)}
    ></textarea>
    ${fault && html`<p class="fault" role="alert">This is no JSON: ${visible(fault)}</p>`}
  </div>`;
}

/** The event of a call, to be changed and sent once more. */
export function EditDialog() {
  if (!edited.value) return null;
  return html`<${EditCall} key=${edited.value.id} call=${edited.value} />`;
}

function EditCall({ call: { id, name, event } }) {
  const [value, setValue] = useState(event);
  const close = () => (edited.value = null);
  const send = () => {
    close();
    return invoke(`invocations/${encodeURIComponent(id)}/replay`, value.trim() || "{}");
  };
  return html`<${Dialog} title=${`Edit & invoke ${visible(name)}`} onClose=${close}>
    <${EventField} value=${value} onInput=${setValue} rows=${22} />
    <div class="actions">
      <button onClick=${() => setValue(pretty(value))}>Lay out</button>
      <span class="space"></span>
      <button onClick=${close}>Cancel</button>
      <${Work} class="main" onClick=${send}>Invoke</>
    </div>
  </>`;
}

/** A name under which an event becomes a file of the project. */
export function SaveDialog() {
  if (!saving.value) return null;
  return html`<${SaveEvent} event=${saving.value} />`;
}

function SaveEvent({ event: { of, event, masked, plain } }) {
  const [name, setName] = useState("");
  const [taken, setTaken] = useState(false);
  const [secrets, setSecrets] = useState(false);
  const close = () => (saving.value = null);
  const isName = /^[\w-][\w.-]*$/.test(name);
  const save = async () => {
    const body = pretty(secrets ? await plain() : event);
    try {
      await ask(`events/${encodeURIComponent(name)}${taken ? "?replace=true" : ""}`, { method: "PUT", body });
    } catch (error) {
      if (error.status !== 409 || taken) throw error;
      setTaken(true);
      return;
    }
    close();
    tell(`Saved as events/${name}.json. From the command line: npx sst invoke ${of} --event ${name}`);
  };
  return html`<${Dialog} title="Save as event" onClose=${close}>
    <p>The event becomes the file <code>events/${name || "NAME"}.json</code> of the project, for your team and for <code>sst invoke --event</code>.</p>
    <label class="line">Name <input value=${name} autofocus onInput=${(event) => (setName(event.target.value), setTaken(false))} /></label>
    ${name !== "" && !isName && html`<p class="fault" role="alert">Use letters, digits, “-”, “_” and “.”.</p>`}
    ${masked > 0 &&
    html`<label class="line"><input type="checkbox" checked=${secrets} onChange=${(event) => setSecrets(event.target.checked)} /> With the ${masked === 1 ? "value that looks like a secret" : `${masked} values that look like secrets`}</label>`}
    ${taken && html`<p class="fault" role="alert">There is an event of this name. Saving replaces it.</p>`}
    <div class="actions">
      <span class="space"></span>
      <button onClick=${close}>Cancel</button>
      <${Work} class="main" disabled=${!isName} onClick=${save}>${taken ? "Replace it" : "Save"}</>
    </div>
  </>`;
}

/** Where a function is called: with an event that was written, saved, or is a sample. */
export function InvokeBox({ name }) {
  const [value, setValue] = useState("{}");
  const [samples, setSamples] = useState([]);
  const [events, setEvents] = useState([]);
  const [last, setLast] = useState(undefined);
  const query = `function=${encodeURIComponent(name)}`;
  useEffect(() => {
    attempt(async () => {
      setSamples((await get(`samples?${query}`)).samples);
      setEvents((await get("events")).events);
    });
  }, [name]);
  const choose = async (choice) => {
    const [kind, id] = [choice.slice(0, choice.indexOf(":")), choice.slice(choice.indexOf(":") + 1)];
    const path = { sample: `samples/${encodeURIComponent(id)}?${query}`, event: `events/${encodeURIComponent(id)}`, call: `invocations/${encodeURIComponent(id)}/event` }[kind];
    if (path) setValue(pretty(await text(path)));
  };
  const recent = useMemo(() => calls.value.filter((call) => call.function === name).slice(0, 10), [name, calls.value]);
  const send = async () => {
    setLast(undefined);
    const response = await ask(`functions/${encodeURIComponent(name)}/invoke`, { method: "POST", body: value.trim() || "{}" });
    setLast(await response.json());
  };
  return html`<div class="invoke">
    <select aria-label="Take an event" value="" onChange=${(event) => choose(event.target.value).catch((error) => tell(error.message, true))}>
      <option value="">Take an event …</option>
      <${Samples} label="Of what calls it" of=${samples.filter((one) => one.of)} />
      ${events.length > 0 && html`<optgroup label="Saved events">${events.map((one) => html`<option value=${`event:${one.name}`}>${visible(one.name)}</option>`)}</optgroup>`}
      ${recent.length > 0 && html`<optgroup label="The last calls">${recent.map((call) => html`<option value=${`call:${call.id}`}>${visible(`${call.source} (${outcome(call).text})`)}</option>`)}</optgroup>`}
      <${Samples} label="Of other services" of=${samples.filter((one) => !one.of)} />
    </select>
    <${EventField} value=${value} onInput=${setValue} rows=${8} label=${`Event for ${name}`} />
    <div class="actions">
      <${Work} class="main" onClick=${send}>Invoke</>
      ${last && html`<${Became} last=${last} />`}
    </div>
  </div>`;
}

const Samples = ({ label, of }) =>
  of.length > 0 && html`<optgroup label=${label}>${of.map((one) => html`<option value=${`sample:${one.of ?? one.name}`}>${visible(one.of ? `${one.text}: ${one.of}` : one.text)}</option>`)}</optgroup>`;

function Became({ last: { id, outcome: became, message, hint } }) {
  if (became === "refused") return html`<span class="fault" role="alert">${visible([message, hint].filter(Boolean).join(": "))}</span>`;
  const call = callOf(id);
  const { mark, text: said, kind } = call ? outcome(call) : { mark: "✓", text: became, kind: became };
  return html`<span role="status">
    <a class=${kind} href=${addressOf("calls", id)}>${mark} ${visible(said)}</a>
  </span>`;
}

// Documents and other long texts: laid out, in colours, and cut where they are longer than anybody reads.

import { Decoded } from "./decode.mjs";
import { size, visible } from "./format.mjs";
import { html, useState } from "./html.mjs";
import { pieces } from "./links.mjs";
import { session } from "./store.mjs";

/** How much of a text is shown at first, in characters. */
const MOST_SHOWN = 64 * 1024;

/** How many words may be in colours: a browser takes seconds for some hundred thousands of them. */
const MOST_COLOURED = 20_000;

/** How much text is laid out at a time, in characters. */
const PART = 16 * 1024;

/** A text as it is. */
export function Plain({ text, label }) {
  const [all, setAll] = useState(false);
  const isCut = !all && text.length > MOST_SHOWN;
  return html`
    <pre class="text" tabindex="0" aria-label=${label}><${Long} text=${isCut ? text.slice(0, MOST_SHOWN) : text} /></pre>
    ${isCut && html`<${Rest} label=${label} onShow=${() => setAll(true)} />`}
  `;
}

/** A value as a document. */
export function Document({ value, label }) {
  const [all, setAll] = useState(false);
  const { words, isCut } = write(value, all ? Infinity : MOST_SHOWN);
  const isColoured = words.length <= MOST_COLOURED;
  const shown = isColoured
    ? words.map(([kind, text]) => (kind ? html`<span class=${kind}>${visible(text)}</span>` : text))
    : html`<${Long} text=${words.map(([, text]) => text).join("")} />`;
  return html`
    <pre class="text" tabindex="0" aria-label=${label}>${shown}</pre>
    ${isCut && html`<${Rest} label=${label} onShow=${() => setAll(true)} />`}
  `;
}

/** A text in parts, of which a browser lays out only those that can be seen. */
function Long({ text }) {
  const parts = [];
  for (let begin = 0; begin < text.length; ) {
    const end = text.indexOf("\n", begin + PART);
    const next = end < 0 ? text.length : end + 1;
    parts.push(html`<span class="part">${visible(text.slice(begin, next))}</span>`);
    begin = next;
  }
  return parts;
}

const Rest = ({ label, onShow }) =>
  html`<p class="more">The first ${size(MOST_SHOWN)} are shown. <button onClick=${onShow}>Show all of ${label}</button></p>`;

/** A text in which places in the project's files are links, and named as they are called in the project. */
export function Linked({ text }) {
  const root = session.value?.directory;
  return pieces(root, visible(text)).map((piece) =>
    typeof piece === "string" ? piece : html`<a href=${piece.address} title="Open in the editor">${piece.text.replace(`${root}/`, "")}</a>`,
  );
}

/** A value as words, each with its kind, up to so many characters, and whether it has more. */
export function write(value, most) {
  const words = [];
  let plain = "";
  let left = most;
  const add = (kind, text) => {
    if (plain) words.push(["", plain]);
    plain = "";
    words.push([kind, text.slice(0, Math.max(left, 0))]);
    left -= text.length;
  };
  const between = (text) => {
    if (left > 0) plain += text;
    left -= text.length;
  };
  const visit = (value, indentation) => {
    if (value instanceof Decoded) {
      add("how", `(${value.how}) `);
      visit(value.value, indentation);
      return;
    }
    if (value === null || typeof value !== "object") {
      add(typeof value === "string" ? "string" : "other", JSON.stringify(value));
      return;
    }
    const isArray = Array.isArray(value);
    const [open, close] = isArray ? "[]" : "{}";
    const keys = Object.keys(value);
    between(open);
    for (const [index, key] of keys.entries()) {
      if (left <= 0) return;
      between(`${index === 0 ? "" : ","}\n${indentation}  `);
      if (!isArray) {
        add("key", JSON.stringify(key));
        between(": ");
      }
      visit(value[key], `${indentation}  `);
    }
    between(keys.length === 0 ? close : `\n${indentation}${close}`);
  };
  visit(value, "");
  if (plain) words.push(["", plain]);
  return { words, isCut: left < 0 };
}

// Documents and other long texts: laid out, in colours, and cut where they are longer than anybody reads.

import { Decoded } from "./decode.mjs";
import { size, visible } from "./format.mjs";
import { html, useState } from "./html.mjs";
import { pieces } from "./links.mjs";
import { session } from "./store.mjs";

/** How much of a text is shown at first, in characters. */
const MOST_SHOWN = 64 * 1024;

/** A text with a button for the rest of it. `children` makes of a text what is shown. */
export function Cut({ text, label, children }) {
  const [all, setAll] = useState(false);
  const isCut = !all && text.length > MOST_SHOWN;
  return html`<div class="cut">
    ${children(isCut ? text.slice(0, MOST_SHOWN) : text)}
    ${isCut &&
    html`<p class="more">
      The first ${size(MOST_SHOWN)} of ${size(text.length)} are shown.
      <button onClick=${() => setAll(true)}>Show all of ${label}</button>
    </p>`}
  </div>`;
}

/** A text as it is. */
export const Plain = ({ text, label }) =>
  html`<${Cut} text=${text} label=${label}>${(shown) => html`<pre class="text" tabindex="0" aria-label=${label}>${visible(shown)}</pre>`}</>`;

/** A text in which places in the project's files are links, and named as they are called in the project. */
export function Linked({ text }) {
  const root = session.value?.directory;
  return pieces(root, visible(text)).map((piece) =>
    typeof piece === "string" ? piece : html`<a href=${piece.address} title="Open in the editor">${piece.text.replace(`${root}/`, "")}</a>`,
  );
}

/** A value as a document. */
export function Document({ value, label }) {
  const written = write(value);
  const text = written.map(([, piece]) => piece).join("");
  return html`<${Cut} text=${text} label=${label}>
    ${(shown) => {
      let left = shown.length;
      const visiblePieces = [];
      for (const [kind, piece] of written) {
        if (left <= 0) break;
        visiblePieces.push([kind, piece.slice(0, left)]);
        left -= piece.length;
      }
      return html`<pre class="text" tabindex="0" aria-label=${label}>${visiblePieces.map(([kind, piece]) => (kind ? html`<span class=${kind}>${visible(piece)}</span>` : piece))}</pre>`;
    }}
  </>`;
}

/** A value as pieces of text, each with its kind. */
function write(value) {
  const pieces = [];
  let plain = "";
  const add = (kind, text) => {
    if (plain) pieces.push(["", plain]);
    plain = "";
    pieces.push([kind, text]);
  };
  const visit = (value, indentation) => {
    if (value instanceof Decoded) {
      add("how", `(${value.how}) `);
      if (typeof value.value === "string") add("string", JSON.stringify(value.value));
      else visit(value.value, indentation);
      return;
    }
    if (value === null || typeof value !== "object") {
      add(typeof value === "string" ? "string" : "other", JSON.stringify(value) ?? String(value));
      return;
    }
    const isArray = Array.isArray(value);
    const entries = isArray ? value.map((one) => [undefined, one]) : Object.entries(value);
    const [open, close] = isArray ? "[]" : "{}";
    if (entries.length === 0) {
      plain += open + close;
      return;
    }
    plain += open;
    entries.forEach(([key, one], index) => {
      plain += `${index === 0 ? "" : ","}\n${indentation}  `;
      if (!isArray) {
        add("key", JSON.stringify(key));
        plain += ": ";
      }
      visit(one, `${indentation}  `);
    });
    plain += `\n${indentation}${close}`;
  };
  visit(value, "");
  if (plain) pieces.push(["", plain]);
  return pieces;
}

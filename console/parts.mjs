// What several views are made of.

import { html, useEffect, useRef, useState } from "./html.mjs";
import { attempt, tell } from "./store.mjs";

/** A part of a view under a heading; `action` stands beside that. */
export const Section = ({ title, action, children }) =>
  html`<section class="section" aria-label=${title}>
    <div class="heading"><h3>${title}</h3>${action}</div>
    ${children}
  </section>`;

/** Names and values. */
export const Facts = ({ of }) =>
  html`<dl class="facts">
    ${of.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;

/** A choice of which exactly one is made. */
export const Choice = ({ label, options, value, onChange }) =>
  html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, name]) => html`<button aria-pressed=${String(key === value)} onClick=${() => onChange(key)}>${name}</button>`)}
  </div>`;

/** A button whose work takes a moment, during which it is not pressed again. */
export function Work({ onClick, children, ...others }) {
  const [busy, setBusy] = useState(false);
  const work = async () => {
    setBusy(true);
    await attempt(onClick);
    setBusy(false);
  };
  return html`<button disabled=${busy} aria-busy=${String(busy)} onClick=${work} ...${others}>${children}</button>`;
}

/** Puts a text into the clipboard. `make` may take a moment. */
export async function copy(what, make) {
  await attempt(async () => {
    await navigator.clipboard.writeText(await make());
    tell(`Copied ${what}.`);
  });
}

/** Buttons that are shown when they are asked for. */
export function Menu({ label, items }) {
  const [open, setOpen] = useState(false);
  const place = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    place.current.querySelector("[role=menuitem]")?.focus();
    const outside = (event) => {
      if (!place.current.contains(event.target)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    place.current.querySelector("button").focus();
  };
  const onKeyDown = (event) => {
    const buttons = [...place.current.querySelectorAll("[role=menuitem]")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (open && step) {
      event.preventDefault();
      buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length).focus();
    } else if (open && event.key === "Escape") {
      event.stopPropagation();
      close();
    }
  };
  return html`<div class="menu" ref=${place} onKeyDown=${onKeyDown}>
    <button aria-haspopup="menu" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${label} ▾</button>
    ${open &&
    html`<div role="menu" aria-label=${label}>
      ${items.map(
        ([name, work]) =>
          html`<button
            role="menuitem"
            onClick=${() => {
              close();
              work();
            }}
          >
            ${name}
          </button>`,
      )}
    </div>`}
  </div>`;
}

/** Something over the page, until it is closed. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${onClose}>
    <div class="heading">
      <h2>${title}</h2>
      <button class="quiet" aria-label="Close" onClick=${onClose}>✕</button>
    </div>
    ${children}
  </dialog>`;
}

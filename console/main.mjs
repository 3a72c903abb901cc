// The page: what is at the top of it, which view is below, and its keys.

import { access } from "./api.mjs";
import { Call, edit, replay } from "./call.mjs";
import { Calls, focusSearch, selected, step } from "./calls.mjs";
import { EditDialog, SaveDialog } from "./editor.mjs";
import { Events, files, look } from "./events.mjs";
import { visible } from "./format.mjs";
import { Functions } from "./functions.mjs";
import { html, render, signal, useEffect } from "./html.mjs";
import { Overview } from "./overview.mjs";
import { Dialog } from "./parts.mjs";
import { addressOf, attempt, callOf, follow, link, notice, route, session } from "./store.mjs";

/** How long what was done is said, in milliseconds. */
const SAID_MS = 10_000;

const KEYS = [
  ["/", "search in calls"],
  ["j  k", "the next call, the one before"],
  ["Enter", "go into the call that is selected"],
  ["r", "replay it"],
  ["e", "edit its event, and invoke"],
  ["Escape", "back to all calls"],
  ["?", "these keys"],
];

const showsKeys = signal(false);

function Page() {
  const view = route.value[0] ?? "calls";
  const isRefused = access.value === "missing" || access.value === "refused";
  const hasData = session.value !== null;
  useEffect(() => {
    document.title = session.value ? `${session.value.stage} · sst console` : "sst console";
  }, [session.value?.stage]);
  useEffect(() => void look(), [session.value === null]);
  return html`
    <${Top} view=${view} />
    <${Banner} isRefused=${isRefused} />
    <main id="main" tabindex="-1">
      ${isRefused && !hasData ? null : html`<${View} view=${view} />`}
    </main>
    <${EditDialog} />
    <${SaveDialog} />
    ${showsKeys.value &&
    html`<${Dialog} title="Keys" onClose=${() => (showsKeys.value = false)}>
      <dl class="facts keys">${KEYS.map(([keys, what]) => html`<div><dt>${keys.split("  ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl>
    </>`}
    <${Notice} />
  `;
}

function View({ view }) {
  if (view === "functions" && session.value) return html`<${Functions} />`;
  if (view === "events") return html`<${Events} />`;
  if (view === "session" && session.value) return html`<${Overview} />`;
  const id = selected.value;
  return html`<div class=${id ? "split calls-view chosen" : "split calls-view"}>
    <${Calls} />
    ${id &&
    html`<div class="detail" id="detail" tabindex="-1">
      <a class="back" href=${addressOf("calls")}>← All calls</a>
      <${Call} key=${id} id=${id} />
    </div>`}
  </div>`;
}

function Top({ view }) {
  const views = [["calls", "Invocations"], ["functions", "Functions"]];
  if (files.value !== undefined) views.push(["events", "Events"]);
  views.push(["session", "Session"]);
  const { stage, region, endpoint, functions = [], infrastructure } = session.value ?? {};
  const broken = functions.filter((one) => one.build?.state === "failed").length;
  const waits = { changed: "the infrastructure waits to be deployed", broken: "the infrastructure does not synthesise" }[infrastructure?.state];
  const marks = { functions: broken > 0 && [broken, `${broken} of them ${broken === 1 ? "does" : "do"} not build`], session: waits && ["•", waits] };
  return html`<header class="top">
    <h1>sst</h1>
    <nav aria-label="Views">
      ${views.map(
        ([key, name]) =>
          html`<a href=${addressOf(key)} aria-current=${key === view ? "page" : undefined}>
            ${name}${marks[key] && html` <span class="badge" title=${marks[key][1]}>${marks[key][0]}<span class="hidden"> ${marks[key][1]}</span></span>`}
          </a>`,
      )}
    </nav>
    <span class="where">${stage && html`<b>${visible(stage)}</b> <span class="dim">${endpoint ? "local cloud" : visible(region)}</span>`} <${Link} /></span>
    <button class="quiet" aria-label="Keys" onClick=${() => (showsKeys.value = true)}>?</button>
  </header>`;
}

function Link() {
  const isLive = link.value === "live" && session.value?.connection?.state !== "lost";
  const text = link.value === "lost" ? "ended" : isLive ? "live" : link.value === "live" ? "not connected" : "connecting";
  return html`<span class=${`link ${isLive ? "returned" : link.value === "connecting" ? "running" : "failed"}`} role="status"><span aria-hidden="true">●</span> ${text}</span>`;
}

/** What keeps the page from showing what is now, and what to do. */
function Banner({ isRefused }) {
  const how = html`Run <code>npx sst console --open</code> in the project: it opens this page with the token of the session that runs.`;
  if (access.value === "missing") return html`<div class="banner" role="alert"><b>This page has no token.</b> ${how}</div>`;
  if (isRefused) return html`<div class="banner" role="alert"><b>${session.value ? "Another session has begun." : "The token of this page is not that of the session that runs."}</b> ${how}</div>`;
  if (link.value === "lost") {
    return html`<div class="banner" role="alert"><b>The session has ended.</b> ${session.value ? "What you see is what was known of it. " : ""}Start it again with <code>npx sst start</code>, then run <code>npx sst console --open</code>.</div>`;
  }
  if (link.value === "live" && session.value === null) return html`<div class="banner wait" role="status">The app is still being deployed.</div>`;
  return null;
}

function Notice() {
  useEffect(() => {
    if (!notice.value) return undefined;
    const timer = setTimeout(() => (notice.value = null), SAID_MS);
    return () => clearTimeout(timer);
  }, [notice.value]);
  const said = notice.value;
  return html`<div class="notice-place" role=${said?.failed ? "alert" : "status"}>
    ${said && html`<p class=${said.failed ? "notice failed" : "notice"}>${visible(said.text)} <button class="quiet" aria-label="Close" onClick=${() => (notice.value = null)}>✕</button></p>`}
  </div>`;
}

addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (key === "Escape" && selected.value && !target.closest("input, textarea, select")) {
    location.hash = addressOf("calls");
    document.querySelector("#rows")?.focus();
    return;
  }
  if (target.closest("input, textarea, select")) {
    if (key === "Escape") target.blur();
    return;
  }
  const call = selected.value && callOf(selected.value);
  const work = {
    "/": focusSearch,
    "?": () => (showsKeys.value = true),
    j: () => step(1),
    k: () => step(-1),
    r: call && (() => attempt(() => replay(call.id))),
    e: call && (() => edit(call)),
    // On a button or a link it is that one's.
    Enter: target.closest("a, button") ? undefined : () => (call ? document.querySelector("#detail")?.focus() : step(0)),
  }[key];
  if (!work) return;
  const isOfCalls = ["/", "j", "k"].includes(key);
  if (isOfCalls && (route.value[0] ?? "calls") !== "calls") return;
  event.preventDefault();
  work();
});

render(html`<${Page} />`, document.querySelector("#page"));
follow();

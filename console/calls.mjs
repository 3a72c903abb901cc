// All calls, the last one first. Only those are in the document that can be seen, so that there may be many.

import { clock, counted, duration, outcome, short, visible } from "./format.mjs";
import { computed, effect, html, signal, useEffect, useLayoutEffect, useRef } from "./html.mjs";
import { Work } from "./parts.mjs";
import { addressOf, calls, hasOlder, older, route, session } from "./store.mjs";

/** How high a row is, in pixels, as in `console.css`: in two lines where there is little room. */
const NARROW = matchMedia("(max-width: 640px)");
const height = () => (NARROW.matches ? 46 : 26);

/** How many rows more than can be seen are there above and below. */
const BESIDES = 10;

/** How often somebody who listens is told of new calls, in milliseconds. */
const TOLD_EVERY_MS = 5_000;

const search = signal("");
const ofFunction = signal("");
const onlyFailed = signal(false);
const top = signal(0);
const room = signal(600);
/** What was said of new calls last. */
const news = signal("");

export const shown = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const [wanted, failed] = [ofFunction.value, onlyFailed.value];
  const isShown = (call) => {
    if (wanted && call.function !== wanted) return false;
    if (failed && call.status !== "failed") return false;
    if (words.length === 0) return true;
    const text = [call.id, call.function, call.source, call.status, call.summary, call.errorType, call.place].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return calls.value.filter(isShown);
});

/** The call that is shown in full. */
export const selected = computed(() => (route.value[0] === "calls" ? route.value[1] : undefined));

/** Selects the next call, or the one before. */
export function step(by) {
  const index = shown.value.findIndex(({ id }) => id === selected.value);
  const next = shown.value[index < 0 ? 0 : Math.min(Math.max(index + by, 0), shown.value.length - 1)];
  if (next) location.hash = addressOf("calls", next.id);
}

export const focusSearch = () => document.querySelector("#search")?.focus();

/** Shows the calls of one function only. */
export function filterBy(name) {
  ofFunction.value = name;
  location.hash = addressOf("calls");
}

export const Calls = () =>
  html`<div class="calls">
    <${Filters} />
    <${Rows} />
    <${News} />
  </div>`;

function Filters() {
  const names = new Set([...(session.value?.functions ?? []).map(({ id }) => id), ...calls.value.map((call) => call.function)]);
  if (ofFunction.value) names.add(ofFunction.value);
  return html`<div class="filters" role="search" aria-label="Calls">
    <input
      id="search"
      type="search"
      placeholder="Search   /"
      aria-label="Search in calls"
      value=${search.value}
      onInput=${(event) => (search.value = event.target.value)}
      onKeyDown=${(event) => event.key === "Enter" && document.querySelector("#rows")?.focus()}
    />
    <select aria-label="Function" value=${ofFunction.value} onChange=${(event) => (ofFunction.value = event.target.value)}>
      <option value="">All functions</option>
      ${[...names].sort().map((name) => html`<option value=${name}>${visible(name)}</option>`)}
    </select>
    <button aria-pressed=${String(onlyFailed.value)} onClick=${() => (onlyFailed.value = !onlyFailed.value)}>Failed</button>
    <span class="count">${counted(shown.value.length, "call")}</span>
  </div>`;
}

function Rows() {
  const place = useRef(null);
  const anchor = useRef(null);
  const list = shown.value;
  const each = height();
  const first = Math.max(0, Math.floor(top.value / each) - BESIDES);
  const last = Math.min(list.length, Math.ceil((top.value + room.value) / each) + BESIDES);
  const rows = list.slice(first, last);

  useEffect(() => {
    const element = place.current;
    const observer = new ResizeObserver(() => (room.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // What somebody reads stays where it is when calls come above it.
  useLayoutEffect(() => {
    const { id, offset } = anchor.current ?? {};
    const index = id && place.current.scrollTop > 0 ? list.findIndex((call) => call.id === id) : -1;
    if (index >= 0) place.current.scrollTop = index * each + offset;
  }, [list]);
  // The selected call can be seen.
  useLayoutEffect(() => {
    const index = list.findIndex(({ id }) => id === selected.value);
    if (index < 0) return;
    const { scrollTop, clientHeight } = place.current;
    if (index * each < scrollTop) place.current.scrollTop = index * each;
    else if ((index + 1) * each > scrollTop + clientHeight) place.current.scrollTop = (index + 1) * each - clientHeight;
  }, [selected.value]);

  const onScroll = () => {
    const { scrollTop } = place.current;
    top.value = scrollTop;
    const index = Math.floor(scrollTop / each);
    anchor.current = { id: shown.value[index]?.id, offset: scrollTop - index * each };
  };
  const onKeyDown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    step(by);
  };
  const isActive = rows.some(({ id }) => id === selected.value);
  return html`<div
    id="rows"
    class="rows"
    ref=${place}
    role="grid"
    tabindex="0"
    aria-label="Calls"
    aria-rowcount=${list.length + 1}
    aria-activedescendant=${isActive ? `row-${selected.value}` : undefined}
    onScroll=${onScroll}
    onKeyDown=${onKeyDown}
  >
    <div class="row head" role="row" aria-rowindex="1">
      ${["Time", "Function", "Source", "Outcome", "Took", "Waited", "Id"].map((name) => html`<span role="columnheader" class=${name.toLowerCase()}>${name}</span>`)}
    </div>
    <div class="all" role="rowgroup" style=${{ height: `${list.length * each}px` }}>
      ${rows.map((call, index) => html`<${Row} key=${call.id} call=${call} index=${first + index} each=${each} />`)}
    </div>
    ${list.length === 0 && html`<div role="row" class="none"><span role="gridcell"><${None} /></span></div>`}
    ${hasOlder.value && list.length > 0 && html`<div role="row" class="older"><span role="gridcell"><${Work} class="quiet" onClick=${() => older()}>Show older calls</></span></div>`}
  </div>`;
}

const None = () =>
  calls.value.length > 0
    ? html`No call is like that. <button onClick=${() => ([search.value, ofFunction.value, onlyFailed.value] = ["", "", false])}>Show all</button>`
    : "No call yet. Whatever calls a function of this stage shows up here at once.";

function Row({ call, index, each }) {
  const { mark, text, kind } = outcome(call);
  const isSelected = call.id === selected.value;
  return html`<div
    class=${`row ${kind}`}
    role="row"
    id=${`row-${call.id}`}
    aria-rowindex=${index + 2}
    aria-selected=${String(isSelected)}
    style=${{ top: `${index * each}px` }}
    onClick=${() => (location.hash = addressOf("calls", call.id))}
  >
    <span role="gridcell" class="time">${clock(call.at)}</span>
    <span role="gridcell" class="function" title=${visible(call.function)}>${visible(call.function)}</span>
    <span role="gridcell" class="source" title=${visible(call.source)}>
      ${call.replayOf && html`<span class="again" title="Replayed">↻<span class="hidden"> replayed </span></span>`}${visible(call.source)}
    </span>
    <span role="gridcell" class="outcome" title=${visible(text)}><span class="mark" aria-hidden="true">${mark}</span> ${visible(text)}</span>
    <span role="gridcell" class="took">${duration(call.tookMs)}</span>
    <span role="gridcell" class="waited">${duration(call.waitedMs)}</span>
    <span role="gridcell" class="id">${short(call.id)}</span>
  </div>`;
}

/** Says how many calls have come, at times, for whoever does not see them. */
function News() {
  useEffect(() => {
    let [seen, told] = [undefined, 0];
    let timer;
    const say = () => {
      timer = undefined;
      const fresh = calls.value.filter((call) => call.at > (seen ?? Infinity));
      seen = calls.value[0]?.at ?? seen;
      if (fresh.length === 0) return;
      told = Date.now();
      const failed = fresh.filter(({ status }) => status === "failed").length;
      news.value = `${counted(fresh.length, "new call")}${failed > 0 ? `, ${failed} failed` : ""}`;
    };
    const stop = effect(() => {
      const last = calls.value[0];
      // What is there at first is not new.
      if (seen === undefined) seen = last?.at ?? 0;
      else if (last && last.at > seen) timer ??= setTimeout(say, Math.max(500, told + TOLD_EVERY_MS - Date.now()));
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return html`<div class="hidden" role="status" aria-live="polite">${news.value}</div>`;
}

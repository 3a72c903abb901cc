// The functions: where their code is, whether it builds, and how long their calls take.

import { clock, counted, duration, outcome, visible } from "./format.mjs";
import { asLaunchEntry } from "./copies.mjs";
import { Environment } from "./call.mjs";
import { Linked } from "./document.mjs";
import { InvokeBox } from "./editor.mjs";
import { filterBy } from "./calls.mjs";
import { html } from "./html.mjs";
import { addressOf as placeOf } from "./links.mjs";
import { Facts, Section, copy } from "./parts.mjs";
import { addressOf, calls, route, session } from "./store.mjs";

/** How many calls a chart has. */
const CHARTED = 20;

export function Functions() {
  const functions = session.value?.functions ?? [];
  const chosen = functions.find(({ id }) => id === route.value[1]);
  return html`<div class=${chosen ? "split chosen" : "split"}>
    <nav class="list" aria-label="Functions">
      ${functions.map((one) => html`<${Entry} one=${one} isChosen=${one === chosen} />`)}
    </nav>
    <div class="detail">
      ${chosen && html`<a class="back" href=${addressOf("functions")}>← All functions</a>`}
      ${chosen ? html`<${Whole} key=${chosen.id} one=${chosen} />` : html`<p class="none">${functions.length > 0 ? "Choose a function." : "The app has no functions."}</p>`}
    </div>
  </div>`;
}

function Entry({ one, isChosen }) {
  const { mark, text, kind } = build(one);
  return html`<a href=${addressOf("functions", one.id)} aria-current=${isChosen ? "true" : undefined}>
    <span class="name">${visible(one.id)}</span>
    <span class="dim">${one.language}</span>
    <span class=${kind} title=${text}>${mark}<span class="hidden"> ${text}</span></span>
    <${Chart} of=${one.id} />
  </a>`;
}

function build({ build }) {
  switch (build?.state) {
    case "building":
      return { mark: "…", text: "is being built", since: "since", kind: "running" };
    case "failed":
      return { mark: "✗", text: "does not build", since: "since", kind: "failed" };
    case "built":
      return { mark: "✓", text: "built", since: "at", kind: "returned" };
    default:
      return { mark: "", text: "", kind: "" };
  }
}

function Whole({ one }) {
  const { id, language, runtime, handler, source, workers } = one;
  const debugPort = session.value.debugPorts?.[id];
  const root = session.value.directory;
  const path = source?.path ?? source?.entry;
  const address = path && placeOf(root, path);
  const shown = path?.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
  const triggers = session.value.triggers?.[id] ?? [];
  const { mark, text, since, kind } = build(one);
  const took = one.build?.state === "built" && one.build.tookMs !== undefined ? ` in ${duration(one.build.tookMs)}` : "";
  const when = one.build?.at ? `${text} ${since} ${clock(one.build.at)}${took}` : text;
  const entry = () => copy("an entry for launch.json", () => asLaunchEntry({ ...one, debugPort }, session.value));
  const settings = [one.timeoutS && `${one.timeoutS} s`, one.memoryMb && `${one.memoryMb} MB`].filter(Boolean).join(", ");
  return html`<article aria-label=${visible(id)}>
    <header>
      <h2>${visible(id)}</h2>
      <${Facts}
        of=${[
          ["Language", `${language}${runtime ? ` (${runtime})` : ""}`],
          ["Code", shown && (address ? html`<a href=${address} title="Open in the editor">${visible(shown)}</a>` : visible(shown))],
          ["Handler", html`<code>${visible(handler ?? "")}</code>`],
          ["Limits", settings],
          ["Build", text && html`<span class=${kind}>${mark} ${when}</span>`],
          ["Called by", triggers.length > 0 && triggers.map((trigger) => html`<div>${visible(trigger.text)}</div>`)],
          ["Processes", workers && (["busy", "idle", "starting"].filter((state) => workers[state] > 0).map((state) => `${workers[state]} ${state}`).join(", ") || "none")],
          ["Debugger", html`<code>${debugPort ? `127.0.0.1:${debugPort}` : session.value.inspector}</code> <button class="quiet" onClick=${entry}>Copy launch.json entry</button>`],
        ]}
      />
      <div class="actions"><button onClick=${() => filterBy(id)}>Show its calls</button></div>
    </header>
    ${one.build?.state === "failed" &&
    html`<${Section} title="It does not build; if it did before, that code keeps serving">
      <pre class="text error" tabindex="0" aria-label="Error of the build"><${Linked} text=${one.build.error ?? ""} /></pre>
    </>`}
    <${Section} title="Invoke"><${InvokeBox} name=${id} /></>
    <${Section} title="The last calls"><${Chart} of=${id} large=${true} /></>
    <${Environment} name=${id} />
  </article>`;
}

/** How long the last calls took: a bar for each, the last one on the right. */
function Chart({ of, large = false }) {
  const last = [];
  for (const call of calls.value) {
    if (call.function === of && call.tookMs !== undefined) last.push(call);
    if (last.length === CHARTED) break;
  }
  last.reverse();
  if (last.length === 0) return large ? html`<p class="dim">None yet.</p>` : null;
  const longest = Math.max(...last.map(({ tookMs }) => tookMs));
  const [step, high] = large ? [12, 60] : [4, 16];
  const sorted = last.map(({ tookMs }) => tookMs).sort((one, other) => one - other);
  const median = sorted[Math.floor(sorted.length / 2)];
  const words = `${counted(last.length, "call")}: ${duration(median)} in the middle, ${duration(longest)} at most`;
  const bars = last.map((call, index) => {
    const tall = Math.max(1, (call.tookMs / longest) * high);
    return html`<rect class=${outcome(call).kind} x=${index * step} y=${high - tall} width=${step - 1} height=${tall}>${large && html`<title>${clock(call.at)} ${duration(call.tookMs)}</title>`}</rect>`;
  });
  return html`<span class="chart">
    <svg role="img" aria-label=${words} width=${CHARTED * step} height=${high} viewBox=${`0 0 ${CHARTED * step} ${high}`}>${bars}</svg>
    ${large && html`<span class="dim">${words}</span>`}
  </span>`;
}

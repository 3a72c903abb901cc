// The session: what it serves, how it is connected, and what waits to be deployed.

import { ask } from "./api.mjs";
import { clock, visible } from "./format.mjs";
import { html, useState } from "./html.mjs";
import { Facts, Section, Work, copy } from "./parts.mjs";
import { session, tell } from "./store.mjs";

const INFRASTRUCTURE = {
  deploying: "is being deployed",
  deployed: "is deployed",
  changed: "has changed, and waits to be deployed",
  broken: "does not synthesise as it is saved; what is deployed keeps running",
  failed: "could not be deployed; what was deployed before keeps running",
};

export function Overview() {
  const { stage, region, endpoint, control, inspector, flatInspector, debugAdapter, pid, directory, outputs = {}, connection, infrastructure } = session.value;
  const all = Object.entries(outputs).flatMap(([stack, values]) => Object.entries(values).map(([name, value]) => ({ stack, name, value })));
  return html`<div class="overview">
    <${Infrastructure} of=${infrastructure} />
    <${Section} title="Session">
      <${Facts}
        of=${[
          ["Stage", visible(stage)],
          ["Region", visible(region)],
          ["Local cloud", endpoint && html`<code>${visible(endpoint)}</code>`],
          ["Project", html`<code>${visible(directory ?? "")}</code>`],
          ["Process", pid],
          ["API", html`<code>http://${control}</code>`],
        ]}
      />
    </>
    <${Section} title="Debuggers attach at">
      <${Facts} of=${[["Node.js", html`<code>${inspector}</code>`], ["Node.js, one process at a time", html`<code>${flatInspector}</code>`], ["All languages", html`<code>${debugAdapter}</code>`]]} />
    </>
    <${Section} title="Outputs">
      ${all.length === 0 ? html`<p class="dim">The stacks have none.</p>` : html`<${Facts} of=${all.map(({ stack, name, value }) => [visible(name), html`<code title=${visible(stack)}>${visible(value)}</code> <button class="quiet" aria-label=${`Copy ${name}`} onClick=${() => copy(name, () => value)}>Copy</button>`])} />`}
    </>
    ${connection &&
    html`<${Section} title="Connection">
      <p class=${connection.state === "lost" ? "failed" : ""}>${connection.state === "lost" ? "Lost" : "Connected"} since ${clock(connection.since)}.</p>
      <ul class="related">${[...(connection.history ?? [])].reverse().map(({ at, text }) => html`<li><span class="dim">${clock(at)}</span> ${visible(text)}</li>`)}</ul>
    </>`}
  </div>`;
}

function Infrastructure({ of }) {
  const [asked, setAsked] = useState(false);
  if (!of) return null;
  const { state, at, changes = [] } = of;
  const deploy = async () => {
    setAsked(false);
    await ask("deploy", { method: "POST" });
    tell("The deployment has begun.");
  };
  const waits = state === "changed" || state === "failed";
  return html`<${Section} title="Infrastructure">
    <p class=${state === "broken" || state === "failed" ? "failed" : ""}>It ${INFRASTRUCTURE[state] ?? visible(state)}${at ? `, since ${clock(at)}` : ""}.</p>
    ${changes.length > 0 && html`<ul class="changes">${changes.map((change) => html`<li>${visible(change)}</li>`)}</ul>`}
    ${waits &&
    html`<div class="actions">
      ${asked ? html`<span>Deploy this to stage ${visible(session.value.stage)}?</span> <${Work} class="main" onClick=${deploy}>Yes, deploy</> <button onClick=${() => setAsked(false)}>Cancel</button>` : html`<button class="main" onClick=${() => setAsked(true)}>Deploy</button>`}
    </div>`}
  </>`;
}

// The session: what it serves, how it is connected, and what waits to be deployed.

import { ask } from "./api.mjs";
import { Linked } from "./document.mjs";
import { clock, visible } from "./format.mjs";
import { html, useState } from "./html.mjs";
import { Facts, Section, Work, copy } from "./parts.mjs";
import { session, tell } from "./store.mjs";

const INFRASTRUCTURE = {
  deploying: "It is being deployed.",
  deployed: "It is deployed as it is saved.",
  changed: "It has changed, and waits to be deployed.",
  broken: "It does not synthesise as it is saved. What is deployed keeps running.",
};

const ACTIONS = { add: "+", modify: "~", remove: "−" };

export function Overview() {
  const { stage, region, endpoint, control, inspector, flatInspector, debugAdapter, pid, directory, outputs = {}, connection, infrastructure } = session.value;
  const all = Object.entries(outputs).flatMap(([stack, values]) => Object.entries(values).map(([name, value]) => ({ stack, name, value })));
  return html`<div class="overview">
    <h2 class="hidden">Session</h2>
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
      ${all.length === 0 ? html`<p class="dim">The stacks have none.</p>` : html`<${Facts} of=${all.map((one) => [visible(one.name), html`<${Output} of=${one} />`])} />`}
    </>
    ${connection && html`<${Connection} of=${connection} />`}
  </div>`;
}

const Output = ({ of: { stack, name, value } }) =>
  html`<code title=${visible(stack)}>${visible(value)}</code> <button class="quiet" aria-label=${`Copy ${name}`} onClick=${() => copy(name, () => value)}>Copy</button>`;

function Connection({ of: { state, history = [] } }) {
  const isLost = state === "lost";
  return html`<${Section} title="Connection">
    <p class=${isLost ? "failed" : ""}>${isLost ? "The connection to the stubs is lost. Calls in the cloud wait for it." : "The stubs are connected."}</p>
    <ul class="related">
      ${[...history].reverse().map((change) => html`<li><span class="dim">${clock(change.at)}</span> ${change.state}${change.reason && html`: ${visible(change.reason)}`}</li>`)}
    </ul>
  </>`;
}

function Infrastructure({ of }) {
  const [asked, setAsked] = useState(false);
  if (!of) return null;
  const { state, changes = [], resources = [], error } = of;
  const deploy = async () => {
    setAsked(false);
    await ask("deploy", { method: "POST" });
    tell("The deployment has begun.");
  };
  return html`<${Section} title="Infrastructure">
    <p role="status" class=${state === "broken" ? "failed" : ""}>${INFRASTRUCTURE[state] ?? visible(state)}</p>
    ${error && html`<pre class="text error" tabindex="0" aria-label="Error of the infrastructure"><${Linked} text=${error} /></pre>`}
    ${changes.length > 0 && html`<ul class="changes">${changes.map((change) => html`<li>${visible(change)}</li>`)}</ul>`}
    ${resources.length > 0 &&
    html`<ul class="changes resources" aria-label="Resources">
      ${resources.map((one) => html`<li class=${one.action}><span aria-hidden="true">${ACTIONS[one.action]}</span><span class="hidden">${one.action}</span> ${visible(one.logicalId)} <span class="dim">${visible(one.type)}</span></li>`)}
    </ul>`}
    ${state === "changed" &&
    html`<div class="actions">
      ${asked
        ? html`<span>Deploy this to stage ${visible(session.value.stage)}?</span> <${Work} class="main" onClick=${deploy}>Yes, deploy</> <button onClick=${() => setAsked(false)}>Cancel</button>`
        : html`<button class="main" onClick=${() => setAsked(true)}>Deploy</button>`}
    </div>`}
  </>`;
}

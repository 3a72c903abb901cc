// A debugger with "Uncaught Exceptions" on stops where a handler throws what it does not catch itself, and nowhere else; and what
// becomes of the call is the same as without a debugger.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { RuntimeApi, start } from "./support.mjs";

const CDP = createRequire(new URL("../fixtures/package.json", import.meta.url))("chrome-remote-interface");

/** What is answered to one call after another of a worker, with a debugger that stops at uncaught exceptions or without one. */
async function calls(handler, { debugged, more, count = 2 }) {
  const api = await new RuntimeApi().listen();
  const worker = start(api, handler, { more });
  const stops = [];
  try {
    let client;
    if (debugged) {
      const port = await listening(worker);
      client = await CDP({ host: "127.0.0.1", port, local: true });
      client.Debugger.paused(({ callFrames, data }) => {
        stops.push(`${callFrames[0]?.functionName}: ${String(data?.description ?? data?.value).split("\n")[0]}`);
        client.Debugger.resume();
      });
      await client.Debugger.enable();
      await client.Debugger.setAsyncCallStackDepth({ maxDepth: 32 });
      await client.Debugger.setPauseOnExceptions({ state: "uncaught" });
    }
    const answers = [];
    for (let number = 0; number < count; number += 1) {
      api.deliver({}, debugged ? { "Sst-Debugged": "1" } : {});
      const ended = worker.exited.then((exit) => assert.fail(`ended with ${JSON.stringify(exit)}: ${worker.output()}`));
      ended.catch(() => {});
      const { where, body, trailers } = await Promise.race([api.post(), ended]);
      answers.push({ where, body, trailers });
    }
    await client?.close();
    return { answers, stops };
  } finally {
    worker.child.kill("SIGKILL");
    await worker.exited;
    api.close();
  }
}

/** The port of the worker's inspector. */
async function listening(worker) {
  for (;;) {
    const port = /ws:\/\/127\.0\.0\.1:(\d+)\//.exec(worker.output())?.[1];
    if (port !== undefined) return Number(port);
    await Promise.race([new Promise((resolve) => worker.child.stderr.once("data", resolve)), worker.exited]);
  }
}

const handlers = {
  "uncaught.sync": ["exports.sync: OwnError: sync"],
  "uncaught.before": ["exports.before: OwnError: before"],
  "uncaught.after": ["exports.after: OwnError: after"],
  "uncaught.deep": ["later: RangeError: later"],
  "uncaught.passedOn": ["later: RangeError: later"],
  "uncaught.callback": ["exports.callback: OwnError: callback"],
  "uncaught.patched": ["exports.patched: OwnError: patched"],
  "uncaught.text": ["exports.text: only text"],
  "uncaught.streams": [": OwnError: streams"],
  "uncaught-module.sync": ["sync: TypeError: sync"],
  "uncaught-module.after": ["after: TypeError: after"],
  "uncaught.caught": [],
  "uncaught.caughtAtOnce": [],
  "uncaught.taken": [],
  "uncaught.allSettled": [],
  "uncaught.outer": [],
  "uncaught-module.caught": [],
};
for (const runtime of ["nodejs22.x", "nodejs24.x"]) {
  for (const [handler, expected] of Object.entries(handlers)) {
    // That runtime refuses handlers with callbacks.
    if (runtime === "nodejs24.x" && handler === "uncaught.callback") continue;
    test(`${handler} on ${runtime}: ${expected.length > 0 ? "stops" : "does not stop"}`, async () => {
      const more = { AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}` };
      const [seen, plain] = await Promise.all([calls(handler, { debugged: true, more }), calls(handler, { debugged: false, more })]);
      // Some versions of Node name exported functions otherwise.
      const names = (stops) => stops.map((stop) => stop.replace("exports.", "").replace("OwnError: ", "").replace("Error: ", ""));
      assert.deepEqual(names(seen.stops), names([...expected, ...expected]));
      assert.deepEqual(seen.answers, plain.answers);
      assert.deepEqual(plain.stops, []);
    });
  }
}

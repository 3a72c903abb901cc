// `sst start` ends while calls are open: each caller is told what is known, and soon.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

/** How long a caller waits where nobody is registered. */
const NOBODY_MS = 5_000;

/** How long a stub hears nothing before it asks, how long that takes, and how long nobody may know where its call is. */
const QUIET_MS = 8_000;
const ASKED_MS = 4_000;
const GONE_MS = 10_000;

const ENDED = /^the `sst start` of .+ for stage `dev` ended before it had answered the request\. The function may have run, in part or as a whole/;

/** The answer of a call, and how long it took. */
async function timed(call) {
  const sent = Date.now();
  const answer = await call;
  return { ...answer, value: JSON.parse(answer.bytes), took: Date.now() - sent };
}

describe("calls that are open when it ends", () => {
  let deployed;
  before(async () => (deployed = await Deployed.start()));
  after(() => deployed?.close());

  const kill = async () => {
    deployed.sst.child.kill("SIGKILL");
    await deployed.sst.closed;
  };

  test("are answered when it is stopped, and later ones fail at once", async () => {
    const running = await deployed.asleep("stopped");
    await deployed.sst.stop();
    const stopped = Date.now();
    const { value } = await running.answer;
    assert.equal(value.errorType, "Sst.Stopped");
    const { value: later, took } = await timed(deployed.call("count", { number: 1 }));
    assert.equal(later.errorType, "Sst.NotRunning");
    const [, owner, time] = /nobody is registered for the function; the last was (\S+), until ([\d-]+ [\d:]+) UTC\. /.exec(later.errorMessage) ?? assert.fail(later.errorMessage);
    assert.match(owner, /^.+@.+$/);
    assert.ok(Math.abs(Date.parse(`${time.replace(" ", "T")}Z`) - stopped) <= 5_000, `${time} is not ${new Date(stopped).toISOString()}`);
    assert.match(later.errorMessage, /Run `sst start --stage dev` to run the function on your machine, or `sst restore --stage dev` to give it its own code back$/);
    assert.ok(took <= NOBODY_MS, `${took} ms`);
    deployed.sst = await deployed.serve();
  });

  test("are failed when it is killed and started again, and what was sent meanwhile is run", async () => {
    const running = timed((await deployed.asleep("killed")).answer);
    let known;
    running.then(() => (known = Date.now()));
    const killed = Date.now();
    await kill();
    const meanwhile = deployed.call("count", { number: 2 });
    deployed.sst = await deployed.serve();
    const serving = Date.now();
    const { value } = await running;
    assert.equal(value.errorType, "Sst.Ended");
    assert.match(value.errorMessage, ENDED);
    // After some silence it is asked, and the new one is found.
    const late = known - Math.max(serving, killed + QUIET_MS);
    assert.ok(late <= ASKED_MS, `${late} ms after that could be known`);
    const { value: counted, requestId } = await meanwhile;
    assert.equal(counted.number, 2, JSON.stringify(counted));
    deployed.onlyOnce([requestId]);
  });

  test("are said to be unanswered, not to have timed out, when it is killed for good and their time is over", async () => {
    const brief = deployed.sst.stackOutput("Functionbrief");
    const from = deployed.counterpart.records.length;
    const answer = timed(deployed.counterpart.invoke(brief, { until: "brief" }));
    await until("a function that sleeps", () => fs.existsSync(path.join(deployed.where, "brief.asleep")));
    await deployed.taken(from);
    await kill();
    const { value, took } = await answer;
    assert.equal(value.errorType, "Sst.Silent", JSON.stringify(value));
    assert.match(value.errorMessage, /took the request, and was not heard of in the last \d+ s of the stub's 25 s: it was killed, its machine is asleep/);
    assert.ok(took <= 25_500, `${took} ms`);
  });

  test("are failed when it is killed for good and its registration is over", async () => {
    deployed.sst = await deployed.serve({ args: ["--increase-timeout"] });
    const running = timed((await deployed.asleep("expired")).answer);
    await kill();
    const { tables } = await deployed.counterpart.state();
    const [[table, items]] = Object.entries(tables);
    for (const item of items) await deployed.counterpart.ask("putItem", { table, item: { ...item, ttl: { N: "1" } } });
    const over = Date.now();
    const { value } = await running;
    assert.equal(value.errorType, "Sst.Ended", JSON.stringify(value));
    assert.match(value.errorMessage, ENDED);
    assert.ok(Date.now() - over <= QUIET_MS + GONE_MS + ASKED_MS, `${Date.now() - over} ms`);
    const { value: later, took } = await timed(deployed.call("count", { number: 3 }));
    assert.match(later.errorMessage, /the one that was registered last, \S+@\S+, has not been heard of for a while; its registration ended at 1970-01-01 00:00:01 UTC\. Run `sst start --stage dev`/);
    assert.ok(took <= NOBODY_MS, `${took} ms`);
  });
});

// What answers at `$connect` and `hello`: API Gateway by itself, so that cold stubs take no function's concurrency. Where it does not do so,
// a function does, from then on.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { Sst } from "../support/sst.mjs";

/** As many stubs as start at once. */
const STUBS = 10;

/** Has as many stubs start cold as a function may have, and each of them serve a call. */
async function coldStubs({ counterpart, names, executions, call }) {
  await counterpart.ask("recycle", { name: names.count });
  await counterpart.settled();
  const from = counterpart.records.length;
  const answers = await Promise.all(Array.from({ length: STUBS }, (_, number) => call("count", { number, cold: from })));
  assert.ok(answers.every(({ error }) => error === undefined), JSON.stringify(answers.map(({ value }) => value)));
  await counterpart.settled();
  const stubs = counterpart.recorded({ kind: "connected", direction: "toStub" }, from).length;
  return { stubs, asked: counterpart.recorded({ kind: "control" }, from).length, calls: executions().size };
}

const of = (deployed) => ({
  counterpart: deployed.counterpart,
  names: deployed.names,
  executions: () => deployed.executions(),
  call: (...call) => deployed.call(...call),
});

const debugStackOf = async (counterpart) => Object.entries((await counterpart.state()).stacks).find(([name]) => name.endsWith("debug-stack"));
const deployments = (counterpart, name) => counterpart.recorded({ kind: "cloudformation", operation: "ExecuteChangeSet", stack: name }).length;

describe("where API Gateway answers by itself", () => {
  let deployed;
  before(async () => (deployed = await Deployed.start({ proxies: false })));
  after(() => deployed?.close());

  test("there is no function for it, and cold stubs ask none", async () => {
    const { counterpart } = deployed;
    const [, { parameters, resources }] = await debugStackOf(counterpart);
    assert.equal(parameters.Answers, "mock");
    assert.deepEqual(Object.keys(resources).filter((name) => name.startsWith("Control")), []);
    const { stubs, asked } = await coldStubs(of(deployed));
    assert.deepEqual({ stubs, asked }, { stubs: STUBS, asked: 0 });
    assert.deepEqual(counterpart.recorded({ kind: "control" }), []);
    assert.deepEqual(counterpart.recorded({ kind: "misconfigured" }), []);
    // The time that the template tells is read: calls are begun, and nobody finds them old.
    assert.doesNotMatch(deployed.sst.output, /does not answer|too late/);
  });
});

for (const route of ["$connect", "hello"]) {
  describe(`where it does not answer at ${route}`, () => {
    let deployed;
    before(async () => {
      deployed = await Deployed.start({ proxies: false, prepare: (counterpart) => counterpart.settings({ gateway: { mock: { [route]: false } } }) });
    });
    after(() => deployed?.close());

    test("a function does, which is said once, and serves as before", async () => {
      const { counterpart, sst } = deployed;
      const said = sst.output.match(/warning: API Gateway does not answer `\$connect` and `hello` by itself here \(the WebSocket API answers[^)]*\), so a Lambda function does from now on/g);
      assert.equal(said?.length, 1, sst.output);
      const [name, { status, parameters, resources }] = await debugStackOf(counterpart);
      assert.deepEqual([status, parameters.Answers], ["UPDATE_COMPLETE", "function"]);
      assert.deepEqual(Object.keys(resources).filter((one) => one.startsWith("Control")).toSorted(), ["Control", "ControlIntegration", "ControlPermission", "ControlRole"]);
      assert.equal(deployments(counterpart, name), 2);
      const { stubs, asked } = await coldStubs(of(deployed));
      assert.deepEqual({ stubs, asked }, { stubs: STUBS, asked: 2 * STUBS });
    });

    test("and still does at the next start, whatever API Gateway does by then", async () => {
      const { counterpart } = deployed;
      await deployed.sst.stop();
      await counterpart.settings({ gateway: { mock: { [route]: true } } });
      const from = counterpart.records.length;
      deployed.sst = await deployed.serve();
      assert.doesNotMatch(deployed.sst.output, /does not answer/);
      const [name, { parameters }] = await debugStackOf(counterpart);
      assert.deepEqual([parameters.Answers, deployments(counterpart, name)], ["function", 2]);
      assert.deepEqual(counterpart.recorded({ kind: "control" }, from).slice(0, 2).map(({ who, route }) => [who, route]), [["developer", "$connect"], ["developer", "hello"]]);
      assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });
    });
  });
}

test("a start that fails for another reason leaves the stack as it is", async () => {
  const deployed = await Deployed.prepare({ proxies: false });
  try {
    const { counterpart } = deployed;
    await counterpart.fault({ match: { service: "websocket" }, status: 403, error: "AccessDeniedException", message: "not authorized to perform: execute-api:Invoke" });
    const sst = new Sst(deployed.copy(), ["start", "--stage", "dev", "--yes"], deployed.environment);
    const { code } = await sst.exited;
    assert.equal(code, 6, sst.output);
    assert.match(sst.output, /the WebSocket API refuses the credentials \(403/);
    assert.doesNotMatch(sst.output, /does not answer/);
    const [name, { parameters }] = await debugStackOf(counterpart);
    assert.deepEqual([parameters.Answers, deployments(counterpart, name)], ["mock", 1]);
  } finally {
    await deployed.close();
  }
});

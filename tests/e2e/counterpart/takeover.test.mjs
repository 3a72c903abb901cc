// Two people on one stage, each with a machine, a home and a network of their own: whoever starts last answers, and every call runs once.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

/** How long somebody who is not told may not know that another one answers: the time between two renewals, and some more. */
const NOTICED_WITHIN_MS = 35_000;

describe("two people on one stage", () => {
  let deployed;
  let alice;
  let bob;
  before(async () => {
    deployed = await Deployed.prepare({ settings: { functions: { concurrency: 20 } } });
    [alice, bob] = [await deployed.person("alice"), await deployed.person("bob")];
    alice.sst = await deployed.serve(alice);
  });
  after(() => deployed?.close());

  const environments = async (name) => (await deployed.counterpart.state()).functions[deployed.names[name]].environments;
  const lost = (by) => new RegExp(`${by.owner} has taken over ([^;]*); their machine answers now`);
  const taken = (from) => new RegExp(`taken over from ${from.owner}: ([^;]*); this machine answers now`);
  const names = ([, listed]) => listed.split(", ").map((name) => name.split("/").pop()).sort();
  const everything = ["brief", "count", "echo", "hasty", "sleep", "stream", "throws"];

  /** Has `winner` start. Returns where in `loser`'s terminal to look for what is said of it. */
  async function takeOver(winner, loser) {
    const before = loser.sst.output.length;
    winner.sst = await deployed.serve(winner);
    return before;
  }

  test("whoever starts last answers, for warm and for cold stubs, and both terminals say so", async () => {
    assert.equal((await deployed.call("count", { number: 1 })).value.at, alice.app);
    const [{ number, calls }] = await environments("count");
    const underWay = await deployed.asleep("under-way");
    const before = await takeOver(bob, alice);
    const warm = await deployed.call("count", { number: 2 });
    assert.equal(warm.value.at, bob.app);
    assert.deepEqual(
      (await environments("count")).map((one) => [one.number, one.calls]),
      [[number, calls + 1]],
      "the stub was warm",
    );
    assert.equal((await deployed.call("echo", {})).value.at, bob.app);
    assert.deepEqual(names(await alice.sst.waitFor(lost(bob), before)), everything);
    assert.deepEqual(names(await bob.sst.waitFor(taken(alice))), everything);
    // Whoever has begun a call ends it.
    const from = deployed.counterpart.records.length;
    underWay.wake();
    assert.deepEqual((await underWay.answer).value, { slept: "under-way" });
    await deployed.counterpart.settled();
    assert.deepEqual(deployed.counterpart.recorded({ kind: "invoke" }, from), []);
    deployed.onlyOnce([warm.requestId]);
  });

  test("while they take over from one another, every call runs once, and where the last start says", async () => {
    const ids = [];
    let number = 0;
    let over = false;
    const callers = Array.from({ length: 4 }, async () => {
      while (!over) {
        const { error, value, requestId } = await deployed.call("count", { number: number++ });
        assert.equal(error, undefined, JSON.stringify(value));
        ids.push(requestId);
      }
    });
    try {
      for (const [winner, loser] of [[alice, bob], [bob, alice], [alice, bob]]) {
        await winner.sst.stop();
        const before = await takeOver(winner, loser);
        await loser.sst.waitFor(lost(winner), before);
        const calls = await Promise.all(Array.from({ length: 5 }, () => deployed.call("count", { number: "after" })));
        assert.deepEqual(calls.map(({ value }) => value.at), calls.map(() => winner.app));
        ids.push(...calls.map(({ requestId }) => requestId));
      }
    } finally {
      over = true;
      await Promise.all(callers);
    }
    console.log(`${ids.length} calls`);
    deployed.onlyOnce(ids);
  });

  test("news of a takeover that comes when it is not so any more changes nothing", async () => {
    await deployed.counterpart.settled();
    const sent = deployed.counterpart.recorded(({ kind, who, text }) => kind === "post" && who === "developer" && text.includes(`"by":"${bob.owner}"`));
    const news = sent.filter(({ text }) => text.includes('"displaced"')).pop();
    const { connection } = await deployed.registered("count");
    const printed = alice.sst.output.length;
    await deployed.counterpart.ask("say", { id: connection, text: news.text });
    const calls = await Promise.all(Array.from({ length: 5 }, () => deployed.call("count", { number: "old news" })));
    assert.deepEqual(calls.map(({ value }) => value.at), calls.map(() => alice.app));
    deployed.onlyOnce(calls.map(({ requestId }) => requestId));
    assert.doesNotMatch(alice.sst.output.slice(printed), /taken over/);
  });

  test("whoever is not told notices it with the next renewal, and every call runs once until then", async () => {
    await bob.sst.stop();
    const before = await takeOver(bob, alice);
    await alice.sst.waitFor(lost(bob), before);
    await alice.sst.stop();
    // Now what tells bob that alice answers gets lost.
    await deployed.call("count", { number: "warm" });
    const from = deployed.counterpart.records.length;
    await deployed.counterpart.settings({ gateway: { toClient: { loss: 1 } } });
    const printed = bob.sst.output.length;
    alice.sst = await deployed.serve(alice);
    await deployed.counterpart.until({ kind: "lost" }, { from });
    await deployed.counterpart.settings({ gateway: { toClient: {} } });
    const began = Date.now();
    const unnoticed = await deployed.call("count", { number: "not noticed" });
    deployed.onlyOnce([unnoticed.requestId]);
    await bob.sst.waitFor(lost(alice), printed);
    console.log(`noticed after ${Date.now() - began} ms`);
    assert.ok(Date.now() - began < NOTICED_WITHIN_MS);
    const after = await deployed.call("count", { number: "noticed" });
    assert.equal(after.value.at, alice.app);
    deployed.onlyOnce([after.requestId]);
  });

  for (const long of process.env.SST_FAULTS === "full" ? [false, true] : [false]) {
    test(`whoever comes back after the end of a lease takes nothing back${long ? ", in real time" : ""}`, async () => {
      await bob.sst?.stop();
      if ((await deployed.registered("count"))?.owner !== alice.owner) {
        await alice.sst.stop();
        alice.sst = await deployed.serve(alice);
      }
      const printed = alice.sst.output.length;
      await alice.network.set({ blackhole: true, cut: true });
      // The time is AWS's, as the others hear it: for them alice's lease is over.
      if (long) await new Promise((resolve) => setTimeout(resolve, 100_000));
      else await deployed.counterpart.ask("skew", { ms: 100_000 });
      bob.sst = deployed.begin(bob);
      await until("bob's registration", async () => (await deployed.registered("count"))?.owner === bob.owner);
      assert.doesNotMatch(bob.sst.output, /The app is deployed/, "nobody answers, so he does before his stubs are there");
      await deployed.counterpart.ask("skew", { ms: 0 });
      await bob.sst.waitFor(/Listening for requests/);
      assert.equal((await deployed.call("count", { number: "meanwhile" })).value.at, bob.app);
      await alice.network.set({ blackhole: false, cut: true });
      assert.deepEqual(names(await alice.sst.waitFor(lost(bob), printed)), everything);
      for (const name of everything) assert.equal((await deployed.registered(name)).owner, bob.owner, name);
      const calls = await Promise.all(Array.from({ length: 5 }, () => deployed.call("count", { number: "back" })));
      assert.deepEqual(calls.map(({ value }) => value.at), calls.map(() => bob.app));
      deployed.onlyOnce(calls.map(({ requestId }) => requestId));
    });
  }

  test("of one that crashed a start takes everything at once", async () => {
    await alice.sst.stop();
    bob.sst.child.kill("SIGKILL");
    await bob.sst.exited;
    alice.sst = deployed.begin(alice);
    // Its lease is not over, so it counts until the stubs are deployed.
    await alice.sst.waitFor(/Deploying the app/);
    assert.equal((await deployed.registered("count")).owner, bob.owner);
    await alice.sst.waitFor(/Listening for requests/);
    for (const name of everything) assert.equal((await deployed.registered(name)).owner, alice.owner, name);
    const { value, requestId } = await deployed.call("count", { number: "taken" });
    assert.equal(value.at, alice.app);
    deployed.onlyOnce([requestId]);
    assert.deepEqual(names(await alice.sst.waitFor(taken(bob))), everything);
    // Whoever crashed takes nothing from anybody: what is sent meanwhile does not wait for the deployment.
    const crashed = await deployed.registered("count");
    alice.sst.child.kill("SIGKILL");
    await alice.sst.exited;
    alice.sst = deployed.begin(alice);
    await alice.sst.waitFor(/Deploying the app/);
    assert.notEqual((await deployed.registered("count")).client, crashed.client);
    await alice.sst.waitFor(/Listening for requests/);
    assert.equal((await deployed.call("count", { number: "again" })).value.at, alice.app);
    assert.doesNotMatch(alice.sst.output, /taken over/);
  });

  test("everything was signed as botocore signs it", async () => {
    await deployed.counterpart.checkSignatures();
  });
});

// The first call of an execution environment: what its stub asks for, in which order, and what it has done before there is an event.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

/** How long a registration counts. */
const LEASE_S = 90;

describe("the first call of an environment", () => {
  let deployed;
  let counterpart;
  let table;
  let name;

  before(async () => {
    // On AWS, DynamoDB is another host than the API.
    const prepare = async (made) => {
      table = await made.way();
      await made.settings({ functions: { environment: { AWS_ENDPOINT_URL_DYNAMODB: table.endpoint } } });
    };
    deployed = await Deployed.start({ tls: "h2", prepare });
    ({ counterpart } = deployed);
    name = deployed.names.count;
  });
  after(() => deployed?.close());
  afterEach(async () => {
    await counterpart.settings({ functions: { initialization: "on-demand", initializedAhead: false, concurrency: 10 }, gateway: { connectRate: 500, connectBurst: 500 } });
    await counterpart.network.functions.set({ refuse: false, blackhole: false, cut: true });
  });

  /** Has the next call find no environment. Returns where the record is. */
  const cold = async () => {
    await counterpart.ask("recycle", { name });
    await counterpart.settled();
    return counterpart.records.length;
  };

  /** Makes the call, which has to be answered, and run once. */
  const call = async (number) => {
    const { error, bytes, requestId } = await deployed.call("count", { number });
    assert.equal(error, undefined, bytes.toString());
    deployed.onlyOnce([requestId]);
    await counterpart.settled();
    return requestId;
  };

  /** What a stub has done from an entry of the record on, in its order. Connections are named by what they are for. */
  const steps = (from) => {
    const [{ id: tables }, { id: functions }] = proxies;
    const step = ({ kind, proxy, who = "", direction, text, status, service }) => {
      const own = who.startsWith("function/");
      if (kind === "accepted" && proxy === tables) return "connection for the table";
      if (kind === "accepted" && proxy === functions) return "connection for the API";
      if (kind === "signature" && own && service === "dynamodb") return "look-up";
      if (kind === "connected" && direction === "toStub") return "handshake";
      if (kind === "frame" && own && JSON.parse(text).action === "hello") return "hello";
      // What has arrived is recorded with its receiver, what has not with its sender.
      if (kind === "post" && own === (status !== 200)) return `post ${status}`;
      if (["asks", "given", "frozen"].includes(kind)) return kind;
      return undefined;
    };
    return counterpart.records.slice(from).map(step).filter(Boolean);
  };

  let proxies;
  before(async () => {
    const { proxies: all } = await counterpart.state();
    const of = ({ port }) => all.find((one) => one.port === port);
    proxies = [of(table), of(counterpart.network.functions)];
  });

  const connections = (found) => found.filter((step) => step.startsWith("connection for")).toSorted();
  const requests = (found) => found.filter((step) => ["look-up", "handshake", "hello"].includes(step) || step.startsWith("post"));
  const ALL = ["connection for the API", "connection for the API", "connection for the table"];

  /** What was done before the event was there, and after. */
  const parts = (found) => {
    const given = found.indexOf("given");
    return [found.slice(0, found.indexOf("asks")), found.slice(given + 1)];
  };

  test("has everything ahead: with its event it takes one post, on a connection that is there", async () => {
    const from = await cold();
    await call("ahead");
    const found = steps(from);
    const [first, then] = parts(found);
    assert.deepEqual(connections(first), ALL, found.join(", "));
    assert.deepEqual(requests(first).toSorted(), ["handshake", "hello", "look-up"], found.join(", "));
    assert.ok(first.indexOf("handshake") < first.indexOf("hello"));
    assert.deepEqual(then.slice(0, 2), ["post 200", "asks"], found.join(", "));
  });

  test("does the same side by side where an environment may wait for hours, and nothing before", async () => {
    await counterpart.settings({ functions: { initialization: "provisioned-concurrency" } });
    const from = await cold();
    await call("provisioned");
    const found = steps(from);
    const [first, then] = parts(found);
    assert.deepEqual(first, []);
    // All connections are begun before the first of them is of use.
    assert.deepEqual(connections(then.slice(0, 3)), ALL, found.join(", "));
    assert.deepEqual(requests(then).slice(-1), ["post 200"], found.join(", "));
    assert.deepEqual(requests(then).toSorted(), ["handshake", "hello", "look-up", "post 200"], found.join(", "));
  });

  for (const [how, wrong] of [["refuses", { refuse: true, cut: true }], ["swallows everything", { blackhole: true }]]) {
    test(`is asked for while the network ${how}, and served when that is over`, async () => {
      await counterpart.network.functions.set(wrong);
      const from = await cold();
      const answer = call(how);
      await counterpart.until({ kind: "given", function: name }, { from });
      await counterpart.network.functions.set({ refuse: false, blackhole: false });
      await answer;
      assert.equal(counterpart.recorded({ kind: "environment" }, from).length, 1);
    });
  }

  describe("that comes long after the initialisation", () => {
    /** An environment that is initialised, and frozen; `meanwhile` something happens; and then the call comes. */
    const later = async (what, meanwhile) => {
      await counterpart.settings({ functions: { initializedAhead: true } });
      const from = await cold();
      const answer = call(what);
      await counterpart.until({ kind: "frozen", function: name }, { from });
      await meanwhile(counterpart.recorded({ kind: "connected", direction: "toStub" }, from)[0]?.connection);
      await counterpart.settled();
      await counterpart.settings({ functions: { initializedAhead: false } });
      await answer;
      return parts(steps(from))[1];
    };

    test("uses what was made ahead", async () => {
      const then = await later("soon", async () => {});
      assert.deepEqual(then.slice(0, 2), ["post 200", "asks"], then.join(", "));
    });

    for (const [how, end] of [
      ["closed", (id) => counterpart.ask("closeConnection", { id })],
      ["lost", (id) => counterpart.ask("abortConnection", { id })],
      ["cut, with all others", () => counterpart.network.functions.set({ cut: true })],
    ]) {
      test(`notices first that its connection was ${how}`, async () => {
        const then = await later(how, end);
        // An answer cannot get lost on a connection that is known not to be there.
        assert.deepEqual(requests(then).filter((step) => step.startsWith("post")), ["post 200"], then.join(", "));
        assert.ok(then.indexOf("hello") < then.indexOf("post 200"), then.join(", "));
      });
    }

    test("finds who answers for the function then", async () => {
      const { client, connection } = await deployed.registered("count");
      const then = await later("moved", async () => {
        await counterpart.network.client.set({ cut: true });
        await until("another registration", async () => (await deployed.registered("count")).connection !== connection);
      });
      assert.equal((await deployed.registered("count")).client, client);
      assert.deepEqual(requests(then), ["post 410", "look-up", "post 200"], then.join(", "));
    });
  });

  test("comes to another environment after one that was told to end", async () => {
    await cold();
    await call("before the end");
    const from = counterpart.records.length;
    const { functions } = await counterpart.state();
    const [{ pid: emulator }] = functions[name].environments;
    // Whichever of its threads has started it.
    const tasks = fs.readdirSync(`/proc/${emulator}/task`).map((task) => fs.readFileSync(`/proc/${emulator}/task/${task}/children`, "utf8"));
    const stubs = tasks.join(" ").split(/\s+/).filter(Boolean).map(Number);
    assert.equal(stubs.length, 1);
    // Lambda thaws an environment for its end.
    for (const signal of ["SIGCONT", "SIGTERM"]) for (const pid of stubs) process.kill(pid, signal);
    await counterpart.until({ kind: "disconnected", direction: "toStub" }, { from });
    await cold();
    await call("after the end");
  });

  test("of many at once has no more connections than the account may make", async () => {
    await counterpart.settings({ functions: { concurrency: 12 }, gateway: { connectRate: 4, connectBurst: 4 } });
    const from = await cold();
    await Promise.all(Array.from({ length: 12 }, (_, number) => call(`many-${number}`)));
    assert.equal(counterpart.recorded({ kind: "environment" }, from).length, 12);
    assert.equal(counterpart.recorded({ kind: "connected", direction: "toStub" }, from).length, 12);
    assert.deepEqual(counterpart.recorded({ kind: "signature", ok: false }, from), []);
  });

  describe("whose clock differs from that of AWS", () => {
    let time = 0;
    /** Has AWS's clock be set, and sst, which is not what this is about, know of it. */
    const set = async (seconds) => {
      const from = counterpart.records.length;
      time += seconds;
      await counterpart.ask("skew", { ms: time * 1000 });
      counterpart.lambda.config.systemClockOffset = time * 1000;
      await counterpart.network.client.set({ cut: true });
      await counterpart.until({ kind: "connected", direction: "toClient" }, { from });
      await until("another registration", async () => {
        const { ttl } = await deployed.registered("count");
        return Math.abs(Number(ttl) - (Date.now() / 1000 + time) - LEASE_S) < 20;
      });
    };
    after(() => counterpart.ask("skew", { ms: 0 }));

    // An answer tells the time before anything depends on it, or a refusal does.
    for (const seconds of [60, -240, 3600]) {
      test(`by ${seconds} s, from then on and in a new environment`, async () => {
        await cold();
        await call(`before ${seconds}`);
        const from = counterpart.records.length;
        await set(seconds);
        await call(`then ${seconds}`);
        assert.equal(counterpart.recorded({ kind: "environment" }, from).length, 0);
        await cold();
        await call(`new ${seconds}`);
      });
    }
  });
});

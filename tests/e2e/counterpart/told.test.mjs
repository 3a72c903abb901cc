// What the terminal says of the connection: each change of its state with a reason, once, and nothing that is not so.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { request } from "../../counterpart/client.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

/** How long a connection whose pings are not answered is watched. Its liveness is asked for once a minute then. */
const WATCH_MS = process.env.SST_FAULTS === "full" ? 5 * 60_000 : 20_000;

/** API Gateway counts a message once for each begun piece of this length. */
const PIECE = 32 * 1024;

const count = (text, pattern) => (text.match(pattern) ?? []).length;

describe("what is told of the connection", () => {
  let deployed;
  let counterpart;
  before(async () => {
    deployed = await Deployed.start();
    counterpart = deployed.counterpart;
  });
  after(() => deployed?.close());

  const sst = () => deployed.sst;
  const said = (from) => sst().output.slice(from).split("\n").filter((line) => /cloud|connect|asleep|answered here|error/i.test(line));
  const works = async () => assert.equal((await deployed.call("echo", {})).error, undefined);

  test("one that answers nothing any more is lost, and there is another when something answers again", async () => {
    const printed = sst().output.length;
    await counterpart.settings({ gateway: { pong: false, hello: "ignore" } });
    const [, silent] = await sst().waitFor(/the connection to the cloud was lost \(it has not answered for ([\d.]+) s\); connecting again/, printed);
    assert.ok(Number(silent) >= 3 && Number(silent) <= 10, silent);
    await counterpart.settings({ gateway: { pong: true, hello: "answer" } });
    await sst().waitFor(/connected again after/, printed);
    await works();
    const lines = said(printed);
    assert.equal(count(lines.join("\n"), /was lost/g), 1);
    assert.ok(lines.length <= 3, lines.join("\n"));
  });

  test("one whose pings are not answered stays", async () => {
    // A connection that has been lost a moment ago is not yet settled.
    const [from, printed] = [counterpart.records.length, sst().output.length];
    await counterpart.settings({ gateway: { pong: false } });
    await pause(WATCH_MS);
    await works();
    await counterpart.settled();
    const changes = counterpart.recorded((entry) => ["connected", "disconnected"].includes(entry.kind) && entry.who === "developer", from);
    assert.deepEqual(changes, []);
    assert.deepEqual(said(printed), []);
    await counterpart.settings({ gateway: { pong: true } });
  });

  test("one that cannot be made is told of once, with the reason, and is tried again", async () => {
    const printed = sst().output.length;
    await counterpart.network.client.set({ refuse: true, cut: true });
    await sst().waitFor(/cannot connect to the cloud: Connection refused .*; trying again/, printed);
    const { accepted } = (await counterpart.state()).proxies[0];
    await pause(5_000);
    assert.equal((await counterpart.state()).proxies[0].accepted, accepted);
    await counterpart.network.client.set({ refuse: false });
    await sst().waitFor(/connected again after/, printed);
    await works();
    const lines = said(printed);
    assert.equal(lines.length, 3, lines.join("\n"));
    assert.match(lines[0], /was lost/);
  });

  test("one that is refused is told of once, with what to do, and is tried again", async () => {
    const printed = sst().output.length;
    const from = counterpart.records.length;
    const id = await counterpart.fault({ match: { service: "websocket", who: "developer" }, status: 403, error: "ForbiddenException" });
    const [{ connection }] = counterpart.recorded({ kind: "connected", who: "developer" }).slice(-1);
    await counterpart.ask("closeConnection", { id: connection });
    try {
      await counterpart.until({ kind: "fault" }, { from, count: 3 });
      await sst().waitFor(/cannot connect to the cloud: the WebSocket API refuses the credentials \(403 Forbidden\): the caller needs `execute-api:Invoke`/, printed);
    } finally {
      await counterpart.ask("clearFaults", { id });
    }
    await sst().waitFor(/connected again after/, printed);
    await works();
    const lines = said(printed);
    assert.equal(lines.length, 3, lines.join("\n"));
    assert.match(lines[0], /was lost \(API Gateway has ended it \(1001\)\)/);
  });

  test("those that end at once are told of once, made with pauses, and told of again when one lasts", async () => {
    const printed = sst().output.length;
    const from = counterpart.records.length;
    const before = counterpart.recorded({ kind: "connected", who: "developer" }).slice(-1);
    const closed = [];
    const close = async ({ connection }) => {
      closed.push(connection);
      await counterpart.ask("closeConnection", { id: connection });
    };
    await close(before[0]);
    for (let number = 1; number <= 9; number++) {
      const made = await counterpart.until({ kind: "connected", who: "developer" }, { from, count: number });
      const { connection } = made.at(-1);
      await counterpart.until({ kind: "delivered", connection }, { from });
      if (number < 9) await close(made.at(-1));
    }
    const times = counterpart.recorded({ kind: "connected", who: "developer" }, from).map(({ time }) => time);
    const pauses = times.slice(1).map((time, index) => time - times[index]);
    console.log(`pauses between connections: ${pauses.map(Math.round).join(", ")} ms`);
    assert.ok(pauses.slice(-3).every((pause) => pause >= 2_500), pauses.join(", "));
    await sst().waitFor(/the connection to the cloud is lost again and again \(API Gateway has ended it \(1001\)\); connecting again until it lasts/, printed);
    await sst().waitFor(/again and again[^]*connected again after/, printed);
    await works();
    const lines = said(printed);
    assert.ok(lines.length <= 6, lines.join("\n"));
    assert.equal(count(lines.join("\n"), /again and again/g), 1);
  });

  test("what API Gateway counts is said in the end", async () => {
    await sst().stop();
    await counterpart.settled();
    const from = counterpart.records.length;
    deployed.sst = await deployed.serve();
    for (const bytes of [10, 50_000, 90_000]) {
      const { value } = await deployed.call("echo", { text: crypto.randomBytes(bytes / 2).toString("hex") });
      assert.ok(value.event, JSON.stringify(value));
    }
    await deployed.call("stream", { parts: 5, size: 40_000 });
    await sst().stop();
    await counterpart.settled();
    const ours = new Set(counterpart.recorded({ kind: "connected", who: "developer" }, from).map(({ connection }) => connection));
    const messages = counterpart.recorded(({ kind, connection, sender, status }) => {
      if (kind === "post") return sender === "developer" && status === 200;
      return ["frame", "delivered"].includes(kind) && ours.has(connection);
    }, from);
    const pieces = messages.reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / PIECE)), 0);
    const [, told, minutes] = /API Gateway counts (\d+) messages? and (\d+) minutes? of connection/.exec(sst().output);
    assert.equal(Number(told), pieces);
    const connected = counterpart.recorded({ kind: "connected", who: "developer" }, from)[0].time;
    assert.equal(Number(minutes), Math.ceil((counterpart.records.at(-1).time - connected) / 60_000));
    deployed.sst = await deployed.serve();
  });

  test("it ends with a word when the debug stack has been removed, of which stubs tell as well", async () => {
    await works();
    const form = { headers: { "content-type": "application/x-www-form-urlencoded" }, service: "cloudformation" };
    const { status, body } = await request(counterpart, "POST", "/", { ...form, body: "Action=DeleteStack&Version=2010-05-15&StackName=dev-counterpart-debug-stack" });
    assert.equal(status, 200, body);
    const removed = Date.now();
    await until("a stack that is gone", async () => Object.keys((await counterpart.state()).apis).length === 0);
    const { code } = await sst().exited;
    const took = Date.now() - removed;
    assert.equal(code, 6, sst().output);
    assert.match(sst().output, /error: the debug stack `dev-counterpart-debug-stack` has been removed, so that no call can come here\n.*start `sst start` again/);
    assert.ok(took <= 20_000, `${took} ms`);
    // One that has served before, and one that has not.
    for (const name of ["echo", "throws"]) {
      const sent = Date.now();
      const { value } = await deployed.call(name, {});
      assert.equal(value.errorType, "Sst.NotDeployed", JSON.stringify(value));
      assert.ok(Date.now() - sent <= 5_000, `${Date.now() - sent} ms`);
    }
  });
});

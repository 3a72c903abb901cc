// The real `sst start`, a real deployment by the CDK CLI, and the real stub under AWS's runtime interface emulator, all against a counterpart
// that is as strict as AWS is documented to be. What is looked at are outcomes and limits, never what the frames say.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { Sst, until } from "../support/sst.mjs";

/** How the same things are reached: directly, and through TLS in both versions of HTTP. */
const ways = { "plain HTTP": {}, "TLS and HTTP/2": { tls: "h2" }, "TLS and HTTP/1.1": { tls: "http/1.1" } };

for (const [way, options] of Object.entries(ways)) {
  describe(`a deployed app over ${way}`, () => {
    let deployed;
    let counterpart;
    let where;

    before(async () => {
      deployed = await Deployed.start(options);
      ({ counterpart, where } = deployed);
    });
    after(() => deployed?.close());

    const call = (name, event, rest) => deployed.call(name, event, rest);
    const environments = async (name) => (await counterpart.state()).functions[deployed.names[name]].environments;
    const onlyOnce = (ids) => deployed.onlyOnce(ids);

    test("calls are answered, one environment serves one after the other, and it is frozen between them", async () => {
      for (let number = 0; number < 5; number++) {
        const { value, error, requestId } = await call("echo", { number });
        assert.equal(error, undefined);
        assert.deepEqual(value.event, { number });
        assert.equal(value.requestId, requestId);
      }
      const [{ frozen, calls, pid }, ...others] = await environments("echo");
      assert.deepEqual([frozen, calls, others.length], [true, 5, 0]);
      // A process that is told to stop does so when it next comes by.
      await until("a frozen process", () => /\) T /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8")));
    });

    test("6 MB pass both ways, byte for byte", async () => {
      // Random, so that compression does not make it small.
      const text = crypto.randomBytes(3 * 1024 * 1024 - 100).toString("hex");
      const event = Buffer.from(JSON.stringify({ text }));
      const { value } = await call("echo", event);
      assert.equal(value.sha256, crypto.createHash("sha256").update(event).digest("hex"));
      assert.equal(value.event.text, text);
    });

    test("errors and streams arrive as they are", async () => {
      const thrown = await call("throws", { text: "own" });
      assert.equal(thrown.error, "Unhandled");
      assert.deepEqual([thrown.value.errorType, thrown.value.errorMessage], ["RangeError", "thrown: own"]);
      const { bytes } = await call("stream", { parts: 20, size: 50_000 });
      const expected = Array.from({ length: 20 }, (_, part) => String(part % 10).repeat(50_000)).join("");
      assert.equal(bytes.toString(), expected);
    });

    test("a streamed response arrives while it is made", async () => {
      const expected = ["0", "1", "2", "3"].map((digit) => digit.repeat(1000)).join("");
      let length = 0;
      const part = (bytes) => {
        length += bytes.length;
        // The second half is not made before the first one has come here.
        if (length === 2000) fs.writeFileSync(path.join(where, "half"), "");
      };
      const { bytes, error } = await counterpart.invokeStreamed(deployed.names.stream, { parts: 4, size: 1000, until: "half" }, part);
      assert.deepEqual([error, bytes.toString()], [undefined, expected]);
      fs.rmSync(path.join(where, "half"));
    });

    test("calls at the same time run in environments of their own, each once", async () => {
      await counterpart.settings({ functions: { concurrency: 20 } });
      const answers = await Promise.all(Array.from({ length: 20 }, (_, number) => call("count", { number })));
      assert.deepEqual(answers.map(({ value }) => value.number ?? value), Array.from({ length: 20 }, (_, number) => number));
      onlyOnce(answers.map(({ requestId }) => requestId));
      assert.ok((await environments("count")).length > 1);
    });

    test("an asynchronous event runs once", async () => {
      const { requestId } = await call("count", { number: "asynchronous" }, { InvocationType: "Event" });
      const [{ error }] = await counterpart.until({ kind: "asynchronous", request: requestId });
      assert.equal(error, false);
      onlyOnce([requestId]);
    });

    test("a call outlives the client's connection, which is made again", async () => {
      const from = counterpart.records.length;
      const answer = call("sleep", { until: "cut" });
      await until("a sleeping function", () => fs.existsSync(path.join(where, "cut.asleep")));
      await counterpart.network.client.set({ cut: true });
      await counterpart.until({ kind: "connected", direction: "toClient" }, { from });
      fs.writeFileSync(path.join(where, "cut"), "");
      assert.deepEqual((await answer).value, { slept: "cut" });
    });

    test("a call outlives the stub's connection", async () => {
      const answer = call("sleep", { until: "stub" });
      await until("a sleeping function", () => fs.existsSync(path.join(where, "stub.asleep")));
      const from = counterpart.records.length;
      await counterpart.network.functions.set({ cut: true });
      await counterpart.until({ kind: "connected", direction: "toStub" }, { from });
      fs.writeFileSync(path.join(where, "stub"), "");
      assert.deepEqual((await answer).value, { slept: "stub" });
    });

    test("an environment that was frozen for longer than its connection may last serves the next call", async () => {
      await call("echo", { before: true });
      const from = counterpart.records.length;
      await counterpart.advance(11 * 60_000);
      await counterpart.until({ kind: "disconnected", direction: "toStub" }, { from });
      await counterpart.until((entry) => entry.kind === "connected" && entry.direction === "toClient", { from });
      const { value } = await call("echo", { after: true });
      assert.deepEqual(value.event, { after: true });
    });

    test("credentials change with the environment", async () => {
      await call("echo", {});
      const [{ accessKeyId }] = await environments("echo");
      await counterpart.ask("recycle", { name: deployed.names.echo });
      await call("echo", {});
      const [fresh] = await environments("echo");
      assert.notEqual(fresh.accessKeyId, accessKeyId);
    });

    if (!options.tls) {
      test("it starts again on what is deployed, and is removed", async () => {
        await deployed.sst.stop();
        deployed.sst = await deployed.serve();
        assert.deepEqual((await call("echo", { again: true })).value.event, { again: true });
        await deployed.sst.stop();
        const removal = new Sst(deployed.app, ["remove", "--stage", "dev", "--yes"], deployed.environment);
        assert.deepEqual(await removal.exited, { code: 0, signal: null }, removal.output);
        const { stacks, apis, functions, tables } = await counterpart.state();
        assert.deepEqual([Object.keys(stacks), apis, functions, tables], [["CDKToolkit"], {}, {}, {}]);
      });
    }

    test("everything was signed as botocore signs it, and within the limits", async () => {
      const counts = await counterpart.checkSignatures();
      const services = ["cloudformation headers", "dynamodb headers", "execute-api headers", "execute-api query", "lambda headers", "s3 headers", "ssm headers", "sts headers"];
      assert.deepEqual(Object.keys(counts).sort(), services);
      assert.deepEqual(counterpart.recorded({ kind: "limit" }), []);
      const longest = Math.max(...counterpart.recorded({ kind: "post" }).map(({ length }) => length));
      assert.ok(longest <= 128 * 1024, String(longest));
    });
  });
}

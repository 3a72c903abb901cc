// The counterpart is only worth something when it refuses what AWS refuses. It is asked here by AWS's own SDKs, and by a client that
// does what no SDK would.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { dial, request } from "../../counterpart/client.mjs";
import { python, startCounterpart } from "../../counterpart/counterpart.mjs";
import { repository } from "../support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const dynamo = require("@aws-sdk/client-dynamodb");
const s3 = require("@aws-sdk/client-s3");

test("ports that are held are given to nobody else, and the program that is told of one can listen there", { skip: process.platform !== "linux" }, () => {
  const script = `
import socket, ports
with ports.held(2) as held:
    assert len(set(held)) == 2
    for port in held:
        with socket.socket() as other:
            try:
                other.bind(("127.0.0.1", port))
            except OSError:
                pass
            else:
                raise AssertionError("somebody else has it")
        with socket.socket() as program:
            program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            program.bind(("127.0.0.1", port))
            program.listen()
`;
  const ended = spawnSync(python, ["-c", script], { cwd: path.join(repository, "tests/counterpart"), encoding: "utf8" });
  assert.equal(ended.status, 0, ended.stderr);
});

describe("the counterpart", () => {
  let counterpart;
  let stack;

  before(async () => {
    counterpart = await startCounterpart();
    stack = await counterpart.debugStack();
  });
  after(() => counterpart?.close());

  const connections = (id, place = stack) => `/_aws/execute-api/${place.api}/${place.stage}/@connections/${encodeURIComponent(id)}`;
  const post = (id, body, options) => request(counterpart, "POST", connections(id), { body, ...options });

  /** A connection whose id is known. */
  const connected = async (options) => {
    const client = await dial(counterpart, stack, options);
    await client.hello();
    return client;
  };

  /** Some settings, for the time of one test. */
  const having = async (gateway, work) => {
    const before = (await counterpart.state()).settings.gateway;
    await counterpart.settings({ gateway });
    try {
      return await work();
    } finally {
      await counterpart.settings({ gateway: Object.fromEntries(Object.keys(gateway).map((name) => [name, before[name]])) });
    }
  };

  describe("signatures", () => {
    const refusals = {
      "none at all": [{ change: (target) => target.split("?")[0] }, "unauthenticated"],
      "one of another path": [{ change: (target) => target.replace("?", "/x?") }, "mismatch"],
      "one with a changed expiry": [{ change: (target) => target.replace("X-Amz-Expires=60", "X-Amz-Expires=61") }, "mismatch"],
      "one of another service": [{ service: "s3" }, "scope"],
      "one of another region": [{ region: "us-west-1" }, "scope"],
      "one that has expired": [{ signingDate: new Date(Date.now() - 120_000) }, "time"],
      "one of the future": [{ signingDate: new Date(Date.now() + 600_000) }, "time"],
    };
    for (const [what, [options, fault]] of Object.entries(refusals)) {
      test(`of a handshake, ${what}: 403, and it is recorded`, async () => {
        const from = counterpart.records.length;
        await assert.rejects(dial(counterpart, stack, options), { status: 403 });
        const [entry] = await counterpart.until({ kind: "signature", ok: false }, { from });
        assert.equal(entry.fault, fault, entry.why);
        await assert.rejects(counterpart.checkSignatures(from), /1 of 1 signatures were refused/);
      });
    }

    test("of a post whose body has changed", async () => {
      const client = await connected();
      const answer = await post(client.id, "a text", { change: (signed) => ({ ...signed, body: "b text" }) });
      assert.equal(answer.status, 403);
      assert.match(answer.headers["x-amzn-errortype"], /InvalidSignatureException/);
      assert.deepEqual(client.messages, []);
    });

    test("of credentials whose token is another one's, or that have expired", async () => {
      const { developer, tests } = counterpart.credentials;
      await assert.rejects(dial(counterpart, stack, { credentials: { ...tests, sessionToken: developer.sessionToken } }), { status: 403 });
      await assert.rejects(dial(counterpart, stack, { credentials: { ...tests, secretAccessKey: "another" } }), /signature we calculated/);
    });

    test("depend on the clock of AWS, which may differ from ours", async () => {
      await counterpart.ask("skew", { ms: 600_000 });
      try {
        await assert.rejects(dial(counterpart, stack), /Signature expired/);
        const answer = await post("gone=", "x");
        assert.ok(Math.abs(new Date(answer.headers.date) - Date.now() - 600_000) < 5_000, answer.headers.date);
      } finally {
        await counterpart.ask("skew", { ms: 0 });
      }
    });
  });

  describe("WebSocket API", () => {
    test("hello tells the connection's id and the time", async () => {
      const client = await dial(counterpart, stack);
      const { connectionId, now } = await client.hello();
      assert.match(connectionId, /^[A-Za-z0-9+/]{15}=$/);
      assert.ok(Math.abs(Number(now) - Date.now()) < 5_000);
    });

    test("what no route is for is forbidden, and the connection stays", async () => {
      const client = await connected();
      for (const text of ["no JSON", '{"action":"other"}', "[]"]) {
        client.send(text);
        const answer = JSON.parse(await client.message());
        assert.deepEqual([answer.message, answer.connectionId], ["Forbidden", client.id], text);
      }
      assert.equal((await client.hello()).connectionId, client.id);
    });

    test("a frame of 32 KB is taken, a longer one ends the connection with 1009", async () => {
      const client = await connected();
      client.send(`"${"x".repeat(32 * 1024 - 2)}"`);
      assert.match(await client.message(), /Forbidden/);
      client.send("x".repeat(32 * 1024 + 1));
      const { code, reason } = await client.closed;
      assert.deepEqual([code, reason], [1009, "Max frame length of 32768 has been exceeded."]);
      assert.equal((await post(client.id, "x")).status, 410);
    });

    test("a message of 128 KB in frames is taken, a longer one ends the connection with 1009", async () => {
      const client = await connected();
      const part = "x".repeat(32 * 1024);
      for (let index = 0; index < 4; index++) client.send(part, { opcode: index ? 0 : 1, final: index === 3 });
      assert.match(await client.message(), /Forbidden/);
      for (let index = 0; index < 4; index++) client.send(part, { opcode: index ? 0 : 1, final: false });
      client.send("x", { opcode: 0 });
      assert.equal((await client.closed).code, 1009);
    });

    test("a binary frame ends the connection with 1003, one without a mask with 1002", async () => {
      const binary = await connected();
      binary.send("x", { opcode: 2 });
      assert.equal((await binary.closed).code, 1003);
      const bare = await connected();
      bare.send("x", { masked: false });
      assert.equal((await bare.closed).code, 1002);
    });

    test("pings are answered, unless the test wants none to be", async () => {
      const client = await connected();
      client.send("x", { opcode: 9 });
      await client.pong();
      await having({ pong: false }, async () => {
        client.send("x", { opcode: 9 });
        await client.hello();
        assert.equal(client.pongs, 1);
      });
    });

    test("ten minutes without a message end a connection with 1001, and pings are no messages", async () => {
      const [silent, pinging, talking] = [await connected(), await connected(), await connected()];
      await counterpart.advance(9 * 60_000);
      pinging.send("x", { opcode: 9 });
      await pinging.pong();
      assert.equal((await post(talking.id, "x")).status, 200);
      await counterpart.advance(90_000);
      assert.equal((await silent.closed).code, 1001);
      assert.equal((await pinging.closed).code, 1001);
      assert.equal((await post(silent.id, "x")).status, 410);
      assert.equal((await post(talking.id, "x")).status, 200);
    });

    test("two hours end a connection, whatever it does", async () => {
      const client = await connected();
      for (let minutes = 0; minutes < 115; minutes += 5) {
        await counterpart.advance(5 * 60_000);
        await client.hello();
      }
      await counterpart.advance(6 * 60_000);
      assert.equal((await client.closed).code, 1001);
    });

    test("an API or a stage that there is not is forbidden", async () => {
      await assert.rejects(dial(counterpart, { ...stack, stage: "other" }), { status: 403 });
      await assert.rejects(dial(counterpart, { ...stack, api: "other" }), { status: 403 });
    });
  });

  describe("@connections", () => {
    test("a post of 128 KB arrives in frames of at most 32 KB, a longer one is 413", async () => {
      const client = await connected();
      const text = "ü".repeat(64 * 1024);
      assert.equal((await post(client.id, text)).status, 200);
      assert.equal(await client.message(), text);
      const answer = await post(client.id, text + "x");
      assert.equal(answer.status, 413);
      assert.equal(answer.headers["x-amzn-errortype"], "PayloadTooLargeException");
    });

    test("an unknown connection is 410", async () => {
      const answer = await post("AAAAAAAAAAAAAAA=", "x");
      assert.deepEqual([answer.status, answer.headers["x-amzn-errortype"]], [410, "GoneException"]);
    });

    test("GET tells when there was a message last, DELETE closes with 1000", async () => {
      const client = await connected({ agent: "somebody" });
      const shown = JSON.parse((await request(counterpart, "GET", connections(client.id))).body);
      assert.equal(shown.identity.userAgent, "somebody");
      assert.ok(new Date(shown.lastActiveAt) >= new Date(shown.connectedAt));
      assert.equal((await request(counterpart, "DELETE", connections(client.id))).status, 204);
      assert.equal((await client.closed).code, 1000);
    });

    test("beyond the account's rate and burst it is 429 with Retry-After, until the clock has moved", async () => {
      const client = await connected();
      await having({ rate: 0.5, burst: 3 }, async () => {
        const statuses = [];
        for (let number = 0; number < 5; number++) statuses.push((await post(client.id, "x")).status);
        assert.deepEqual(statuses, [200, 200, 200, 429, 429]);
        const answer = await post(client.id, "x");
        assert.deepEqual([answer.headers["x-amzn-errortype"], answer.headers["retry-after"]], ["LimitExceededException", "1"]);
        await counterpart.advance(2_000);
        assert.equal((await post(client.id, "x")).status, 200);
      });
    });

    test("a post to a client that does not read is 200 all the same", async () => {
      const client = await connected();
      client.socket.pause();
      const text = "x".repeat(128 * 1024);
      for (let number = 0; number < 60; number++) assert.equal((await post(client.id, text)).status, 200);
      assert.ok((await counterpart.state()).connections.find(({ id }) => id === client.id).unsent > 0);
      client.socket.resume();
      for (let number = 0; number < 60; number++) assert.equal((await client.message()).length, text.length);
    });

    test("messages are lost, doubled and overtaken, as the test wants it and by chance with a seed", async () => {
      const deliveries = async (toClient) => {
        const client = await connected();
        return having({ toClient: { seed: 7, ...toClient } }, async () => {
          for (let number = 0; number < 40; number++) assert.equal((await post(client.id, String(number))).status, 200);
          await having({ toClient: {} }, () => post(client.id, "end"));
          const got = [];
          for (let text; (text = await client.message()) !== "end"; ) got.push(Number(text));
          return got;
        });
      };
      const all = Array.from({ length: 40 }, (_, number) => number);
      assert.deepEqual(await deliveries({}), all);
      const lossy = await deliveries({ loss: 0.3 });
      assert.ok(lossy.length < 40 && lossy.length > 10, String(lossy));
      const doubled = await deliveries({ duplicate: 0.5 });
      assert.ok(doubled.length > 40);
      assert.deepEqual([...new Set(doubled)], all);
      const reordered = await deliveries({ reorder: 0.3 });
      assert.notDeepEqual(reordered, all);
    });
  });

  describe("DynamoDB", () => {
    let client;
    before(() => (client = new dynamo.DynamoDBClient(counterpart.clientOptions())));
    after(() => client.destroy());

    const S = (text) => ({ S: text });
    const N = (number) => ({ N: String(number) });
    const key = (text) => ({ pk: S(text) });
    const put = (item, rest = {}) => client.send(new dynamo.PutItemCommand({ TableName: stack.table, Item: item, ...rest }));
    const get = async (text) => (await client.send(new dynamo.GetItemCommand({ TableName: stack.table, Key: key(text), ConsistentRead: true }))).Item;
    const update = (text, UpdateExpression, rest) =>
      client.send(new dynamo.UpdateItemCommand({ TableName: stack.table, Key: key(text), UpdateExpression, ...rest }));

    test("a condition that does not hold is an error with what there is", async () => {
      await put({ ...key("a"), client: S("one"), ttl: N(100) });
      const lease = (client, now) => ({
        ConditionExpression: "attribute_not_exists(pk) OR #client = :client OR (NOT #ttl >= :now)",
        ExpressionAttributeNames: { "#client": "client", "#ttl": "ttl" },
        ExpressionAttributeValues: { ":client": S(client), ":now": N(now) },
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        ReturnValues: "ALL_OLD",
      });
      const refused = await put({ ...key("a"), client: S("two") }, lease("two", 99)).catch((error) => error);
      assert.equal(refused.name, "ConditionalCheckFailedException");
      assert.deepEqual(refused.Item, { ...key("a"), client: S("one"), ttl: N(100) });
      // Numbers are compared as such: 1000 is more than 101, though its text comes before.
      const { Attributes } = await put({ ...key("a"), client: S("two"), ttl: N(101) }, lease("two", 1000));
      assert.deepEqual(Attributes.client, S("one"));
      await put({ ...key("a"), client: S("two"), ttl: N(102) }, lease("two", 5));
      await put({ ...key("new"), client: S("two") }, lease("two", 5));
    });

    test("updates set, remove and add, and return what was asked for", async () => {
      const names = { ExpressionAttributeNames: { "#count": "count" } };
      const made = await update("b", "SET size_of = :size ADD #count :one", { ...names, ExpressionAttributeValues: { ":size": S("x"), ":one": N(1) }, ReturnValues: "ALL_NEW" });
      assert.deepEqual(made.Attributes, { ...key("b"), size_of: S("x"), count: N(1) });
      const changed = await update("b", "SET other = if_not_exists(other, :two), #count = #count + :two REMOVE size_of", { ...names, ExpressionAttributeValues: { ":two": N(2) }, ReturnValues: "ALL_OLD" });
      assert.deepEqual(changed.Attributes.count, N(1));
      assert.deepEqual(await get("b"), { ...key("b"), count: N(3), other: N(2) });
    });

    const invalid = {
      "a reserved word": ["ttl < :x", {}, /reserved keyword/],
      "a value that is not defined": ["pk = :y", {}, /not defined/],
      "a name that is not defined": ["#n = :x", {}, /not defined/],
      "a value that is not used": ["attribute_exists(pk)", {}, /unused in expressions/],
      "a syntax error": ["pk = ", {}, /Syntax error/],
    };
    for (const [what, [ConditionExpression, rest, message]] of Object.entries(invalid)) {
      test(`${what} in an expression is a ValidationException`, async () => {
        const refused = await put(key("c"), { ConditionExpression, ExpressionAttributeValues: { ":x": N(1) }, ...rest }).catch((error) => error);
        assert.equal(refused.name, "ValidationException");
        assert.match(refused.message, message);
        assert.equal(await get("c"), undefined);
      });
    }

    test("scans go page by page, batches read several, deletes heed conditions", async () => {
      for (const name of ["s1", "s2", "s3"]) await put(key(name));
      const found = [];
      let ExclusiveStartKey;
      do {
        const page = await client.send(new dynamo.ScanCommand({ TableName: stack.table, Limit: 2, ExclusiveStartKey }));
        found.push(...page.Items.map((item) => item.pk.S));
        ExclusiveStartKey = page.LastEvaluatedKey;
      } while (ExclusiveStartKey);
      assert.ok(["s1", "s2", "s3"].every((name) => found.includes(name)));
      const { Responses } = await client.send(new dynamo.BatchGetItemCommand({ RequestItems: { [stack.table]: { Keys: [key("s1"), key("s3"), key("no")] } } }));
      assert.deepEqual(Responses[stack.table].map((item) => item.pk.S), ["s1", "s3"]);
      const remove = { TableName: stack.table, Key: key("s1"), ConditionExpression: "attribute_exists(nothing)" };
      await assert.rejects(client.send(new dynamo.DeleteItemCommand(remove)), { name: "ConditionalCheckFailedException" });
      await client.send(new dynamo.DeleteItemCommand({ TableName: stack.table, Key: key("s1") }));
      assert.equal(await get("s1"), undefined);
    });

    test("faults have the types of AWS's", async () => {
      for (const error of ["ThrottlingException", "AccessDeniedException", "ProvisionedThroughputExceededException"]) {
        await counterpart.fault({ match: { service: "dynamodb", operation: "GetItem", who: "tests" }, times: 1, error });
        await assert.rejects(get("a"), { name: error });
        await get("a");
      }
      const elsewhere = new dynamo.GetItemCommand({ TableName: "other", Key: key("a") });
      await assert.rejects(client.send(elsewhere), { name: "ResourceNotFoundException" });
    });

    test("a fault is for those whom it is meant for, as often as it is wanted", async () => {
      const id = await counterpart.fault({ match: { operation: "Get*", who: "function/*" }, error: "AccessDeniedException" });
      await get("a");
      await counterpart.ask("clearFaults", { id });
      await counterpart.fault({ match: { who: "te*" }, skip: 1, times: 2, status: 500, error: "InternalServerError" });
      const seen = [];
      for (let number = 0; number < 4; number++) seen.push(await get("a").then(() => "", (error) => error.name));
      assert.deepEqual(seen, ["", "InternalServerError", "InternalServerError", ""]);
      await counterpart.clearFaults();
    });

    test("an answer may be lost after the work was done", async () => {
      await counterpart.fault({ match: { operation: "PutItem" }, times: 1, cut: "after" });
      await assert.rejects(put(key("lost")));
      assert.deepEqual(await get("lost"), key("lost"));
      await counterpart.fault({ match: { operation: "PutItem" }, times: 1, cut: "before" });
      await assert.rejects(put(key("never")));
      assert.equal(await get("never"), undefined);
    });
  });

  describe("S3", () => {
    let client;
    before(() => (client = new s3.S3Client({ ...counterpart.clientOptions(), forcePathStyle: true })));
    after(() => client.destroy());

    test("objects come back as they were put, with whatever checksum", async () => {
      const Bucket = stack.bucket;
      for (const ChecksumAlgorithm of [undefined, "CRC32", "SHA1", "SHA256"]) {
        const Body = Buffer.alloc(300_000, `${ChecksumAlgorithm}`);
        const Key = `payloads/a b+c/ü-${ChecksumAlgorithm}`;
        await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, ChecksumAlgorithm }));
        const got = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
        assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), Body);
      }
      const { Contents } = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix: "payloads/a b" }));
      assert.equal(Contents.length, 4);
      await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } }));
      await assert.rejects(client.send(new s3.GetObjectCommand({ Bucket, Key: Contents[0].Key })), { name: "NoSuchKey" });
    });

    test("a stream is sent in chunks with its checksum behind it", async () => {
      const { Readable } = await import("node:stream");
      const parts = Array.from({ length: 20 }, (_, index) => Buffer.alloc(10_000, String(index)));
      const Body = Readable.from(parts);
      await client.send(new s3.PutObjectCommand({ Bucket: stack.bucket, Key: "stream", Body, ContentLength: 200_000 }));
      const got = await client.send(new s3.GetObjectCommand({ Bucket: stack.bucket, Key: "stream" }));
      assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), Buffer.concat(parts));
    });
  });

  describe("proxies", () => {
    /** A connection through a proxy to a server that answers with what it is told. */
    const through = async () => {
      const echo = net.createServer((socket) => socket.on("error", () => {}).pipe(socket));
      await new Promise((resolve) => echo.listen(0, "127.0.0.1", resolve));
      const { id, port } = await counterpart.ask("proxy", { target: echo.address().port });
      const open = () =>
        new Promise((resolve, reject) => {
          const socket = net.connect(port, "127.0.0.1", () => resolve(socket)).on("error", reject);
          socket.ended = new Promise((ended) => socket.on("close", ended));
        });
      const said = (socket, text) => new Promise((resolve) => socket.once("data", (data) => resolve(data.toString())).write(text));
      return { echo, id, open, said, set: (wanted) => counterpart.ask("network", { id, ...wanted }) };
    };

    test("cut, refuse, and fall silent for ever for those that there are", async () => {
      const { echo, open, said, set } = await through();
      const first = await open();
      assert.equal(await said(first, "a"), "a");
      await set({ silence: "both" });
      let heard = false;
      first.on("data", () => (heard = true));
      first.write("b");
      const second = await open();
      assert.equal(await said(second, "c"), "c");
      await set({ cut: true });
      await Promise.all([first.ended, second.ended]);
      assert.equal(heard, false);
      await set({ refuse: true });
      await assert.rejects(open(), { code: "ECONNREFUSED" });
      await set({ refuse: false });
      const third = await open();
      assert.equal(await said(third, "d"), "d");
      third.destroy();
      echo.close();
    });

    test("are silent in one direction, late, or a black hole, for as long as it is wanted", async () => {
      const { echo, open, said, set } = await through();
      const socket = await open();
      await said(socket, "a");
      await set({ silent: "down" });
      const late = said(socket, "b");
      await set({ silent: "none", delayMs: 50 });
      assert.equal(await late, "b");
      const before = performance.now();
      assert.equal(await said(socket, "c"), "c");
      assert.ok(performance.now() - before >= 95);
      await set({ blackhole: true, delayMs: 0 });
      const hole = await open();
      let heard = false;
      hole.on("data", () => (heard = true)).write("d");
      assert.equal(await said(socket, "e"), "e");
      assert.equal(heard, false);
      await set({ cut: true });
      await Promise.all([hole.ended, socket.ended]);
      echo.close();
    });
  });
});

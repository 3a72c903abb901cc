// Events and results of every length at which something changes, byte by byte: what fits a message and what does not, what Lambda takes and
// what it does not. Beside it a function that runs under the emulator without a stub says what Lambda does. And a bucket that refuses.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { repository } from "../support/sst.mjs";

const { kinds, noise, text } = createRequire(import.meta.url)("../../fixtures/apps/counterpart/functions/payload.js");

const full = process.env.SST_FAULTS === "full";
const KB = 1024;
const MB = 1024 * KB;
/** Lambda's limits. A result may be a little longer than an event. */
const LONGEST_EVENT = 6 * MB;
const LONGEST_RESULT = 6 * MB + 100;
const LONGEST_ASYNCHRONOUS = MB;
const AROUND = full ? [-3, -2, -1, 0, 1, 2, 3] : [-1, 0, 1];

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

/** An event of exactly so many bytes, for a function that tells the hash of what it has got. */
function event(kind, length) {
  const begin = '{"length":1,"text":"';
  return Buffer.from(`${begin}${text(kind, length - begin.length - 2)}"}`);
}

describe("payloads", () => {
  let deployed;
  let counterpart;

  before(async () => {
    deployed = await Deployed.start();
    ({ counterpart } = deployed);
    const bootstrap = path.join(counterpart.directory, "bootstrap");
    fs.writeFileSync(bootstrap, `#!/bin/sh\nexec '${process.execPath}' '${path.join(repository, "tests/counterpart/runtime.mjs")}'\n`, { mode: 0o755 });
    await counterpart.registerFunction("direct", { bootstrap });
  });
  after(() => deployed?.close());

  /** What an upload is recorded as. */
  const uploaded = (from) => counterpart.recorded({ kind: "s3", operation: "PUT object" }, from);

  /** Sends an event, looks at what has come of it, and returns whether it went through the bucket. */
  const sends = async (kind, length, options) => {
    await counterpart.settled();
    const from = counterpart.records.length;
    const bytes = event(kind, length);
    assert.equal(bytes.length, length);
    const answer = await deployed.call("echo", bytes, options);
    assert.equal(answer.error, undefined, `${kind} ${length}: ${answer.bytes.subarray(0, 300)}`);
    assert.equal(answer.value.sha256, sha256(bytes), `${kind} ${length}`);
    await counterpart.settled();
    return uploaded(from).length > 0;
  };

  /** Has a result made, looks at it, and returns whether it went through the bucket. */
  const returns = async (kind, length) => {
    await counterpart.settled();
    const from = counterpart.records.length;
    const answer = await deployed.call("echo", { result: { kind, length } });
    assert.equal(answer.error, undefined, `${kind} ${length}: ${answer.bytes.subarray(0, 300)}`);
    assert.equal(answer.bytes.length, length);
    assert.equal(sha256(answer.bytes), sha256(`"${text(kind, length - 2)}"`), `${kind} ${length}`);
    await counterpart.settled();
    return uploaded(from).length > 0;
  };

  /** The shortest length between two at which something goes through the bucket. */
  const edge = async (goes, low, high) => {
    assert.deepEqual([await goes(low), await goes(high)], [false, true]);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await goes(middle)) high = middle;
      else low = middle;
    }
    return high;
  };

  const ways = { events: sends, results: returns };
  for (const [what, way] of Object.entries(ways)) {
    for (const kind of ["noise", "letters"]) {
      test(`${what} around what fits a message: ${kind}`, async () => {
        const found = await edge((length) => way(kind, length), 60 * KB, 250 * KB);
        const over = [];
        for (let length = found - 4; length <= found + 4; length++) if (await way(kind, length)) over.push(length - found);
        // Compression may make a byte more into one less.
        assert.ok(over.includes(0) && !over.includes(-1) && over.length >= 3, `${found} ${over}`);
        const longest = Math.max(...counterpart.recorded({ kind: "post" }).map(({ length }) => length));
        // Text of 64 letters takes six bits for each, of which none is lost.
        assert.ok(kind !== "noise" || found > 90 * KB, String(found));
        assert.ok(longest > 96 * KB && longest <= 120 * KB, String(longest));
        console.log(`${kind}: ${what} of ${found} bytes go through the bucket`);
      });
    }

    test(`${what} around 128 KB, 1 MB, and what Lambda takes`, async () => {
      const longest = what === "events" ? LONGEST_EVENT : LONGEST_RESULT;
      const around = (...lengths) => lengths.flatMap((length) => AROUND.map((more) => length + more)).filter((length) => length <= longest);
      for (const kind of kinds) {
        // Large ones take the counterpart a second or two.
        const large = full || kind === "noise" ? around(6 * MB, longest) : [longest];
        for (const length of new Set([...around(128 * KB, MB), ...large])) {
          const stored = await way(kind, length);
          if (length > MB / 2) assert.equal(stored, kind !== "same", `${kind} ${length}`);
        }
      }
    });
  }

  test("results that are no text, and compress or do not", async () => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 300_000, 1_500_000]) {
      const answer = await counterpart.invokeStreamed(deployed.names.stream, { parts: 1, size, noise: true });
      assert.equal(answer.error, undefined);
      assert.equal(sha256(answer.bytes), sha256(noise("part 0", size)), String(size));
    }
  });

  test("an event that Lambda does not take: the caller hears what it hears without a stub, and the next call works", async () => {
    const refusal = async (name, length, options) => {
      const thrown = await counterpart.invoke(name, event("same", length), options).then(() => assert.fail("it was taken"), (error) => error);
      return [thrown.name, thrown.$metadata.httpStatusCode, thrown.message];
    };
    for (const [limit, options] of [[LONGEST_EVENT, {}], [LONGEST_ASYNCHRONOUS, { InvocationType: "Event" }]]) {
      const told = await refusal(deployed.names.echo, limit + 1, options);
      assert.equal(told[1], 413);
      assert.deepEqual(told, await refusal("direct", limit + 1, options));
    }
    await sends("noise", 100);
  });

  test("a result that Lambda does not take: the caller hears what it hears without a stub, and the same environment serves the next call", async () => {
    await returns("noise", 100);
    const from = counterpart.records.length;
    for (const length of AROUND.map((more) => LONGEST_RESULT + 2 + more).filter((length) => length > LONGEST_RESULT)) {
      const direct = await counterpart.invoke("direct", { respond: length });
      const answer = await deployed.call("echo", { result: { kind: "noise", length } });
      assert.deepEqual([answer.error, answer.value], [direct.error, direct.value]);
      assert.equal(answer.value.errorType, "Function.ResponseSizeTooLarge");
    }
    const direct = await counterpart.invoke("direct", { respond: LONGEST_RESULT });
    assert.deepEqual([direct.error, direct.bytes.length], [undefined, LONGEST_RESULT]);
    await returns("noise", 100);
    await counterpart.settled();
    assert.deepEqual(counterpart.recorded({ kind: "environment", function: deployed.names.echo }, from), []);
  });

  test("an asynchronous event of the longest that there may be", async () => {
    for (const kind of kinds) {
      const bytes = event(kind, LONGEST_ASYNCHRONOUS);
      const { requestId } = await deployed.call("echo", bytes, { InvocationType: "Event" });
      const [{ error, body }] = await counterpart.until({ kind: "asynchronous", request: requestId });
      assert.deepEqual([error, JSON.parse(body).sha256], [false, sha256(bytes)], kind);
    }
  });

  test("a large environment and a large context leave less room, and nothing is too long", async () => {
    // More than functions can have: 4 KB are let in. With as much as there may be, all that fits a frame still fits a message.
    for (const [length, less] of [[4 * KB, false], [30 * KB, true]]) {
      await counterpart.settings({ functions: { environment: { LARGE: text("noise", length) } } });
      await counterpart.ask("recycle", { name: deployed.names.echo });
      const options = { ClientContext: Buffer.from(JSON.stringify({ custom: { text: text("noise", 2_500) } })).toString("base64") };
      const found = await edge((size) => sends("noise", size, options), 60 * KB, 250 * KB);
      const alone = await edge((size) => sends("noise", size), 60 * KB, 250 * KB);
      assert.equal(found < alone, less, `${found} ${alone}`);
      for (let size = found - 2; size <= found + 2; size++) await sends("noise", size, options);
    }
    await counterpart.settings({ functions: { environment: {} } });
    await counterpart.ask("recycle", { name: deployed.names.echo });
    assert.deepEqual(counterpart.recorded({ kind: "limit" }), []);
  });

  describe("when the bucket fails, whoever calls hears it in time", () => {
    const often = { "is broken": { status: 500, error: "InternalError" }, stalls: { stall: true } };
    const faults = full ? { ...often, refuses: { status: 403, error: "AccessDenied" }, "is slow": { delayMs: 120_000 } } : often;
    // How long the stub and sst are patient: 20 s, and with less time as long as they can still tell.
    const functions = full ? { hasty: 16_000, echo: 22_000 } : { hasty: 16_000 };
    for (const [name, within] of Object.entries(functions)) {
      for (const [what, fault] of Object.entries(faults)) {
        for (const side of ["function", "developer"]) {
          test(`one that ${what} to the ${side}, with a function that has ${name === "hasty" ? "little" : "more"} time`, async () => {
            // The stub takes a denial for a permission that has not spread yet, at first.
            await deployed.call(name, {});
            const who = side === "function" ? `function/${deployed.names[name]}` : "developer";
            await counterpart.fault({ match: { service: "s3", who }, ...fault });
            const took = async (event) => {
              const began = Date.now();
              const answer = await deployed.call(name, event);
              return { ...answer, value: answer.value, took: Date.now() - began };
            };
            const [sent, returned] = await Promise.all([took(event("noise", 300 * KB)), took({ result: { kind: "noise", length: 300 * KB } })]);
            await counterpart.clearFaults();
            const expected =
              side === "function"
                ? [/the stub could not store the event in the bucket|the function's role may not store the event in the bucket/, /could not read the result from the bucket|may not read the result from the bucket/]
                : [/the event of this request could not be fetched/, /the result could not be put into the bucket/];
            for (const [index, answer] of [sent, returned].entries()) {
              assert.equal(answer.error, "Unhandled");
              assert.match(answer.value.errorMessage, expected[index], JSON.stringify(answer.value));
              assert.match(answer.value.errorType, /^Sst\.(Unreachable|AccessDenied|PayloadUnavailable)$/);
              assert.ok(answer.took <= within, `${answer.took} ms`);
            }
            console.log(`${what}, ${side}: the event after ${sent.took} ms, the result after ${returned.took} ms`);
            const answer = await deployed.call(name, event("noise", 300 * KB));
            assert.equal(answer.value.sha256, sha256(event("noise", 300 * KB)));
          });
        }
      }
    }
  });

  test("all of it was signed as botocore signs it", () => counterpart.checkSignatures());
});

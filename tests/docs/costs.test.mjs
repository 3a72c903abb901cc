// What `docs/costs.md` counts is what the program does, and its example is added up rightly.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const read = (file) => fs.readFileSync(path.join(repository, file), "utf8");
const page = read("docs/costs.md");

/** The number that a pattern finds in a file. */
function found(file, pattern) {
  const [, number] = pattern.exec(read(file)) ?? assert.fail(`${file} has nothing like ${pattern}`);
  return Number(number.replaceAll(/[_,]/g, ""));
}

const acknowledged = found("src/relay/responder.rs", /ACKNOWLEDGED_AFTER: Duration = Duration::from_millis\((\d+)\)/);
const working = found("stub/wire/src/lib.rs", /WORKING_INTERVAL_MS: u64 = ([\d_]+)/) / 1000;
const renewed = found("src/relay/registration.rs", /RENEW_EVERY: Duration = Duration::from_secs\((\d+)\)/);

test("what is counted is what is sent", () => {
  assert.ok(page.includes(`longer than ${acknowledged} ms, and one for each ${working} s`));
  assert.equal(found("src/relay/usage.rs", /const PIECE: usize = (\d+) \* 1024/), 32);
  assert.equal(renewed, 30, "half a minute");
});

test("the example is added up rightly", () => {
  const price = (pattern) => found("docs/costs.md", pattern);
  const [messages, minutes] = [price(/\$([\d.]+) for a million \|\n\| \| minutes/), price(/warm \| \$([\d.]+) for a million/)];
  const [requests, seconds] = [price(/\$([\d.]+) for a million, \$/), price(/\$([\d.]+) for a GB-second/)];
  const writes = price(/\$([\d.]+) for a million writes/);
  const [hours, calls, breakpoints, paused, functions] = [8, 2000, 10, 300, 25];
  const sums = {
    messages: ((calls * 3 + breakpoints * (paused / working)) * messages) / 1e6,
    connection: (hours * 60 * (1 + 10) * minutes) / 1e6,
    stubs: (calls * requests) / 1e6 + (calls * 0.5 + breakpoints * paused) * seconds,
    registrations: ((hours * 3600) / renewed) * functions * (writes / 1e6),
  };
  for (const [name, sum] of Object.entries(sums)) {
    const [, told] = new RegExp(`^\\| ${name} \\|.*\\$([\\d.]+) \\|$`, "m").exec(page);
    assert.ok(Math.abs(Number(told) - sum) < 0.0005, `${name}: ${sum}`);
  }
  const all = Object.values(sums).reduce((a, b) => a + b);
  assert.ok(page.includes(`**about $${all.toFixed(2)}**`), `together: ${all}`);
  assert.ok(page.includes(`${calls * 3 + (breakpoints * paused) / working} messages`));
});

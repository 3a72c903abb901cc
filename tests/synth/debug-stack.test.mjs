// What the debug stack's template has in it, where the local cloud does otherwise.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import vm from "node:vm";

const repository = path.resolve(import.meta.dirname, "../..");
const template = fs.readFileSync(path.join(repository, "infra/debug-stack.yaml"), "utf8");

test("the control function tells the id of a connection, and the time to the millisecond", async () => {
  const [, code] = /ZipFile: \|\n((?: {10}.*\n)+)/.exec(template);
  const exports = {};
  vm.runInNewContext(code, { exports, JSON, Date });
  const before = Date.now();
  const { statusCode, body } = await exports.handler({ requestContext: { connectionId: "R0oXAdfD0kwCH6w=" } });
  const { connectionId, now } = JSON.parse(body);
  assert.deepEqual({ statusCode, connectionId }, { statusCode: 200, connectionId: "R0oXAdfD0kwCH6w=" });
  assert.ok(now >= before && now <= Date.now(), String(now));
});

test("the local cloud knows the control function, in whose place it answers, by its description", () => {
  const [, description] = /^_DESCRIPTION = "(.+)"$/m.exec(fs.readFileSync(path.join(repository, "src/cloud/hello.py"), "utf8"));
  assert.equal(template.split(`Description: ${description}\n`).length, 2);
});

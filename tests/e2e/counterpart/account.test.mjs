// `sst doctor --account`: what a session needs of AWS is tried in a stack of its own, which is gone at the end.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Sst } from "../support/sst.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";

async function tried(prepare = async () => {}) {
  const deployed = await Deployed.prepare();
  try {
    await prepare(deployed.counterpart);
    const sst = new Sst(deployed.copy(), ["doctor", "--account"], deployed.environment);
    const { code } = await sst.exited;
    const { stacks } = await deployed.counterpart.state();
    return { code, output: sst.output, stacks: Object.keys(stacks).filter((name) => name.startsWith("sst-trial-")) };
  } finally {
    await deployed.close();
  }
}

test("everything works in the counterpart, and nothing stays", async () => {
  const { code, output, stacks } = await tried();
  assert.equal(code, 0, output);
  assert.equal(output.match(/✓/g).length, 10, output);
  assert.doesNotMatch(output, /✗/);
  assert.match(output, /✓ a connection by a signed handshake, whose `hello` is answered without a Lambda function/);
  assert.deepEqual(stacks, []);
});

test("where API Gateway does not answer by itself, the rest is tried with a function, as a session would have it", async () => {
  const { code, output, stacks } = await tried((counterpart) => counterpart.settings({ gateway: { mock: { hello: false } } }));
  assert.equal(code, 0, output);
  assert.match(output, /API Gateway does not answer `\$connect` and `hello` by itself here \(the WebSocket API answers: Internal server error\); in a session a Lambda function does then/);
  assert.match(output, /✓ a connection by a signed handshake, whose `hello` is answered by a Lambda function/);
  assert.doesNotMatch(output, /✗/);
  assert.deepEqual(stacks, []);
});

test("what does not work is told, and the stack is removed all the same", async () => {
  const { code, output, stacks } = await tried(async (counterpart) => {
    await counterpart.settings({ gateway: { messageLimit: 64 * 1024, pong: false } });
    await counterpart.fault({ match: { service: "dynamodb", operation: "GetItem", who: "developer" }, status: 400, error: "AccessDeniedException", message: "not authorized to perform: dynamodb:GetItem" });
  });
  assert.notEqual(code, 0);
  assert.match(output, /✗ a ping is answered: nothing came within 15 s/);
  assert.match(output, /✗ so does the longest that is sent: .*/);
  assert.match(output, /✗ a registration is written, read and removed: .*dynamodb:GetItem/);
  assert.match(output, /✓ a payload is stored, read and removed/);
  assert.match(output, /3 of 8 things do not work in this account/);
  assert.deepEqual(stacks, []);
});

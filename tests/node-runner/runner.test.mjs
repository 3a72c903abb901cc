// The runner does what the official runtime client for Node (aws-lambda-ric 4.0.2) was seen to do.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RuntimeApi, start } from "./support.mjs";

/** Runs a handler once, and returns what was posted. */
async function run(handler, event = {}, headers = {}, options = {}) {
  const api = await new RuntimeApi().listen();
  const worker = start(api, handler, options);
  if (options.standby) worker.assign();
  api.deliver(event, headers);
  const post = await Promise.race([api.post(), worker.exited.then((exit) => ({ exit }))]);
  return {
    post,
    api,
    worker,
    body: post.body === undefined || post.headers["lambda-runtime-function-response-mode"] ? undefined : JSON.parse(post.body),
    async end() {
      worker.child.stdio[3].end();
      const exit = await worker.exited;
      api.close();
      return exit;
    },
  };
}

const results = {
  returns: { got: { a: [1, "ü"] } },
  nothing: null,
  sync: null,
  never: null,
  callback: "called",
  done: "done",
  succeed: "succeeded",
};
for (const [name, expected] of Object.entries(results)) {
  test(`${name}: a result`, async () => {
    const { post, body, end } = await run(`common.${name}`, { a: [1, "ü"] });
    assert.equal(post.where, "invocation/request-1/response");
    assert.deepEqual(body, expected);
    assert.equal((await end()).signal, "SIGKILL", "the end of the pipe ends the process, whatever it does");
  });
}

const errors = {
  throws: ["OwnError", "thrown"],
  throwsNow: ["TypeError", "thrown at once"],
  throwsText: ["string", "only text"],
  callbackError: ["OwnError", "given to the callback"],
  failed: ["OwnError", "failed"],
  circular: ["Error", "Unable to stringify response body"],
};
for (const [name, [errorType, errorMessage]] of Object.entries(errors)) {
  test(`${name}: an error, after which the process serves on`, async () => {
    const { post, body, api, end } = await run(`common.${name}`);
    assert.equal(post.where, "invocation/request-1/error");
    assert.deepEqual({ errorType: body.errorType, errorMessage: body.errorMessage }, { errorType, errorMessage });
    assert.ok(Array.isArray(body.trace));
    api.deliver({});
    assert.equal((await api.post()).where, "invocation/request-1/error");
    await end();
  });
}

const endings = {
  rejects: ["Runtime.UnhandledPromiseRejection", "RangeError: late", 128],
  uncaught: ["EvalError", "in a timer", 129],
};
for (const [name, [errorType, errorMessage, code]] of Object.entries(endings)) {
  test(`${name}: an error that ends the process`, async () => {
    const { post, body, api, worker } = await run(`common.${name}`);
    assert.equal(post.where, "invocation/request-1/error");
    assert.deepEqual({ errorType: body.errorType, errorMessage: body.errorMessage }, { errorType, errorMessage });
    assert.equal((await worker.exited).code, code);
    api.close();
  });
}

const unloadable = {
  "importing.handler": "Runtime.ImportModuleError",
  "missing.handler": "Runtime.ImportModuleError",
  "syntax.handler": "Runtime.UserCodeSyntaxError",
  "throwing.handler": "TypeError",
  "common.missing": "Runtime.HandlerNotFound",
  "common.notAFunction": "Runtime.HandlerNotFound",
  malformed: "Runtime.MalformedHandlerName",
};
for (const [handler, errorType] of Object.entries(unloadable)) {
  test(`${handler}: ${errorType}`, async () => {
    const { post, body, api, worker } = await run(handler);
    assert.equal(post.where, "init/error");
    assert.equal(body.errorType, errorType);
    assert.equal(post.headers["lambda-runtime-function-error-type"], errorType);
    assert.equal((await worker.exited).code, 129);
    api.close();
  });
}

test("an exit posts nothing and keeps its code", async () => {
  const { post, api } = await run("common.exits");
  assert.deepEqual(post.exit, { code: 7, signal: null });
  assert.deepEqual(api.posts, []);
  api.close();
});

test("modules, with an await at the top level", async () => {
  const { body, end } = await run("module.handler");
  assert.equal(body, true);
  await end();
});

test("the context in full", async () => {
  const { body, api, end } = await run("common.context", {}, {
    "Lambda-Runtime-Trace-Id": "Root=1-2-3",
    "Lambda-Runtime-Client-Context": '{"custom":{"a":1}}',
    "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
    "Sst-Credentials": '{"AWS_ACCESS_KEY_ID":"fresh"}',
  });
  assert.deepEqual(body, {
    id: "request-1",
    arn: "arn:aws:lambda:eu-west-1:1:function:f",
    name: "f",
    version: "$LATEST",
    memory: "256",
    group: "/aws/lambda/f",
    stream: "stream",
    client: { custom: { a: 1 } },
    identity: { cognitoIdentityId: "i", cognitoIdentityPoolId: "p" },
    waits: true,
    left: true,
    trace: "Root=1-2-3",
    key: "fresh",
  });
  assert.equal(api.runnerHeader, "1", "it asks for the credentials");
  await end();
});

test("a streamed response", async () => {
  const { post, end } = await run("common.streams");
  assert.equal(post.headers["lambda-runtime-function-response-mode"], "streaming");
  assert.equal(post.headers["content-type"], "application/vnd.awslambda.http-integration-response");
  const [prelude, rest] = post.body.split("\0".repeat(8));
  assert.deepEqual(JSON.parse(prelude), { statusCode: 201, headers: { "x-own": "1" } });
  assert.equal(rest, "part one, part two");
  await end();
});

test("what a handler writes is out before its answer", async () => {
  const { body, worker, end } = await run("common.logs");
  assert.equal(body, "logged");
  await end();
  await worker.closed;
  assert.match(worker.output(), /first line\nsecond line\n/);
  assert.match(worker.output(), /on stderr\n/);
  assert.match(worker.output(), /Debugger listening on ws:\/\/127\.0\.0\.1:\d+\//);
});

test("a standby becomes the function that it is told to be", async () => {
  const { body, end } = await run("common.returns", { b: 1 }, {}, { standby: true });
  assert.deepEqual(body, { got: { b: 1 } });
  assert.equal((await end()).signal, "SIGKILL");
});

test("a standby that is not needed ends with its pipe", async () => {
  const api = await new RuntimeApi().listen();
  const worker = start(api, "common.returns", { standby: true });
  worker.child.stdio[3].end();
  assert.deepEqual(await worker.exited, { code: 0, signal: null });
  api.close();
});

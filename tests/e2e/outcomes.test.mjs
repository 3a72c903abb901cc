// However a function ends, its caller is told what it would be told by Lambda. Where the local cloud runs the same file in a runtime
// of its own, its answer is the measure; elsewhere it is the shape that Lambda documents.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, extraArguments, repository, until } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { CreateFunctionCommand, GetFunctionCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

describe("outcomes", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/events");
    sst = await Sst.start(directory);
    lambda = new LambdaClient(clientOptions(sst));
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const invoke = async (FunctionName, event = {}) => {
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
    return { error: answer.FunctionError, text: Buffer.from(answer.Payload).toString() };
  };
  /** A role that exists. */
  const anyRole = async () => {
    const FunctionName = sst.stackOutput("Functionecho");
    return (await lambda.send(new GetFunctionCommand({ FunctionName }))).Configuration.Role;
  };
  const local = (name, event) => invoke(sst.stackOutput(`Function${name}`), event);

  test("results are the same as in the cloud's own runtime, byte for byte", async () => {
    const twin = await deployTwin(lambda, directory, await anyRole());
    for (const name of ["returns", "echo", "calls"]) {
      const event = { text: "ü", nested: { list: [1, 2, 3] } };
      const expected = await invoke(await twin(name), event);
      assert.deepEqual(await local(name, event), expected, name);
    }
  });

  test("errors have the message that the cloud's own runtime gives, and the type that Lambda's does", async () => {
    const twin = await deployTwin(lambda, directory, await anyRole());
    for (const name of ["throws", "callsError"]) {
      const expected = await invoke(await twin(name));
      const { error, text } = await local(name);
      const { errorType, errorMessage, trace } = JSON.parse(text);
      assert.equal(error, expected.error, name);
      assert.equal(errorMessage, JSON.parse(expected.text).errorMessage, name);
      // The local cloud's runtime calls every error `Runtime.HandlerError`; Lambda's tells the name of its class.
      assert.equal(errorType, "OwnError", name);
      assert.match(trace[1], /outcomes\.js:\d+:\d+/, name);
    }
  });

  // The shapes are those of the developer guide and of the official runtime client.
  const documented = {
    rejects: ["Runtime.UnhandledPromiseRejection", /^RangeError: nobody handles this$/],
    throwsText: ["string", /^only a text$/],
    circular: ["Error", /^Unable to stringify response body$/],
    exits: ["Runtime.ExitError", /^RequestId: \S+ Error: Runtime exited with error: exit status 3$/],
    hangs: ["Sandbox.Timedout", /^RequestId: \S+ Error: Task timed out after 2\.00 seconds$/],
    loadFails: ["TypeError", /^the module does not load$/],
    noSuchFile: ["Runtime.ImportModuleError", /no-such-file/],
    noSuchExport: ["Runtime.HandlerNotFound", /`outcomes\.js` has no export `noSuchExport`; it exports: `returns`/],
  };
  for (const [name, [type, message]] of Object.entries(documented)) {
    test(`${name}: ${type}`, async () => {
      const from = sst.output.length;
      const { error, text } = await local(name);
      const body = JSON.parse(text);
      assert.equal(error, "Unhandled", text);
      assert.equal(body.errorType, type, text);
      assert.match(body.errorMessage, message);
      await sst.waitFor(/ERROR/, from);
      if (name === "hangs") await sst.waitFor(/Task timed out after 2\.00 seconds/, from);
      if (name === "noSuchFile") await sst.waitFor(/no-such-file/, from);
    });
  }

  test("a function has all of the time that it declares, and no more", async () => {
    const { text } = await local("lasts", { left: 100 });
    const { given } = JSON.parse(text);
    assert.ok(given > 2_900 && given <= 3_000, `${given} ms of 3 s`);
    const from = sst.output.length;
    const late = await local("lasts", { left: -60_000 });
    assert.match(JSON.parse(late.text).errorMessage, /^RequestId: \S+ Error: Task timed out after 3\.00 seconds$/);
    const [, took] = await sst.waitFor(/ERROR +\S+ events\/lasts \((\d+) ms\)/, from);
    assert.ok(Number(took) >= 3_000, `${took} ms`);
  });

  test("handlers are found where Lambda finds them", async () => {
    assert.equal((await local("nested")).text, '"nested"');
    assert.equal((await local("inDirectory")).text, '"in a directory"');
    // By `NODE_PATH`, in which Lambda has the function's own directory.
    assert.deepEqual(JSON.parse((await local("atTheRoot", { at: "the root" })).text), { at: "the root" });
  });

  test("a line that a call begins and does not end is shown with that call", async () => {
    for (const text of ["first, without an end", "second, without an end"]) {
      const from = sst.output.length;
      assert.equal((await local("begins", { text })).text, JSON.stringify(text));
      await sst.waitFor(/RESPONSE \S+ events\/begins/, from);
      assert.match(sst.output.slice(from), new RegExp(`(\\S{8}) events/begins[^\\n]*\\n +\\1 ${text}\\nRESPONSE \\1`));
    }
  });

  test("a log in JSON is written as Lambda does, from its level on", async () => {
    const from = sst.output.length;
    assert.equal((await local("logs")).text, '"WARN"');
    await sst.waitFor(/RESPONSE \S+ events\/logs/, from);
    const [, line] = /^ +\S{8} (\{.*\})$/m.exec(sst.output.slice(from));
    const { level, requestId, errorType, errorMessage, stackTrace } = JSON.parse(line);
    assert.match(requestId, /^\S{36}$/);
    assert.deepEqual([level, errorType, errorMessage], ["ERROR", "OwnError", "of its own"]);
    assert.match(stackTrace[1], /outcomes\.js:\d+:\d+/);
    assert.doesNotMatch(sst.output.slice(from), /not shown/);
  });

  test("a leftover timer does not hold the answer up", async () => {
    assert.equal((await local("leavesTimer")).text, '"at once"');
  });

  test("saving during a call does not disturb it", async () => {
    const begun = path.join(directory, "begun");
    const end = path.join(directory, "end");
    const call = local("waits", { begun, end });
    await until("the call's beginning", () => fs.existsSync(begun));
    const file = path.join(directory, "src/plain/outcomes.js");
    const from = sst.output.length;
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("old code", "new code"));
    await sst.waitFor(/BUILT +events\/waits/, from);
    fs.writeFileSync(end, "");
    assert.equal((await call).text, '"old code"');
    assert.equal((await local("waits", { begun, end })).text, '"new code"');
  });

  test("six megabytes go both ways untouched", async () => {
    // Random text does not compress into one message, so it takes the way through the bucket.
    const noise = require("node:crypto").randomBytes(4_400_000).toString("base64");
    const { text } = await local("echo", { noise });
    // The local cloud writes results anew, with spaces; what it was given shows in the value.
    assert.deepEqual(JSON.parse(text), { noise });
  });

  test("a function is itself, and not the developer", async () => {
    const { text } = await local("identity");
    const answer = JSON.parse(text);
    const { environment } = answer;
    const enforced = extraArguments().includes("--enforce-iam");
    // A local cloud that does not check credentials takes everybody for the account's owner.
    assert.match(answer.arn, enforced ? /:assumed-role\/events-identity/ : /./);
    assert.equal(answer.granted, "allowed");
    assert.match(answer.notGranted, enforced ? /AccessDenied|AuthorizationError/ : /allowed/);
    assert.equal(environment.OWN, "variable");
    assert.equal(environment.IS_LOCAL, "true");
    assert.equal(environment.AWS_LAMBDA_FUNCTION_NAME, sst.stackOutput("Functionidentity"));
    assert.equal(environment.AWS_EXECUTION_ENV, "AWS_Lambda_nodejs22.x");
    assert.equal(environment._HANDLER, "identity.handler");
    assert.equal(environment.LAMBDA_TASK_ROOT, answer.directory);
    assert.equal(answer.directory, path.join(directory, "src/plain"), "it runs where its code is");
    for (const name of ["SST_STUB", "SST_NPM_ROOT", "AUTH", "BIND_HOST", "AWS_PROFILE", "CARGO_TARGET_DIR"]) {
      assert.equal(environment[name], undefined, name);
    }
  });
});

/** Deploys the directory of plain handlers as it is, and returns a function that makes a real Lambda function of a handler. */
async function deployTwin(lambda, directory, Role) {
  const zip = path.join(directory, "twin.zip");
  const code = path.join(directory, "src/plain");
  fs.rmSync(zip, { force: true });
  execFileSync("python3", ["-m", "zipfile", "-c", zip, ...fs.readdirSync(code).map((name) => path.join(code, name))]);
  const ZipFile = fs.readFileSync(zip);
  fs.rmSync(zip);
  return async (name) => {
    const FunctionName = `twin-${name}-${Math.random().toString(36).slice(2)}`;
    await lambda.send(
      new CreateFunctionCommand({ FunctionName, Role, Runtime: "nodejs22.x", Handler: `outcomes.${name}`, Code: { ZipFile }, Timeout: 20 }),
    );
    return FunctionName;
  };
}

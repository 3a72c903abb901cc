// Wrong input and interruptions: one clear message, an exit code, nothing left running.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { createRequire } from "node:module";

import { Sst, clientOptions, copyApp, gone, processesOf, repository, until } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const scratch = () => fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-bad-"));

/** Runs `sst start --local` where it cannot work, and returns what it said. */
async function fail(directory, { args = [], env = {} } = {}) {
  const sst = new Sst(directory, ["start", "--local", ...args], env);
  const { code } = await sst.exited;
  await sst.closed;
  await gone(directory);
  fs.rmSync(directory, { recursive: true, force: true });
  return { code, output: sst.output };
}

/** An app with a custom resource whose function does not even load. */
const FAILING = `
const { App, CustomResource, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "failing");
const code = Code.fromInline('throw new Error("no such luck");');
const provider = new LambdaFunction(stack, "Provider", { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code });
new CustomResource(stack, "Wrong", { resourceType: "Custom::Wrong", serviceToken: provider.functionArn });
`;

/** An app with a custom resource that is not complete at once, which its second function says by failing in the framework of the CDK. */
const PATIENT = `
const { App, CustomResource, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");
const { Provider } = require("aws-cdk-lib/custom-resources");

const stack = new Stack(new App(), "patient");
const make = (id, code) => new LambdaFunction(stack, id, { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code: Code.fromInline(code) });
const onEventHandler = make("Begin", "exports.handler = async () => ({ PhysicalResourceId: String(Date.now()) });");
const isComplete = "exports.handler = async (event) => ({ IsComplete: Date.now() - Number(event.PhysicalResourceId) > 1500 });";
const provider = new Provider(stack, "Provider", { onEventHandler, isCompleteHandler: make("Complete", isComplete), queryInterval: Duration.seconds(1) });
new CustomResource(stack, "Slow", { serviceToken: provider.serviceToken });
`;

test("a custom resource that is not complete at once is waited for", async () => {
  const directory = copyApp("tests/fixtures/apps/cdk-plain");
  fs.writeFileSync(path.join(directory, "app.js"), PATIENT);
  fs.writeFileSync(path.join(directory, "cdk.json"), '{ "app": "node app.js" }');
  const sst = await Sst.start(directory);
  try {
    assert.match(sst.output, /The app is deployed/);
    assert.match(sst.output, /Not live, since they serve the deployment itself: 5 functions/);
  } finally {
    await sst.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
});

describe("wrong input", () => {
  test("no project", async () => {
    const { code, output } = await fail(scratch());
    assert.equal(code, 2, output);
    assert.match(output, /^error: no `sst\.json` or `cdk\.json`/m);
    assert.match(output, /^hint: /m);
  });

  test("malformed JSON is shown with line and column", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), '{\n  "name": "app",\n  oops\n}\n');
    const { code, output } = await fail(directory);
    assert.equal(code, 2, output);
    assert.match(output, /sst\.json/);
    assert.match(output, /3:3|line 3,? column 3/);
  });

  test("no name", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), "{}\n");
    const { code, output } = await fail(directory);
    assert.equal(code, 2, output);
    assert.match(output, /`name`/);
  });

  test("an unknown argument", async () => {
    const { code, output } = await fail(scratch(), { args: ["--no-such-option"] });
    assert.equal(code, 2, output);
    assert.match(output, /--no-such-option/);
  });

  test("no Node", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "app" }\n');
    const { code, output } = await fail(directory, { env: { PATH: "/nonexistent" } });
    assert.equal(code, 3, output);
    assert.match(output, /^error: `node` is not in the PATH/m);
  });

  test("a resource that fails is named, with the reason", async () => {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    fs.writeFileSync(path.join(directory, "app.js"), FAILING);
    fs.writeFileSync(path.join(directory, "cdk.json"), '{ "app": "node app.js" }');
    const { code, output } = await fail(directory);
    assert.equal(code, 5, output);
    assert.match(output, /^error: the app could not be deployed\s+[^\n]*CREATE_FAILED[^\n]*Custom::Wrong/m);
    assert.match(output, /the function of the custom resource failed: [^\n]*no such luck/);
  });

  test("Node that is too old", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "app" }\n');
    fs.mkdirSync(path.join(directory, "bin"));
    fs.writeFileSync(path.join(directory, "bin/node"), "#!/bin/sh\necho v14.21.3\n", { mode: 0o755 });
    const { code, output } = await fail(directory, { env: { PATH: `${directory}/bin:${process.env.PATH}` } });
    assert.equal(code, 3, output);
    assert.match(output, /v14\.21\.3, which is too old/);
  });

  test("no Python", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "app" }\n');
    fs.mkdirSync(path.join(directory, "bin"));
    fs.symlinkSync(process.execPath, path.join(directory, "bin/node"));
    const env = { PATH: `${directory}/bin`, XDG_CACHE_HOME: path.join(directory, "cache") };
    const { code, output } = await fail(directory, { env });
    assert.equal(code, 3, output);
    assert.match(output, /Python 3\.10/);
  });

  test("an app that does not synthesise shows the user's own stack", async () => {
    const directory = copyApp("tests/fixtures/apps/events");
    const stacks = path.join(directory, "stacks/index.js");
    fs.writeFileSync(stacks, 'export default function main() {\n  throw new Error("wrong on purpose");\n}\n');
    const { code, output } = await fail(directory);
    assert.equal(code, 4, output);
    assert.match(output, /wrong on purpose/);
    assert.match(output, /stacks\/index\.js:2/);
  });

  test("a deployment that fails", async () => {
    const directory = copyApp("tests/fixtures/apps/cdk-plain");
    const app = path.join(directory, "bin/app.js");
    const resource = 'new (require("aws-cdk-lib").CfnResource)(stack, "Wrong", { type: "AWS::CloudFormation::NoSuch" });';
    fs.writeFileSync(app, fs.readFileSync(app, "utf8").replace("new PlainStack", "const stack = new PlainStack") + resource);
    const { code, output } = await fail(directory);
    assert.equal(code, 5, output);
    assert.match(output, /^error: the app could not be deployed/m);
    assert.match(output, /AWS::CloudFormation::NoSuch/);
  });

  test("a state directory that cannot be written", async () => {
    const directory = scratch();
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "app" }\n');
    fs.writeFileSync(path.join(directory, ".sst"), "a file is in the way");
    const { code, output } = await fail(directory);
    assert.notEqual(code, 0, output);
    assert.match(output, /^error: .*\.sst/m);
  });
});

describe("interruptions", () => {
  test("Ctrl-C during the deployment", async () => {
    const directory = copyApp("tests/fixtures/apps/events");
    const sst = new Sst(directory, ["start", "--local"]);
    await sst.waitFor(/deploy/i);
    const { code } = await sst.stop("SIGINT");
    assert.equal(code, 130, sst.output);
    await gone(directory);
    assert.ok(!fs.existsSync(path.join(directory, ".sst/session.json")));
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("Ctrl-C while a function runs: the call is answered, everything ends", async () => {
    const directory = copyApp("tests/fixtures/apps/events");
    const sst = await Sst.start(directory);
    const begun = path.join(directory, "begun");
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const Payload = JSON.stringify({ begun, end: path.join(directory, "never") });
    const call = lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("Functionwaits"), Payload }));
    await until("the call's beginning", () => fs.existsSync(begun));
    const stopped = sst.stop("SIGINT");
    const answer = await call;
    assert.equal(answer.FunctionError, "Unhandled");
    assert.match(Buffer.from(answer.Payload).toString(), /stopped before the function answered/);
    assert.equal((await stopped).code, 0, sst.output);
    await gone(directory);
    assert.ok(!fs.existsSync(path.join(directory, ".sst/session.json")));
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("a sudden death leaves no process behind", async () => {
    const directory = copyApp("tests/fixtures/apps/events");
    const sst = await Sst.start(directory);
    const url = sst.stackOutput("ApiEndpoint");
    await (await fetch(`${url}/warm`)).text();
    assert.ok(processesOf(directory).length > 1, "a worker runs");
    sst.child.kill("SIGKILL");
    await sst.exited;
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });
});

// Functions that run their own code: deploy, diff, build, cdk, remove, and `sst start` with a choice of functions; and completions.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** Runs a command to its end, as somebody who has no account. */
async function withoutAccount(directory, args, env = {}) {
  const names = Object.keys(process.env).filter((name) => name.startsWith("AWS_"));
  const nothing = Object.fromEntries(names.map((name) => [name, undefined]));
  const home = fs.mkdtempSync(path.join(directory, "home-"));
  const program = new Sst(directory, args, { ...nothing, HOME: home, AWS_EC2_METADATA_DISABLED: "true", ...env });
  const { code } = await program.exited;
  await program.closed;
  return { code, output: program.output };
}

describe("commands that leave functions their own code", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("examples/rest-api", path.join(repository, "examples/rest-api/node_modules"));
    sst = await Sst.start(directory, ["--stage", "blue"]);
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Runs a command to its end, in the local cloud and the stage of `sst start`, as somebody who has no account. */
  const run = ([command, ...args]) => withoutAccount(directory, [command, "--local", ...args]);
  const call = async () => {
    const from = sst.output.length;
    const answer = await fetch(`${sst.stackOutput("ApiEndpoint")}/notes`);
    return { status: answer.status, text: await answer.text(), isLive: () => sst.output.slice(from).includes("REQUEST") };
  };

  test("sst build builds the functions and writes the assembly", async () => {
    const { code, output } = await run(["build"]);
    assert.equal(code, 0, output);
    const assembly = /The cloud assembly is in `(.*)`/.exec(output)[1];
    assert.equal(assembly, path.join(directory, ".sst/cdk.out"));
    const assets = fs.readdirSync(assembly).filter((name) => name.startsWith("asset."));
    const bundles = assets.map((name) => path.join(assembly, name, "index.js")).filter((file) => fs.existsSync(file));
    assert.ok(bundles.some((file) => fs.readFileSync(file, "utf8").includes("TABLE_NAME")), assets.join());
    assert.ok(!bundles.some((file) => fs.readFileSync(file, "utf8").includes("this is a placeholder")));
  });

  test("sst cdk hands everything to the CDK CLI, its exit code too", async () => {
    const list = await run(["cdk", "list"]);
    assert.equal(list.code, 0, list.output);
    assert.match(list.output, /^rest-api \(blue-rest-api-stack\)$/m);
    assert.notEqual((await run(["cdk", "no-such-command"])).code, 0);
  });

  test("sst deploy knows the stacks", async () => {
    const { code, output } = await run(["deploy", "nothing", "--yes"]);
    assert.equal(code, 2);
    assert.match(output, /error: no stack `nothing`; there are `blue-rest-api-stack`/);
  });

  test("sst deploy gives functions their own code back", async () => {
    const live = await call();
    assert.equal(live.status, 200, live.text);
    assert.ok(live.isLive());
    const { code, output } = await run(["deploy", "stack", "--yes", "--outputs-file", "outputs.json"]);
    assert.equal(code, 0, output);
    const outputs = JSON.parse(fs.readFileSync(path.join(directory, "outputs.json"), "utf8"));
    assert.deepEqual(outputs, sst.session().outputs);
    const own = await call();
    assert.deepEqual([own.status, own.text], [200, live.text]);
    assert.equal(own.isLive(), false);
  });

  test("sst diff sees no difference after that", async () => {
    const { code, output } = await run(["diff"]);
    assert.equal(code, 0, output);
    assert.match(output, /There were no differences|Number of stacks with differences: 0/);
  });

  test("sst remove asks, and removes the app and its debug stack", async () => {
    const refused = await run(["remove"]);
    assert.equal(refused.code, 2);
    assert.match(refused.output, /Remove blue-rest-api-stack, blue-rest-api-debug-stack from aws:\/\/000000000000\/[^]*give `--yes`/);
    const { code, output } = await run(["remove", "--yes"]);
    assert.equal(code, 0, output);
    assert.match(output, /The app is removed/);
    assert.match(output, /The debug stack `blue-rest-api-debug-stack` is removed/);
    assert.equal((await call()).status, 404);
  });
});

describe("sst build", () => {
  const KEYS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: "eu-west-1" };
  let directory;

  before(() => {
    directory = copyApp("examples/rest-api", path.join(repository, "examples/rest-api/node_modules"));
    const file = path.join(directory, "sst.json");
    const { region: _, ...settings } = JSON.parse(fs.readFileSync(file, "utf8"));
    fs.writeFileSync(file, JSON.stringify(settings));
  });
  after(() => fs.rmSync(directory, { recursive: true, force: true }));

  const AS = (region) => `; the app is built for the account 000000000000 in ${region}, as it is in a local cloud`;
  for (const { of, args = [], env, says, region = "us-east-1" } of [
    { of: "without an account", says: "warning: no AWS region is known" + AS("us-east-1") },
    {
      of: "without credentials",
      env: { AWS_REGION: "eu-west-1" },
      says: "warning: there are no AWS credentials: neither the environment nor a profile has any" + AS("eu-west-1"),
      region: "eu-west-1",
    },
    {
      of: "without a network",
      // Nobody listens there.
      env: { ...KEYS, HTTPS_PROXY: "http://127.0.0.1:9" },
      says: /warning: AWS cannot be reached \(the proxy `127.0.0.1:9` of `HTTPS_PROXY` cannot be reached: .*\); the app is built for the account 000000000000 in eu-west-1/,
      region: "eu-west-1",
    },
    { of: "for the local cloud, before there is one", args: ["--local"] },
  ]) {
    test(`builds the app ${of}`, async () => {
      const { code, output } = await withoutAccount(directory, ["build", ...args], env);
      assert.equal(code, 0, output);
      if (!says) assert.doesNotMatch(output, /warning/);
      else if (typeof says === "string") assert.ok(output.includes(says), output);
      else assert.match(output, says);
      const assembly = /The cloud assembly is in `(.*)`/.exec(output)[1];
      const { artifacts } = JSON.parse(fs.readFileSync(path.join(assembly, "manifest.json"), "utf8"));
      const stacks = Object.values(artifacts).filter(({ type }) => type === "aws:cloudformation:stack");
      assert.deepEqual(stacks.map(({ environment }) => environment), [`aws://000000000000/${region}`]);
      const bundled = fs.readdirSync(assembly).map((name) => path.join(assembly, name, "index.js")).filter((file) => fs.existsSync(file));
      assert.ok(bundled.length > 0);
    });
  }
});

describe("a choice of functions", () => {
  let directory;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, ["--function", "Expl*", "--outputs-file", "outputs.json"]);
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const call = async (name) => {
    const from = sst.output.length;
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: "{}" }));
    return { answer: JSON.parse(Buffer.from(answer.Payload)), isLive: sst.output.slice(from).includes("REQUEST") };
  };

  test("only those run here, the others run their own code", async () => {
    assert.match(sst.output, /Not live, as was asked for: 4 functions\n[^]*Listening for requests \(stage dev, 1 function\)/);
    assert.deepEqual(await call("Explicit"), { answer: { text: "explicit 42" }, isLive: true });
    for (const name of ["Asset", "Discovered", "Nested", "Inline"]) {
      const { answer, isLive } = await call(name);
      assert.equal(isLive, false, name);
      assert.equal(answer.errorType, undefined, JSON.stringify(answer));
    }
  });

  test("the outputs are in the file that was named", () => {
    assert.deepEqual(JSON.parse(fs.readFileSync(path.join(directory, "outputs.json"), "utf8")), sst.session().outputs);
  });

  test("a pattern that no function matches is a mistake", async () => {
    const other = copyApp("tests/fixtures/apps/cdk-plain");
    try {
      const failing = new Sst(other, ["start", "--local", "--function", "Nothing"]);
      assert.equal((await failing.exited).code, 2);
      await failing.closed;
      assert.match(failing.output, /error: no function matches `Nothing`\s+hint: there are `plain\/Asset`, /);
    } finally {
      fs.rmSync(other, { recursive: true, force: true });
    }
  });
});

/** A `node_modules` of its own, in which the CDK CLI writes down what it is given before it does that. */
function modulesWithWitness(directory) {
  const installed = path.join(repository, "tests/fixtures/node_modules");
  const modules = path.join(directory, "node_modules");
  fs.mkdirSync(path.join(modules, "aws-cdk/bin"), { recursive: true });
  for (const name of fs.readdirSync(installed).filter((name) => name !== "aws-cdk" && !name.startsWith("."))) {
    fs.symlinkSync(path.join(installed, name), path.join(modules, name));
  }
  // The newest CLI is used.
  fs.writeFileSync(path.join(modules, "aws-cdk/package.json"), '{ "name": "aws-cdk", "version": "9999.0.0" }');
  const witness = path.join(directory, "cdk-calls.jsonl");
  const real = path.join(repository, "npm/node_modules/aws-cdk/bin/cdk");
  const script = `require("node:fs").appendFileSync(${JSON.stringify(witness)}, JSON.stringify(process.argv.slice(2)) + "\\n");
require(${JSON.stringify(real)});`;
  fs.writeFileSync(path.join(modules, "aws-cdk/bin/cdk"), script);
  return () => fs.readFileSync(witness, "utf8").trim().split("\n").map((line) => JSON.parse(line));
}

describe("how stacks are deployed", () => {
  const ROLE = "arn:aws:iam::000000000000:role/deployer";
  let directory;
  let calls;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain", null);
    calls = modulesWithWitness(directory);
    const options = ["--role-arn", ROLE, "--rollback=false", "-c", "answer=7"];
    sst = await Sst.start(directory, options);
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = async (...args) => {
    const { endpoint, region } = sst.session();
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
    const program = new Sst(directory, args, keys);
    const { code } = await program.exited;
    await program.closed;
    return { code, output: program.output };
  };
  /** The arguments of the last call of a command of the CDK CLI. */
  const last = (command) => calls().findLast(([first]) => first === command).join(" ");

  test("sst start hands role and rollback to CloudFormation, and context to the app", async () => {
    assert.match(last("deploy"), new RegExp(`--no-rollback --role-arn ${ROLE}$`));
    const lambda = new LambdaClient(clientOptions(sst));
    const FunctionName = sst.stackOutput("FunctionAsset");
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName, Payload: "{}" }));
    assert.equal(JSON.parse(Buffer.from(Payload)), "asset 7");
  });

  test("so do sst deploy and sst remove", async () => {
    const deployed = await run("deploy", "--yes", "--role-arn", ROLE, "--no-rollback", "--context", "answer=8");
    assert.equal(deployed.code, 0, deployed.output);
    assert.match(last("deploy"), new RegExp(`--no-rollback --role-arn ${ROLE}$`));
    const plain = await run("deploy", "--yes");
    assert.equal(plain.code, 0, plain.output);
    assert.doesNotMatch(last("deploy"), /rollback|role-arn/);
    const removed = await run("remove", "--yes", "--role-arn", ROLE);
    assert.equal(removed.code, 0, removed.output);
    assert.match(last("destroy"), new RegExp(`--role-arn ${ROLE}$`));
  });

  test("what is not a context value is a mistake", async () => {
    const { code, output } = await run("build", "--context", "answer");
    assert.equal(code, 2);
    assert.match(output, /error: `answer` is not a context value\s+hint: give a key and a value, e.g. `--context vpc=vpc-1234`/);
  });
});

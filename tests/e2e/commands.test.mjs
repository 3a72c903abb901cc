// The commands beside `sst start`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, binary, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

/** Runs a command to its end. */
function run(directory, args, input = "", env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary(), args, { cwd: directory, env: { ...process.env, NO_COLOR: "1", ...env } });
    const result = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (result[name] += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...result, code }));
    // It may have ended without having read anything.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** A test that only the function `Explicit` would pass. */
const AS_TEST = `
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

test("it is the function", async () => {
  const { ANSWER, IS_LOCAL, NODE_ENV, SST_STAGE, AWS_LAMBDA_FUNCTION_NAME: name, AWS_PROFILE } = process.env;
  assert.deepEqual([ANSWER, IS_LOCAL, NODE_ENV, SST_STAGE, AWS_PROFILE], ["42", "true", "test", "dev", undefined]);
  assert.match(name, /Explicit/);
  const { Arn } = await new STSClient({}).send(new GetCallerIdentityCommand({}));
  assert.match(Arn, /assumed-role\\/.*ExplicitServiceRole/);
  assert.equal(process.env.SST_STUB, undefined);
});
`;

describe("sst ide", () => {
  let directory;
  before(() => (directory = copyApp("tests/fixtures/apps/cdk-plain", null)));
  after(() => fs.rmSync(directory, { recursive: true, force: true }));
  const launch = () => path.join(directory, ".vscode/launch.json");

  test("writes what is missing, and a second time nothing", async () => {
    const first = await run(directory, ["ide", "all"]);
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    assert.match(first.stdout, /wrote `.vscode\/launch.json`\nwrote `.run\/Debug SST Start.run.xml`/);
    // WebStorm and IntelliJ IDEA share their files.
    assert.equal(first.stdout.match(/Attach to SST/g).length, 1);
    assert.match(first.stdout, /left out `pycharm` \(Python\), `goland` \(Go\), `rustrover` \(Rust\), `clion` \(Rust\): no function in their languages is known\. `sst start` finds/);
    const expected = JSON.parse(fs.readFileSync(path.join(repository, "launch-configs/vscode/launch.json"), "utf8"));
    assert.deepEqual(JSON.parse(fs.readFileSync(launch(), "utf8")), expected);
    const second = await run(directory, ["ide", "all"]);
    assert.equal(second.code, 0);
    assert.doesNotMatch(second.stdout, /wrote/);
  });

  test("leaves a file alone that it does not understand, and says so", async () => {
    fs.writeFileSync(launch(), "{ nonsense");
    const { code, stderr } = await run(directory, ["ide", "vscode"]);
    assert.equal(code, 2);
    assert.match(stderr, /error: `.vscode\/launch.json` cannot be understood; it was left as it is/);
    assert.equal(fs.readFileSync(launch(), "utf8"), "{ nonsense");
  });

  test("says that it knows of no function in the editor's language", async () => {
    for (const [editor, language] of [["pycharm", "Python"], ["goland", "Go"], ["rustrover", "Rust"], ["clion", "Rust"]]) {
      const { code, stderr } = await run(directory, ["ide", editor]);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(`error: no function in ${language} is known\\s+hint: .sst start`));
    }
  });

  test("refuses an editor that there is not", async () => {
    const { code, stderr } = await run(directory, ["ide", "emacs"]);
    assert.equal(code, 2);
    assert.match(stderr, /vscode, webstorm, intellij, pycharm, goland, rustrover, clion, all/);
  });

  test("sst doctor says what is missing", async () => {
    const { code, stdout, stderr } = await run(directory, ["doctor"], "", { PATH: "/nowhere", AWS_ACCESS_KEY_ID: undefined });
    assert.equal(code, 3, stdout);
    assert.match(stdout, /^✓ project `cdk-plain` in /m);
    assert.match(stdout, /^✗ `node` is not in the PATH: install Node.js 20 or newer/m);
    assert.match(stdout, /^✗ `python3` is not in the PATH: /m);
    assert.match(stderr, /error: 2 things have to be put right/);
  });

  test("`sst invoke` without a running `sst start` says so", async () => {
    const { code, stderr } = await run(directory, ["invoke", "Explicit"]);
    assert.equal(code, 2);
    assert.match(stderr, /error: `sst start` does not run in this project/);
  });
});

describe("beside a running sst start", () => {
  let directory;
  let sst;
  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  test("it mentions the launch configurations once", async () => {
    await sst.waitFor(/`sst ide vscode`/);
    assert.ok(fs.existsSync(path.join(directory, ".sst/editors-mentioned")));
  });

  test("sst ide fills in the ports of the running endpoint", async () => {
    const { inspector, flatInspector } = sst.session();
    assert.equal((await run(directory, ["ide", "all"])).code, 0);
    const { configurations } = JSON.parse(fs.readFileSync(path.join(directory, ".vscode/launch.json"), "utf8"));
    assert.equal(`127.0.0.1:${configurations.find(({ name }) => name === "Attach to SST").port}`, inspector);
    assert.deepEqual(configurations.find(({ name }) => name === "Debug SST Start").runtimeArgs, ["start", "--local", "--increase-timeout"]);
    const xml = fs.readFileSync(path.join(directory, ".run/Attach to SST.run.xml"), "utf8");
    assert.equal(`127.0.0.1:${/ port="(\d+)"/.exec(xml)[1]}`, flatInspector);
  });

  test("sst doctor finds everything well", async () => {
    const { endpoint, region } = sst.session();
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region };
    const { code, stdout } = await run(directory, ["doctor", "--endpoint-url", endpoint, "--stage", "dev"], "", keys);
    assert.equal(code, 0, stdout);
    for (const line of [/Node.js v\d+/, /CDK CLI 2\.\d+/, /Python 3/, /arn:aws:\S+ in account 000000000000, us-east-1/, /bootstrapped for the CDK/]) {
      assert.match(stdout, new RegExp(`^✓ .*${line.source}`, "m"));
    }
    assert.match(stdout, /^✓ the debug stack `dev-\S+-debug-stack` is \w+_COMPLETE$/m);
    assert.match(stdout, /^✓ this machine's clock is right$/m);
    assert.match(stdout, /^✓ `sst start` runs in this project$/m);
    assert.match(stdout, /^✓ launch configuration `.vscode\/launch.json`$/m);
  });

  test("sst doctor --report has versions, and nothing that is anybody's", async () => {
    const proxy = "http://user:secret@127.0.0.1:9";
    const { code, stdout } = await run(directory, ["doctor", "--report"], "", { HTTPS_PROXY: proxy });
    assert.equal(code, 0, stdout);
    const lines = stdout.trimEnd().split("\n");
    const version = (await run(directory, ["--version"])).stdout.trim();
    assert.match(version, /^sst \d+\.\d+\.\d+ \([^,]+, [a-z0-9_]+-[a-z0-9-]+\)$/);
    assert.equal(lines[0], version);
    for (const line of [/^.*Linux \S+ \w+.*$/, /^Node\.js v\d+\.\d+\.\d+$/, /^CDK CLI 2\.\d+\.\d+$/, /^Python 3\.\d+/, /^an app of the CDK: 5 × nodejs\d+\.x$/, /^variables: .*HTTPS_PROXY/]) {
      assert.ok(lines.some((said) => line.test(said)), `${line}: ${stdout}`);
    }
    for (const own of [os.homedir(), os.hostname(), directory, "Explicit", "cdk-plain", "secret", "/"]) {
      const found = lines.filter((line) => line.includes(own) && !/^sst |Linux/.test(line));
      assert.deepEqual(found, [], own);
    }
  });

  test("sst invoke runs a function that nobody has called yet, once", async () => {
    const from = sst.output.length;
    // Three at a time ask one question.
    const answers = await Promise.all(["Explicit", "plain/Explicit", "Explicit"].map((name) => run(directory, ["invoke", name])));
    for (const answer of answers) assert.deepEqual(answer, { code: 0, stdout: '{"text":"explicit 42"}\n', stderr: "" });
    // What is printed comes another way than the answers.
    await sst.waitFor(/(RESPONSE[^]*){3}/, from);
    assert.equal(sst.output.slice(from).match(/REQUEST/g).length, 3);
    assert.equal(sst.output.slice(from).match(/RESPONSE/g).length, 3);
    assert.doesNotMatch(sst.output.slice(from), /question|Asset/);
  });

  test("a question that nobody has asked is answered without the function", async () => {
    const from = sst.output.length;
    const lambda = new LambdaClient(clientOptions(sst));
    const call = (Payload) => lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("FunctionAsset"), Payload }));
    const { Payload, FunctionError } = await call('{"sst:question":"guessed"}');
    assert.deepEqual([Buffer.from(Payload).toString(), FunctionError], ["null", undefined]);
    assert.equal(sst.output.slice(from), "");
  });

  test("sst test --as gives tests a function's variables and its role", async () => {
    fs.writeFileSync(path.join(directory, "as.test.js"), AS_TEST);
    const keys = { AWS_PROFILE: "somebody-else", ANSWER: "of the shell" };
    const { code, stdout, stderr } = await run(directory, ["test", "--as", "Explicit", "as.test.js"], "", keys);
    assert.equal(code, 0, stdout + stderr);
    const unknown = await run(directory, ["test", "--as", "Nothing"]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /error: no function `Nothing`; there are `plain\/Asset`/);
  });

  test("sst test --as without a running `sst start` assumes the role, if it may", async () => {
    const other = copyApp("tests/fixtures/apps/cdk-plain");
    try {
      const { endpoint, region } = sst.session();
      const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region };
      const args = ["test", "--endpoint-url", endpoint, "--as", "Explicit", "as.test.js"];
      const first = await run(other, args, "", keys);
      assert.equal(first.code, 2);
      assert.match(first.stderr, /error: the functions of the app are not known yet\s+hint: run `sst start` once/);
      fs.mkdirSync(path.join(other, ".sst"), { recursive: true });
      fs.copyFileSync(path.join(directory, ".sst/functions.json"), path.join(other, ".sst/functions.json"));
      fs.writeFileSync(path.join(other, "as.test.js"), AS_TEST);
      const { code, stdout, stderr } = await run(other, args, "", keys);
      assert.equal(code, 0, stdout + stderr);
    } finally {
      fs.rmSync(other, { recursive: true, force: true });
    }
  });

  test("sst invoke runs the function here, with an event from a file or from standard input", async () => {
    fs.writeFileSync(path.join(directory, "event.json"), '{"fail":true}');
    const failed = await run(directory, ["invoke", "plain/Explicit", "--event", "event.json"]);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /the function failed: Error[^]*failed in TypeScript/);
    const piped = await run(directory, ["invoke", "plain/Explicit", "--event", "-"], '{"fail":false}');
    assert.equal(piped.stdout, '{"text":"explicit 42"}\n');
  });

  test("sst invoke refuses what it cannot do", async () => {
    const unknown = await run(directory, ["invoke", "Nothing"]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /no function `Nothing`; there are `plain\/Asset`/);
    const text = await run(directory, ["invoke", "Explicit", "--event", "-"], "{");
    assert.equal(text.code, 2);
    assert.match(text.stderr, /standard input is not JSON/);
  });
});

// The commands beside `sst start`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
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
    child.stdin.end(input);
  });
}

describe("sst ide", () => {
  let directory;
  before(() => (directory = copyApp("tests/fixtures/apps/cdk-plain", null)));
  after(() => fs.rmSync(directory, { recursive: true, force: true }));
  const launch = () => path.join(directory, ".vscode/launch.json");

  test("writes what is missing, and a second time nothing", async () => {
    const first = await run(directory, ["ide", "all"]);
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    assert.match(first.stdout, /wrote `.vscode\/launch.json`\nwrote `.run\/Debug SST Start.run.xml`/);
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
    assert.match(stdout, /^✓ `sst start` runs in this project$/m);
  });

  test("sst invoke needs a function's environment, and says how it comes by it", async () => {
    const { code, stderr } = await run(directory, ["invoke", "Explicit"]);
    assert.equal(code, 2);
    assert.match(stderr, /the variables and credentials of `plain\/Explicit` are not known yet/);
  });

  test("sst invoke runs the function here, with an event from a file or from standard input", async () => {
    const lambda = new LambdaClient(clientOptions(sst));
    await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput("FunctionExplicit"), Payload: "{}" }));
    assert.deepEqual(await run(directory, ["invoke", "Explicit"]), { code: 0, stdout: '{"text":"explicit 42"}\n', stderr: "" });

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

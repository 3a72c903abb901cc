// Several commands in one project, or on one stage; and what becomes of a session that has no file descriptors left.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Dap } from "./support/dap.mjs";
import { Sst, binary, clientOptions, copyApp, extraArguments, gone, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const WIDE = { terminal: [400, 50] };

test("it takes all the descriptors that it may, and what it starts has the limit that was set", () => {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-limit-"));
  try {
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "app" }\n');
    fs.mkdirSync(path.join(directory, "bin"));
    const node = '#!/bin/sh\n{ ulimit -Sn; grep "open files" /proc/$PPID/limits; } > limits\necho v14.21.3\n';
    fs.writeFileSync(path.join(directory, "bin/node"), node, { mode: 0o755 });
    const script = 'ulimit -Sn 200; exec "$0" start --local';
    const env = { ...process.env, PATH: `${directory}/bin:${process.env.PATH}` };
    assert.equal(spawnSync("sh", ["-c", script, binary()], { cwd: directory, env }).status, 3);
    const [own, parents] = fs.readFileSync(path.join(directory, "limits"), "utf8").split("\n");
    const [, soft, hard] = /open files +(\d+) +(\d+)/.exec(parents);
    assert.deepEqual([own, soft], ["200", hard]);
    assert.notEqual(hard, "200");
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
});

describe("one session", { timeout: 600_000 }, () => {
  let directory;
  let sst;
  let pid;
  let keys;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    sst = await Sst.start(directory, [], {}, WIDE);
    const { endpoint, region } = sst.session();
    pid = sst.session().pid;
    keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = async (...args) => {
    const program = new Sst(directory, args, keys);
    const { code } = await program.exited;
    await program.closed;
    return { code, output: program.output };
  };
  const call = async (name) => {
    const from = sst.output.length;
    const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
    const answer = await lambda.send(new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: "{}" }));
    return { text: Buffer.from(answer.Payload).toString(), isLive: sst.output.slice(from).includes("REQUEST") };
  };
  const session = () => new RegExp("`sst start` \\(process " + pid + ", stage dev, since \\d+-\\d+-\\d+ \\d+:\\d+, in " + directory + ", on /dev/pts/\\d+\\)");

  test("a second one in the project is refused, and is told of the first", async () => {
    const { code, output } = await run("start", "--local");
    assert.equal(code, 2, output);
    assert.match(output, /^error: `sst start` runs in this project already$/m);
    assert.match(output, session());
    assert.match(output, new RegExp("^hint: use that one, or end it first: Ctrl-C in its terminal, or `kill " + pid + "`$", "m"));
    assert.equal(sst.session().pid, pid);
    assert.deepEqual(await call("Asset"), { text: '"asset 42"', isLive: true });
  });

  test("one in another copy of the project is refused on the same stage", async () => {
    const other = copyApp("tests/fixtures/apps/cdk-plain");
    try {
      const second = new Sst(other, ["start", "--endpoint-url", keys.AWS_ENDPOINT_URL.replace("127.0.0.1", "localhost")], { ...keys, AWS_ENDPOINT_URL: undefined });
      assert.equal((await second.exited).code, 2);
      await second.closed;
      assert.match(second.output, /^error: another `sst start` serves stage dev of this app$/m);
      assert.match(second.output, session());
      assert.match(second.output, /^hint: give another `--stage`, or end it first/m);
    } finally {
      fs.rmSync(other, { recursive: true, force: true });
    }
  });

  test("commands beside it have places of their own, and wait for one another", async () => {
    const files = ["session.json", "functions.json", "start/cdk.out/manifest.json", "start/outputs.json", "cdk.out.live/manifest.json", "artifacts"];
    const times = () => files.map((name) => [name, fs.statSync(path.join(directory, ".sst", name)).mtimeMs]);
    const old = times();
    const [build, diff] = await Promise.all([run("build"), run("diff")]);
    assert.deepEqual([build.code, diff.code], [0, 0], build.output + diff.output);
    assert.ok(build.output.includes(`The cloud assembly is in \`${path.join(directory, ".sst/cdk.out")}\``), build.output);
    const waited = [build, diff].filter(({ output }) => /Waiting for `sst (build|diff)` \(process \d+, since [^)]*\) to end/.test(output));
    assert.equal(waited.length, 1);
    assert.deepEqual(times(), old);
  });

  test("sst deploy asks before it replaces its stubs", async () => {
    const refused = await run("deploy");
    assert.equal(refused.code, 2, refused.output);
    assert.match(refused.output, /^error: the stubs of a running `sst start` would be replaced$/m);
    assert.match(refused.output, session());
    assert.match(refused.output, /^hint: end it first, or give `--yes`$/m);

    const asked = new Sst(directory, ["deploy"], keys, WIDE);
    await asked.waitFor(/serves this stage\. Replace the stubs, so that calls do not come there any more\? \[y\/N\]/);
    asked.type("n\r");
    assert.equal((await asked.exited).code, 2);
    await asked.closed;
    assert.match(asked.output, /error: nothing was deployed/);
    assert.doesNotMatch(asked.output, /Synthesising/);
    assert.equal((await call("Asset")).isLive, true);
  });

  test("it says that its stubs are gone, and has them back after ENTER", async () => {
    const from = sst.output.length;
    const { code, output } = await run("deploy", "--yes");
    assert.equal(code, 0, output);
    await sst.waitFor(new RegExp("`sst deploy` \\(process \\d+, stage dev, since [^)]*, in " + directory + "\\) changes what is deployed"), from);
    await sst.waitFor(/the stubs of this stage are gone by `sst deploy`, and calls do not come here any more; with their own code in the cloud now: [^\n]*`plain\/Asset`/, from);
    await sst.waitFor(/press ENTER to deploy the stubs again/, from);
    assert.deepEqual(await call("Asset"), { text: '"asset 42"', isLive: false });
    sst.type("\r");
    await sst.waitFor(/\d+ functions live/, from);
    assert.equal((await call("Asset")).isLive, true);
  });

  test("without descriptors it waits, says so, fails what it cannot start, and is well afterwards", async () => {
    const from = sst.output.length;
    const limit = (soft) => {
      const script = "import resource as r, sys; pid, soft = map(int, sys.argv[1:]); n = r.RLIMIT_NOFILE; old = r.prlimit(pid, n); r.prlimit(pid, n, (soft or old[1], old[1]))";
      execFileSync("python3", ["-c", script, String(pid), String(soft)]);
    };
    const { control, debugAdapter, inspector, flatInspector } = sst.session();
    const waiting = [];
    try {
      limit(3);
      for (const address of [control, debugAdapter, inspector, flatInspector]) {
        const [host, port] = address.split(":");
        waiting.push(net.connect(port, host));
      }
      await sst.waitFor(/too many files and connections are open \(the limit is 3\): new ones wait until others are closed/, from);
      const failing = call("Inline");
      await sst.waitFor(/ERROR [^]*Too many open files/, from);
      limit(0);
      assert.match((await failing).text, /errorType/);
    } finally {
      limit(0);
      waiting.forEach((socket) => socket.destroy());
    }
    const inline = await call("Inline");
    assert.equal(inline.isLive, true);
    assert.doesNotMatch(inline.text, /errorType/);
    const invoked = await run("invoke", "Asset");
    assert.deepEqual([invoked.code, invoked.output], [0, '"asset 42"\n']);
    const dap = await Dap.connect(Number(debugAdapter.split(":")[1]));
    await dap.request("initialize", { adapterID: "pwa-node" });
    dap.vanish();
    for (const address of [inspector, flatInspector]) assert.equal((await fetch(`http://${address}/json/version`)).status, 200);
    assert.equal(sst.output.slice(from).match(/too many files/g).length, 1);
  });

  test("it hears of the end of a CDK CLI that another command has become", async () => {
    const from = sst.output.length;
    const { code, output } = await run("cdk", "destroy", "--force", "**");
    assert.equal(code, 0, output);
    assert.match(output, session());
    assert.match(output, /serves this stage; calls do not come there any more when its stubs go/);
    await sst.waitFor(/`sst cdk destroy` \(process \d+, [^)]*\) changes what is deployed/, from);
    await sst.waitFor(/the stubs of this stage are gone by `sst cdk destroy`, and calls do not come here any more; removed: /, from);
    await sst.waitFor(/press ENTER to deploy the stubs again/, from);
  });

  test("it says that the app was removed", async () => {
    const from = sst.output.length;
    const refused = await run("remove");
    assert.equal(refused.code, 2);
    assert.match(refused.output, session());
    const { code, output } = await run("remove", "--yes");
    assert.equal(code, 0, output);
    await sst.waitFor(/the stubs of this stage are gone by `sst remove`, and calls do not come here any more; removed: [^\n]*`plain\/Asset`/, from);
    await sst.waitFor(/start `sst start` again to deploy the stubs/, from);
  });

  test("the lock of one that is killed is free at once; and what is saved during a deployment is seen", async () => {
    process.kill(pid, "SIGKILL");
    await sst.exited;
    const invoked = await run("invoke", "Asset");
    assert.equal(invoked.code, 2);
    assert.match(invoked.output, /`sst start` does not run in this project/);

    sst = new Sst(directory, ["start", "--local", ...extraArguments()]);
    await sst.waitFor(/Deploying the app/);
    fs.appendFileSync(path.join(directory, "bin/app.js"), "\n// saved during the deployment\n");
    const file = path.join(directory, "functions/asset/index.js");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("asset ", "saved "));
    await sst.waitFor(/Listening for requests/);
    await sst.waitFor(/Nothing to deploy/);
    assert.equal(sst.output.match(/Synthesising/g).length, 2, sst.output);
    assert.deepEqual(await call("Asset"), { text: '"saved 42"', isLive: true });
  });

  test("one that is about to end is waited for, as under an editor that starts it anew", async () => {
    const first = sst;
    first.child.kill("SIGINT");
    const file = path.join(directory, ".sst/start.lock");
    while (!fs.readFileSync(file, "utf8").includes('"ending":true')) await new Promise(setImmediate);
    // It takes as long as it likes.
    first.child.kill("SIGSTOP");
    sst = new Sst(directory, ["start", "--local", ...extraArguments()]);
    await sst.waitFor(new RegExp("Waiting for `sst start` \\(process " + first.child.pid + ", stage dev, [^)]*\\) to end"));
    first.child.kill("SIGCONT");
    assert.equal((await first.exited).code, 0, first.output);
    await sst.waitFor(/The local cloud is at/);
  });
});

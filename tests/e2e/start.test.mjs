// What a start in a local cloud leaves out, because it would only take time: the CDK CLI is started once, before there is anything for it to
// do, and what it deploys with is there without it.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp, extraArguments, gone } from "./support/sst.mjs";

describe("a start in a local cloud", () => {
  const directory = copyApp("tests/fixtures/apps/events");
  const bin = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-node-"));
  const log = path.join(bin, "log");
  let sst;

  before(async () => {
    // Tells which programs Node is started for.
    const script = `#!/bin/sh\nprintf '%s\\n' "$*" >> '${log}'\nexec '${process.execPath}' "$@"\n`;
    fs.writeFileSync(path.join(bin, "node"), script, { mode: 0o755 });
    const env = { PATH: `${bin}${path.delimiter}${process.env.PATH}`, SST_TRACE: "start" };
    sst = new Sst(directory, ["start", "--local", "--stage", "dev", ...extraArguments()], env);
    await sst.waitFor(/Listening for requests/);
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    for (const made of [directory, bin]) fs.rmSync(made, { recursive: true, force: true });
  });

  test("starts the CDK CLI once, and Node for the app once", () => {
    const started = fs.readFileSync(log, "utf8").split("\n");
    const count = (text) => started.filter((line) => line.includes(text)).length;
    assert.deepEqual([count("aws-cdk/bin/cdk"), count("cdk-standby.cjs"), count("synth/host.mjs")], [1, 1, 1], started.join("\n"));
  });

  test("has the bootstrap stack without `cdk bootstrap`, and says each step with SST_TRACE=start", () => {
    assert.doesNotMatch(sst.output, /Bootstrapping/);
    const steps = [...sst.output.matchAll(/([\d.]+)s TRACE start: ([^=\n]+?)(?: \w+=.*)?$/gm)].map(([, , step]) => step);
    const bootstrapped = steps.indexOf("the local cloud is bootstrapped");
    assert.ok(bootstrapped > 0 && bootstrapped < steps.indexOf("the app is deployed"), steps.join("\n"));
    assert.ok(steps.includes("the project is claimed"), steps.join("\n"));
  });
});

// The stacks change while `sst start` runs, in a real terminal: nothing is deployed before ENTER, and calls go on all the while.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp, gone } from "./support/sst.mjs";

describe("infrastructure changes", () => {
  let directory;
  let sst;
  let stack;
  let original;

  before(async () => {
    directory = copyApp("examples/rest-api");
    stack = path.join(directory, "stacks/RestApiStack.js");
    original = fs.readFileSync(stack, "utf8");
    for (const name of ["extra", "list", "get"]) {
      fs.writeFileSync(path.join(directory, `src/${name}.js`), `exports.handler = async () => "${name}";\n`);
    }
    sst = await Sst.start(directory, [], {}, { terminal: [60, 20] });
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const get = async (route) => {
    const response = await fetch(new URL(route, `${sst.stackOutput("ApiEndpoint")}/`));
    return { status: response.status, text: await response.text() };
  };
  /** Saves the stack and waits for what is said about it. */
  const save = async (text, expected) => {
    const from = sst.output.length;
    fs.writeFileSync(stack, text);
    await sst.waitFor(expected, from);
    return sst.output.slice(from);
  };
  const enter = async (expected) => {
    const from = sst.output.length;
    sst.type("\r");
    await sst.waitFor(expected, from);
    return sst.output.slice(from);
  };
  const withExtra = () =>
    original.replace(
      "    table.grantReadWriteData(list);",
      '    this.addRoute("GET", "/extra", this.createFunction("Extra", "src/extra.js"));\n    table.grantReadWriteData(list);',
    );

  test("what only looks different is not asked about", async () => {
    const said = await save(`// A comment.\n${original}`, /Nothing to deploy/);
    assert.doesNotMatch(said, /Press ENTER/);
  });

  test("another source for a function needs no deployment", async () => {
    fs.writeFileSync(path.join(directory, "src/other.js"), 'exports.handler = async () => "other";\n');
    await save(original.replace("src/get.js", "src/other.js"), /The functions have changed; there is nothing to deploy/);
    assert.equal((await get("notes/x")).text, "other");
    await save(original, /The functions have changed; there is nothing to deploy/);
    assert.equal((await get("notes/x")).text, "get");
  });

  test("a new function is deployed on ENTER and not before, and is live without a restart", async () => {
    const said = await save(withExtra(), /Press ENTER to deploy/);
    assert.match(said, /dev-rest-api-stack: \d+ resources to add/);
    assert.equal((await get("extra")).status, 404);
    let deploying = true;
    const deployed = enter(/7 functions live; new: `rest-api\/Extra`/).finally(() => (deploying = false));
    while (deploying) assert.equal((await get("notes")).status, 200);
    await deployed;
    assert.equal((await get("extra")).text, "extra");

    const from = sst.output.length;
    fs.writeFileSync(path.join(directory, "src/extra.js"), 'exports.handler = async () => "edited";\n');
    await sst.waitFor(/BUILT +rest-api\/Extra/, from);
    assert.equal((await get("extra")).text, "edited");
    const known = JSON.parse(fs.readFileSync(path.join(directory, ".sst/functions.json"), "utf8")).functions;
    assert.ok(known.some((one) => one.id === "rest-api/Extra"));
  });

  test("stacks that do not synthesise are shown, and what is deployed keeps running", async () => {
    const said = await save(withExtra().replace("new HttpApi(", "new Missing("), /What is deployed keeps running/);
    assert.match(said, /the app does not synthesise/);
    assert.match(said, /Missing is not defined/);
    assert.match(said, /RestApiStack\.js/);
    assert.equal((await get("extra")).status, 200);
    const from = sst.output.length;
    sst.type("\r");
    await save(withExtra(), /Nothing to deploy/);
    assert.doesNotMatch(sst.output.slice(from), /Deploying the app/);
  });

  test("a deployment that fails is shown, what was there keeps running, and ENTER tries again", async () => {
    const broken = withExtra()
      .replace("    this.addNotes();", '    this.addNotes();\n    new CfnResource(this, "Wrong", { type: "AWS::CloudFormation::NoSuch" });')
      .replace("{ CfnOutput,", "{ CfnOutput, CfnResource,");
    await save(broken, /Press ENTER to deploy/);
    assert.match(await enter(/keeps\s+running\.\s+Press\s+ENTER\s+to\s+try\s+again/), /AWS::CloudFormation::NoSuch/);
    assert.equal((await get("extra")).status, 200);
    assert.equal((await get("notes")).status, 200);
    await save(withExtra(), /what the deployment that failed has left[^]*Press ENTER to deploy/);
    await enter(/7 functions live/);
    assert.equal((await get("extra")).status, 200);
  });

  test("a function that is removed is gone after ENTER", async () => {
    const said = await save(original, /Press ENTER to deploy/);
    assert.match(said, /\d+ resources to remove/);
    assert.equal((await get("extra")).status, 200);
    await enter(/6 functions live; removed: `rest-api\/Extra`/);
    assert.equal((await get("extra")).status, 404);
    assert.equal((await get("notes")).status, 200);
  });

  test("without colours nothing is coloured, and the progress fits into a narrow window", () => {
    assert.doesNotMatch(sst.output, /\x1b\[[0-9;]*m/);
    const frames = [...sst.output.matchAll(/[⠁-⣿] (?:Synthesising|Deploying)[^\r\n\x1b⠁-⣿]*/g)];
    assert.ok(frames.length > 0);
    for (const [frame] of frames) assert.ok(frame.length <= 60, frame);
  });

  test("Ctrl-C while the app is deployed ends everything", async () => {
    await save(withExtra(), /Press ENTER to deploy/);
    await enter(/Deploying the app: /);
    sst.type("\x03");
    assert.deepEqual(await sst.exited, { code: 0, signal: null });
    assert.match(sst.output, /Stopped/);
  });
});

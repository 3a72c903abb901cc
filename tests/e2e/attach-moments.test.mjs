// `sst attach` at other moments than usual: a breakpoint, Ctrl-C while functions are switched, an end that nobody sees coming.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Deployed, write } from "./support/deployed.mjs";
import { JsDebug } from "./support/js-debug.mjs";
import { Sst, copyApp, gone, ownPorts, repository, runIn, until } from "./support/sst.mjs";

const CLOUD = { "src/create.js": "exports.handler = async () => 'the cloud';" };
const HERE = {
  "src/create.ts": `interface Event { name: string }

export const handler = async (event: Event): Promise<string> => {
  const text = "created " + event.name;
  return text;
};
`,
};

describe("sst attach", () => {
  let host;
  let cloud;
  let directory;
  let original;
  let sst;

  before(async () => {
    host = await Sst.start(copyApp("tests/fixtures/apps/orphans"), ["--stage", "dev"], { ORPHANS_LANGUAGE: "node" });
    cloud = new Deployed(host.session());
    const role = await cloud.role("moments-role");
    await cloud.create("moments-create", CLOUD, { Role: role, Runtime: "nodejs20.x", Handler: "src/create.handler" });
    original = await cloud.described("moments-create");
  });
  after(async () => {
    await host?.stop();
    if (host) fs.rmSync(host.directory, { recursive: true, force: true });
  });
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-attach-"));
    write(directory, HERE);
  });
  afterEach(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
    assert.deepEqual(await cloud.described("moments-create"), original);
    assert.equal((await cloud.call("moments-create")).value, "the cloud");
  });

  const attach = (args = []) => (sst = new Sst(directory, ["attach", "--function", "moments-create", "--yes", ...args], cloud.environment));

  test("a breakpoint stops an event of the cloud, in TypeScript that was deployed as JavaScript", async () => {
    await ownPorts(directory);
    attach(["--increase-timeout"]);
    await sst.waitFor(/Listening for requests/);
    const debug = new JsDebug(directory, { "src/create.ts": [4] });
    const file = path.join(repository, "launch-configs/vscode/launch.json");
    const configuration = JSON.parse(fs.readFileSync(file, "utf8")).configurations.find((one) => one.name === "Attach to SST");
    await debug.start({ ...configuration, port: Number(sst.session().inspector.split(":")[1]) });
    await sst.waitFor(/A debugger is attached/);
    const call = cloud.call("moments-create", { name: "Ada" });
    const stop = await debug.stopped();
    assert.equal(stop.place, "src/create.ts:4");
    await stop.resume();
    assert.equal((await call).value, "created Ada");
    await debug.stop();
  });

  test("Ctrl-C while functions are switched gives them back", async () => {
    attach();
    await sst.waitFor(/Attaching moments-create/);
    const { code } = await sst.stop();
    assert.equal(code, 130, sst.output);
    assert.doesNotMatch(sst.output, /may be attached still/);
  });

  test("who is killed while functions are switched leaves nothing that --restore does not give back", async () => {
    attach();
    await sst.waitFor(/Attaching moments-create/);
    await sst.stop("SIGKILL");
    await gone(directory);
    const restored = await runIn(directory, ["attach", "--restore"], cloud.environment);
    assert.equal(restored.code, 0, restored.said);
    assert.match(restored.said, /own code back \(verified\)|there is nothing to do/);
  });

  test("a second Ctrl-C ends at once, and says what is left to do", async () => {
    attach();
    await sst.waitFor(/Listening for requests/);
    sst.child.kill("SIGINT");
    await sst.waitFor(/Giving back moments-create/);
    const { code } = await sst.stop();
    assert.equal(code, 130, sst.output);
    if (!/own code back \(verified\)/.test(sst.output)) {
      assert.match(sst.output, /these may be attached still: moments-create; `sst attach --restore` gives them their own code back/);
    }
    await gone(directory);
    assert.equal((await runIn(directory, ["attach", "--restore"], cloud.environment)).code, 0);
  });

  test("a killed session's function goes on at the next start", async () => {
    attach();
    await sst.waitFor(/Listening for requests/);
    await sst.stop("SIGKILL");
    await gone(directory);
    attach();
    await sst.waitFor(/Listening for requests/);
    assert.equal((await cloud.call("moments-create", { name: "again" })).value, "created again");
  });

  test("every event has one outcome, and none fails but between two updates of the function", async () => {
    attach();
    // Between settings and code a function is neither: the runtime of the one has the files of the other.
    const steps = [/Attaching moments-create/, /1 function attached/, /Giving back moments-create/, /own code back \(verified\)/];
    const passed = () => steps.filter((step) => step.test(sst.output)).length;
    const isSwitched = (from, to) => [1, 3].some((step) => from <= step && step <= to);
    const answers = [];
    let over = false;
    const calling = (async () => {
      while (!over) {
        const from = passed();
        const answer = await cloud.call("moments-create", { name: "Bo" });
        answers.push({ ...answer, from, to: passed() });
      }
    })();
    await sst.waitFor(/Listening for requests/);
    await until("a call that ran here", () => answers.some(({ value }) => value === "created Bo"));
    await sst.stop();
    over = true;
    await calling;
    const values = new Set(answers.filter(({ error }) => !error).map(({ value }) => value));
    assert.deepEqual([...values].toSorted(), ["created Bo", "the cloud"]);
    for (const { error, from, to } of answers.filter((one) => one.error)) {
      assert.ok(isSwitched(from, to), `${JSON.stringify(error)} from ${from} to ${to}`);
    }
  });
});

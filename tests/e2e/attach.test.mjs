// `sst attach`: functions that something else has deployed run here, and get their own code back.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed, write } from "./support/deployed.mjs";
import { Sst, copyApp, gone, until } from "./support/sst.mjs";

const OWN = { "index.js": "exports.handler = async (event) => ({ from: 'the cloud', event, name: process.env.NAME });" };
const HERE = { "index.js": "exports.handler = async (event) => ({ from: 'here', event, name: process.env.NAME });" };

describe("a function that was deployed by hand", () => {
  let host;
  let cloud;
  let role;
  let directory;
  let before_;
  let sst;

  before(async () => {
    host = await Sst.start(copyApp("tests/fixtures/apps/orphans"), ["--stage", "dev"], { ORPHANS_LANGUAGE: "node" });
    cloud = new Deployed(host.session());
    role = await cloud.role("orders-role");
    const options = {
      Role: role,
      Runtime: "nodejs20.x",
      Handler: "index.handler",
      Timeout: 7,
      MemorySize: 256,
      Environment: { Variables: { NAME: "orders", LD_LIBRARY_PATH: "/opt/lib" } },
      Tags: { team: "blue" },
    };
    await cloud.create("orders-list", OWN, options);
    await cloud.create("orders-create", OWN, options);
    before_ = await cloud.described("orders-list");
    directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-attach-"));
    write(directory, HERE);
  });
  after(async () => {
    await sst?.stop();
    await host?.stop();
    for (const each of [directory, host?.directory]) if (each) fs.rmSync(each, { recursive: true, force: true });
  });

  const attach = (args = [], options = {}) => new Sst(directory, ["attach", ...args], cloud.environment, options);

  test("answers in the cloud before", async () => {
    assert.deepEqual((await cloud.call("orders-list", { n: 1 })).value, { from: "the cloud", event: { n: 1 }, name: "orders" });
  });

  test("is not touched without a yes", async () => {
    const asked = attach(["--function", "orders-list"]);
    const { code } = await asked.exited;
    assert.equal(code, 2, asked.output);
    assert.match(asked.output, /there is no terminal in which you could be asked/);
    assert.deepEqual(await cloud.described("orders-list"), before_);
  });

  test("a name that there is not is told with the nearest", async () => {
    const asked = attach(["--function", "orders-lisst", "--yes"]);
    const { code } = await asked.exited;
    assert.equal(code, 2, asked.output);
    assert.match(asked.output, /orders-lisst/);
    assert.match(asked.output, /orders-list/);
  });

  test("runs here once it is attached, with its own variables", async () => {
    sst = attach(["--function", "orders-list", "--yes"]);
    await sst.waitFor(/Listening for requests/);
    assert.deepEqual((await cloud.call("orders-list", { n: 2 })).value, { from: "here", event: { n: 2 }, name: "orders" });
    assert.deepEqual((await cloud.call("orders-create", {})).value.from, "the cloud", "another function stays as it is");
  });

  test("the next call runs what was saved", async () => {
    write(directory, { "index.js": "exports.handler = async () => 'saved';" });
    await until("what was saved", async () => (await cloud.call("orders-list")).value === "saved");
  });

  test("sst invoke, history and status know it", async () => {
    for (const [args, expected] of [
      [["invoke", "orders-list"], /saved/],
      [["history"], /orders-list/],
      [["status"], /orders-list/],
    ]) {
      const command = new Sst(directory, args, cloud.environment);
      const { code } = await command.exited;
      await command.closed;
      assert.equal(code, 0, command.output);
      assert.match(command.output, expected, args.join(" "));
    }
  });

  test("has its own code back at the end, field by field", async () => {
    const { code } = await sst.stop();
    assert.match(sst.output, /orders-list has its own code back \(verified\)/);
    assert.equal(code, 0, sst.output);
    await gone(directory);
    assert.deepEqual(await cloud.described("orders-list"), before_);
    assert.deepEqual((await cloud.call("orders-list", { n: 3 })).value, { from: "the cloud", event: { n: 3 }, name: "orders" });
  });

  test("a session that was killed leaves it attached, and --restore gives it back", async () => {
    const killed = attach(["--function", "orders-list", "--yes"]);
    await killed.waitFor(/Listening for requests/);
    killed.child.kill("SIGKILL");
    await killed.exited;
    assert.notDeepEqual(await cloud.described("orders-list"), before_);
    const restoring = attach(["--restore"]);
    const { code } = await restoring.exited;
    assert.equal(code, 0, restoring.output);
    assert.match(restoring.output, /orders-list has its own code back \(verified\)/);
    assert.deepEqual(await cloud.described("orders-list"), before_);
  });

  test("what somebody else deploys meanwhile stays, and the rest comes back around it", async () => {
    const other = attach(["--function", "orders-list", "--yes"]);
    await other.waitFor(/Listening for requests/);
    await cloud.deploy("orders-list", { "index.js": "exports.handler = async () => 'a release';" });
    await other.stop();
    assert.match(other.output, /orders-list` was deployed by somebody else/);
    assert.equal((await cloud.call("orders-list")).value, "a release");
    const { CodeSha256, CodeSize, ...now } = await cloud.described("orders-list");
    const { CodeSha256: sha, CodeSize: size, ...then } = before_;
    assert.deepEqual(now, then);
    assert.notEqual(CodeSha256, sha);
    await cloud.deploy("orders-list", OWN);
  });
});

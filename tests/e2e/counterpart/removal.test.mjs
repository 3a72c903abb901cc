// The policy of the debug stack cannot be deleted while roles have it. Whoever removes the debug stack below them is not stuck.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { python } from "../../counterpart/counterpart.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";
import { Sst } from "../support/sst.mjs";

/** Deletes a stack as somebody would in the console: its name, and what becomes of it. */
const DELETE = `
import sys, time
import botocore.session
client = botocore.session.get_session().create_client("cloudformation")
client.delete_stack(StackName=sys.argv[1])
while (status := client.describe_stacks(StackName=sys.argv[1])["Stacks"][0]["StackStatus"]) == "DELETE_IN_PROGRESS":
    time.sleep(0.05)
print(status)
`;

describe("the debug stack", () => {
  let deployed;
  let counterpart;
  let debugStack;

  before(async () => {
    deployed = await Deployed.start({ proxies: false });
    ({ counterpart } = deployed);
    debugStack = Object.keys((await counterpart.state()).stacks).find((name) => name.endsWith("debug-stack"));
  });
  after(() => deployed?.close());

  const statuses = async () => Object.fromEntries(Object.entries((await counterpart.state()).stacks).map(([name, { status }]) => [name, status]));
  const answers = async () => assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });

  test("is deployed again when it was deleted by hand below its stubs", async () => {
    await answers();
    await deployed.sst.stop();
    const { endpoint, region, credentials } = counterpart.clientOptions();
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken };
    const env = { ...process.env, ...keys, AWS_ENDPOINT_URL: endpoint, AWS_DEFAULT_REGION: region };
    const { stdout } = await promisify(execFile)(python, ["-c", DELETE, debugStack], { env });
    assert.equal(stdout.trim(), "DELETE_FAILED");
    deployed.sst = await deployed.serve();
    await answers();
  });

  test("is removed without its policy when stacks are left whose roles have it", async () => {
    await deployed.sst.stop();
    const file = path.join(deployed.app, "app.js");
    const text = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, text.replace('"counterpart"', '"another"'));
    const sst = new Sst(deployed.app, ["remove", "--stage", "dev", "--yes"], deployed.environment);
    assert.equal((await sst.exited).code, 0, sst.output);
    assert.match(sst.output, /the policy of the stubs of `.*debug-stack` stays/);
    const { [debugStack]: debug, counterpart: app } = await statuses();
    assert.deepEqual([debug, app], [undefined, "UPDATE_COMPLETE"]);
    fs.writeFileSync(file, text);
  });

  test("is removed with all of it after the app", async () => {
    deployed.sst = await deployed.serve();
    await answers();
    await deployed.sst.stop();
    const sst = new Sst(deployed.app, ["remove", "--stage", "dev", "--yes"], deployed.environment);
    assert.equal((await sst.exited).code, 0, sst.output);
    assert.doesNotMatch(sst.output, /stays/);
    assert.deepEqual(Object.keys(await statuses()), ["CDKToolkit"]);
  });
});

// An app with a bootstrap of its own gets that one where it is deployed, and nobody else's is touched.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

const QUALIFIER = "@aws-cdk/core:bootstrapQualifier";

describe("the bootstrap", () => {
  let deployed;
  let counterpart;

  before(async () => {
    deployed = await Deployed.prepare({ proxies: false });
    ({ counterpart } = deployed);
  });
  after(() => deployed?.close());

  /** A copy of the app with more in its `cdk.json`. */
  const app = (settings) => {
    const copy = deployed.copy();
    fs.writeFileSync(path.join(copy, "cdk.json"), JSON.stringify({ app: "node app.js", ...settings }));
    return copy;
  };
  const statuses = async () => Object.fromEntries(Object.entries((await counterpart.state()).stacks).map(([name, { status }]) => [name, status]));
  const fails = async (copy) => {
    const sst = deployed.begin({ app: copy });
    const { code } = await sst.exited;
    await sst.closed;
    assert.equal(code, 5, sst.output);
    return sst.output;
  };

  test("has the qualifier and the stack that `cdk.json` names, and is made once", async () => {
    const context = { [QUALIFIER]: "acme" };
    const acme = app({ toolkitStackName: "AcmeToolkit", context, tags: [{ Key: "team", Value: "acme" }], toolkitBucket: { kmsKeyId: "alias/acme" } });
    const toolkit = counterpart.recorded({ kind: "stackEvent", stack: "CDKToolkit" }).length;
    const sst = await deployed.serve({ app: acme });
    assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });
    await sst.stop();
    assert.match(sst.output, /Bootstrapping aws:\/\/123456789012\/eu-central-1 for the CDK, once/);
    const { status, parameters, tags } = (await counterpart.state()).stacks.AcmeToolkit;
    const made = [status, parameters.Qualifier, parameters.FileAssetsBucketKmsKeyId, tags];
    assert.deepEqual(made, ["CREATE_COMPLETE", "acme", "alias/acme", [{ Key: "team", Value: "acme" }]]);
    assert.equal(counterpart.recorded({ kind: "stackEvent", stack: "CDKToolkit" }).length, toolkit, "the other one is as it was");
    const buckets = counterpart.recorded(({ kind, operation }) => kind === "s3" && operation === "PUT object").map(({ bucket }) => bucket);
    assert.ok(buckets.includes("cdk-acme-assets-123456789012-eu-central-1"), String(buckets));
    assert.ok(!buckets.some((bucket) => bucket.includes("hnb659fds")), String(buckets));

    const from = counterpart.records.length;
    fs.appendFileSync(path.join(acme, "app.js"), 'require("aws-cdk-lib").Tags.of(stack).add("again", "yes");\n');
    const again = await deployed.serve({ app: acme });
    await again.stop();
    assert.match(again.output, /The app is deployed/);
    assert.doesNotMatch(again.output, /Bootstrapping/);
    assert.deepEqual(counterpart.recorded({ kind: "stackEvent", stack: "AcmeToolkit" }, from), []);
    await counterpart.checkSignatures();
  });

  test("has a stack of its own beside the usual one when no name is given", async () => {
    const sst = await deployed.serve({ app: app({ context: { [QUALIFIER]: "other" } }) });
    await sst.stop();
    assert.equal((await statuses())["CDKToolkit-other"], "CREATE_COMPLETE");
  });

  test("of another qualifier is not overwritten", async () => {
    const output = await fails(app({ toolkitStackName: "CDKToolkit", context: { [QUALIFIER]: "third" } }));
    assert.match(output, /`counterpart` cannot be deployed to aws:\/\/123456789012\/eu-central-1/);
    assert.match(output, /the stack `CDKToolkit` there is the bootstrap of the qualifier `hnb659fds`/);
    assert.match(output, /give `toolkitStackName` in `cdk\.json` another name/);
  });

  test("of another account is that account's: the role and the command are named", async () => {
    const copy = app({ context: { [QUALIFIER]: "acme" } });
    const file = path.join(copy, "app.js");
    const text = fs.readFileSync(file, "utf8");
    const elsewhere = '"counterpart", { env: { account: "222222222222", region: "eu-west-1" } })';
    assert.ok(text.includes('"counterpart")'));
    fs.writeFileSync(file, text.replace('"counterpart")', elsewhere));
    const output = await fails(copy);
    assert.match(output, /`counterpart` cannot be deployed to aws:\/\/222222222222\/eu-west-1/);
    assert.match(output, /the role `cdk-acme-deploy-role-222222222222-eu-west-1` cannot be assumed: AccessDenied: /);
    const command = "npx cdk bootstrap aws://222222222222/eu-west-1 --qualifier acme --trust 123456789012 --cloudformation-execution-policies";
    assert.ok(output.includes(`\`${command} arn:aws:iam::aws:policy/AdministratorAccess\``), output);
  });
});

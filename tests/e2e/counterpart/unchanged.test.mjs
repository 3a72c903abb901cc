// A start of an app that is deployed as it should be deploys nothing, and asks nobody to: no change set, no upload, no CDK CLI. Whatever
// is not as it should be is deployed, whoever has changed it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { python } from "../../counterpart/counterpart.mjs";
import { Deployed } from "../../counterpart/deployed.mjs";

/** Changes a deployed stack as somebody would who knows nothing of `sst`: a function gets another description. */
const ELSEWHERE = `
import json, os, sys, time
import botocore.session
client = botocore.session.get_session().create_client("cloudformation")
stack, what = sys.argv[1:]
if what == "delete":
    client.delete_stack(StackName=stack)
elif what == "protect":
    client.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
elif what == "change":
    template = client.get_template(StackName=stack)["TemplateBody"]
    template = json.loads(template) if isinstance(template, str) else template
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            resource["Properties"]["Description"] = "by hand"
    names = dict(StackName=stack, ChangeSetName="by-hand")
    client.create_change_set(TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"], **names)
    while client.describe_change_set(**names)["Status"] != "CREATE_COMPLETE":
        time.sleep(0.05)
    client.execute_change_set(**names)
`;

describe("a start of what is deployed already", () => {
  let deployed;
  let counterpart;
  let log;

  before(async () => {
    deployed = await Deployed.prepare({ proxies: false });
    ({ counterpart } = deployed);
    deployed.app = deployed.copy();
    // Tells which programs Node is started for.
    const bin = deployed.directory("sst-node-");
    log = path.join(bin, "log");
    const script = `#!/bin/sh\nprintf '%s\\n' "$*" >> '${log}'\nexec '${process.execPath}' "$@"\n`;
    fs.writeFileSync(path.join(bin, "node"), script, { mode: 0o755 });
    deployed.path = `${bin}${path.delimiter}${process.env.PATH}`;
  });
  after(() => deployed?.close());

  /** Starts it, stops it, and tells what came of it: whether it deployed, and all that it did to CloudFormation, the bucket and roles. */
  const start = async ({ env = {}, args = [] } = {}) => {
    fs.writeFileSync(log, "");
    const from = counterpart.records.length;
    const sst = await deployed.serve({ env: { PATH: deployed.path, SST_TRACE: "start", ...env }, args });
    await sst.stop();
    await counterpart.settled();
    const of = (kind) => counterpart.recorded({ kind }, from).map(({ operation }) => operation);
    const cli = fs.readFileSync(log, "utf8").includes("aws-cdk/bin/cdk");
    return { sst, cli, said: /Nothing to deploy/.test(sst.output), stacks: of("cloudformation"), objects: of("s3"), roles: of("sts") };
  };

  const deploysNothing = async (options) => {
    const { cli, said, stacks, objects, roles, sst } = await start(options);
    const only = (all) => [...new Set(all)].sort();
    assert.deepEqual({ cli, said }, { cli: false, said: true }, sst.output);
    assert.deepEqual([only(stacks), objects, roles], [["DescribeStacks", "GetTemplate"], [], ["GetCallerIdentity"]]);
    assert.doesNotMatch(sst.output, /Deploying/);
  };

  const deploys = async (options) => {
    const { cli, said, stacks, sst } = await start(options);
    assert.deepEqual({ cli, said }, { cli: true, said: false }, sst.output);
    assert.ok(stacks.includes("ExecuteChangeSet"), String(stacks));
  };

  const elsewhere = (what) => {
    const { endpoint, region, credentials } = counterpart.clientOptions();
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken };
    const env = { ...process.env, ...keys, AWS_ENDPOINT_URL: endpoint, AWS_DEFAULT_REGION: region };
    return promisify(execFile)(python, ["-c", ELSEWHERE, "counterpart", what], { env });
  };

  const edit = (file, from, to) => {
    const whole = path.join(deployed.app, file);
    const text = fs.readFileSync(whole, "utf8");
    assert.ok(text.includes(from), text);
    fs.writeFileSync(whole, text.replace(from, to));
  };

  test("deploys nothing when nothing has changed, and its functions are served", async () => {
    await deploys();
    await deploysNothing();
    const sst = await deployed.serve();
    assert.deepEqual((await deployed.call("echo", { again: true })).value.event, { again: true });
    await sst.stop();
  });

  test("deploys nothing when the code of a function that runs here has changed", async () => {
    fs.appendFileSync(path.join(deployed.app, "functions/index.js"), "// A comment.\n");
    await deploysNothing();
  });

  test("deploys a changed template", async () => {
    edit("app.js", "hasty: 6", "hasty: 7");
    await deploys();
    await deploysNothing();
  });

  test("deploys another value of a variable", async () => {
    deployed.where = deployed.directory("sst-where-");
    await deploys();
    await deploysNothing();
  });

  test("deploys a changed asset", async () => {
    // It keeps its own code.
    const args = ["--except", "*hasty"];
    await deploys({ args });
    await deploysNothing({ args });
    fs.appendFileSync(path.join(deployed.app, "functions/index.js"), "// Another comment.\n");
    await deploys({ args });
  });

  test("deploys over what somebody has changed meanwhile", async () => {
    const from = counterpart.records.length;
    await elsewhere("change");
    await counterpart.until({ kind: "stackEvent", stack: "counterpart", resource: "counterpart", status: "UPDATE_COMPLETE" }, { from });
    await deploys();
    await deploysNothing();
  });

  test("deploys what somebody has protected meanwhile", async () => {
    await elsewhere("protect");
    const { cli, said } = await start();
    assert.deepEqual({ cli, said }, { cli: true, said: false });
    await deploysNothing();
  });

  test("deploys what somebody has removed meanwhile", async () => {
    const from = counterpart.records.length;
    await elsewhere("delete");
    await counterpart.until({ kind: "stackEvent", stack: "counterpart", resource: "counterpart", status: "DELETE_COMPLETE" }, { from });
    await deploys();
    await deploysNothing();
  });

  test("deploys nothing when a connection ends in the middle of looking", async () => {
    const match = { service: "cloudformation", operation: "GetTemplate", who: "developer" };
    await counterpart.fault({ match, cut: "before", times: 1 });
    const from = counterpart.records.length;
    await start().then(({ cli, said, sst }) => assert.deepEqual({ cli, said }, { cli: false, said: true }, sst.output));
    assert.equal(counterpart.recorded({ kind: "fault" }, from).length, 1);
  });

  test("deploys when it cannot be seen what is deployed", async () => {
    const match = { service: "cloudformation", operation: "GetTemplate", who: "developer" };
    await counterpart.fault({ match, status: 403, error: "AccessDenied", message: "not authorized" });
    const { cli, said } = await start();
    assert.deepEqual({ cli, said }, { cli: true, said: false });
  });
});

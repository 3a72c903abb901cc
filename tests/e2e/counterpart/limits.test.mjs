// Apps that are as large as CloudFormation allows can be debugged, and one that is larger is refused before anything is deployed.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";

/** An app with one stack of so many functions, with so much text in the variables and the inline policy of each, and so many resources in all. */
const source = ({ functions, padding = 0, policy = 0, resources }) => `
const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");
const { CfnLogGroup } = require("aws-cdk-lib/aws-logs");
const { PolicyDocument, PolicyStatement, Role, ServicePrincipal } = require("aws-cdk-lib/aws-iam");

const app = new App({ analyticsReporting: false, context: { "@aws-cdk/core:stackResourceLimit": 0 } });
const stack = new Stack(app, "counterpart", { suppressTemplateIndentation: true });
const role = (number) => {
  const resources = ["arn:aws:s3:::" + "x".repeat(${policy})];
  const own = new PolicyDocument({ statements: [new PolicyStatement({ actions: ["s3:GetObject"], resources })] });
  return new Role(stack, \`Role\${number}\`, { assumedBy: new ServicePrincipal("lambda.amazonaws.com"), inlinePolicies: { own } });
};
for (let number = 0; number < ${functions}; number++) {
  const created = new LambdaFunction(stack, \`echo\${number}\`, {
    code: Code.fromAsset("functions"), runtime: Runtime.NODEJS_22_X, handler: "index.echo",
    role: ${policy} ? role(number) : undefined,
    environment: { WHERE: process.env.COUNTERPART_WHERE ?? "", PADDING: "x".repeat(${padding}) },
  });
  if (number === 0 || number === ${functions} - 1) new CfnOutput(stack, number ? "Last" : "First", { value: created.functionName });
}
for (let number = 2 * ${functions}; number < ${resources}; number++) new CfnLogGroup(stack, \`Log\${number}\`);
`;

describe("an app", () => {
  let deployed;
  before(async () => {
    deployed = await Deployed.prepare({ proxies: false });
  });
  after(() => deployed?.close());

  const begin = (app) => {
    const copy = deployed.copy();
    fs.writeFileSync(path.join(copy, "app.js"), source(app));
    return deployed.begin({ app: copy });
  };
  const template = (directory, which) => fs.readFileSync(path.join(directory, ".sst", which, "counterpart.template.json"), "utf8");

  for (const [what, app] of Object.entries({
    "with 499 resources": { functions: 249, resources: 499 },
    "with 500 resources": { functions: 3, resources: 500 },
    "with 10,000 bytes of inline policies for each role": { functions: 2, policy: 9_880, resources: 4 },
    "with a template of 727 KB": { functions: 200, padding: 2_450, resources: 400 },
  })) {
    test(`${what} is served`, async () => {
      const sst = begin(app);
      await sst.waitFor(/Listening for requests/);
      for (const output of ["First", "Last"]) {
        const { value } = await deployed.counterpart.invoke(sst.stackOutput(output), { output });
        assert.deepEqual(value.event, { output });
      }
      const live = template(sst.directory, "cdk.out.live");
      const { Resources } = JSON.parse(live);
      assert.equal(Object.keys(Resources).length, app.resources);
      if (app.padding) assert.ok(live.length > 727_000 && live.length < 1_000_000, `${live.length} bytes`);
      await sst.stop();
    });
  }

  test("with more resources than there may be is refused before anything is deployed", async () => {
    const from = deployed.counterpart.records.length;
    const sst = begin({ functions: 2, resources: 502 });
    assert.equal((await sst.exited).code, 5);
    assert.match(sst.output, /the template of `counterpart` has 502 resources, and CloudFormation takes 500/);
    const changed = deployed.counterpart.recorded({ kind: "cloudformation", operation: "CreateChangeSet", stack: "counterpart" }, from);
    assert.deepEqual(changed, []);
  });
});

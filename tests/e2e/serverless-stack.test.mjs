// Apps of SST v1, with the stacks that they always had.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { edit, fixture } from "../synth/support.mjs";
import { Sst, clientOptions, copyApp, extraArguments, repository, until } from "./support/sst.mjs";
import { launchChromium } from "./support/web.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { PublishCommand, SNSClient } = require("@aws-sdk/client-sns");
const { SQSClient, SendMessageCommand } = require("@aws-sdk/client-sqs");
const { DynamoDBClient, PutItemCommand } = require("@aws-sdk/client-dynamodb");
const { InvokeCommand, LambdaClient, paginateListFunctions } = require("@aws-sdk/client-lambda");

const APPS = [
  {
    app: "sst-0.69",
    name: "classic",
    handlers: "src",
    main: "lib/index.js",
    script: [
      "lib/FunctionsStack.js",
      'new Script(this, "Script", { onCreate: "src/api.main", params: { table: this.table.tableName } });',
    ],
    consumers: ["Topic/Subscriber_Topic_0", "Queue/Consumer_Queue", "Bucket/Notification_Bucket_0"],
    changes: "Table/changes",
    sites: ['import SitesStack from "./SitesStack";', 'new SitesStack(app, "sites");'],
    placeholders: ["SiteUrl", "ReactUrl", "NextUrl"],
  },
  {
    app: "sst-1.18",
    name: "modern",
    handlers: "packages/functions",
    main: "stacks/index.ts",
    script: [
      "stacks/functions.ts",
      'new Script(stack, "Script", { onCreate: "api.main", params: { table: table.tableName } });',
    ],
    consumers: ["Topic/Subscriber_Topic_log", "Queue/Consumer_Queue", "Bucket/Notification_Bucket_log"],
    changes: "Table/Consumer_Table_changes",
    sites: ['import { Sites } from "./sites";', 'app.stack(Sites, { id: "sites" });'],
    placeholders: ["SiteUrl", "ViteUrl", "NextUrl"],
  },
];

// A script and `NextjsSite` call real functions, whose credentials the local cloud does not know when these ask for something.
const isEnforced = extraArguments().includes("--enforce-iam");

/** What people write to have the debug stack as their company wants it. */
const DEBUG_STACK = `
import { Tags as DebugTags } from "aws-cdk-lib";
import { ManagedPolicy, PermissionsBoundary } from "aws-cdk-lib/aws-iam";

export function debugStack(app, stack, props) {
  DebugTags.of(app).add("cost-centre", \`debugging-\${props.stage}\`);
  const boundary = ManagedPolicy.fromManagedPolicyArn(stack, "Boundary", "arn:aws:iam::aws:policy/PowerUserAccess");
  PermissionsBoundary.of(stack).apply(boundary);
}
`;

/** What the local cloud answers to CloudFormation's query protocol. */
async function cloudFormation(sst, action, parameters) {
  const { endpoint, region } = sst.session();
  const scope = `test/20260101/${region}/cloudformation/aws4_request`;
  const headers = { authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0` };
  const body = new URLSearchParams({ Action: action, Version: "2010-05-15", ...parameters });
  return (await fetch(endpoint, { method: "POST", headers, body })).text();
}

for (const { app, main, name, handlers, script, consumers, changes, sites, placeholders } of APPS) {
  describe(app, () => {
    let directory;
    let sst;

    before(async () => {
      directory = copyApp(`tests/fixtures/apps/${app}`, path.join(fixture(app), "node_modules"));
      if (isEnforced) edit(directory, ...script, "");
      const [stacks] = fs.readFileSync(path.join(directory, main), "utf8").split("// Only `sst` itself");
      const [imported, added] = isEnforced ? ["", ""] : sites;
      fs.writeFileSync(path.join(directory, main), stacks.replace(/\}\s*$/, `  ${added}\n}\n\n${imported}\n`) + DEBUG_STACK);
      sst = await Sst.start(directory);
    });
    after(async () => {
      await sst?.stop();
      if (directory) fs.rmSync(directory, { recursive: true, force: true });
    });

    test("`debugStack` of the main file changes the debug stack", async () => {
      const StackName = `dev-${name}-debug-stack`;
      const described = await cloudFormation(sst, "DescribeStacks", { StackName });
      assert.match(described, /<Key>cost-centre<\/Key>\s*<Value>debugging-dev<\/Value>/);
      const template = await cloudFormation(sst, "GetTemplate", { StackName });
      assert.match(template, /PermissionsBoundary[^]{0,200}policy\/PowerUserAccess/);
    });

    test("requests run the handlers on this machine, as they are at the time", async () => {
      const from = sst.output.length;
      const api = sst.stackOutput("ApiEndpoint");
      assert.match(await (await fetch(`${api}/`)).text(), /^Hello from dev-/);
      assert.equal(await (await fetch(`${api}/notes/7`)).text(), "7");
      assert.equal((await fetch(`${api}/other`)).status, 404);
      await sst.waitFor(/REQUEST {2}\S+ \S+-functions\/Api\/Lambda_GET_--notes--{id} API GET \/notes\/7/, from);
      edit(directory, `${handlers}/api.js`, "Hello from", "Greetings from");
      await until("the new greeting", async () => /^Greetings from dev-/.test(await (await fetch(`${api}/`)).text()), 20_000);
    });

    test("events reach their consumers", async () => {
      const from = sst.output.length;
      const options = clientOptions(sst);
      await new SNSClient(options).send(new PublishCommand({ TopicArn: sst.stackOutput("TopicArn"), Message: "hello" }));
      const message = { QueueUrl: sst.stackOutput("QueueUrl"), MessageBody: "hello" };
      await new SQSClient(options).send(new SendMessageCommand(message));
      const object = { Bucket: sst.stackOutput("BucketName"), Key: "hello.txt", Body: "hello" };
      await new S3Client({ ...options, forcePathStyle: true }).send(new PutObjectCommand(object));
      const item = { TableName: sst.stackOutput("TableName"), Item: { id: { S: "1" } } };
      await new DynamoDBClient(options).send(new PutItemCommand(item));
      const expected = [...consumers.map((id) => `dev-${name}-events/${id}`), `dev-${name}-functions/${changes}`];
      await Promise.all(expected.map((id) => sst.waitFor(new RegExp(`RESPONSE \\S+ ${id} `), from)));
    });

    /** Calls a function of the app by the id of its construct. */
    const invoke = async (id, event = {}) => {
      const client = new LambdaClient(clientOptions(sst));
      const names = [];
      for await (const page of paginateListFunctions({ client }, {})) {
        names.push(...page.Functions.map(({ FunctionName }) => FunctionName));
      }
      const FunctionName = names.find((one) => one.startsWith(`dev-${name}-functions-${id}`));
      const { Payload } = await client.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
      return JSON.parse(Buffer.from(Payload));
    };

    test("functions in Python and Go run here as well", async () => {
      const from = sst.output.length;
      assert.deepEqual(await invoke("Python", { a: 1 }), { hello: { a: 1 } });
      assert.deepEqual(await invoke("Go", { a: 1 }), { hello: { a: 1 }, from: "Go" });
      await sst.waitFor(new RegExp(`RESPONSE \\S+ dev-${name}-functions/Python [^]*RESPONSE \\S+ dev-${name}-functions/Go `), from);
    });

    test("sites are served to browsers at the URLs of the outputs, and so is the API beside them", { skip: isEnforced && "NextjsSite does not deploy while policies are checked: it needs functions whose credentials the local cloud does not know" }, async () => {
      const browser = await launchChromium();
      try {
        const tab = await browser.newPage();
        for (const output of placeholders) {
          // Whatever its path, as routes of such a site are.
          const answer = await tab.goto(`${sst.stackOutput(output)}/some/where`);
          assert.equal(answer.status(), 200, output);
          assert.match(await answer.text(), /placeholder/, output);
        }
        const scripts = [];
        tab.on("response", (answer) => answer.url().endsWith("/show.js") && scripts.push(answer));
        await tab.goto(sst.stackOutput("OwnUrl"));
        await tab.waitForFunction(() => / from dev-/.test(document.title));
        assert.deepEqual(scripts.map((answer) => answer.headers()["cache-control"]), ["max-age=300"]);
        assert.equal(await scripts[0].text(), `document.title = await (await fetch("${sst.stackOutput("BesideUrl")}")).text();\n`);
      } finally {
        await browser.close();
      }
    });

    test("functions that are not to be live keep their own code", async () => {
      assert.match(sst.output, new RegExp(`\`dev-${name}-functions/Real\` is not live`));
      const from = sst.output.length;
      assert.equal((await invoke("Real")).body, "nothing");
      assert.doesNotMatch(sst.output.slice(from), /Real/);
    });
  });
}

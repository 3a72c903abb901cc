// Clients of the AWS SDK for JavaScript v2 go to AWS_ENDPOINT_URL, as those of all newer SDKs do by themselves.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { test } from "node:test";

import { realPackages, runOnce, tree } from "./support.mjs";

/** Every call fails at once; which host it went to is all that matters. */
async function fakeEndpoint(context) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const service = /\/\d{8}\/[^/]+\/([^/]+)\/aws4_request/.exec(request.headers.authorization)?.[1];
    requests.push(`${service} ${request.headers.host === address ? request.url : request.headers.host}`);
    request.resume().on("end", () => response.writeHead(404).end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = `127.0.0.1:${server.address().port}`;
  return { url: `http://${address}`, requests };
}

/** The places of a project with these files, and of the provided packages; `aws-sdk` is in one of both. */
function prepare(context, files, { own = false } = {}) {
  const directory = tree(context, {
    ...Object.fromEntries(Object.entries(files).map(([name, content]) => [`project/${name}`, content])),
    "project/node_modules/library/index.js": `exports.Queue = require("aws-sdk/clients/sqs");`,
    "cache/node_modules/library/index.js": "",
  });
  const places = { root: path.join(directory, "project"), provided: path.join(directory, "cache", "node_modules") };
  const packages = own ? path.join(places.root, "node_modules") : places.provided;
  fs.symlinkSync(path.join(realPackages(), "aws-sdk"), path.join(packages, "aws-sdk"));
  return places;
}

const variables = (url, more) => ({
  AWS_REGION: "eu-west-1",
  AWS_ACCESS_KEY_ID: "key",
  AWS_SECRET_ACCESS_KEY: "secret",
  AWS_ENDPOINT_URL: url,
  ...more,
});

const QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/queue";

const CALLS = `
  const call = (request) => new Promise((resolve) => request.send(() => resolve()));
  const noRetries = { maxRetries: 0 };
  async function calls({ DynamoDB, S3, SNS, SQS, STS, SSM, Lambda }) {
    await call(new DynamoDB(noRetries).listTables());
    await call(new DynamoDB.DocumentClient(noRetries).get({ TableName: "t", Key: { id: 1 } }));
    await call(new S3(noRetries).getObject({ Bucket: "bucket", Key: "key" }));
    await call(new SNS(noRetries).listTopics());
    await call(new SQS(noRetries).sendMessage({ QueueUrl: "${QUEUE}", MessageBody: "m" }));
    await call(new STS(noRetries).getCallerIdentity());
    await call(new SSM(noRetries).getParameter({ Name: "n" }));
    await call(new Lambda(noRetries).invoke({ FunctionName: "f" }));
    return new S3(noRetries).getSignedUrl("getObject", { Bucket: "bucket", Key: "key" }).split("?")[0];
  }`;

const REQUESTS = [
  "dynamodb /",
  "dynamodb /",
  "s3 /bucket/key",
  "sns /",
  "sqs /",
  "sts /",
  "ssm /",
  "lambda /2015-03-31/functions/f/invocations",
];

const NAMES = ["DynamoDB", "S3", "SNS", "SQS", "STS", "SSM", "Lambda"];
const REQUIRED = NAMES.map((name) => `const ${name} = require("aws-sdk/clients/${name.toLowerCase()}");`).join("\n");
const IMPORTED = NAMES.map((name) => `import ${name} from "aws-sdk/clients/${name.toLowerCase()}.js";`).join("\n");
const PARTS = `{ ${NAMES.join(", ")} }`;

const HANDLERS = {
  "whole.cjs": `const AWS = require("aws-sdk"); ${CALLS} exports.handler = () => calls(AWS);`,
  "whole.mjs": `import AWS from "aws-sdk"; ${CALLS} export const handler = () => calls(AWS);`,
  "later.mjs": `${CALLS} export const handler = async () => calls((await import("aws-sdk")).default);`,
  "clients.cjs": `${REQUIRED} ${CALLS} exports.handler = () => calls(${PARTS});`,
  "clients.mjs": `${IMPORTED} ${CALLS} export const handler = () => calls(${PARTS});`,
};

for (const own of [false, true]) {
  for (const [name, code] of Object.entries(HANDLERS)) {
    test(`${own ? "own" : "provided"}, ${name}: all clients`, async (context) => {
      const places = prepare(context, { [`code${path.extname(name)}`]: code }, { own });
      for (const standby of [false, true]) {
        const { url, requests } = await fakeEndpoint(context);
        const { body } = await runOnce(context, "code.handler", {}, { ...places, standby, more: variables(url) });
        assert.deepEqual(requests, REQUESTS);
        assert.equal(body, `${url}/bucket/key`);
      }
    });
  }
}

test("a copy that was loaded ahead", async (context) => {
  const places = prepare(context, { "code.cjs": HANDLERS["whole.cjs"], "directory/code.mjs": HANDLERS["whole.mjs"] });
  for (const handler of ["code.handler", "directory/code.handler"]) {
    const { url, requests } = await fakeEndpoint(context);
    const packages = [["aws-sdk", places.root]];
    await runOnce(context, handler, {}, { ...places, standby: true, packages, more: variables(url) });
    assert.deepEqual(requests, REQUESTS);
  }
});

test("clients that are made while a package is loaded ahead", async (context) => {
  const code = `module.exports = new (require("aws-sdk/clients/sns"))({ region: "eu-west-1" }).endpoint.href;`;
  const { root, provided } = prepare(context, {
    "code.cjs": `exports.handler = async () => require("eager");`,
    "node_modules/eager/index.js": code,
  });
  const { url } = await fakeEndpoint(context);
  const options = { root, provided, standby: true, packages: [["eager", root]], more: variables(url) };
  assert.equal((await runOnce(context, "code.handler", {}, options)).body, `${url}/`);
});

test("a client of a dependency", async (context) => {
  const code = `const { Queue } = require("library"); exports.handler = async () => new Queue().endpoint.href;`;
  const places = prepare(context, { "code.cjs": code });
  const { body } = await runOnce(context, "code.handler", {}, { ...places, more: variables("http://127.0.0.1:9") });
  assert.equal(body, "http://127.0.0.1:9/");
});

test("what the SDK puts before the host of some calls is left out", async (context) => {
  const code = `
    const AWS = require("aws-sdk");
    const call = (request) => new Promise((resolve) => request.send(() => resolve()));
    exports.handler = async () => {
      await call(new AWS.StepFunctions({ maxRetries: 0 }).startSyncExecution({ stateMachineArn: "machine" }));
      await call(new AWS.S3Control({ maxRetries: 0 }).getPublicAccessBlock({ AccountId: "123456789012" }));
      return new AWS.StepFunctions({ endpoint: "http://own:1" }).config.hostPrefixEnabled;
    };`;
  const places = prepare(context, { "code.cjs": code });
  const { url, requests } = await fakeEndpoint(context);
  const { body } = await runOnce(context, "code.handler", {}, { ...places, more: variables(url) });
  assert.deepEqual(requests, ["states /", "s3 /v20180820/configuration/publicAccessBlock"]);
  assert.equal(body, true, "those with an endpoint of their own are as they were");
});

const CHOICES = `
  const AWS = require("aws-sdk");
  const of = (client) => [client.endpoint.href, Boolean(client.config.s3ForcePathStyle)];
  exports.handler = async () => {
    const found = { usual: of(new AWS.S3()) };
    found.own = of(new AWS.S3({ endpoint: "http://own:1" }));
    found.undefined = of(new AWS.S3({ endpoint: undefined, s3ForcePathStyle: undefined }));
    AWS.config.s3 = { endpoint: "http://service:2" };
    found.service = [of(new AWS.S3()), of(new AWS.SNS())];
    AWS.config.s3 = undefined;
    AWS.config.update({ region: "eu-central-1" });
    found.updated = of(new AWS.S3());
    AWS.config.update({ endpoint: "http://global:3" });
    found.global = of(new AWS.S3());
    AWS.config = new AWS.Config({ region: "eu-west-1" });
    found.renewed = of(new AWS.S3());
    return found;
  };`;

test("an endpoint that the function chooses is kept", async (context) => {
  const places = prepare(context, { "code.cjs": CHOICES });
  const given = ["http://127.0.0.1:9/", true];
  const { body } = await runOnce(context, "code.handler", {}, { ...places, more: variables("http://127.0.0.1:9") });
  assert.deepEqual(body, {
    usual: given,
    own: ["http://own:1/", false],
    undefined: given,
    service: [["http://service:2/", false], given],
    updated: given,
    global: ["http://global:3/", false],
    renewed: given,
  });
});

test("nothing is done without an endpoint, or if it is to be ignored", async (context) => {
  const code = `
    const AWS = require("aws-sdk");
    const hooked = String(require("module").prototype._compile).includes("adapt");
    exports.handler = async () => [hooked, new AWS.SNS().endpoint.href];`;
  const places = prepare(context, { "code.cjs": code });
  const ignored = { AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true" };
  const usual = "https://sns.eu-west-1.amazonaws.com/";
  for (const standby of [false, true]) {
    for (const more of [variables(""), variables(undefined), variables("http://127.0.0.1:9", ignored)]) {
      const { body } = await runOnce(context, "code.handler", {}, { ...places, standby, more });
      assert.deepEqual(body, [false, usual]);
    }
  }
});

// One warm call by the AWS SDK, through stub, WebSocket API and `sst start`, beside the way of SST 0.69.7, which has a Lambda between
// the API and either side: stub, API, relay, client, API, relay, stub: `make bench`. Both are deployed in the same local cloud, which runs
// the old stub and the relays itself; what the old tool's client is sent, its own runtime server runs.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { Sst, clientOptions, repository } from "../tests/e2e/support/sst.mjs";
import { ECHO, makeEcho, makePlace, write } from "./support/app.mjs";
import { copyRelays, giveSdk, load, template, unpackStub, zipped } from "./support/classic.mjs";
import { Figures, inTurns } from "./support/figures.mjs";
import { OldTool } from "./support/old-tool.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");

const CALLS = Number(process.env.CALLS ?? 300);
const OLD = "SST 0.69.7";

/**
 * The relays as the local cloud runs them. They post to `@connections` there without TLS, because the runtime of ministack would take it from
 * them in a way that their version of the SDK does not stand. What a relay returns is dropped on AWS, as there are no route responses, but
 * the local cloud would pass it on.
 */
const RELAYS = `exports.connect = require("./wsConnect").main;
exports.disconnect = require("./wsDisconnect").main;
const relay = require("./wsDefault").main;
exports.default = async ({ requestContext, ...event }) => {
  const domainName = process.env.AWS_ENDPOINT_URL + "/_aws/execute-api/" + requestContext.apiId;
  await relay({ ...event, requestContext: { ...requestContext, domainName } });
  return { statusCode: 200 };
};
`;

const figures = new Figures("round-trip");
const place = makePlace();
// The local cloud looks for packages above the app as well.
giveSdk(place);
const [app, old] = ["app", "old"].map((name) => path.join(place, name));
makeEcho(app);
write(old, { "src/echo.ts": ECHO, "package.json": '{ "name": "bench", "private": true }\n' });
const sst = await Sst.start(app);
const tool = new OldTool(old);
try {
  const { Stub, Endpoint } = await deployOld();
  await tool.listen(Endpoint);
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  const invoke = (FunctionName) => async () => {
    const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: '{"a":1}' }));
    const text = Buffer.from(answer.Payload).toString();
    if (answer.FunctionError || JSON.parse(text).event?.a !== 1) throw new Error(`${FunctionName}: ${text}`);
  };
  const sides = { ours: invoke(sst.stackOutput("Function")), [OLD]: invoke(Stub) };
  figures.times("one warm call by `Invoke`", await inTurns(sides, { rounds: CALLS, before: 5 }));
} finally {
  tool.end();
  await sst.stop();
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();

/** Deploys the debug stack of the old tool and a stub beside the app. Returns the outputs. */
async function deployOld() {
  const { CloudFormation, S3 } = load("aws-sdk");
  const [relays, stub] = ["relays", "stub"].map((name) => path.join(place, name));
  copyRelays(relays);
  write(relays, { "index.js": RELAYS });
  unpackStub(stub);
  const options = clientOptions(sst);
  const s3 = new S3({ ...options, s3ForcePathStyle: true });
  await s3.createBucket({ Bucket: "classic" }).promise();
  for (const code of [relays, stub]) await s3.putObject({ Bucket: "classic", Key: `${path.basename(code)}.zip`, Body: zipped(code) }).promise();
  const cloudFormation = new CloudFormation(options);
  const endpoint = `${options.endpoint.replace(/^http/, "ws")}/_aws/execute-api`;
  const StackName = "classic";
  await cloudFormation.createStack({ StackName, TemplateBody: JSON.stringify(template("classic", endpoint, "echo")), Capabilities: ["CAPABILITY_IAM"] }).promise();
  const { Stacks } = await cloudFormation.waitFor("stackCreateComplete", { StackName, $waiter: { delay: 1, maxAttempts: 120 } }).promise();
  return Object.fromEntries(Stacks[0].Outputs.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
}

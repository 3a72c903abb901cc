// Samples of events, compared with what the local cloud sends to the same functions, and with the types that everybody uses.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, api, clientOptions, copyApp, repository, runIn, until, writeInto } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { DynamoDBClient, PutItemCommand } = require("@aws-sdk/client-dynamodb");
const { PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { PublishCommand, SNSClient } = require("@aws-sdk/client-sns");
const { SQSClient, SendMessageCommand } = require("@aws-sdk/client-sqs");

const STACK = `const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { LambdaIntegration, RestApi } = require("aws-cdk-lib/aws-apigateway");
const { HttpApi, HttpMethod } = require("aws-cdk-lib/aws-apigatewayv2");
const { HttpLambdaIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const { AttributeType, StreamViewType, Table } = require("aws-cdk-lib/aws-dynamodb");
const { Rule, Schedule } = require("aws-cdk-lib/aws-events");
const targets = require("aws-cdk-lib/aws-events-targets");
const { Stream } = require("aws-cdk-lib/aws-kinesis");
const { Code, Function, FunctionUrlAuthType, Runtime, StartingPosition } = require("aws-cdk-lib/aws-lambda");
const { DynamoEventSource, KinesisEventSource, SqsEventSource } = require("aws-cdk-lib/aws-lambda-event-sources");
const { CfnBucket } = require("aws-cdk-lib/aws-s3");
const { CfnPermission } = require("aws-cdk-lib/aws-lambda");
const { Topic } = require("aws-cdk-lib/aws-sns");
const { LambdaSubscription } = require("aws-cdk-lib/aws-sns-subscriptions");
const { Queue } = require("aws-cdk-lib/aws-sqs");

const stack = new Stack(new App(), "samples");
const make = (id) => new Function(stack, id, { runtime: Runtime.NODEJS_22_X, handler: "index.handler", code: Code.fromAsset("src") });
const output = (name, value) => new CfnOutput(stack, name, { value });

const rest = new RestApi(stack, "Rest");
const onRest = make("OnRest");
const notes = rest.root.addResource("notes");
notes.addResource("{id}").addMethod("GET", new LambdaIntegration(onRest));
notes.addMethod("POST", new LambdaIntegration(onRest));
output("RestUrl", rest.url);
const http = new HttpApi(stack, "Http");
http.addRoutes({ path: "/orders/{id}", methods: [HttpMethod.GET], integration: new HttpLambdaIntegration("Integration", make("OnHttp")) });
output("HttpUrl", http.apiEndpoint);
output("FunctionUrl", make("OnUrl").addFunctionUrl({ authType: FunctionUrlAuthType.NONE }).url);
const queue = new Queue(stack, "Queue");
make("OnQueue").addEventSource(new SqsEventSource(queue));
output("QueueUrl", queue.queueUrl);
const topic = new Topic(stack, "Topic");
topic.addSubscription(new LambdaSubscription(make("OnTopic")));
output("TopicArn", topic.topicArn);
const table = new Table(stack, "Table", {
  partitionKey: { name: "owner", type: AttributeType.STRING },
  sortKey: { name: "number", type: AttributeType.NUMBER },
  stream: StreamViewType.NEW_AND_OLD_IMAGES,
});
make("OnTable").addEventSource(new DynamoEventSource(table, { startingPosition: StartingPosition.TRIM_HORIZON }));
output("TableName", table.tableName);
const stream = new Stream(stack, "Stream");
make("OnStream").addEventSource(new KinesisEventSource(stream, { startingPosition: StartingPosition.TRIM_HORIZON }));
output("StreamName", stream.streamName);
const onObject = make("OnObject");
const permission = new CfnPermission(stack, "May", { action: "lambda:InvokeFunction", functionName: onObject.functionArn, principal: "s3.amazonaws.com" });
const rules = [{ name: "prefix", value: "in/" }];
const bucket = new CfnBucket(stack, "Bucket", {
  notificationConfiguration: { lambdaConfigurations: [{ event: "s3:ObjectCreated:*", function: onObject.functionArn, filter: { s3Key: { rules } } }] },
});
bucket.addDependency(permission);
output("BucketName", bucket.ref);
new Rule(stack, "EveryMinute", { schedule: Schedule.cron({ minute: "*" }), targets: [new targets.LambdaFunction(make("OnSchedule"))] });
make("Alone");
`;

/** What is different in each event: maps whose keys are the sender's. */
const OPEN = ["headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "MessageAttributes", "NewImage", "OldImage", "cookies"];

/** The names of all fields, by their paths; of a list, those of its first element. */
function fields(value, at = "") {
  if (Array.isArray(value)) return value.length > 0 ? fields(value[0], `${at}[]`) : [];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const here = at ? `${at}.${name}` : name;
    return [here, ...(OPEN.includes(name) ? [] : fields(inner, here))];
  });
}

/** What the local cloud leaves out (`+`), and what it calls otherwise than AWS (`-`). */
const UNLIKE = {
  apigw: ["authorizer", "identity.apiKey", "identity.apiKeyId", "identity.clientCert"].map((field) => `+ requestContext.${field}`),
  sns: ["+ Records[].Sns.SigningCertUrl", "+ Records[].Sns.UnsubscribeUrl", "- Records[].Sns.SigningCertURL", "- Records[].Sns.UnsubscribeURL"],
};

describe("samples", () => {
  let directory;
  let sst;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    const write = (file, text) => writeInto(directory, file, text);
    write("app.cjs", STACK);
    write("src/index.js", "exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event) });\n");
    write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
    write("sst.json", JSON.stringify({ name: "samples" }));
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = (...args) => runIn(directory, args);
  const sample = async (...args) => JSON.parse((await run("sample", ...args)).said);
  /** The event that a function was called with from the cloud; of a table, once something has been changed in it. */
  const recorded = (name) =>
    until(`a call of ${name}`, async () => {
      const { invocations } = await (await api(sst.session(), `invocations?function=${name}&limit=100`)).json();
      for (const { id } of invocations.filter(({ local }) => !local)) {
        const event = await (await api(sst.session(), `invocations/${id}/event`)).json();
        if (name !== "OnTable") return event;
        const record = event.Records.find(({ dynamodb }) => dynamodb.OldImage);
        if (record) return { Records: [record] };
      }
    });
  const kinesis = async () => {
    const { endpoint } = sst.session();
    const headers = {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "Kinesis_20131202.PutRecord",
      authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
    };
    const record = { StreamName: sst.stackOutput("StreamName"), Data: Buffer.from("{}").toString("base64"), PartitionKey: "1" };
    const answer = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify(record) });
    assert.equal(answer.status, 200, await answer.text());
  };
  const item = { owner: { S: "a" }, number: { N: "1" } };

  for (const [kind, name, send, same] of [
    ["apigw", "OnRest", () => fetch(`${sst.stackOutput("RestUrl")}notes/7?limit=1`), (event) => [event.resource, event.requestContext.apiId, event.requestContext.stage, event.requestContext.resourcePath, Object.keys(event.pathParameters)]],
    ["apigw2", "OnHttp", () => fetch(`${sst.stackOutput("HttpUrl")}/orders/7?limit=1`, { headers: { cookie: "a=b" } }), (event) => [event.routeKey, event.requestContext.apiId, event.requestContext.stage, Object.keys(event.pathParameters)]],
    ["url", "OnUrl", () => fetch(`${sst.stackOutput("FunctionUrl")}notes/7?limit=1`, { headers: { cookie: "a=b" } }), (event) => [event.routeKey, event.requestContext.stage]],
    ["sqs", "OnQueue", () => new SQSClient(clientOptions(sst)).send(new SendMessageCommand({ QueueUrl: sst.stackOutput("QueueUrl"), MessageBody: "{}" })), ({ Records: [record] }) => [record.eventSourceARN, record.awsRegion, record.eventSource]],
    ["sns", "OnTopic", () => new SNSClient(clientOptions(sst)).send(new PublishCommand({ TopicArn: sst.stackOutput("TopicArn"), Subject: "s", Message: "{}", MessageAttributes: { kind: { DataType: "String", StringValue: "a" } } })), ({ Records: [record] }) => [record.Sns.TopicArn, record.EventSource]],
    ["s3", "OnObject", () => new S3Client({ ...clientOptions(sst), forcePathStyle: true }).send(new PutObjectCommand({ Bucket: sst.stackOutput("BucketName"), Key: "in/a", Body: "x" })), ({ Records: [record] }) => [record.s3.bucket.name, record.s3.bucket.arn, record.eventName, record.s3.object.key.slice(0, 3)]],
    ["dynamodb", "OnTable", async () => {
      const client = new DynamoDBClient(clientOptions(sst));
      const put = (text) => client.send(new PutItemCommand({ TableName: sst.stackOutput("TableName"), Item: { ...item, text: { S: text } } }));
      await put("before");
      await put("now");
    }, ({ Records: [record] }) => [record.eventSourceARN.split("/stream/")[0], Object.entries(record.dynamodb.Keys).map(([key, value]) => [key, Object.keys(value)]), record.dynamodb.StreamViewType]],
    ["kinesis", "OnStream", () => kinesis(), ({ Records: [record] }) => [record.eventSourceARN, record.eventName]],
    ["schedule", "OnSchedule", () => {}, (event) => [event.resources, event.source, event["detail-type"], event.account, event.region]],
  ]) {
    test(`${kind}: as the local cloud sends it, with the names that CloudFormation has given`, async () => {
      await send();
      const [real, made] = [await recorded(name), await sample("--for", name)];
      assert.deepEqual(same(made), same(real));
      const [own, others] = [fields(made), fields(real)];
      const differences = [...own.filter((field) => !others.includes(field)).map((field) => `+ ${field}`), ...others.filter((field) => !own.includes(field)).map((field) => `- ${field}`)];
      assert.deepEqual(differences, UNLIKE[kind] ?? []);
    });
  }

  test("a function is called with its sample, and with that of another of its triggers", async () => {
    const shell = (line) => spawnSync("sh", ["-c", line.replaceAll("sst ", `${process.env.SST_BINARY} `)], { cwd: directory, encoding: "utf8", env: { ...process.env, SST_NPM_ROOT: path.join(repository, "npm") } });
    const first = shell("sst sample sqs --for OnQueue | sst invoke OnQueue --event -");
    assert.equal(first.status, 0, first.stderr);
    assert.equal(JSON.parse(JSON.parse(first.stdout).body).Records[0].eventSource, "aws:sqs");
    const post = await sample("POST /notes", "--for", "OnRest");
    assert.deepEqual([post.httpMethod, post.resource, JSON.parse(post.body)], ["POST", "/notes", { text: "Hello from a sample" }]);
    const { samples } = await (await api(sst.session(), "samples?function=OnRest")).json();
    assert.deepEqual(samples.filter(({ of }) => of).map(({ name, of }) => [name, of]), [["apigw", "GET /notes/{id}"], ["POST /notes", "POST /notes"]]);
    const bytes = await (await api(sst.session(), `samples/${encodeURIComponent("POST /notes")}?function=OnRest`)).json();
    assert.equal(bytes.path, "/notes");
  });

  test("what is not there is said with what is", async () => {
    const list = await run("sample");
    assert.match(list.said, /^apigw +REST API request\napigw2 +HTTP API request\n/);
    const unknown = await run("sample", "dynamo");
    assert.deepEqual([unknown.code, unknown.said.split("\n")[0]], [2, "error: there is no sample `dynamo`: did you mean `dynamodb`?"]);
    const alone = await run("sample", "--for", "Alone");
    assert.match(alone.said, /nothing is known that calls `Alone`[^]*say which kind of event/);
    assert.equal(alone.code, 2);
    assert.equal((await run("sample", "sqs", "--for", "Nothing")).code, 2);
    const status = await run("status");
    assert.match(status.said, /samples\/OnRest +GET \/notes\/\{id\}, POST \/notes\n/);
  });

  test("without a session names are those of the templates", async () => {
    await sst.stop();
    const made = await sample("--for", "OnQueue");
    assert.match(made.Records[0].eventSourceARN, /^arn:aws:sqs:us-east-1:000000000000:Queue[0-9A-F]{8}$/);
    const documented = await sample("sqs");
    assert.equal(documented.Records[0].eventSourceARN, "arn:aws:sqs:us-east-1:123456789012:orders");
  });
});

describe("shapes", () => {
  /** The types of `@types/aws-lambda` that have no other name than their kind's. */
  const TYPES = {
    apigw: "APIGatewayProxyEvent",
    apigw2: "APIGatewayProxyEventV2",
    url: "LambdaFunctionURLEvent",
    websocket: "APIGatewayProxyWebsocketEventV2",
    alb: "ALBEvent",
    authorizer: "APIGatewayTokenAuthorizerEvent",
    appsync: "AppSyncResolverEvent<{ id: string }>",
    sqs: "SQSEvent",
    sns: "SNSEvent",
    s3: "S3Event",
    dynamodb: "DynamoDBStreamEvent",
    kinesis: "KinesisStreamEvent",
    msk: "MSKEvent",
    kafka: "SelfManagedKafkaEvent",
    schedule: 'ScheduledEvent<{}>',
    scheduler: 'EventBridgeEvent<"Scheduled Event", string>',
    eventbridge: 'EventBridgeEvent<"OrderPlaced", { order: string; amount: number }>',
    "cloudwatch-logs": "CloudWatchLogsEvent",
    alarm: "CloudWatchAlarmEvent",
    iot: "IoTEvent<{ device: string; temperature: number; humidity: number }>",
    ses: "SESEvent",
    secretsmanager: "SecretsManagerRotationEvent",
    "cognito-pre-sign-up": "PreSignUpTriggerEvent",
    "cognito-post-confirmation": "PostConfirmationTriggerEvent",
    "cognito-pre-authentication": "PreAuthenticationTriggerEvent",
    "cognito-post-authentication": "PostAuthenticationTriggerEvent",
    "cognito-custom-message": "CustomMessageTriggerEvent",
    "cognito-define-auth-challenge": "DefineAuthChallengeTriggerEvent",
    "cognito-create-auth-challenge": "CreateAuthChallengeTriggerEvent",
    "cognito-verify-auth-challenge-response": "VerifyAuthChallengeResponseTriggerEvent",
    "cognito-user-migration": "UserMigrationTriggerEvent",
    "cognito-pre-token-generation": "PreTokenGenerationTriggerEvent",
    "cognito-pre-token-generation-v2": "PreTokenGenerationV2TriggerEvent",
  };
  /** They have no type: what is in them is up to the app, or `@types/aws-lambda` does not know them. */
  const UNTYPED = ["stepfunctions", "destination", "empty"];

  /** An event, less what AWS documents and the types do not know: who is at a socket, and that what a function is to fill in is null. */
  const literal = (kind, event) => {
    if (kind === "websocket") delete event.requestContext.identity;
    const text = JSON.stringify(event, null, 2);
    return kind.startsWith("cognito") ? `{ ...${text}, response: undefined as any }` : text;
  };

  test("every sample is of the type that it should be", async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sst-samples-"));
    fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules"), path.join(directory, "node_modules"));
    const sst = (...args) => spawnSync(process.env.SST_BINARY ?? path.join(repository, "target/debug/sst"), args, { cwd: directory, encoding: "utf8" });
    const kinds = sst("sample").stdout.trim().split("\n").map((line) => line.split(" ")[0]);
    assert.deepEqual([...kinds].sort(), [...Object.keys(TYPES), ...UNTYPED].sort());
    const typed = kinds.filter((kind) => TYPES[kind]);
    const source = typed.map((kind, index) => `export const sample${index}: lambda.${TYPES[kind]} = ${literal(kind, JSON.parse(sst("sample", kind).stdout))}; // ${kind}\n`);
    fs.writeFileSync(path.join(directory, "samples.ts"), `import type * as lambda from "aws-lambda";\n${source.join("")}`);
    const tsc = path.join(repository, "tests/fixtures/node_modules/typescript/bin/tsc");
    const checked = spawnSync(process.execPath, [tsc, "--noEmit", "--strict", "--skipLibCheck", "--types", "aws-lambda", "samples.ts"], { cwd: directory, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout);
    fs.rmSync(directory, { recursive: true });
  });
});

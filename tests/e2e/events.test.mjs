// Every event source reaches the code on disk, and saving a file changes what the next call runs.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { DynamoDBClient, PutItemCommand } = require("@aws-sdk/client-dynamodb");
const { PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { PublishCommand, SNSClient } = require("@aws-sdk/client-sns");
const { SQSClient, SendMessageCommand } = require("@aws-sdk/client-sqs");

describe("events", () => {
  let directory;
  let sst;
  let url;
  let options;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/events");
    sst = await Sst.start(directory);
    url = sst.stackOutput("ApiEndpoint");
    options = clientOptions(sst);
  });
  after(async () => {
    await sst?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const call = async (where) => {
    const response = await fetch(`${url}${where}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${text}\n${sst.output}`);
    return JSON.parse(text);
  };

  test("an HTTP request", async () => {
    const from = sst.output.length;
    const answer = await call("/some/path");
    assert.equal(answer.greeting, "hello from the first version");
    assert.equal(answer.path, "/some/path");
    const [text] = await sst.waitFor(/REQUEST[^]*?RESPONSE/, from);
    assert.match(text, /API GET \/some\/path/);
    assert.match(text, /path \/some\/path/);
  });

  test("an SNS message", async () => {
    const from = sst.output.length;
    await new SNSClient(options).send(new PublishCommand({ TopicArn: sst.stackOutput("TopicArn"), Message: "by topic" }));
    await sst.waitFor(/consumed .*"Message":"by topic"/, from);
  });

  test("an SQS message", async () => {
    const from = sst.output.length;
    await new SQSClient(options).send(new SendMessageCommand({ QueueUrl: sst.stackOutput("QueueUrl"), MessageBody: "by queue" }));
    await sst.waitFor(/consumed .*"body":"by queue"/, from);
  });

  test("a change in a table", async () => {
    const from = sst.output.length;
    const item = { id: { S: "by stream" } };
    await new DynamoDBClient(options).send(new PutItemCommand({ TableName: sst.stackOutput("TableName"), Item: item }));
    await sst.waitFor(/consumed .*"eventName":"INSERT".*"by stream"/, from);
  });

  test("an object in a bucket", async () => {
    const from = sst.output.length;
    const put = new PutObjectCommand({ Bucket: sst.stackOutput("BucketName"), Key: "by-bucket", Body: "x" });
    await new S3Client({ ...options, forcePathStyle: true }).send(put);
    await sst.waitFor(/consumed .*"key":"by-bucket"/, from);
  });

  test("twenty requests at once", async () => {
    const paths = Array.from({ length: 20 }, (_, index) => `/parallel/${index}`);
    const answers = await Promise.all(paths.map(call));
    assert.deepEqual(answers.map((answer) => answer.path), paths);
  });

  test("saving a file changes what the next call runs", async () => {
    const file = path.join(directory, "src/greeting.js");
    const original = fs.readFileSync(file, "utf8");
    let from = sst.output.length;
    fs.writeFileSync(file, original.replace("first", "second"));
    await sst.waitFor(/BUILT +events\/Api-GET/, from);
    assert.equal((await call("/again")).greeting, "hello from the second version");

    // A broken file is shown, and the last good code goes on serving.
    from = sst.output.length;
    fs.writeFileSync(file, "export const greeting = () => ;\n");
    await sst.waitFor(/greeting\.js:1:31/, from);
    assert.match(sst.output.slice(from), /export const greeting = \(\) => ;/);
    assert.equal((await call("/again")).greeting, "hello from the second version");

    from = sst.output.length;
    fs.writeFileSync(file, original.replace("first", "third"));
    await sst.waitFor(/BUILT +events\/Api-GET/, from);
    assert.equal((await call("/again")).greeting, "hello from the third version");
  });

  test("a schedule", async () => {
    await sst.waitFor(/consumed .*"detail-type":"Scheduled Event"/);
  });
});

// What comes while `sst start` still makes its first deployment: every call, message, and asynchronous event is run, once, and by whoever
// answers for the function at that time.
//
// The app has a custom resource behind everything else that ends when the test says so, so the deployment lasts as long as the test
// wants it to.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp, extraArguments, gone, repository, until } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { GetFunctionCommand, InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const { ListSubscriptionsByTopicCommand, PublishCommand, SNSClient } = require("@aws-sdk/client-sns");
const { GetQueueUrlCommand, SQSClient, SendMessageCommand } = require("@aws-sdk/client-sqs");

/**
 * `$ROUND` changes with each start, so that the gate is closed again. The local cloud goes by the alphabet where nothing else says what
 * comes first: with these names the policy of the stub would come last. A stub whose variables change, as with another owner, has to
 * look up anew who answers for it.
 */
const APP = `
const { App, CustomResource, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");
const { SqsEventSource } = require("aws-cdk-lib/aws-lambda-event-sources");
const { Topic } = require("aws-cdk-lib/aws-sns");
const { LambdaSubscription } = require("aws-cdk-lib/aws-sns-subscriptions");
const { Queue } = require("aws-cdk-lib/aws-sqs");

const name = process.env.NAME;
const stack = new Stack(new App(), name);
const runtime = Runtime.NODEJS_22_X;
const live = new LambdaFunction(stack, "Live", {
  functionName: name, runtime, code: Code.fromAsset("live"), handler: "index.handler", timeout: Duration.seconds(20),
  environment: { OWNER: __dirname },
});
const topic = new Topic(stack, "News", { topicName: name });
topic.addSubscription(new LambdaSubscription(live));
const queue = new Queue(stack, "Queue", { queueName: name, visibilityTimeout: Duration.seconds(60) });
live.addEventSource(new SqsEventSource(queue, { batchSize: 1 }));

const code = Code.fromInline(require("node:fs").readFileSync("gatekeeper.js", "utf8"));
const gatekeeper = new LambdaFunction(stack, "Gatekeeper", { runtime, code, handler: "index.handler", timeout: Duration.seconds(300) });
const properties = { directory: __dirname, round: process.env.ROUND };
new CustomResource(stack, "Gate", { serviceToken: gatekeeper.functionArn, properties }).node.addDependency(live, topic, queue);
`;

const LIVE = `
const fs = require("node:fs");
exports.handler = async (event, context) => {
  const [record] = event.Records ?? [];
  const marker = record?.Sns?.Message ?? record?.body ?? event.marker;
  // Beside the code, which is in another directory for each who runs it.
  fs.appendFileSync(__dirname + "/../record", marker + " " + context.awsRequestId + "\\n");
  return marker;
};
`;

const GATEKEEPER = `
const fs = require("node:fs");
exports.handler = async ({ RequestType, ResponseURL, StackId, RequestId, LogicalResourceId, ResourceProperties }) => {
  const { directory, round } = ResourceProperties;
  if (RequestType !== "Delete") {
    fs.writeFileSync(directory + "/reached-" + round, "");
    while (!fs.existsSync(directory + "/open-" + round)) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const Status = fs.existsSync(directory + "/broken-" + round) ? "FAILED" : "SUCCESS";
  const body = JSON.stringify({ Status, Reason: "the gate is broken", PhysicalResourceId: "gate", StackId, RequestId, LogicalResourceId });
  await fetch(ResponseURL, { method: "PUT", body });
};
`;

const KEYS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: "us-east-1" };

/** An app whose functions, topic, and queue have the same name as its stack. */
class Gated {
  constructor(name) {
    this.name = name;
    this.directory = copyApp("tests/fixtures/apps/cdk-plain");
    fs.mkdirSync(this.#file("live"));
    fs.writeFileSync(this.#file("live/index.js"), LIVE);
    fs.writeFileSync(this.#file("gatekeeper.js"), GATEKEEPER);
    fs.writeFileSync(this.#file("app.js"), APP);
    fs.writeFileSync(this.#file("cdk.json"), '{ "app": "node app.js" }');
  }

  #file(name) {
    return path.join(this.directory, name);
  }

  /** Starts it, and does not wait for anything. */
  start(round, args, env = {}) {
    this.sst = new Sst(this.directory, ["start", ...args], { ...KEYS, NAME: this.name, ROUND: String(round), ...env });
  }

  connect(endpoint) {
    const credentials = { accessKeyId: KEYS.AWS_ACCESS_KEY_ID, secretAccessKey: KEYS.AWS_SECRET_ACCESS_KEY };
    const options = { endpoint, region: KEYS.AWS_REGION, credentials, maxAttempts: 1 };
    this.lambda = new LambdaClient(options);
    this.sns = new SNSClient(options);
    this.sqs = new SQSClient(options);
  }

  /** Waits until the gatekeeper has been asked. All the rest is deployed then. */
  reached(round) {
    return until("the gate", () => fs.existsSync(this.#file(`reached-${round}`)) || this.#alive());
  }

  open(round) {
    fs.writeFileSync(this.#file(`open-${round}`), "");
  }

  /** Has the deployment fail. */
  break(round) {
    fs.writeFileSync(this.#file(`broken-${round}`), "");
    this.open(round);
  }

  /** Calls the function, and sends it one of each, as soon as there is what takes it. Returns the markers. */
  async send(when) {
    const marker = (what) => `${when}-${what}`;
    const sending = {
      call: async () => {
        await this.#there("the function", () => this.lambda.send(new GetFunctionCommand({ FunctionName: this.name })));
        const answer = await this.#invoke("RequestResponse", marker("call"));
        const text = Buffer.from(answer.Payload).toString();
        assert.equal(answer.FunctionError, undefined, `${text}\n${this.sst.output}`);
        assert.equal(text, JSON.stringify(marker("call")));
      },
      event: async () => {
        await this.#there("the function", () => this.lambda.send(new GetFunctionCommand({ FunctionName: this.name })));
        await this.#invoke("Event", marker("event"));
      },
      topic: async () => {
        const TopicArn = `arn:aws:sns:us-east-1:000000000000:${this.name}`;
        await this.#there("the subscription", async () => {
          const { Subscriptions } = await this.sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }));
          return Subscriptions.length > 0;
        });
        await this.sns.send(new PublishCommand({ TopicArn, Message: marker("topic") }));
      },
      queue: async () => {
        const { QueueUrl } = await this.#there("the queue", () => this.sqs.send(new GetQueueUrlCommand({ QueueName: this.name })));
        await this.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: marker("queue") }));
      },
    };
    await Promise.all(Object.values(sending).map((send) => send()));
    return Object.keys(sending).map(marker);
  }

  #invoke(InvocationType, marker) {
    return this.lambda.send(new InvokeCommand({ FunctionName: this.name, InvocationType, Payload: JSON.stringify({ marker }) }));
  }

  /** Asks until what is asked for is there. */
  #there(what, ask) {
    return until(`${what} of ${this.name}`, async () => {
      this.#alive();
      return ask().catch(() => false);
    });
  }

  #alive() {
    assert.equal(this.sst.child.exitCode, null, this.sst.output);
    return false;
  }

  /** The markers of what has run, in the order of the alphabet, each as often as it ran. */
  ran() {
    const text = fs.existsSync(this.#file("record")) ? fs.readFileSync(this.#file("record"), "utf8") : "";
    return text.split("\n").filter(Boolean).map((line) => line.split(" ")[0]).sort();
  }

  /** Waits until all of these have run. */
  async allRan(markers) {
    await until(
      () => `each of ${markers} among those that ran (${this.ran()})\n${this.sst.output}`,
      () => markers.every((marker) => this.ran().includes(marker)),
      60_000,
    );
  }

  async remove() {
    await gone(this.directory);
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

describe("the first deployment", () => {
  const fresh = new Gated("first-fresh");
  const again = new Gated("first-again");
  // The same app on another machine.
  const other = new Gated("first-fresh");
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "sst-other-"));
  let endpoint;

  before(async () => {
    fresh.start(1, ["--local", ...extraArguments()]);
    [, endpoint] = await fresh.sst.waitFor(/The local cloud is at (\S+)/);
    fresh.connect(endpoint);
    again.connect(endpoint);
    other.connect(endpoint);
  });
  after(async () => {
    // The stubs of both are processes of the one cloud.
    for (const app of [other, again, fresh]) await app.sst?.stop();
    for (const app of [other, again, fresh]) await app.remove();
    fs.rmSync(home, { recursive: true, force: true });
  });

  test("of a new app: what comes as soon as its function exists is run here, once", async () => {
    const early = await fresh.send("early");
    await fresh.reached(1);
    const late = await fresh.send("late");
    await fresh.allRan([...early, ...late]);
    assert.doesNotMatch(fresh.sst.output, /Listening for requests/);
    assert.ok(!fs.existsSync(path.join(fresh.directory, ".sst/session.json")));
    fresh.open(1);
    await fresh.sst.waitFor(/Listening for requests \(stage dev, 1 function\)/);
    const after = await fresh.send("after");
    await fresh.allRan(after);
    assert.deepEqual(fresh.ran(), [...early, ...late, ...after].sort());
  });

  test("of an app whose stubs are there from the last time: the same", async () => {
    const args = ["--endpoint-url", endpoint, "--stage", "again"];
    again.open(1);
    again.start(1, args);
    await again.sst.waitFor(/Listening for requests/);
    await again.sst.stop();

    again.start(2, args);
    await again.sst.waitFor(/Deploying the app/);
    const early = await again.send("early");
    await again.reached(2);
    const late = await again.send("late");
    await again.allRan([...early, ...late]);
    assert.doesNotMatch(again.sst.output, /Listening for requests/);
    again.open(2);
    await again.sst.waitFor(/Listening for requests/);
    assert.deepEqual(again.ran(), [...early, ...late].sort());
    await again.sst.stop();
  });

  test("that fails: what came before has been run, and the error is that of the deployment", async () => {
    const before = again.ran();
    again.start(3, ["--endpoint-url", endpoint, "--stage", "again"]);
    await again.reached(3);
    const sent = await again.send("in-vain");
    await again.allRan(sent);
    again.break(3);
    assert.deepEqual(await again.sst.exited, { code: 5, signal: null });
    await again.sst.closed;
    assert.match(again.sst.output, /^error: the app could not be deployed\s+[^\n]*UPDATE_FAILED[^\n]*Gate[^]*the gate is broken/m);
    assert.doesNotMatch(again.sst.output, /Listening for requests|Stopped|stopping/);
    assert.deepEqual(again.ran(), [...before, ...sent].sort());
    assert.ok(!fs.existsSync(path.join(again.directory, ".sst/session.json")));
  });

  test("on a stage that somebody else serves: they answer until it is done, and are told then", async () => {
    const before = fresh.ran();
    // Who runs on one machine knows of one another by this directory.
    other.start(2, ["--endpoint-url", endpoint], { XDG_CACHE_HOME: home });
    await other.reached(2);
    const during = await other.send("during");
    await fresh.allRan(during);
    assert.deepEqual(fresh.ran(), [...before, ...during].sort());
    assert.doesNotMatch(fresh.sst.output, /has taken over/);
    other.open(2);
    await other.sst.waitFor(/Listening for requests/);
    await fresh.sst.waitFor(/ has taken over first-fresh\/Live; their machine answers now/);
    assert.deepEqual([fresh.ran(), other.ran()], [[...before, ...during].sort(), []]);
  });

  test("that is interrupted: what came before has been run, and nothing else is said", async () => {
    const before = again.ran();
    again.start(4, ["--endpoint-url", endpoint, "--stage", "again"]);
    await again.reached(4);
    const sent = await again.send("interrupted");
    await again.allRan(sent);
    // They have run when they are answered: until then, interrupting them is told.
    const answered = () => again.sst.output.match(/^RESPONSE /gm)?.length ?? 0;
    await until(() => `${sent.length} answers\n${again.sst.output}`, () => answered() >= sent.length);
    assert.deepEqual(await again.sst.stop("SIGINT"), { code: 130, signal: null });
    again.open(4);
    assert.match(again.sst.output, /stopping/);
    assert.doesNotMatch(again.sst.output, /Listening for requests|Stopped|error/);
    assert.deepEqual(again.ran(), [...before, ...sent].sort());
    assert.ok(!fs.existsSync(path.join(again.directory, ".sst/session.json")));
  });
});

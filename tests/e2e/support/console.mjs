// The console in a real browser, of an app whose functions do as their events say.

import assert from "node:assert/strict";

import { copyApp, writeInto } from "./sst.mjs";

/** The line at which the function in TypeScript fails when it is asked to. */
export const FAILS_AT = "src/echo.ts:6";

const ECHO = `interface Event { text?: string; lines?: number; fail?: string; type?: string }

export async function handler(event: Event): Promise<unknown> {
  console.log("heard", event.text ?? "nothing");
  for (let line = 1; line <= (event.lines ?? 0); line += 1) console.log(\`line \${line}\`);
  if (event.fail !== undefined) throw Object.assign(new TypeError(event.fail), { name: event.type ?? "TypeError" });
  return { said: event.text, bytes: JSON.stringify(event).length };
}
`;
const PLAIN = `exports.handler = async (event) => {
  const heard = event.text;
  return { statusCode: 200, body: JSON.stringify({ heard, key: process.env.API_KEY }) };
};
`;
const STACK = `const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { HttpApi } = require("aws-cdk-lib/aws-apigatewayv2");
const { HttpLambdaIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const { Code, Function, Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");
const { Topic } = require("aws-cdk-lib/aws-sns");
const { LambdaSubscription } = require("aws-cdk-lib/aws-sns-subscriptions");

const stack = new Stack(new App(), "console");
const runtime = Runtime.NODEJS_20_X;
const echo = new NodejsFunction(stack, "Echo", { runtime, entry: "src/echo.ts" });
const plain = new Function(stack, "Plain", { runtime, handler: "index.handler", code: Code.fromAsset("plain"), environment: { API_KEY: "sk-12345678" } });
const topic = new Topic(stack, "Topic");
for (const one of [echo, plain]) topic.addSubscription(new LambdaSubscription(one));
const routes = new HttpApi(stack, "Api", { defaultIntegration: new HttpLambdaIntegration("Integration", plain) });
new CfnOutput(stack, "Endpoint", { value: routes.apiEndpoint });
new CfnOutput(stack, "TopicArn", { value: topic.topicArn });
`;

/** Makes the app in a directory of its own. */
export function makeApp() {
  const directory = copyApp("tests/fixtures/apps/cdk-plain");
  const write = (file, text) => writeInto(directory, file, text);
  write("app.cjs", STACK);
  write("src/echo.ts", ECHO);
  write("plain/index.js", PLAIN);
  write("cdk.json", JSON.stringify({ app: "node app.cjs" }));
  write("sst.json", JSON.stringify({ name: "console" }));
  return directory;
}

/** The address of a session's page, as `sst console` prints it. */
export const addressOf = ({ control, token }) => `http://${control}/#token=${token}`;

/**
 * Opens the page of a session in a context of its own. What it asks for is in `requests`, and whatever it complains of in `complaints`,
 * but for answers that say that something is not there.
 */
export async function openConsole(browser, session, { address = addressOf(session), ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const requests = [];
  const complaints = [];
  context.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !/status of (4\d\d|503)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(address);
  return { context, page, requests, complaints, rows: page.locator(".all .row"), detail: page.locator("#detail article") };
}

/** Nothing was asked of anybody but the session, and nothing was complained of. */
export async function assertQuiet({ requests, complaints, context }, control) {
  const others = requests.filter((url) => !url.startsWith(`http://${control}/`) && !url.startsWith("blob:"));
  await context.close();
  assert.deepEqual(others, []);
  assert.deepEqual(complaints, []);
}

/** What is in the clipboard of a page. */
export const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

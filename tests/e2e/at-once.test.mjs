// Many requests to an HTTP API at once, while none of its stubs runs yet: each is answered with its own result, and its handler runs once.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, copyApp } from "./support/sst.mjs";

describe("requests to stubs that are cold", () => {
  let directory;
  let sst;
  before(async () => {
    directory = appWithApi();
    sst = await Sst.start(directory);
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  // Another function each, so that no stub is there yet. Each has the three seconds that Lambda gives a function that declares nothing.
  for (const [name, count] of [["few", 30], ["many", 100]]) {
    test(`${count} at once are all answered`, async () => {
      const log = path.join(directory, `${name}.log`);
      const numbers = Array.from({ length: count }, (_, number) => String(number));
      const answers = await Promise.all(
        numbers.map(async (number) => {
          const answer = await fetch(`${sst.stackOutput("Url")}${name}?${new URLSearchParams({ number, log })}`);
          return `${answer.status} ${await answer.text()}`;
        }),
      );
      assert.deepEqual(answers, numbers.map((number) => `200 ${number}`));
      const ran = fs.readFileSync(log, "utf8").trim().split("\n");
      assert.deepEqual(ran.toSorted((a, b) => a - b), numbers, "each handler runs once");
    });
  }
});

/** An app with an HTTP API of two functions, which note that they run and answer with what they were asked. */
function appWithApi() {
  const directory = copyApp("tests/fixtures/apps/events");
  fs.writeFileSync(
    path.join(directory, "src/plain/number.js"),
    `exports.handler = async ({ queryStringParameters: { number, log } }) => {
      require("node:fs").appendFileSync(log, number + "\\n");
      return { statusCode: 200, body: number };
    };\n`,
  );
  fs.writeFileSync(
    path.join(directory, "stacks/index.js"),
    `import { CfnOutput, Stack } from "aws-cdk-lib";
    import { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
    import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
    import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
    import path from "node:path";
    export default function main(app) {
      const stack = new Stack(app, "at-once");
      const api = new HttpApi(stack, "Api");
      for (const name of ["few", "many"]) {
        const code = Code.fromAsset(path.resolve("src/plain"));
        const handler = new Function(stack, name, { runtime: Runtime.NODEJS_22_X, handler: "number.handler", code });
        api.addRoutes({ path: "/" + name, integration: new HttpLambdaIntegration(name + "Integration", handler) });
      }
      new CfnOutput(stack, "Url", { value: api.url });
    }\n`,
  );
  return directory;
}

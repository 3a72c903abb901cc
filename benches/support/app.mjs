// Apps that the benches make for themselves.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { repository } from "../../tests/e2e/support/sst.mjs";

/** Writes files into a directory: their names with their texts. */
export function write(directory, files) {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

/** A directory for all that a bench makes. */
export function makePlace() {
  return fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "bench-"));
}

/** What gives back its event. */
export const ECHO = "export async function main(event) {\n  return { event };\n}\n";

/** Makes an app with the function `echo` in TypeScript, which a route of an HTTP API calls as well. */
export function makeEcho(directory) {
  write(directory, {
    "package.json": '{ "name": "bench", "private": true, "type": "module" }\n',
    "package-lock.json": "{}\n",
    "sst.json": '{ "name": "bench", "main": "stacks/index.js" }\n',
    "src/echo.ts": ECHO,
    "stacks/index.js": `import { CfnOutput, Duration, Stack } from "aws-cdk-lib";
import { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
export default function main(app) {
  const stack = new Stack(app, "bench");
  const echo = new NodejsFunction(stack, "echo", { entry: "src/echo.ts", handler: "main", runtime: Runtime.NODEJS_20_X, timeout: Duration.seconds(20) });
  const api = new HttpApi(stack, "Api");
  api.addRoutes({ path: "/echo", integration: new HttpLambdaIntegration("Integration", echo) });
  new CfnOutput(stack, "Function", { value: echo.functionName });
  new CfnOutput(stack, "Endpoint", { value: api.apiEndpoint });
}
`,
  });
  fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules"), path.join(directory, "node_modules"));
}

// Apps whose main file builds its stacks with `aws-cdk-lib` alone.

import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

import { ExpectedError } from "./report.mjs";

/**
 * The framework of a plain CDK app, for host.mjs. It uses the project's own library: constructs of another copy would not fit
 * into our app.
 */
export function loadPlainCdk(project) {
  const require = createRequire(path.join(project, "package.json"));
  try {
    require.resolve("aws-cdk-lib");
  } catch {
    throw new ExpectedError(
      `\`aws-cdk-lib\` is not installed in \`${project}\``,
      "run `npm install aws-cdk-lib constructs`, or `npm install` if your `package.json` names them already",
    );
  }
  const cdk = require("aws-cdk-lib");
  return {
    directories: ["stacks", "lib"],
    extensions: ["js", "ts", "mjs", "mts", "cjs", "cts", "jsx", "tsx"],
    bundling: {},
    inputs: [],
    require,
    createApp: (settings) => createApp(cdk, settings),
    complete: () => {},
  };
}

function createApp(cdk, settings) {
  const stage = process.env.SST_STAGE;
  const app = new cdk.App();
  return Object.assign(app, {
    stage,
    name: settings.name,
    local: true,
    // The library takes both as the default environment of all stacks.
    region: process.env.SST_REGION || process.env.CDK_DEFAULT_REGION || settings.region,
    account: process.env.SST_ACCOUNT || process.env.CDK_DEFAULT_ACCOUNT,
    logicalPrefixedName: (logicalName) => `${stage}-${settings.name}-${logicalName}`,
  });
}

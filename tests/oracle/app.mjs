// An app of the CDK with a function for each case, bundled by the library itself: `node app.mjs <list of cases> <answers>`. Says for each
// case where its bundle is, or with which message of esbuild it has failed.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

const [list, answers, outdir, packages] = process.argv.slice(2);
const require = createRequire(path.join(packages, "package.json"));
const { App, Stack } = require("aws-cdk-lib");
const { Runtime } = require("aws-cdk-lib/aws-lambda");
const { NodejsFunction } = require("aws-cdk-lib/aws-lambda-nodejs");

const app = new App({ outdir, analyticsReporting: false, context: { "aws:cdk:enable-asset-metadata": true } });
const stack = new Stack(app, "oracle");
const functions = new Map();
const failed = {};

for (const { id, directory, entry, bundling } of JSON.parse(fs.readFileSync(list, "utf8"))) {
  // What esbuild says of this case comes after its name.
  fs.writeSync(2, `\n@case ${id}\n`);
  // Paths in options are relative to where the app is started.
  process.chdir(directory);
  try {
    const construct = new NodejsFunction(stack, id, {
      entry: path.join(directory, entry),
      projectRoot: directory,
      depsLockFilePath: path.join(directory, "package-lock.json"),
      runtime: Runtime.NODEJS_22_X,
      bundling,
    });
    functions.set(id, construct.node.defaultChild);
  } catch (error) {
    failed[id] = error.message;
  }
}
app.synth();
const bundles = {};
for (const [id, resource] of functions) bundles[id] = path.join(outdir, resource.getMetadata("aws:asset:path") ?? resource.cfnOptions.metadata["aws:asset:path"]);
fs.writeFileSync(answers, JSON.stringify({ bundles, failed }));
